"""A GPU that TensorFlow cannot use or that is too small, and what is set where there is one; no GPU is
needed."""

import contextlib
import logging
import os
import types

import pytest
import tensorflow as tf

from mocotf.errors import UserError
from mocotf.training import environment
from mocotf.training import gpus
from mocotf.training.run import Run


@pytest.fixture
def idle_gpu(monkeypatch, tmp_path):
    """A GPU that TensorFlow does not list; call it with the libraries that cannot be loaded."""
    monkeypatch.setattr(gpus, "SIGNS", [str(tmp_path)])
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def without(*libraries):
        monkeypatch.setattr(gpus, "_loads", lambda name: name not in libraries)

    return without


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        (["libcuda.so.1"], "install NVIDIA's driver"),
        (["libcudnn.so.9"], "libcudnn.so.9 cannot be loaded (of nvidia-cudnn-cu12); try pip install"),
        (["libcublas.so.12", "libcublasLt.so.12"], "(of nvidia-cublas-cu12); try pip install"),
        ([], "every library that it needs is there"),
    ],
)
def test_a_gpu_that_cannot_be_used_is_one_warning_or_a_refusal(idle_gpu, caplog, missing, expected):
    idle_gpu(*missing)
    with caplog.at_level(logging.WARNING):
        gpus.choose("auto")
    (record,) = caplog.records
    assert expected in record.getMessage() and "\n" not in record.getMessage()
    with pytest.raises(UserError, match="--device=gpu: ") as refusal:
        gpus.choose("gpu")
    assert expected in str(refusal.value)


def test_a_gpu_that_is_hidden_is_said_to_be(idle_gpu, monkeypatch):
    idle_gpu()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert "CUDA_VISIBLE_DEVICES=-1 hides it" in gpus.why_unusable()


def test_the_cpu_may_be_asked_for_and_nothing_is_said(idle_gpu, monkeypatch, caplog):
    idle_gpu("libcuda.so.1")
    hidden = []
    monkeypatch.setattr(tf.config, "set_visible_devices", lambda *given: hidden.append(given))
    gpus.choose("cpu")
    assert hidden == [([], "GPU")] and not caplog.records


def test_no_gpu_is_no_warning(monkeypatch, caplog):
    monkeypatch.setattr(gpus, "SIGNS", ())
    gpus.choose("auto")
    assert not caplog.records
    with pytest.raises(UserError, match="no NVIDIA GPU"):
        gpus.choose("gpu")


def test_libraries_that_are_not_there_are_noticed():
    assert gpus._loads("libc.so.6") and not gpus._loads("libnothing.so.1")


@pytest.fixture
def driver(monkeypatch, tmp_path):
    """A driver and a GPU; everything that is kept is below the test's folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in (*environment.CACHE_FLAGS, "TF_USE_CUDNN_BATCHNORM_SPATIAL_PERSISTENT"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "gpus/0").mkdir(parents=True)
    (tmp_path / "version").write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.8.07  Wed\n")
    (tmp_path / "gpus/0/information").write_text("Model: \t NVIDIA H100 80GB HBM3\nIRQ: 1\n")
    monkeypatch.setattr(environment, "DRIVER", str(tmp_path / "version"))
    return tmp_path


def test_what_is_compiled_is_kept_for_a_tensorflow_a_driver_and_a_gpu(driver):
    environment.prepare()
    assert os.environ["TF_USE_CUDNN_BATCHNORM_SPATIAL_PERSISTENT"] == "1"
    for name, flag in environment.CACHE_FLAGS.items():
        (text,) = [text for text in os.environ[name].split() if text.startswith(f"{flag}=")]
        folder = text.partition("=")[2]
        assert os.path.isdir(folder) and folder.startswith(str(driver / "cache/mocotf/xla/"))
        assert f"tensorflow-{tf.__version__}+580.8.07+NVIDIA-H100-80GB-HBM3" in folder


def test_nothing_is_kept_where_it_could_not_be_written(driver, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    environment.prepare()
    assert not {*environment.CACHE_FLAGS} & {*os.environ}


def test_what_the_user_has_set_stays(driver, monkeypatch):
    monkeypatch.setenv("TF_XLA_FLAGS", "--tf_xla_persistent_cache_directory=/mine")
    monkeypatch.setenv("XLA_FLAGS", "--xla_gpu_autotune_level=2")
    environment.prepare()
    assert os.environ["TF_XLA_FLAGS"] == "--tf_xla_persistent_cache_directory=/mine"
    assert os.environ["XLA_FLAGS"].startswith("--xla_gpu_autotune_level=2 --xla_gpu_per_fusion")


def test_what_is_compiled_with_other_flags_is_kept_apart(driver, monkeypatch):
    plain = environment.cache_folder()
    monkeypatch.setenv("XLA_FLAGS", "--xla_gpu_autotune_level=2")
    other = environment.cache_folder()
    environment.prepare()  # adds flags of its own
    assert plain != other == environment.cache_folder()


def test_without_a_driver_nothing_is_set(driver, monkeypatch):
    monkeypatch.setattr(environment, "DRIVER", str(driver / "none"))
    environment.prepare()
    assert not {*environment.CACHE_FLAGS, "TF_USE_CUDNN_BATCHNORM_SPATIAL_PERSISTENT"} & {*os.environ}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        # Of 80 GiB, 2 are the driver's and 8 are taken.
        ("Out of memory while trying to allocate 140.00GiB.", "--batch_size=256, about"),
        ("OOM when allocating tensor with shape[2097152,65536]", "a smaller one"),
    ],
)
def test_what_does_not_fit_says_how_much_would(tmp_path, monkeypatch, said, expected):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 81920\necho 40960\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [kind])
    taken = {"current": 8 * 2**30}
    monkeypatch.setattr(tf.config.experimental, "get_memory_info", lambda _: taken)
    run = types.SimpleNamespace(course=types.SimpleNamespace(batch_size=512), saves_memory=["--remat"])
    run.bad_images = types.SimpleNamespace(explained=contextlib.nullcontext)
    message = f"batch_size=512: does not fit.*try {expected}.*, --remat or"
    with pytest.raises(UserError, match=message), Run._explained(run):
        raise tf.errors.ResourceExhaustedError(None, None, said)
