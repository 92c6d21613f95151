"""Pre-training, from what was asked for to the results."""

import dataclasses
import functools
import os

import numpy as np

from mocotf import terminal
from mocotf.api.data import open_and_tell
from mocotf.api.final_files import write_final_files
from mocotf.api.recipe import choose
from mocotf.api.recipe import is_auto
from mocotf.api.recipe import pretraining_of
from mocotf.data.bad_images import BadImages
from mocotf.data.settings import DataSettings
from mocotf.data.settings import PairSettings
from mocotf.data.sources.base import Order
from mocotf.evaluation import pretraining
from mocotf.evaluation.measures import MEASURES
from mocotf.evaluation.monitor import encoder_function
from mocotf.evaluation.monitor import make_monitor
from mocotf.moco.start import start_from
from mocotf.pretraining import elastic
from mocotf.pretraining.build import batches
from mocotf.pretraining.build import build_model
from mocotf.pretraining.build import check_units
from mocotf.pretraining.recipe import RecipeSettings
from mocotf.pretraining.settings import ALL
from mocotf.training.checkpoints import Checkpoints
from mocotf.training.cluster import find_cluster
from mocotf.training.cluster import losses_explained
from mocotf.training.cluster import place_in
from mocotf.training.health import Health
from mocotf.training.host import configure_host
from mocotf.training.image_facts import ImageFacts
from mocotf.training.pictures import show_views
from mocotf.training.progress import Course
from mocotf.training.progress import Every
from mocotf.training.replicas import check_agreement
from mocotf.training.run import Run
from mocotf.training.run_dir import RunDir
from mocotf.training.run_dir import check_place
from mocotf.training.settings import PretrainingDeviceSettings
from mocotf.training.settings import RunSettings
from mocotf.training.strategy import make_strategy
from mocotf.training.tracker import Tracker
from mocotf.training.tracker import connect
from mocotf.training.watchdog import Watchdog

SETTINGS = (RecipeSettings, *ALL)


def pretrain(asked):
    """Pre-trains an encoder, resuming what was stopped; returns the results, on workers other than the
    chief None.

    Args:
        asked: `Asked` of `SETTINGS`.

    Raises:
        UserError: settings contradict each other or do not fit the images, or the run cannot go on.
        Preempted: it was asked to end, and can be resumed.
    """
    # ---- What was asked for, checked before anything is written
    devices = asked.unchecked(PretrainingDeviceSettings)
    configure_host(devices)
    cluster = find_cluster(devices.workers, devices.worker_index)
    worker, workers = place_in(cluster)
    settings = None if is_auto(asked) else pretraining_of(asked)
    if workers > 1 and settings:  # before they meet: of each, which has a replica or more
        settings.with_bn_splits(1).check_devices(workers, workers)
    tracker = connect(asked.unchecked(RunSettings).tracker) if worker == 0 else Tracker()
    strategy = make_strategy(
        devices.strategy, devices.num_logical_devices, cluster, devices.tpu, devices.worker_timeout
    )
    watchdog = Watchdog(devices.worker_timeout if workers > 1 else None)
    with watchdog, losses_explained(workers), tracker:
        results, complete = _pretrain_at(strategy, worker, workers, asked, settings, watchdog, tracker)
    if complete:  # the other workers do not wait for it
        complete()
    return results


def _pretrain_at(strategy, worker, workers, asked, settings, watchdog, tracker):
    """Does what `pretrain` does, where all workers have come; returns (results, what is left to do for
    the folder of the run, a function, or None).

    Args:
        strategy, worker, workers: see `make_strategy` and `place_in`.
        asked: as of `pretrain`.
        settings: what that is; None where the data are to decide.
        watchdog: a `Watchdog`, entered.
        tracker: a `Tracker`, likewise.
    """
    chief, replicas = worker == 0, strategy.num_replicas_in_sync
    auto, recipe = settings is None, None
    follow = functools.partial(
        elastic.follow,
        strategy=strategy,
        worker=worker,
        workers=workers,
        given="bn_splits" in asked.given,
    )
    if not auto:
        settings = follow(settings)
        settings.check_devices(replicas, workers)
    if chief:  # before pictures are looked at
        check_place(asked.values["model_dir"])
    pairs = asked.read(PairSettings)
    source = open_and_tell(asked.read(DataSettings), pairs, tell=chief)
    if auto:
        settings, recipe = choose(asked, source, strategy, worker, workers)
        settings = follow(settings)
        if recipe:
            print(recipe.table(), end="\n\n", flush=True)
    settings.check_source(source, replicas, workers)
    settings.advise(source, replicas, workers)
    optimisation, run_settings, devices = settings.training
    steps_per_epoch = source.steps_per_epoch(optimisation.batch_size, workers)
    course = Course.of(
        settings.training,
        steps_per_epoch,
        measure=Every(settings.monitor.knn_every * steps_per_epoch),
        compare=Every(devices.check_replicas_every),
        most_skipped=run_settings.max_skipped_batches if run_settings.on_nan == "restore" else 0,
    )

    facts = {"replicas": replicas}
    if source.in_sequence:
        facts["workers"] = workers
    images = ImageFacts(source, settings.verify, source.size, tell=chief)
    if workers > 1:
        role = "the chief, which writes" if chief else "which writes nothing to"
        print(f"worker {worker} of {workers}: {role} {run_settings.model_dir}", flush=True)
        watchdog.hear()  # from here on they wait for each other
        check_agreement(strategy, settings.texts(), facts | images.values)

    # ---- Model
    with terminal.phase("building the model", shown=chief):
        model = build_model(settings, source, strategy, course.schedule)

    # ---- Where the run is kept, once all of it can be made
    run_dir = None
    if chief:
        run_dir = RunDir(
            run_settings.model_dir,
            settings.saved,
            facts,
            images,
            follows=elastic.following(settings, model),
            changes=run_settings.resume_with_changes,
            recipe=recipe and recipe.json(),
        )
    names_file = run_dir.file("bad_images.txt") if chief else None
    bad_images = BadImages(names_file, source.size, settings.data.max_bad_images, source.root)
    bad_images.report(np.array([os.fsencode(shard) for shard in source.bad_shards]))
    folder = os.path.join(run_settings.model_dir, "checkpoints")
    checkpoints = Checkpoints(folder, model, course.keep)

    # ---- Data
    order = Order(
        run_settings.seed,
        optimisation.batch_size,
        steps_per_epoch,
        worker,
        workers,
        run_settings.order_rounds,
    )

    @functools.cache  # a start is traced once: of what is shown before the first step, and trained on
    def views_from(batch):
        return batches(settings, source, model, order, bad_images, batch)

    def batches_from(step):
        return model.arrange(checkpoints.skipped.dataset_from(step, views_from), step)

    # ---- What is measured, and shown before the first step
    augmentation = settings.views.augmentation
    monitor = make_monitor(settings.monitor, source, augmentation, bad_images) if chief else None
    encode = encoder_function(model.query_encoder, settings.monitor.knn_features)

    def first_record():
        with terminal.phase("drawing the first views"):
            views, *_ = model.unpack(next(iter(views_from(0))))
            check_units(views, augmentation)
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

    def initialise():
        if run_settings.init_from:
            start_from(model, settings.config, run_settings.init_from)
        return bool(run_settings.init_from)

    run = Run(
        model,
        dataclasses.replace(course, chance=model.chance),
        batches_from,
        bad_images,
        checkpoints,
        run_dir,
        measure=functools.partial(monitor.record, encode, run_dir) if monitor else lambda step: {},
        measures=MEASURES,
        accuracy=monitor.ACCURACY if monitor else "knn_top1",
        settings=settings.texts(),
        initialise=initialise,
        first_record=first_record,
        health=health,
        workers=workers,
        watchdog=watchdog,
        saves_memory=(hints["memory"],),
        about=f"{settings.config.encoder.name}, {settings.config.mechanism.NAME}",
        tracker=tracker,
    )
    run.train()

    # ---- Results
    results = complete = None
    if chief:
        results = pretraining.finish(run_dir, bad_images)
        tracker.summarise(results)
        if run_settings.final_files:
            fresh = BadImages(None, source.size, settings.data.max_bad_images, source.root)
            complete = functools.partial(write_final_files, run_dir.path, source, fresh)
        if summary := health.summary():
            print(summary, flush=True)
    run.meet()  # the chief has written what counts
    return results, complete
