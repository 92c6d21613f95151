"""The part of tools/chaos.py in which a run that is killed goes on with another number of replicas."""

import os
import shutil
import time

from mocotf.training.checkpoints import steps_in
from mocotf.training.flags_file import is_run
from mocotf.training.run_dir import read_facts
from tools.differences import compare_batches
from tools.differences import loss_after
from tools.differences import records
from tools.differences import scalars

REPLICAS = (1, 2, 4)
CLOSE = 1e-6  # relative, of the first loss after a resume
OPTIONS = ["--arch=resnet10", "--bn_splits=4", "--log_every=1"]


def devices(replicas):
    """Returns the flags for so many replicas."""
    strategy = "one_device" if replicas == 1 else "mirrored"
    return [f"--strategy={strategy}", f"--num_logical_devices={replicas}"]


class Reshaped:
    """A run that is resumed on other devices each time, beside copies that are resumed on the same.

    Args:
        program: tools/noted_train.py as a command.
        folder: of the run; copies and files of noted batches are beside it.
        chance: a `random.Random`.
    """

    def __init__(self, program, folder, chance):
        self._program, self._folder, self._chance = program, folder, chance
        self._copy = f"{folder}-as-it-was"
        self._shapes, self._losses = [], []  # replicas; (of an unchanged process, of the changed one)

    def whole(self, folder):
        """Returns the command of a run that is not killed."""
        return self._command(folder, 1)

    def next(self):
        """Returns the command that begins or resumes the run on another number of replicas, and keeps a
        copy of it."""
        self._known = None
        shutil.rmtree(self._copy, ignore_errors=True)
        if is_run(self._folder):
            shutil.copytree(self._folder, self._copy)
            self._known = read_facts(self._folder)["replicas"]
        self._step = max(steps_in(os.path.join(self._folder, "checkpoints")), default=None)
        self._since = time.time()
        self._shapes.append(self._chance.choice([n for n in REPLICAS if n != self._known]))
        return self._command(self._folder, self._shapes[-1])

    def look(self, run_until):
        """Checks the first loss since `next`, if there is one, against an unchanged process's.

        Args:
            run_until: (command, condition) → runs it until the condition holds.
        """
        if self._step is None or (changed := self._first_loss(self._folder)) is None:
            return
        run_until(self._command(self._copy, self._known), lambda: self._first_loss(self._copy))
        self._losses.append((self._first_loss(self._copy), changed))

    def found(self, whole, steps):
        """Returns (what is not as it should be beside the run in the folder `whole`, what else is to be
        told)."""
        wrong = compare_batches(noted(whole), noted(self._folder), steps)
        wrong += [f"first losses {a} and {b}" for a, b in self._losses if apart(a, b) > CLOSE]
        for folder in (whole, self._folder):
            recorded = [record["step"] for record in records(folder) if "loss" in record]
            shown = [step for step, _ in scalars(folder)]
            if not recorded == shown == list(range(1, steps + 1)):
                wrong.append(f"{os.path.basename(folder)}: steps {recorded} recorded, {shown} shown")
        largest = max((apart(*pair) for pair in self._losses), default=None)
        told = {"compared": len(self._losses), "first_loss": largest, "batches": steps}
        return wrong, told | {"replicas": self._shapes}

    def _command(self, folder, replicas):
        return [*self._program, noted(folder), *devices(replicas), f"--model_dir={folder}"]

    def _first_loss(self, folder):
        return loss_after(folder, self._step, self._since)


def noted(folder):
    """Returns the path of the file of a run's batches."""
    return f"{folder}.batches"


def apart(a, b):
    """Returns the relative difference of two numbers."""
    return abs(a - b) / abs(a)
