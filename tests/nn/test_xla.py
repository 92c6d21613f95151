"""What XLA compiles whole: the same results as of TensorFlow's operators, in few passes over memory."""

import re
import types

import numpy as np
import pytest
import tensorflow as tf

from mocotf.nn import products
from mocotf.nn import xla
from mocotf.nn.batch_norm import BatchNormAddReLU
from mocotf.nn.batch_norm import BatchNormReLU
from mocotf.nn.max_pool import MaxPool
from mocotf.nn.resnet import Conv2D

SHAPE = [4, 6, 4, 8]


def run(layer, *inputs, compiled):
    """Returns a layer's result and the gradients of a sum of it for its inputs and its weights."""

    @tf.function(jit_compile=compiled, autograph=False)
    def results(*inputs):
        with xla.compiled_whole(compiled), tf.GradientTape() as tape:
            tape.watch(inputs)
            y = layer(*inputs, training=True)
            weights = tf.cast(tf.reshape(tf.range(tf.size(y)), tf.shape(y)) % 7, y.dtype)
            total = tf.reduce_sum(weights * y)
        theta = [v.value for v in layer.trainable_variables]
        return y, *tape.gradient(total, [*inputs, *theta])

    return [value.numpy() for value in results(*inputs)]


def noise(seed, dtype="float32"):
    return tf.cast(tf.random.stateless_normal(SHAPE, [seed, 1]), dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("with_shortcut", [False, True])
def test_batch_norm_is_what_it_is_without_xla(groups, with_shortcut, dtype):
    inputs = [noise(i, dtype) for i in range(1 + with_shortcut)]
    results = []
    for compiled in (False, True):
        layer = (BatchNormAddReLU if with_shortcut else BatchNormReLU)(groups, dtype=dtype)
        layer.build(SHAPE)
        layer.gamma.assign(tf.linspace(-1.0, 2.0, SHAPE[-1]))
        layer.beta.assign(tf.linspace(-0.5, 0.5, SHAPE[-1]))
        found = run(layer, *inputs, compiled=compiled)
        results.append([*found, layer.moving_mean.numpy(), layer.moving_variance.numpy()])
    tolerance = {"float32": 2e-5, "float64": 1e-12}[dtype]
    for plain, whole in zip(*results, strict=True):
        np.testing.assert_allclose(whole, plain, atol=tolerance * np.abs(plain).max())


def test_max_pool_is_what_it_is_without_xla():
    x = tf.nn.relu(noise(3))
    for plain, whole in zip(*(run(MaxPool(), x, compiled=c) for c in (False, True)), strict=True):
        np.testing.assert_array_equal(whole, plain)


@pytest.mark.parametrize(("kernel", "channels"), [(7, 3), (3, 3), (7, 1), (7, 4), (7, 13)])
def test_the_stem_is_what_it_is_without_xla(kernel, channels):
    x = tf.random.stateless_normal([2, 10, 14, channels], [0, 1], dtype=tf.float64)
    layer = Conv2D(5, kernel, 2, padding="valid", use_bias=False, dtype="float64")
    layer.build(x.shape)
    for plain, whole in zip(*(run(layer, x, compiled=c) for c in (False, True)), strict=True):
        np.testing.assert_allclose(whole, plain, atol=1e-13 * np.abs(plain).max())


@pytest.mark.parametrize("compiled", [False, True])
def test_products_are_of_true_float32_where_a_gpu_would_round(monkeypatch, compiled):
    monkeypatch.setattr(products, "_rounds", lambda: True)
    a, b = (tf.random.stateless_normal([n, 5], [n, 0]) for n in (3, 4))

    @tf.function(jit_compile=compiled)
    def results(a, b):
        with xla.compiled_whole(compiled):
            c = products.product(a, b)
        return c, *tf.gradients(c, [a, b], grad_ys=tf.reshape(tf.range(12.0), [3, 4]))

    c, da, db = results(a, b)
    dc = np.arange(12.0).reshape(3, 4)
    np.testing.assert_allclose(c, a.numpy() @ b.numpy().T, rtol=1e-5)
    np.testing.assert_allclose(da, dc @ b.numpy(), rtol=1e-5)
    np.testing.assert_allclose(db, dc.T @ a.numpy(), rtol=1e-5)
    if compiled:
        hlo = results.experimental_get_compiler_ir(a, b)(stage="hlo")
        dots = re.findall(r" dot\(.*", hlo)
        assert len(dots) == 3 and all("operand_precision={highest,highest}" in dot for dot in dots)


def test_newer_gpus_than_xla_knows_are_left_to_tensorflow(monkeypatch):
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: [kind])
    details = {}
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda _: details)
    for capability, works in (((9, 0), True), ((12, 0), False)):
        details["compute_capability"] = capability
        xla.works.cache_clear()
        assert xla.works() == works
    xla.works.cache_clear()


@pytest.mark.parametrize(
    ("devices", "replicas", "pays"),  # the last of two workers
    [("/GPU:0", 1, True), ("/GPU:0 /GPU:1", 2, False), ("/CPU:0", 1, False), ("/GPU:0", 2, False)],
)
def test_a_step_is_compiled_whole_on_one_gpu_only(devices, replicas, pays):
    extended = types.SimpleNamespace(worker_devices=devices.split())
    strategy = types.SimpleNamespace(extended=extended, num_replicas_in_sync=replicas)
    assert xla.pays(strategy) == pays
