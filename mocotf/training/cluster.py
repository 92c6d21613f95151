"""Which processes, on which machines, make up a run."""

import contextlib
import json
import os

import tensorflow as tf

from mocotf.errors import UserError

FIRST_PORT, PORTS = 10000, 20000  # of SLURM jobs, by their number


def find_cluster(workers=None, worker_index=None, environ=os.environ):
    """Returns the cluster resolver of the worker that this process is, None where it is alone.

    Args:
        workers: host:port of every worker, the chief first; else `TF_CONFIG` names them, or the
            variables that SLURM's srun sets for several tasks.
        worker_index: of this process in `workers`.
        environ: the process's environment.

    Raises:
        UserError: what names the workers is incomplete, or contradicts itself.
    """
    if workers:
        return _from_flags(workers, worker_index)
    if worker_index is not None:
        raise UserError(f"--worker_index={worker_index} without --workers; expected both")
    if environ.get("TF_CONFIG"):
        return _from_tf_config(environ["TF_CONFIG"])
    if int(environ.get("SLURM_STEP_NUM_TASKS", 1)) > 1:
        return _from_slurm(environ)
    return None


def _from_flags(workers, worker_index):
    for address in workers:
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal():
            raise UserError(f"--workers: {address!r}: expected host:port, such as node1:12345")
    if len(set(workers)) < len(workers):
        raise UserError(
            f"--workers={','.join(workers)}: an address comes twice; expected one for each "
            "process; try another port for the second on a host"
        )
    if worker_index is None or worker_index >= len(workers):
        raise UserError(
            f"--worker_index={worker_index}: expected 0 to {len(workers) - 1}, this process's place in "
            "--workers"
        )
    return _resolver({"worker": workers}, "worker", worker_index)


def _from_tf_config(text):
    expected = (
        'expected {"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}'
    )
    try:
        config = json.loads(text)
        cluster, task = config["cluster"], config["task"]
        cluster[task["type"]][int(task["index"])]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise UserError(f"TF_CONFIG={text}: {error!r}; {expected}") from error
    if not set(cluster) <= {"chief", "worker"}:
        raise UserError(f"TF_CONFIG={text}: tasks {sorted(cluster)}; {expected}")
    return _resolver(cluster, task["type"], int(task["index"]))


def _from_slurm(environ):
    # TensorFlow's resolver would divide the GPUs itself, and fail where there are none: that is srun's.
    resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
        port_base=FIRST_PORT + int(environ.get("SLURM_JOB_ID", 0)) % PORTS,
        gpus_per_node=int(environ["SLURM_STEP_NUM_TASKS"]),
        gpus_per_task=1,
        auto_set_gpu=False,
    )
    cluster = resolver.cluster_spec().as_dict()
    return _resolver(cluster, *resolver.get_task_info())


def _resolver(cluster, task_type, task_id):
    return tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec(cluster), task_type=task_type, task_id=task_id, rpc_layer="grpc"
    )


def addresses_in(resolver):
    """Returns host:port of every worker, the chief's first."""
    cluster = resolver.cluster_spec().as_dict()
    return cluster.get("chief", []) + cluster.get("worker", [])


def place_in(resolver):
    """Returns (index, count): which worker this process is, 0 the chief, and how many there are."""
    if resolver is None:
        return 0, 1
    chiefs = len(resolver.cluster_spec().as_dict().get("chief", []))
    before = chiefs if resolver.task_type == "worker" else 0
    return before + resolver.task_id, len(addresses_in(resolver))


@contextlib.contextmanager
def losses_explained(workers):
    """Puts what TensorFlow says where another of the workers is lost in the user's language.

    Raises:
        UserError: it fails inside, and there is more than one.
    """
    try:
        yield
    except tf.errors.OpError as error:
        if workers == 1:
            raise
        raise UserError(
            f"a worker is lost ({type(error).__name__}); the others cannot go on without it; start "
            "the same command on all of them, which resumes the run"
        ) from error
