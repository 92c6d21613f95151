"""Which worker a process is, from flags, TF_CONFIG or SLURM."""

import json

import pytest

from mocotf.errors import UserError
from mocotf.training.cluster import find_cluster
from mocotf.training.cluster import place_in
from mocotf.training.strategy import make_strategy

TWO = ["a:1", "b:2"]
LED = {"chief": ["c:0"], "worker": TWO}
SLURM = {
    "SLURM_STEP_NUM_TASKS": "3", "SLURM_PROCID": "2", "SLURM_STEP_NODELIST": "node[07-08]",
    "SLURM_STEP_TASKS_PER_NODE": "2,1", "SLURM_JOB_ID": "123",
}  # fmt: skip


def tf_config(cluster, kind, index):
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})}


def test_a_process_alone_is_no_cluster():
    assert find_cluster(environ={}) is None
    assert find_cluster(environ={"SLURM_STEP_NUM_TASKS": "1"}) is None
    assert place_in(None) == (0, 1)


@pytest.mark.parametrize(
    ("arguments", "environ", "addresses", "place"),
    [
        ((TWO, 1), {}, {"worker": TWO}, (1, 2)),
        ((TWO, 0), tf_config({"worker": ["c:1"]}, "worker", 0), {"worker": TWO}, (0, 2)),
        ((), tf_config({"worker": TWO}, "worker", 1), {"worker": TWO}, (1, 2)),
        ((), tf_config(LED, "worker", 1), LED, (2, 3)),
        ((), tf_config(LED, "chief", 0), None, (0, 3)),
        ((), SLURM, {"worker": ["node07:10123", "node07:10124", "node08:10123"]}, (2, 3)),
    ],
)
def test_workers_are_found(monkeypatch, arguments, environ, addresses, place):
    for name, value in environ.items():
        monkeypatch.setenv(name, value)  # where TensorFlow's own SLURM resolver looks
    resolver = find_cluster(*arguments)
    assert place_in(resolver) == place
    if addresses:
        assert resolver.cluster_spec().as_dict() == addresses


@pytest.mark.parametrize(
    ("arguments", "environ", "message"),
    [
        ((["a"], 0), {}, "'a': expected host:port"),
        ((["a:x"], 0), {}, "'a:x': expected host:port"),
        ((["a:1", "a:1"], 0), {}, "an address comes twice"),
        ((TWO, None), {}, "--worker_index=None: expected 0 to 1"),
        ((TWO, 2), {}, "--worker_index=2: expected 0 to 1"),
        ((None, 1), {}, "--worker_index=1 without --workers"),
        ((), {"TF_CONFIG": "{"}, 'expected {"cluster"'),
        ((), tf_config({"worker": TWO}, "worker", 2), "IndexError"),
        ((), tf_config({"worker": TWO, "ps": ["c:1"]}, "worker", 0), "tasks \\['ps', 'worker'\\]"),
    ],
)
def test_what_names_no_workers_is_refused(arguments, environ, message):
    with pytest.raises(UserError, match=message):
        find_cluster(*arguments, environ=environ)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("multi_worker", {}, "--strategy=multi_worker contradicts"),
        ("mirrored", {"cluster": object()}, "--strategy=mirrored contradicts"),
        ("tpu", {}, "--strategy=tpu with --tpu=None"),
        ("mirrored", {"tpu": "local"}, "--strategy=mirrored with --tpu=local"),
        ("auto", {"cluster": object(), "num_logical_devices": 2}, "contradicts --strategy=multi"),
        ("auto", {"tpu": "nowhere"}, "--tpu=nowhere: .*expected a TPU's name"),
    ],
)
def test_strategies_that_cannot_be_are_refused(name, options, message):
    with pytest.raises(UserError, match=message):
        make_strategy(name, **options)
