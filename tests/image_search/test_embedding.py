"""Vectors of image files: what is made of which file, and how it is kept."""

import json
import os
import pickle
import sys
import zipfile

import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image
from sklearn.neighbors import NearestNeighbors

import mocotf
from mocotf.data.bad_images import BadImages
from mocotf.data.places.directory import images_under
from mocotf.data.sources.image_files import files_under
from mocotf.data.views.decode import decode
from mocotf.errors import UserError
from mocotf.image_search import embedding
from mocotf.image_search import index
from mocotf.image_search import results_page
from mocotf.image_search.partial_index import PartialIndex
from tests.saved_run import write_run

ABOUT = dict.fromkeys(index.ABOUT, "some")
ODD = b"b/odd \xff <i>&.png"  # no UTF-8, no HTML


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    run = tmp_path_factory.mktemp("run")
    write_run(run, image_size="32")
    return mocotf.load_encoder(run)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Eleven images of the encoder's size, of which the fourth in order does not decode."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    (folder / "b").mkdir()
    for name in [f"a{i}.png".encode() for i in range(10)] + [ODD]:
        pixels = rng.integers(0, 256, (32, 32, 3), np.uint8)
        Image.fromarray(pixels).save(bytes(folder) + b"/" + name, "PNG")
    (folder / "a3.png").write_bytes(b"no image")
    return folder


def test_a_folder_becomes_names_and_the_vectors_of_its_images(encoder, folder, caplog):
    expected = [*(f"a{i}.png" for i in range(10) if i != 3), os.fsdecode(ODD)]
    pixels = np.stack([np.array(Image.open(folder / name)) for name in expected])
    for output, dim in (("embedding", 16), ("features", 8)):
        names, vectors = mocotf.embed_folder(encoder, folder, output, batch_size=4)
        assert names == expected
        assert vectors.shape == (10, dim) and vectors.dtype == np.float32
        np.testing.assert_allclose(vectors, encoder(pixels)[output], rtol=1e-4, atol=1e-5)
    assert "a3.png: it does not decode" in caplog.text


def test_a_bad_picture_in_an_archive_is_named_and_left_out(encoder, folder, tmp_path, caplog):
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as archive:
        for i in (2, 3, 4):
            archive.write(folder / f"a{i}.png", f"a{i}.png")
    assert mocotf.embed_folder(encoder, tmp_path / "some.zip")[0] == ["a2.png", "a4.png"]
    assert "a3.png: it does not decode" in caplog.text


def test_it_goes_on_at_any_batch_with_the_same_vectors(encoder, folder):
    files = files_under(str(folder))
    whole, rest = (
        list(embedding.embed(encoder, files, "features", 4, BadImages(), first=n)) for n in (0, 4)
    )
    assert [seen for *_, seen in whole] == [4, 8, 11] and [seen for *_, seen in rest] == [8, 11]
    for (names, vectors, _), (again, same, _) in zip(whole[1:], rest, strict=True):
        assert names == again
        np.testing.assert_array_equal(vectors, same)


def test_what_holds_no_images_is_told_in_one_line(encoder, tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        mocotf.embed_folder(encoder, tmp_path / "nowhere")
    with pytest.raises(UserError, match="no images found"):
        mocotf.embed_folder(encoder, tmp_path)
    (tmp_path / "a.jpg").write_text("no image")
    with pytest.raises(UserError, match="no image decodes"):
        mocotf.embed_folder(encoder, tmp_path)


def test_a_fingerprint_is_of_the_weights(encoder):
    before = embedding.fingerprint(encoder)
    bias = encoder.get_layer("backbone").get_layer("bn1").beta
    bias.assign_add(np.full(bias.shape, 1e-3))
    assert embedding.fingerprint(encoder) != before
    bias.assign_sub(np.full(bias.shape, 1e-3))


def test_nearest_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    vectors, queries = (rng.normal(size=(n, 8)).astype(np.float32) for n in (50, 3))
    places, similarities = embedding.nearest([vectors[:20], vectors[20:]], queries, 5)
    oracle = NearestNeighbors(n_neighbors=5, metric="cosine").fit(vectors)
    distances, expected = oracle.kneighbors(queries)
    np.testing.assert_array_equal(places, expected)
    np.testing.assert_allclose(similarities, 1 - distances, atol=1e-6)
    assert embedding.nearest([vectors], queries, 60)[0].shape == (3, 50)
    assert np.isfinite(embedding.nearest([np.zeros([2, 8], np.float32)], queries, 2)[1]).all()


@pytest.mark.parametrize("ending", [".npz", ".parquet"])
def test_an_index_comes_back_from_its_file(tmp_path, ending):
    path, names = str(tmp_path / f"v{ending}"), ["a", "b/ü.jpg", "c d", os.fsdecode(ODD)]
    vectors = np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32)
    about = ABOUT | {"step": 3, "flags": {"lr": "1"}}
    index.write_index(path, index.Index(names, vectors, about))
    back = index.read_index(path)
    assert (back.names, back.about) == (names, about)
    np.testing.assert_array_equal(back.vectors, vectors)
    if ending == ".parquet":
        assert pyarrow.parquet.read_schema(path).names == ["name", "vector"]


def test_what_is_merged_is_in_the_order_of_a_listing(tmp_path):
    names = ["z.png", "a/b.png", "a/z.png", "a/b/c.png", "a.b/c.png", "B.png", os.fsdecode(ODD)]
    for name in names:
        path = tmp_path / "photos" / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.touch()
    old = index.Index(names[::2], rows(4), {})
    merged, vectors = index.merge(old, names[1::2], rows(3, 4), tmp_path / "vectors")
    assert [os.fsencode(name) for name in merged] == list(images_under(tmp_path / "photos"))
    numbers = [[*names[::2], *names[1::2]].index(name) for name in merged]
    np.testing.assert_array_equal(vectors, rows(7)[numbers])
    assert index.merge(old, [], rows(0), "not written") == (old.names, old.vectors)


def test_parquet_without_pyarrow_is_told_in_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(UserError, match=r"end in .npz.*: pyarrow is not installed; try: .*\[parquet\]"):
        index.check_ending("vectors.parquet")


def test_code_in_an_index_is_not_run_and_what_is_none_is_told_in_one_line(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    evil = np.empty([1], object)
    evil[0] = Evil()
    np.savez(tmp_path / "evil.npz", about=json.dumps(ABOUT), names=evil, vectors=np.zeros([1, 2]))
    np.savez(tmp_path / "others.npz", about="{}", names=["a"], vectors=np.zeros([1, 2]))
    (tmp_path / "bare.npz").write_bytes(pickle.dumps(Evil()))
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04")
    for name in ("evil.npz", "bare.npz", "others.npz", "cut.npz", "absent.npz", "cut.parquet"):
        with pytest.raises(UserError, match="cannot be read") as error:
            index.read_index(str(tmp_path / name))
        assert "\n" not in str(error.value)
    assert not (tmp_path / "ran").exists()
    with pytest.raises(UserError, match="expected a name that ends in .npz or .parquet"):
        index.read_index("vectors.csv")


def rows(n, start=0):
    return np.arange(start, start + n, dtype=np.float32)[:, None] * np.ones([1, 3], np.float32)


def kill(unfinished):
    """Lets go of the files, all bytes written, as may be when a process is killed."""
    for file in (*unfinished._files, unfinished._lock):
        file.close()


def test_what_was_committed_is_kept_and_what_came_after_made_again(tmp_path):
    folder, about = str(tmp_path / "unfinished"), {"weights": "x"}
    first = PartialIndex(folder, about, 3)
    first.add(["a", "b"], rows(2), 3)
    first.commit()
    first.add(["lost"], rows(1, 9), 6)
    with pytest.raises(UserError, match="another process is writing it"):
        PartialIndex(folder, about, 3)
    kill(first)

    second = PartialIndex(folder, about, 3)
    assert (second.seen, second.rows) == (3, 2)
    second.commit()  # which says nothing new
    kill(second)
    third = PartialIndex(folder, about, 3)
    third.add(["c", "odd\udcff"], rows(2, 2), 6)
    names, vectors = third.result()
    assert names == ["a", "b", "c", "odd\udcff"]
    np.testing.assert_array_equal(vectors, rows(4))
    third.remove()
    assert not list(tmp_path.iterdir())


def test_what_is_about_something_else_or_damaged_is_begun_anew(tmp_path, caplog):
    def kept(weights, adding=()):
        """Returns how many images were seen before; some more are from now on."""
        partial = PartialIndex(str(tmp_path / "unfinished"), {"weights": weights}, 3)
        seen = partial.seen
        for name in adding:
            partial.add([name], rows(1), 1)
            partial.commit()
        kill(partial)
        return seen

    assert kept("x", adding="a") == 0 and kept("x") == 1 and kept("y") == 0
    assert kept("x") == 0, "it was begun anew"
    kept("y", adding="a")
    vectors = tmp_path / "unfinished" / "vectors"
    vectors.write_bytes(b"")
    assert kept("y") == 0
    kept("y", adding="ab")
    vectors.write_bytes(bytes([1]) + vectors.read_bytes()[1:])
    assert kept("y") == 0
    assert [message.rpartition(": ")[2] for message in caplog.messages] == ["beginning anew"] * 3
    assert caplog.messages[0].endswith("unfinished: was begun with other weights: beginning anew")


def test_what_an_earlier_release_left_is_read(tmp_path):
    names, vectors = ["a", "b/c"], rows(2)
    np.savez(tmp_path / "v.npz", names=names, vectors=vectors, about=json.dumps(ABOUT))
    back = index.read_index(str(tmp_path / "v.npz"))
    assert (back.names, back.about) == (names, ABOUT) and back.vectors.tobytes() == vectors.tobytes()
    folder, about = tmp_path / "unfinished", {"weights": "x"}
    folder.mkdir()
    (folder / "names").write_bytes(b"a\0b/c\0")
    (folder / "vectors").write_bytes(vectors.tobytes())
    state = {"seen": 2, "rows": 2, "size": 6, "about": about}
    (folder / "progress.json").write_text(json.dumps(state))
    assert PartialIndex(str(folder), about, 3).seen == 2


def test_the_sheet_is_one_file_that_shows_every_image(folder):
    similarities = {"a0.png": 0.9, os.fsdecode(ODD): -0.2, "gone.png": 0.1}
    found = [
        results_page.Found(name, f"{folder}/{name}", value) for name, value in similarities.items()
    ]
    results = [(str(folder / "a1.png"), found)]
    page = results_page.sheet("Nearest <images>", "of & in", results, lambda x: decode(x).numpy())
    page.encode()  # UTF-8
    assert page.count("data:image/jpeg;base64,") == 3 and page.count("not there") == 1
    assert "Nearest &lt;images&gt;" in page and "<i>&." not in page and "http:" not in page
    assert "0.900" in page and "-0.200" in page and "%FF" in page
