"""What a grid tells as its runs end, and how long they took."""

import json
import os
import time

from mocotf.files import atomic_write
from tools.ablations import page
from tools.ablations import plan
from tools.ablations import running


class Diary:
    """Tells of runs as they end, and keeps their times in --out/times.json, also over interruptions.

    Args:
        out: folder of the runs, which is there.
        grid: name of the grid.
        runs: all its `Run`s.
        waiting: those to be run.
        jobs: at a time.

    Attributes:
        failed: names of the runs that did.
        seconds: name → seconds of a run.
    """

    def __init__(self, out, grid, runs, waiting, jobs):
        self._out, self._grid, self._jobs = out, grid, jobs
        self._count, self._left = len(runs), list(waiting)
        self._began = time.monotonic()
        self._path = os.path.join(out, "times.json")
        known = {}
        if os.path.exists(self._path):
            with open(self._path, encoding="utf-8") as file:
                known = json.load(file)
        self.failed = []
        self.seconds, self._whole = known.get("runs", {}), known.get("whole", {})
        self._expected = plan.seconds(waiting, jobs)

    @property
    def whole(self):
        """Seconds of the grid, over all interruptions."""
        return self._whole.get(self._grid, 0)

    def note(self, run, code, seconds):
        """Takes note of a run's end; see `running.run_all`."""
        self.seconds[run.name] = self.seconds.get(run.name, 0) + seconds
        self._save()
        if code is None:
            return
        self._left.remove(run)
        done = f"{self._count - len(self._left)}/{self._count}  {run.title}, seed {run.seed}:"
        if code:
            self.failed.append(run.name)
            print(f"{done} {running.failure(run, self._out, code, seconds)}", flush=True)
            return
        with open(os.path.join(self._out, run.name, "results.json"), encoding="utf-8") as file:
            found = json.load(file)
        knn = f"kNN {found['knn_top1']:.1f}" if "knn_top1" in found else f"loss {found['loss']:.3f}"
        print(f"{done} {knn}, {seconds:.0f} s; {self._rest()}", flush=True)

    def _rest(self):
        if not self._left:
            return "none left"
        left = plan.seconds(self._left, self._jobs)
        pace = (time.monotonic() - self._began) / max(self._expected - left, 1e-9)
        return f"{len(self._left)} left, about {page.duration(left * pace)}"

    def close(self):
        """Keeps the time of all."""
        self._whole[self._grid] = self._whole.get(self._grid, 0) + time.monotonic() - self._began
        self._save()

    def _save(self):
        atomic_write(
            self._path, json.dumps({"runs": self.seconds, "whole": self._whole}, indent=1) + "\n"
        )
