"""Claims of papers that runs are held against."""

import math

import pytest
from absl.testing import flagsaver

from mocotf.cli import train_flags
from tests import processes
from tests.commands import set_flags
from tools.ablations import claims
from tools.ablations import plan
from tools.ablations.claims import ABOVE
from tools.ablations.claims import EQUAL
from tools.ablations.claims import NOT_BELOW
from tools.ablations.claims import Claim
from tools.ablations.claims import find
from tools.ablations.signs import LONGER
from tools.ablations.signs import SIGNS

RUNS = {
    f"{row}{seed}": {"state": "done", "knn_top1": value + offset, "acc1": value}
    for row, value in {"a": 50.0, "near": 49.5, "low": 40.0}.items()
    for seed, offset in enumerate((-1.0, 0.0, 1.0))
}  # of each row a deviation of 1
RUNS |= {"failed0": {"state": "failed"}, "one0": {"state": "done", "knn_top1": 60.0, "acc1": 1.0}}
ROWS = [
    {"name": name, "runs": [run for run in RUNS if run[:-1] == name]}
    for name in ("a", "near", "low", "failed", "one")
]
ERROR = math.sqrt(2 / 3)


@pytest.mark.parametrize(
    ("row", "other", "sign", "verdict"),
    [
        ("a", "low", ABOVE, "agrees"),
        ("low", "a", ABOVE, "opposite"),
        ("a", "near", ABOVE, "not told apart"),
        ("a", "low", NOT_BELOW, "agrees"),
        ("a", "near", NOT_BELOW, "agrees"),  # surely not 2 points below
        ("near", "a", NOT_BELOW, "not told apart"),
        ("low", "a", NOT_BELOW, "opposite"),
        ("a", "near", EQUAL, "not told apart"),  # perhaps more than 2 points above
        ("a", "low", EQUAL, "opposite"),
        ("a", "failed", ABOVE, "not run"),
    ],
)
def test_a_claim_holds_where_the_difference_is_above_its_error(row, other, sign, verdict):
    assert find(Claim("", row, other, sign, ""), ROWS, RUNS).verdict == verdict


def test_the_error_is_that_of_all_rows_and_says_how_many_seeds_would_tell():
    found = find(Claim("", "a", "near", ABOVE, ""), ROWS, RUNS)
    assert (found.difference, found.error) == (0.5, pytest.approx(ERROR))
    assert found.times == pytest.approx((claims.POWER * ERROR / 0.5) ** 2)
    alone = find(Claim("", "one", "low", ABOVE, ""), ROWS, RUNS)
    assert (alone.difference, alone.error) == (20.0, pytest.approx(math.sqrt(1 + 1 / 3)))
    one = [row for row in ROWS if row["name"] == "one"]
    assert find(Claim("", "one", "one", ABOVE, ""), one, RUNS) == ("not told apart", 0.0, None, None)


def test_what_learns_nothing_has_an_error_of_its_own():
    wild = {
        f"wild{seed}": {"state": "done", "knn_top1": top1} for seed, top1 in enumerate((10, 20, 30))
    }
    runs = {name: run | {"knn_top1_pixels": 35.0} for name, run in (RUNS | wild).items()}
    rows = [*ROWS, {"name": "wild", "runs": list(wild)}]
    assert find(Claim("", "a", "low", ABOVE, ""), rows, runs).error == pytest.approx(ERROR)
    found = find(Claim("", "a", "wild", ABOVE, ""), rows, runs)
    assert found.error == pytest.approx(math.sqrt((1 + 100) / 3))


def test_the_table_says_what_was_published_and_what_was_found():
    shown = [
        Claim("it falls", "a", "low", ABOVE, "much"),
        Claim("it rises", "a", "near", ABOVE, "", "acc1"),
        Claim("it fails", "a", "failed", ABOVE, "fails"),
    ]
    lines = claims.table(shown, ROWS, RUNS).splitlines()
    assert lines[2] == "| it falls | kNN | much | +10.0 ± 0.8 | agrees |"
    assert lines[3] == "| it rises | acc1 |  | +0.5 ± 0.0 | agrees |"
    assert lines[4] == "| it fails | kNN | fails | – | not run |"


@flagsaver.flagsaver
def test_the_papers_claims_are_of_rows_that_train_takes():
    set_flags(f"--flagfile={processes.ROOT}/flags/signs.cfg", "--data_dir=nowhere")
    assert plan.choose("signs") == [SIGNS] and SIGNS not in plan.choose("default")
    options = {"seeds": range(3), "reduced": False, "threads": 1}

    def steps_per_epoch(batch_size):
        return 20000 // batch_size

    ((_, rows),) = plan.expand([SIGNS], "nowhere", steps_per_epoch, **options)
    found = {row.name: runs for row, runs in rows}
    assert len(plan.runs_of([(SIGNS, rows)])) == 3 * len(SIGNS.rows) == 42
    for claim in SIGNS.claims:
        assert claim.row in found and claim.other in found
    steps = train_flags.read().training.optimisation.total_steps(20000 // 128)
    shares = {row.name: found[row.name][0].steps / steps for row in SIGNS.rows}
    assert shares["m 0"] == 1 and shares["SimCLR, in the time of the base"] == pytest.approx(0.7)

    ((_, rows),) = plan.expand(plan.choose("signs_longer"), "nowhere", steps_per_epoch, **options)
    longer = {row.name: runs[0] for row, runs in rows}
    assert longer["MoCo v2 (the base recipe)"].name == found["MoCo v2 (the base recipe)"][0].name
    assert {name for claim in LONGER.claims for name in (claim.row, claim.other)} < longer.keys()
    for name, share in (("MoCo v2", 2), ("K 256", 2), ("linear head", 2), ("SimSiam", 1.4)):
        assert longer[f"{name}, twice as long"].steps == pytest.approx(share * steps)
