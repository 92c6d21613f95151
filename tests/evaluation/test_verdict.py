"""What is said of an encoder, by the records of its run."""

import types

import pytest

from mocotf.evaluation import pretraining
from mocotf.evaluation.verdict import judge
from mocotf.json_files import read_json

FLAGS = {"mechanism": "moco", "lr": "0.12", "moco_m": "0.99", "moco_dim": "128"}


def records(pixels, untrained, end, error=1.7, name="knn_top1", **last):
    """Returns the records of a run that measured its encoder, with this standard error each time."""
    errors = {f"{name}_error": error, f"{name}_pixels_error": error} if error else {}
    first = {"step": 0, name: untrained, f"{name}_pixels": pixels} | errors
    rest = {"step": 2000, "loss": 5.0, "chance": 6.93, "feature_std": 0.9} | last
    return [first, {"step": 1000, "loss": 6.0, name: 99.0}, rest | {name: end} | errors]


def blind(**last):
    """Returns the records of a run that measured nothing."""
    return [
        {"step": 0},
        {"step": 2000, "loss": 5.0, "chance": 6.93, "feature_std": 0.9} | last,
        {"step": 2000, "epoch": 9, "retry": 2},
    ]


SIMSIAM = {"loss": -0.99, "chance": None, "feature_std": 0.01}


@pytest.mark.parametrize(
    ("run", "flags", "learned", "texts"),
    [
        # ---- Above both, or not, by more than two standard errors: 4.8 points here.
        (records(34.9, 42.0, 48.2), {}, True, ["13.3 points above raw pixels, 6.2 points above"]),
        (records(34.9, 42.0, 46.5), {}, None, ["no better than the untrained encoder: kNN", "46.5 %"]),
        (records(42.0, 34.9, 46.5), {}, None, ["may be no better than raw pixels", "4.8", "42.0, the"]),
        (records(42.0, 34.9, 41.9), {}, False, ["raw pixels 42.0, the untrained encoder 34.9"]),
        (records(42.0, 41.9, 46.5), {}, None, ["than raw pixels and the untrained encoder: kNN"]),
        (records(42.0, 41.9, 46.5, feature_std=0.01), {}, False, ["nothing that shows: kNN", "4.8"]),
        (records(42.0, 34.9, 46.5, error=0.5), {}, True, ["two standard errors: 1.4"]),
        (records(42.0, 34.9, 46.5, error=None), {}, True, ["standard errors not known"]),
        (records(10.0, 9.0, 71.0, 1.5, "retrieval_auc"), {}, True, ["an augmented copy ranks below"]),
        (records(34.9, 42.0, 70.0), {"init_from": "x"}, True, ["the encoder that it began with"]),
        (records(34.9, 42.0, 70.0, feature_std=0.01), {}, True, ["4.8); yet its embeddings are"]),
        # ---- What cannot show.
        (records(98.0, 42.0, 99.9), {}, None, ["does not show", "even 100 % could not be told"]),
        (records(10.0, 20.0, 90.0, 41), {}, None, ["standard errors: 116.0"]),
        (records(99.0, 42.0, 60.0), {}, False, ["learned nothing"]),
        # ---- Why, and what to try.
        (records(30, 40, 9, feature_std=0.01), {}, False, ["feature_std 0.01", "try --lr=0.03, in an"]),
        (records(30, 40, 9, loss=6.9), {}, False, ["loss, 6.900, is that of chance, 6.930", "=0.03"]),
        (records(30, 40, 9), {}, False, ["try --lr=0.03, or --steps=4000"]),
        (records(30, 40, 9), {"moco_m": "0.999"}, False, ["try --moco_m=0.99, in another --model_dir"]),
        (records(30, 40, 9, step=7000), {"moco_m": "0.999"}, False, ["or --steps=14000"]),
        (records(30, 40, 9, step=90), {}, False, ["try --steps=1000,"]),
        (records(30, 40, 9, step=90, feature_std=0), {}, False, ["try --steps=1000 and --lr=0.03,"]),
        (records(30, 40, 9), {"moco_m": "0.999", "mechanism": "npid"}, False, ["try --lr=0.03"]),
        # ---- Nothing measured.
        (blind(), {}, None, ["nothing was measured", "mocotf.knn --model_dir=runs/a", "--knn_every=1"]),
        (blind(feature_std=0.04), {}, False, ["learned nothing: its embeddings", "feature_std 0.04"]),
        (blind(loss=6.87), {}, False, ["its loss, 6.870, is that of chance"]),
        (blind(**SIMSIAM), {"mechanism": "simsiam"}, False, ["feature_std 0.01"]),
        ([{"step": 0, "knn_top1": 9, "knn_top1_pixels": 9}, *blind()[1:]], {}, None, ["nothing was"]),
        ([{"step": 0, "queries": 0}, *blind()[1:]], {}, False, ["no two of the pictures", "try other"]),
        # ---- Records that have not got all.
        ([*records(34.9, 42.0, 48.2), {"step": 2001, "retry": 1}], {}, True, ["48.2"]),
        ([{"step": 0, "knn_top1": 9, "knn_top1_pixels": 9}, {"step": 5, "loss": 1}], {}, None, []),
    ],
)  # fmt: skip
def test_what_is_said(run, flags, learned, texts):
    verdict = judge("runs/a", run, FLAGS | flags)
    assert verdict.learned is learned, verdict
    for text in texts:
        assert text in verdict.text, verdict
    assert "\n" not in verdict.text and not verdict.text.endswith(".")


@pytest.mark.parametrize("run", [[], [{"step": 0, "knn_top1": 9, "knn_top1_pixels": 9}]])
def test_before_its_first_step_nothing_is_said_of_a_run(run):
    assert judge("runs/a", run, FLAGS) is None


def finish(folder, run):
    """Ends a run with these records; returns what results.json has."""
    (folder / "flags.cfg").write_text("".join(f"--{name}={text}\n" for name, text in FLAGS.items()))
    run_dir = types.SimpleNamespace(
        path=str(folder), file=lambda name: str(folder / name), metrics=lambda: run
    )
    found = pretraining.finish(run_dir, types.SimpleNamespace(names=[]))
    assert read_json(folder / "results.json") == found
    return found


def test_the_verdict_comes_last_and_is_in_the_results(tmp_path, capsys):
    run = records(10.0, 20.0, 55.0, 1.5, "retrieval_auc", images_per_second=100.0)
    found = finish(tmp_path, [*run, {"step": 2001, "epoch": 9, "retry": 1}])
    assert found["learned"] is True and found["steps"] == 2000 and found["loss"] == 5.0
    named = {"retrieval_auc": 55.0, "retrieval_auc_untrained": 20.0, "retrieval_auc_pixels": 10.0}
    assert named.items() <= found.items() and found["images_per_second"] == 100
    *_, title, pixels, start, end, blank, last = capsys.readouterr().out.splitlines()
    assert title.startswith("Retrieval AUC, %") and not blank
    assert [pixels.split()[-1], start.split()[-1], end.split()[-1]] == ["10.0", "20.0", "55.0"]
    assert last == f"Verdict: {found['verdict']}."


@pytest.mark.parametrize("run", [blind(), blind()[:2], [{"step": 0}]])
def test_runs_that_recorded_little_end_too(tmp_path, run):
    found = finish(tmp_path, run)
    assert found["steps"] == run[-1]["step"] and "images_per_second" not in found
    assert found.get("learned") is None
