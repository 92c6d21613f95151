"""Where a run's wall time goes, over all its starts."""

import time

import pytest

from mocotf.training import goodput
from mocotf.training.goodput import PHASES
from mocotf.training.goodput import Account

NOW = 1e9
SPENT = dict.fromkeys(PHASES, 0.0) | {"steps": 80.0, "start": 10.0, "compile": 5.0, "lost": 5.0}


@pytest.fixture
def clock(monkeypatch):
    """Returns a function that lets seconds pass."""
    now = [NOW]
    monkeypatch.setattr(time, "time", lambda: now[0])
    monkeypatch.setattr(time, "monotonic", lambda: now[0] - 5e8)

    def sleep(seconds):
        now[0] += seconds

    return sleep


def spent(account):
    return {phase: seconds for phase, seconds in account.told()["spent"].items() if seconds}


def test_all_time_since_the_process_began_is_of_one_phase(clock):
    account = Account.resumed([], 0, NOW - 3)
    clock(1)
    account.enter("compile")
    clock(5)
    account.note_wait(2)
    account.enter("steps")
    clock(10)
    with account.during("checkpoint"):
        clock(1)
    clock(1)
    assert spent(account) == {"start": 4, "compile": 3, "data": 2, "steps": 11, "checkpoint": 1}
    assert account.told()["goodput"] == round(11 / 21, 4)


@pytest.mark.parametrize(
    ("step", "counted"),
    [
        (40, 0),  # that of the last record
        (50, 20),  # ten steps of 80 / 40 seconds were saved after it
        (90, 60),  # no more than there was time for
    ],
)
def test_what_came_after_the_last_record_is_lost_but_for_steps_that_were_saved(clock, step, counted):
    records = [
        {"step": 20, "time": NOW - 100, "spent": SPENT | {"steps": 40.0}},
        {"step": 40, "time": NOW - 67, "spent": SPENT},
        {"step": 40, "retry": 1, "time": NOW - 50},
    ]
    account = Account.resumed(records, step, NOW - 7)
    expected = {"steps": 80 + counted, "start": 17, "compile": 5, "lost": 65 - counted}
    assert spent(account) == expected
    # All since the first start, which was 100 seconds before the last record that is kept.
    assert sum(spent(account).values()) == 167


def test_a_run_of_before_there_were_accounts_is_accounted_from_here(clock):
    assert spent(Account.resumed([{"step": 9, "time": NOW - 99}], 9, NOW - 3)) == {"start": 3}


def test_a_line_says_what_took_how_much():
    record = {"goodput": 0.8, "spent": SPENT}
    said = "Goodput: 80.0% of 100 s in steps that counted; start 10.0%, compile 5.0%, lost 5.0%."
    assert goodput.describe(record) == said


def test_a_process_knows_when_it_began():
    age = time.time() - goodput.process_began()
    assert time.process_time() / 64 < age < 86400 and age >= time.time() - goodput._IMPORTED - 0.1


def test_a_second_run_of_a_process_begins_where_the_first_ended():
    assert goodput.run_began() <= time.time() - time.process_time() / 64
    goodput.begin()
    assert 0 <= time.time() - goodput.run_began() < 1
