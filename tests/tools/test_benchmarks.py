"""The programs that measure search, scaling and an exported model; what all say of mistakes."""

import os

import pytest

from tests import processes

SIZES = "--json --queries=16 --width=24 --neighbours=7 --rounds=2"  # of a search
CORES = len(os.sched_getaffinity(0))
STEP = "--json --arch=resnet10 --image_size=32 --moco_k=256 --batch_size=8"
NO_PYTHON = "--peers_python=/nowhere/python"
NO_PEERS = "expected a Python with requirements-peers.txt, found none; try: make peers"


@pytest.mark.slow
def test_all_sides_find_the_same_neighbours():
    flags = f"{SIZES} --banks=300 --noimagenet".split()
    found = processes.succeed("tools/benchmark_knn.py", *flags).json
    sides = found["banks"]["300"]
    assert sides.keys() == {"mocotf", "sklearn", "numpy"}
    for numbers in sides.values():
        assert numbers["same_places"] == 1
        assert 0 < numbers["min"] <= numbers["queries_per_second"] <= numbers["max"]
        assert 0 < numbers["base_mb"] < numbers["peak_mb"]
    assert sides["mocotf"]["times_slower"] == 1 and "imagenet" not in found


@pytest.mark.slow
def test_cases_are_measured_in_turns_and_held_against_the_first():
    flags = *STEP.split(), "--rounds=2", "--vary=replicas", "--values=1,2"
    found = processes.succeed("tools/benchmark_scaling.py", *flags).json
    one, two = found["cases"].values()
    assert list(found["cases"]) == ["1", "2"] and one["times_first"] == 1
    assert 0 < two["step_ms_min"] <= two["step_ms"] <= two["step_ms_max"]
    assert two["images_per_second"] == pytest.approx(8e3 / two["step_ms"])
    assert one["peak_mb"] > one["base_mb"] > 0


def test_a_version_is_measured_here_and_through_a_server(served, rest_url):
    for flags, combinations in (
        (f"--export_dir={served} --batch_sizes=1,3 --clients=1,2", [(1, 1), (1, 2), (3, 1), (3, 2)]),
        (f"--url={rest_url} --batch_sizes=2 --clients=2", [(2, 2)]),
    ):
        flags = *flags.split(), "--json", "--seconds=0.3", "--warm_up=1"
        measured = processes.succeed("tools/benchmark_serving.py", *flags).json["measured"]
        assert [(m["batch_size"], m["clients"]) for m in measured] == combinations
        for m in measured:
            assert 0 < m["p50_ms"] <= m["p95_ms"] <= m["p99_ms"] and m["requests"] > 0
            # Each client waits for its answer: images a second are what latency allows.
            assert m["images_per_second"] <= 1.01e3 * m["batch_size"] * m["clients"] / m["p50_ms"] * 3


def test_a_model_and_a_server_that_are_not_there_are_told_in_one_line(rest_url):
    expected = "expected a server that speaks TF Serving's REST"
    for url, message in ((f"{rest_url}er", "404"), ("http://127.0.0.1:9/v1/models/x", expected)):
        done = processes.run("tools/benchmark_serving.py", f"--url={url}")
        assert done.code == 1 and message in done.err and len(done.err.splitlines()) == 1, done


@pytest.mark.parametrize(
    ("program", "flags", "message"),
    [
        ("input", f"--json {NO_PYTHON}", f"{NO_PYTHON}: {NO_PEERS}, or --nopeers to measure ours"),
        ("knn", f"{SIZES} --banks=5", "--banks=5: expected at least --neighbours=7"),
        ("knn", f"{SIZES} --banks=a", "expected some numbers"),
        ("scaling", f"{STEP} --values=8,many", "--values=8,many: many:"),
        ("scaling", f"{STEP} --vary=bn_splits --values=1,3", "expected a multiple of 3"),
        ("scaling", f"{STEP} --vary=moco_k --values=4", "moco_k 4: expected at least batch_size 8"),
        ("serving", "--export_dir=nowhere", "--export_dir=nowhere: has no version; expected"),
        ("serving", "--clients=0", "--clients=0: expected numbers from 1"),
        ("step", f"{STEP} {NO_PYTHON}", f"{NO_PYTHON}: {NO_PEERS}, or --peer=none to measure"),
        ("step", f"{STEP} --threads=4096", f"--threads=4096: expected at most {CORES}, the cores"),
        ("step", f"{STEP} --moco_k=4", "--moco_k=4: smaller than the 8 keys enqueued a step"),
    ],
)
def test_mistakes_take_one_line(program, flags, message):
    processes.refuse(f"tools/benchmark_{program}.py", flags.split(), message)
