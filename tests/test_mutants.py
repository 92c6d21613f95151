"""The tests tell the faults that ports of MoCo have; tools/mutants.py makes them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
QUICK = "weight-decay-doubled,queue-not-wrapping,hue-not-wrapped"


def mutants(*arguments):
    """Returns the exit code and what was printed."""
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "mutants.py", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.returncode, done.stdout


def test_every_mutant_fits_the_code():
    code, out = mutants("--check")
    assert code == 0, out


def test_a_few_mutants_are_caught():
    code, out = mutants(f"--only={QUICK}", "--no-baseline", "--json")
    assert json.loads(out.splitlines()[-1]) == {"mutants": 3, "missed": []}, out
    assert code == 0


@pytest.mark.slow
def test_all_mutants_are_caught():
    code, out = mutants("--json")
    result = json.loads(out.splitlines()[-1]) if code < 2 else {"error": out}
    assert result.get("missed") == [], out
    assert code == 0 and result["mutants"] >= 24
