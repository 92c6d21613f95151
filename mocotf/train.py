r"""Pre-trains an image encoder by Momentum Contrast.

    python -m mocotf.train --flagfile=flags/demo.cfg --model_dir=runs/demo
    python -m mocotf.train --flagfile=flags/v2.cfg --dataset=folder --data_dir=DIR --model_dir=runs/v2

The same command again resumes a run that was stopped.
"""

from mocotf.cli import command  # first: it keeps TensorFlow's start-up notices off the terminal

# isort: split
import contextlib
import json
import logging
import os
import statistics

import keras
import numpy as np
import tensorflow as tf
from absl import flags

from mocotf.cli import train_flags
from mocotf.data import recipe
from mocotf.data.bad_images import BadImages
from mocotf.data.decode import FORMATS
from mocotf.data.folder import Folder
from mocotf.data.patches import Patches
from mocotf.data.pipeline import NOTHING_DECODES
from mocotf.data.pipeline import augment_crops
from mocotf.data.pipeline import two_crops
from mocotf.data.source import Order
from mocotf.data.tfds import TFDS
from mocotf.data.tfrecord import TFRecords
from mocotf.errors import UserError
from mocotf.evaluation.monitor import KNNMonitor
from mocotf.evaluation.monitor import encoder_function
from mocotf.moco.config import Config
from mocotf.moco.loss import chance
from mocotf.moco.shuffle import shuffle_keys
from mocotf.optim import schedules
from mocotf.training.callback import Overseer
from mocotf.training.callback import Plan
from mocotf.training.checkpoints import Checkpoints
from mocotf.training.fit import fit
from mocotf.training.records import Records
from mocotf.training.records import show_views
from mocotf.training.run_dir import RunDir
from mocotf.training.run_dir import write_whole
from mocotf.training.strategy import make_strategy

FLAGS = flags.FLAGS
log = logging.getLogger(__name__)


def main():
    # ---- What was asked for, checked before anything is written
    train_flags.check()
    augmentation = make_augmentation()
    tf.config.threading.set_intra_op_parallelism_threads(FLAGS.intra_op_threads)
    tf.config.threading.set_inter_op_parallelism_threads(FLAGS.inter_op_threads)
    strategy = make_strategy(FLAGS.strategy, FLAGS.num_logical_devices)
    check_compiler(strategy.num_replicas_in_sync)
    check_batch(strategy.num_replicas_in_sync)
    source = make_source()
    check_source(source)
    steps_per_epoch = source.steps_per_epoch(FLAGS.batch_size)
    total_steps = FLAGS.steps or FLAGS.epochs * steps_per_epoch
    facts = {"replicas": strategy.num_replicas_in_sync, "images": source.size}
    run_dir = RunDir(FLAGS.model_dir, train_flags.resolved(), facts, train_flags.NEUTRAL)
    bad_images = BadImages(run_dir.file("bad_images.txt"), source.size, FLAGS.max_bad_images)
    with guard_data(bad_images):
        bad_images.report(np.array([os.fsencode(shard) for shard in source.bad_shards]))

    # ---- Model
    keras.utils.set_random_seed(FLAGS.seed)
    keras.config.set_dtype_policy(FLAGS.precision)
    schedule = make_schedule(steps_per_epoch, total_steps)
    augment = augment_crops(augmentation) if FLAGS.augment_on == "device" else None
    with strategy.scope():
        config = Config.from_flags(FLAGS.flag_values_dict())
        model = config.build_model(
            schedule, augment, FLAGS.jit_compile, steps_per_execution=FLAGS.steps_per_execution
        )

    # ---- Resume
    checkpoints = Checkpoints(run_dir.file("checkpoints"), model)
    step = checkpoints.restore() or 0
    run_dir.forget_after(step)
    if step >= total_steps and not run_dir.metrics():
        raise UserError(
            f"--model_dir={FLAGS.model_dir}: its checkpoint is of step {step}; expected a step before "
            f"the last, {total_steps}; try a larger --epochs when converting"
        )
    if run_dir.resuming:
        print(f"resuming {FLAGS.model_dir} at step {step} of {total_steps}", flush=True)

    # ---- Baselines and the first look at the data
    order = Order(FLAGS.seed, FLAGS.batch_size, steps_per_epoch)

    def dataset_from(step):
        return two_crops(
            source,
            augmentation,
            order,
            bad_images=bad_images,
            first_step=step,
            crops_only=FLAGS.augment_on == "device",
            ops=FLAGS.host_ops,
            data_service=FLAGS.data_service,
        )

    def batches_from(step):
        pairs = dataset_from(step)
        if FLAGS.shuffle_bn != "input":
            return pairs
        replicas = strategy.num_replicas_in_sync
        return shuffle_keys(pairs, FLAGS.seed, step, replicas, FLAGS.grad_accum_steps)

    if FLAGS.data_service:
        log.warning(
            "--data_service: with several workers batches come as they are ready, and a resumed run is "
            "not bit-equal to one that was not stopped; with one worker it is; see docs/data.md"
        )
    monitor = make_monitor(source, augmentation, bad_images)
    encode = encoder_function(model.query_encoder, FLAGS.knn_features)
    records = Records(run_dir)
    if step == 0 and not run_dir.metrics():
        with guard_data(bad_images):
            batch = next(iter(dataset_from(0)))
            show_views(run_dir, *(augment(*batch) if augment else batch), augmentation)
        records.write({"step": 0, "epoch": 0} | baselines(monitor, encode))

    # ---- Train
    plan = Plan(
        total_steps=total_steps,
        steps_per_epoch=steps_per_epoch,
        batch_size=FLAGS.batch_size,
        log_every=FLAGS.log_every,
        checkpoint_every=FLAGS.checkpoint_every,
        knn_every=FLAGS.knn_every if monitor else 0,
        schedule=schedule,
        chance=chance(FLAGS.moco_k, directions=1 + FLAGS.symmetric),
    )
    overseer = Overseer(plan, records, checkpoints, lambda: monitor.measure(encode))
    with guard_data(bad_images):
        fit(
            model,
            batches_from,
            steps_per_epoch=steps_per_epoch,
            total_steps=total_steps,
            callbacks=[overseer],
        )
    records.close()
    report(run_dir, bad_images)


def make_augmentation():
    make = recipe.v2 if FLAGS.aug_plus else recipe.v1
    changes = {"jitter": train_flags.numbers("jitter"), "blur_prob": FLAGS.blur_prob}
    return make(
        size=FLAGS.image_size,
        min_area=FLAGS.crop_min,
        mean=train_flags.numbers("mean"),
        std=train_flags.numbers("std"),
        **{name: value for name, value in changes.items() if value is not None},
    )


def make_source():
    if FLAGS.dataset == "patches":
        return Patches()
    if FLAGS.dataset == "folder":
        return Folder(FLAGS.data_dir)
    if FLAGS.dataset == "tfrecord":
        return TFRecords(FLAGS.data_dir, num_images=FLAGS.num_images)
    return TFDS(FLAGS.dataset, FLAGS.data_dir)


def check_compiler(replicas):
    """Holds --jit_compile against the devices."""
    if FLAGS.jit_compile and replicas > 1:
        raise UserError(
            f"--jit_compile with {replicas} replicas: XLA cannot compile what they exchange; expected "
            "one replica; drop --jit_compile, or try --strategy=one_device"
        )


def check_batch(replicas):
    """Holds the batch against the devices and the queue."""
    groups = replicas * FLAGS.bn_splits
    unit = groups * FLAGS.grad_accum_steps
    if FLAGS.batch_size % unit:
        raise UserError(
            f"--batch_size={FLAGS.batch_size}: expected a multiple of {unit} ({replicas} replicas x "
            f"--bn_splits={FLAGS.bn_splits} x --grad_accum_steps={FLAGS.grad_accum_steps}); "
            f"try {FLAGS.batch_size // unit * unit or unit}"
        )
    enqueued = FLAGS.batch_size * (1 + FLAGS.symmetric)
    if FLAGS.moco_k < enqueued:
        raise UserError(
            f"--moco_k={FLAGS.moco_k}: smaller than the {enqueued} keys enqueued a step; "
            f"expected at least that; try --moco_k={4 * enqueued}"
        )
    if groups == 1:
        log.warning(
            "one BN group: keys share their batch statistics with their queries, which MoCo's "
            "shuffled BN is to prevent; try --bn_splits=8; see docs/faq.md"
        )


def check_source(source):
    """Holds the batch and the queue against the data."""
    if source.size < FLAGS.batch_size:
        unit = FLAGS.bn_splits * FLAGS.grad_accum_steps
        fitting = source.size // unit * unit
        raise UserError(
            f"--batch_size={FLAGS.batch_size}: the data set has only {source.size} images; expected "
            f"at least one batch; try {f'--batch_size={fitting}' if fitting else 'more images'}"
        )
    if FLAGS.data_service and not source.portable:
        raise UserError(
            f"--data_service={FLAGS.data_service} with --dataset={FLAGS.dataset}, which is kept as "
            "array_record: a service cannot read it; try a data set kept as tfrecord"
        )
    if FLAGS.moco_k > source.size:
        log.warning(
            "--moco_k=%d is larger than the data set (%d images): the queue holds older keys of the "
            "very images it is compared with; see docs/faq.md",
            FLAGS.moco_k,
            source.size,
        )


def make_schedule(steps_per_epoch, total_steps):
    scale = FLAGS.batch_size / 256
    lr = FLAGS.lr * {"none": 1, "linear": scale, "sqrt": scale**0.5}[FLAGS.lr_scaling]
    if FLAGS.cos:
        hold = steps_per_epoch if FLAGS.cos_unit == "epoch" else 1
        schedule = schedules.Cosine(lr, total_steps, hold)
    elif FLAGS.exp_steps:
        schedule = schedules.Exponential(lr, FLAGS.exp_steps, FLAGS.exp_factor)
    else:
        milestones = train_flags.numbers("schedule")
        schedule = schedules.Milestones(lr, [int(e * steps_per_epoch) for e in milestones])
    if FLAGS.warmup_epochs:
        schedule = schedules.WarmUp(schedule, FLAGS.warmup_epochs * steps_per_epoch)
    return schedule


def make_monitor(source, augmentation, bad_images):
    if not FLAGS.knn_every:
        return None
    if not all(source.evaluation_sizes):
        log.warning("no kNN: %s has no labels, or no split to ask about", source.name)
        return None
    vote = {"k": FLAGS.knn_k, "T": FLAGS.knn_t}
    return KNNMonitor(source, augmentation, bad_images, most=FLAGS.knn_bank, **vote)


def baselines(monitor, encode):
    """Returns what kNN gives before training: on raw pixels, and with the untrained encoder."""
    if monitor is None:
        return {}
    return {"knn_top1": monitor.measure(encode), "knn_top1_pixels": monitor.measure_pixels()}


@contextlib.contextmanager
def guard_data(bad_images):
    """Turns what the graph says of bad images, or of too little memory, into the user's language."""
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        raise UserError(
            f"--batch_size={FLAGS.batch_size}: does not fit the device's memory; try a smaller one, "
            f"--grad_accum_steps={2 * FLAGS.grad_accum_steps} or --precision=mixed_bfloat16"
        ) from error
    except tf.errors.OpError as error:
        if bad_images.too_many:
            raise UserError(bad_images.too_many) from error
        if NOTHING_DECODES not in str(error):
            raise
        raise UserError(
            f"--data_dir={FLAGS.data_dir}: {NOTHING_DECODES}, such as {bad_images.names[0]}; expected "
            f"{FORMATS}; try tools/check_data.py, which says what is wrong with each"
        ) from error


def report(run_dir, bad_images):
    """Writes results.json and prints the final table."""
    metrics = run_dir.metrics()
    first, last = metrics[0], metrics[-1]
    speeds = [m["images_per_second"] for m in metrics if "images_per_second" in m]
    results = {
        "steps": last["step"],
        "loss": last["loss"],
        "chance": last["chance"],
        "acc1": last["acc1"],
        "acc5": last["acc5"],
        "images_per_second": statistics.median(speeds),
        "bad_images": len(bad_images.names),
    }
    if "knn_top1" in last and first["step"] == 0:
        results |= {
            "knn_top1": last["knn_top1"],
            "knn_top1_untrained": first["knn_top1"],
            "knn_top1_pixels": first["knn_top1_pixels"],
        }
        print(f"\n{'kNN top-1, %':<24}")
        print(f"{'  raw pixels':<24}{first['knn_top1_pixels']:6.1f}")
        print(f"{'  encoder at the start':<24}{first['knn_top1']:6.1f}")
        print(f"{'  MoCo':<24}{last['knn_top1']:6.1f}")
    if bad_images.names:
        print(f"{len(bad_images.names)} images did not decode; see {run_dir.file('bad_images.txt')}")
    write_whole(run_dir.file("results.json"), json.dumps(results, indent=2) + "\n")
    command.print_json(results)


if __name__ == "__main__":
    flags.adopt_module_key_flags(train_flags)  # so that --help shows them
    flags.register_validator("model_dir", bool, "expected a folder, such as --model_dir=runs/mine")
    command.run(main)
