"""Numbers and tables for people and their spreadsheets."""

import csv
import io

from mocotf.files import printable

FORMULA = ("=", "+", "-", "@")  # what a spreadsheet takes for one begins so, as OWASP has it


def counted(number, noun):
    """Returns a whole number with what it counts, as "1 image", "2,000 images" and "3 classes"."""
    plural = "es" if noun.endswith("s") else "s"
    return f"{number:,} {noun}{plural * (number != 1)}"


def csv_of(rows):
    """Returns a CSV of rows, lists of texts and numbers; its texts as `cell` has them."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerows([cell(one) if isinstance(one, str) else one for one in row] for row in rows)
    return text.getvalue()


def cell(text):
    """Returns a text as a table may have it: printable, and after an apostrophe where a spreadsheet
    would otherwise compute it, as one that begins with = or @."""
    shown = printable(text)
    return f"'{shown}" if shown.startswith(FORMULA) else shown
