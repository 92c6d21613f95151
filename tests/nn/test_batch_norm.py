"""The fused batch norm against PyTorch's, in groups."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

from mocotf.nn.batch_norm import BatchNorm
from mocotf.nn.batch_norm import BatchNormAddReLU
from mocotf.nn.batch_norm import BatchNormReLU
from mocotf.nn.batch_norm import normalize_by_batch
from mocotf.nn.kernels import policy
from tests.oracles.small import from_torch
from tests.oracles.small import to_torch
from tests.oracles.torch_resnet import GroupBatchNorm2d

TOLERANCE = {"float32": 2e-5, "float64": 1e-12}


def pair(dtype, groups):
    """Returns our layer and the oracle's, with the same γ and β, neither of them trivial."""
    keras.config.set_dtype_policy(dtype)
    ours = BatchNorm(groups)
    ours.build((None, None, None, 5))
    theirs = GroupBatchNorm2d(5, groups).to(getattr(torch, dtype))
    values = np.random.default_rng(1).normal(1, 0.3, (2, 5)).astype(dtype)
    for value, mine, other in zip(values, (ours.gamma, ours.beta), theirs.parameters(), strict=True):
        mine.assign(value)
        other.data = torch.from_numpy(value)
    return ours, theirs


@pytest.mark.parametrize(
    ("dtype", "groups"), [("float32", 1), ("float32", 4), ("float64", 1), ("float64", 2)]
)
def test_output_gradient_and_moving_statistics_are_pytorchs(dtype, groups):
    ours, theirs = pair(dtype, groups)
    tolerance = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype]}
    rng = np.random.default_rng(0)
    for _ in range(3):
        x = rng.normal(2, 3, (8, 3, 4, 5)).astype(dtype)
        upstream = rng.normal(size=x.shape).astype(dtype)
        tensor = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(tensor)
            y = ours(tensor, training=True)
            loss = tf.reduce_sum(y * upstream)
        dx, *gradients = tape.gradient(loss, [tensor, ours.gamma.value, ours.beta.value])

        x_torch = to_torch(x).requires_grad_()
        y_torch = theirs(x_torch)
        sources = [x_torch, theirs.weight, theirs.bias]
        dx_torch, *expected = torch.autograd.grad((y_torch * to_torch(upstream)).sum(), sources)
        np.testing.assert_allclose(y, from_torch(y_torch), **tolerance)
        np.testing.assert_allclose(dx, from_torch(dx_torch), **tolerance)
        scale = {"rtol": tolerance["rtol"], "atol": 20 * tolerance["atol"]}  # sums of 96 products
        np.testing.assert_allclose(np.stack(gradients), torch.stack(expected), **scale)
    np.testing.assert_allclose(ours.moving_mean.numpy(), theirs.running_mean.numpy(), **tolerance)
    np.testing.assert_allclose(ours.moving_variance.numpy(), theirs.running_var.numpy(), **tolerance)

    theirs.eval()
    inference = ours(tensor, training=False)
    np.testing.assert_allclose(inference, from_torch(theirs(x_torch)), **tolerance)


@pytest.fixture
def however_small(monkeypatch):
    """Images of a few pixels are normalised as large ones are."""
    monkeypatch.setattr(policy, "LARGE", 0)
    monkeypatch.setattr(policy, "_cpu_has", lambda *names: "avx2" in names)


def values_and_gradients(dtype, inputs, upstream, groups, relu):
    """Returns all that is made of x, of a shortcut, and of the result's gradient, as float64 arrays."""
    wide = tf.float64 if dtype == "float64" else tf.float32
    gamma, beta = np.random.default_rng(1).normal(1, 0.3, (2, inputs[0].shape[-1]))
    sources = [*(tf.cast(v, dtype) for v in inputs), tf.cast(gamma, wide), tf.cast(beta, wide)]
    with tf.GradientTape() as tape:
        tape.watch(sources)
        x, *shortcut, gamma, beta = sources
        options = {"groups": groups, "shortcut": shortcut[0] if shortcut else None, "relu": relu}
        y, *statistics = normalize_by_batch(x, gamma, beta, 1e-5, **options)
        total = tf.reduce_sum(y * tf.cast(upstream, y.dtype))
    found = y, *tape.gradient(total, sources), *statistics
    return [tf.cast(value, tf.float64).numpy() for value in found]


@pytest.mark.usefixtures("however_small")
@pytest.mark.parametrize(
    # Of few and of many channels the float32 ways differ; pixels of a group are even and odd.
    ("channels", "with_shortcut", "relu", "shape", "groups"),
    [  # every two values of two
        (8, False, False, (4, 6, 6), 1), (8, False, True, (2, 3, 5), 1),
        (8, True, False, (2, 3, 5), 2), (8, True, True, (4, 6, 6), 2),
        (64, False, False, (2, 3, 5), 2), (64, False, True, (4, 6, 6), 2),
        (64, True, False, (4, 6, 6), 1), (64, True, True, (2, 3, 5), 1),
    ],
)  # fmt: skip
def test_shortcut_and_relu_are_those_of_float64(channels, with_shortcut, relu, shape, groups):
    x, shortcut, upstream = np.random.default_rng(0).normal(2, 3, (3, *shape, channels))
    arguments = (x, shortcut)[: 1 + with_shortcut], upstream, groups, relu
    both = (values_and_gradients(dtype, *arguments) for dtype in ("float32", "float64"))
    for ours, exact in zip(*both, strict=True):
        np.testing.assert_allclose(ours, exact, atol=1e-5 * np.abs(exact).max())


@pytest.mark.usefixtures("however_small")
@pytest.mark.parametrize(("relu", "groups"), [(True, 1), (False, 2)])
def test_bfloat16_is_rounded_once_where_a_cpu_has_no_instructions_for_it(relu, groups, monkeypatch):
    monkeypatch.setitem(policy.INSTRUCTIONS, tf.bfloat16, "none")
    values = tf.cast(np.random.default_rng(0).normal(2, 3, (3, 4, 6, 6, 64)), tf.bfloat16)
    arguments = tf.unstack(values[:2]), values[2], groups, relu
    both = (values_and_gradients(dtype, *arguments) for dtype in ("bfloat16", "float64"))
    for ours, exact in zip(*both, strict=True):
        np.testing.assert_allclose(ours, exact, rtol=1.01 * 2**-8, atol=1e-5 * np.abs(exact).max())


@pytest.mark.parametrize("training", [False, True])
def test_layers_that_go_on_do_what_separate_ones_would(training):
    x, shortcut = tf.unstack(tf.random.stateless_normal([2, 4, 3, 3, 64], [0, 1]))
    normalized = BatchNorm()(x, training=training)
    np.testing.assert_allclose(BatchNormReLU()(x, training=training), tf.nn.relu(normalized), atol=1e-5)
    both = BatchNormAddReLU()(x, shortcut, training=training)
    np.testing.assert_allclose(both, tf.nn.relu(normalized + shortcut), atol=1e-5)


@pytest.mark.usefixtures("however_small")
def test_statistics_hold_where_the_mean_is_a_thousand_deviations_from_0():
    x = np.random.default_rng(0).normal(1000, 1, (8, 6, 5, 64)).astype("float32")
    layer = BatchNorm(momentum=0)
    layer(x, training=True)
    np.testing.assert_allclose(layer.moving_mean.numpy(), x.mean((0, 1, 2), "float64"), rtol=1e-6)
    exact = x.var((0, 1, 2), "float64", ddof=1)
    np.testing.assert_allclose(layer.moving_variance.numpy(), exact, rtol=1e-4)


@pytest.mark.usefixtures("however_small")
def test_is_the_same_in_a_function_that_xla_compiles_whole():
    layer = BatchNormReLU()
    layer.build([4, 6, 6, 64])
    x = tf.random.stateless_normal([4, 6, 6, 64], [0, 1])

    def gradient():
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = tf.reduce_sum(layer(x, training=True) ** 3)
        return tape.gradient(total, x)

    np.testing.assert_allclose(tf.function(gradient, jit_compile=True)(), gradient(), atol=1e-5)


@pytest.mark.usefixtures("however_small")
def test_groups_are_not_taken_apart():
    layer = BatchNormAddReLU(4)
    layer.build([8, 6, 6, 64])

    @tf.function
    def gradient(x, shortcut):
        total = tf.reduce_sum(layer(x, shortcut, training=True) ** 2)
        return tf.gradients(total, [x, shortcut, layer.gamma.value])

    graph = gradient.get_concrete_function(*2 * [tf.TensorSpec([8, 6, 6, 64])]).graph
    assert not {op.type for op in graph.get_operations()} & {"Split", "ConcatV2", "Slice"}


@pytest.mark.usefixtures("however_small")
def test_gradients_pass_just_where_the_relu_let_through():
    x = tf.random.stateless_normal([64, 20, 20, 64], [0, 1])
    layer = BatchNormReLU(2)
    layer.build(x.shape)
    with tf.GradientTape() as tape:
        y = layer(x, training=True)
        total = tf.reduce_sum(y)
    open_gates = tf.math.count_nonzero(y > 0, [0, 1, 2])
    np.testing.assert_allclose(tape.gradient(total, layer.beta.value), open_gates, atol=0.1)


def test_not_trainable_does_not_mean_inference():
    layer = BatchNorm()
    layer.trainable = False
    x = tf.random.stateless_normal([16, 2, 2, 3], [0, 1]) * 5 + 7
    y = layer(x, training=True)
    np.testing.assert_allclose(tf.reduce_mean(y, [0, 1, 2]), 0, atol=1e-5)
    assert np.all(layer.moving_mean.numpy() > 0)


def test_bfloat16_activations_keep_float32_statistics():
    keras.config.set_dtype_policy("mixed_bfloat16")
    layer = BatchNorm()
    x = tf.random.stateless_normal([64, 4, 4, 3], [0, 1]) * 5 + 7
    assert layer(x, training=True).dtype == tf.bfloat16
    assert {v.dtype for v in layer.variables} == {"float32"}
    expected = 0.1 * tf.reduce_mean(tf.cast(tf.cast(x, tf.bfloat16), tf.float32), [0, 1, 2])
    np.testing.assert_allclose(layer.moving_mean.numpy(), expected, rtol=1e-3)


def test_says_when_a_batch_does_not_divide_into_groups():
    with pytest.raises(ValueError, match="batch of 6 does not divide into 4 BN groups"):
        BatchNorm(4)(tf.zeros([6, 2, 2, 3]), training=True)


@pytest.mark.parametrize("shape", [(8, 64), (8, 5, 64), (8, 2, 3, 2, 64)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_any_rank_is_normalised_as_so_many_pixels(shape, dtype):
    x, shortcut = (tf.random.stateless_normal(shape, [seed, 1], dtype=dtype) for seed in (0, 1))
    gamma, beta = tf.linspace(tf.cast([0.5, -1], dtype), tf.cast([1, 1], dtype), shape[-1], axis=1)
    options = {"groups": 2, "relu": True}

    @tf.function(input_signature=2 * [tf.TensorSpec([None] * (len(shape) - 1) + [64], dtype)])
    def normalize(x, shortcut):
        return normalize_by_batch(x, gamma, beta, 1e-5, shortcut=shortcut, **options)

    images = [tf.reshape(value, [8, -1, 1, 64]) for value in (x, shortcut)]
    expected = normalize_by_batch(images[0], gamma, beta, 1e-5, shortcut=images[1], **options)
    found = normalize(x, shortcut)
    assert found[0].shape == x.shape
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(tf.reshape(a, b.shape), b, atol=1e-6)
