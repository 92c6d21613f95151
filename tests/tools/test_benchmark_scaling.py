"""The program that measures how the step grows with a setting."""

import functools

import pytest

from tests.tools.support import run_tool

SMALL = ["--arch=resnet10", "--image_size=32", "--moco_k=256", "--batch_size=8", "--rounds=2"]


run = functools.partial(run_tool, "benchmark_scaling.py", *SMALL)


@pytest.mark.slow
def test_cases_are_measured_in_turns_and_held_against_the_first():
    code, found, err = run("--vary=replicas", "--values=1,2")
    assert code == 0, err
    one, two = found["cases"].values()
    assert list(found["cases"]) == ["1", "2"] and one["times_first"] == 1
    assert 0 < two["step_ms_min"] <= two["step_ms"] <= two["step_ms_max"]
    assert two["images_per_second"] == pytest.approx(8e3 / two["step_ms"])
    assert one["peak_mb"] > one["base_mb"] > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--values=8,many"], "--values=8,many: many:"),
        (["--vary=bn_splits", "--values=1,3"], "expected a multiple of 3"),
        (["--vary=moco_k", "--values=4"], "moco_k 4: expected at least batch_size 8"),
    ],
)
def test_mistakes_take_one_line(arguments, message):
    code, found, err = run(*arguments)
    assert code == 1 and found is None
    assert message in err and len(err.splitlines()) == 1
