"""What the recipes in flags/ and single flags make: schedule, augmentation, model, optimizer."""

import functools

import keras
import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

from mocotf.cli import settings_flags
from mocotf.cli import train_flags
from mocotf.data.views import augmentations
from mocotf.optim.loss_scale import LossScaledSGD
from mocotf.optim.settings import OptimisationSettings
from mocotf.optim.sgd import SGD
from tests import processes
from tests.commands import set_flags
from tests.oracles import schedules as published
from tests.tiny import ARCH

SMALL = f"--arch={ARCH}", "--width=0.125"
STEPS = 7  # an epoch


@pytest.fixture
def parse():
    """Returns a function that parses arguments as the command does; the flags are restored."""
    with flagsaver.flagsaver():
        yield functools.partial(set_flags, "--model_dir=nowhere")


def from_file(name):
    return f"--flagfile={processes.ROOT}/flags/{name}"


def make_schedule():
    return settings_flags.asked().read(OptimisationSettings).make_schedule(STEPS)


@pytest.mark.parametrize(
    ("name", "rate", "epochs"),
    [
        ("v1.cfg", lambda epoch: published.step_per_epoch(epoch, 0.03), 200),
        ("v2.cfg", lambda epoch: published.cosine_per_epoch(epoch, 0.03, 200), 200),
        ("v2_800ep.cfg", lambda epoch: published.cosine_per_epoch(epoch, 0.03, 800), 800),
        # The notebook counts epochs from 1.
        ("cifar10.cfg", lambda epoch: published.cosine_per_epoch(epoch + 1, 0.06, 200), 200),
        ("simsiam.cfg", lambda epoch: published.cosine_per_epoch(epoch, 0.1, 100), 100),
    ],
)
def test_rates_are_the_papers_all_through_an_epoch(parse, name, rate, epochs):
    parse(from_file(name))
    assert epochs == flags.FLAGS.epochs
    schedule = make_schedule()
    for epoch in {0, 1, epochs // 2, 119, 120, 159, 160, epochs - 1}.intersection(range(epochs)):
        for step in (epoch * STEPS, epoch * STEPS + STEPS - 1):
            np.testing.assert_allclose(schedule(step), rate(epoch), rtol=1e-9)


def test_the_rate_of_ig1b_falls_in_steps(parse):
    parse(from_file("ig1b.cfg"))
    schedule = make_schedule()
    for step in (0, 62_499, 62_500, 1_249_999):
        np.testing.assert_allclose(schedule(step), published.exponential(step, 0.12), rtol=1e-12)


@pytest.mark.parametrize(("scaling", "factor"), [("none", 1), ("linear", 4), ("sqrt", 2)])
def test_lr_scaling_and_warm_up_act_when_asked(parse, scaling, factor):
    parse(from_file("v1.cfg"), f"--lr_scaling={scaling}", "--batch_size=1024", "--warmup_epochs=2")
    schedule = make_schedule()
    for step in (0, STEPS, 2 * STEPS - 1, 2 * STEPS):
        expected = published.linear_warmup(step, 0.03 * factor, 2 * STEPS)
        np.testing.assert_allclose(schedule(step), expected, rtol=1e-12)


def test_augmentations_are_the_papers(parse):
    for name, expected in (
        ("v1", augmentations.v1()),
        ("v2", augmentations.v2()),
        ("v2_800ep", augmentations.v2()),
    ):
        parse(from_file(f"{name}.cfg"))
        assert train_flags.read().views.augmentation == expected
    parse(from_file("v2.cfg"), "--jitter=.1,.2,.3,.05", "--blur_prob=0", "--crop_min=.08")
    expected = augmentations.v2(jitter=(0.1, 0.2, 0.3, 0.05), blur_prob=0, min_area=0.08)
    assert train_flags.read().views.augmentation == expected


def make_model():
    return train_flags.read().config.build_model(make_schedule())


@pytest.mark.parametrize(("name", "T", "layers"), [("v1.cfg", 0.07, 1), ("v2.cfg", 0.2, 3)])
def test_model_and_optimizer_are_the_papers(parse, name, T, layers):
    parse(from_file(name), *SMALL)
    model = make_model()
    assert (model.m, model.T, model.symmetric, model.shuffle) == (0.999, T, False, "gather")
    assert model.queue.keys.shape == (65536, 128)
    assert len(model.query_encoder.head.layers) == layers
    optimizer = model.optimizer.get_config()
    assert (optimizer["momentum"], optimizer["weight_decay"]) == (0.9, 1e-4)
    np.testing.assert_allclose(model.optimizer.learning_rate, 0.03, rtol=1e-6)


def test_flags_reach_the_model(parse):
    parse(
        *SMALL, "--arch=resnet10", "--symmetric", "--shuffle_bn=off", "--bn_splits=4", "--seed=5",
        "--stem=cifar", "--stem_init=torch", "--moco_k=512", "--moco_dim=16",
        "--moco_m=.5", "--moco_t=.3",
        "--momentum=.8", "--weight_decay=.02", "--remat", "--grad_accum_steps=2",
    )  # fmt: skip
    model = make_model()
    assert (model.m, model.T, model.symmetric, model.shuffle, model.seed) == (0.5, 0.3, True, "off", 5)
    assert model.queue.keys.shape == (512, 16) and model.A == 2
    optimizer = model.optimizer.get_config()
    assert (optimizer["momentum"], optimizer["weight_decay"]) == (0.8, 0.02)
    assert model.query_encoder.remat and not model.key_encoder.remat  # keys have no backward pass
    for encoder in (model.query_encoder, model.key_encoder):
        assert encoder.backbone.get_layer("bn1").groups == 4
        kernel = encoder.backbone.get_layer("conv1").kernel.numpy()
        assert kernel.shape[:2] == (3, 3) and 0.9 < np.abs(kernel).max() * 27**0.5 <= 1


def test_float16_scales_the_loss_by_our_own_optimizer(parse):
    parse(*SMALL)
    assert type(make_model().optimizer) is SGD
    keras.config.set_dtype_policy("mixed_float16")
    model = make_model()
    assert type(model.optimizer) is LossScaledSGD and model.optimizer.momentum == 0.9
