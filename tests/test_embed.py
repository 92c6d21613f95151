"""`python -m mocotf.embed` and `mocotf.search` as a user types them, on a run and a folder."""

import signal

import numpy as np
import pytest
from PIL import Image

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


def test_a_killed_embed_goes_on_to_the_same_file_which_search_then_asks(place):
    flags = [f"--model_dir={place / 'run'}", f"--data_dir={place / 'photos'}", "--batch_size=2"]
    done = succeed("embed", *flags, f"--out={place / 'a.npz'}", "--json")
    assert done.json == {"images": 299, "bad_images": 1, "dim": 64}
    assert done.err.splitlines() == ["WARNING: skipped 100.png: it does not decode (1 so far)"]

    killed = start("embed", *flags, f"--out={place / 'b.npz'}")
    killed.wait_until((place / "b.npz.unfinished" / "progress.json").exists)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (place / "b.npz").exists()
    assert "going on after " in succeed("embed", *flags, f"--out={place / 'b.npz'}").out
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


def test_mistakes_are_one_line(place, tmp_path):
    (tmp_path / "v.npz").write_bytes(b"no index")
    photos, out = f"--data_dir={place / 'photos'}", f"--out={tmp_path / 'out.npz'}"
    model = f"--model_dir={place / 'run'}"
    refuse("embed", [model, photos, f"--out={tmp_path / 'v.npz'}"], "exists; expected the name of a")
    refuse("embed", [model, f"--data_dir={tmp_path}", out], "no images found")
    refuse("search", [f"--index={tmp_path / 'v.npz'}", "q.jpg"], "cannot be read")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["v.npz"]
