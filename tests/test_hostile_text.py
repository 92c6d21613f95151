"""Names of files and classes that would work on a terminal, a page or a spreadsheet: they are shown."""

import contextlib
import csv
import io
import json
import os
import types
import unicodedata

import numpy as np
import pytest
from absl import flags

from mocotf.cli import command
from mocotf.data.bad_images import BadImages
from mocotf.data.sources.folder import Folder
from mocotf.evaluation.projector import write_projector
from mocotf.evaluation.scores import Scores
from mocotf.files import Terminal
from mocotf.files import name_of
from mocotf.files import printable
from mocotf.image_search.results_page import Found
from mocotf.image_search.results_page import sheet
from mocotf.reporting import elements
from mocotf.tables import csv_of
from tests import processes
from tests.commands import set_flags
from tests.data.support import write_colours

HOSTILE = "=a\x1b[2J\x9b31m\u202egpj.\u2066\u2028b\x7f\r\n\x07<b>'\""
SHOWN = r"a\x1b[2J\u009b31m\u202egpj.\u2066"  # of it, what is neither space nor HTML
BIDI = ("LRE", "LRO", "RLE", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")


def assert_shown(text, keep="\n"):
    """Holds a text that has HOSTILE in it to having nothing that works: no controls, no overrides."""
    works = {c for c in text if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")} - {*keep}
    works |= {c for c in text if unicodedata.bidirectional(c) in BIDI}
    assert SHOWN in text and not works, ascii(works)


def test_every_character_that_does_something_is_escaped_and_found_again():
    every = "".join(map(chr, range(0x3000))) + "\ud800\udfff"  # no halves that Python takes for bytes
    assert_shown(printable(HOSTILE + every), keep="")
    for name in (HOSTILE, every.replace("\\", "")):
        assert name_of(printable(name)) == name.encode(errors="surrogatepass")
    for name in (b"\xff\x80.jpg", "ü\n".encode()):
        assert name_of(printable(name)) == name_of(printable(os.fsdecode(name))) == name
    assert printable("C:\\new\\übung ‎شمس.jpg") == "C:\\new\\übung ‎شمس.jpg"


def test_all_that_is_printed_passes_one_door(capsys):
    with contextlib.redirect_stdout(Terminal(io.StringIO())) as stream:
        print(HOSTILE, "\udcff", sep="\t", flush=True)
    assert_shown(stream.getvalue(), keep="\n\t")
    set_flags("--json")
    command.print_json({"class": HOSTILE})
    line = capsys.readouterr().out
    assert line.isascii() and line.count("\n") == 1 and json.loads(line) == {"class": HOSTILE}
    flags.FLAGS.unparse_flags()


def test_a_command_says_it_so_and_an_error_takes_one_line(tmp_path):
    folder = tmp_path / "\x1b[2J\u202e"
    write_colours(folder, 3)
    (folder / "x.\x9b\nerror: a").write_text("")
    given = [f"--data_dir={folder}", "--dataset=folder", "--recipe=none", "--batch_size=64"]
    given += [f"--model_dir={tmp_path / 'run'}", f"--init_from={tmp_path}/\x1b]0;a\x07\u2028"]
    done = processes.run("train", *given)
    assert done.code == 1 and len(done.out.splitlines()) == len(done.err.splitlines()) == 1, done
    assert r"\x1b[2J\u202e: 3 images" in done.out and r".\u009b\nerror: a" in done.out
    assert not {*"\x1b\x9b\u202e\u2028\x07"} & {*done.out, *done.err}


def test_a_bad_image_of_such_a_name_is_looked_at_again(tmp_path):
    write_colours(tmp_path / "data", 2)
    odd = tmp_path / "data" / HOSTILE.replace("/", "")
    odd.write_bytes(b"")
    (tmp_path / "data" / "a\\x1b.png").write_bytes(b"")  # which only looks escaped
    names = [os.fsencode(odd), os.fsencode(tmp_path / "data" / "a\\x1b.png")]
    record = tmp_path / "bad_images.txt"
    assert BadImages(str(record), root="").report(np.array(names, object)) == 2
    assert_shown(record.read_text())
    names_there = record.read_text().splitlines()
    assert len(names_there) == 2 and BadImages(str(record)).names == names_there
    assert BadImages(str(record), root="").names == []  # both can be read
    BadImages(str(record), root="").report(np.array(names, object))
    odd.unlink()
    assert BadImages(str(record), root="").names == [printable(odd)]


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t=", "\r="])
def test_no_cell_is_a_formula(begin, tmp_path):
    name = f"{begin}cmd|' /C calc'!A0"
    (row,) = csv.reader(io.StringIO(csv_of([[name, -1.5, np.int64(-2), "0.5"]])))
    assert (
        row[0][0] in "'\\" and row[0].endswith("cmd|' /C calc'!A0") and row[1:] == ["-1.5", "-2", "0.5"]
    )
    Scores(np.eye(2, dtype=np.int64), 100.0).write(str(tmp_path / "confusion.csv"), [name, HOSTILE])
    text = (tmp_path / "confusion.csv").read_text()
    assert all(row[0][0] in "'\\" for row in [*csv.reader(io.StringIO(text))][1:])
    assert_shown(text)


def test_classes_of_the_projector_are_a_line_each(tmp_path):
    seen = np.zeros([2, 8, 8, 3], np.uint8), np.eye(2), np.arange(2)
    folder = types.SimpleNamespace(file=lambda name: str(tmp_path / name))
    write_projector(folder, types.SimpleNamespace(queries=seen), (HOSTILE, "b"))
    text = (tmp_path / "projector" / "metadata.tsv").read_text()
    assert text.startswith("'=a") and text.count("\n") == 2
    assert_shown(text)


def test_pages_show_it(tmp_path):
    assert_shown(elements.page(HOSTILE, elements.element("p", "a", title=HOSTILE)))
    page = sheet("t", "a", [(HOSTILE, [Found(HOSTILE, HOSTILE, 0.5)])], lambda content: None)
    assert_shown(page)
    assert "<b>" not in page


def test_a_class_is_called_by_what_can_be_shown(tmp_path):
    for name in (HOSTILE.replace("/", ""), "b"):
        write_colours(tmp_path / name, 2)
    source = Folder(str(tmp_path))
    assert_shown(source.class_name(0), keep="")
