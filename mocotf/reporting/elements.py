"""HTML and SVG as trees of elements, so that nothing has to remember to escape."""

import base64
from xml.etree import ElementTree

from mocotf.files import printable

STYLE = """
:root { --ink: #1c2430; --soft: #5b6675; --line: #dfe4ea; --paper: #ffffff; --tint: #f5f7f9; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1120px; padding: 40px 28px 64px; background: var(--paper);
  color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 4px; letter-spacing: -0.01em; }
h2 { font-size: 20px; margin: 40px 0 4px; padding-top: 14px; border-top: 1px solid var(--line); }
h3 { font-size: 15px; margin: 18px 0 6px; }
p { margin: 4px 0 14px; max-width: 80ch; }
.soft, figcaption small, .beside { color: var(--soft); }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: 10px 0; }
th, td { padding: 7px 18px 7px 0; text-align: left; vertical-align: baseline;
  border-bottom: 1px solid var(--line); }
th { font-weight: 600; font-size: 13px; color: var(--soft); }
.results td { font-size: 22px; font-weight: 600; padding-right: 34px; }
.results td.run { font-size: 15px; }
.results .beside { display: block; font-size: 13px; font-weight: 400; }
.verdict { border-left: 4px solid #a0a0a0; padding-left: 12px; }
.verdict.learned { border-color: #009e73; }
.verdict.nothing { border-color: #d55e00; }
.flags td, .flags th { font: 13px/1.45 ui-monospace, Menlo, Consolas, monospace;
  padding: 3px 22px 3px 0; overflow-wrap: anywhere; }
.charts { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 22px 30px;
  margin-top: 14px; }
.side { display: grid; grid-template-columns: repeat(auto-fit, minmax(420px, 1fr)); gap: 26px 30px; }
figure { margin: 0; break-inside: avoid; }
figcaption { font-weight: 600; margin-bottom: 2px; }
figcaption small { font-weight: 400; font-size: 13px; display: block; }
.one { max-width: 680px; }
svg { display: block; width: 100%; height: auto; overflow: visible; }
svg text { font: 11px system-ui, "Segoe UI", Roboto, sans-serif; fill: var(--soft); }
svg .name, svg .level { paint-order: stroke; stroke: #fff; stroke-width: 3px; pointer-events: none; }
svg .name { fill: var(--ink); font-weight: 600; text-anchor: middle; }
img { max-width: 100%; height: auto; display: block; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 16px; font-size: 13px; margin: 6px 0; }
.key { display: inline-block; width: 18px; height: 4px; border-radius: 2px; margin-right: 6px;
  vertical-align: middle; }
details { margin-top: 12px; }
summary { cursor: pointer; color: var(--soft); }
footer { margin-top: 56px; font-size: 13px; color: var(--soft); }
@media screen and (max-width: 760px) { .charts, .side { grid-template-columns: 1fr; } }
@media print {
  @page { margin: 14mm; }
  body { max-width: none; padding: 0; font-size: 11pt; -webkit-print-color-adjust: exact;
    print-color-adjust: exact; }
  h2 { break-after: avoid; margin-top: 22px; }
  h2 + p { break-after: avoid; }
  .side { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  tr, figure { break-inside: avoid; }
}
"""


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


def page(title, *children):
    """Returns the text of an HTML page that needs nothing beside itself."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", STYLE),
    )
    html = element("html", head, element("body", *children), lang="en")
    return "<!DOCTYPE html>\n" + ElementTree.tostring(html, encoding="unicode", method="html") + "\n"


def picture(jpeg, text):
    """Returns the element of an image, the bytes of a JPEG, with a text for who cannot see it."""
    data = base64.b64encode(jpeg).decode()
    return element("img", src=f"data:image/jpeg;base64,{data}", alt=text)


def plain_table(head, rows, **attributes):
    """Returns the table of a row of texts and rows of texts."""
    return element(
        "table",
        element("thead", element("tr", *(element("th", cell, scope="col") for cell in head))),
        element("tbody", *(element("tr", *(element("td", cell) for cell in row)) for row in rows)),
        **attributes,
    )
