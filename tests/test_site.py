"""The documentation as a site, `make docs`: built without a warning, and looked at in a browser."""

import functools
import http.server
import os
import subprocess
import threading

import pytest

import mocotf
from tests.processes import ROOT

PAGES = ("", "start/not_learning/", "guides/evaluation/", "reference/settings/", "reference/api/MoCo/")
OVERFLOW = "return document.documentElement.scrollWidth - window.innerWidth"
OTHERS = """
const here = performance.getEntriesByType('resource').map(entry => new URL(entry.name).origin);
return here.filter(origin => origin !== location.origin);
"""


def make(*words):
    return subprocess.run(["make", *words], cwd=ROOT, capture_output=True, text=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Address of the site, which is built strictly; skips where its packages cannot be had."""
    installed = make(".venv-docs/installed")
    if installed.returncode:
        pytest.skip(f"requirements-docs.txt cannot be installed: {installed.stderr[-300:]}")
    folder = tmp_path_factory.mktemp("site")
    built = make("docs", f"SITE={folder}")
    assert built.returncode == 0 and built.stderr == "", built
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def emulate(browser, width, scheme):
    """Makes the browser's page so many pixels wide, and has it prefer light or dark."""
    size = {"width": width, "height": 1200, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light")])
def test_pages_fit_and_ask_no_other_server(site, browser, width, scheme):
    emulate(browser, width, scheme)
    for page in PAGES:
        browser.open(site + page)
        assert browser.errors() == []
        assert browser.driver.execute_script(OVERFLOW) <= 0, page
        assert browser.driver.execute_script(OTHERS) == []
        name = page.strip("/").replace("/", "_") or "home"
        assert os.path.getsize(browser.screenshot(f"site_{name}_{scheme}_{width}")) > 10_000
    browser.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.slow
def test_every_public_name_has_a_page_with_its_docstring(site, browser):
    for name in mocotf.__all__:
        browser.open(f"{site}reference/api/{name}/")
        words = getattr(mocotf, name).__doc__.strip().partition("\n")[0].partition("`")[0].split()
        assert len(words) > 1 and " ".join(words) in browser.text(), name
