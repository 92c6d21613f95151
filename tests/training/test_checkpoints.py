"""A checkpoint holds all that a run is made of."""

import logging
import os

import keras
import numpy as np
import pytest
import tensorflow as tf

from mocotf.errors import UserError
from mocotf.training.checkpoints import Checkpoints
from tests.moco.test_model import make_model
from tests.moco.test_model import pairs


def train(model, first, last):
    model.steps_per_epoch = model.total_steps = last
    model.fit(pairs().skip(first), steps_per_epoch=last - first, verbose=0, shuffle=False)


def state(model):
    variables = {f"{i} {v.path}": v.numpy() for i, v in enumerate(model.variables)}
    variables |= {f"sgd {i}": v.numpy() for i, v in enumerate(model.optimizer.variables)}
    return variables | {"queue": model.queue.keys.numpy(), "ptr": model.queue.pointer.numpy()}


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
@pytest.mark.parametrize("count", [1, 2])
def test_a_restored_run_ends_bit_equal_to_one_never_stopped(replicas, tmp_path, count, policy):
    keras.config.set_dtype_policy(policy)
    strategy = replicas(count)
    whole = make_model(strategy)
    train(whole, 0, 6)

    stopped = make_model(strategy)
    train(stopped, 0, 3)
    Checkpoints(str(tmp_path), stopped).save()
    resumed = make_model(strategy)
    assert Checkpoints(str(tmp_path), resumed).restore() == 3
    train(resumed, 3, 6)
    expected, found = state(whole), state(resumed)
    # With several replicas only replica 0's BN statistics are kept; they do not touch training.
    assert len(expected) == len(found) > 100
    for (name, a), b in zip(expected.items(), found.values(), strict=True):
        np.testing.assert_array_equal(a, b, err_msg=name)


def test_an_unreadable_checkpoint_is_reported_and_the_one_before_it_used(replicas, tmp_path, caplog):
    model = make_model(replicas(1))
    checkpoints = Checkpoints(str(tmp_path), model)
    for step in (1, 2):
        train(model, step - 1, step)
        checkpoints.save()
    data = tmp_path / "ckpt-2.data-00000-of-00001"
    os.truncate(data, data.stat().st_size // 2)
    with caplog.at_level(logging.ERROR):
        model = make_model(replicas(1))
        checkpoints = Checkpoints(str(tmp_path), model)
        assert checkpoints.restore() == 1
    assert "ckpt-2" in caplog.text
    train(model, 1, 2)
    checkpoints.save()  # over the unreadable one
    assert Checkpoints(str(tmp_path), make_model(replicas(1))).restore() == 2

    os.truncate(data, 10)
    for file in tmp_path.glob("ckpt-1.data*"):
        os.truncate(file, 10)
    with pytest.raises(UserError, match="none of 2 checkpoints can be read"):
        Checkpoints(str(tmp_path), make_model(replicas(1))).restore()


def test_keeps_the_newest_and_saves_a_step_once(replicas, tmp_path):
    model = make_model(replicas(1))
    checkpoints = Checkpoints(str(tmp_path), model, keep=2)
    for step in range(1, 5):
        train(model, step - 1, step)
        checkpoints.save()
        checkpoints.save()
    assert sorted(p.name for p in tmp_path.glob("*.index")) == ["ckpt-3.index", "ckpt-4.index"]
    assert tf.train.latest_checkpoint(str(tmp_path)).endswith("ckpt-4")


@pytest.mark.parametrize("content", [None, "", "garbage"])
def test_checkpoints_are_found_without_tensorflows_list_of_them(replicas, tmp_path, content):
    model = make_model(replicas(1))
    train(model, 0, 1)
    Checkpoints(str(tmp_path), model).save()
    (tmp_path / "checkpoint").unlink()
    if content is not None:
        (tmp_path / "checkpoint").write_text(content)
    assert Checkpoints(str(tmp_path), make_model(replicas(1))).restore() == 1
    assert Checkpoints(str(tmp_path / "none"), model).restore() is None
