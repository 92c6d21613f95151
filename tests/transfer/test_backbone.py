"""The backbone as a feature pyramid: the same features, other strides, statistics of all replicas."""

import functools
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from mocotf.errors import UserError
from mocotf.evaluation.classifier import Classifier
from mocotf.moco.saved_run import open_run
from mocotf.nn.resnet import resnet
from mocotf.optim.sgd import SGD
from mocotf.training.checkpoints import Checkpoints
from mocotf.transfer.backbone import levels_of
from mocotf.transfer.backbone import pyramid
from mocotf.transfer.start import open_start
from tests import tiny
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
    assert list(model.strides.values()) == strides
    maps = keras.Model(model.input, model.pyramid_outputs)(images(1, 64))
    named = {f"P{int(np.log2(stride))}": stride for stride in strides}
    assert {name: 64 // x.shape[1] for name, x in maps.items()} == named


@pytest.mark.parametrize("arch", ["resnet10", "resnet50"])
def test_dilated_it_has_the_same_convolutions_further_apart(arch):
    x = images(1, 128)
    plain, dilated = (pyramid(backbone(arch=arch), dilated=dilated) for dilated in (False, True))
    assert plain(x).shape[1:3] == (4, 4) and dilated(x).shape[1:3] == (8, 8)
    assert dilated.strides["layer4"] == dilated.strides["layer3"] == 16
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
    (tmp_path / "flags.cfg").write_text(f"--pretrained={run}\n--lr=0.1\n")
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
