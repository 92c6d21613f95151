"""The mechanisms, and what a model is made of, as flags and a saved run name it."""

import dataclasses

import tensorflow as tf

from mocotf.data.settings import ViewSettings
from mocotf.data.views.augmentations import Augmentation
from mocotf.errors import UserError
from mocotf.moco.end_to_end import EndToEnd
from mocotf.moco.mechanism import Setup
from mocotf.moco.memory_bank import MemoryBank
from mocotf.moco.model import MoCo
from mocotf.moco.npid import NPID
from mocotf.moco.simclr import SimCLR
from mocotf.moco.simsiam import SimSiam
from mocotf.nn.backbone import backbone_maker
from mocotf.nn.settings import EncoderSettings
from mocotf.optim.settings import OptimisationSettings
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
        SimCLR,
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
        optimisation: `OptimisationSettings`.
        view: the `Augmentation` that has the size, mean, std and channels of the images that the
            encoder takes.
        seed: of the run.
    """

    mechanism: type
    own: Settings
    encoder: EncoderSettings
    optimisation: OptimisationSettings
    view: Augmentation
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
        optimisation = OptimisationSettings.of(values)
        view = ViewSettings.of(values).augmentation
        encoder = EncoderSettings.of(values)
        return cls(mechanism, own, encoder, optimisation, view, int(values["seed"]))

    def check(self, **setup):
        """Checks the settings against what a run has; arguments as of `Setup`.

        Raises:
            UserError: they do not go together.
        """
        self.mechanism.check(self.own, Setup(self.encoder, **setup))

    def advice(self, **setup):
        """Returns what a user should know of the settings, texts; arguments as of `Setup`."""
        return self.mechanism.advice(self.own, Setup(self.encoder, **setup))

    def hints(self):
        """Returns what to try where a run is not healthy, see `Mechanism.hints`."""
        return self.mechanism.hints(self)

    def make_backbone(self):
        """Returns a new backbone, before it is adapted to anything."""
        return backbone_maker(self.encoder, self.view.size, self.view.channels)()

    @property
    def encoder_options(self):
        """The options of `build_encoder`, a dictionary."""
        return {
            "dim": self.encoder.moco_dim,
            "mlp": self.encoder.mlp,
            "bn_splits": self.encoder.bn_splits,
            "image_size": self.view.size,
            "mean": self.view.mean,
            "std": self.view.std,
            "channels": self.view.channels,
            "seed": self.seed,
        }

    def build_encoder(self, name):
        """Returns a new encoder, which has the name of one of the model's."""
        return self.mechanism.make_encoder(self.make_backbone, name=name, **self.encoder_options)

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
        model = self.mechanism.build(
            self.make_backbone,
            self.own,
            setup,
            augment=augment,
            probe_classes=probe_classes,
            remat=self.encoder.remat,
            **self.encoder_options,
        )
        optimizer = self.optimisation.make_optimizer(
            schedule,
            float16=model.compute_dtype == "float16",
            fixed_lr=dict.fromkeys(model.FIXED_LR, getattr(schedule, "lr", schedule)),
        )
        # Keras would wrap it in a loss scaling of its own.
        model.compile(optimizer, jit_compile=jit_compile, auto_scale_loss=False, **compile_options)
        return model


def others_settings(name):
    """Returns name → mechanisms that have it, of the settings that mechanism `name` has not."""
    own, found = settings_of(MECHANISMS[name].SETTINGS), {}
    for mechanism in MECHANISMS.values():
        for setting_name in settings_of(mechanism.SETTINGS).keys() - own.keys():
            found.setdefault(setting_name, []).append(mechanism)
    return found
