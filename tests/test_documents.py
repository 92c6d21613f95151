"""Commands in README and docs: each names flags that its program has, and files that are there."""

import functools
import os
import re
import shlex

import pytest

from tests import processes
from tests.documents import DOCUMENTS
from tests.documents import PROGRAM
from tests.documents import commands

ALWAYS = {"flagfile", "recipe", "help", "helpfull"}


@functools.cache
def flags_of(program):
    """Returns the names of the flags that a program's help has; those of tools are of a file."""
    tool = os.path.exists(os.path.join(processes.ROOT, "tools", f"{program}.py"))
    module = f"tools/{program}.py" if tool else program.replace("-", "_")
    told = processes.run(module, "--helpfull")
    if told.code == 2:  # a tool that is no program of absl's
        told = processes.succeed(module, "--help")
    return {*re.findall(r"--(?:\[no\])?([\w-]+)", told.out)}


def unknown(command):
    """Returns the flags in a command that its program does not have."""
    program, found = PROGRAM.search(command), []
    known = flags_of(program[1])
    for word in shlex.split(command[program.end() :], comments=True):
        if word == "--":  # what follows is for the workers that it starts
            known = flags_of("train")
        elif word.startswith("--"):
            name = word[2:].partition("=")[0]
            if not {name, name.removeprefix("no")} & (known | ALWAYS):
                found.append(word)
    return found


@pytest.mark.parametrize("document", DOCUMENTS)
def test_documented_commands_name_flags_that_there_are(document):
    assert {line: odd for line in commands(document) if (odd := unknown(line))} == {}


def test_a_flag_that_is_gone_is_found():
    assert unknown("python -m mocotf.knn --model_dir=runs/mine --kk=3") == ["--kk=3"]
    assert len(commands("README.md")) > 5


def slug(heading):
    """Returns the anchor of a heading."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)|[`*]", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


@functools.cache
def anchors(path):
    """Returns the anchors of a document."""
    with open(path, encoding="utf-8") as file:
        text = re.sub(r"^```.*?^```", "", file.read(), flags=re.DOTALL | re.MULTILINE)
    return {slug(heading) for heading in re.findall(r"^#+ (.*)", text, re.MULTILINE)}


def broken(document):
    """Returns the links of a document that lead to no file, or to no heading of one."""
    path, found = os.path.join(processes.ROOT, document), []
    with open(path, encoding="utf-8") as file:
        links = re.findall(r"\]\(([^)\s]+)\)", file.read())
    for link in links:
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = os.path.normpath(os.path.join(os.path.dirname(path), name)) if name else path
        if not os.path.exists(target) or (anchor and anchor not in anchors(target)):
            found.append(link)
    return found


@pytest.mark.parametrize("document", [*DOCUMENTS, "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_lead_somewhere(document):
    assert broken(document) == []


def test_a_link_to_nothing_is_found(tmp_path):
    (tmp_path / "a.md").write_text(
        "# One\n[a](#one) [b](#two) [c](b.md) [d](a.md#one) [e](a.md#three)\n"
    )
    assert broken(str(tmp_path / "a.md")) == ["#two", "b.md", "a.md#three"]


def test_the_index_and_the_site_have_every_page():
    pages = {document.removeprefix("docs/") for document in DOCUMENTS if document != "README.md"}
    with open(os.path.join(processes.ROOT, "mkdocs.yml"), encoding="utf-8") as file:
        assert {*re.findall(r"[\w/]+\.md\b", file.read())} == pages
    with open(os.path.join(processes.ROOT, "docs/index.md"), encoding="utf-8") as file:
        assert pages - {*re.findall(r"\((\w[\w/]+\.md)", file.read())} == {"index.md"}


def test_each_guide_has_a_picture_and_pictures_are_small():
    for document in DOCUMENTS:
        with open(os.path.join(processes.ROOT, document), encoding="utf-8") as file:
            assert "](../figures/" in file.read() or "docs/guides/" not in document, document
    folder = os.path.join(processes.ROOT, "docs/figures")
    sizes = {name: os.path.getsize(os.path.join(folder, name)) for name in os.listdir(folder)}
    assert max(sizes.values()) <= 80_000 and sum(sizes.values()) <= 700_000, sizes
