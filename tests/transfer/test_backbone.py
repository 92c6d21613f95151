"""The backbone as a feature pyramid: the same features, other strides, statistics of all replicas."""

import functools
import logging
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from mocotf.errors import UserError
from mocotf.evaluation.classifier import Classifier
from mocotf.moco.saved_run import open_run
from mocotf.nn import replica_layers
from mocotf.nn.keras_backbones import as_backbone
from mocotf.nn.resnet import resnet
from mocotf.optim.sgd import SGD
from mocotf.training.checkpoints import Checkpoints
from mocotf.transfer.backbone import levels_of
from mocotf.transfer.backbone import pyramid
from mocotf.transfer.start import open_start
from tests import keras_models
from tests import tiny
from tests.nn.kernels.support import operators
from tests.saved_run import write_run


def images(n, size):
    return np.random.default_rng(0).normal(size=(n, size, size, 3)).astype(np.float32)


@functools.cache
def backbone(stem="imagenet", arch="resnet10"):
    return resnet(arch, width=0.125, stem=stem)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Returns the path of a run of a small ResNet."""
    folder = tmp_path_factory.mktemp("run")
    write_run(folder, arch="resnet10", stem="small")
    return folder


def test_its_features_are_the_runs(run):
    x = images(4, 32)
    features = tf.reduce_mean(open_start(str(run)).pyramid()(x), axis=[1, 2])
    np.testing.assert_allclose(features, open_run(str(run)).encoder().backbone(x), atol=1e-5)


@pytest.mark.parametrize(
    ("arch", "stem", "finest"),
    [("resnet10", "imagenet", 4), ("resnet50", "small", 2), ("resnet10", "cifar", 1)],
)
def test_levels_are_named_by_their_stride(arch, stem, finest):
    model, strides = pyramid(backbone(stem, arch)), [finest * 2**i for i in range(4)]
    assert [stride for _, stride in model.stages.values()] == strides
    assert list(model.stages) == list(backbone(stem, arch).stages)
    maps = keras.Model(model.input, model.pyramid_outputs)(images(1, 64))
    named = {f"P{int(np.log2(stride))}": stride for stride in strides}
    assert {name: 64 // x.shape[1] for name, x in maps.items()} == named


def test_strided_shortcuts_get_their_gradient_without_onednn():
    model = pyramid(backbone())
    for name in ("layer2.0.downsample.0", "layer3.0.downsample.0", "layer4.0.downsample.0"):
        shortcut = model.get_layer(name)

        def gradient(x, shortcut=shortcut):
            return tf.gradients(shortcut(x, training=True), shortcut.kernel.value)

        # Whose is wrong with few channels, and writes beyond its memory.
        x = tf.zeros([1, 8, 8, shortcut.kernel.shape[2]])
        assert shortcut.strides == (2, 2) and "Conv2DBackpropFilter" not in operators(gradient, x)


@pytest.mark.parametrize("arch", ["resnet10", "resnet50"])
def test_dilated_it_has_the_same_convolutions_further_apart(arch):
    x = images(1, 128)
    plain, dilated = (pyramid(backbone(arch=arch), dilated=dilated) for dilated in (False, True))
    assert plain(x).shape[1:3] == (4, 4) and dilated(x).shape[1:3] == (8, 8)
    assert [stride for _, stride in dilated.stages.values()] == [4, 8, 16, 16] and dilated.stride == 16
    # Every other place of the shortcut, a 1×1 convolution, is the strided one's.
    shortcut = "layer4.0.downsample.1"
    a, b = (keras.Model(m.input, m.get_layer(shortcut).output)(x)[0] for m in (plain, dilated))
    np.testing.assert_allclose(a, b[::2, ::2], rtol=1e-5, atol=1e-5 * np.abs(a).max())
    last = [layer for layer in dilated.layers if layer.name.startswith("layer4")]
    convs = [layer for layer in last if isinstance(layer, keras.layers.Conv2D)]
    assert {conv.dilation_rate for conv in convs if conv.kernel_size == (3, 3)} == {(2, 2)}


@pytest.mark.parametrize(
    ("stem", "asked", "expected"),
    [
        ("imagenet", (None, None), (3, 7)), ("small", (None, None), (3, 4)),
        ("cifar", (None, None), (2, 3)), ("small", (2, 4), (2, 4)),
    ],
)  # fmt: skip
def test_levels_are_those_that_there_are(stem, asked, expected):
    assert levels_of(pyramid(backbone(stem)), *asked) == expected


@pytest.mark.parametrize(
    ("stem", "asked"), [("small", (3, 7)), ("imagenet", (1, 7)), ("cifar", (4, 5))]
)
def test_levels_that_a_stem_does_not_give_are_told(stem, asked):
    with pytest.raises(UserError, match="the backbone has maps of levels") as caught:
        levels_of(pyramid(backbone(stem)), *asked)
    assert "\n" not in str(caught.value)


def test_a_random_start_depends_on_its_seed_only(run):
    start = open_start(str(run), trained=False)
    assert start.name == "random"
    first, again, other = (start.pyramid(seed=s).get_layer("conv1").get_weights()[0] for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.01


def test_a_supervised_run_is_a_start(run, tmp_path):
    (tmp_path / "flags.cfg").write_text(f"--pretrained={run}\n--label_fraction=1.0\n")
    model = Classifier(open_run(str(run)).encoder().backbone, 3, tune=True)
    kernel = model.backbone.get_layer("conv1").kernel
    kernel.assign_add(tf.ones_like(kernel))
    model.compile(optimizer=SGD(0.1), auto_scale_loss=False)
    model.optimizer.build(model.trained_variables)
    checkpoints = Checkpoints(str(tmp_path / "checkpoints"), model)
    checkpoints.save()
    assert checkpoints.wait()
    start = open_start(str(tmp_path))
    assert start.name == str(tmp_path)
    np.testing.assert_array_equal(start.pyramid().get_layer("conv1").kernel, kernel)


def test_a_run_of_other_channels_is_none(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    with open(copy / "flags.cfg", "a", encoding="utf-8") as config:
        config.write("--channels=1\n--mean=5\n--std=2\n")
    with pytest.raises(UserError, match="is of --channels=1; detection and segmentation take RGB only"):
        open_start(str(copy))


@pytest.mark.parametrize("change", ["--width=0.25", "--arch=resnet18"])
def test_a_run_of_another_architecture_is_told(run, tmp_path, change):
    copy = shutil.copytree(run, tmp_path / "run")
    with open(copy / "flags.cfg", "a", encoding="utf-8") as config:
        config.write(f"{change}\n")
    with pytest.raises(UserError, match="is of another architecture"):
        open_start(str(copy)).pyramid()


def test_statistics_of_two_replicas_are_those_of_the_joint_batch(replicas):
    x = images(8, 16)
    backbone = tiny.stages(0.125, "cifar")

    def train(count):
        strategy = replicas(count)
        with strategy.scope():
            model = pyramid(backbone)
        shares = strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(np.split(x, count)[context.replica_id_in_sync_group])
        )

        @tf.function(autograph=False)
        def run(images):
            y = strategy.run(lambda x: model(x, training=True), args=(images,))
            return tf.concat(strategy.experimental_local_results(y), axis=0)

        y = run(shares).numpy()
        return y, {v.path: v.numpy() for v in model.variables}

    (one, state), (two, other_state) = train(1), train(2)
    np.testing.assert_allclose(two, one, atol=2e-5)
    for name, value in state.items():
        np.testing.assert_allclose(other_state[name], value, atol=1e-5, err_msg=name)
    changed = [name for name, value in state.items() if "moving_mean" in name and value.any()]
    assert len(changed) == 5  # the stem's, and one a stage


def mobile_net():
    return keras.applications.MobileNetV2(include_top=False, weights=None, alpha=0.35)


def with_pixels():
    return keras_models.with_stages(64, pixels=True)


def measured(make, **options):
    """Returns a `KerasBackbone` for 64 px with statistics of some images."""
    backbone = as_backbone(make, image_size=64, **options)
    for norm in replica_layers.batch_norms(backbone):
        norm.momentum = 0.0
    backbone(images(8, 64), training=True)
    return backbone


def maps(inputs, stages, x):
    return keras.Model(inputs, [tensor for tensor, _ in stages.values()])([x])


@pytest.mark.parametrize("make", [keras_models.with_stages, mobile_net])
def test_the_maps_of_a_keras_model_are_its_own(make):
    backbone = measured(make, bn_splits=2)
    model, x = pyramid(backbone), images(2, 64)
    found = maps(model.inputs, model.stages, x)
    assert [64 // y.shape[1] for y in found] == [4, 8, 16, 32]
    for expected, y in zip(maps(backbone.model.inputs, backbone.stages, x), found, strict=True):
        np.testing.assert_array_equal(y, expected)
        assert np.ptp(y) > 0.1
    assert list(model.pyramid_outputs) == list(model.stages) == ["P2", "P3", "P4", "P5"]
    assert levels_of(model) == (3, 7)
    norms = replica_layers.batch_norms(model)
    assert norms and all(norm.synchronized and norm.groups == 1 for norm in norms)
    own = {v.path for v in backbone.model.trainable_variables}
    assert {v.path for v in model.trainable_variables} == own


def test_a_model_that_preprocesses_is_given_pixels_and_one_of_one_size_takes_all():
    backbone = measured(with_pixels, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))
    assert backbone.preprocesses
    model, x = pyramid(backbone), images(2, 64)
    expected = maps(backbone.model.inputs, backbone.stages, backbone.prepared(tf.constant(x)))[-1]
    np.testing.assert_array_equal(model(x), expected)
    assert model(images(1, 96)).shape == (1, 3, 3, 8)


def test_statistics_of_a_keras_model_are_of_all_replicas_too(replicas):
    x, backbone, found = images(8, 64), measured(keras_models.with_stages), {}
    for count in (1, 2):
        strategy = replicas(count)
        with strategy.scope():
            model = pyramid(backbone)
        shares = strategy.experimental_distribute_values_from_function(
            lambda context, n=count: tf.constant(np.split(x, n)[context.replica_id_in_sync_group])
        )
        run = tf.function(lambda x, m=model: m(x, training=True), autograph=False)
        y = strategy.experimental_local_results(strategy.run(run, args=(shares,)))
        found[count] = np.concatenate(y), [v.numpy() for v in model.variables]
    np.testing.assert_allclose(found[2][0], found[1][0], atol=1e-4)
    for one, two in zip(found[1][1], found[2][1], strict=True):
        np.testing.assert_allclose(two, one, atol=1e-4)


def test_its_precision_is_that_of_the_encoder():
    keras.config.set_dtype_policy("mixed_bfloat16")
    backbone = as_backbone(with_pixels, image_size=64, mean=(0, 0, 0), std=(1, 1, 1))
    keras.config.set_dtype_policy("float32")
    model = pyramid(backbone)
    assert {layer.compute_dtype for layer in model.layers[1:]} == {"bfloat16"}
    assert model(images(1, 64)).dtype == tf.bfloat16


def test_a_backbone_without_stages_is_told():
    for backbone in (as_backbone(keras_models.subclassed, image_size=16), tiny.backbone()):
        with pytest.raises(UserError, match="does not say what its stages are.*expected a ") as caught:
            pyramid(backbone)
        assert "\n" not in str(caught.value)


def inner_of_one_size():
    images, inner = keras.Input((64, 64, 3)), keras.Input((64, 64, 3))
    inner = keras.Model(inner, keras.layers.Conv2D(4, 3, 4, padding="same")(inner))
    return keras.Model(images, keras.layers.Conv2D(4, 3, 4, padding="same")(inner(images)))


def test_a_model_that_takes_images_of_one_size_only_is_told():
    with pytest.raises(UserError, match="takes images of one size only .*input_shape=.None") as caught:
        pyramid(as_backbone(inner_of_one_size))
    assert "\n" not in str(caught.value)


def test_only_a_resnet_is_dilated_which_is_said(caplog):
    backbone = as_backbone(keras_models.with_stages)
    with caplog.at_level(logging.WARNING):
        assert pyramid(backbone, dilated=True).stride == 32
    assert "its last map is of stride 32; a dilated one, of half of that, needs a ResNet" in caplog.text
