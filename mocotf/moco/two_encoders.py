"""What mechanisms share whose keys come from an encoder of their own."""

import dataclasses

from mocotf.errors import UserError
from mocotf.moco.contrastive import Contrastive
from mocotf.moco.contrastive import ContrastiveSettings
from mocotf.moco.momentum import copy_weights
from mocotf.moco.shuffle import SHUFFLES
from mocotf.moco.shuffle import encode_shuffled
from mocotf.moco.shuffle import shuffle_keys
from mocotf.nn.batch_norm import batch_norms
from mocotf.settings import setting


@dataclasses.dataclass(frozen=True)
class TwoEncodersSettings(ContrastiveSettings):
    """How pairs of views become queries and keys."""

    GROUP = "moco, end_to_end"

    shuffle_bn: str = setting(
        "gather",
        "Where key images are permuted over replicas and BN groups. gather: in the step, for "
        "which each replica gathers all of them; input: in the input pipeline, so that only keys "
        "travel; off: nowhere.",
        choices=SHUFFLES,
        formerly={"true": "gather", "false": "off"},
    )
    symmetric: bool = setting(False, "Sum the loss of both directions; enqueues 2 keys an image.")

    def check(self, given=None):
        super().check(given)
        if self.shuffle_bn == "input" and self.symmetric:
            raise UserError(
                "--shuffle_bn=input with --symmetric: key images are queries too, and to place them "
                "twice saves nothing; try --shuffle_bn=gather"
            )


SHARED = "shared"  # key encoder: the query's own


class TwoEncoders(Contrastive):
    """A query encoder f_q, and a key encoder f_k that starts as its copy.

    Args:
        backbone: of both encoders, see `Mechanism`.
        key_backbone: of f_k, if it is to be of another structure, with a start of its own; or SHARED:
            f_k is f_q.
        symmetric: sum the loss of both directions, each view once query and once key.
        shuffle: who permutes key images over replicas and BN groups: "gather" the step, which gathers
            them; "input" the input pipeline, see `shuffle_keys`; "off" nobody.
        more: see `Contrastive`.

    Attributes:
        key_encoder: an `Encoder`, of the query encoder's structure or `key_backbone`'s.
    """

    KEYS_REMAT = False  # whether keys have a backward pass, in which memory may be saved

    def __init__(self, backbone, *, key_backbone=None, symmetric=False, shuffle="gather", **more):
        super().__init__(backbone, **more)
        remat = self.KEYS_REMAT and self.query_encoder.remat
        options = self._encoder | {"remat": remat, "name": "key_encoder"}
        self._shares = key_backbone == SHARED
        self._copies = key_backbone is None
        self.key_encoder = (
            self.query_encoder
            if self._shares
            else self.make_encoder(key_backbone or backbone, **options)
        )
        self.symmetric = symmetric
        # Where no statistics are shared there is nothing to hide.
        self.shuffle = shuffle if batch_norms(self.key_encoder) else "off"
        self.start_keys()

    @classmethod
    def check(cls, settings, setup):
        super().check(settings, setup)
        if settings.shuffle_bn == "input" and setup.workers > 1:
            raise UserError(
                f"--shuffle_bn=input with {setup.workers} workers: no input pipeline has the key "
                "images of all; try --shuffle_bn=gather"
            )

    @classmethod
    def is_directed(cls, settings):
        return not settings.symmetric

    @classmethod
    def advice(cls, settings, setup):
        if setup.replicas * setup.encoder.bn_splits > 1 or setup.encoder.backbone:
            return []
        return [
            "one BN group: keys share their batch statistics with their queries, which shuffled BN is "
            "to prevent; try --bn_splits=8; see docs/start/not_learning.md"
        ]

    @classmethod
    def hints(cls, config):
        found = super().hints(config)
        through_norm = config.own.shuffle_bn == "off" or config.encoder.bn_splits < 8
        leak = "--shuffle_bn=gather --bn_splits=8" if through_norm else "--crop_min=0.08"
        return found | {"chance": found["collapse"], "leak": leak}

    def start_keys(self):
        """Makes f_k the copy of f_q that it starts as, if it does: θk ← θq, BN statistics too."""
        if self._copies:
            copy_weights(self.query_encoder, self.key_encoder)

    def arrange(self, batches, first_step):
        if self.shuffle != "input":
            return batches
        replicas = self.distribute_strategy.num_replicas_in_sync
        return shuffle_keys(batches, self.seed, first_step, replicas, self.A)

    def variable_groups(self):
        query, *rest = super().variable_groups().items()
        keys = [] if self._shares else [("key_encoder", self.key_encoder.variables)]
        return dict([query, *keys, *rest])

    def directions(self, x_q, x_k):
        """Returns the pairs of views that are compared, queries first."""
        return [(x_q, x_k), (x_k, x_q)] if self.symmetric else [(x_q, x_k)]

    def f_k(self, x_k):
        """Returns the keys `[n, C]` of images, in the order given."""
        return self.key_encoder(x_k, training=True)

    def encode_keys(self, x_k, direction=0):
        """Encodes this replica's key images under shuffled BN.

        Args:
            x_k: `[n, H, W, 3]`; with shuffle "input" the share of the permuted batch.
            direction: 0, or 1 for the second half of the symmetric loss; each permutes anew.

        Returns:
            (k, all_k): the keys of this replica's queries `[n, C]`, and of all queries `[N, C]`.
        """
        return encode_shuffled(
            self.f_k,
            x_k,
            shuffle=self.shuffle,
            seed=self.seed,
            step=self.optimizer.iterations.value,
            direction=direction,
            A=self.A,
        )
