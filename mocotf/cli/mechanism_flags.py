"""The flags that say where keys come from, of `python -m mocotf.train`."""

import logging
import os

import tensorflow as tf
from absl import flags

from mocotf.cli import values
from mocotf.errors import UserError
from mocotf.moco.bank import memory_needed
from mocotf.moco.config import MECHANISMS

FLAGS = flags.FLAGS
log = logging.getLogger(__name__)

flags.DEFINE_enum(
    "mechanism",
    "moco",
    list(MECHANISMS),
    "Where keys come from. moco: a queue, and a key encoder that follows; end_to_end: the batch, and a "
    "key encoder that is trained too; memory_bank: what each image was encoded to before; npid: the "
    "same, as weights of a softmax over all images.",
)
flags.DEFINE_float(
    "bank_m",
    0.5,
    "Momentum of an entry v of the bank of memory_bank and npid: v <- normalised(m v + (1 - m) f).",
    0,
    1,
)
flags.DEFINE_enum(
    "bank_dtype",
    "float32",
    ["float32", "bfloat16"],
    "Entries of the bank take 4 bytes a number, or 2; what is computed with them is float32.",
)
flags.DEFINE_bool(
    "shard_bank",
    False,
    "Each replica holds its part of the bank only, and asks the others for what it needs of theirs.",
)
flags.DEFINE_enum(
    "npid_softmax",
    "nce",
    ["nce", "full"],
    "nce: noise-contrastive estimation with --moco_k negatives for each image; full: over all images.",
)
flags.DEFINE_float(
    "proximal",
    30.0,
    "Weight of npid's proximal term, which holds an image's vector to what it was; 0 for none.",
    lower_bound=0,
)

CONTAINER = "/sys/fs/cgroup/memory.max"
WITH_BANK = ("memory_bank", "npid")
OWN = {
    "bank_m": WITH_BANK,
    "bank_dtype": WITH_BANK,
    "shard_bank": WITH_BANK,
    "npid_softmax": ("npid",),
    "proximal": ("npid",),
    "grad_accum_steps": ("moco",),
    "symmetric": ("moco", "end_to_end"),
    "shuffle_bn": ("moco", "end_to_end"),
}


def has_bank():
    """Returns whether the mechanism has an entry for each image."""
    return FLAGS.mechanism in WITH_BANK


def check():
    """Holds the flags against each other.

    Raises:
        UserError: one that is for other mechanisms was changed. --moco_k, --moco_m and --bn_splits
            may be, for a recipe to be taken to another mechanism by one flag.
    """
    for flag, mechanisms in OWN.items():
        if values.changed(flag) and FLAGS.mechanism not in mechanisms:
            raise UserError(
                f"--{flag}={FLAGS[flag].value} with --mechanism={FLAGS.mechanism}: is for "
                f"{' and '.join(mechanisms)} only; drop it"
            )
    values.check_finite("proximal")
    if FLAGS.shard_bank and FLAGS.npid_softmax == "full":
        raise UserError(
            "--shard_bank with --npid_softmax=full, which needs all entries at once; try "
            "--npid_softmax=nce"
        )


def check_devices(replicas, workers):
    """Holds the flags against the devices."""
    if FLAGS.shard_bank and replicas == 1:
        raise UserError("--shard_bank with one replica: there is nobody to share with; drop it")
    if FLAGS.shard_bank and workers > 1:
        raise UserError(
            f"--shard_bank with {workers} workers: the chief could not save what others hold; expected "
            "the replicas of one; drop it, or try --bank_dtype=bfloat16"
        )


def check_batch():
    """Holds the batch against the mechanism."""
    if FLAGS.mechanism == "end_to_end" and FLAGS.batch_size < 2:
        raise UserError(
            f"--batch_size={FLAGS.batch_size} with --mechanism=end_to_end, whose negatives are the "
            "other images of the batch; expected at least 2; try 256"
        )


def check_source(source, replicas):
    """Holds the bank against the data and the memory."""
    if not has_bank():
        return
    if not source.indexed:
        raise UserError(
            f"--mechanism={FLAGS.mechanism} with --dataset={FLAGS.dataset} and --num_images, which "
            "spares counting: without the count images have no index, and no place in the bank; drop "
            "--num_images"
        )
    needs_negatives = FLAGS.mechanism == "memory_bank" or FLAGS.npid_softmax == "nce"
    if needs_negatives and FLAGS.moco_k > source.size:
        raise UserError(
            f"--moco_k={FLAGS.moco_k} with --mechanism={FLAGS.mechanism}: more negatives than the "
            f"{source.size} images they are drawn from; expected at most that; try "
            f"--moco_k={max(1, source.size // 4)}"
        )
    on_host = not tf.config.list_logical_devices("GPU") + tf.config.list_logical_devices("TPU")
    copies = (1 if FLAGS.shard_bank else replicas) if on_host else 0
    whole, needed = memory_needed(source.size, FLAGS.moco_dim, FLAGS.bank_dtype, copies)
    what = f"a bank of {source.size} x {FLAGS.moco_dim} numbers ({FLAGS.bank_dtype})"
    there = _host_memory()
    if needed > there:
        raise UserError(
            f"--mechanism={FLAGS.mechanism}: {what} takes {whole / 1e9:.1f} GB, and all that the host "
            f"holds while it is made and saved {needed / 1e9:.1f}; it has {there / 1e9:.1f}; try "
            "--bank_dtype=bfloat16, --shard_bank or a smaller --moco_dim"
        )
    if whole > 1e9:
        shared = "shared by all replicas" if FLAGS.shard_bank else "on each replica"
        log.warning("%s takes %.1f GB, %s", what, whole / 1e9, shared)


def _host_memory():
    """Returns the bytes of memory that this host has, or its container may use."""
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    if os.path.exists(CONTAINER):
        with open(CONTAINER, encoding="utf-8") as file:
            limits += [int(text) for text in [file.read().strip()] if text.isdigit()]
    return min(limits)
