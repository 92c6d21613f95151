"""A run notices that its images are others, says which, and goes on with them if it is told to."""

import pathlib
import re

import pytest

from mocotf.data.settings import VerifySettings
from mocotf.data.sources.folder import Folder
from mocotf.errors import UserError
from mocotf.json_files import read_json
from mocotf.training.image_facts import ImageFacts
from mocotf.training.run_dir import RunDir
from tests.data.support import write_colours

NAMES, CONTENT = VerifySettings(), VerifySettings(verify_data="content")
ACCEPTED = VerifySettings(verify_data="content", accept_changed_data=True)
NAMES_ACCEPTED = VerifySettings(accept_changed_data=True)


@pytest.fixture
def data(tmp_path):
    write_colours(tmp_path / "data", 8)
    return tmp_path / "data"


def start(data, settings):
    """Starts a run on a folder; returns what facts.json holds then."""
    source = Folder(str(data))
    images = ImageFacts(source, settings, source.size)
    RunDir(str(data.parent / "run"), [settings], {"replicas": 1}, images)
    return read_json(str(data.parent / "run/facts.json"))


def overwrite(data, *numbers):
    """Changes the last byte of images: names and sizes stay."""
    for number in numbers:
        (path,) = data.glob(f"{number:03}.*")
        path.write_bytes(path.read_bytes()[:-1] + b"?")


def refused(data, settings, message):
    with pytest.raises(UserError, match=rf"^[^\n]*{message}[^\n]*\Z"):
        start(data, settings)


def test_images_overwritten_in_place_are_named_and_accepted_once(data):
    begun = start(data, CONTENT)
    assert begun.keys() == {"replicas", "images", "names and sizes of images", "contents of images"}
    assert start(data, CONTENT) == begun
    overwrite(data, 2, 5)
    assert start(data, NAMES) == begun  # which does not look, and forgets nothing
    said = "2 of 8 files changed: 002.bmp, 005.jpg"
    refused(data, CONTENT, re.escape(f"({said}); put these back, or go on with others by --accept"))
    accepted = start(data, ACCEPTED)
    (note,) = accepted["accepted changes of images"]
    assert accepted["contents of images"] != begun["contents of images"]
    assert note["changes"] == said and re.match(r"20\d\d-\d\d-\d\dT", note["time"])
    assert start(data, CONTENT) == start(data, ACCEPTED) == accepted
    (data / "000.png").unlink()
    (data / "x.png").write_bytes((data / "004.png").read_bytes())
    refused(data, CONTENT, r"\(1 is gone: 000.png; 1 is new: x.png\)")
    assert len(start(data, ACCEPTED)["accepted changes of images"]) == 2


def test_content_counts_from_the_start_that_asks_for_it(data):
    assert "contents of images" not in start(data, NAMES)
    overwrite(data, 1)
    found = start(data, CONTENT)
    assert found["contents of images"] and start(data, CONTENT) == found
    overwrite(data, 1, 2)
    refused(data, CONTENT, "1 of 8 files changed: 002.bmp")


def test_names_and_sizes_are_accepted_as_well(data):
    known = start(data, NAMES)
    (data / "000.png").unlink()
    refused(data, NAMES, r"\(images=8 there, 7 here, names.*; which, a run begun with --verify_data")
    found = start(data, NAMES_ACCEPTED)
    assert found["images"] == 7 and found.keys() - known.keys() == {"accepted changes of images"}
    assert start(data, NAMES) == found


def test_what_was_known_of_content_does_not_outlive_other_images(data):
    start(data, CONTENT)
    (data / "000.png").write_bytes(b"longer" + (data / "000.png").read_bytes())
    refused(data, NAMES, r"; which, --verify_data=content says\)")
    assert "contents of images" not in start(data, NAMES_ACCEPTED)
    assert not pathlib.Path(data.parent, "run/data.sha256").exists()
    assert start(data, CONTENT)["contents of images"]


def test_a_list_of_digests_that_is_not_the_runs_is_not_believed(data):
    start(data, CONTENT)
    overwrite(data, 3)
    kept = pathlib.Path(data.parent, "run/data.sha256")
    kept.write_bytes(kept.read_bytes().replace(b"a", b"b"))
    refused(data, CONTENT, "data.sha256 is not as the run wrote it, so which is not known")
    kept.unlink()
    refused(data, CONTENT, "data.sha256 is not as the run wrote it")
    assert start(data, ACCEPTED) == start(data, CONTENT)


def test_a_process_killed_while_it_noted_the_images_does_not_block_the_run(data):
    (data.parent / "run").mkdir()
    (data.parent / "run/data.sha256").write_text("ab")
    (data.parent / "run/facts.json").write_text("{")
    assert start(data, CONTENT)["images"] == 8


def test_a_run_of_an_earlier_release_learns_what_its_images_are(data):
    start(data, NAMES)
    facts = pathlib.Path(data.parent, "run/facts.json")
    facts.write_text('{"replicas": 1, "images": 8}\n')
    assert start(data, NAMES)["names and sizes of images"]
    facts.write_text('{"replicas": 2, "images": 8}\n')
    refused(data, NAMES_ACCEPTED, r"holds another run \(replicas=2 there, 1 here\)")
