"""Kills a small run at random moments, resumes it each time, and compares its end.

    python tools/chaos.py --kills=20 --mode=one_device --json
    python tools/chaos.py --kills=30 --mode=elastic --json

The run is the demo's in small; what follows -- are more of its flags. One copy of it is never killed.
The other is killed by SIGKILL, a third of the times while it starts, a third while it trains, a third
while it writes a checkpoint, and started again by the same command. What a mismatch is:
tools/differences.py. With two workers one of them is killed, and tools/launch_local.py ends the other.
Linux only.

With --mode=elastic each resume is on another of 1, 2 and 4 replicas. The first loss after it is held
against that of an unchanged process, resumed from the same checkpoint on the devices that the run had
before: `compared` says how often, for some are killed before a step, and `first_loss` is the largest
relative difference. A mismatch is one of more than 1e-6; a batch whose views have not the checksum of
those in the run that is never killed, or not always the same; or a step that is recorded, or shown by
TensorBoard, twice or not.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from mocotf.cli import command  # isort: skip  (first: it keeps TensorFlow's notices off the terminal)

import contextlib
import random
import signal
import subprocess
import tempfile
import time

from absl import flags

from mocotf.errors import UserError
from mocotf.training.checkpoints import steps_in
from tools.differences import compare
from tools.elastic import OPTIONS
from tools.elastic import Reshaped

FLAGS = flags.FLAGS
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TRAIN = [sys.executable, "-m", "mocotf.train"]
LAUNCH = [sys.executable, os.path.join(ROOT, "tools", "launch_local.py"), "-n", "2", "--"]
MODES = {
    "one_device": (TRAIN, ["--strategy=one_device"]),
    "two_replicas": (TRAIN, ["--strategy=mirrored", "--num_logical_devices=2"]),
    "two_workers": (LAUNCH, []),
    "elastic": ([sys.executable, os.path.join(ROOT, "tools", "noted_train.py")], OPTIONS),
}
SMALL = [
    "--flagfile=flags/demo.cfg",
    "--width=0.125",
    "--batch_size=64",
    "--moco_k=256",
    "--knn_every=0",
]
SMALL += ["--log_every=3", "--checkpoint_every=5", "--nofinal_files"]
MOMENTS = ("start", "training", "saving")
PATIENCE = 300  # seconds for the moment to come

flags.DEFINE_enum("mode", "one_device", list(MODES), "Devices of the run.")
flags.DEFINE_integer("kills", 20, "How often the run is killed.", lower_bound=1)
flags.DEFINE_integer("steps", None, "Of the run. Default: 40 for each kill.", lower_bound=1)
flags.DEFINE_integer("seed", 0, "Of the moments.")


class Same:
    """A run that is resumed by the command that began it; see `Reshaped`, a run that is not.

    Args:
        program: of a run.
        killed: its folder.
    """

    def __init__(self, program, killed):
        self._program, self._killed = program, killed

    def whole(self, folder):
        """Returns the command of a run that is not killed."""
        return [*self._program, f"--model_dir={folder}"]

    def next(self):
        """Returns the command that begins or resumes the run that is killed."""
        return self.whole(self._killed)

    def look(self, run_until):
        """Does nothing: all that counts is the end."""

    def found(self, whole, steps):
        """Returns (what differs from the run in the folder `whole`, what else is to be told)."""
        return compare(whole, self._killed, steps), {}


def main(*train_flags):
    chance = random.Random(FLAGS.seed)
    steps = FLAGS.steps or 40 * FLAGS.kills
    program, own = MODES[FLAGS.mode]
    with tempfile.TemporaryDirectory() as folder:
        whole, killed = (os.path.join(folder, name) for name in ("whole", "killed"))
        elastic = FLAGS.mode == "elastic"
        run = Reshaped(program, killed, chance) if elastic else Same(program, killed)
        options = [*SMALL, *own, *train_flags, f"--steps={steps}"]
        run_to_end([*run.whole(whole), *options])
        kills, resumes = 0, 0
        for kill in range(FLAGS.kills):
            moment = MOMENTS[kill % len(MOMENTS)]
            done = max(steps_in(os.path.join(killed, "checkpoints")), default=0)
            killed_at = kill_once([*run.next(), *options], killed, moment, chance)
            run.look(lambda command, come: run_until([*command, *options], come))
            kills += 1
            resumes += kill > 0
            print(
                f"kill {kills}: while {moment}, from step {done} to {killed_at} of {steps}", flush=True
            )
        run_to_end([*run.next(), *options])
        run.look(lambda command, come: run_until([*command, *options], come))
        resumes += 1
        mismatches, more = run.found(whole, steps)
    for mismatch in mismatches[:20]:
        print(f"differs: {mismatch}")
    found = {"mode": FLAGS.mode, "kills": kills, "resumes": resumes, "mismatches": len(mismatches)}
    found |= more
    print(found)
    command.print_json(found)
    return 1 if mismatches else 0


def start(arguments):
    return subprocess.Popen(
        arguments, cwd=ROOT, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def run_to_end(arguments):
    """Runs a command that must succeed."""
    process = start(arguments)
    _, err = process.communicate()
    if process.returncode:
        raise UserError(f"{' '.join(arguments)}: ended with {process.returncode}: {err}")


def run_until(arguments, come):
    """Runs a command until a condition holds, and kills it."""
    process = start(arguments)
    await_moment(come, process)
    process.kill()
    process.communicate()


def kill_once(arguments, folder, moment, chance):
    """Starts a run and kills it, or one of its workers; returns the step of its newest checkpoint."""
    checkpoints = os.path.join(folder, "checkpoints")
    before = steps_in(checkpoints)
    process = start(arguments)
    if moment == "start":
        time.sleep(chance.uniform(0, 8))
    else:
        await_moment(lambda: steps_in(checkpoints) != before, process)
        time.sleep(chance.uniform(0, 0.5))
    if moment == "saving":
        await_moment(lambda: os.path.exists(os.path.join(checkpoints, "partial")), process)
        time.sleep(chance.uniform(0, 0.02))
    victims = children(process.pid) if FLAGS.mode == "two_workers" else [process.pid]
    if victims:  # none before the launcher has started them
        with contextlib.suppress(ProcessLookupError):
            os.kill(chance.choice(victims), signal.SIGKILL)
    else:
        process.kill()
    process.communicate()
    if process.returncode == 0:
        raise UserError("the run ended before it was killed often enough; try more --steps")
    return max(steps_in(checkpoints), default=0)


def await_moment(come, process):
    deadline = time.monotonic() + PATIENCE
    while not come():
        if process.poll() is not None:
            raise UserError(f"the run ended with {process.returncode}: {process.stderr.read()}")
        if time.monotonic() > deadline:
            raise UserError(f"the run did nothing for {PATIENCE} s")
        time.sleep(0.0005)


def children(pid):
    """Returns the process numbers of a process's children."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="utf-8") as numbers:
        return [int(number) for number in numbers.read().split()]


if __name__ == "__main__":
    command.run(main, positional=None)
