"""TensorBoard on a run, in a browser: what a user who types `tensorboard --logdir runs` sees."""

import re

import numpy as np
import pytest
from PIL import Image

from mocotf.evaluation.measures import MEASURES
from mocotf.moco.model import MoCo
from tests import processes
from tests.commands import assert_same
from tests.commands import metrics
from tests.commands import results
from tests.commands import variables
from tests.trained import OPTIONS

SMALL = ["--flagfile=flags/demo.cfg", "--width=0.125", "--batch_size=64", "--moco_k=256"]
SMALL += ["--log_every=2", "--steps=6", "--nofinal_files"]
METRICS = (*MoCo.METRICS, next(m for m in MEASURES if m.name == "knn_top1"))
CHARTS = {m.name: m.tag for m in METRICS if m.tag}


@pytest.fixture(scope="module")
def logdir(tmp_path_factory):
    """Two runs of one recipe, of which one looks at its encoder and the other does not."""
    runs = tmp_path_factory.mktemp("runs")
    for name, looks in (("demo", ["--knn_every=1", "--probe"]), ("blind", ["--knn_every=0"])):
        processes.succeed("train", *SMALL, *looks, f"--model_dir={runs / name}")
    return runs


@pytest.fixture(scope="module")
def url(logdir):
    """The address of a TensorBoard on both runs."""
    server = processes.python("-m", "tensorboard.main", "--logdir", logdir, "--port", "0")
    address = r"at (http://\S+?)/? "
    server.wait_until(lambda: re.search(address, server.err))
    return re.search(address, server.err)[1]


@pytest.mark.slow
def test_looking_changes_no_weight(trained, tmp_path):
    """Nor queue, nor optimizer: kNN, gallery, projector and probe only read."""
    where = f"--data_dir={trained / 'pictures'}", f"--model_dir={tmp_path}"
    processes.succeed("train", *OPTIONS, "--knn_every=0", "--noprobe", *where)
    looked, blind = variables(trained / "run", 12), variables(tmp_path, 12)
    probe = {name for name in looked if name.startswith("probe/")}
    assert probe and "queue/keys" in blind
    assert_same({name: value for name, value in looked.items() if name not in probe}, blind)


def test_records_say_what_the_charts_show(trained):
    first, *_, last = metrics(trained / "run")
    assert first["step"] == 0 and {"knn_top1", "knn_top1_pixels"} <= first.keys()
    assert CHARTS.keys() <= last.keys()
    assert last["uniform_std"] == 1 / 4  # of 16 dimensions
    assert last["embedding_std"] == pytest.approx(last["feature_std"] / 4)
    assert last["queue_age"] == (1 + 2) / 2  # 48 keys, 24 a step
    assert -1 < last["negative_similarity"] < last["positive_similarity"] < 1
    of_encoder = re.compile("query_encoder/(?!.*moving_)")
    weights = [
        v.ravel() for name, v in variables(trained / "run", 12).items() if of_encoder.match(name)
    ]
    assert last["weight_norm"] == pytest.approx(np.linalg.norm(np.concatenate(weights)), rel=1e-5)


@pytest.mark.slow
def test_each_number_has_a_chart_in_its_group(browser, url):
    browser.open(f"{url}/#timeseries", height=5000)
    groups = {tag.partition("/")[0] for tag in CHARTS.values()} | {"pictures"}
    browser.wait(lambda: groups <= shown(browser, "span.group-title"), "groups")
    expected = {*CHARTS.values(), "pictures/views", "pictures/neighbours"}
    paths = "tb-truncated-path"
    browser.wait(lambda: all_open(browser) and expected == shown(browser, paths), "charts")
    for tag in (m.tag for m in METRICS if m.level):
        browser.wait(lambda tag=tag: "demo/reference" in card(browser, tag), f"line in {tag}")
    browser.wait(lambda: "demo" in card(browser, CHARTS["acc1"]), "curve")
    assert "reference" not in card(browser, CHARTS["acc1"])
    browser.screenshot("tensorboard_scalars")
    assert browser.errors() == []


@pytest.mark.slow
def test_views_and_neighbours_are_pictures(browser, url):
    browser.open(f"{url}/#images")
    # Both runs have views, one looks at neighbours: 4 × 8 pairs; 10 rows of 9 pictures in their frames.
    expected = {"demo neighbours 696 x 764", "demo views 512 x 512", "blind views 512 x 512"}
    browser.wait(lambda: expected == images(browser), "pictures")
    browser.screenshot("tensorboard_images")
    assert browser.errors() == []


@pytest.mark.slow
def test_the_projector_draws_the_features_as_images_of_classes(browser, url):
    browser.open(f"{url}/#projector")
    browser.wait(lambda: "Points: 420 Dimension: 64" in browser.text(), "points")
    assert "14 non-unique colors" in browser.text()
    browser.wait(lambda: colours(browser.screenshot("tensorboard_projector")) > 1000, "sprites")
    assert browser.errors() == []


@pytest.mark.slow
def test_the_table_of_runs_has_their_flags_and_results(browser, logdir, url):
    browser.open(f"{url}/#hparams")
    heads = "Trial ID Show Metrics batch_size lr moco_k moco_m moco_t knn_top1 loss"
    browser.wait(lambda: heads in browser.text(), "table")
    found = results(logdir / "demo")
    row = [64, 0.12, 256, 0.99, 0.2, found["knn_top1"], found["loss"]]
    numbers = re.search(r"loss blind .*? demo ((?:\S+ ){7})", browser.text())[1]
    np.testing.assert_allclose([float(number) for number in numbers.split()], row, rtol=1e-3)
    browser.screenshot("tensorboard_hparams")
    assert browser.errors() == []


def shown(browser, selector):
    """Returns the texts of elements, without blanks."""
    return {"".join(text.split()) for text in browser.properties(selector, "textContent")}


def all_open(browser):
    """Opens the groups of charts that are closed; returns whether none was."""
    closed = "button.group-toolbar:has(mat-icon[svgicon^='expand_more'])"
    groups = shown(browser, f"{closed} .group-title")
    for group in groups:
        browser.click(closed, group)
    return not groups


def card(browser, tag):
    """Returns the text of a chart, which ends in its legend."""
    return next(text for text in browser.properties("card-view", "textContent") if text.startswith(tag))


def images(browser):
    """Returns "run picture width x height" of each picture that has been loaded."""
    cards = (browser.properties("tf-image-loader", name) for name in ("run", "tag"))
    sizes = (browser.properties("img", name) for name in ("naturalWidth", "naturalHeight"))
    return {
        f"{run} {tag.removeprefix('pictures/')} {width} x {height}"
        for run, tag, width, height in zip(*cards, *sizes, strict=False)
    }


def colours(path):
    """Returns how many colours the middle of a screenshot has."""
    with Image.open(path) as picture:
        width, height = picture.size
        middle = picture.convert("RGB").crop((width // 4, height // 5, 3 * width // 4, height))
        return len(middle.getcolors(width * height))
