"""Settings that fit: what pictures and a device call for, each with its reason.

The numbers come from the experiments in docs/reference/recipes.md.
"""

import math
from typing import NamedTuple

SIDES = (32, 48, 64, 96, 128, 160, 192, 224)  # of views, pixels
EPOCHS = 150  # that pictures are to be seen for before they are to be seen larger
MOST_EPOCHS = 2000
GROUP = 16  # images that share batch statistics
MEASUREMENTS = 10  # of accuracy in a run
MARGIN = 0.93  # of the time, that is planned for


class Choice(NamedTuple):
    """A setting's value, and the reason for it, a phrase."""

    value: object
    reason: str


class Choices:
    """Settings by name: those that a user gave, and those that are chosen beside.

    Args:
        given: name → value.

    Attributes:
        made: name → `Choice`, in the order in which they were made.
    """

    def __init__(self, given):
        self._given = given
        self.made = {}

    def choose(self, name, value, reason):
        """Sets what was not given; returns the value that holds."""
        if name in self._given:
            return self._given[name]
        self.made[name] = Choice(value, reason)
        return value

    @property
    def values(self):
        """Name → value of what was chosen."""
        return {name: choice.value for name, choice in self.made.items()}

    def is_given(self, *names):
        """Returns whether any of them was given."""
        return not self._given.keys().isdisjoint(names)

    def get(self, name, default=None):
        """Returns the value of a setting, `default` where nobody has chosen it."""
        return self._given.get(name, self.made[name].value if name in self.made else default)


def fit(facts, given, side, most_images=None):
    """Returns the `Choices` for `Facts`, all but how long to train.

    Args:
        facts: the `Facts`.
        given: name → value of the settings that a user gave.
        side: of views, pixels.
        most_images: of a batch, for which the device has memory; None where that is not known.
    """
    choices = Choices(given)
    _views(choices, facts, side)
    _encoder(choices, facts)
    _batch(choices, facts, most_images)
    _method(choices, facts)
    _optimisation(choices)
    return choices


def sides(facts):
    """Returns the sides of views that may be chosen, rising: what the pictures have, at most."""
    return [side for side in SIDES if side <= 1.2 * facts.side] or [SIDES[0]]


def larger_side(facts, side, epochs):
    """Returns the largest side of views that leaves time for enough epochs.

    Args:
        facts: the `Facts`.
        side: that was tried.
        epochs: that there would be time for.
    """
    fitting = [s for s in sides(facts) if epochs * (side / s) ** 2 >= EPOCHS]
    return fitting[-1] if fitting else sides(facts)[0]


def _views(choices, facts, side):
    size = choices.choose("image_size", side, f"pictures of about {facts.side} pixels, and the time")
    choices.choose("aug_plus", True, "MoCo v2's augmentation")
    choices.choose("crop_min", 0.2, "as published")
    colour = (0.0, 0.0) if facts.gray else (0.4, 0.1)
    choices.choose("jitter", (0.4, 0.4, *colour), "gray pictures" if facts.gray else "as published")
    blur = 0.5 if size >= 64 else 0.0
    choices.choose("blur_prob", blur, "as published" if blur else "small views have no detail to lose")


def _encoder(choices, facts):
    size = choices.get("image_size")
    if not choices.is_given("arch", "backbone"):
        arch, why = ("resnet18", "accelerator") if facts.accelerator else ("resnet10", "CPU")
        choices.choose("arch", arch, f"what the {why} has time for")
        choices.choose("width", 1.0 if facts.accelerator else 0.5, f"what the {why} has time for")
    if not choices.is_given("backbone"):
        stem = "small" if size <= 96 else "imagenet"
        choices.choose("stem", stem, f"views of {size} pixels")
    choices.choose("mlp", True, "MoCo v2's head")
    choices.choose("moco_dim", 128, "as published")


def _batch(choices, facts, most_images):
    most, why = 256 if facts.accelerator else 64, "many small steps"
    if most_images and most_images < most:
        most, why = most_images, "what there is memory for"
    unit = facts.replicas * choices.get("bn_splits", 1) * choices.get("grad_accum_steps", 1)
    wanted = min(most, max(8, _power_of_two(facts.pictures / 8)))
    batch = choices.choose("batch_size", -(-wanted // unit) * unit, why)
    share = batch // facts.replicas
    # A group of a few images has statistics of noise; of one group only there is nothing to shuffle.
    groups = max(share // GROUP, 1 if facts.replicas > 1 else 2)
    fitting = [n for n in range(1, min(8, groups) + 1) if share % n == 0]
    choices.choose("bn_splits", fitting[-1], f"groups of {share // fitting[-1]} images, shuffled")


def _method(choices, facts):
    batch = choices.get("batch_size")
    enqueued = batch * (1 + choices.get("symmetric", False))
    if choices.get("mechanism", "moco") == "moco":
        K = max(2 * enqueued, min(65536, _power_of_two(facts.pictures / 10)))
        choices.choose("moco_k", K, "a tenth of the pictures, two batches at least")
        choices.choose("moco_m", 0.99, "a run of some thousand steps")
    choices.choose("moco_t", 0.2, "MoCo v2's")


def _optimisation(choices):
    batch = choices.get("batch_size")
    if not choices.is_given("optimizer"):
        choices.choose("lr", round(0.06 * batch / 64, 4), f"batch of {batch}")
        choices.choose("weight_decay", 5e-4, "small data")
    if not choices.is_given("cos", "schedule", "exp_steps"):
        choices.choose("cos", True, "ends with the run, however long that is")
        choices.choose("cos_unit", "step", "epochs are short")


def pace(choices, facts, seconds=None, tried=None):
    """Chooses how long to train, and when something is done meanwhile.

    Args:
        choices: the `Choices` of `fit`.
        facts: the `Facts`.
        seconds: that are left for the run; None where the user gave its length.
        tried: the `Pace` that was measured.
    """
    steps_per_epoch = max(1, facts.pictures // choices.get("batch_size"))
    epochs = choices.get("epochs", 200)
    if seconds:
        epochs = epochs_in(facts, choices, seconds, tried)
        if epochs >= 1:
            epochs = choices.choose("epochs", min(MOST_EPOCHS, int(epochs)), "what there is time for")
        else:
            steps = max(1, int(epochs * steps_per_epoch))
            reason = f"{epochs:.1%} of an epoch: there is no time for more"
            choices.choose("steps", steps, reason)
            epochs = 1
    total = choices.get("steps") or epochs * steps_per_epoch
    epochs = max(1, total // steps_per_epoch)
    if epochs >= 10:
        warm = math.ceil(min(epochs / 5, max(epochs / 20, 100 / steps_per_epoch)))
        choices.choose("warmup_epochs", warm, "a rate that is large at once may spoil a new encoder")
    choices.choose("knn_every", max(1, epochs // MEASUREMENTS), "some ten measurements")
    choices.choose("log_every", min(100, max(1, total // 200)), "some two hundred records")
    choices.choose("checkpoint_every", max(1, total // 20), "some twenty checkpoints")
    choices.choose("knn_k", 20, "few pictures of a class")
    choices.choose("on_collapse", "retry", "a run that learns nothing goes back, and on more slowly")


def epochs_in(facts, choices, seconds, tried):
    """Returns how many epochs there is time for, beside the measurements of accuracy, a float."""
    epoch = facts.pictures / choices.get("batch_size") * tried.step
    left = MARGIN * seconds - 2 * tried.measurement  # at the start, of pixels and of the encoder
    times = min(MEASUREMENTS, left / (epoch + tried.measurement))
    return (left - times * tried.measurement) / epoch


def _power_of_two(number):
    """Returns the largest power of two that is at most `number`, 1 at least."""
    return 2 ** int(math.log2(max(1, number)))
