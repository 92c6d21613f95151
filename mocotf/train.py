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

from mocotf.cli import data_flags
from mocotf.cli import fit_flags
from mocotf.cli import from_flags
from mocotf.cli import mechanism_flags
from mocotf.cli import train_flags
from mocotf.data.bad_images import BadImages
from mocotf.data.batches import NOTHING_DECODES
from mocotf.data.decode import FORMATS
from mocotf.data.pipeline import augment_crops
from mocotf.data.pipeline import random_views
from mocotf.data.source import Order
from mocotf.errors import Preempted
from mocotf.errors import UserError
from mocotf.evaluation.gallery import show
from mocotf.evaluation.measures import MEASURES
from mocotf.evaluation.monitor import encoder_function
from mocotf.moco.config import MECHANISMS
from mocotf.training.callback import Desk
from mocotf.training.callback import Overseer
from mocotf.training.callback import Plan
from mocotf.training.checkpoints import Checkpoints
from mocotf.training.checkpoints import init_from
from mocotf.training.checkpoints import steps_in
from mocotf.training.cluster import find_cluster
from mocotf.training.cluster import place_in
from mocotf.training.divergence import DivergenceError
from mocotf.training.fit import fit
from mocotf.training.host import configure_host
from mocotf.training.records import Records
from mocotf.training.records import show_views
from mocotf.training.replicas import broadcast
from mocotf.training.replicas import check_agreement
from mocotf.training.replicas import meet
from mocotf.training.run_dir import RunDir
from mocotf.training.run_dir import write_whole
from mocotf.training.strategy import make_strategy
from mocotf.training.termination import Termination
from mocotf.training.warnings import HealthWarnings

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(train_flags)  # so that --help shows them
log = logging.getLogger(__name__)


def main():
    # ---- What was asked for, checked before anything is written
    train_flags.check()
    configure_host(**fit_flags.host_options())
    cluster = find_cluster(FLAGS.workers, FLAGS.worker_index)
    strategy = make_strategy(
        FLAGS.strategy, FLAGS.num_logical_devices, cluster, FLAGS.tpu, FLAGS.worker_timeout
    )
    replicas = strategy.num_replicas_in_sync
    worker, workers = place_in(cluster)
    chief = worker == 0
    augmentation = from_flags.make_augmentation()
    from_flags.check_setup(replicas, workers)
    source = data_flags.make_source()
    from_flags.check_source(source, replicas, workers)
    steps_per_epoch = source.steps_per_epoch(FLAGS.batch_size, workers)
    total_steps = FLAGS.steps or FLAGS.epochs * steps_per_epoch
    facts = {"replicas": replicas, "images": source.size}
    if workers > 1:
        role = "the chief, which writes" if chief else "which writes nothing to"
        print(f"worker {worker} of {workers}: {role} {FLAGS.model_dir}", flush=True)
        check_agreement(strategy, train_flags.decisive(), facts)
    run_dir = (
        RunDir(FLAGS.model_dir, train_flags.resolved(), facts, train_flags.NEUTRAL) if chief else None
    )
    names_file = run_dir.file("bad_images.txt") if chief else None
    bad_images = BadImages(names_file, source.size, FLAGS.max_bad_images)
    with guard(bad_images, workers):
        bad_images.report(np.array([os.fsencode(shard) for shard in source.bad_shards]))

    # ---- Model
    keras.utils.set_random_seed(FLAGS.seed)
    keras.config.set_dtype_policy(FLAGS.precision)
    schedule = fit_flags.make_schedule(steps_per_epoch)
    augment = augment_crops(augmentation) if FLAGS.augment_on == "device" else None
    with strategy.scope():
        model = mechanism_flags.read_config().build_model(
            schedule,
            augment,
            from_flags.jit_compile(strategy, run_dir),
            probe_classes=len(source.class_names) if FLAGS.probe else 0,
            batch_size=FLAGS.batch_size,
            images=source.size,
            steps_per_execution=FLAGS.steps_per_execution,
        )
    checkpoints = Checkpoints(
        os.path.join(FLAGS.model_dir, "checkpoints"), model, FLAGS.keep_checkpoints
    )
    if chief:
        start(run_dir, checkpoints, model, total_steps)

    # ---- Data
    order = Order(FLAGS.seed, FLAGS.batch_size, steps_per_epoch, worker, workers)

    def pairs_from(batch):
        return random_views(
            source,
            augmentation,
            order,
            bad_images=bad_images,
            first_step=batch,
            crops_only=FLAGS.augment_on == "device",
            ops=FLAGS.host_ops,
            data_service=FLAGS.data_service,
            labels=FLAGS.probe,
            views=model.VIEWS,
            indices=model.INDEXED,
        )

    def dataset_from(step):
        return model.arrange(checkpoints.skipped.dataset_from(step, pairs_from), step)

    if FLAGS.data_service:
        log.warning(
            "--data_service: with several workers batches come as they are ready, and a resumed run is "
            "not bit-equal to one that was not stopped; with one worker it is; see docs/data.md"
        )

    monitor = from_flags.make_monitor(source, augmentation, bad_images) if chief else None
    encode = encoder_function(model.query_encoder, FLAGS.knn_features)

    def measure_knn(step):
        album = monitor.album()
        top1 = monitor.measure(encode, album)
        show(run_dir, step, album, source.class_names)
        return {} if top1 is None else {"knn_top1": top1}

    def open_desk():
        records = Records(run_dir, (*model.METRICS, *MEASURES), train_flags.decisive())
        if not run_dir.metrics():
            with guard(bad_images, workers):
                batch = next(iter(pairs_from(0)))
                views, *_ = model.unpack(batch)
                show_views(run_dir, views, augmentation)
            records.write({"step": 0, "epoch": 0} | baselines(monitor, measure_knn))
        warnings = HealthWarnings(total_steps, model.steps_to_fill(FLAGS.batch_size), model.HINTS)
        return Desk(records, checkpoints, warnings, measure_knn)

    # ---- Train
    plan = Plan(
        total_steps=total_steps,
        steps_per_epoch=steps_per_epoch,
        batch_size=FLAGS.batch_size,
        log_every=FLAGS.log_every,
        checkpoint_every=FLAGS.checkpoint_epochs * steps_per_epoch or FLAGS.checkpoint_every,
        checkpoint_minutes=FLAGS.checkpoint_minutes,
        measure_every=FLAGS.knn_every if monitor else 0,
        check_replicas_every=FLAGS.check_replicas_every,
        schedule=schedule,
        chance=model.chance,
        workers=workers,
    )
    termination = Termination()
    finished = False
    while not finished:
        desk = open_desk() if chief else None
        try:
            with guard(bad_images, workers):
                if workers > 1:
                    broadcast(strategy, checkpoints.named.values())
                fit(
                    model,
                    dataset_from,
                    steps_per_epoch=steps_per_epoch,
                    total_steps=total_steps,
                    callbacks=[Overseer(plan, termination, desk)],
                )
            finished = True
            if chief:
                desk.records.finish()
        except Preempted:
            if workers > 1:
                meet(strategy)  # the chief has saved
            raise
        except DivergenceError as divergence:
            if workers > 1:
                meet(strategy)  # this may end the run
            go_back(divergence.step, checkpoints, model, run_dir)
        finally:
            if chief:
                desk.records.close()
                checkpoints.wait()  # whatever ends the run, what was begun is kept
    if chief:
        finish(run_dir, checkpoints, bad_images)
    if workers > 1:
        with guard(bad_images, workers):
            meet(strategy)  # the chief has written all


def start(run_dir, checkpoints, model, total_steps):
    """Brings the model to where the run is: its newest checkpoint, or what it is to start from."""
    step = checkpoints.restore()
    run_dir.forget_after(step or 0)
    if step is None and FLAGS.init_from:
        init_from(model, FLAGS.init_from)
    if step is None and FLAGS.on_nan == "restore":
        checkpoints.save()  # to have one to go back to
    if step is not None and step >= total_steps and not run_dir.metrics():
        raise UserError(
            f"--model_dir={FLAGS.model_dir}: its checkpoint is of step {step}; expected a step before "
            f"the last, {total_steps}; try a larger --epochs when converting"
        )
    if run_dir.resuming:
        print(f"resuming {FLAGS.model_dir} at step {step or 0} of {total_steps}", flush=True)


def go_back(step, checkpoints, model, run_dir):
    """Returns to the last checkpoint, from where the batch of a step that diverged is left out.

    Args:
        step: that diverged, counted from 1.
        run_dir: None where this is not the chief: then the chief's state is yet to be received.

    Raises:
        UserError: that is not wanted, or no longer.
    """
    checkpoints.wait()  # for one of a healthy step, which may still be being written
    skipped = checkpoints.skipped
    batch, known = skipped.batch_of(step - 1), skipped.batches
    what = f"step {step}: loss or gradients are not finite: the run has diverged"
    if FLAGS.on_nan == "stop" or len(known) >= FLAGS.max_skipped_batches:
        last = max(steps_in(os.path.join(FLAGS.model_dir, "checkpoints")), default=0)
        more = f" ({len(known)} batches were left out before)" if known else ""
        raise UserError(
            f"{what}{more}; the last healthy checkpoint is that of step {last}, nothing was saved "
            "since; try a lower --lr or --warmup_epochs, in another --model_dir, or --on_nan=restore"
        )
    with model.distribute_strategy.scope():
        model.gauges.unhealthy_step.assign(-1)
    if run_dir:
        restored = checkpoints.restore()
        run_dir.forget_after(restored)
        with model.distribute_strategy.scope():
            skipped.skip([*known, batch])
        log.warning("%s; back at step %d, from where batch %d is left out", what, restored, batch)


def baselines(monitor, measure_knn):
    """Returns what kNN gives before training: on raw pixels, and with the untrained encoder."""
    found = measure_knn(0) if monitor else {}
    return found | {"knn_top1_pixels": monitor.measure_pixels()} if found else {}


@contextlib.contextmanager
def guard(bad_images, workers=1):
    """Turns what TensorFlow says of bad images, memory or lost workers into the user's language."""
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        raise UserError(
            f"--batch_size={FLAGS.batch_size}: does not fit the device's memory; try a smaller one, "
            f"{MECHANISMS[FLAGS.mechanism].HINTS['memory']} or --precision=mixed_bfloat16"
        ) from error
    except tf.errors.OpError as error:
        if bad_images.too_many:
            raise UserError(bad_images.too_many) from error
        if NOTHING_DECODES in str(error):
            raise UserError(
                f"--data_dir={FLAGS.data_dir}: {NOTHING_DECODES}, such as {bad_images.names[0]}; "
                f"expected {FORMATS}; try tools/check_data.py, which says what is wrong with each"
            ) from error
        if workers == 1:
            raise
        raise UserError(
            f"a worker is lost ({type(error).__name__}); the others cannot go on without it; start the "
            "same command on all of them, which resumes the run"
        ) from error


def finish(run_dir, checkpoints, bad_images):
    """Writes results.json and prints the final table.

    Raises:
        UserError: the last checkpoint could not be saved.
    """
    if not checkpoints.wait():
        raise UserError(
            "the last checkpoint was not saved, see above; make room, and run the same command"
        )
    metrics = run_dir.metrics()
    first, last = metrics[0], metrics[-1]
    speeds = [m["images_per_second"] for m in metrics if "images_per_second" in m]
    results = {
        "steps": last["step"],
        **{name: last[name] for name in ("loss", "chance", "acc1", "acc5") if name in last},
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
        print(f"{'  encoder at the end':<24}{last['knn_top1']:6.1f}")
    if bad_images.names:
        print(f"{len(bad_images.names)} images did not decode; see {run_dir.file('bad_images.txt')}")
    write_whole(run_dir.file("results.json"), json.dumps(results, indent=2) + "\n")
    command.print_json(results)


if __name__ == "__main__":
    flags.register_validator("model_dir", bool, "expected a folder, such as --model_dir=runs/mine")
    command.run(main, resumes=True)
