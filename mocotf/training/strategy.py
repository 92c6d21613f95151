"""Which devices a run uses."""

import faulthandler
import functools
import os
import socket
import time

import tensorflow as tf

from mocotf.errors import UserError
from mocotf.errors import first_line
from mocotf.training.cluster import addresses_in
from mocotf.training.cluster import place_in
from mocotf.training.termination import listen_again

STRATEGIES = ("auto", "one_device", "mirrored", "multi_worker", "tpu")


def make_strategy(name, num_logical_devices=1, cluster=None, tpu=None, timeout=1800):
    """Returns the `tf.distribute` strategy of a run. Call it before anything else of TensorFlow's.

    Args:
        name: "mirrored" replicates over all visible accelerators, or over the logical CPU devices
            where there are none; "one_device" uses the first; "multi_worker" replicates over those of
            all workers; "tpu" over a TPU's cores; "auto" is multi_worker where there is a cluster,
            tpu where a TPU is named, mirrored where there is more than one device.
        num_logical_devices: into how many devices the CPU is split, to try several replicas on one
            machine; then they are used, whatever else there is. Only before TensorFlow has started
            its devices.
        cluster: see `find_cluster`.
        tpu: name or address of a TPU; "local" on a TPU VM.
        timeout: seconds that a worker waits for another to come.

    Raises:
        UserError: what is asked for contradicts itself, or cannot be had.
    """
    if name == "auto":
        name = "multi_worker" if cluster else "tpu" if tpu else "auto"
    if (name == "multi_worker") != (cluster is not None):
        raise UserError(
            f"--strategy={name} contradicts what names the workers: multi_worker goes with --workers, "
            "TF_CONFIG or several SLURM tasks, and they with it"
        )
    if (name == "tpu") != (tpu is not None):
        raise UserError(
            f"--strategy={name} with --tpu={tpu}: expected --strategy=tpu and --tpu, or neither"
        )
    if name in ("multi_worker", "tpu") and num_logical_devices > 1:
        raise UserError(
            f"--num_logical_devices={num_logical_devices} contradicts --strategy={name}: drop one "
            "of them"
        )
    if name == "multi_worker":
        return _multi_worker(cluster, timeout)
    if name == "tpu":
        return _tpu(tpu)
    devices = _devices(num_logical_devices)
    if name == "one_device" or (name == "auto" and len(devices) == 1):
        return tf.distribute.OneDeviceStrategy(devices[0])
    return _mirrored(tuple(devices))


@functools.cache  # two of the same devices would take each other's collectives for their own
def _mirrored(devices):
    return tf.distribute.MirroredStrategy(devices)


def _devices(num_logical_devices):
    if num_logical_devices > 1:
        cpu = tf.config.list_physical_devices("CPU")[0]
        parts = [tf.config.LogicalDeviceConfiguration()] * num_logical_devices
        try:
            tf.config.set_logical_device_configuration(cpu, parts)
        except RuntimeError as error:
            raise UserError(
                f"--num_logical_devices={num_logical_devices}: TensorFlow is already running with "
                f"{len(tf.config.list_logical_devices('CPU'))} CPU devices; start a new process"
            ) from error
    accelerators = [] if num_logical_devices > 1 else tf.config.list_logical_devices("GPU")
    return [d.name for d in accelerators or tf.config.list_logical_devices("CPU")]


def _multi_worker(cluster, timeout):
    addresses = addresses_in(cluster)
    worker, workers = place_in(cluster)
    print(
        f"worker {worker} of {workers}: waits for {', '.join(addresses)}; ends with exit code 1 if "
        f"they do not come within --worker_timeout={timeout} s",
        flush=True,
    )
    deadline = time.monotonic() + timeout
    if worker > 0:
        _await(addresses[:1], deadline)
    # TensorFlow may wait for ever, deaf to signals and to Python's threads; this timer is neither.
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        faulthandler.dump_traceback_later(timeout, exit=True, file=nowhere)
        strategy = tf.distribute.MultiWorkerMirroredStrategy(cluster)
        faulthandler.cancel_dump_traceback_later()
    listen_again()
    _await(addresses, deadline)
    return strategy


def _await(addresses, deadline):
    """Returns once somebody listens at every address."""
    for address in addresses:
        host, _, port = address.rpartition(":")
        while True:
            try:
                socket.create_connection((host, int(port)), timeout=5).close()
                break
            except OSError as error:
                if time.monotonic() > deadline:
                    raise UserError(
                        f"{address}: {error}; this worker did not come within --worker_timeout; start "
                        "the same command on all of them"
                    ) from error
                time.sleep(0.2)


def _tpu(tpu):
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=tpu)
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (OSError, ValueError, RuntimeError, tf.errors.OpError) as error:
        raise UserError(
            f"--tpu={tpu}: {first_line(error)}; expected a TPU's name, or local on a TPU VM"
        ) from error
    return tf.distribute.TPUStrategy(resolver)


def check_divides(batch_size, replicas):
    """Refuses a batch that replicas cannot share equally.

    Raises:
        UserError: so.
    """
    if batch_size % replicas:
        raise UserError(
            f"--batch_size={batch_size}: expected a multiple of {replicas}, the replicas; try "
            f"{-(-batch_size // replicas) * replicas}"
        )
