"""`python -m mocotf.knn` as a user types it."""

import json
import shutil

import pytest
import tensorflow as tf
from absl import flags

from mocotf import knn
from mocotf.api.data import data_of
from mocotf.cli import settings_flags
from mocotf.data.bad_images import BadImages
from mocotf.data.sources.patches import Patches
from mocotf.errors import UserError
from mocotf.evaluation.monitor import KNNMonitor
from mocotf.evaluation.monitor import encoder_function
from mocotf.moco.saved_run import open_run
from tests import processes
from tests.commands import results
from tests.commands import set_flags
from tests.commands import train
from tests.data.support import write_colours
from tests.saved_run import FLAGS
from tests.saved_run import write_run

SMALL = {"image_size": "32", "width": "1.0", "stem": "small"}
SMALL |= {"knn_features": "pooled", "knn_k": "20", "knn_t": "0.07"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Returns the path of a run on the embedded patches."""
    path = tmp_path_factory.mktemp("runs") / "small"
    write_run(path, **SMALL)
    return path


@pytest.fixture
def asked(capsys):
    """Returns a function that runs `main` in this process, and returns its JSON line."""

    def ask(*arguments):
        set_flags("--json", *arguments)
        knn.main()
        return json.loads(capsys.readouterr().out.splitlines()[-1])

    yield ask
    tf.config.experimental.enable_tensor_float_32_execution(True)


def test_the_command_finds_what_the_monitor_of_training_finds(run):
    done = processes.succeed("knn", f"--model_dir={run}", "--k=20,200", "--t=.07,1", "--json")
    assert done.err == ""
    found = done.json
    votes = {(vote["k"], vote["T"]): vote["top1"] for vote in found.pop("votes")}
    assert list(votes) == [(20, 0.07), (200, 0.07), (20, 1.0), (200, 1.0)]
    assert found["knn_top1"] == votes[20, 0.07]
    assert (found["bank"], found["queries"], found["classes"], found["step"]) == (6400, 840, 14, 2)
    assert found["features"] == "pooled" and found["width"] == 64
    assert "kNN top-1, %       k=20    k=200" in done.out
    assert results(run, "evaluation.json") == {"knn_top1": found["knn_top1"], "knn_top1_step": 2}
    saved = open_run(str(run))
    encode = encoder_function(saved.encoder(), "pooled")
    for k, T in ((20, 1.0), (200, 0.07)):
        monitor = KNNMonitor(Patches(), saved.view, BadImages(), k=k, T=T, most=50_000)
        assert 100 * monitor.scores(encode).mean() == pytest.approx(votes[k, T], abs=0.25)


def test_a_checkpoint_the_embedding_and_the_untrained_encoder(run, asked):
    some = [f"--model_dir={run}", "--max_images=700"]
    trained = asked(*some)
    assert trained["bank"] == 640 and trained["queries"] == 420
    first = asked(f"--model_dir={run}/checkpoints/ckpt-0", "--max_images=700")
    assert first["step"] == 0 and first["checkpoint"].endswith("ckpt-0")
    untrained = asked(*some, "--untrained")
    assert untrained["step"] == 0 and untrained["knn_top1"] == first["knn_top1"]
    assert trained["knn_top1"] != first["knn_top1"]
    embedding = asked(*some, "--features=embedding")
    assert (embedding["features"], embedding["width"]) == ("embedding", 16)
    assert embedding["knn_top1"] != trained["knn_top1"]


def test_labels_from_a_folder_that_training_did_not_use(run, asked, tmp_path):
    for part, count in (("train", 8), ("val", 4)):
        for name in ("a", "b"):
            write_colours(str(tmp_path / part / name), count)
    found = asked(f"--model_dir={run}", "--dataset=folder", f"--data_dir={tmp_path}", "--k=1,3")
    assert (found["bank"], found["queries"], found["classes"]) == (16, 8, 2)
    # The same pictures are in both, and of both classes: of equals the lower label wins.
    assert found["knn_top1"] == 50


@pytest.mark.slow
def test_a_table_that_was_saved_is_trained_on_and_asked_about(asked, tmp_path):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=["a", "b"]))
    write_colours(str(tmp_path / "files"), 20)
    images = [str(path) for path in sorted((tmp_path / "files").iterdir())]
    columns = {"image": images, "label": [0, 1] * 10}
    datasets.Dataset.from_dict(columns, features).save_to_disk(str(tmp_path / "table"))
    table = ["--dataset=hf", f"--data_dir={tmp_path / 'table'}"]
    done = train(tmp_path / "run", *table, "--steps=2", "--batch_size=8", "--moco_k=16")
    assert "table: 20 images (25 % PNG, " in done.out and "kNN asks about 2 of them" in done.out
    found = asked(f"--model_dir={tmp_path / 'run'}", *table, "--k=1")
    assert (found["bank"], found["queries"], found["classes"], found["bad_images"]) == (18, 2, 2, 0)


def test_pictures_are_turned_where_those_of_the_run_were(tmp_path):
    for name, upright in (("base", "upright=true"), ("tuned", "upright=false"), ("old", "seed=1")):
        (tmp_path / name / "checkpoints").mkdir(parents=True)
        (tmp_path / name / "checkpoints" / "ckpt-1.index").touch()
        own = FLAGS if name == "base" else {"label_fraction": "1.0", "pretrained": tmp_path / "base"}
        lines = [f"--{flag}={text}\n" for flag, text in own.items()] + [f"--{upright}\n"]
        (tmp_path / name / "flags.cfg").write_text("".join(lines))
    base, tuned, old = (open_run(str(tmp_path / name)) for name in ("base", "tuned", "old"))
    elsewhere = "--dataset=folder", f"--data_dir={tmp_path}"
    for given in ((), elsewhere):
        set_flags(*given)
        found = [data_of(settings_flags.asked(), one).upright for one in (base, tuned, old)]
        assert found == [True, False, True]
    set_flags("--noupright")
    assert not data_of(settings_flags.asked(), base).upright


def test_images_are_those_of_the_run_unless_another_place_is_named(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "ckpt-1.index").touch()
    own = FLAGS | {"dataset": "folder", "data_dir": "photos", "files": "some.csv"}
    (tmp_path / "flags.cfg").write_text("".join(f"--{name}={text}\n" for name, text in own.items()))
    run = open_run(str(tmp_path))
    for given, expected in (
        ([], ("photos", "some.csv")),
        (["--data_dir=others"], ("others", None)),
        (["--files=other.txt"], (None, "other.txt")),
        (["--data_dir=others", "--files=other.txt"], ("others", "other.txt")),
    ):
        set_flags(*given)
        data = data_of(settings_flags.asked(), run)
        assert (data.dataset, data.data_dir, data.files) == ("folder", *expected)


def test_mistakes_take_one_line(run, asked, tmp_path):
    folder = tmp_path / "photos"
    for name in ("train/a", "train/b", "val/a", "val/c"):
        write_colours(str(folder / name), 4)
    write_colours(str(tmp_path / "plain"), 4)
    wide = shutil.copytree(run, tmp_path / "wide") / "flags.cfg"
    wide.write_text(wide.read_text().replace("--moco_dim=16", "--moco_dim=32"))
    here, photos = f"--model_dir={run}", ["--dataset=folder", f"--data_dir={folder}"]
    plain = [*photos, f"--data_dir={tmp_path / 'plain'}"]
    unlabelled = "0 labelled images to learn from, 0 to ask about; expected some of both: sub-folders"
    for arguments, message in (
        ([f"--model_dir={tmp_path}"], "no flags.cfg; expected the --model_dir of a run"),
        ([f"--model_dir={run}/checkpoints/ckpt-7"], "no such checkpoint"),
        ([f"--model_dir={tmp_path}/wide"], "is of another architecture: query_encoder/"),
        ([here, "--k=20,7000,9000"], "--k=7000,9000: there are only 6400 images to compare with"),
        ([here, "--max_images=100", "--k=200"], "--k=200: there are only 100 images"),
        ([here, "--k=1.5"], "--k=1.5: expected some numbers separated by commas from 1"),
        ([here, "--k=a"], "--k=a: expected some numbers"),
        ([here, "--t=0"], "--t=0: expected some numbers separated by commas from 1e-06"),
        ([here, *photos], "--k=20: there are only 8 images to compare with; expected at most"),
        ([here, *photos, "--k=1"], "1 class of .* with no training image .c.; expected the same"),
        ([here, *plain], unlabelled),
    ):
        with pytest.raises((UserError, flags.Error), match=message) as error:
            asked(*arguments)
        assert "\n" not in str(error.value)
    processes.refuse("knn", [], "expected a run, such as --model_dir=runs/mine", code=2)


@pytest.mark.slow
def test_too_many_bad_images_are_told_in_one_line(run, asked, tmp_path):
    for name in ("a", "b"):
        write_colours(str(tmp_path / name), 10)
        for i in range(4):
            (tmp_path / name / f"bad{i}.jpg").write_bytes(b"no image")
    photos = [f"--model_dir={run}", "--dataset=folder", f"--data_dir={tmp_path}", "--k=3"]
    with pytest.raises(UserError, match="do not decode, more than --max_bad_images=0.1"):
        asked(*photos)
    found = asked(*photos, "--max_bad_images=.5")
    assert found["bad_images"] == 8 and found["bank"] + found["queries"] == 20
