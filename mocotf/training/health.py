"""Whether a run that computes learns anything, and the right thing: what its records say of it."""

import collections
import dataclasses
import logging
import statistics

log = logging.getLogger(__name__)

COLLAPSED = 0.05  # spread of the embeddings: 1 is uniform on the sphere
AT_CHANCE = 0.99  # of the loss that a model has which learned nothing
LEAK = 99.0  # percent
# Steps that are looked at together, where an epoch has fewer: an encoder that has just begun tells
# images no better apart than one that has collapsed.
PATIENCE = 200
SIGNS = ("collapse", "chance")
MOST_RETRIES = 3
SLOWER = 3  # the rate is divided by it in a retry


class CollapseError(Exception):
    """The run has collapsed, and is not to go on as it is."""


@dataclasses.dataclass(frozen=True)
class Collapse:
    """What was seen of a run that has collapsed.

    Attributes:
        step: of the record that it was first seen in.
        what: it is, and since when, a text.
        hint: flags and values to try.
    """

    step: int
    what: str
    hint: str


def signs(records):
    """Returns kind → what is wrong, a clause, with embeddings that are nearly all the same, or a loss
    that is no better than chance, by the median of records of steps; those may lack either."""

    def middle(name):
        known = [record[name] for record in records if record.get(name) is not None]
        return statistics.median(known) if known else None

    found = {}
    std, loss, chance = map(middle, ("feature_std", "loss", "chance"))
    if std is not None and std < COLLAPSED:
        same = "its embeddings are nearly all the same"
        found["collapse"] = f"{same} (feature_std {std:.2g}, healthy near 1)"
    if chance and loss > AT_CHANCE * chance:
        found["chance"] = f"its loss, {loss:.3f}, is that of chance, {chance:.3f}"
    return found


class Health:
    """Looks at the records of a run, warns of each thing once, and knows whether the run has collapsed.

    A run has collapsed when the records of an epoch, or of `PATIENCE` steps where those are more, have
    in their median embeddings that are nearly all the same, or a loss that is no better than chance.

    It is a function of the records in their order and of nothing else, so that a run which was resumed
    is judged as one that was not.

    Args:
        on_collapse: what is done about a collapse: "warn", "stop" or "retry".
        total_steps, steps_per_epoch: of the run.
        judged_after: a step; up to it negatives are noise, or the rate is warming up.
        lr: the learning rate, as the user gave it.
        hints: kind of a trouble → flags and values to try, see `Mechanism.hints`; of one that it lacks
            nothing is said.

    Attributes:
        on_collapse: as given.
        window: steps that are looked at together.
        healthy: the step that the last window without a sign began at; 0, or that of the last retry,
            where there was none since.
        collapse: a `Collapse`, None where there is none or it has passed.
        retries: so far.
        lr_factor: what the learning rate is multiplied by.
        given_up: the run has ended early, because retries did not help.
    """

    def __init__(self, on_collapse, total_steps, steps_per_epoch, judged_after, lr, hints):
        self.on_collapse = on_collapse
        self.window = max(PATIENCE, steps_per_epoch)
        self._total_steps = total_steps
        self._judged_after = judged_after
        self._lr = lr
        self._hints = hints
        self.read(())

    def read(self, records):
        """Forgets what it knows, and takes in records that were looked at before, without a warning."""
        self.healthy, self.collapse, self._pixels = 0, None, None
        self.retries, self.lr_factor, self.given_up = 0, 1.0, False
        self._begun, self._known, self._recent = self._judged_after, set(), collections.deque()
        for record in records:
            self._take(record)

    def look(self, record):
        """Takes in a new record, and warns of what it gives cause to, but of what is to be acted on."""
        for kind, text in self._take(record).items():
            if not (kind in SIGNS and self.must_act):
                log.warning("%s; try %s", text, self._hint(kind))

    @property
    def must_act(self):
        """Whether the run has collapsed, and is not to go on as it is."""
        return self.on_collapse != "warn" and self.collapse is not None

    @property
    def exhausted(self):
        """Whether there was a collapse after the last retry."""
        return self.on_collapse == "retry" and self.must_act and self.retries == MOST_RETRIES

    @property
    def next_retry(self):
        """What a record says of the next retry."""
        retry = self.retries + 1
        return {"retry": retry, "collapsed_at": self.collapse.step, "lr_factor": SLOWER**-retry}

    def summary(self):
        """Returns what is to be said of retries at the end of a run, a text; None without any."""
        if not self.retries:
            return None
        times = "once" if self.retries == 1 else f"{self.retries} times"
        told = f"the run collapsed, and was retried {times}, at last with --lr={self._rate:.2g}"
        if not self.given_up:
            return told
        return f"{told}, which did not help: it has ended early; try {self.collapse.hint}"

    def _take(self, record):
        """Takes in a record; returns kind → text of what is found for the first time."""
        step = record["step"]
        if "retry" in record:
            self.retries, self.lr_factor = record["retry"], record["lr_factor"]
            self.healthy, self.collapse = step, None
            self._begun = max(self._judged_after, step)
            self._known -= set(SIGNS)
            self._recent.clear()
            return {}
        if "loss" not in record:  # before the first step
            self._pixels = record.get("knn_top1_pixels")
            return {}
        if step <= self._judged_after:
            return {}
        self._recent.append(record)
        while self._recent[0]["step"] <= step - self.window:
            self._recent.popleft()
        self.given_up |= self.on_collapse == "retry" and "collapsed_at" in record
        signs = self._signs(step)
        self._note(step, signs)
        found = signs | self._others(record)
        found = {kind: text for kind, text in found.items() if kind not in self._known}
        self._known |= found.keys()
        return found

    def _note(self, step, signs):
        if self.given_up and self.collapse:
            return
        if not signs:
            self.collapse = None
            if step - self.window >= self._begun:
                self.healthy = step - self.window
        # At the last step it is too late for anything but a warning.
        elif self.collapse is None and step < self._total_steps:
            kind = next(iter(signs))
            self.collapse = Collapse(step, signs[kind], self._hint(kind))

    def _signs(self, step):
        """Returns kind → text of the signs of a collapse in a whole window."""
        since = step - self.window
        if since < self._begun:
            return {}
        found = signs(self._recent)
        if "chance" not in self._hints:
            found.pop("chance", None)
        means = {"collapse": "the encoder has collapsed", "chance": "nothing is learned"}
        return {
            kind: f"step {step}: {what}, since step {since:g}: {means[kind]}"
            for kind, what in found.items()
        }

    def _others(self, record):
        """Returns kind → text of what else is wrong."""
        step, found = record["step"], {}
        early = step < self._total_steps / 10
        if "leak" in self._hints and early and record["acc1"] > LEAK:
            found["leak"] = (
                f"step {step}: acc1 {record['acc1']:.1f} % so early: the pretext task is too easy"
            )
        knn = record.get("knn_top1")
        late = step >= self._total_steps / 2
        if late and knn is not None and self._pixels is not None and knn < self._pixels:
            found["pixels"] = (
                f"step {step} of {self._total_steps}: kNN {knn:.1f} is below that of raw pixels, "
                f"{self._pixels:.1f}"
            )
        return found

    @property
    def _rate(self):
        return self._lr * self.lr_factor

    def _hint(self, kind):
        # A lower rate, once that was tried so often, is no advice.
        if kind not in SIGNS or self.retries == MOST_RETRIES:
            return self._hints[kind]
        return f"--lr={self._rate / SLOWER:.2g} or {self._hints[kind]}"
