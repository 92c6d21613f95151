"""What is measured while a run pre-trains: what a user may choose."""

import dataclasses

from mocotf.settings import Settings
from mocotf.settings import setting


@dataclasses.dataclass(frozen=True)
class MonitorSettings(Settings):
    """What is measured beside pre-training; nothing of it but the probe takes part in a step."""

    GROUP = "Measurements"

    knn_every: int = setting(
        1,
        "Epochs between kNN measurements, where there are labels, and galleries of nearest neighbours "
        "in TensorBoard; 0 for none.",
        low=0,
        neutral=True,
    )
    knn_bank: int = setting(
        50000,
        "At most so many labelled images to compare with, evenly picked.",
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
        "Where images have labels: a linear classifier of the features learns beside the encoder, "
        "which it does not touch; its top-1 on training views is recorded.",
    )
