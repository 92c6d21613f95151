"""The memory bank (arXiv 1805.01978, §3.1): one entry for each image of the data set."""

import dataclasses
import os
import sys
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from mocotf.moco.contrastive import NegativesSettings
from mocotf.moco.per_replica import per_replica_variable
from mocotf.settings import setting
from mocotf.training.collectives import all_gather
from mocotf.training.collectives import own_share

CONTAINER = "/sys/fs/cgroup/memory.max"
NEGATIVES = 2  # folded into the keys of draws, in which permutations have 0 and 1


@dataclasses.dataclass(frozen=True)
class BankSettings(NegativesSettings):
    """A bank, and negatives drawn from it."""

    GROUP = "memory_bank, npid"

    bank_m: float = setting(
        0.5,
        "Momentum of an entry v of the bank of memory_bank and npid: v <- normalised(m v + (1 - m) f).",
        low=0,
        high=1,
    )
    bank_dtype: str = setting(
        "float32",
        "Type of the bank's entries: 4 bytes a number, or 2. Computation is in float32.",
        choices=("float32", "bfloat16"),
    )
    shard_bank: bool = setting(
        False,
        "Each replica holds only its part of the bank, and fetches what it needs from the others.",
        neutral=True,
    )


class Bank(tf.Module):
    """Unit vectors `[N, C]`, the i-th what the i-th image was last encoded to, or a moving mean of it.

    Every replica holds all of them, and updates its own copy by what all replicas encoded; or, sharded,
    an equal contiguous part of them.

    Args:
        N: images of the data set.
        C: dimension of an entry.
        m: momentum of an entry, in [0, 1]: v ← normalised(m·v + (1 - m)·f).
        seed: of the first entries, normal and scaled to unit length.
        dtype: entries are kept in float32, float64 or bfloat16.
        replicas: that the bank is sharded over; 1: it is not.
    """

    def __init__(self, N, C, *, m, seed, dtype=tf.float32, replicas=1):
        super().__init__(name="bank")
        self.N = N
        self.m = m
        self.rows = -(-N // replicas)  # of a shard
        self.sharded = replicas > 1
        # A shard has a row more, for what belongs to others.
        noise = tf.random.stateless_normal([self.rows + self.sharded, C], seed=[seed, N])
        noise = tf.cast(tf.math.l2_normalize(noise, axis=1), dtype)
        self.entries = per_replica_variable(noise, "entries")
        # A variable begins alike on all replicas, but shards are of different images.
        for shard, part in enumerate(self.entries.values if self.sharded else []):
            noise = tf.random.stateless_normal([self.rows + 1, C], seed=[seed, N + shard])
            part.assign(tf.cast(tf.math.l2_normalize(noise, axis=1), dtype))

    @property
    def variable(self):
        """All entries as one variable, for checkpoints."""
        return Shards(self.entries, self.N) if self.sharded else self.entries

    def read(self, rows):
        """Returns the entries `[n, …, C]`, float32 or wider, of images `rows` `[n, …]`, which each
        replica asks for on its own."""
        return own_share(self.read_same(all_gather(rows))) if self.sharded else self._gather(rows)

    def read_same(self, rows):
        """Returns what `read` does, where all replicas ask for the same `rows`."""
        if not self.sharded:
            return self._gather(rows)
        own, mine = self._place(rows)
        found = tf.where(mine[..., None], self._gather(own), 0)
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, found)

    def all(self):
        """Returns all entries `[N, C]`, float32 or wider, of a bank that is not sharded."""
        return _widened(tf.convert_to_tensor(self.entries))

    def update(self, rows, f):
        """Moves the entries of images `rows` `[n]` towards what they are encoded to now, `f` `[n, C]`,
        on all replicas; of an image that comes twice the first one counts."""
        rows, f = all_gather(rows), all_gather(f)
        first = tf.argmax(rows[:, None] == rows, axis=1)
        own, _ = self._place(rows)
        v = self.m * self._gather(own) + (1 - self.m) * tf.gather(f, first)
        v = tf.cast(tf.math.l2_normalize(v, axis=1), self.entries.dtype)
        # The method of the same name is not implemented for on-read variables.
        tf.raw_ops.ResourceScatterNdUpdate(ref=self.entries.handle, indices=own[:, None], updates=v)

    def _gather(self, rows):
        # To read the variable would copy all of it.
        return _widened(
            tf.raw_ops.ResourceGather(
                resource=self.entries.handle, indices=rows, dtype=self.entries.dtype
            )
        )

    def _place(self, rows):
        """Returns (where `rows` are in this replica's part, whether they are); else the spare row."""
        if not self.sharded:
            return rows, tf.ones_like(rows, tf.bool)
        shard = tf.cast(tf.distribute.get_replica_context().replica_id_in_sync_group, rows.dtype)
        mine = rows // self.rows == shard
        return tf.where(mine, rows - shard * self.rows, self.rows), mine


class Shards:
    """The shards of a bank as if they were one variable `[N, C]`."""

    sharded = True  # no replica holds what the others do

    def __init__(self, entries, N):
        self._parts = entries.values
        self.shape = tf.TensorShape([N, entries.shape[1]])
        self.dtype = entries.dtype

    def numpy(self):
        """Returns all entries."""
        return np.concatenate([part.numpy()[:-1] for part in self._parts])[: self.shape[0]]

    def assign(self, entries):
        """Writes all entries."""
        rows = self._parts[0].shape[0] - 1
        for i, part in enumerate(self._parts):
            own = entries[i * rows : (i + 1) * rows]
            part.scatter_nd_update(tf.range(len(own))[:, None], own)


class Memory(NamedTuple):
    """What a bank takes.

    Attributes:
        what: it is, for people.
        whole: bytes of it.
        needed: bytes of all that the host holds while it is made or saved.
        there: bytes that the host has.
    """

    what: str
    whole: int
    needed: int
    there: int


def memory_of(settings, setup):
    """Returns the `Memory` of the bank of `BankSettings` in a `Setup`."""
    on_host = not tf.config.list_logical_devices("GPU") + tf.config.list_logical_devices("TPU")
    copies = (1 if settings.shard_bank else setup.replicas) if on_host else 0
    numbers = setup.images * setup.encoder.moco_dim
    whole = numbers * tf.as_dtype(settings.bank_dtype).size
    needed = copies * whole + 2 * numbers * tf.float32.size
    what = f"a bank of {setup.images} x {setup.encoder.moco_dim} numbers ({settings.bank_dtype})"
    return Memory(what, whole, needed, _host_memory())


def draw_rows(seed, step, shape, N):
    """Returns images drawn uniformly, with replacement, int64 of `shape` in [0, N): a pure function of
    its arguments."""
    key = tf.stack([tf.cast(seed, tf.int64), tf.cast(step, tf.int64)])
    key = tf.random.experimental.stateless_fold_in(key, tf.constant(NEGATIVES, tf.int64), "philox")
    return tf.random.stateless_uniform(shape, key, 0, N, tf.int64, alg="philox")


def _widened(x):
    return tf.cast(x, tf.float32) if x.dtype == tf.bfloat16 else x


def _host_memory():
    """Returns the bytes of memory that this host has, or its container may use; no limit on Windows."""
    limits = [sys.maxsize]
    if hasattr(os, "sysconf"):
        limits += [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    if os.path.exists(CONTAINER):
        with open(CONTAINER, encoding="utf-8") as file:
            limits += [int(text) for text in [file.read().strip()] if text.isdigit()]
    return min(limits)
