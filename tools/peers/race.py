"""Several programs that do the same work, timed in turns on the same cores."""

import json
import os
import statistics
import subprocess
import tempfile

from mocotf.errors import UserError


class Side:
    """A program that answers each line, such as an amount of work, with JSON, such as its seconds.

    Args:
        name: for messages.
        command: its arguments.
        log: path of a new file for what it says on stderr.
    """

    def __init__(self, name, command, log):
        self._name, self._log = name, log
        # Albumentations would ask the network for its newest version.
        environment = os.environ | {"CUDA_VISIBLE_DEVICES": "-1", "NO_ALBUMENTATIONS_UPDATE": "1"}
        with open(log, "wb") as stderr:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env=environment,
            )

    def ask(self, request):
        """Returns what the program answers; nothing else runs until then."""
        try:
            self._process.stdin.write(f"{request}\n")
            self._process.stdin.flush()
            return json.loads(self._process.stdout.readline())
        except (BrokenPipeError, json.JSONDecodeError) as error:
            self.close()
            with open(self._log, encoding="utf-8", errors="replace") as log:
                last = (log.read().strip() or "it said nothing").splitlines()[-1]
            raise UserError(
                f"{self._name} stopped with exit code {self._process.returncode}: {last}"
            ) from error

    def close(self):
        """Ends the program; an answer that it still owes is lost."""
        for pipe in (self._process.stdin, self._process.stdout):
            try:
                pipe.close()
            except BrokenPipeError:  # a line that it never read
                continue
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def start_sides(stack, commands):
    """Returns the running sides of name → command; `stack`, a `contextlib.ExitStack`, ends them."""
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    sides = {}
    for name, command in commands.items():
        sides[name] = Side(name, command, os.path.join(folder, name))
        stack.callback(sides[name].close)
    return sides


def race(sides, rounds, request):
    """Returns each side's answers, one a round; the order turns by one from round to round.

    Args:
        sides: name → `Side`.
        rounds: how often each is asked.
        request: what it is asked.
    """
    answers = {name: [] for name in sides}
    names = list(sides)
    for _ in range(rounds):
        for name in names:
            answers[name].append(sides[name].ask(request))
        names.append(names.pop(0))
    return answers


def ratios(seconds, other):
    """Returns how many times faster one side is than another, round by round."""
    return [b / a for a, b in zip(seconds, other, strict=True)]


def median_ratio(seconds, other):
    """Returns how many times faster one side is than another, the median over rounds.

    The two are divided round by round: what slows a machine for a while slows both.
    """
    return statistics.median(ratios(seconds, other))


def median_steps(answers, amount):
    """Returns the milliseconds a piece that each entry of the answers adds to the one before it.

    Args:
        answers: a round each, {name: seconds of the work up to and with it}.
        amount: pieces of work in an answer.
    """
    steps = {}
    before = dict.fromkeys(range(len(answers)), 0)
    for name in answers[0]:
        added = [answer[name] - before[r] for r, answer in enumerate(answers)]
        steps[name] = statistics.median(added) / amount * 1e3
        before = {r: answer[name] for r, answer in enumerate(answers)}
    return steps
