"""What mechanisms share that learn to tell an image's key from those of others."""

import dataclasses

from mocotf.errors import UserError
from mocotf.moco.mechanism import Mechanism
from mocotf.moco.metrics import CONTRAST
from mocotf.settings import Settings
from mocotf.settings import setting


@dataclasses.dataclass(frozen=True)
class ContrastiveSettings(Settings):
    """The loss of all of them."""

    GROUP = "Method"

    moco_t: float = setting(0.07, "Softmax temperature T.", low=1e-6)


@dataclasses.dataclass(frozen=True)
class NegativesSettings(ContrastiveSettings):
    """Of those that choose how many negatives there are."""

    moco_k: int = setting(
        65536,
        "Number of negatives: keys in moco's queue; entries drawn from the bank, by memory_bank "
        "for all images of a step, by npid for each. end_to_end uses those of the batch.",
        low=1,
    )


class Contrastive(Mechanism):
    """Queries are compared with keys, of which one is their own.

    Args:
        backbone: of f_q, see `Mechanism`.
        T: temperature.
        more: see `Mechanism`.
    """

    METRICS = (*CONTRAST, *Mechanism.METRICS[1:])

    def __init__(self, backbone, *, T=0.07, **more):
        super().__init__(backbone, **more)
        self.T = T

    @classmethod
    def hints(cls, config):
        found = super().hints(config)
        return found | ({"collapse": "--moco_t=0.2"} if config.own.moco_t < 0.2 else {})


def check_others(mechanism, setup):
    """Refuses a batch of one image, of a mechanism whose negatives are the others of the batch.

    Raises:
        UserError: it is one.
    """
    if setup.batch_size < 2:
        raise UserError(
            f"--batch_size={setup.batch_size} with --mechanism={mechanism.NAME}, whose negatives are "
            "the other images of the batch; expected at least 2; try 256"
        )
