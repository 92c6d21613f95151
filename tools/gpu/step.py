"""The training step of several variants and of PyTorch, in turns: a part of tools/gpu_check.py.

Every side is a process. All start and compile, side by side or one after another, as asked; then one
at a time takes its steps, round by round, in an order that turns. Side by side compiling is bound by
the host's cores, and what autotuning measures is disturbed by the others.
"""

import contextlib
import json
import os
import select
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from mocotf.errors import UserError
from tools.gpu import part
from tools.gpu import variants
from tools.peers.race import Side

PEERS_FOLDER = os.path.join(part.ROOT, "tools", "peers")
MODEL = ("arch", "moco_k", "batch_size", "image_size", "precision")
UNTIMED = 3  # steps at the start
COMPILING = 0.75  # share of the time that sides may take until they are ready
ROUNDS = 25  # seconds that are left to rounds where even the first of ours takes longer
LONGEST = 60  # seconds that a side may take for a round; one that takes longer is left out
RESERVED = 0.93  # share of the card's memory that is given out: each process has a context as well
PEER_SHARE = 14e3 / 256 / 224**2  # MB of the card, for each image of a batch and pixel


class Turns:
    """The sides of a comparison, and what is known of each.

    Args:
        asked: the options.
        stack: a `contextlib.ExitStack` that ends the sides.

    Attributes:
        sides: name → `Side` of those that still run.
        found: name → results, JSON.
    """

    def __init__(self, asked, stack):
        self.asked = asked
        self.sides, self.found = {}, {}
        self._begun = {}
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        for name, (command, environment) in commands(asked).items():
            self.found[name] = {}
            self.sides[name] = Side(name, command, os.path.join(folder, name), environment)
            stack.callback(self.sides[name].kill)

    def compile(self):
        """Has every side take its first steps; those that are not done in time are left out."""
        seconds = min(self.asked["ready_seconds"], COMPILING * part.left(self.asked))
        deadline = time.monotonic() + seconds
        if self.asked["serial_compile"]:
            for name in list(self.sides):
                self._send(name, f"begin {UNTIMED}")
                self._receive_begun([name], deadline)
            return
        # PyTorch's give back the card's memory at the end, and get it one after another.
        later = [name for name in self.sides if name in variants.PEERS]
        now = [name for name in self.sides if name not in later]
        for name in now:
            self._send(name, f"begin {UNTIMED}")
        self._receive_begun(now, deadline, later)

    def _receive_begun(self, waiting, deadline, later=()):
        """Waits for sides that have begun; of those that are to begin later, one does at a time."""
        waiting, later, one = list(waiting), list(later), None
        while waiting or later:
            if later and one not in waiting:
                one = later.pop(0)
                self._send(one, f"begin {UNTIMED}")
                waiting.append(one)
            waiting = [name for name in waiting if name in self.sides]
            if not waiting:  # it ended before it could be asked
                continue
            ready = self._wait(waiting, deadline)
            if not ready and not any(self._has_begun(name) for name in self.asked["variants"]):
                # One of ours, late, tells more than none.
                ready = self._wait(waiting, self.asked["deadline"] - ROUNDS)
            for name in ready or list(waiting):
                waiting.remove(name)
                seconds = time.monotonic() - self._begun[name]
                with self._failures_of(name):
                    if not ready:
                        raise UserError(f"not ready after {seconds:.0f} s")
                    self.found[name] |= self.sides[name].receive() | {"ready_seconds": seconds}
            self.report()

    def _wait(self, names, deadline):
        """Returns those of the sides that have an answer, once there is one, [] where time is up."""
        seconds = max(0.0, deadline - time.monotonic())
        ready = select.select([self.sides[name] for name in names], [], [], seconds)[0]
        return [name for name in names if self.sides[name] in ready]

    def _has_begun(self, name):
        return "ready_seconds" in self.found[name]

    def take_turns(self):
        """Times rounds until there are enough, or no time is left; reports after each."""
        names = list(self.sides)
        seconds = {name: [] for name in names}
        for _ in range(self.asked["rounds"]):
            for name in names:
                if name not in self.sides or part.left(self.asked) < 1:
                    continue
                with self._failures_of(name):
                    limit = min(LONGEST, part.left(self.asked))
                    answer = self.sides[name].ask(f"steps {self.asked['steps']}", limit)
                    seconds[name].append(answer["seconds"])
                    self.found[name] |= {"loss": answer["loss"]} | self._speed(name, seconds[name])
            names = names[1:] + names[:1]
            self.report()

    def _speed(self, name, seconds):
        own = self.asked["variants"].get(name, {})
        images = self.asked["steps"] * own.get("batch_size", self.asked["batch_size"])
        speeds = [images / s for s in seconds]
        return {
            "images_per_second": statistics.median(speeds),
            "min": min(speeds),
            "max": max(speeds),
            "rounds": len(speeds),
        }

    def profile(self):
        """Traces the sides that are to be."""
        for name in self.asked["profile"]:
            if name in self.sides and part.left(self.asked) > 5:
                with self._failures_of(name):
                    limit = min(LONGEST, part.left(self.asked))
                    self.found[name]["profile"] = self.sides[name].ask("profile 5", limit)
                self.report()

    def report(self):
        """Reports what is known, and how fast each side is beside PyTorch's."""
        for peer in variants.PEERS:
            speed = self.found.get(peer, {}).get("images_per_second")
            for found in self.found.values():
                if speed and "images_per_second" in found:
                    found[f"x_{peer}"] = found["images_per_second"] / speed
        settings = {name: self.asked[name] for name in (*MODEL, "steps", "serial_compile")}
        part.report({"settings": settings, "sides": self.found})

    def _send(self, name, request):
        self._begun[name] = time.monotonic()
        with self._failures_of(name):
            self.sides[name].send(request)

    @contextlib.contextmanager
    def _failures_of(self, name):
        """Leaves out a side that fails, and keeps what it said."""
        try:
            yield
        except UserError as error:
            self.found[name]["error"] = str(error)[-400:]
            self.sides.pop(name).kill()


def commands(asked):
    """Returns name → (command, environment) of each side."""
    model = {name: asked[name] for name in MODEL}
    found = {}
    share = memory_share(asked)
    for name, settings in asked["variants"].items():
        environment, options = variants.split(settings, os.environ)
        text = json.dumps(model | share | options)
        found[name] = ([sys.executable, os.path.join(PEERS_FOLDER, "step_ours.py"), text], environment)
    for name in peers(asked):
        text = json.dumps(model | variants.PEERS[name])
        found[name] = ([asked["peers_python"], os.path.join(PEERS_FOLDER, "step_torch.py"), text], {})
    return found


def peers(asked):
    """Returns the names of PyTorch's sides: none where it is not to be had."""
    if not asked["peers"]:
        return []
    look = "import importlib.util as u, sys; sys.exit(u.find_spec('torch') is None)"
    looked = subprocess.run([asked["peers_python"], "-c", look], check=False)
    return [] if looked.returncode else list(asked["peers"])


def memory_share(asked):
    """Returns the part of the card's memory that each of our sides may take, {} where there is no card.

    Without it TensorFlow would take twice what it needs, and the last to come would find nothing.
    """
    query = ["nvidia-smi", "--query-gpu=memory.free", "--format=csv,noheader,nounits"]
    try:
        free = int(subprocess.run(query, capture_output=True, check=True).stdout.split()[0])
    except (OSError, subprocess.CalledProcessError, IndexError):
        return {}
    peer = PEER_SHARE * asked["batch_size"] * asked["image_size"] ** 2 if asked["peers"] else 0
    return {"memory_mb": int((RESERVED * free - peer) / max(1, len(asked["variants"])))}


def main():
    asked = part.options()
    with contextlib.ExitStack() as stack:
        turns = Turns(asked, stack)
        turns.compile()
        turns.report()
        turns.take_turns()
        turns.profile()
        turns.report()


if __name__ == "__main__":
    main()
