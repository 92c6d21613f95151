"""The tests tell the faults that ports of MoCo have; tools/mutants.py makes them."""

import pytest

from tests import processes
from tools.mutants import run_mutant
from tools.planted.lists import Mutant
from tools.planted.lists import NotUsableError

FEW = "weight-decay-doubled,queue-not-wrapping,hue-not-wrapped"


def mutants(*arguments):
    return processes.start("tools/mutants.py", "--json", *arguments).wait(seconds=3600)


def test_every_mutant_fits_the_code():
    processes.succeed("tools/mutants.py", "--check")


@pytest.mark.slow
def test_a_few_mutants_are_caught():
    done = mutants(f"--only={FEW}", "--no-baseline")
    assert done.code == 0 and done.json == {"mutants": 3, "missed": [], "by_slow_tests": 0}, done


@pytest.mark.parametrize(
    ("new", "verdict"),
    [
        ("return x + 3", (True, "by tests/test_it.py::test_two_more")),
        ("return 2 + x", (False, "")),
        ("return y", "no assertion fails, the tests crash"),
        ("return (x", "mocotf/two.py is no Python: "),
        ("while True: pass", (True, "by the time-out of 4 s")),
    ],
)
def test_what_becomes_of_a_mutant(tmp_path, new, verdict):
    test = "from mocotf import two\ndef test_two_more(): assert two.more(1) == 3\n"
    files = {"mocotf/__init__.py": "", "mocotf/two.py": "def more(x):\n    return x + 2\n"}
    for path, text in (files | {"tests/test_it.py": test}).items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    seconds = 4 if "while" in new else 60
    mutant = Mutant("a", "wrong", "mocotf/two.py", ["tests/test_it.py"], False, ["return x + 2"], [new])
    if isinstance(verdict, str):
        with pytest.raises(NotUsableError, match=verdict):
            run_mutant(tmp_path, mutant, timeout=seconds)
    else:
        assert run_mutant(tmp_path, mutant, timeout=seconds) == verdict
    assert (tmp_path / "mocotf/two.py").read_text().endswith("return x + 2\n")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_all_mutants_are_caught():
    done = mutants()
    assert done.code == 0 and done.json["missed"] == [], done
    assert done.json["mutants"] >= 380 and done.json["by_slow_tests"] <= 8
