"""What a mechanism says of itself, and what all of them share."""

import dataclasses
import logging
import math
from collections.abc import Callable

import keras
import tensorflow as tf

from mocotf.data.views.augmentations import IMAGENET_MEAN
from mocotf.data.views.augmentations import IMAGENET_STD
from mocotf.errors import UserError
from mocotf.metrics import Metric
from mocotf.moco import batches
from mocotf.moco.probe import METRICS as PROBE_METRICS
from mocotf.moco.probe import Probe
from mocotf.nn.encoder import build_encoder
from mocotf.nn.plain import plain_backbone
from mocotf.nn.settings import EncoderSettings
from mocotf.settings import Settings
from mocotf.training.trainer import Trainer
from mocotf.training.trainer import norm

log = logging.getLogger(__name__)
Backbone = keras.Model | Callable[[], keras.Model]
_STD = "standard deviation of a coordinate; 0 is collapse"
_UNIFORM = "uniform_std", "1/√d"


@dataclasses.dataclass(frozen=True)
class Setup:
    """What a mechanism is checked against and built for.

    Attributes:
        encoder: of the query encoder, `EncoderSettings`.
        batch_size: images a step, over all replicas.
        replicas: of all workers.
        workers: processes.
        images: of the data set; None where that is not known yet.
        indexed: whether images are known by their index in the data set.
    """

    encoder: EncoderSettings
    batch_size: int | None = None
    replicas: int = 1
    workers: int = 1
    images: int | None = None
    indexed: bool = True


class Mechanism(Trainer):
    """An encoder, and a way to learn it from the views of images.

    A subclass in a file of its own, and its line in `mocotf.moco.config`, are all that a mechanism
    needs: flags, checks, records, charts and warnings are made of what it says here.

    Create and compile it inside a strategy's scope, with any optimizer of Keras's or
    `mocotf.optim.sgd.SGD`, and `fit` it on a dataset of batches: VIEWS views `[N, H, W, 3]`, or of
    other channels, or what `augment` makes views of; then with a probe labels `[N]`; then with INDEXED
    the images' indices, int64 `[N]`.

    Args:
        backbone: a `keras.Model` from images to features, of which copies are taken; or a function
            () → new model.
        seed: of all that the step draws.
        augment: makes the views of a batch, on the device; None where batches are views already.
        probe_classes: of a `Probe` that learns beside the encoder; 0 for none.
        mean, std: that views are normalised by, of each channel, of R, G, B in [0, 1].
        encoder: dim, mlp, bn_splits, remat, image_size and channels, see `build_encoder`.

    Attributes:
        query_encoder: an `Encoder`; trained by back-propagation, and what is kept.
        NAME: of the mechanism, as --mechanism takes it.
        SUMMARY: where targets come from, for --help.
        SETTINGS: class of its `Settings`.
        METRICS: `Metric`s of its records, the loss first.
        VIEWS: of an image, that a step takes.
        INDEXED: whether batches tell the images' indices in the data set.
        FIXED_LR: beginnings of the paths of variables whose learning rate follows no schedule.
        chance: the loss of a model that has learned nothing; None where there is no such level.
    """

    NAME: str
    SUMMARY: str
    SETTINGS: type[Settings]
    METRICS = (
        *Trainer.METRICS,
        Metric("feature_std"),
        Metric("embedding_std", "health/embedding_std", "Spread of the embedding", _STD, *_UNIFORM),
        *PROBE_METRICS,
    )
    VIEWS = 2
    INDEXED = False
    A = 1  # micro-batches that a replica's images are taken in
    FIXED_LR = ()
    chance = None

    def __init__(
        self,
        backbone,
        *,
        seed=0,
        augment=None,
        probe_classes=0,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        **encoder,
    ):
        super().__init__(name=self.NAME)
        self._encoder = encoder | {"mean": mean, "std": std, "seed": seed}
        self.query_encoder = self.make_encoder(backbone, name="query_encoder", **self._encoder)
        if about := getattr(self.query_encoder.backbone, "about", ""):
            log.warning("%s", about)
        self.seed = seed
        self.augment = augment
        width = self.query_encoder.backbone.output_shape[-1]
        self.probe = Probe(width, probe_classes) if probe_classes else None
        self.built = True

    @classmethod
    def check(cls, settings, setup):
        """Checks settings against what a run has; at the start, and again once the data are known.

        Args:
            settings: an instance of `SETTINGS`.
            setup: a `Setup`.

        Raises:
            UserError: they do not go together.
        """
        factors = cls.batch_factors(settings, setup)
        unit, batch = setup.replicas * math.prod(factors.values()), setup.batch_size
        if batch % unit:
            named = [f"{setup.replicas} replicas", *(f"--{name}={n}" for name, n in factors.items())]
            raise UserError(
                f"--batch_size={batch}: expected a multiple of {unit} ({' x '.join(named)}); "
                f"try {batch // unit * unit or unit}"
            )
        if setup.images is not None and setup.images < batch:
            fitting = setup.images // unit * unit
            raise UserError(
                f"--batch_size={batch}: the data set has only {setup.images} images; expected at least "
                f"one batch; try {f'--batch_size={fitting}' if fitting else 'more images'}"
            )

    @classmethod
    def is_directed(cls, settings):
        """Returns whether of two views the first is a query only, and the second a key only."""
        del settings
        return False

    @classmethod
    def batch_factors(cls, settings, setup):
        """Returns name → value of the settings that a replica's share of a batch is divided by."""
        del settings
        return {"bn_splits": setup.encoder.bn_splits}

    @classmethod
    def advice(cls, settings, setup):
        """Returns what `check` lets pass, but a user should know: texts; arguments as `check`."""
        del settings, setup
        return []

    @classmethod
    def hints(cls, config):
        """Returns kind of a trouble → flags and values to try, a text.

        Kinds are those that `Health` sees: "collapse" of the encoder and, if the mechanism can tell,
        "chance", the loss staying there, both beside a lower --lr; "leak"; "pixels" that do better.
        And "memory" that is short.

        Args:
            config: the `Config` of the run.
        """
        rates = config.optimisation
        return {
            "collapse": f"--warmup_epochs={rates.warmup_epochs + 5}",
            "pixels": f"--steps={2 * rates.steps}" if rates.steps else f"--epochs={2 * rates.epochs}",
            "memory": "--remat",
        }

    @staticmethod
    def make_encoder(backbone, **options):
        """Returns a new encoder; arguments as of `build_encoder`."""
        return build_encoder(backbone, **options)

    @classmethod
    def build(cls, backbone, settings, setup, **common):
        """Returns a new model; arguments as `check`; `common`: all that `Mechanism` takes."""
        raise NotImplementedError

    @property
    def trained_variables(self):
        """The variables that the optimizer trains."""
        return self.query_encoder.trainable_variables

    @property
    def C(self):  # noqa: N802  (the papers' letter)
        """Dimension of an embedding."""
        return self.query_encoder.head.output_shape[-1]

    @property
    def loss_dtype(self):
        """The type that losses are computed in, and what they need is kept in: at least float32."""
        return tf.float64 if self.query_encoder.compute_dtype == "float64" else tf.float32

    @property
    def backbone(self):
        """The backbone as it is now, a new `keras.Model` of Keras's own layers: the model that was
        given, with what it learned."""
        return plain_backbone(self.query_encoder.backbone)

    def fit(self, x=None, **options):
        """`keras.Model.fit`, without validation, on a `tf.data.Dataset` of batches.

        One of `two_crops` knows how many steps an epoch has.

        Raises:
            UserError: its batches are not what the model takes.
        """
        if isinstance(x, tf.data.Dataset):
            batches.check(x.element_spec, self)
            options.setdefault("steps_per_epoch", getattr(x, "steps_per_epoch", None))
        elif not isinstance(x, tf.distribute.DistributedDataset):
            raise UserError(
                f"fit: received a {type(x).__name__}; expected a tf.data.Dataset of batches of views, "
                "such as mocotf.two_crops returns"
            )
        return super().fit(x, **{"shuffle": False} | options)

    def steps_to_fill(self, batch_size):
        """Returns the steps until all negatives are encoded images: until then they are noise."""
        del batch_size
        return 0

    def start_keys(self):
        """Makes what else encodes images the copy of the query encoder that it starts as."""

    @property
    def most_images(self):
        """The most images of a batch, over all replicas; None for any number."""
        return None

    def arrange(self, dataset, first_step):
        """Returns a dataset of batches as the step takes them; its first is that of `first_step`."""
        del first_step
        return dataset

    def variable_groups(self):
        parts = {"query_encoder": self.query_encoder.variables}
        return parts | ({"probe": self.probe.named} if self.probe else {})

    def save_own_variables(self, store):
        """Lets Keras save, with the weights of layers, what is none: a queue, a bank, a probe."""
        super().save_own_variables(store)
        for name, variable in self._beside_layers().items():
            store[name] = variable.numpy()

    def load_own_variables(self, store):
        for name, variable in self._beside_layers().items():
            variable.assign(store[name])

    def _beside_layers(self):
        groups = self.variable_groups().items()
        dictionaries = {part: named for part, named in groups if isinstance(named, dict)}
        return {f"{part}.{n}": v for part, named in dictionaries.items() for n, v in named.items()}

    def watched(self, record, batch_size):
        del batch_size
        return {
            "embedding_std": record["feature_std"] / math.sqrt(self.C),
            "uniform_std": 1 / math.sqrt(self.C),
            "weight_norm": norm(self.query_encoder.trainable_variables),
        }

    def call(self, images, training=False):
        """Returns the query encoder's embeddings `[n, C]` of images `[n, H, W, 3]`."""
        return self.query_encoder(images, training=training)

    def unpack(self, batch):
        """Returns (views, labels, indices) of a replica's batch; () for what it does not have."""
        *batch, indices = batch if self.INDEXED else (*batch, ())
        *batch, labels = batch if self.probe else (*batch, ())
        return self.augment(*batch) if self.augment else batch, labels, indices

    def probe_features(self, features, labels):
        """Lets the probe learn of features `[n, …]`; returns what it reports."""
        return self.probe.learn(features, labels) if self.probe else {}

    def gradients(self, tape, loss):
        """Returns the gradients, for the optimizer, of a loss; `loss` is this replica's mean of it."""
        # The optimizer sums gradients over replicas; the method takes their mean.
        replicas = tf.distribute.get_replica_context().num_replicas_in_sync
        scale = self.optimizer.scale_loss(tf.ones_like(loss) / replicas)
        return tape.gradient(loss, [v.value for v in self.trained_variables], output_gradients=scale)
