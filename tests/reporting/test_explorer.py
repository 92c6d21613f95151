"""The page of runs in a browser: what answers to pointer and keys, what is printed, who can read it."""

import base64
import json
import shutil
import subprocess
import time

import numpy as np
import pytest
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from mocotf.evaluation.album import Album
from mocotf.image_search.results_page import Found
from mocotf.image_search.results_page import sheet
from mocotf.reporting.elements import header
from mocotf.reporting.elements import page
from mocotf.reporting.maps import map_figure
from mocotf.reporting.pictures import Look
from tests.reporting.support import CLASSES
from tests.reporting.support import run_main

MAP = "const map = document.querySelector('.map').explorer;"
IMAGES = 6  # of the map


@pytest.fixture(scope="module")
def opened(browser, written):
    """The `Browser` with the page of two runs."""
    browser.open(str(written))
    # A canvas draws a frame later, and only what is in sight is drawn.
    browser.wait(lambda: ask(browser, "map.visible?.length") == IMAGES, "map")
    return browser


def ask(browser, expression, *arguments):
    """Returns the value of an expression of JavaScript about `map`, the first map of the page."""
    return browser.driver.execute_script(f"{MAP} return {expression};", *arguments)


def one(browser, selector):
    """Returns the first element of the page that a CSS selector finds."""
    return browser.driver.find_element(By.CSS_SELECTOR, selector)


def drag(browser, points):
    """Presses at the first of some points of the map, goes to the others, and lets go."""
    canvas = one(browser, ".stage canvas")
    width, height = ask(browser, "map.size")
    actions = ActionChains(browser.driver, duration=20)
    for i, (x, y) in enumerate(points):
        actions.move_to_element_with_offset(canvas, int(x - width / 2), int(y - height / 2))
        actions = actions if i else actions.click_and_hold()
    actions.release().perform()


def test_a_browser_shows_the_page_and_asks_nobody_for_anything(opened):
    text = opened.text()
    for expected in ("2 runs: first, second&<b>", "kNN top-1, %", "Fine-tuned", "PCA", *CLASSES):
        assert expected in text
    assert min(opened.properties("img:not([hidden])", "naturalWidth")) > 30
    assert min(opened.properties("svg, canvas", "clientWidth")) > 60
    loaded = "return performance.getEntriesByType('resource').map(e => e.name.slice(0, 5))"
    assert {*opened.driver.execute_script(loaded)} <= {"data:"}
    evil = "const s = document.createElement('script'); s.textContent = 'window.evil = 1';"
    opened.driver.execute_script(f"{evil} document.body.append(s)")
    assert opened.driver.execute_script("return window.evil") is None
    assert all("Content Security Policy" in error for error in opened.errors())
    assert opened.driver.execute_script("return document.body.scrollWidth <= window.innerWidth")


def test_a_click_shows_a_picture_and_its_neighbours(opened):
    place = ask(opened, "map.at(2)")
    drag(opened, [place])
    top = ask(opened, "map.under(...arguments)", *place)  # pictures lie on each other
    assert ask(opened, "map.picked") == top
    assert ask(opened, "map.files[map.picked]") in one(opened, ".picked").text
    near = ask(opened, "map.near.at(-1)[map.picked]")
    assert len(opened.properties(".map .near button", "title")) >= len(near) == IMAGES - 1
    opened.click(".map .near button")
    assert ask(opened, "map.picked") == near[0]
    one(opened, ".stage canvas").send_keys("n", Keys.ESCAPE)
    assert ask(opened, "map.picked") is None and not one(opened, ".picked").is_displayed()


def test_it_is_zoomed_and_panned_by_pointer_and_keys(opened):
    canvas = one(opened, ".stage canvas")
    x, y = ask(opened, "map.at(0)")
    opened.driver.execute_script(
        f"{MAP} const b = map.canvas.getBoundingClientRect();"
        "const where = {clientX: b.left + arguments[0], clientY: b.top + arguments[1]};"
        "map.canvas.dispatchEvent(new WheelEvent('wheel', {...where, deltaY: -500}));",
        x,
        y,
    )
    assert ask(opened, "map.zoom") > 2 and ask(opened, "map.at(0)") == pytest.approx([x, y], abs=2)
    drag(opened, [(100, 100), (140, 130)])
    assert ask(opened, "map.at(0)") == pytest.approx([x + 40, y + 30], abs=2)
    canvas.send_keys(Keys.ARROW_LEFT)
    assert ask(opened, "map.at(0)[0]") == pytest.approx(x + 90, abs=2)
    canvas.send_keys("0")
    assert ask(opened, "map.zoom") == 1 and ask(opened, "map.at(0)") == pytest.approx([x, y])


def test_a_lasso_lists_the_files_within_it(opened):
    opened.click(".lassos")
    x, y = ask(opened, "map.at(3)")
    drag(opened, [(x + a, y + b) for a, b in ((-6, -6), (6, -6), (6, 6), (-6, 6), (-6, 0))])
    places = ask(opened, "map.labels.map((_, i) => map.at(i))")
    near = [abs(a - x) < 6 and abs(b - y) < 6 for a, b in places]
    files = [file for file, inside in zip(ask(opened, "map.files"), near, strict=True) if inside]
    assert files and one(opened, ".chosen textarea").get_property("value").splitlines() == files
    opened.click(".lassos")
    opened.click(".seen")
    assert one(opened, ".chosen h4").text == f"{IMAGES} chosen"
    one(opened, ".stage canvas").send_keys(Keys.ESCAPE)
    assert not one(opened, ".chosen").is_displayed()


def test_classes_and_steps_are_chosen(opened):
    opened.click(".classes input")
    assert set(ask(opened, "map.shown.map((shown, i) => [map.labels[i], shown].join())")) == {
        "0,false",
        "1,true",
    }
    opened.click(".every")
    assert all(ask(opened, "map.shown"))
    slider = one(opened, ".steps")
    slider.send_keys(Keys.HOME)
    opened.wait(lambda: ask(opened, "map.now === map.places[0]"), "layout of the first step")
    assert one(opened, "output").text == str(ask(opened, "map.steps[0]")) == "0"
    slider.send_keys(Keys.END)


def test_the_cursor_of_a_curve_says_its_numbers(opened):
    chart = one(opened, ".chart svg")
    ActionChains(opened.driver, duration=20).move_to_element(chart).perform()
    hint = one(opened, ".chart .hint").text
    assert "first, step 1" in hint and "second&<b>, step 1" in hint
    opened.driver.execute_script("document.querySelector('.chart svg').focus({focusVisible: true})")
    chart.send_keys(Keys.HOME)
    assert "first, step 10: " in one(opened, ".chart .hint").text


def test_it_turns_dark_and_is_light_on_paper(opened):
    def paper():
        script = "return getComputedStyle(document.body).backgroundColor"
        return opened.driver.execute_script(script)

    light = paper()
    opened.click(".theme")
    assert one(opened, ".theme").text == "Light" and paper() != light
    pdf = opened.driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"]
    assert base64.b64decode(pdf).startswith(b"%PDF")
    assert one(opened, ".theme").text == "Light", "after printing it is as before"
    opened.click(".theme")
    assert paper() == light


@pytest.mark.slow
def test_pages_are_kept_to_be_looked_at(browser, runs, written, trained, tmp_path):
    """Keeps build/screens/{report-…,search}-{light,dark,390}.png and -print.pdf."""
    images = sorted((trained / "pictures").rglob("*.png"))
    for name, some in (("single", images[:1]), ("unlabelled", images)):
        (tmp_path / name).mkdir()
        for i, path in enumerate(some):
            shutil.copy(path, tmp_path / name / f"{i}.png")
    run, pages = trained / "run", {"report-two": written, "search": searched(tmp_path, written)}
    for name in ("one", "unlabelled", "single"):
        pages[f"report-{name}"] = tmp_path / f"{name}.html"
        data = [] if name == "one" else ["--dataset=folder", f"--data_dir={tmp_path / name}"]
        run_main("--projection=tsne", f"--out={tmp_path / name}.html", *data, str(run))
    pages["map-5000"] = tmp_path / "big.html"
    pages["map-5000"].write_text(page("big", header("big"), map_of(5000), scripts=("map.js",)))
    for name, path in pages.items():
        browser.keep_looks(name, path)
        assert browser.errors() == []


@pytest.mark.slow
def test_5000_pictures_open_in_a_second(browser, tmp_path):
    path = tmp_path / "big.html"
    path.write_text(page("big", header("big"), map_of(5000), scripts=("map.js",)))
    assert path.stat().st_size < 15e6
    began = time.monotonic()
    browser.open(str(path))
    browser.wait(lambda: ask(browser, "map.visible?.length") == 5000, "5,000 pictures")
    took = time.monotonic() - began
    print(f"{path.stat().st_size / 1e6:.1f} MB, {took:.2f} s")
    assert took < 3, "a second, where nothing else is on the machine"


@pytest.mark.slow
def test_axe_finds_no_serious_fault(browser, written, tmp_path):
    npm = shutil.which("npm")
    if not npm:
        pytest.skip("no npm, which brings axe-core")
    packed = subprocess.run([npm, "pack", "axe-core@4"], cwd=tmp_path, capture_output=True, text=True)
    if packed.returncode:
        pytest.skip(f"axe-core cannot be fetched: {packed.stderr.splitlines()[-1:]}")
    shutil.unpack_archive(next(tmp_path.glob("axe-core-*.tgz")), tmp_path)
    axe = (tmp_path / "package" / "axe.min.js").read_text()
    for path in (written, searched(tmp_path, written)):
        for theme in ("light", "dark"):
            browser.open(str(path))
            browser.driver.execute_script(f"document.documentElement.dataset.theme = '{theme}'")
            browser.driver.execute_script(axe)
            run = "const done = arguments[0]; axe.run().then(found => done(found.violations));"
            found = browser.driver.execute_async_script(run)
            told = [(v["impact"], v["id"], [n["html"][:200] for n in v["nodes"][:2]]) for v in found]
            assert not [v for v in told if v[0] in ("serious", "critical")], json.dumps(told, indent=1)


def searched(folder, written):
    """Returns the path of a page of a search."""
    images = sorted((written.parent / "photos").rglob("*.png"))[:9]
    found = [Found(path.name, str(path), 1 - i / 9) for i, path in enumerate(images)]
    rng = np.random.default_rng(0)
    path = folder / "search.html"
    path.write_text(
        sheet(
            "Nearest images",
            "of 60 in photos",
            [(str(images[0]), [*found, Found("gone.png", "/gone.png", 0.1)])] * 2,
            lambda content: rng.integers(0, 255, (90, 120, 3), np.uint8),
        )
    )
    return path


def map_of(n):
    """Returns the figure of a map of n pictures of noise, whose features are of three steps."""
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 10
    # As rough as photographs are when they are small.
    coarse = rng.integers(0, 255, (n, 12, 12, 3), np.uint8)
    album = Album(None, n, n)
    album.queries = coarse.repeat(8, axis=1).repeat(8, axis=2), None, labels
    points = rng.normal(size=(3, n, 2)) + 4 * rng.normal(size=(10, 2))[labels]
    features = (points / np.linalg.norm(points, axis=2, keepdims=True)).astype(np.float32)
    source = type("Named", (), {"class_name": staticmethod(lambda label: f"class {label}")})
    names = [f"/photos/class-{label}/{i:06d}.jpg" for i, label in enumerate(labels)]
    return map_figure(source, Look([0, 10, 20], features, labels, labels, album, names, n, n), "pca")
