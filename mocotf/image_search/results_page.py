"""A page of images beside those most similar to them: one HTML file, which needs no other."""

import base64
import html
import io
import os
import pathlib
from typing import NamedTuple

from PIL import Image

from mocotf.data.places.parts import read_named
from mocotf.data.places.remote import is_url
from mocotf.files import printable

SIDE = 192  # of a thumbnail, pixels
STYLE = """
:root { color-scheme: light dark; --ink: #1d2127; --dim: #667080; --page: #f6f7f9; --card: #fff;
  --line: #e1e5ea; --bar: #2f6fde; }
@media (prefers-color-scheme: dark) { :root { --ink: #e7eaee; --dim: #98a2b0; --page: #14171b;
  --card: #1d2127; --line: #2d333b; --bar: #6ea0ff; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1400px; padding: 28px 24px; background: var(--page);
  color: var(--ink); font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 22px; margin: 0 0 4px; }
header p { margin: 0 0 24px; color: var(--dim); overflow-wrap: anywhere; }
section { display: grid; grid-template-columns: 200px 1fr; gap: 24px; padding: 20px;
  margin-bottom: 20px; background: var(--card); border: 1px solid var(--line);
  border-radius: 12px; break-inside: avoid; }
.found { display: grid; grid-template-columns: repeat(auto-fill, minmax(132px, 1fr)); gap: 14px; }
figure { margin: 0; min-width: 0; }
figure a, .missing { display: block; aspect-ratio: 1; border-radius: 8px; overflow: hidden;
  background: var(--line); }
.query a { outline: 3px solid var(--bar); outline-offset: 2px; }
img { width: 100%; height: 100%; object-fit: cover; display: block; }
.missing { display: grid; place-items: center; color: var(--dim); font-size: 13px; }
figcaption { margin-top: 6px; font-size: 12.5px; }
.name { display: block; color: var(--dim); white-space: nowrap; overflow: hidden;
  text-overflow: ellipsis; direction: rtl; text-align: left; }
.query .name { white-space: normal; overflow-wrap: anywhere; direction: ltr; }
.similarity { font-variant-numeric: tabular-nums; font-weight: 600; }
.rank { color: var(--dim); float: right; }
.bar { height: 3px; border-radius: 2px; background: var(--line); margin: 4px 0; }
.bar i { display: block; height: 100%; border-radius: 2px; background: var(--bar); }
@media (max-width: 640px) { section { grid-template-columns: 1fr; } .query { max-width: 200px; } }
@media print { body { background: #fff; padding: 0; } section { border-color: #ccc; } }
"""


class Found(NamedTuple):
    """An image that was found: what to call it, its file, its similarity in [-1, 1]."""

    name: str
    path: str
    similarity: float


def sheet(title, about, results, show):
    """Returns the page, text.

    Args:
        title: of the page.
        about: a line below it.
        results: a list of (path of a query, its `Found` in order).
        show: the bytes of an image file → uint8 picture `[h, w, 3]`; fails for what is none.
    """
    sections = "\n".join(_section(query, found, show) for query, found in results)
    title, about = html.escape(title), html.escape(about)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{STYLE}</style>
</head>
<body>
<header><h1>{title}</h1><p>{about}</p></header>
{sections}
</body>
</html>
"""


def _section(query, found, show):
    name = html.escape(printable(query))
    asked = f'{_picture(query, show)}<figcaption><span class="name">{name}</span></figcaption>'
    figures = "\n".join(_figure(rank, one, show) for rank, one in enumerate(found, 1))
    return (
        f'<section>\n<figure class="query">{asked}</figure>\n<div class="found">\n{figures}\n</div>\n'
        "</section>"
    )


def _figure(rank, one, show):
    name = html.escape(printable(one.name))
    width = round(100 * max(0, min(1, one.similarity)))
    picture = _picture(one.path, show)
    return (
        f'<figure title="{name}">{picture}<figcaption><span class="rank">{rank}</span>'
        f'<span class="similarity">{one.similarity:.3f}</span>'
        f'<div class="bar"><i style="width:{width}%"></i></div>'
        f'<span class="name">&lrm;{name}</span></figcaption></figure>'
    )


def _picture(path, show):
    """Returns the thumbnail of a file, which leads to it, or a word where there is none."""
    try:
        image = Image.fromarray(show(read_named(path)))
    except Exception:  # each place has its own
        return '<div class="missing">not there</div>'
    image.thumbnail((2 * SIDE, 2 * SIDE))  # twice as fine, for fine screens
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=80)
    source = base64.b64encode(encoded.getvalue()).decode("ascii")
    link = html.escape(path if is_url(path) else pathlib.Path(os.path.abspath(path)).as_uri())
    return f'<a href="{link}"><img alt="" src="data:image/jpeg;base64,{source}"></a>'
