r"""Pre-trains an image encoder by Momentum Contrast.

    python -m mocotf.train --flagfile=flags/demo.cfg --model_dir=runs/demo
    python -m mocotf.train --flagfile=flags/v2.cfg --dataset=folder --data_dir=DIR --model_dir=runs/v2

The same command again, or --model_dir alone, resumes a run that was stopped.
"""

from mocotf.cli import command  # first: it keeps TensorFlow's start-up notices off the terminal

# isort: split
import dataclasses
import functools
import os

import keras
import numpy as np
from absl import flags

from mocotf.cli import train_flags
from mocotf.data.bad_images import BadImages
from mocotf.data.pretraining import augment_crops
from mocotf.data.pretraining import random_views
from mocotf.data.sources.base import Order
from mocotf.data.sources.open import open_source
from mocotf.evaluation import pretraining
from mocotf.evaluation.measures import MEASURES
from mocotf.evaluation.monitor import encoder_function
from mocotf.evaluation.monitor import make_monitor
from mocotf.moco.start import start_from
from mocotf.nn import xla
from mocotf.training.checkpoints import Checkpoints
from mocotf.training.cluster import find_cluster
from mocotf.training.cluster import place_in
from mocotf.training.health import Health
from mocotf.training.host import configure_host
from mocotf.training.pictures import show_views
from mocotf.training.progress import Course
from mocotf.training.progress import Every
from mocotf.training.replicas import check_agreement
from mocotf.training.run import Run
from mocotf.training.run_dir import RunDir
from mocotf.training.strategy import make_strategy

flags.adopt_module_key_flags(train_flags)  # so that --help shows them


def main():
    # ---- What was asked for, checked before anything is written
    settings = train_flags.read()
    optimisation, run_settings, devices = settings.training
    configure_host(devices)
    cluster = find_cluster(devices.workers, devices.worker_index)
    worker, workers = place_in(cluster)
    chief = worker == 0
    if workers > 1:  # before they meet: of each, which has a replica or more
        train_flags.check_devices(settings, workers, workers)
    strategy = make_strategy(
        devices.strategy, devices.num_logical_devices, cluster, devices.tpu, devices.worker_timeout
    )
    replicas = strategy.num_replicas_in_sync
    train_flags.check_devices(settings, replicas, workers)
    source = open_source(settings.data)
    train_flags.check_source(settings, source, replicas, workers)
    steps_per_epoch = source.steps_per_epoch(optimisation.batch_size, workers)
    course = Course.of(
        settings.training,
        steps_per_epoch,
        measure=Every(settings.monitor.knn_every * steps_per_epoch),
        compare=Every(devices.check_replicas_every),
        most_skipped=run_settings.max_skipped_batches if run_settings.on_nan == "restore" else 0,
    )

    facts = {"replicas": replicas, "images": source.size}
    if workers > 1:
        role = "the chief, which writes" if chief else "which writes nothing to"
        print(f"worker {worker} of {workers}: {role} {run_settings.model_dir}", flush=True)
        check_agreement(strategy, settings.texts(), facts)

    # ---- Model
    keras.utils.set_random_seed(run_settings.seed)
    keras.config.set_dtype_policy(devices.precision)
    augmentation = settings.views.augmentation
    on_device = settings.views.augment_on == "device"
    with strategy.scope():
        model = settings.config.build_model(
            course.schedule,
            augment_crops(augmentation) if on_device else None,
            xla.is_to_compile(devices.jit_compile, strategy, devices.deterministic),
            probe_classes=len(source.class_names) if settings.monitor.probe else 0,
            batch_size=optimisation.batch_size,
            images=source.size,
            steps_per_execution=run_settings.steps_per_execution,
        )

    # ---- Where the run is kept, once all of it can be made
    run_dir = RunDir(run_settings.model_dir, settings.saved, facts) if chief else None
    names_file = run_dir.file("bad_images.txt") if chief else None
    bad_images = BadImages(names_file, source.size, settings.data.max_bad_images)
    bad_images.report(np.array([os.fsencode(shard) for shard in source.bad_shards]))
    folder = os.path.join(run_settings.model_dir, "checkpoints")
    checkpoints = Checkpoints(folder, model, course.keep)

    # ---- Data
    order = Order(run_settings.seed, optimisation.batch_size, steps_per_epoch, worker, workers)

    def views_from(batch):
        return random_views(
            source,
            augmentation,
            order,
            bad_images=bad_images,
            first_step=batch,
            crops_only=on_device,
            ops=settings.data.host_ops,
            data_service=settings.views.data_service,
            labels=settings.monitor.probe,
            views=model.VIEWS,
            indices=model.INDEXED,
        )

    def batches_from(step):
        return model.arrange(checkpoints.skipped.dataset_from(step, views_from), step)

    # ---- What is measured, and shown before the first step
    monitor = make_monitor(settings.monitor, source, augmentation, bad_images) if chief else None
    encode = encoder_function(model.query_encoder, settings.monitor.knn_features)

    def first_record():
        views, *_ = model.unpack(next(iter(views_from(0))))
        show_views(run_dir, views, augmentation)
        return monitor.record_baselines(encode, run_dir) if monitor else {}

    # ---- Run
    hints = settings.config.hints()
    health = Health(
        run_settings.on_collapse,
        course.total_steps,
        steps_per_epoch,
        judged_after=max(
            model.steps_to_fill(course.batch_size), optimisation.warmup_epochs * steps_per_epoch
        ),
        lr=optimisation.lr,
        hints=hints,
    )
    start = run_settings.init_from
    run = Run(
        model,
        dataclasses.replace(course, chance=model.chance),
        batches_from,
        bad_images,
        checkpoints,
        run_dir,
        measure=functools.partial(monitor.record, encode, run_dir) if monitor else lambda step: {},
        measures=MEASURES,
        accuracy="knn_top1",
        settings=settings.texts(),
        initialise=lambda: start and start_from(model, settings.config, start),
        first_record=first_record,
        health=health,
        workers=workers,
        saves_memory=(hints["memory"],),
    )
    run.train()

    # ---- Results
    if chief:
        results = pretraining.finish(run_dir, bad_images)
        if summary := health.summary():
            print(summary, flush=True)
        command.print_json(results)
    run.meet()  # the chief has written all


if __name__ == "__main__":
    flags.register_validator("model_dir", bool, "expected a folder, such as --model_dir=runs/mine")
    command.run(main, resumes=True)
