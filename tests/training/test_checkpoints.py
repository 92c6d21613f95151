"""A checkpoint holds all that a run is made of."""

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
from mocotf.nn.encoder import build_encoder
from mocotf.training.checkpoints import Checkpoints
from mocotf.training.checkpoints import steps_in
from mocotf.training.weights import init_from
from tests.moco.test_model import make_model
from tests.moco.test_model import train


def at_step(model, step):
    """Returns a model as if it had taken so many steps."""
    model.optimizer.iterations.assign(step)
    return model


def save(checkpoints):
    checkpoints.save()
    assert checkpoints.wait()


def state(model):
    variables = {f"{i} {v.path}": v.numpy() for i, v in enumerate(model.variables)}
    variables |= {f"sgd {i}": v.numpy() for i, v in enumerate(model.optimizer.variables)}
    return variables | {"queue": model.queue.keys.numpy(), "ptr": model.queue.pointer.numpy()}


@pytest.mark.parametrize(("count", "policy"), [(2, "float32"), (1, "mixed_float16")])
def test_a_restored_run_ends_bit_equal_to_one_never_stopped(replicas, tmp_path, count, policy):
    keras.config.set_dtype_policy(policy)
    strategy = replicas(count)
    model = make_model(strategy)
    train(model, 3)
    save(Checkpoints(str(tmp_path), model))
    train(model, 6, first=3)

    resumed = make_model(strategy)
    assert Checkpoints(str(tmp_path), resumed).restore() == 3
    train(resumed, 6, first=3)
    expected, found = state(model), state(resumed)
    # With several replicas only replica 0's BN statistics are kept; they do not touch training.
    assert len(expected) == len(found) > 25
    for (name, a), b in zip(expected.items(), found.values(), strict=True):
        np.testing.assert_array_equal(a, b, err_msg=name)


def test_an_unreadable_checkpoint_is_reported_and_the_one_before_it_used(replicas, tmp_path, caplog):
    model = make_model(replicas(1))
    checkpoints = Checkpoints(str(tmp_path), model)
    for step in (1, 2):
        at_step(model, step)
        save(checkpoints)
    data = tmp_path / "ckpt-2.data-00000-of-00001"
    os.truncate(data, data.stat().st_size // 2)
    with caplog.at_level(logging.ERROR):
        model = make_model(replicas(1))
        checkpoints = Checkpoints(str(tmp_path), model)
        assert checkpoints.restore() == 1
    assert "ckpt-2" in caplog.text
    at_step(model, 2)
    save(checkpoints)  # over the unreadable one
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
        at_step(model, step)
        save(checkpoints)
        save(checkpoints)
    assert steps_in(tmp_path) == [3, 4]


def test_the_best_is_kept_beside_the_newest(replicas, tmp_path):
    model = make_model(replicas(1))
    checkpoints = Checkpoints(str(tmp_path), model, keep=1)
    for step in range(1, 4):
        at_step(model, step)
        if step < 3:
            checkpoints.save(best=True)
        save(checkpoints)
    assert steps_in(tmp_path) == [3] and steps_in(tmp_path / "best") == [2]
    best = make_model(replicas(1))
    assert Checkpoints(str(tmp_path / "best"), best).restore() == 2


def test_training_goes_on_while_a_checkpoint_is_written(replicas, tmp_path, monkeypatch):
    model = make_model(replicas(1))
    checkpoints = Checkpoints(str(tmp_path), model)
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
    restored = make_model(replicas(1))
    Checkpoints(str(tmp_path), restored).restore()
    for (name, a), b in zip(expected.items(), state(restored).values(), strict=True):
        np.testing.assert_array_equal(a, b, err_msg=name)


def test_where_the_disk_is_full_the_last_good_one_stays_and_the_run_goes_on(replicas, tmp_path, caplog):
    model = make_model(replicas(1))
    checkpoints = Checkpoints(str(tmp_path), model)
    at_step(model, 1)
    save(checkpoints)
    at_step(model, 2)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, limits[1]))  # as a disk that is nearly full
    try:
        with caplog.at_level(logging.ERROR):
            checkpoints.save()
            assert not checkpoints.wait() and not checkpoints.wait()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, old)
    assert "cannot save the checkpoint of step 2" in caplog.text and "is of step 1" in caplog.text
    assert steps_in(tmp_path) == [1] and not (tmp_path / "partial").exists()
    at_step(model, 3)
    save(checkpoints)
    assert steps_in(tmp_path) == [1, 3]


def test_what_was_being_written_when_the_process_died_is_no_checkpoint(replicas, tmp_path):
    save(Checkpoints(str(tmp_path), at_step(make_model(replicas(1)), 1)))
    (tmp_path / "partial").mkdir()
    (tmp_path / "partial" / "ckpt.index").write_text("torn")
    (tmp_path / "ckpt-2.data-00000-of-00001").write_text("renamed, but its index was not yet")
    resumed = make_model(replicas(1))
    checkpoints = Checkpoints(str(tmp_path), resumed)
    assert checkpoints.restore() == 1
    at_step(resumed, 2)
    save(checkpoints)
    assert steps_in(tmp_path) == [1, 2]
    assert Checkpoints(str(tmp_path), make_model(replicas(1))).restore() == 2


def test_the_checkpoint_of_another_architecture_names_what_differs(replicas, tmp_path):
    save(Checkpoints(str(tmp_path), at_step(make_model(replicas(1)), 1)))
    other = make_model(replicas(1), K=48)
    message = r"of another model: queue/keys is \[40, 8\] there, \[48, 8\] here"
    with pytest.raises(UserError, match=message):
        Checkpoints(str(tmp_path), other).restore()


def test_a_new_run_may_start_from_the_query_encoder_of_another(replicas, tmp_path):
    model = at_step(make_model(replicas(2)), 2)
    for weight in model.query_encoder.weights:
        weight.assign(weight + 1)
    save(Checkpoints(str(tmp_path / "checkpoints"), model))
    for path in (tmp_path, tmp_path / "checkpoints" / "ckpt-2"):
        new = make_model(replicas(2), K=48)  # only encoders must agree
        queue = new.queue.keys.numpy()
        init_from(new, str(path))
        for a, b, c in zip(
            model.query_encoder.weights, new.query_encoder.weights, new.key_encoder.weights, strict=True
        ):
            np.testing.assert_array_equal(a.numpy(), b.numpy())
            np.testing.assert_array_equal(a.numpy(), c.numpy())
        np.testing.assert_array_equal(queue, new.queue.keys.numpy())
        assert new.step == 0


def test_init_from_says_what_is_wrong(replicas, tmp_path):
    model = make_model(replicas(1))
    save(Checkpoints(str(tmp_path / "run" / "checkpoints"), model))
    (tmp_path / "empty" / "checkpoints").mkdir(parents=True)
    with pytest.raises(UserError, match="has no checkpoint yet"):
        init_from(model, str(tmp_path / "empty"))
    with pytest.raises(UserError, match="expected a run directory, or a checkpoint"):
        init_from(model, str(tmp_path / "nowhere"))

    def wider(width, **options):
        return build_encoder(width=2 * width, **options)

    with pytest.raises(
        UserError, match="query_encoder/bn1/beta is \\[8\\] there, \\[16\\] here; .* more"
    ):
        init_from(make_model(replicas(1), make_encoder=wider), str(tmp_path / "run"))
