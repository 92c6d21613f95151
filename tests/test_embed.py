"""`python -m mocotf.embed` and `mocotf.search` as a user types them, on a run and a folder."""

import base64
import io
import re
import shutil
import signal

import numpy as np
import pytest
from PIL import Image

from mocotf.image_search.index import read_index
from mocotf.interop import keras_file
from mocotf.moco.saved_run import open_run
from tests.image_search.test_channels import write_place
from tests.processes import refuse
from tests.processes import start
from tests.processes import succeed
from tests.saved_run import write_run


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Returns a folder with a run, 300 photos, of which one is broken, and a query like photo 7."""
    place, rng = tmp_path_factory.mktemp("place"), np.random.default_rng(0)
    write_run(place / "run", image_size="32", width="1.0")
    (place / "photos").mkdir()
    for i in range(300):
        pixels = rng.integers(0, 256, (8, 8, 3), np.uint8)
        image = Image.fromarray(pixels).resize((40, 32), Image.Resampling.NEAREST)
        image.save(place / "photos" / f"{i:03}.png")
        if i == 7:
            image.save(place / "query.jpg", quality=90)
    (place / "photos" / "100.png").write_bytes(b"no image")
    return place


def test_embed_interrupted_goes_on_to_the_same_file_which_search_then_asks(place):
    flags = [f"--model_dir={place / 'run'}", f"--data_dir={place / 'photos'}", "--batch_size=2"]
    done = succeed("embed", *flags, f"--out={place / 'a.npz'}", "--json")
    assert done.json == {"images": 299, "added": 299, "bad_images": 1, "dim": 64}
    said = "WARNING: skipped 100.png: it does not decode, or is over --max_pixels (1 so far)"
    assert done.err.splitlines() == [said]

    interrupted = start("embed", *flags, f"--out={place / 'b.npz'}")
    interrupted.wait_until((place / "b.npz.unfinished" / "progress.json").exists)
    interrupted.send_signal(signal.SIGINT)
    done = interrupted.wait()
    assert done.code == 130 and not done.err
    kept = re.search(r"interrupted; (\d+) of 300 images are kept; the same command goes", done.out)
    done = succeed("embed", *flags, f"--out={place / 'b.npz'}")
    assert f"going on after {kept[1]} of 300 images\n" in done.out
    assert (place / "a.npz").read_bytes() == (place / "b.npz").read_bytes()
    assert sorted(p.name for p in place.iterdir()) == ["a.npz", "b.npz", "photos", "query.jpg", "run"]

    page = place / "found.html"
    flags = [f"--index={place / 'a.npz'}", "--k=3", f"--html={page}", "--json"]
    done = succeed("search", *flags, place / "query.jpg", place / "photos" / "009.png")
    like_7, like_9 = (result["found"] for result in done.json["results"])
    assert like_7[0][0] == "007.png" and like_7[0][1] > 0.99
    assert len(like_7) == len(like_9) == 3 and "009.png" not in [name for name, _ in like_9]
    assert "   1  " in done.out and page.read_text().count("data:image/jpeg") == 8

    # The encoder that the index names has gone another way.
    write_run(place / "other", image_size="32", seed="4", moco_dim="8")
    other = [f"--model_dir={place / 'other'}", place / "query.jpg"]
    refuse("search", [*flags, *other], "its weights are not those that made")


@pytest.mark.slow
def test_embed_killed_and_interrupted_goes_on_to_the_same_file(place, tmp_path):
    flags = [f"--model_dir={place / 'run'}", f"--data_dir={place / 'photos'}", "--batch_size=2"]
    succeed("embed", *flags, f"--out={tmp_path / 'a.npz'}")
    killed = start("embed", *flags, f"--out={tmp_path / 'b.npz'}")
    progress = tmp_path / "b.npz.unfinished" / "progress.json"
    killed.wait_until(progress.exists)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "b.npz").exists()
    before = progress.read_text()
    interrupted = start("embed", *flags, f"--out={tmp_path / 'b.npz'}")
    interrupted.wait_until(lambda: progress.read_text() != before)
    interrupted.send_signal(signal.SIGINT)
    assert interrupted.wait().code == 130
    succeed("embed", *flags, f"--out={tmp_path / 'b.npz'}")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.slow
def test_what_is_added_ends_in_the_index_of_all_even_if_killed(place, tmp_path):
    photos = tmp_path / "photos"
    shutil.copytree(place / "photos", photos / "sub")
    late = [photos / "sub" / f"{i:03}.png" for i in range(0, 300, 2)]  # the bad one is of them
    (photos / "gone.png").write_bytes(b"bad, and gone later")
    flags = [f"--model_dir={place / 'run'}", f"--data_dir={photos}", "--batch_size=2", "--json"]
    whole, grown = (tmp_path / f"{name}.npz" for name in ("whole", "grown"))
    kept = [path.rename(tmp_path / path.name) for path in late]
    assert succeed("embed", *flags, f"--out={grown}").json["added"] == 150
    (photos / "gone.png").unlink()
    for path, old in zip(late, kept, strict=True):
        old.rename(path)
    shutil.copy(late[0], photos / "first.png")  # a folder comes after the files beside it

    append = [*flags, f"--out={grown}", "--append"]
    killed = start("embed", *append)
    killed.wait_until((tmp_path / "grown.npz.unfinished" / "progress.json").exists)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    done = succeed("embed", *append)
    assert done.json == {"images": 300, "added": 150, "bad_images": 2, "dim": 64}
    assert "151 images" in done.out and "left out: 150 embedded before" in done.out
    assert "going on after " in done.out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["grown.npz", "photos"]

    succeed("embed", *flags, f"--out={whole}")
    found, expected = (read_index(str(path)) for path in (grown, whole))
    assert found.names == expected.names
    np.testing.assert_allclose(found.vectors, expected.vectors, rtol=1e-5, atol=1e-6)
    assert expected.about["bad_images"] == ["sub/100.png"]
    assert found.about == expected.about | {"bad_images": ["gone.png", "sub/100.png"]}

    # What is gone from the folder stays; where nothing is new the file is not written.
    shutil.rmtree(photos / "sub")
    assert succeed("embed", *append).json == done.json | {"added": 0}
    written = grown.stat().st_mtime_ns
    assert succeed("embed", *append).json == done.json | {"added": 0}
    assert grown.stat().st_mtime_ns == written


@pytest.mark.slow
def test_several_indexes_are_asked_as_one(place, tmp_path):
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
    for i in range(20):
        shutil.copy(place / "photos" / f"{i:03}.png", tmp_path / "xy"[i % 2] / f"{i // 2}.png")
    x, y, whole = tmp_path / "x.npz", tmp_path / "y.parquet", tmp_path / "all.npz"
    model = f"--model_dir={place / 'run'}"
    for folder, out in (("x", x), ("y", y), ("", whole)):
        succeed("embed", model, f"--data_dir={tmp_path / folder}", f"--out={out}")
    page, query = tmp_path / "found.html", tmp_path / "y" / "3.png"
    flags = [f"--html={page}", "--k=5", "--json", query, place / "query.jpg"]

    def found(*indexes):
        done = succeed("search", f"--index={','.join(map(str, indexes))}", *flags)
        return [result["found"] for result in done.json["results"]]

    expected = [[[str(tmp_path / name), s] for name, s in one] for one in found(whole)]
    assert page.read_text().count("data:image/jpeg") == 12
    assert found(x, y) == expected
    assert page.read_text().count("data:image/jpeg") == 12
    assert f"of 20 in {tmp_path / 'x'}, {tmp_path / 'y'}, by" in page.read_text()
    assert expected[1][0][0] == str(query) and str(query) not in [path for path, _ in expected[0]]
    # What is in several is one answer.
    assert found(whole, y, x) == expected


@pytest.mark.slow
def test_indexes_that_do_not_fit_each_other_are_told(place, tmp_path):
    model = f"--model_dir={place / 'run'}"
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
    for i in range(20):
        shutil.copy(place / "photos" / f"{i:03}.png", tmp_path / "xy"[i % 2] / f"{i // 2}.png")
    x, y = tmp_path / "x.npz", tmp_path / "y.parquet"
    query, photo = tmp_path / "y" / "3.png", place / "query.jpg"
    for folder, out in (("x", x), ("y", y)):
        succeed("embed", model, f"--data_dir={tmp_path / folder}", f"--out={out}")
    both = f"--index={x},{y}"
    refuse("search", [both, f"--data_dir={tmp_path}", query], "given with 2 indexes; expected one;")
    short = tmp_path / "short.npz"
    short_of_x = [f"--data_dir={tmp_path / 'x'}", f"--out={short}", "--output=embedding"]
    succeed("embed", model, *short_of_x)
    refuse("search", [f"--index={x},{short}", query], f"{x}, {short}: cannot be compared, they have")

    # Nor is one added to another.
    write_run(tmp_path / "other", image_size="32", seed="4")
    other = f"--model_dir={tmp_path / 'other'}"
    refuse("embed", [other, *short_of_x, "--append"], "its weights are not those that made")
    refuse("embed", [model, *short_of_x[:2], "--append"], "expected embedding; try --output=embedding")
    another = [*short_of_x, f"--data_dir={tmp_path / 'y'}"]
    refuse("embed", [model, *another, "--append"], "is of another folder; expected")

    # Of an archive the same names and vectors are known, and its pictures are shown.
    archive = shutil.make_archive(str(tmp_path / "x"), "zip", tmp_path / "x")
    succeed("embed", model, f"--data_dir={archive}", f"--out={tmp_path / 'z.npz'}")
    of_folder, of_archive = (read_index(str(path)) for path in (x, tmp_path / "z.npz"))
    assert of_archive.names == of_folder.names
    assert of_archive.vectors.tobytes() == of_folder.vectors.tobytes()
    page = tmp_path / "found.html"
    succeed("search", f"--index={tmp_path / 'z.npz'}", f"--html={page}", "--k=5", query, photo)
    assert page.read_text().count("data:image/jpeg") == 12


def test_mistakes_are_one_line(place, tmp_path):
    (tmp_path / "v.npz").write_bytes(b"no index")
    photos, out = f"--data_dir={place / 'photos'}", f"--out={tmp_path / 'out.npz'}"
    model = f"--model_dir={place / 'run'}"
    refuse("embed", [model, photos, f"--out={tmp_path / 'v.npz'}"], "exists; expected the name of a")
    refuse("embed", [model, photos, out, "--append"], "no such file; expected an index to add to")
    refuse("embed", [model, photos, f"--out={tmp_path / 'v.npz'}", "--append"], "cannot be read")
    refuse("embed", [model, f"--data_dir={tmp_path}", out], "no images found")
    refuse("search", [f"--index={tmp_path / 'v.npz'}", "q.jpg"], "cannot be read")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["v.npz"]


def thumbnails(page):
    """Returns the mean colours of the pictures on a page."""
    encoded = re.findall('data:image/jpeg;base64,([^"]*)', page.read_text())
    pictures = [Image.open(io.BytesIO(base64.b64decode(text))) for text in encoded]
    return [np.asarray(picture).mean(axis=(0, 1)).round() for picture in pictures]


def test_files_of_other_channels_are_found_and_shown_in_those_chosen(tmp_path):
    write_place(tmp_path)
    index, page, files = (tmp_path / name for name in ("v.npz", "found.html", "files"))
    model = f"--model_dir={tmp_path / 'run'}"
    assert (
        succeed("embed", model, f"--data_dir={files}", f"--out={index}", "--json").json["images"] == 9
    )
    about = read_index(str(index)).about
    assert (about["channels"], about["bad_images"]) == (4, ["rgb.png"])
    query = f"--index={index}", "--k=2", f"--html={page}", "--json", files / "2.tif"
    (result,) = succeed("search", *query).json["results"]
    assert sorted(name for name, _ in result["found"]) == ["10.png", "6.npy"]
    # The third channel is one std above its mean, the others as far below: of 4,3,2 it is green.
    np.testing.assert_allclose(thumbnails(page), [[64, 191, 64]] * 3, atol=4)


def test_three_channels_of_a_keras_file_are_said_to_be_no_rgb(tmp_path):
    write_run(tmp_path / "run", channels="3", mean="9e3,9e3,9e3", std="1e3,1e3,1e3")
    model = tmp_path / "encoder.keras"
    encoder = keras_file.from_run(open_run(str(tmp_path / "run")))
    encoder.save(model)
    (tmp_path / "files").mkdir()
    values = np.random.default_rng(0).normal(9e3, 1e3, (16, 16, 3)).astype(np.float32)
    np.save(tmp_path / "files" / "a.npy", values)
    flags = [f"--data_dir={tmp_path / 'files'}", f"--out={tmp_path / 'v.npz'}", "--channels=3"]
    refuse("embed", [f"--model_dir={tmp_path / 'run'}", *flags], "--channels=3 does nothing with a run")
    succeed("embed", f"--model_dir={model}", *flags)
    found, expected = read_index(str(tmp_path / "v.npz")).vectors, encoder(values[None])["features"]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    others = [f"--data_dir={tmp_path / 'files'}", f"--out={tmp_path / 'v.npz'}", "--append"]
    refuse("embed", [f"--model_dir={model}", *others], "not read so; expected --channels=3")
