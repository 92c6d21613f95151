"""Several programs that do the same work, timed in turns on the same cores."""

import json
import os
import select
import statistics
import subprocess
import tempfile

from mocotf.errors import UserError

ON_CPU = {"CUDA_VISIBLE_DEVICES": "-1"}


class Side:
    """A program that answers each line, such as an amount of work, with JSON, such as its seconds.

    Args:
        name: for messages.
        command: its arguments.
        log: path of a new file for what it says on stderr.
        environment: name → text of the variables that differ from this process's.
    """

    def __init__(self, name, command, log, environment=ON_CPU):
        self._name, self._log = name, log
        # Albumentations would ask the network for its newest version.
        environment = os.environ | {"NO_ALBUMENTATIONS_UPDATE": "1"} | environment
        with open(log, "wb") as stderr:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env=environment,
            )

    def ask(self, request, limit=None):
        """Returns what the program answers, within `limit` seconds; nothing else runs until then."""
        self.send(request)
        return self.receive(limit)

    def send(self, request):
        """Hands the program a request, whose answer is to be received later."""
        try:
            self._process.stdin.write(f"{request}\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise self._stopped() from error

    def fileno(self):
        """Returns the descriptor that `select` finds readable once there is an answer."""
        return self._process.stdout.fileno()

    def receive(self, limit=None):
        """Returns the answer to what was sent.

        Raises:
            UserError: the program has stopped, or did not answer within `limit` seconds and is ended.
        """
        if limit is not None and not select.select([self], [], [], max(0.0, limit))[0]:
            self.kill()
            raise UserError(f"{self._name} did not answer within {limit:.0f} s: {self._last_words()}")
        try:
            return json.loads(self._process.stdout.readline())
        except json.JSONDecodeError as error:
            raise self._stopped() from error

    def _stopped(self):
        self.close()
        code = self._process.returncode
        return UserError(f"{self._name} stopped with exit code {code}: {self._last_words()}")

    def _last_words(self):
        with open(self._log, encoding="utf-8", errors="replace") as log:
            return (log.read().strip() or "it said nothing").splitlines()[-1]

    def kill(self):
        """Ends the program at once."""
        self._process.kill()
        self._process.wait()

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


def start_sides(stack, commands, environment=ON_CPU):
    """Returns the running sides of name → command; `stack`, a `contextlib.ExitStack`, ends them.

    Args:
        environment: see `Side`; without it sides see no GPU.
    """
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    sides = {}
    for name, command in commands.items():
        sides[name] = Side(name, command, os.path.join(folder, name), environment)
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
