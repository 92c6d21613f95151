"""Images that do not decode: counted and named once, warned of sparingly, too many at some point."""

import concurrent.futures
import re
import shutil

import numpy as np
import pytest
import tensorflow as tf

from mocotf.data import bad_images
from mocotf.data.bad_images import BadImages
from mocotf.data.views.formats import FORMATS
from mocotf.errors import UserError


def batch(*names):
    return np.array(names, object)


def numbered(count, first=0):
    return batch(*(b"%d.jpg" % i for i in range(first, first + count)))


def test_each_is_counted_and_named_once(tmp_path, caplog):
    path = tmp_path / "bad_images.txt"
    bad = BadImages(str(path))
    assert not path.exists() and bad.names == []
    batches = (batch(b"a.jpg"), batch(b"b.jpg", b"a.jpg", b"b.jpg"), batch(), batch(b"\xff.jpg"))
    counts = [bad.report(names) for names in batches]
    assert counts == [1, 2, 2, 3] and all(count.dtype == np.int32 for count in counts)
    assert bad.names == ["a.jpg", "b.jpg", "\\xff.jpg"]
    assert path.read_text().splitlines() == bad.names
    assert [record.getMessage() for record in caplog.records] == [
        f"skipped {name}: it does not decode, or is over --max_pixels ({i} so far)"
        for i, name in enumerate(bad.names, 1)
    ]


def test_it_takes_a_graphs_names():
    bad = BadImages()

    @tf.function
    def report(names):
        return tf.numpy_function(bad.report, [names], tf.int32)

    assert report(tf.constant(["a.jpg", "ä.jpg"])) == 2
    assert report(tf.constant("single.jpg")) == 3
    assert report(tf.zeros([0], tf.string)) == 3
    assert bad.names == ["a.jpg", "ä.jpg", "single.jpg"]


def test_a_resumed_run_names_no_image_again(tmp_path, caplog):
    path = tmp_path / "bad_images.txt"
    odd = ["a.jpg", "two\\nlines.jpg", "carriage\\rreturn.jpg", "next\\u0085line.jpg", "\\xff.jpg"]
    names = batch(
        b"a.jpg", b"two\nlines.jpg", b"carriage\rreturn.jpg", "next\x85line.jpg".encode(), b"\xff.jpg"
    )
    BadImages(str(path)).report(names)
    caplog.clear()
    resumed = BadImages(str(path))
    assert resumed.names == odd
    assert resumed.report(names) == 5 and not caplog.records
    assert resumed.report(batch(b"b.jpg")) == 6
    assert path.read_bytes().decode() == "".join(name + "\n" for name in [*odd, "b.jpg"])


def test_many_do_not_flood_the_terminal(tmp_path, caplog):
    bad = BadImages(str(tmp_path / "bad_images.txt"))
    for first in range(0, 1200, 60):
        bad.report(numbered(60, first))
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == bad_images.NAMED + 3
    where = f"; their names are in {tmp_path}/bad_images.txt"
    assert said[-3:] == [
        "more images that do not decode are only counted" + where,
        "skipped 100 images so far: they do not decode" + where,
        "skipped 1000 images so far: they do not decode" + where,
    ]
    assert len((tmp_path / "bad_images.txt").read_text().splitlines()) == 1200


@pytest.mark.parametrize(
    ("total", "most", "allowed"),
    [
        (1000, 0.1, 100),
        (1000, 0.0005, 1),
        (1000, 0, 0),
        (1000, 1, 1000),
        (30, 0.1, 3),
        (5, 0.1, 1),  # one bad file of a few
        (2, 0.1, 1),
        (1, 0.1, 0),
        (1, 1, 1),
        (None, 0, 1000),
    ],
)
def test_more_than_allowed_stop_the_run(total, most, allowed):
    bad = BadImages(total=total, most=most)
    assert bad.report(numbered(allowed)) == allowed and bad.stopped is None
    if total and allowed < total:
        for _ in range(2):  # it does not go on when asked again
            with pytest.raises(UserError):
                bad.report(numbered(allowed + 1))
            assert bad.stopped.startswith(f"{allowed + 1} of {total} images (")


def test_the_message_says_what_to_do(tmp_path):
    path = str(tmp_path / "bad_images.txt")
    bad = BadImages(path, total=40, most=0.1)
    with pytest.raises(UserError) as error:
        bad.report(numbered(5))
    expected = (
        "5 of 40 images (12.5 %) do not decode, more than --max_bad_images=0.1; their names are in "
        f"{path}; expected {FORMATS}; try python -m mocotf.check_data, which says what is "
        "wrong, or a larger --max_bad_images"
    )
    assert str(error.value) == bad.stopped == expected
    assert len(BadImages(path).names) == 5
    unnamed = BadImages(total=1)
    with pytest.raises(UserError, match="; one is 0.jpg; "):
        unnamed.report(numbered(1))


def test_a_resumed_run_counts_those_before_it(tmp_path):
    path = str(tmp_path / "bad_images.txt")
    BadImages(path).report(numbered(10))
    resumed = BadImages(path, total=100, most=0.1)
    assert resumed.report(numbered(10)) == 10
    with pytest.raises(UserError, match="^11 of 100 "):
        resumed.report(batch(b"new.jpg"))
    assert BadImages(path, total=100, most=0.2).report(numbered(3)) == 11


@pytest.mark.parametrize("leave", [shutil.rmtree, lambda folder: (folder / "0.jpg").unlink()])
def test_a_folder_that_is_away_is_no_bad_image(tmp_path, leave):
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "0.jpg").touch()
    bad = BadImages(str(tmp_path / "bad_images.txt"), total=2, root=str(tmp_path))
    assert bad.report(batch(b"cat/0.jpg")) == 1
    leave(tmp_path / "cat")
    with pytest.raises(
        UserError, match="cat: is gone, or empty, while images are read from it"
    ) as error:
        bad.report(batch(b"cat/1.jpg"))
    assert bad.names == ["cat/0.jpg"] and str(error.value) == bad.stopped
    assert BadImages().report(batch(b"no file/1")) == 1  # of what is no file nothing is known


def test_a_resumed_run_looks_again_at_files_that_can_be_read(tmp_path):
    path = tmp_path / "bad_images.txt"
    (tmp_path / "good.jpg").touch()
    path.write_text("good.jpg\ngone.jpg\n")
    assert BadImages(str(path)).names == ["good.jpg", "gone.jpg"]
    known = BadImages(str(path), root=str(tmp_path), again=False).names  # as where embedding goes on
    assert known == ["good.jpg", "gone.jpg"] and path.read_text() == "good.jpg\ngone.jpg\n"
    assert BadImages(str(path), root=str(tmp_path)).names == ["gone.jpg"]
    assert path.read_text() == "gone.jpg\n"
    path.write_text(f"{tmp_path}/good.jpg\n")  # as a folder's are, whose root is ""
    for _ in range(2):
        assert BadImages(str(path), root="").names == [] and path.read_text() == ""


def test_too_many_end_a_dataset():
    bad = BadImages(total=8, most=0.5)
    names = tf.data.Dataset.from_tensor_slices([b"%d.jpg" % i for i in range(8)]).batch(2)
    counts = names.map(lambda some: tf.numpy_function(bad.report, [some], tf.int32))
    with pytest.raises(tf.errors.OpError):
        list(counts)
    assert re.match("[5-8] of 8 images ", bad.stopped)


def test_threads_may_report_at_once(tmp_path):
    path = tmp_path / "bad_images.txt"
    bad = BadImages(str(path))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(bad.report, [numbered(20, first) for first in range(0, 400, 5)]))
    assert len(bad.names) == 415 and path.read_text().splitlines() == bad.names
