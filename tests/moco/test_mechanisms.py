"""Banks and end-to-end keys: what a step of the other mechanisms changes, keeps, and takes up again."""

from math import log

import keras
import numpy as np
import pytest
import tensorflow as tf

from mocotf.errors import UserError
from mocotf.moco import bank as banks
from mocotf.moco import loss as losses
from mocotf.moco.config import Config
from mocotf.moco.mechanism import Setup
from mocotf.nn.settings import EncoderSettings
from mocotf.optim.schedules import Milestones
from mocotf.training.checkpoints import Checkpoints
from mocotf.training.checkpoints import read
from mocotf.training.collectives import all_gather
from mocotf.training.replicas import broadcast
from mocotf.training.replicas import check_replicas
from mocotf.training.state import shared_state
from tests.moco import test_model
from tests.tiny import ARCH
from tests.tiny import ONE_BLOCK
from tests.tiny import STAGES

IMAGES, BATCH, DIM = 41, 8, 8
CONFIG = {
    "arch": ARCH, "width": 1 / 16, "stem": "cifar", "mlp": False, "moco_dim": DIM, "moco_k": 16,
    "moco_t": 0.2, "predictor_dim": 4, "momentum": 0.9, "weight_decay": 1e-3, "seed": 1,
}  # fmt: skip
KINDS = {  # name: (options, replicas, the loss of chance)
    "end_to_end": ({"mechanism": "end_to_end", "symmetric": True}, 2, 2 * log(BATCH)),
    "end_to_end, remat": ({"mechanism": "end_to_end", "arch": ONE_BLOCK, "remat": True}, 1, log(BATCH)),
    "end_to_end, other keys": ({"mechanism": "end_to_end", "key_backbone": STAGES}, 1, log(BATCH)),
    "memory_bank": ({"mechanism": "memory_bank", "bank_dtype": "bfloat16"}, 1, log(17)),
    "npid": ({"mechanism": "npid"}, 2, losses.nce_chance(16)),
    "npid, full softmax": ({"mechanism": "npid", "npid_softmax": "full"}, 1, log(IMAGES)),
    "simclr": ({"mechanism": "simclr"}, 2, log(2 * BATCH - 1)),
    "simsiam": ({"mechanism": "simsiam"}, 2, None),
    "simsiam, remat": ({"mechanism": "simsiam", "arch": ONE_BLOCK, "remat": True}, 2, None),
}
QUICK = {"memory_bank", "npid, full softmax"}


def make_model(strategy, **options):
    keras.utils.set_random_seed(0)
    with strategy.scope():
        config = Config.of(CONFIG | options, given=options)
        return config.build_model(Milestones(0.02, []), batch_size=BATCH, images=IMAGES)


def batches(model):
    """An endless data set of a model's batches, different each step."""

    def batch(i):
        views = tf.random.stateless_normal([model.VIEWS, BATCH, 8, 8, 3], tf.stack([i, 5]))
        rows = tf.random.experimental.stateless_shuffle(tf.range(tf.constant(IMAGES, tf.int64)), [i, 1])
        return *tf.unstack(views), *[rows[:BATCH]] * model.INDEXED

    return tf.data.Dataset.counter(tf.constant(0, tf.int64)).map(batch)


def train(model, first, last):
    """Trains from one step to another; returns name → what each step reports."""
    return test_model.train(model, last, first, batches(model)).history.history


def train_and_save(path, strategy, **options):
    """Returns a model trained for two steps, and its checkpoints."""
    model = make_model(strategy, **options)
    train(model, 0, 2)
    checkpoints = Checkpoints(str(path), model)
    checkpoints.save()
    assert checkpoints.wait()
    return model, checkpoints


@pytest.mark.parametrize(
    "kind", [k if k in QUICK else pytest.param(k, marks=pytest.mark.slow) for k in KINDS]
)
def test_every_mechanism_resumes_bit_equal_and_its_replicas_agree(replicas, tmp_path, kind):
    options, count, _ = KINDS[kind]
    strategy = replicas(count)
    model, checkpoints = train_and_save(tmp_path, strategy, **options)
    train(model, 2, 4)
    check_replicas(strategy, shared_state(model))

    other = make_model(strategy, **options)
    resumed = Checkpoints(str(tmp_path), other)
    assert resumed.restore() == 2
    train(other, 2, 4)
    for name, value in checkpoints.named.items():
        np.testing.assert_array_equal(value.numpy(), resumed.named[name].numpy(), err_msg=name)


def test_a_sharded_bank_is_saved_whole_and_goes_on_elsewhere(replicas, tmp_path):
    options = {"mechanism": "memory_bank", "shard_bank": True}
    model, _ = train_and_save(tmp_path, replicas(2), **options)
    saved = read(str(tmp_path / "ckpt-2"))["bank/entries"]
    assert saved.shape == (IMAGES, DIM)
    np.testing.assert_allclose(np.linalg.norm(saved, axis=1), 1, rtol=1e-5)
    # Of the shards themselves: 21 rows each, one to spare; the second has a row beyond the last image.
    shards = [part.numpy() for part in model.bank.entries.values]
    np.testing.assert_array_equal(saved, np.concatenate([shards[0][:21], shards[1][:20]]))

    train(model, 2, 4)
    expected = model.bank.variable.numpy()
    for other in (options, {"mechanism": "memory_bank"}):
        resumed = make_model(replicas(2), **other)
        assert Checkpoints(str(tmp_path), resumed).restore() == 2
        train(resumed, 2, 4)
        np.testing.assert_allclose(resumed.bank.variable.numpy(), expected, rtol=1e-5, atol=1e-6)


def run(strategy, function):
    return strategy.experimental_local_results(tf.function(lambda: strategy.run(function))())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("sharded", [False, True])
def test_a_bank_keeps_what_is_written_and_moves_by_its_momentum(replicas, dtype, sharded):
    strategy = replicas(2)
    with strategy.scope():
        bank = banks.Bank(9, 4, m=0.25, seed=0, dtype=tf.as_dtype(dtype), replicas=2 if sharded else 1)
    start = bank.variable.numpy().astype(np.float32)
    assert len(np.unique(start, axis=0)) == 9  # shards too begin each with rows of their own
    rows = tf.constant([[8, 0, 8], [5, 4, 1]], tf.int64)  # image 8 twice: the first counts
    f = tf.math.l2_normalize(tf.random.stateless_normal([2, 3, 4], [1, 2]), axis=-1)

    def update():
        r = tf.distribute.get_replica_context().replica_id_in_sync_group
        bank.update(rows[r], f[r])
        return bank.read(rows[1 - r][:, None]), bank.read_same(rows[0])

    found = run(strategy, update)
    expected = start.copy()
    for row, new in zip([0, 8, 5, 4, 1], [f[0, 1], f[0, 0], *f[1]], strict=True):
        mixed = 0.25 * start[row] + 0.75 * new.numpy()
        expected[row] = mixed / np.linalg.norm(mixed)
    if not sharded:
        broadcast(strategy, [bank.entries])  # which changes no bit, of whatever type
        check_replicas(strategy, {"entries": bank.entries})
    tolerance = {"float32": 1e-6, "bfloat16": 4e-3}[dtype]
    np.testing.assert_allclose(bank.variable.numpy().astype(np.float32), expected, atol=tolerance)
    for r, (other, same) in enumerate(found):
        assert other.dtype == same.dtype == tf.float32
        np.testing.assert_allclose(other[:, 0], expected[rows[1 - r]], atol=tolerance)
        np.testing.assert_allclose(same, expected[rows[0]], atol=tolerance)


def test_the_memory_of_a_bank_is_stated():
    settings = banks.BankSettings(bank_dtype="bfloat16")
    memory = banks.memory_of(settings, Setup(EncoderSettings(), 256, 2, images=1_281_167))
    assert memory.whole == 327_978_752 and memory.needed == 2 * memory.whole + 2 * 655_957_504


def test_draws_are_uniform_and_new_each_step():
    draws = [banks.draw_rows(3, step, [20_000], 10).numpy() for step in (0, 1)]
    assert not np.array_equal(*draws)
    np.testing.assert_array_equal(draws[0], banks.draw_rows(3, 0, [20_000], 10))
    np.testing.assert_allclose(np.bincount(draws[0], minlength=10) / 20_000, 0.1, atol=0.01)


def test_gathered_keys_send_their_gradient_back_to_where_they_come_from(replicas):
    strategy = replicas(2)

    def gradient():
        r = tf.cast(tf.distribute.get_replica_context().replica_id_in_sync_group, tf.float32)
        x = tf.ones([2, 1])
        with tf.GradientTape() as tape:
            tape.watch(x)
            weights = tf.constant([[1.0], [2.0], [3.0], [4.0]]) * (1 + 9 * r)
            loss = tf.reduce_sum(weights * all_gather(x))
        return tape.gradient(loss, x)

    # d/dx of both replicas' losses: (1 + 10) times the weight of each row.
    found = [x.numpy().ravel().tolist() for x in run(strategy, gradient)]
    assert found == [[11.0, 22.0], [33.0, 44.0]]


def unit(*shape, seed):
    return tf.math.l2_normalize(tf.random.stateless_normal(shape, [seed, 0]), axis=-1)


def test_losses_are_one_where_they_mean_the_same():
    q, keys, rows = unit(5, 6, seed=1), unit(9, 6, seed=2), tf.constant([4, 0, 8, 2, 2])
    loss, rank, similarities = losses.info_nce_among(q, keys, rows, 0.2)
    each = []
    for i, row in enumerate(rows):
        others = tf.concat([keys[:row], keys[row + 1 :]], axis=0)
        each.append(losses.info_nce(q[i : i + 1], keys[row][None], others, 0.2))
    np.testing.assert_allclose(loss, np.mean([float(alone) for alone, _ in each]), rtol=1e-5)
    assert rank.numpy().tolist() == [int(r[0]) for _, r in each]
    cosines = q.numpy() @ keys.numpy().T
    own = cosines[np.arange(5), rows]
    np.testing.assert_allclose(similarities[0], own.mean(), rtol=1e-5)
    np.testing.assert_allclose(similarities[1], (cosines.sum() - own.sum()) / 40, rtol=1e-4)


def test_chance_is_the_loss_of_an_encoder_to_which_all_is_the_same(replicas):
    same = tf.zeros([3]), tf.zeros([3, 16])
    loss = losses.nce(*same, tf.constant(log(40.0)), 40)
    np.testing.assert_allclose(loss, losses.nce_chance(16), rtol=1e-6)
    for options, _, chance in (({}, 1, log(17)), *KINDS.values()):
        assert make_model(replicas(1), **options).chance == pytest.approx(chance)


def test_the_proximal_term_holds_vectors_to_what_they_were(replicas):
    moved = {}
    for proximal in (0.0, 30.0):
        model = make_model(replicas(1), mechanism="npid", proximal=proximal, bank_m=0.0)
        history = train(model, 0, 24)
        far = 1 - np.array(history["positive_similarity"])
        np.testing.assert_allclose(history["proximal"], 2 * proximal * far, rtol=1e-3, atol=1e-6)
        moved[proximal] = far[12:].mean()
    assert moved[30.0] < 0.8 * moved[0.0]


def test_keys_end_to_end_start_as_a_copy(replicas):
    model = make_model(replicas(1), mechanism="end_to_end")
    for a, b in zip(model.query_encoder.weights, model.key_encoder.weights, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_shared_keys_give_their_gradient_to_the_encoder_of_the_queries(replicas):
    moved = {}
    for name in (None, "shared"):
        still = {"weight_decay": 0.0, "momentum": 0.0, "key_backbone": name}
        model = make_model(replicas(1), mechanism="end_to_end", **still)
        encoders = {id(encoder): encoder for encoder in (model.query_encoder, model.key_encoder)}
        before = model.query_encoder.get_weights()
        assert len(model.trained_variables) == len(encoders) * len(
            model.query_encoder.trainable_variables
        )
        train(model, 0, 1)
        after = [[v.numpy() for v in e.trainable_variables] for e in encoders.values()]
        model.query_encoder.set_weights(before)
        start = [v.numpy() for v in model.query_encoder.trainable_variables]
        moved[name] = [
            sum(np.array(w) - w_0 for w in ws) for *ws, w_0 in zip(*after, start, strict=True)
        ]
    for shared, both in zip(moved["shared"], moved[None], strict=True):
        np.testing.assert_allclose(shared, both, atol=1e-7)
    assert max(np.abs(both).max() for both in moved[None]) > 1e-4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"mechanism": "end_to_end", "key_backbone": "resnet11"},
            "--key_backbone=resnet11: expected shared, one of resnet10, ",
        ),
        ({"mechanism": "byol"}, "--mechanism=byol: expected one of moco, end_to_end, memory_bank"),
        ({"mechanism": "simsiam", "symmetric": True}, "is for moco and end_to_end only; drop it"),
        ({"moco_t": 0}, "--moco_t=0: expected a finite number from 1e-06"),
        ({"shuffle_bn": "input", "symmetric": True}, "try --shuffle_bn=gather"),
        (
            {"mechanism": "end_to_end", "batch_size": 1},
            "other images of the batch; expected at least 2",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(options, message):
    options = dict(options)
    batch_size = options.pop("batch_size", BATCH)
    with pytest.raises(UserError, match=message) as error:
        Config.of(CONFIG | options, given=options).build_model(None, batch_size=batch_size)
    assert "\n" not in str(error.value)
