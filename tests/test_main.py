"""The command `mocotf`, which has all others."""

import re

import pytest

import mocotf
from mocotf import __main__ as all_commands
from tests import processes

LOADED = """
import sys
from mocotf.__main__ import main
main()
print(sorted({"absl", "keras", "numpy", "tensorflow"} & sys.modules.keys()))
"""


def test_help_lists_each_command_by_what_it_says_of_itself_and_imports_nothing():
    out = processes.python("-c", LOADED).wait().out
    assert out.splitlines()[-1] == "[]"
    listed = re.findall(r"^  (\S+) +[A-Z].*\.$", out, re.MULTILINE)
    assert listed == [*all_commands.commands()]
    assert "  train       Pre-trains an image encoder by Momentum Contrast.\n" in out
    assert all_commands.commands().keys() > {"train", "knn", "check-data", "preview"}
    assert not all_commands.commands().keys() & {"errors", "extras", "settings", "files"}


@pytest.mark.parametrize("name", ["check-data", "knn"])
def test_a_command_is_what_its_module_is_to_python(name):
    there = processes.run("__main__", name, "--helpfull")
    assert there == processes.run(name.replace("-", "_"), "--helpfull")
    assert "This command" in there.out  # flags of the main module


def test_a_command_gets_its_arguments_and_ends_as_it_does():
    done = processes.run("__main__", "check-data", "--data_dir=/nowhere")
    assert done.code == 1 and done == processes.run("check_data", "--data_dir=/nowhere")


@pytest.mark.parametrize(
    ("name", "nearest"), [("trian", "train"), ("check_data", "check-data"), ("xyz", "--help")]
)
def test_what_is_no_command_is_told_in_one_line_with_the_nearest(name, nearest):
    processes.refuse("__main__", [name], f"{name} is no command of mocotf; expected one of", 2)
    assert processes.run("__main__", name).err.endswith(f"; try: mocotf {nearest}\n")


def test_version_is_told():
    assert processes.run("__main__", "--version").out == f"mocotf {mocotf.__version__}\n"
