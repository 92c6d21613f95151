"""Which kernel computes a layer, and that all of them can be switched off."""

import llvmlite.binding
import numpy as np
import pytest
import tensorflow as tf

from mocotf.errors import UserError
from mocotf.nn import xla
from mocotf.nn.kernels import policy
from mocotf.settings import texts_of
from mocotf.training import host
from mocotf.training.settings import DeviceSettings
from tests import processes
from tests.nn.kernels.support import normal
from tests.nn.kernels.support import operators
from tests.tiny import one_block

IMAGES = tf.TensorSpec([None, 56, 56, 128])
HALVES = tf.TensorSpec([None, 56, 56, 128], tf.bfloat16)


def convolution(x, size, stride, channels=128):
    def ways():
        padding = "valid" if stride > 1 else "same"
        return policy.convolution_for(x, (size, size, 128, channels), stride, padding, training=True)

    return ways


def compiled_whole(ask, *arguments):
    def asked():
        with xla.compiled_whole():
            return ask(*arguments or [IMAGES])

    return asked


# Entry → a question to the policy that is answered by it alone.
ASKED = {
    "winograd": convolution(IMAGES, 3, 1),
    "fused_norm": lambda: policy.batch_norm_for(IMAGES),
    "kernel_products": convolution(IMAGES, 3, 2),
    "float32_for_16_bits": convolution(HALVES, 3, 1, channels=32),
    "strided_1x1": convolution(IMAGES, 1, 2, channels=8),
    "xla_norm": compiled_whole(policy.batch_norm_for),
    "xla_stem": compiled_whole(policy.stem_for, tf.TensorSpec([None, 230, 230, 3]), 2, "valid"),
    "xla_max_pool": compiled_whole(policy.max_pool_for),
}


@pytest.fixture(autouse=True)
def another_cpu(monkeypatch):
    """Returns a function that gives this CPU other instruction sets; at first those of AVX2 alone."""

    def has(*names):
        found = dict.fromkeys(names, True)
        monkeypatch.setattr(llvmlite.binding, "get_host_cpu_features", lambda: found)

    monkeypatch.delenv(policy.VARIABLE, raising=False)
    has("avx2")
    return has


def answers():
    return {entry for entry in policy.ENTRIES if ASKED[entry]() is not None}


def test_each_entry_can_be_left_out_and_so_can_all():
    assert answers() == ASKED.keys() == policy.ENTRIES.keys()
    for entry in policy.ENTRIES:
        with policy.without(entry):
            assert answers() == policy.ENTRIES.keys() - {entry}
    with policy.plain():
        assert answers() == set()
    assert answers() == policy.ENTRIES.keys()


@pytest.mark.parametrize(
    ("instructions", "missing"),
    [
        (["avx512f"], {"float32_for_16_bits", "fused_norm", "kernel_products"}),
        (["neon"], {"winograd", "fused_norm"}),
    ],
)
def test_kernels_are_taken_with_the_instructions_that_they_were_measured_with(
    another_cpu, instructions, missing
):
    another_cpu(*instructions)
    assert answers() == policy.ENTRIES.keys() - missing


def test_groups_of_a_batch_are_normalised_together_with_avx512_too(another_cpu):
    another_cpu("avx2", "avx512f")
    assert policy.batch_norm_for(IMAGES) is None
    assert policy.batch_norm_for(IMAGES, groups=2) is not None


def test_an_accelerator_takes_none_of_a_cpus(monkeypatch):
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [kind] * (kind == "GPU"))
    assert answers() == {"xla_norm", "xla_stem", "xla_max_pool"}


@pytest.mark.parametrize("compiled", [False, True])
def test_where_nothing_is_known_of_a_shape_plain_paths_are_taken(compiled):
    x = tf.TensorSpec([None] * 4)
    with xla.compiled_whole(compiled):
        assert policy.convolution_for(x, (3, 3, 128, 128), 1, "same", training=True) is None
        assert policy.stem_for(x, 2, "valid") is policy.max_pool_for(x) is None
        assert (policy.batch_norm_for(x) is None) is not compiled  # which XLA's does without


def test_the_stems_kernel_is_for_few_channels():
    with xla.compiled_whole(True):
        stems = {
            n: policy.stem_for(tf.TensorSpec([None, 30, 30, n]), 2, "valid") for n in (1, 3, 4, 5, 13)
        }
    assert [n for n, stem in stems.items() if stem] == [1, 3, 4]


@pytest.mark.parametrize("by", ["setting", "environment"])
def test_off_takes_what_is_needed_only(by, monkeypatch):
    if by == "setting":
        monkeypatch.setattr(policy, "_chosen", "auto")  # is put back
        monkeypatch.setattr(host.ctypes, "CDLL", lambda _: None)  # memory stays as it is
        host.configure_host(DeviceSettings(kernels="off"))
    else:
        monkeypatch.setenv(policy.VARIABLE, "off")
    assert answers() == policy.NEEDED


def test_off_is_tensorflows_own_operators_and_the_same_numbers(monkeypatch):
    monkeypatch.setattr(policy, "LARGE", 0)
    backbone = one_block(width=2, stem="imagenet", bn_splits=2)
    x = normal([4, 32, 32, 3], 1)

    def gradients():
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(backbone(x, training=True) ** 2)
        return tape.gradient(total, [v.value for v in backbone.trainable_variables])

    assert "jit_compile" in operators(gradients)
    fast = tf.function(gradients)()
    monkeypatch.setenv(policy.VARIABLE, "off")
    plain = operators(gradients)
    assert "jit_compile" not in plain and {"Conv2D", "MaxPoolGrad", "FusedBatchNormGradV3"} <= plain
    for a, b in zip(fast, tf.function(gradients)(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4 * np.abs(b).max())


def test_a_run_is_resumed_with_the_kernels_that_it_was_begun_with():
    before_the_setting = DeviceSettings.of({})
    assert before_the_setting.kernels == "auto"
    assert "kernels" in texts_of([before_the_setting], decisive=True)


MESSAGE = "MOCOTF_KERNELS=on: expected one of auto, off; or unset it"


def test_what_the_environment_says_wrong_is_refused(monkeypatch):
    monkeypatch.setenv(policy.VARIABLE, "on")
    with pytest.raises(UserError, match=f"^{MESSAGE}$"):
        policy.batch_norm_for(IMAGES)


def test_a_command_refuses_it_in_one_line():
    done = processes.run("report", "nowhere", env={policy.VARIABLE: "on"})
    assert done.code == 1 and done.err == f"error: {MESSAGE}\n"
