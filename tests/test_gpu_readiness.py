"""What fails on a GPU, caught without one: where variables are, what XLA takes, what repeats itself."""

import itertools
import math
import re

import keras
import pytest
import tensorflow as tf

from mocotf.data.views.augmentations import DRAWS
from mocotf.data.views.augmentations import v1
from mocotf.data.views.augmentations import v2
from mocotf.data.views.tensorflow_ops import augment
from mocotf.moco.config import MECHANISMS
from mocotf.moco.config import Config
from mocotf.nn import xla
from mocotf.optim.schedules import Cosine
from mocotf.training.state import state_of
from mocotf.training.trainer import Gauges
from tests import commands
from tests.tiny import ONE_BLOCK

N, SIDE = 8, 8
TINY = {
    "arch": ONE_BLOCK, "width": 1 / 16, "stem": "small", "mlp": True, "moco_dim": 8, "moco_k": 16,
    "moco_m": 0.9, "moco_t": 0.2,
    "momentum": 0.9, "weight_decay": 1e-3, "seed": 0,
}  # fmt: skip
# Each changes what graph the step is made of.
OPTIONS = {"bn_splits": 2, "grad_accum_steps": 2, "remat": True, "symmetric": True}
OPTIONS |= {"shuffle_bn": "off", "stem": "imagenet"}
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


def make(precision="float32", jit_compile=True, **options):
    keras.config.set_dtype_policy(precision)
    keras.utils.set_random_seed(0)
    shapes = {"batch_size": N, "images": 2 * N, "probe_classes": 2}
    config = Config.of(TINY | options, given=options)
    return config.build_model(Cosine(0.1, 10), None, jit_compile, **shapes)


def lower(model, n=N, side=SIDE):
    """Returns the HLO of a step on n images a view, what XLA is given to compile."""
    views = [tf.TensorSpec([n, side, side, 3])] * model.VIEWS
    batch = [*views, *[tf.TensorSpec([n], tf.int64)] * (1 + model.INDEXED)]

    @tf.function(jit_compile=True, autograph=False)
    def run(*batch):
        with xla.compiled_whole():
            return model.train_step(batch)["loss"]

    return run.experimental_get_compiler_ir(*batch)(stage="hlo")


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_no_variable_is_of_the_type_that_tensorflow_keeps_off_a_gpu(mechanism, precision):
    model = make(precision, mechanism=mechanism)
    gauges = [v for v in vars(Gauges()).values() if isinstance(v, tf.Variable)]
    every = [*state_of(model).values(), *model.optimizer.variables, *gauges]
    assert gauges
    assert not [v.name for v in every if tf.as_dtype(v.dtype) == tf.int32]


def test_xla_takes_micro_batches_with_remat_in_float16():
    assert lower(make("mixed_float16", grad_accum_steps=2, remat=True, bn_splits=2))


def test_what_xla_is_given_stays_small_and_channels_last():
    hlo = lower(make("mixed_bfloat16", stem="imagenet"))
    assert hlo.count(" = ") < 5000
    # Kernels and matrices are transposed, images never.
    assert not re.findall(r"\[\d+,\d+,\d+,\d+\]\S* transpose\(", hlo.replace("[1,1,", "["))
    assert "batch-norm" not in hlo and "select-and-scatter" not in hlo
    assert " conditional(" not in hlo


@pytest.mark.parametrize("recipe", [v1(blur_prob=0.5), v2()])
def test_a_gpu_makes_views_without_waiting_for_its_host(recipe):
    images, draws = tf.zeros([N, SIDE, SIDE, 3], tf.uint8), tf.zeros([N, DRAWS])
    with_conditions, without = (
        augment.experimental_get_compiler_ir(images, draws, recipe, conditions)(stage="hlo")
        for conditions in (True, False)
    )
    assert " conditional(" in with_conditions and " conditional(" not in without


@pytest.mark.slow
def test_what_xla_is_given_of_a_resnet50_stays_as_small_as_it_was_measured():
    large = {"arch": "resnet50", "width": 1.0, "moco_dim": 128, "moco_k": 65536, "stem": "imagenet"}
    hlo = lower(make("mixed_bfloat16", **large), n=256, side=224)
    assert hlo.count(" = ") < 29_000
    converted = re.findall(r"= f32\[([\d,]+)\]\S* convert\(bf16", hlo)
    assert 0 < sum(4 * math.prod(map(int, c.split(","))) > 2**20 for c in converted) < 570
    transposed = re.findall(r"= \w+\[([\d,]+)\]\S* transpose\(", hlo)
    assert len([shape for shape in transposed if len(shape.split(",")) > 2]) <= 5  # the stem's cells


CASES = [dict(pair) for pair in itertools.combinations(OPTIONS.items(), 2)]
CASES += [{"mechanism": mechanism} for mechanism in MECHANISMS]


@pytest.mark.slow
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("options", CASES, ids=str)
def test_xla_takes_every_pair_of_options_and_every_mechanism(options, precision):
    assert lower(make(precision, **options))


def train(folder):
    sizes = "--width=0.5", "--image_size=32", "--moco_k=64", "--log_every=50"
    done = commands.train(folder, *sizes, "--steps=4", "--checkpoint_every=2", "--deterministic")
    assert done.err == ""
    return commands.variables(folder)


@pytest.mark.slow
def test_a_deterministic_run_repeats_itself_and_goes_on_as_if_it_had_not_been_stopped(tmp_path):
    first, again = train(tmp_path / "first"), train(tmp_path / "again")
    commands.assert_same(again, first)
    commands.assert_same(train(commands.forget(tmp_path / "again", 4)), first)


def test_the_step_and_what_feeds_it_hold_nothing_that_determinism_refuses():
    model = make(jit_compile=False)
    model.steps_per_epoch = model.total_steps = 1
    x = tf.zeros([N, SIDE, SIDE, 3])
    batches = iter(tf.data.Dataset.from_tensors((x, x, tf.zeros([N], tf.int64))))
    execute = tf.function(model.make_train_function(), autograph=False)
    graph = execute.get_concrete_function(batches).graph.as_graph_def()
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    operators = {node.op for node in nodes}
    assert not operators & {"Timestamp", "RandomUniform", "TruncatedNormal"}
    # Python's in the graph of a step: a GPU would wait for each to end, its host idle meanwhile.
    assert not operators & {"PyFunc", "PyFuncStateless", "EagerPyFunc"}
