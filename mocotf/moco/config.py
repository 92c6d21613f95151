"""The mechanisms, and what a model is made of, as flags and a saved run name it."""

import dataclasses

import tensorflow as tf

from mocotf.errors import UserError
from mocotf.moco.end_to_end import EndToEnd
from mocotf.moco.mechanism import Setup
from mocotf.moco.memory_bank import MemoryBank
from mocotf.moco.model import MoCo
from mocotf.moco.npid import NPID
from mocotf.moco.probe import Probe
from mocotf.moco.simsiam import SimSiam
from mocotf.nn.settings import EncoderSettings
from mocotf.optim.loss_scale import LossScaledSGD
from mocotf.optim.sgd import SGD
from mocotf.settings import Settings
from mocotf.settings import setting
from mocotf.settings import settings_of

MECHANISMS = {
    mechanism.NAME: mechanism
    for mechanism in (
        MoCo,
        EndToEnd,
        MemoryBank,
        NPID,
        SimSiam,
    )
}
# Recipes have them, and may be taken to another mechanism by one flag.
CARRIED = {"moco_k", "moco_m", "moco_t"}


@dataclasses.dataclass(frozen=True)
class MechanismSettings(Settings):
    """Which mechanism."""

    GROUP = "Method"

    mechanism: str = setting(
        "moco",
        "Where the targets come from that queries are compared with. "
        + "; ".join(f"{name}: {mechanism.SUMMARY}" for name, mechanism in MECHANISMS.items())
        + ".",
        choices=tuple(MECHANISMS),
    )


@dataclasses.dataclass(frozen=True)
class Config:
    """The settings that decide the model.

    Attributes:
        mechanism: its class.
        own: its settings.
        encoder: `EncoderSettings`.
        momentum, weight_decay: of SGD.
        seed: of the run.
    """

    mechanism: type
    own: Settings
    encoder: EncoderSettings
    momentum: float
    weight_decay: float
    seed: int

    @classmethod
    def of(cls, values, given=None):
        """Returns the config of a name → value mapping, as `Settings.of` takes it, which may have more.

        Args:
            values: of all flags of `mocotf.train`.
            given: names of the values that a user gave; None: all of them.

        Raises:
            UserError: settings contradict each other, or one is of another mechanism.
        """
        name = MechanismSettings.of(values).mechanism
        mechanism = MECHANISMS[name]
        for other, having in others_settings(name).items():
            default = settings_of(having[0].SETTINGS)[other].default
            changed = getattr(having[0].SETTINGS.of(values), other) != default
            if changed and (given is None or other in given) and other not in CARRIED:
                raise UserError(
                    f"--{other}={values[other]} with --mechanism={name}: is for "
                    f"{' and '.join(one.NAME for one in having)} only; drop it"
                )
        own = mechanism.SETTINGS.of(values)
        own.check(given)
        rule = float(values["momentum"]), float(values["weight_decay"])
        return cls(mechanism, own, EncoderSettings.of(values), *rule, int(values["seed"]))

    def check(self, **setup):
        """Holds the settings against what a run has; arguments as of `Setup`.

        Raises:
            UserError: they do not go together.
        """
        self.mechanism.check(self.own, Setup(self.encoder, **setup))

    def advice(self, **setup):
        """Returns what a user should know of the settings, texts; arguments as of `Setup`."""
        return self.mechanism.advice(self.own, Setup(self.encoder, **setup))

    def build_encoder(self, name=None, *, remat=False):
        """Returns a new encoder."""
        return self.mechanism.make_encoder(self.encoder, name, remat)

    def build_model(
        self,
        schedule,
        augment=None,
        jit_compile=False,
        *,
        probe_classes=0,
        batch_size=None,
        images=None,
        **compile_options,
    ):
        """Returns a compiled model whose optimizer is built; call it in the strategy's scope.

        Keras's dtype policy decides its precision; under float16 the optimizer scales the loss.

        Args:
            schedule: step → learning rate.
            augment: see `Mechanism`.
            jit_compile: XLA compiles the step; on one replica.
            probe_classes: of an online `Probe`; 0 for none.
            batch_size: over all replicas; None: not checked, for mechanisms that need not know it.
            images: of the data set, for mechanisms with a bank.
            compile_options: more of `keras.Model.compile`.

        Raises:
            UserError: the batch or the images do not fit the mechanism.
        """
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        setup = Setup(self.encoder, batch_size, replicas, images=images)
        if batch_size:
            self.mechanism.check(self.own, setup)
        query_encoder = self.build_encoder("query_encoder", remat=self.encoder.remat)
        width = query_encoder.backbone.output_shape[-1]
        model = self.mechanism.build(
            query_encoder,
            self.own,
            setup,
            seed=self.seed,
            augment=augment,
            probe=Probe(width, probe_classes) if probe_classes else None,
        )
        rule = LossScaledSGD if model.compute_dtype == "float16" else SGD
        sgd = rule(
            schedule,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            fixed_lr=dict.fromkeys(model.FIXED_LR, getattr(schedule, "lr", schedule)),
        )
        # Keras would wrap it in a loss scaling of its own.
        compile_options |= {"jit_compile": jit_compile, "auto_scale_loss": False}
        model.compile(optimizer=sgd, **compile_options)
        model.optimizer.build(model.trained_variables)
        return model


def others_settings(name):
    """Returns name → mechanisms that have it, of the settings that mechanism `name` has not."""
    own, found = settings_of(MECHANISMS[name].SETTINGS), {}
    for mechanism in MECHANISMS.values():
        for setting_name in settings_of(mechanism.SETTINGS).keys() - own.keys():
            found.setdefault(setting_name, []).append(mechanism)
    return found
