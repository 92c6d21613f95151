"""The memory bank mechanism (arXiv 1911.05722, Figure 2b): keys are what images were encoded to."""

import tensorflow as tf

from mocotf.errors import UserError
from mocotf.moco.bank import Bank
from mocotf.moco.bank import BankSettings
from mocotf.moco.bank import draw_rows
from mocotf.moco.bank import memory_of
from mocotf.moco.contrastive import Contrastive
from mocotf.moco.loss import chance
from mocotf.moco.loss import info_nce
from mocotf.moco.metrics import similarities
from mocotf.moco.metrics import spread
from mocotf.moco.metrics import summary


class MemoryBank(Contrastive):
    """One encoder, one view of each image: its key is its entry in a `Bank`, its negatives are K
    entries drawn anew each step, the same for all queries of the batch.

    The entries are drawn of all images, as in the papers: a query's own may be among them. Keys are an
    epoch old, so for long the loss is above chance while the features become better: that is no fault.

    Args:
        backbone: see `Mechanism`.
        bank: a `Bank`.
        K: negatives.
        more: see `Contrastive`.
    """

    NAME = "memory_bank"
    SUMMARY = "what each image was encoded to before"
    SETTINGS = BankSettings
    VIEWS = 1
    INDEXED = True

    def __init__(self, backbone, *, bank, K, **more):
        super().__init__(backbone, **more)
        self.bank = bank
        self.K = K

    @classmethod
    def check(cls, settings, setup):
        super().check(settings, setup)
        if settings.shard_bank and setup.replicas == 1:
            raise UserError("--shard_bank with one replica: there is nobody to share with; drop it")
        if settings.shard_bank and setup.workers > 1:
            raise UserError(
                f"--shard_bank with {setup.workers} workers: the chief could not save what others "
                "hold; expected the replicas of one; drop it, or try --bank_dtype=bfloat16"
            )
        if setup.images is None:
            return
        if not setup.indexed:
            raise UserError(
                f"--mechanism={cls.NAME} with --num_images, which spares counting: without the count "
                "images have no index, and no place in the bank; drop --num_images"
            )
        if (cls.negatives(settings) or 0) > setup.images:
            raise UserError(
                f"--moco_k={settings.moco_k} with --mechanism={cls.NAME}: more negatives than the "
                f"{setup.images} images they are drawn from; expected at most that; try "
                f"--moco_k={max(1, setup.images // 4)}"
            )
        memory = memory_of(settings, setup)
        if memory.needed > memory.there:
            raise UserError(
                f"--mechanism={cls.NAME}: {memory.what} takes {memory.whole / 1e9:.1f} GB, and all "
                f"that the host holds while it is made and saved {memory.needed / 1e9:.1f}; it has "
                f"{memory.there / 1e9:.1f}; try --bank_dtype=bfloat16, --shard_bank or a smaller "
                "--moco_dim"
            )

    @classmethod
    def advice(cls, settings, setup):
        memory = memory_of(settings, setup)
        shared = "shared by all replicas" if settings.shard_bank else "on each replica"
        size = f"{memory.what} takes {memory.whole / 1e9:.1f} GB, {shared}"
        return [size] if memory.whole > 1e9 else []

    @classmethod
    def build(cls, backbone, settings, setup, **common):
        try:
            bank = Bank(
                setup.images,
                setup.encoder.moco_dim,
                m=settings.bank_m,
                seed=common["seed"],
                dtype=tf.as_dtype(settings.bank_dtype),
                replicas=setup.replicas if settings.shard_bank else 1,
            )
        except tf.errors.ResourceExhaustedError as error:
            raise UserError(
                f"{memory_of(settings, setup).what} does not fit the device's memory; try "
                "--bank_dtype=bfloat16, --shard_bank or a smaller --moco_dim"
            ) from error
        own = {"bank": bank, "K": cls.negatives(settings), "T": settings.moco_t}
        return cls(backbone, **own, **common)

    @classmethod
    def negatives(cls, settings):
        """Returns how many negatives are drawn; None for none."""
        return settings.moco_k

    @property
    def chance(self):
        return chance(self.K)

    def steps_to_fill(self, batch_size):
        return self.bank.N / batch_size

    def variable_groups(self):
        return super().variable_groups() | {"bank": {"entries": self.bank.variable}}

    def train_step(self, batch):
        """One step on this replica's share of the global batch; see `MoCo.train_step`."""
        (x,), labels, rows = self.unpack(batch)
        v = self.bank.read(rows)  # [n, C]
        negatives = self.bank.read_same(self.draw_negatives())  # [K, C]
        with tf.GradientTape() as tape:
            f, features = self.query_encoder(x, training=True, with_features=True)  # [n, C]
            loss, rank = info_nce(f, v, negatives, self.T)
        metrics = summary(loss, rank, [(spread(f), *similarities(f, v, negatives))])
        metrics |= self.descend(self.gradients(tape, loss))
        self.bank.update(rows, f)
        return metrics | self.probe_features(features, labels)

    def draw_negatives(self):
        """Returns the images `[K]` whose entries are this step's negatives, on all replicas."""
        return draw_rows(self.seed, self.optimizer.iterations.value, [self.K], self.bank.N)
