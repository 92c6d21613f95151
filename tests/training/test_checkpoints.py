"""A checkpoint holds all that a run is made of."""

import contextlib
import logging
import os
import resource
import signal
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf

from mocotf.errors import UserError
from mocotf.training.checkpoints import Checkpoints
from mocotf.training.checkpoints import steps_in
from tests.moco.test_model import make_model
from tests.moco.test_model import train


@pytest.fixture
def start(replicas, tmp_path):
    """Returns a function: a new process's model, of `options`, and its checkpoints in a folder."""

    def make(count=1, folder=".", keep=3, **options):
        model = make_model(replicas(count), **options)
        return model, Checkpoints(str(tmp_path / folder), model, keep=keep)

    return make


def save(model, checkpoints, step=None):
    """Saves a model, as if it had taken so many steps."""
    if step is not None:
        model.optimizer.iterations.assign(step)
    checkpoints.save()
    assert checkpoints.wait()


@contextlib.contextmanager
def files_limited_to(size):
    """Lets no file grow beyond so many bytes, as on a disk that is nearly full."""
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, old)


def state(model):
    variables = {f"{i} {v.path}": v.numpy() for i, v in enumerate(model.variables)}
    variables |= {f"sgd {i}": v.numpy() for i, v in enumerate(model.optimizer.variables)}
    return variables | {"queue": model.queue.keys.numpy(), "ptr": model.queue.pointer.numpy()}


def assert_same(expected, found):
    assert len(expected) == len(found) > 25
    for (name, a), b in zip(expected.items(), found.values(), strict=True):
        np.testing.assert_array_equal(a, b, err_msg=name)


@pytest.mark.parametrize(("count", "policy"), [(2, "float32"), (1, "mixed_float16")])
def test_a_restored_run_ends_bit_equal_to_one_never_stopped(start, count, policy):
    keras.config.set_dtype_policy(policy)
    model, checkpoints = start(count)
    train(model, 3)
    save(model, checkpoints)
    train(model, 6, first=3)

    resumed, checkpoints = start(count)
    assert checkpoints.restore() == 3
    train(resumed, 6, first=3)
    # With several replicas only replica 0's BN statistics are kept; they do not touch training.
    assert_same(state(model), state(resumed))


def test_an_unreadable_checkpoint_is_reported_and_the_one_before_it_used(start, tmp_path, caplog):
    model, checkpoints = start()
    for step in (1, 2):
        save(model, checkpoints, step)
    data = tmp_path / "ckpt-2.data-00000-of-00001"
    os.truncate(data, data.stat().st_size // 2)
    model, checkpoints = start()
    with caplog.at_level(logging.ERROR):
        assert checkpoints.restore() == 1
    assert "ckpt-2" in caplog.text
    save(model, checkpoints, 2)  # over the unreadable one
    assert start()[1].restore() == 2

    for file in tmp_path.glob("ckpt-*.data*"):
        os.truncate(file, 10)
    with pytest.raises(UserError, match="none of 2 checkpoints can be read"):
        start()[1].restore()


def test_one_that_could_not_be_read_takes_the_place_of_none(start, tmp_path):
    model, checkpoints = start(keep=1)
    save(model, checkpoints, 300)
    (tmp_path / "ckpt-300.index").write_bytes(b"damaged")
    save(model, checkpoints, 200)
    save(model, checkpoints, 250)
    assert steps_in(str(tmp_path)) == [250]
    assert start(keep=1)[1].restore() == 250
    checkpoints.spared = {0, 250}
    save(model, checkpoints, 0)  # to have one to go back to, in a run that was begun without
    assert steps_in(str(tmp_path)) == [0, 250]


def test_keeps_the_newest_and_saves_a_step_once(start, tmp_path):
    model, checkpoints = start(keep=2)
    for step in range(1, 5):
        save(model, checkpoints, step)
        save(model, checkpoints)
    assert steps_in(tmp_path) == [3, 4]


def test_the_best_is_kept_beside_the_newest(start, tmp_path):
    model, checkpoints = start(keep=1)
    for step in range(1, 4):
        model.optimizer.iterations.assign(step)
        if step < 3:
            checkpoints.save(best=True)
        save(model, checkpoints)
    assert steps_in(tmp_path) == [3] and steps_in(tmp_path / "best") == [2]
    assert start(folder="best")[1].restore() == 2


def test_going_back_leaves_nothing_later_and_what_is_spared_stays(start, tmp_path):
    model, checkpoints = start(keep=1)
    checkpoints.spared = {1}
    for step in range(1, 5):
        model.optimizer.iterations.assign(step)
        if step == 3:
            checkpoints.save(best=True)
        save(model, checkpoints)
    assert steps_in(tmp_path) == [1, 4]
    checkpoints.forget_after(2)
    assert steps_in(tmp_path) == [1] and steps_in(tmp_path / "best") == []
    assert checkpoints.restore() == 1 == model.step
    save(model, checkpoints, 3)  # anew
    assert steps_in(tmp_path) == [1, 3]


def test_training_goes_on_while_a_checkpoint_is_written(start, tmp_path, monkeypatch):
    model, checkpoints = start()
    may_write = threading.Event()
    monkeypatch.setattr(
        tf.raw_ops, "SaveV2", lambda real=tf.raw_ops.SaveV2, **k: (may_write.wait(60), real(**k))
    )
    train(model, 1)
    expected = state(model)
    checkpoints.save()
    train(model, 2, first=1)  # which must not reach the file
    assert steps_in(tmp_path) == []
    may_write.set()
    assert checkpoints.wait() and steps_in(tmp_path) == [1]
    restored, checkpoints = start()
    checkpoints.restore()
    assert_same(expected, state(restored))


def test_where_the_disk_is_full_the_last_good_one_stays_and_the_run_goes_on(start, tmp_path, caplog):
    model, checkpoints = start()
    save(model, checkpoints, 1)
    model.optimizer.iterations.assign(2)
    with files_limited_to(1_000), caplog.at_level(logging.ERROR):
        checkpoints.save()
        assert not checkpoints.wait() and not checkpoints.wait()
    assert "cannot save the checkpoint of step 2" in caplog.text and "is of step 1" in caplog.text
    assert steps_in(tmp_path) == [1] and not (tmp_path / "partial").exists()
    save(model, checkpoints, 3)
    assert steps_in(tmp_path) == [1, 3]


def test_what_was_being_written_when_the_process_died_is_no_checkpoint(start, tmp_path):
    save(*start(), 1)
    (tmp_path / "partial").mkdir()
    (tmp_path / "partial" / "ckpt.index").write_text("torn")
    (tmp_path / "ckpt-2.data-00000-of-00001").write_text("renamed, but its index was not yet")
    resumed, checkpoints = start()
    assert checkpoints.restore() == 1
    save(resumed, checkpoints, 2)
    assert steps_in(tmp_path) == [1, 2]
    assert start()[1].restore() == 2


def test_the_checkpoint_of_another_architecture_names_what_differs(start):
    save(*start(), 1)
    message = r"of another model: queue/keys is \[40, 8\] there, \[48, 8\] here"
    with pytest.raises(UserError, match=message):
        start(K=48)[1].restore()
