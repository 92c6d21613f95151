"""What all replicas must agree on: given to them by the first, and checked."""

import contextlib
import json
import zlib

import keras
import numpy as np
import tensorflow as tf

from mocotf.errors import UserError
from mocotf.training.collectives import all_gather

MOST_TEXT = 1 << 15


def broadcast(strategy, variables):
    """Gives every replica the first one's values of `variables`, bit for bit."""

    @tf.function(autograph=False)
    def run():
        strategy.run(_take_those_of_the_first, args=(variables,))

    run.get_concrete_function()()  # the call of a tf.function would warn of its being made so often


def _take_those_of_the_first(variables):
    replica = tf.distribute.get_replica_context()
    first = replica.replica_id_in_sync_group == 0
    values = [tf.convert_to_tensor(v) for v in variables]
    # Whole numbers, of which one is not 0: their sum is exact, -0. and NaN included.
    own = [tf.where(first, _bits(value), 0) for value in values]
    for variable, value, bits in zip(
        variables, values, replica.all_reduce(tf.distribute.ReduceOp.SUM, own), strict=True
    ):
        tf.raw_ops.AssignVariableOp(resource=_handle(variable), value=_from_bits(bits, value.dtype))


def check_agreement(strategy, flags, facts):
    """Checks that all workers were started alike.

    Args:
        strategy: of the run.
        flags, facts: of this worker, see `RunDir`.

    Raises:
        UserError: another worker has others.
    """
    text = json.dumps([flags, facts], sort_keys=True)
    sums = _gathered(strategy, zlib.crc32(text.encode()))
    odd = [replica for replica, s in enumerate(sums) if s != sums[0]]
    if odd:
        meet(strategy)
        raise UserError(
            f"the workers of replicas {odd} have other flags, data or devices than the chief; expected "
            "the same command on all"
        )


def text_of_chief(strategy, text=""):
    """Returns the text that the chief calls this with, at most `MOST_TEXT` bytes; all workers call it.

    Args:
        strategy: of the run.
        text: of this worker; only the chief's counts.
    """
    # Numbers of 64 bits are what `_gathered` takes.
    padded = text.encode().ljust(MOST_TEXT, b"\0")
    words = np.frombuffer(padded, np.int64)
    chief, *_ = np.split(_gathered(strategy, *words), strategy.num_replicas_in_sync)
    return chief.tobytes().rstrip(b"\0").decode()


def meet(strategy):
    """Waits until all workers are here; after it any of them may end its process.

    Raises:
        tf.errors.OpError: a worker was lost before.
    """
    _gathered(strategy, 0)
    # Who has all it waits for may be gone while what another waits for is still on its way. Only who
    # has passed the first wait gets to the second, so that a failure here tells of nothing else.
    with contextlib.suppress(tf.errors.OpError):
        _gathered(strategy, 0)


def _gathered(strategy, *numbers):
    """Returns the numbers that the replicas' workers call this with, one replica's after another's."""

    @tf.function(autograph=False)
    def run(own):
        return strategy.run(all_gather, args=(own,))

    own = tf.constant(numbers, tf.int64)
    gathered = run.get_concrete_function(own)(own)  # likewise
    return strategy.experimental_local_results(gathered)[0].numpy()


def check_replicas(strategy, named):
    """Compares the replicas' values of variables that must be equal on all.

    Args:
        strategy: of the run.
        named: name → variable.

    Raises:
        UserError: they differ; names the variables and the replicas.
    """

    @tf.function(autograph=False)
    def run():
        return strategy.run(lambda: _gathered_checksums(list(named.values())))

    sums = strategy.experimental_local_results(run())[0].numpy()  # [replicas, variables]
    odd = {
        name: [r for r, s in enumerate(sums[:, i]) if s != sums[0, i]] for i, name in enumerate(named)
    }
    odd = {name: replicas for name, replicas in odd.items() if replicas}
    if odd:
        meet(strategy)
        name, replicas = next(iter(odd.items()))
        raise UserError(
            f"{len(odd)} of {len(named)} variables differ between replicas, such as {name}: replicas "
            f"{replicas} have not what replica 0 has; expected bit-equal copies; a device or a "
            "connection is at fault: resume on others from the last checkpoint"
        )


def _gathered_checksums(variables):
    sums = tf.stack([_checksum(tf.convert_to_tensor(v)) for v in variables])
    return all_gather(sums[None])


def _checksum(value):
    """Returns an int64 that depends on every bit of `value`, and on where it is."""
    bits = tf.cast(tf.reshape(_bits(value), [-1]), tf.int64)
    place = tf.range(tf.size(bits, tf.int64), dtype=tf.int64)
    return tf.reduce_sum(bits * (2 * place + 1))


def _bits(value):
    """Returns the bits of `value` as int32: two for a number of 64 bits, half of one for bfloat16's."""
    if value.dtype.size == 2:
        return tf.cast(tf.bitcast(value, tf.int16), tf.int32)
    return tf.bitcast(value, tf.int32)


def _from_bits(bits, dtype):
    if dtype.size == 2:
        bits = tf.cast(bits, tf.int16)
    return tf.bitcast(bits, dtype)


def _handle(variable):
    return (variable.value if isinstance(variable, keras.Variable) else variable).handle
