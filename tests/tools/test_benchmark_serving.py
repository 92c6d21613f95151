"""The program that measures an exported model."""

import functools

import pytest

from tests.tools.support import run_tool

run = functools.partial(run_tool, "benchmark_serving.py", "--seconds=0.3", "--warm_up=1")


def assert_measured(found, combinations):
    assert [(m["batch_size"], m["clients"]) for m in found["measured"]] == combinations
    for m in found["measured"]:
        assert 0 < m["p50_ms"] <= m["p95_ms"] <= m["p99_ms"]
        assert m["requests"] > 0
        # Each client waits for its answer: images a second are what latency allows.
        assert m["images_per_second"] <= 1.01e3 * m["batch_size"] * m["clients"] / m["p50_ms"] * 3


def test_a_version_without_a_server(served):
    code, found, err = run(f"--export_dir={served}", "--batch_sizes=1,3", "--clients=1,2")
    assert code == 0, err
    assert_measured(found, [(1, 1), (1, 2), (3, 1), (3, 2)])


def test_through_a_server(rest_url):
    code, found, err = run(f"--url={rest_url}", "--batch_sizes=2", "--clients=2")
    assert code == 0, err
    assert_measured(found, [(2, 2)])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--export_dir=nowhere"], "--export_dir=nowhere: has no version; expected"),
        (["--clients=0"], "--clients=0: expected numbers from 1"),
        (["--url=http://127.0.0.1:9/v1/models/x"], "expected a server that speaks TF Serving's REST"),
    ],
)
def test_mistakes_take_one_line(arguments, message):
    code, _, err = run(*arguments)
    assert code == 1 and message in err and len(err.splitlines()) == 1


def test_a_model_that_a_server_has_not_is_told_in_one_line(rest_url):
    code, _, err = run(f"--url={rest_url}er")
    assert code == 1 and "404" in err and len(err.splitlines()) == 1
