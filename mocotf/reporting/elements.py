"""HTML and SVG as trees of elements, so that nothing has to remember to escape."""

import base64
import hashlib
import json
from importlib import resources
from xml.etree import ElementTree

from mocotf.files import printable

WEB = resources.files("mocotf.reporting") / "web"


def element(tag, *children, **attributes):
    """Returns an element.

    Args:
        tag: its name.
        children: texts and elements, in order; None is left out.
        attributes: names as HTML has them, `class_` for class, `_` for `-`; None is left out.
    """
    found = ElementTree.Element(tag)
    for name, value in attributes.items():
        if value is not None:
            found.set(name.rstrip("_").replace("_", "-"), printable(value, keep="\n\t"))
    last = None
    for child in children:
        if child is None:
            continue
        if isinstance(child, str):
            child = printable(child, keep="\n\t")
            if last is None:
                found.text = (found.text or "") + child
            else:
                last.tail = (last.tail or "") + child
        else:
            found.append(child)
            last = child
    return found


def page(title, *children, scripts=()):
    """Returns the text of an HTML page that needs nothing beside itself, and may ask for nothing.

    Args:
        title: text.
        children: of its body; a first `header` gets the button of the theme.
        scripts: names of files of web/ that it runs at its end, beside the theme's.
    """
    code = "".join((WEB / name).read_text("utf-8") for name in ("theme.js", *scripts))
    allowed = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    # Whatever a name on it may say: no other script runs, and nothing is loaded.
    policy = (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; "
        f"form-action 'none'; script-src 'sha256-{allowed}'"
    )
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", (WEB / "page.css").read_text("utf-8")),
    )
    body = element("body", *children, element("script", code))
    html = element("html", head, body, lang="en")
    return "<!DOCTYPE html>\n" + ElementTree.tostring(html, encoding="unicode", method="html") + "\n"


def header(title, *children):
    """Returns the header of a page: its title, what else is said there, and the button of the theme."""
    button = element("button", "Dark", type="button", class_="theme", hidden="hidden")
    return element("header", element("h1", title), *children, button)


def data(value):
    """Returns the element of data for a script, of what JSON has; no text in it can end it."""
    text = json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")
    return element("script", text, type="application/json")


def picture(encoded, text, kind="jpeg", **attributes):
    """Returns the element of an image, the bytes of a file, with a text for who cannot see it."""
    source = f"data:image/{kind};base64,{base64.b64encode(encoded).decode()}"
    return element("img", src=source, alt=text, **attributes)


def plain_table(head, rows, **attributes):
    """Returns the table of a row of texts and rows of texts."""
    return element(
        "table",
        element("thead", element("tr", *(element("th", cell, scope="col") for cell in head))),
        element("tbody", *(element("tr", *(element("td", cell) for cell in row)) for row in rows)),
        **attributes,
    )
