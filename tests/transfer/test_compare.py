"""The table of starts side by side."""

import math

import pytest

from mocotf.transfer.compare import summary
from mocotf.transfer.compare import table


def test_mean_and_standard_deviation_of_trials():
    found = summary([{"ap": 1.0, "ap50": 5.0}, {"ap": 3.0, "ap50": 5.0}])
    assert found == {"ap": (2.0, pytest.approx(math.sqrt(2))), "ap50": (5.0, 0.0)}
    mean, deviation = summary([{"ap": 1.0}])["ap"]
    assert mean == 1 and math.isnan(deviation)


def test_a_table_has_gains_over_the_first_start():
    rows = {
        "random": [{"ap": 1.0}, {"ap": 3.0}],
        "runs/a": [{"ap": 10.0}, {"ap": 12.0}],
        "b": [{"ap": 1.5}],
    }
    assert table({"ap": "AP"}, rows).splitlines() == [
        "| start | AP |",
        "| --- | ---: |",
        "| random | 2.0 ± 1.4 |",
        "| runs/a | 11.0 ± 1.4 (+9.0) |",
        "| b | 1.5 (-0.5) |",
    ]
