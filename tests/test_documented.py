"""Commands and Python of README and docs do what they are printed for: each is run, small."""

import glob
import os
import shlex
import shutil

import pytest

from tests import documented
from tests import stand_ins
from tests.documents import DOCUMENTS
from tests.documents import PROGRAM
from tests.documents import typed
from tests.processes import ROOT
from tests.processes import start

LARGE = 1 << 20  # bytes
PATIENCE = 1800  # seconds: a detector of a ResNet-50 is compiled and saved


def entry_of(text, table):
    """Returns the part of a command or a block that a table has; None where it has none."""
    return next((part for part in table if part in text), None)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_all_that_one_types_has_an_entry(document):
    assert [text for kind, text in typed(document) if entry_of(text, KINDS[kind][0]) is None] == []


def test_each_entry_is_of_something_that_one_types():
    there = [one for document in DOCUMENTS for one in typed(document)]
    for kind, (table, _) in KINDS.items():
        assert table.keys() - {entry_of(text, table) for what, text in there if what == kind} == set()
    assert entry_of("python -m mocotf.unheard --of=it", documented.COMMANDS) is None


@pytest.fixture(scope="module")
def given(once):
    return once("documented", stand_ins.write_all)


def words_of(command, folder):
    """Returns the words of a command after its program, of which none stands for something else."""
    end = PROGRAM.search(command).end()
    for word in shlex.split(command[end:].partition(";")[0], comments=True):
        word = documented.WORDS.get(word, word)
        if word is None:
            continue
        word = word.replace("$seed", "0")
        if "*" in word:
            yield from sorted(glob.glob(word, root_dir=folder))
        else:
            yield word


def run_command(command, folder):
    """Returns the `Result` of a documented command, run small."""
    program, small = (
        PROGRAM.search(command),
        documented.COMMANDS[entry_of(command, documented.COMMANDS)],
    )
    tool = f"{folder}/tools/{program[1]}.py"
    module = tool if os.path.exists(tool) else program[1]
    words = [*words_of(command, folder)]
    one = start(module, *words, *shlex.split(small), cwd=folder, env={"PYTHONPATH": ROOT})
    return one.wait(PATIENCE)


def run_python(block, folder):
    """Returns the `Result` of a documented block of Python, run small."""
    before, changes = documented.PYTHON[entry_of(block, documented.PYTHON)]
    for old, new in changes.items():
        assert old in block, old
        block = block.replace(old, new)
    (folder / "block.py").write_text(f"{before}\n{block}")
    return start(str(folder / "block.py"), cwd=folder).wait(PATIENCE)


def copy(source, target):
    """Copies a file, or where it is large links to it: checkpoints are written once."""
    (os.link if os.path.getsize(source) > LARGE else shutil.copy2)(source, target)


@pytest.mark.slow
@pytest.mark.parametrize("document", [document for document in DOCUMENTS if typed(document)])
def test_what_a_document_has_one_type_works(document, given, tmp_path):
    folder = tmp_path / "folder"
    shutil.copytree(given, folder, symlinks=True, copy_function=copy)
    shutil.copytree(os.path.join(ROOT, "docs"), folder / "docs")
    for path, kind in documented.GIVEN.get(document, {}).items():
        shutil.copytree(folder / "given" / kind, folder / path, copy_function=copy)
    wrong = {}
    for kind, text in typed(document):
        table, run_one = KINDS[kind]
        if isinstance(table[entry_of(text, table)], documented.Parsed):
            continue
        done = run_one(text, folder)
        if done.code:
            wrong[text] = f"{done.code}: {(done.err or done.out)[-2000:]}"
    assert not wrong, "\n".join(f"{text}\n    {said}" for text, said in wrong.items())


KINDS = {"command": (documented.COMMANDS, run_command), "python": (documented.PYTHON, run_python)}
