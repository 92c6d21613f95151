"""metrics.jsonl and TensorBoard show the same numbers, each step once."""

import json
import os
import types

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mocotf.data.views.augmentations import v2
from mocotf.errors import UserError
from mocotf.evaluation.measures import MEASURES
from mocotf.moco.config import MECHANISMS
from mocotf.phases import duration
from mocotf.training.metrics_log import Records
from mocotf.training.pictures import keep_picture
from mocotf.training.pictures import show_views
from mocotf.training.run_dir import RunDir
from tests.training.test_checkpoints import files_limited_to

METRICS = (*MECHANISMS["moco"].METRICS, *MEASURES)


def record(step):
    return {"step": step, "epoch": 0, "loss": 9.0 - step, "chance": 6.9, "acc1": 1.0, "lr": 0.1}


def write(run_dir, *each):
    """Writes records as one start of a run does."""
    records = Records(run_dir, METRICS)
    for one in each:
        records.write(one)
    records.close()


def events_in(path):
    return EventAccumulator(str(path)).Reload()


def scalars(path, tag):
    return [(event.step, round(event.value, 4)) for event in events_in(path).Scalars(tag)]


def test_a_resumed_run_shows_each_step_once_in_both(tmp_path):
    tmp_path /= "lr[0.1]"  # a pattern that does not match itself
    run_dir = RunDir(str(tmp_path), ())
    write(run_dir, *map(record, (1, 2, 3)))
    run_dir.forget_after(2)  # the newest checkpoint was of step 2
    write(run_dir, *map(record, (3, 4)))
    assert [r["step"] for r in run_dir.metrics()] == [1, 2, 3, 4]
    assert scalars(tmp_path, "pretext/loss") == [(s, 9.0 - s) for s in (1, 2, 3, 4)]
    assert scalars(tmp_path / "reference", "pretext/loss") == [(s, 6.9) for s in (1, 2, 3, 4)]
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert all(json.loads(line)["time"] > 1e9 for line in lines)


def test_the_note_of_a_retry_shows_nothing_twice(tmp_path):
    run_dir = RunDir(str(tmp_path), ())
    keep_picture(run_dir, "neighbours", 2, np.zeros((16, 24, 3), np.uint8))
    write(run_dir, *map(record, (1, 2, 3)))
    run_dir.forget_after(2, {"step": 2, "epoch": 0, "retry": 1, "lr_factor": 1 / 3})
    write(run_dir, record(3))
    assert [r["step"] for r in run_dir.metrics()] == [1, 2, 2, 3]
    assert scalars(tmp_path, "pretext/loss") == [(s, 9.0 - s) for s in (1, 2, 3)]
    assert [image.step for image in events_in(tmp_path).Images("pictures/neighbours")] == [2]


@pytest.mark.parametrize(("first", "kept"), [("metrics.jsonl", [1]), ("events.*", [1, 2])])
def test_a_full_disk_stops_the_run_and_says_so(tmp_path, first, kept):
    records = Records(run_dir := RunDir(str(tmp_path), ()), METRICS)
    records.write(record(1))
    message = r"cannot be written: File too large; make room.* after step 2"
    (full,) = tmp_path.glob(first)
    size = os.path.getsize(full)
    with files_limited_to(size + 10), pytest.raises(UserError, match=message):
        try:
            records.write(record(2))
        finally:
            records.close()  # as `Run` does
    assert [r["step"] for r in run_dir.metrics()] == kept


def test_views_are_shown_as_pairs(tmp_path):
    run_dir = RunDir(str(tmp_path), ())
    views = np.zeros((20, 32, 32, 3), np.float32)
    show_views(run_dir, (views, views + 1), v2(size=32))
    write(run_dir, {"step": 0, "epoch": 0})
    (image,) = events_in(tmp_path).Images("pictures/views")
    # two rows of eight pairs, enlarged, with gutters
    assert (image.width, image.height) == (8 * (64 + 5) + 5, 2 * (2 * 64 + 5) + 5)


def test_pictures_of_steps_that_are_forgotten_are_not_shown_and_the_others_once(tmp_path):
    run_dir = RunDir(str(tmp_path), ())
    records = Records(run_dir, METRICS)
    for step in (5, 15, 25):
        keep_picture(run_dir, "neighbours", step, np.full((16, 24, 3), step, np.uint8))
        records.write(record(step))
    records.close()
    run_dir.forget_after(15)
    records = Records(run_dir, METRICS)
    keep_picture(run_dir, "neighbours", 25, np.full((16, 24, 3), 200, np.uint8))
    records.write(record(25))
    records.close()
    images = events_in(tmp_path).Images("pictures/neighbours")
    assert [image.step for image in images] == [5, 15, 25]
    levels = [tf.io.decode_image(image.encoded_image_string).numpy().mean() for image in images]
    np.testing.assert_allclose(levels, [5, 15, 200], atol=2)


def test_what_is_measured_once_is_a_line_through_all_measurements(tmp_path):
    first = {"step": 0, "epoch": 0, "knn_top1": 40.0, "knn_top1_pixels": 35.0}
    write(RunDir(str(tmp_path), ()), first, record(10), record(20) | {"knn_top1": 70.0})
    assert scalars(tmp_path, "evaluation/knn_top1") == [(0, 40), (20, 70)]
    assert scalars(tmp_path / "reference", "evaluation/knn_top1") == [(0, 35), (20, 35)]
    assert "evaluation/retrieval_auc" not in events_in(tmp_path / "reference").Tags()["scalars"]


def test_the_line_on_the_terminal_has_what_there_is(tmp_path):
    plan = types.SimpleNamespace(total_steps=40, steps_per_epoch=10)
    records = Records(RunDir(str(tmp_path), ()), METRICS)
    last = record(11) | {"images_per_second": 1234.5, "data_wait": 0.1, "knn_top1": 70.0}
    assert records.progress_line(last, plan, 60) == (
        "epoch 2/4  step 11/40  loss -2.000 (chance 6.900)  acc1 1.0  lr 0.1  1234 images/s  "
        "data wait 10%  ETA 00:01:00  kNN 70.0"
    )
    for name in ("acc1", "chance", "knn_top1"):  # as of a mechanism without keys
        del last[name]
    assert "loss -2.000  lr 0.1" in records.progress_line(last, plan, 60)


def test_durations_are_readable():
    assert duration(59.6) == "00:01:00"
    assert duration(2 * 86400 + 3 * 3600 + 4 * 60 + 5) == "2d 03:04:05"
