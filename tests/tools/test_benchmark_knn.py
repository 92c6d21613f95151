"""The program that measures the search for neighbours, and that all sides find the same."""

import functools

import pytest

from tests.tools.support import run_tool

SMALL = ["--queries=16", "--width=24", "--neighbours=7", "--rounds=2"]


run = functools.partial(run_tool, "benchmark_knn.py", *SMALL)


@pytest.mark.slow
def test_all_sides_find_the_same_neighbours():
    code, found, err = run("--banks=300", "--noimagenet")
    assert code == 0, err
    sides = found["banks"]["300"]
    assert sides.keys() == {"mocotf", "sklearn", "numpy"}
    for numbers in sides.values():
        assert numbers["same_places"] == 1
        assert 0 < numbers["min"] <= numbers["queries_per_second"] <= numbers["max"]
        assert 0 < numbers["base_mb"] < numbers["peak_mb"]
    assert sides["mocotf"]["times_slower"] == 1 and "imagenet" not in found


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--banks=5", "--banks=5: expected at least --neighbours=7"),
        ("--banks=a", "expected some numbers"),
    ],
)
def test_mistakes_take_one_line(flag, message):
    code, found, err = run(flag)
    assert code == 1 and found is None
    assert message in err and len(err.splitlines()) == 1
