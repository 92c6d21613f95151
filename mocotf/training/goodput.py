"""Goodput: the share of a run's wall time in steps that counted, and what took the rest."""

import contextlib
import os
import time

PHASES = ("steps", "start", "compile", "data", "checkpoint", "evaluation", "lost")
_IMPORTED = time.time()
_begun = 0.0  # when `begin` was last called


class Account:
    """Seconds of wall time by phase, from a run's first start on; a clock that is in one phase always.

    `steps` are those that counted; `start` is from the start of a process to where its steps are
    compiled; `compile` the first execution after it; `data` waiting for images; `lost` what a resumed
    run has to do again, and the time in which it stood still.

    Args:
        spent: phase → seconds so far, see `resumed`; the phase that goes on is `start`.
    """

    def __init__(self, spent):
        self._spent = dict.fromkeys(PHASES, 0.0) | spent
        self.phase = "start"
        self._since = time.monotonic()

    @classmethod
    def resumed(cls, records, step, began):
        """Returns the account of a run that goes on.

        Args:
            records: those that it keeps.
            step: that it goes on from. What came between the last record and it is not on record, and
                taken to have been as fast as the steps before.
            began: when this process began, or went back, in seconds since the epoch.
        """
        spent = dict.fromkeys(PHASES, 0.0)
        known = [record for record in records if "spent" in record]
        if known:
            last = known[-1]
            spent |= last["spent"]
            since = max(0.0, began - last["time"])
            a_step = spent["steps"] / last["step"] if last["step"] else 0.0
            counted = min(since, (step - last["step"]) * a_step)
            spent["steps"] += counted
            spent["lost"] += since - counted
        spent["start"] += max(0.0, time.time() - began)
        return cls(spent)

    def enter(self, phase):
        """Ends the phase that goes on, and begins another."""
        now = time.monotonic()
        self._spent[self.phase] += now - self._since
        self.phase, self._since = phase, now

    @contextlib.contextmanager
    def during(self, phase):
        """Is in another phase inside."""
        before = self.phase
        self.enter(phase)
        yield
        self.enter(before)

    def note_wait(self, seconds):
        """Takes seconds of waiting for images out of the phase that goes on."""
        self._spent[self.phase] -= seconds
        self._spent["data"] += seconds

    def told(self):
        """Returns what a record says: `goodput`, from 0 to 1, and `spent`, phase → seconds."""
        self.enter(self.phase)
        spent = {phase: round(seconds, 3) for phase, seconds in self._spent.items()}
        return {"goodput": round(spent["steps"] / max(sum(spent.values()), 1e-3), 4), "spent": spent}


def describe(record):
    """Returns a line that says what `Account.told` does."""
    spent = record["spent"]
    total = max(sum(spent.values()), 1e-3)
    rest = ", ".join(f"{name} {spent[name] / total:.1%}" for name in PHASES[1:] if spent[name])
    return f"Goodput: {record['goodput']:.1%} of {total:.0f} s in steps that counted; {rest}."


def begin():
    """Has the next run of this process begin now, not with the process."""
    global _begun
    _begun = time.time()


def run_began():
    """Returns when the run that this process trains began, in seconds since the epoch."""
    return max(process_began(), _begun)


def process_began():
    """Returns when this process began, in seconds since the epoch; beside Linux, when it came here."""
    try:
        with open("/proc/self/stat", encoding="utf-8") as stat:
            ticks = int(stat.read().rpartition(")")[2].split()[19])
    except OSError:
        return _IMPORTED
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return time.time() - age
