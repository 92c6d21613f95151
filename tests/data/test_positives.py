"""Positive pairs of two pictures of one group: whose they are, by which draws, and what is refused."""

import re

import numpy as np
import pytest
import tensorflow as tf

from mocotf.data import pretraining
from mocotf.data.bad_images import BadImages
from mocotf.data.positives import OnePicture
from mocotf.data.settings import DataSettings
from mocotf.data.settings import PairSettings
from mocotf.data.settings import ViewSettings
from mocotf.data.sources.base import Order
from mocotf.data.sources.folder import Folder
from mocotf.data.sources.groups import Groups
from mocotf.data.sources.open import open_source
from mocotf.data.sources.patches import Patches
from mocotf.data.two_crops import two_crops
from mocotf.data.views import augmentations
from mocotf.data.views.tensorflow_ops import view_draws
from mocotf.errors import UserError
from tests.data.support import assert_equally_likely
from tests.data.support import colour_number
from tests.data.support import folder_with_bad_files
from tests.data.support import write_colours

PLAIN = augmentations.Augmentation(
    size=16, jitter=(0, 0, 0, 0), gray_prob=0, blur_prob=0, mean=(0, 0, 0), std=(1, 1, 1)
)
OPS = ["numba", pytest.param("tensorflow", marks=pytest.mark.slow)]
COLOURED = augmentations.v2(size=16, jitter=(0.4, 0, 0, 0), blur_prob=0)
NUMBERS = [7, 3, 3, 9, 7, 3, 3, 7, 3]  # of groups of 3, 5 and 1 images, mixed


def partners(groups, images, seed=0, first_key=0):
    """Returns the partners of images that are drawn one after the other."""
    drawn = tf.data.Dataset.from_tensor_slices(np.asarray(images, np.int64)).enumerate(first_key)
    found = drawn.map(lambda key, image: groups.partner(seed, key, image))
    return np.array(list(found.as_numpy_iterator()))


# ---- Whose partner is whose


@pytest.mark.parametrize(
    ("image", "max_gap", "expected"),
    [
        (0, None, [4, 7]),
        (7, None, [0, 4]),
        (5, None, [1, 2, 6, 8]),
        (5, 1, [2, 6]),
        (1, 2, [2, 5]),
        (8, 1, [6]),
        (1, 99, [2, 5, 6, 8]),
        (3, None, [3]),  # alone in its group
    ],
)
def test_any_other_picture_of_the_group_within_the_gap_is_as_likely(image, max_gap, expected):
    found = partners(Groups(NUMBERS, max_gap), [image] * 600)
    assert sorted(set(found)) == expected
    if len(expected) > 1:
        assert_equally_likely(np.searchsorted(expected, found), len(expected))


def test_a_partner_depends_on_seed_and_key_alone():
    groups, images = Groups(NUMBERS), np.resize(range(9), 90)
    found = partners(groups, images)
    np.testing.assert_array_equal(partners(groups, images[50:], first_key=50), found[50:])
    assert (partners(groups, images, seed=1) != found).mean() > 0.3
    assert (partners(groups, images, first_key=90) != found).mean() > 0.3
    assert groups.found() == "3 groups, 1 image alone in its"
    assert groups.digest == Groups(np.add(NUMBERS, 5)).digest != Groups(NUMBERS[::-1]).digest


# ---- Pairs of views


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """27 pictures, each of a colour of its own, in groups of three; none is a JPEG, of which less is
    decoded for one crop than for two, and what is at the edge then differs a little."""
    folder = tmp_path_factory.mktemp("photos")
    write_colours(str(folder), 27, suffixes=("png", "bmp", "gif"))
    found = Folder(str(folder))
    found.groups = Groups(np.arange(27) // 3)
    return found


def pairs(source, count, augmentation=PLAIN, order=None, threads=2, bad=None, **options):
    """Returns float `[count, 2, n, S, S, 3]`."""
    views = pretraining.random_views(
        source, augmentation, order or Order(0, 9, 3), bad_images=bad or BadImages(), **options
    )
    threading = tf.data.Options()
    threading.threading.private_threadpool_size = threads
    return np.array([np.stack(pair[:2]) for pair in views.with_options(threading).take(count)])


def shown(batches):
    """Returns which pictures of `write_colours` views show, `[count, 2, n]`."""
    return np.reshape(colour_number(batches.reshape(-1, *batches.shape[3:])), batches.shape[:3])


@pytest.mark.parametrize("ops", OPS)
def test_the_query_is_what_was_drawn_and_the_key_its_partner(source, ops):
    queries, keys = shown(pairs(source, 6, ops=ops)).swapaxes(0, 1).reshape(2, -1)
    drawn = list(source.draw(Order(0, 9, 3)).take(54).as_numpy_iterator())
    np.testing.assert_array_equal(queries, [handle for _, handle in drawn])
    np.testing.assert_array_equal(keys, [source.groups.partner(0, *image) for image in drawn])
    assert (queries // 3 == keys // 3).all() and (queries != keys).all()


@pytest.fixture(scope="module")
def run(source):
    """The first 5 steps of a run, on one thread."""
    return pairs(source, 5, COLOURED, threads=1)


def test_pairs_do_not_depend_on_threads_workers_or_where_a_run_goes_on(source, run):
    rest = pairs(source, 2, COLOURED, first_step=3, threads=7)
    np.testing.assert_array_equal(rest, run[3:])
    share = pairs(source, 5, COLOURED, order=Order(0, 9, 3, worker=1, workers=3))
    np.testing.assert_array_equal(share, run[:, :, 3:6])


def test_views_have_the_draws_that_those_of_one_picture_have(source, run, monkeypatch):
    groups = source.groups
    monkeypatch.setattr(source, "groups", None)
    of_one = pairs(source, 5, COLOURED)
    np.testing.assert_array_equal(run[:, 0], of_one[:, 0])
    monkeypatch.setattr(source, "groups", groups)
    monkeypatch.setattr(groups, "partner", lambda seed, key, image: image)
    np.testing.assert_array_equal(pairs(source, 5, COLOURED), of_one)


def test_however_views_are_made_they_are_the_same(source, run, monkeypatch):
    by_tensorflow = pairs(source, 5, COLOURED, ops="tensorflow")
    np.testing.assert_allclose(by_tensorflow, run, atol=2e-3)
    rest = pairs(source, 1, COLOURED, ops="tensorflow", first_step=4, threads=7)
    np.testing.assert_array_equal(rest, by_tensorflow[4:])
    monkeypatch.setattr(pretraining, "SMALL", 0)
    np.testing.assert_array_equal(pairs(source, 5, COLOURED), run)


@pytest.mark.parametrize("ops", OPS)
def test_the_device_gets_the_draws_of_both_and_labels_are_the_querys(source, ops, monkeypatch):
    monkeypatch.setattr(source, "label", lambda handle: handle)
    views = pretraining.random_views(
        source, PLAIN, Order(0, 9, 3), bad_images=BadImages(), ops=ops, crops_only=True,
        labels=True, indices=True,
    )  # fmt: skip
    x_q, x_k, draws, labels, indices = next(iter(views))
    drawn = list(source.draw(Order(0, 9, 3)).take(9).as_numpy_iterator())
    assert x_q.dtype == x_k.dtype == tf.uint8
    np.testing.assert_array_equal(draws, [view_draws(0, key) for key, _ in drawn])
    for told in (labels, indices):
        np.testing.assert_array_equal(told, [handle for _, handle in drawn])


@pytest.mark.parametrize("ops", OPS)
def test_of_a_pair_the_file_that_is_bad_is_named(tmp_path, ops):
    found = folder_with_bad_files(tmp_path, 12, (2, 5))
    found.groups, bad = Groups(np.arange(12) // 3), BadImages()
    images = shown(pairs(found, 9, order=Order(0, 4, 3), ops=ops, bad=bad))
    assert not np.isin(images, (2, 5)).any()
    assert (images[:, 0] // 3 == images[:, 1] // 3).all()
    assert sorted(bad.names) == [f"{tmp_path}/{number:03}.jpg" for number in (2, 5)]


# ---- What groups are


def lay(folder, names):
    """Writes a picture of each name, and returns the folder as a text."""
    write_colours(str(folder / "all"), 1, suffixes=("png",))
    content = (folder / "all" / "000.png").read_bytes()
    for name in names:
        (folder / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "photos" / name).write_bytes(content)
    return str(folder / "photos")


def opened(data_dir, files=None, **pairs):
    settings = PairSettings(positives="group", **pairs)
    settings.check()
    return open_source(DataSettings("folder", data_dir, files), settings)


NAMES = ["a/x/1_1.png", "a/x/1_2.png", "a/x/2_1.png", "a/y/1_1.png", "b/1_1.png", "b/3_1.png", "c.png"]


@pytest.mark.parametrize(
    ("by", "expected", "told"),
    [
        ("folder", [["a/x/1_1", "a/x/1_2", "a/x/2_1"], ["b/1_1", "b/3_1"]], "4 groups, 2 images alone"),
        (r"(.*)_\d+\.png", [["a/x/1_1", "a/x/1_2"]], "6 groups, 5 images alone"),
        ("^[ab]", [["a/x/1_1", "a/x/1_2", "a/x/2_1", "a/y/1_1"], ["b/1_1", "b/3_1"]], "3 groups, 1 im"),
    ],
)
def test_folders_and_patterns_name_groups(tmp_path, by, expected, told):
    source = opened(lay(tmp_path, NAMES), group_by=by)
    assert f"; {told}" in source.found()
    numbers, names = source.group_numbers(by), [source.describe(i).numpy() for i in range(source.size)]
    names = [name.decode().split("photos/")[1].removesuffix(".png") for name in names]
    together = [
        [n for n, own in zip(names, numbers, strict=True) if own == one] for one in set(numbers)
    ]
    assert sorted(group for group in together if len(group) > 1) == expected


def test_a_list_names_groups_and_what_is_held_out_is_none(tmp_path):
    data_dir = lay(tmp_path, [f"train/{n}" for n in NAMES] + [f"val/{n}" for n in NAMES])
    assert len(opened(data_dir, group_by="folder").group_numbers("folder")) == 7
    table = tmp_path / "list.csv"
    rows = [f"train/{name},{group.strip()}" for name, group in zip(NAMES, "uv v uv", strict=True)]
    table.write_text("\n".join(["path,group", *rows]))
    source = opened(data_dir, str(table))
    assert "; 4 groups, 2 images alone in theirs" in source.found()
    found = {int(source.groups.partner(0, key, tf.constant(1, tf.int64))) for key in range(30)}
    assert found == {3, 6}
    assert source.digest() != open_source(DataSettings("folder", data_dir, str(table))).digest()
    next(iter(two_crops(data_dir, 4, 16, files=str(table), positives="group", max_gap=1)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "nothing says which images go together; expected --group_by=folder, .* a column group"),
        (
            {"group_by": "cat_(.*)"},
            r"--group_by=cat_\(\.\*\): matches none of 7 paths, such as c?.*; exp",
        ),
        ({"group_by": ".*"}, "each is alone in its group: all 7 images; expected several groups, some"),
        ({"group_by": "g$"}, "one group holds all 7 images; expected several groups"),
        (
            {"group_by": "(a"},
            r"--group_by=\(a: .*unterminated subpattern.*; expected folder, or a regular",
        ),
    ],
)
def test_what_makes_no_groups_is_told_in_a_line(tmp_path, settings, message):
    data_dir = lay(tmp_path, NAMES)
    with pytest.raises(UserError, match=message) as error:
        opened(data_dir, **settings)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["group_by", "max_gap"])
def test_what_groups_have_says_nothing_of_single_pictures(name):
    value = {"group_by": "folder", "max_gap": 3}[name]
    with pytest.raises(
        UserError, match=re.escape(f"--{name}={value} does nothing without --positives")
    ):
        PairSettings(**{name: value}).check()


# ---- Crops of queries and of keys


@pytest.mark.parametrize("name", ["patches", "group"])
@pytest.mark.parametrize("whole", ["query", "key"])
def test_queries_and_keys_have_crops_of_their_own_sizes(tmp_path, name, whole):
    write_colours(str(tmp_path), 8, sizes=((16, 16),), suffixes=("png",))
    source = Patches() if name == "patches" else Folder(str(tmp_path))
    size = 32 if name == "patches" else 16
    if name == "group":
        source.groups = Groups(np.arange(8) // 2)
    settings = ViewSettings(
        image_size=size, aug_plus=True, crop_min=0.05, **{f"{whole}_crop_min": 1.0},
        jitter=(0, 0, 0, 0), blur_prob=0, mean=(0, 0, 0), std=(1, 1, 1),
    )  # fmt: skip
    order = Order(0, 8, 1)
    views = pretraining.random_views(
        source, settings.augmentation, order, bad_images=BadImages(), crops_only=True
    )
    *crops, _ = next(iter(views))
    v = ("query", "key").index(whole)
    drawn = list(source.draw(order).take(8).as_numpy_iterator())
    handles = [handle for _, handle in drawn]
    if name == "group" and v == 1:
        handles = [source.groups.partner(0, *image) for image in drawn]
    images = [pretraining.decoded_image(source, tf.constant(handle)) for handle in handles]
    np.testing.assert_array_equal(crops[v], images)
    others = ViewSettings(image_size=size, crop_min=0.05).augmentation
    both = pretraining.random_views(source, others, order, bad_images=BadImages(), crops_only=True)
    np.testing.assert_array_equal(crops[1 - v], next(iter(both))[1 - v])


def test_the_larger_share_is_only_that_of_its_views(source):
    settings = ViewSettings(crop_min=0.9, query_crop_min=0.05)
    positives = OnePicture(source, settings.augmentation, 0, views=2)
    shares = []
    for key in range(40):
        image, windows, _ = positives.decoded(key, tf.constant(key % 27, tf.int64))[0]
        shares.append(np.prod(windows[:, 2:], axis=1) / np.prod(image.shape[:2]))
    queries, keys = np.min(shares, axis=0)
    assert 0.03 < queries < 0.3 and keys > 0.3  # a centre crop where 0.9 does not fit
    assert ViewSettings().augmentation.key_min_area is None
