"""What training measures: kNN, on which images, and retrieval where these have no labels."""

import types

import numpy as np
import pytest
import tensorflow as tf

from mocotf.data.bad_images import BadImages
from mocotf.data.sources.folder import Folder
from mocotf.data.sources.patches import Patches
from mocotf.data.sources.tfrecord import TFRecords
from mocotf.data.views.augmentations import Augmentation
from mocotf.evaluation import retrieval
from mocotf.evaluation.monitor import KNNMonitor
from mocotf.evaluation.monitor import RetrievalMonitor
from mocotf.evaluation.monitor import _summary
from mocotf.evaluation.monitor import make_monitor
from mocotf.evaluation.settings import MonitorSettings
from mocotf.evaluation.splits import KNNSplits
from mocotf.evaluation.unlabelled import Unlabelled
from tests.data.support import example
from tests.data.support import write_colours
from tests.data.support import write_records

VIEW = Augmentation(size=16)


def monitor(source):
    return KNNMonitor(source, VIEW, BadImages(), k=5, T=0.1, most=50)


def pixels(images):
    return tf.reshape(images, [len(images), -1])


def test_at_most_so_many_images_are_picked_evenly(tmp_path):
    for name in "ab":
        write_colours(str(tmp_path / name), 25)
    source = Folder(str(tmp_path))
    assert source.evaluation_sizes == (45, 5)
    for most, size in ((None, 45), (44, 23), (1, 1)):
        splits = KNNSplits(source, VIEW, BadImages(), (most, None), batch_size=10)
        labels = np.concatenate([labels for _, labels in splits.bank.as_numpy_iterator()])
        assert (len(labels), 5) == splits.sizes == (size, 5)
        if size > 1:
            assert abs(np.mean(labels) - 0.5) < 0.1


def test_classes_that_the_bank_has_not_count_as_wrong_and_are_told_once(tmp_path, caplog):
    for name in ("train/a", "train/b", "val/c"):
        write_colours(str(tmp_path / name), 4)
    knn = monitor(Folder(str(tmp_path)))
    assert [knn.scores(pixels).tolist() for _ in range(2)] == [[0] * 4] * 2
    assert caplog.text.count("kNN counts as wrong what it cannot know: folder: 1 class of") == 1
    assert "(c)" in caplog.text


def test_queries_and_bank_are_different_training_images_always_the_same():
    def handles(part):
        found, labels = zip(*Unlabelled(Patches()).evaluation(part).as_numpy_iterator(), strict=True)
        assert set(labels) == {-1}
        return found

    bank, queries = handles("bank"), handles("queries")
    assert Unlabelled(Patches()).evaluation_sizes == (len(bank), len(queries)) == (2000, 200)
    assert len({*bank, *queries}) == 2200 and max(bank) < 6400
    assert handles("queries") == queries


def test_a_folder_without_classes_has_neighbours_and_retrieval(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(retrieval, "COPIES", 50)
    write_colours(str(tmp_path / "photos"), 30)
    source = Folder(str(tmp_path / "photos"))
    measured = make_monitor(MonitorSettings(), source, VIEW, BadImages())
    album = measured.album()
    scores = measured.scores(pixels, album)
    assert scores.shape == (50,) and 0.5 < scores.mean() < 1
    assert set(album.queries[2]) == {-1} and len(album.queries[2]) == 3
    similarities, _, pictures = album.nearest
    assert pictures.shape == (3, 8, 16, 16, 3) and np.all(np.diff(similarities) <= 0)

    run_dir = types.SimpleNamespace(file=lambda name: str(tmp_path / name))
    first = measured.record_baselines(lambda images: 0 * pixels(images), run_dir)
    assert "retrieval is measured instead of kNN" in capsys.readouterr().out
    assert first["retrieval_auc_pixels"] == 100 * scores.mean() and first["queries"] == 50
    assert first["retrieval_auc"] == 0 and 0 < first["retrieval_auc_error"] < 9
    assert measured.record(pixels, run_dir, 1)["retrieval_auc"] == first["retrieval_auc_pixels"]
    assert (tmp_path / "pictures" / "neighbours-1.jpg").exists()


@pytest.mark.parametrize("right", [0, 20, 98])
def test_standard_errors_are_those_of_agresti_and_caffo(right):
    p = (right + 1) / 100  # of 98 queries, and a success and a failure
    found = _summary("x", np.arange(98) < right)
    assert found["x"] == pytest.approx(100 * right / 98)
    assert found["x_error"] == pytest.approx(100 * (p * (1 - p) / 100) ** 0.5 * 100 / 98, abs=1e-3)


def test_records_are_read_in_order(tmp_path):
    write_colours(str(tmp_path / "photos"), 12, suffixes=("png",))
    images = [path.read_bytes() for path in sorted((tmp_path / "photos").iterdir())]
    write_records(tmp_path / "train-0", [example(image__encoded=image) for image in images])
    source = TFRecords(str(tmp_path / "train-*"))
    assert [source.load(handle).numpy() for handle in source.sample(5)] == images[:5]
    assert len(RetrievalMonitor(Unlabelled(source), VIEW, BadImages()).scores(pixels)) == 500
