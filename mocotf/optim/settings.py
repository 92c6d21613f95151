"""How long and how fast to train: what a user may choose, of every command that trains."""

import dataclasses
import math

from mocotf.errors import UserError
from mocotf.optim import schedules
from mocotf.optim.adamw import AdamW
from mocotf.optim.lars import LARS
from mocotf.optim.loss_scale import LossScaledAdamW
from mocotf.optim.loss_scale import LossScaledLARS
from mocotf.optim.loss_scale import LossScaledSGD
from mocotf.optim.sgd import SGD
from mocotf.settings import Settings
from mocotf.settings import setting

# --optimizer → the rule, and what takes its place under float16.
RULES = {
    "sgd": (SGD, LossScaledSGD),
    "lars": (LARS, LossScaledLARS),
    "adamw": (AdamW, LossScaledAdamW),
}


@dataclasses.dataclass(frozen=True)
class OptimisationSettings(Settings):
    """How long and how fast to train."""

    GROUP = "Optimisation"

    epochs: int = setting(200, "Passes over the data.", low=1)
    steps: int | None = setting(None, "Optimizer steps in all; overrides --epochs.", low=1)
    batch_size: int = setting(256, "Images a step, over all replicas.", low=1)
    lr: float = setting(0.03, "Learning rate.", low=0)
    lr_scaling: str = setting(
        "none",
        "Multiply --lr by batch_size / 256, or its square root.",
        choices=("none", "linear", "sqrt"),
    )
    schedule: tuple[float, ...] = setting(
        (120.0, 160.0), "Epochs at which the rate falls to a tenth.", low=0
    )
    cos: bool = setting(False, "Cosine schedule instead of --schedule.")
    cos_unit: str = setting(
        "epoch", "How often --cos changes the rate; the papers: epoch.", choices=("epoch", "step")
    )
    exp_steps: int | None = setting(
        None,
        "Instead of --schedule: multiply the rate by --exp_factor every this many steps.",
        low=1,
    )
    exp_factor: float = setting(0.9, "Factor for --exp_steps.", low=0, high=1)
    first_epoch: int = setting(
        0,
        "The number that the schedule gives the first epoch: the papers' code counts from 0, the "
        "authors' CIFAR-10 notebook from 1.",
        low=0,
        high=1,
    )
    warmup_epochs: int = setting(0, "Epochs of linear warm-up, a factor on the schedule.", low=0)
    optimizer: str = setting(
        "sgd",
        "Optimizer: sgd and adamw as in PyTorch; lars, sgd with steps in proportion to the "
        "weights, for large batches.",
        choices=tuple(RULES),
    )
    momentum: float = setting(0.9, "Momentum of sgd and lars, the first beta of adamw.", low=0, high=1)
    weight_decay: float = setting(1e-4, "Coupled weight decay, on all parameters.", low=0)

    def check(self, given=None):
        for one, other in (("cos", "schedule"), ("cos", "exp_steps"), ("exp_steps", "schedule")):
            if getattr(self, one) and self.changed(other, given):
                raise UserError(f"--{one} and --{other} contradict each other: give one of them")
        for name, needed in (("cos_unit", "cos"), ("exp_factor", "exp_steps")):
            if self.changed(name, given) and not getattr(self, needed):
                raise UserError(f"--{name} does nothing without --{needed}: add it, or drop --{name}")

    def total_steps(self, steps_per_epoch):
        """Returns the steps of the whole run."""
        return self.steps or self.epochs * steps_per_epoch

    def steps_per_epoch(self, size, what="images"):
        """Returns the steps of an epoch of so many images.

        Raises:
            UserError: they make no batch; they are called `what`.
        """
        if size < self.batch_size:
            raise UserError(
                f"--batch_size={self.batch_size}: there are only {size} {what} to train on; expected "
                f"at least one batch; try --batch_size={size}"
            )
        return size // self.batch_size

    def make_optimizer(self, schedule, *, float16=False, lr_scales=None, fixed_lr=None):
        """Returns the optimizer; under float16 it scales the loss.

        Args:
            schedule, lr_scales, fixed_lr: see `FusedOptimizer`.
        """
        rule = RULES[self.optimizer][float16]
        more = {"lr_scales": lr_scales, "fixed_lr": fixed_lr}
        return rule(schedule, self.momentum, self.weight_decay, **more)

    def make_schedule(self, steps_per_epoch):
        """Returns the learning rate's schedule, step → rate."""
        scale = self.batch_size / 256
        lr = self.lr * {"none": 1, "linear": scale, "sqrt": scale**0.5}[self.lr_scaling]
        if self.cos:
            hold = steps_per_epoch if self.cos_unit == "epoch" else 1
            schedule = schedules.Cosine(lr, self.total_steps(steps_per_epoch), hold)
        elif self.exp_steps:
            schedule = schedules.Exponential(lr, self.exp_steps, self.exp_factor)
        else:
            milestones = [int(epoch * steps_per_epoch) for epoch in self.schedule]
            schedule = schedules.Milestones(lr, milestones)
        if self.first_epoch:
            schedule = schedules.Ahead(schedule, self.first_epoch * steps_per_epoch)
        if self.warmup_epochs:
            schedule = schedules.WarmUp(schedule, self.warmup_epochs * steps_per_epoch)
        return schedule


@dataclasses.dataclass(frozen=True)
class LayerRateSettings(Settings):
    """Learning rates of some of the layers of a network that is tuned whole."""

    GROUP = "Optimisation"

    lr_scale: tuple[str, ...] = setting(
        (),
        "LAYER:FACTOR,…: multiplies --lr for layers whose names begin with LAYER, the longest "
        "that fits; as conv1:.1,layer1:.1,fc:10.",
    )

    def check(self, given=None):
        _ = self.factors

    @property
    def factors(self):
        """Beginning of a layer's name → factor; raises as `check`."""
        pairs = {}
        for text in self.lr_scale:
            prefix, colon, factor = text.partition(":")
            try:
                pairs[prefix] = float(factor)
            except ValueError:
                colon = ""
            if not (prefix and colon and 0 <= pairs[prefix] < math.inf):
                raise UserError(
                    f"--lr_scale={text}: expected LAYER:FACTOR, such as layer1:.1, factors from 0"
                )
        return pairs
