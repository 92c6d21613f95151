"""The program that measures on a GPU, tried on the CPU at tiny sizes."""

import json
import os
import pathlib
import signal
import sys
import time

import numpy as np
import pytest

from mocotf.errors import UserError
from tests import processes
from tools.gpu import accuracy
from tools.gpu import child
from tools.gpu import cifar
from tools.gpu import options
from tools.gpu import table
from tools.gpu import trace
from tools.gpu import variants

PROGRAM = "tools/gpu_check.py"


def test_variants_are_known_joined_written_out_or_refused():
    found = variants.parse(["default", "nojit", "autotune0+latency-hiding", "own:K=1;remat=true"])
    assert found["default"] == {} and found["nojit"] == {"jit_compile": False}
    flags = found["autotune0+latency-hiding"]["XLA_FLAGS"]
    assert flags.startswith("--xla_gpu_autotune_level=0 --xla_gpu_enable_latency")
    environment, step = variants.split(found["own"], {})
    assert environment.pop("XDG_CACHE_HOME") and environment == {"K": "1"} and step == {"remat": True}
    for text in ("unheard-of", "own:remat", "own:remat=yes"):
        with pytest.raises(UserError, match="expected"):
            variants.parse([text])


def test_a_variant_adds_to_the_flags_of_the_environment_and_shares_no_cache():
    before = {"XLA_FLAGS": "--a=1"}
    with_flag, _ = variants.split({"XLA_FLAGS": "--b=2"}, before)
    without, _ = variants.split({}, before)
    assert with_flag["XLA_FLAGS"] == "--a=1 --b=2" and "XLA_FLAGS" not in without
    assert with_flag["XDG_CACHE_HOME"] != without["XDG_CACHE_HOME"]


def test_a_program_that_takes_too_long_costs_its_own_time_only():
    sleep = "import time; print('{}'); print('begun', flush=True); time.sleep(60)"
    jobs = {"slow": ([sys.executable, "-c", sleep], {}), "quick": ([sys.executable, "-c", "1/0"], {})}
    begun = time.monotonic()
    found = dict(child.run_all(jobs, begun + 2, 2))
    assert time.monotonic() - begun < 10
    assert found["slow"]["code"] is None and child.last_json(found["slow"]["out"]) == {}
    assert found["quick"]["code"] == 1 and "ZeroDivisionError" in child.last_line(found["quick"])


def test_a_program_ends_with_the_one_that_waits_for_it(tmp_path):
    note = f"import os, time; os.mkdir('{tmp_path}/' + str(os.getpid())); time.sleep(600)"
    wait = f"import sys; from tools.gpu import child; child.run([sys.executable, '-c', {note!r}], 600)"
    waiting = processes.python("-c", wait)
    waiting.wait_until(lambda: os.listdir(tmp_path))
    waiting.send_signal(signal.SIGTERM)
    (program,) = os.listdir(tmp_path)
    command = pathlib.Path(f"/proc/{program}/cmdline")  # empty once it has ended and nobody asked how
    processes.wait_until(lambda: not command.exists() or not command.read_bytes())


def test_every_option_can_be_asked_for():
    assert not [name for name in options.OPTIONS if "," in name]


def test_an_option_passes_with_all_steps_and_a_finite_loss():
    ended = {"code": 0, "seconds": 1.0, "out": "done", "err": ""}
    assert options.judge(ended, [{"step": 20, "loss": 2.0}], 20)["passed"]
    assert not options.judge(ended, [{"step": 20, "loss": float("nan")}], 20)["passed"]
    assert not options.judge(ended, [{"step": 10, "loss": 2.0}], 20)["passed"]
    failed = options.judge(ended | {"code": 1, "err": "a\nerror: no"}, [], 20)
    assert not failed["passed"] and failed["said"] == "error: no"


def test_epochs_are_those_that_steps_belong_to():
    def record(step, **more):
        known = {"step": step, "epoch": step // 97, "loss": float(step)}
        return known | {"images_per_second": 1.0, "data_wait": 0.0} | more

    found = cifar.epochs([record(10), record(480), record(485, knn_top1=38.0), record(490)])["epochs"]
    assert found["5"] == {"loss": 482.5, "knn_top1": 38.0, "authors": (37.95, 6.8622)}
    assert found["6"]["loss"] == 490 and found["1"]["authors"] == (31.98, 6.9569)


def test_exact_batch_norm_has_the_derivatives_of_its_result():
    random = np.random.default_rng(0)
    x, dy = random.normal(size=(2, 4, 3, 3, 2))
    gamma, beta = random.uniform(0.5, 1.5, (2, 2))
    found = accuracy._exact(x, dy, gamma, beta)
    for name, value in (("dx", x), ("dgamma", gamma), ("dbeta", beta)):
        step = 1e-5 * random.normal(size=value.shape)
        values = {"x": x, "gamma": gamma, "beta": beta}
        ends = [accuracy._exact(dy=dy, **values | {name[1:]: value + s * step})["y"] for s in (1, -1)]
        change = ((ends[0] - ends[1]) * dy).sum() / 2
        assert change == pytest.approx((found[name] * step).sum(), rel=1e-6)


def test_operators_of_a_trace():
    name = "key_encoder/conv1/Conv2D:_MklNativeConv2D"
    assert trace._host_operator(name) == ("_MklNativeConv2D", name)
    assert trace._host_operator("EagerLocalExecute: __inference") == (None, None)
    assert trace._unnumbered("loop_add_fusion.12_1") == "loop_add_fusion"
    assert trace._unnumbered("sm80_xmma_fprop_128x64") == "sm80_xmma_fprop_128x64"
    assert trace._covered([(0, 5), (3, 8), (10, 11)]) == 9


def test_idle_is_what_no_kernel_covers_and_whom_it_lies_between():
    # Microseconds: a is still running when b has ended.
    kernels = [("a", 0, 50), ("b", 10, 20), ("c", 80, 90), ("d", 93, 99)]
    found = trace._idle([(None, None, name, b * 10**6, e * 10**6) for name, b, e in kernels], steps=1)
    assert found["over 0 us"] == [2, 0.033] and found["over 20 us"] == [1, 0.03]
    assert found["over 100 us"] == [0, 0] and found["longest"] == [(0.03, "a", "c"), (0.003, "c", "d")]


def test_table_of_what_is_known(tmp_path):
    side = {"images_per_second": 1234.5, "min": 1200.0, "max": 1300.0, "peak_mb": 1000.0}
    side |= {"first_step_seconds": 12.3, "loss": 7.0, "x_torch": 1.5, "device_peak_mb": 11_400.0}
    profile = {"busy_ms": 43.9, "span_ms": 46.3, "launches": 1660, "operators": {}, "kernels": {}}
    profile["idle"] = {"over 0 us": [1600.8, 2.352], "longest": [[0.2, "a", "b"]]}
    side["profile"] = profile
    step = {"settings": {"arch": "resnet50"}, "sides": {"default": side, "b": {"error": "oh"}}}
    results = [
        {"part": "step", "found": step},
        {"part": "options", "found": {"options": {"probe": {"passed": False, "said": "a|b"}}}},
        {"part": "cifar", "found": None, "cut_short": True, "seconds": 9.0, "error": "not run"},
    ]
    path = tmp_path / "results.json"
    path.write_text("".join(json.dumps(result) + "\n" for result in results))
    shown = processes.succeed(PROGRAM, f"--table={path}").out
    assert "| default | 1,234 | 1,200–1,300 | 1.5 |  | 11.4 | 12.3 | 7 |" in shown
    assert (
        "busy, 1660 launches a step; 1,601 pauses of 2.4 ms, the longest 0.2 ms, between a and b"
        in shown
    )
    assert "b: oh" in shown and "| probe | no |  |  | a\\|b |" in shown
    assert "**cifar** (stopped after 9 s" in shown and "failed: not run" in shown


def test_mistakes_take_one_line():
    for argument, message in (
        ("--only=everything", "expected some of card, step"),
        ("--options=shuffle_bn=input", "expected some of float32"),
        ("--variants=none", "expected one of default"),
        ("--table=/nowhere.json", "expected what tools/gpu_check.py"),
        ("--table=README.md", "expected what tools/gpu_check.py"),
    ):
        done = processes.python(PROGRAM, argument).wait()
        assert done.code == 1 and message in done.err and len(done.err.splitlines()) == 1, done


def test_a_part_without_time_is_left_out_and_said_so(tmp_path):
    out = tmp_path / "results.json"
    flags = "--tiny", "--only=options,accuracy", "--minutes=0.1", f"--out={out}"
    tried = processes.succeed(PROGRAM, *flags)
    assert [result["error"][:7] for result in table.read(out)] == ["not run"] * 2
    assert tried.out.count("failed: not run: 6 s are left, it wants") == 2


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_part_runs_on_a_cpu(tmp_path):
    out = tmp_path / "results.json"
    parts = ["card", "step", "options", "deterministic", "accuracy", "input", "profile", "cifar"]
    sizes = ["--tiny", "--rounds=1", "--steps=1", "--variants=default", "--peers=torch", "--minutes=30"]
    sizes += [f"--only={','.join(parts)}", f"--out={out}", "--profile=default"]
    sizes += ["--inputs=device224"]  # the others want CIFAR-10
    tried = processes.start(PROGRAM, *sizes).wait(seconds=1800)
    assert tried.code == 0, tried.err
    results = {result["part"]: result for result in table.read(out)}
    assert list(results) == parts
    for result in results.values():
        assert "error" not in result and not result["cut_short"], result
    sides = results["step"]["found"]["sides"]
    assert sides["default"]["x_torch"] > 0 and sides["default"]["profile"]["busy_ms"] > 0
    assert all(run["passed"] for run in results["options"]["found"]["options"].values())
    pairs = results["deterministic"]["found"]["pairs"]
    assert pairs["two runs"]["differ"] == pairs["killed and resumed"]["differ"] == 0
    assert pairs["two runs"]["variables"] > 50
    assert all("images_per_second" in run for run in results["input"]["found"]["input"].values())
    assert "data_dir" in results["cifar"]["found"]["said"]
