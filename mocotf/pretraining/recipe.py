"""--recipe=auto: the settings of a run, chosen by a look at the data and some steps on the device."""

import dataclasses
import functools
import math
import time

import keras
import tensorflow as tf

from mocotf import terminal
from mocotf.errors import UserError
from mocotf.pretraining import rules
from mocotf.pretraining.look import Facts
from mocotf.pretraining.look import look
from mocotf.pretraining.settings import ALL
from mocotf.pretraining.speed import try_steps
from mocotf.settings import AUTO
from mocotf.settings import Settings
from mocotf.settings import setting
from mocotf.settings import settings_of

MINUTES = 30.0
DECLARED = {name: one for settings in ALL for name, one in settings_of(settings).items()}


@dataclasses.dataclass(frozen=True)
class RecipeSettings(Settings):
    """Where the settings come from that are not given."""

    GROUP = "Recipe"

    recipe: str | None = setting(
        None,
        "Where settings come from that are not given. auto: chosen to suit the pictures, the "
        "device and --minutes, before a run begins; none: the defaults in --help; or the name of "
        "a file in flags/, such as v2, like --flagfile. Default: auto with --dataset=folder or hf "
        "and no --flagfile.",
        place=True,
    )
    minutes: float | None = setting(
        None, f"How long a run of --recipe=auto may take. Default: {MINUTES:g}.", low=0.1, place=True
    )


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The settings that were chosen for a run.

    Attributes:
        facts: what they were chosen by, `Facts`.
        minutes: that the run may take.
        choices: name → `Choice`.
    """

    facts: Facts
    minutes: float
    choices: dict[str, rules.Choice]

    @property
    def values(self):
        """Name → value."""
        return {name: choice.value for name, choice in self.choices.items()}

    def table(self):
        """Returns what a user is shown: each setting as a flag, and why it is so."""
        width = max(len(self._flag(name)) for name in self.choices)
        lines = [f"  {self._flag(name):<{width}}  {c.reason}" for name, c in self.choices.items()]
        time_given = "1 minute" if self.minutes == 1 else f"{self.minutes:g} minutes"
        head = f"--recipe={AUTO} chose for {self.facts}, {time_given}:"
        return "\n".join([head, *lines, "Each may be given instead."])

    def json(self):
        """Returns what is kept of it beside a run, an object."""
        chosen = {name: {"value": c.value, "reason": c.reason} for name, c in self.choices.items()}
        return {"minutes": self.minutes, "facts": dataclasses.asdict(self.facts), "settings": chosen}

    def _flag(self, name):
        return f"--{name}={DECLARED[name].text(self.choices[name].value)}"


def choose(read, given, source, strategy, minutes, workers=1):
    """Returns the `Recipe` of a run.

    Args:
        read: name → value of what was chosen → `Pretraining` settings, see `train_flags.read`.
        given: name → value of what the user gave.
        source: the `Source`.
        strategy: of the run; of several workers this one tries steps on a device of its own.
        minutes: that the run may take.
        workers: processes.

    Raises:
        UserError: there is nothing to learn from, no time, or settings contradict each other.
    """
    began = time.monotonic()
    with terminal.phase("looking at the pictures"):
        facts = look(source, strategy)
    own = strategy if workers == 1 else tf.distribute.OneDeviceStrategy("")

    def fitted(side, most_images):
        choices = rules.fit(facts, given, side, most_images)
        settings = read(choices.values)
        settings.check_devices(facts.replicas, workers)
        settings.check_source(source, facts.replicas, workers)
        return choices, settings

    def left(start):
        return 60 * minutes - (time.monotonic() - began) - start

    side = rules.sides(facts)[0]
    if given.keys() & {"epochs", "steps"}:
        choices, _ = fitted(side, None)
        rules.pace(choices, facts)
        return Recipe(facts, minutes, choices.made)
    choices, pace = _try(functools.partial(fitted, side), source, own)
    larger = rules.larger_side(facts, side, rules.epochs_in(facts, choices, left(pace.start), pace))
    if larger != side and not choices.is_given("image_size"):
        choices, pace = _try(functools.partial(fitted, larger), source, own)
    if left(pace.start) < pace.step:
        raise UserError(
            f"--minutes={minutes:g}: are over before the first step; expected more; try "
            f"--minutes={math.ceil(minutes + (pace.start + 10 * pace.step - left(pace.start)) / 60)}"
        )
    rules.pace(choices, facts, left(pace.start), pace)
    return Recipe(facts, minutes, choices.made)


def _try(fitted, source, strategy):
    """Returns (`Choices`, their `Pace`), of a batch that fits the device's memory.

    Args:
        fitted: most images of a batch, None for any number → (`Choices`, `Pretraining`).
        source, strategy: see `try_steps`.

    Raises:
        UserError: the batch that was given, or the smallest, does not fit.
    """
    choices, settings = fitted(None)
    while True:
        batch = choices.get("batch_size")
        try:
            with terminal.phase("trying some steps"):
                return choices, try_steps(settings, source, strategy)
        except tf.errors.ResourceExhaustedError as error:
            keras.backend.clear_session()
            choices, settings = fitted(max(1, batch // 2))
            if choices.get("batch_size") == batch:
                raise UserError(
                    f"--batch_size={batch}: does not fit the device's memory; try "
                    f"--batch_size={max(1, batch // 2)}, or a smaller --image_size"
                ) from error
