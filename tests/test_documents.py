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
