"""What users of Keras do: compile, fit, save."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import mocotf
from mocotf.errors import UserError
from mocotf.nn.batch_norm import batch_norms
from mocotf.training.state import state_of
from tests import keras_models
from tests import processes

N = 8
SIDE = keras_models.SIDE
LOAD = """
import sys, keras, numpy as np
model = keras.saving.load_model(sys.argv[1])
np.save(sys.argv[2], model(np.ones((2, 16, 16, 3), "float32")))
assert not any(name.startswith("mocotf") for name in sys.modules)
"""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder of small pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    for i, x in enumerate(np.random.default_rng(0).integers(0, 256, (20, 20, 20, 3))):
        tf.io.write_file(str(folder / f"{i}.png"), tf.io.encode_png(x.astype(np.uint8)))
    return folder


def views(steps=4, seed=0, side=SIDE, n=N, views=2, channels=3):
    shape = steps, views, n, side, side, channels
    x = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return tf.data.Dataset.from_tensor_slices(tuple(x[:, v] for v in range(views)))


def make(backbone=keras_models.sequential, optimizer="adamw", strategy=None, **options):
    keras.utils.set_random_seed(0)
    with (strategy or tf.distribute.get_strategy()).scope():
        model = mocotf.MoCo(backbone, **{"dim": 8, "K": 36, "m": 0.9, "T": 0.2} | options)
        model.compile(optimizer if isinstance(optimizer, str) else optimizer())
    return model


def fitted(model, dataset=None, **options):
    model.fit(views() if dataset is None else dataset, **{"verbose": 0} | options)
    return model


def test_the_five_lines(pictures, tmp_path):
    backbone = keras_models.sequential()
    model = mocotf.MoCo(backbone, dim=8, mlp=True, K=64, m=0.99, T=0.2, bn_splits=2)
    model.compile(keras.optimizers.AdamW(1e-3))
    dataset = mocotf.two_crops(pictures, batch_size=N, image_size=SIDE)
    steps = []
    count = keras.callbacks.LambdaCallback(on_train_batch_end=lambda step, logs: steps.append(logs))
    board = keras.callbacks.TensorBoard(tmp_path / "logs")
    history = fitted(model, dataset, epochs=2, callbacks=[count, board]).history
    assert len(steps) == model.step == 2 * dataset.steps_per_epoch
    assert list(history.history) == list(steps[0]) and "stop" not in steps[0]
    for name, of_epochs in history.history.items():
        means = np.mean(np.reshape([logs[name] for logs in steps], [2, -1]), axis=1)
        np.testing.assert_allclose(of_epochs, means, rtol=1e-5, err_msg=name)
    assert np.all(np.isfinite(means)) and (tmp_path / "logs" / "train").is_dir()
    model.backbone.save(tmp_path / "encoder.keras")
    files = tmp_path / "encoder.keras", tmp_path / "features.npy"
    run = processes.python("-c", LOAD, *files, cwd=tmp_path, env={"PYTHONPATH": ""}).wait()
    assert run.code == 0, run.err
    images = np.ones((2, SIDE, SIDE, 3), "float32")
    np.testing.assert_array_equal(
        np.load(tmp_path / "features.npy"), model.query_encoder.backbone(images)
    )


def test_each_epoch_of_two_crops_draws_anew_and_can_be_gone_on_from(pictures):
    options = {"batch_size": N, "image_size": SIDE}
    dataset = mocotf.two_crops(pictures, **options)
    steps = dataset.steps_per_epoch
    first = [x.numpy() for x, _ in dataset.take(2 * steps)]
    later = mocotf.two_crops(pictures, first_epoch=1, **options)
    second = [x.numpy() for x, _ in later.take(steps)]
    np.testing.assert_array_equal(first[steps:], second)
    assert np.any(first[0] != second[0])


@pytest.mark.parametrize("optimizer", [keras.optimizers.SGD, keras.optimizers.AdamW])
def test_gradients_are_averaged_over_replicas(replicas, optimizer):
    keras.config.set_dtype_policy("float64")
    ends = []
    for count in (1, 2):
        model = make(
            optimizer=lambda: optimizer(0.01),
            strategy=replicas(count),
            bn_splits=2 // count,
            shuffle="off",
        )
        ends.append(fitted(model, views().map(lambda *x: tf.nest.map_structure(to_float64, x))))
    one, two = ends
    np.testing.assert_allclose(
        one.history.history["gradient_norm"], two.history.history["gradient_norm"], rtol=1e-9
    )
    for a, b in zip(one.trained_variables, two.trained_variables, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-10)


def to_float64(x):
    return tf.cast(x, tf.float64)


@pytest.mark.parametrize(
    ("mechanism", "backbone", "count"),
    [
        (mocotf.MoCo, keras_models.functional, 2),
        (mocotf.SimSiam, keras_models.subclassed, 1),
        pytest.param(mocotf.SimSiam, keras_models.subclassed, 2, marks=pytest.mark.slow),
        pytest.param(mocotf.MoCo, keras_models.with_dropout, 2, marks=pytest.mark.slow),
        pytest.param(mocotf.EndToEnd, keras_models.sequential, 2, marks=pytest.mark.slow),
    ],
)
def test_every_mechanism_takes_any_model(replicas, mechanism, backbone, count):
    options = {"N": 2 * N} if mechanism is mocotf.EndToEnd else {}
    with replicas(count).scope():
        model = mechanism(backbone, dim=8, image_size=SIDE, **options)
        model.compile("sgd")
    fitted(model, views(steps=2, n=2 * N))
    assert np.isfinite(model.history.history["loss"][0])


def test_images_of_other_channels_are_learned_from():
    images = keras.Input((SIDE, SIDE, 5))
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(8, 3, 2)(images))
    model = fitted(make(keras.Model(images, pooled), channels=5), views(steps=2, channels=5))
    assert model.backbone.input_shape == (None, SIDE, SIDE, 5)
    assert np.isfinite(model.history.history["loss"][0])
    with pytest.raises(UserError, match=r"views are \[16, 16, 3\], .* takes \[16, 16, 5\]"):
        fitted(model)
    with pytest.raises(UserError, match=r"expected views \(x_q, x_k\), each \[N, H, W, 5\]; mocotf"):
        fitted(model, views(views=1, channels=5))


def test_float16_scales_the_loss():
    keras.config.set_dtype_policy("mixed_float16")
    model = fitted(make(optimizer=keras.optimizers.AdamW))
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert 0 < model.history.history["gradient_norm"][0] < 1e3


def test_what_keras_saves_is_all_of_a_run(tmp_path):
    model = fitted(make(bn_splits=2))
    model.save_weights(tmp_path / "at.weights.h5")
    other = make(bn_splits=2)
    other.load_weights(tmp_path / "at.weights.h5")
    there, here = state_of(model), state_of(other)
    assert [n for n in there if np.any(there[n].numpy() != here[n].numpy())] == []
    ends = [fitted(m, views(seed=1)).history.history["loss"] for m in (model, other)]
    assert ends[0] == ends[1]


def test_shuffling_is_left_out_where_there_is_no_batch_norm(caplog):
    model = make(keras_models.with_dropout, bn_splits=4)
    assert model.shuffle == "off" and not batch_norms(model.query_encoder)
    assert "has no batch norm to split or to shuffle" in caplog.text
    fitted(model, views(n=6))  # no multiple of 4


@pytest.mark.parametrize(
    ("dataset", "options", "message"),
    [
        (views(views=1), {}, "expected views \\(x_q, x_k\\)"),
        (views().map(lambda x, _: x), {}, "expected views \\(x_q, x_k\\)"),
        (views(side=12), {}, "views are \\[12, 12, 3\\], backbone .* takes \\[16, 16, 3\\]"),
        (views(n=6), {"bn_splits": 4}, "has 6 images; expected a multiple of 4 .*; try 4"),
        (views(n=2), {"bn_splits": 4}, "has 2 images; expected a multiple of 4 .*; try 4"),
        (views().unbatch().batch(4), {"bn_splits": 4}, "drop_remainder=True"),
        (views(n=40), {}, "expected at most 36; try a larger K"),
        (np.zeros((4, 16, 16, 3)), {}, "received a ndarray; expected a tf.data.Dataset"),
    ],
)
def test_what_cannot_be_fitted_is_told_in_one_line(dataset, options, message):
    with pytest.raises(UserError, match=message) as error:
        fitted(make(**options), dataset)
    assert "\n" not in str(error.value)


def test_two_crops_tells_what_it_cannot_do(pictures):
    with pytest.raises(UserError, match="croop_min is no setting; expected some of dataset, "):
        mocotf.two_crops(pictures, croop_min=0.1)
    with pytest.raises(UserError, match="batch_size=4096: .* has only .* images"):
        mocotf.two_crops(pictures, batch_size=4096)
