"""What is measured of an encoder, and how: what a user may choose."""

import dataclasses

from mocotf.data.supervised import LABELS
from mocotf.settings import Settings
from mocotf.settings import setting


@dataclasses.dataclass(frozen=True)
class MonitorSettings(Settings):
    """What is measured beside pre-training; nothing of it but the probe takes part in a step."""

    GROUP = "Measurements"

    knn_every: int = setting(
        1,
        "Epochs between measurements: of kNN if there are labels, otherwise of retrieval, with "
        "pictures of nearest neighbours in TensorBoard; 0 for none, and no verdict from them.",
        low=0,
        neutral=True,
    )
    knn_bank: int = setting(
        50000,
        "At most this many labelled images to compare with, evenly picked.",
        low=1,
        neutral=True,
    )
    knn_k: int = setting(200, "Neighbours that vote.", low=1, neutral=True)
    knn_t: float = setting(0.07, "Temperature of the vote.", low=1e-6, neutral=True)
    knn_features: str = setting(
        "pooled",
        "What kNN compares: backbone features, or the head's output.",
        choices=("pooled", "embedding"),
        neutral=True,
    )
    probe: bool = setting(
        False,
        "If images have labels, train a linear classifier of the features beside the encoder, "
        "without affecting it, and record its top-1 on training views.",
    )


@dataclasses.dataclass(frozen=True)
class KNNSettings(Settings):
    """What `mocotf.knn` measures."""

    GROUP = "kNN"

    k: tuple[int, ...] | None = setting(
        None, "Numbers of neighbours that vote. Default: the run's --knn_k.", low=1
    )
    t: tuple[float, ...] | None = setting(
        None, "Temperatures of the vote. Default: the run's --knn_t.", low=1e-6
    )
    features: str | None = setting(
        None,
        "What is compared: backbone features, or the head's output. Default: the run's --knn_features.",
        choices=("pooled", "embedding"),
    )
    max_images: int | None = setting(
        None,
        "At most this many images to compare with, and as many queries, evenly picked. Default: all.",
        low=1,
    )


@dataclasses.dataclass(frozen=True)
class UntrainedSettings(Settings):
    """Which of a run's two encoders is measured."""

    GROUP = "Encoder"

    untrained: bool = setting(
        False, "Take the encoder as it was before the first step of its run: the baseline."
    )


@dataclasses.dataclass(frozen=True)
class PretrainedSettings(UntrainedSettings):
    """The encoder that a run goes on from."""

    # Not compared when a run is resumed: the encoder is told by its weights.
    pretrained: str | None = setting(
        None,
        "Run whose encoder is taken: a run directory, or a checkpoint, ckpt-STEP.",
        neutral=True,
    )


@dataclasses.dataclass(frozen=True)
class ProtocolSettings(Settings):
    """What is learned by supervision."""

    GROUP = "Labels"

    label_fraction: float = setting(
        1.0,
        "Share of the labelled images to train on, as many of each class as of another; the same ones "
        "for the same --label_seed.",
        low=1e-9,
        high=1,
    )
    label_seed: int = setting(0, "Seed of the choice by --label_fraction.", low=0)
    labels: str = setting(
        "given",
        "Train on labels that are shuffled or constant: the result must be chance, or something leaks.",
        choices=LABELS,
    )
    train_crop_min: float = setting(
        0.08, "Smallest share of the image's area in a crop.", low=1e-4, high=1
    )
    measure_every: int = setting(1, "Epochs between measurements of accuracy.", low=1, neutral=True)


@dataclasses.dataclass(frozen=True)
class LinearSettings(Settings):
    """What only the linear protocol has."""

    GROUP = "Linear classifier"

    lr_sweep: tuple[float, ...] | None = setting(
        None,
        "Learning rates to try in one run, one classifier each, instead of --lr.",
        low=1e-12,
    )
    cache_features: bool = setting(
        False, "Encode every image once, without augmentation, and solve for the classifier."
    )
    l2: tuple[float, ...] = setting(
        (1e-4, 1e-3, 1e-2, 1e-1),
        "With --cache_features: weight decay; of several, the best on a tenth of the training images.",
        low=0,
        least=1,
    )
