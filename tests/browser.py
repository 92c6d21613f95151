"""A real browser for tests that look at what a user looks at: headless Chromium."""

import base64
import os
import shutil
import time

import pytest

from tests import processes

SCREENS = os.path.join(processes.ROOT, "build/screens")
NAMES = ("chromium", "chromium-browser", "google-chrome")

# What pages are made of may lie in shadow roots and in frames of the same origin.
WALK = """
const parts = node => [
  ...(node.shadowRoot ? node.shadowRoot.childNodes : []),
  ...(node.tagName === 'IFRAME' && node.contentDocument ? [node.contentDocument.body] : []),
  ...node.childNodes,
].filter(Boolean);
const walk = (node, visit) => { visit(node); for (const part of parts(node)) walk(part, visit); };
"""
TEXT = """
const texts = [];
walk(document.body, node => {
  const name = node.parentNode && node.parentNode.tagName;
  if (node.nodeType === Node.TEXT_NODE && name !== 'STYLE' && name !== 'SCRIPT') texts.push(node.data);
});
return texts.join(' ').replace(/\\s+/g, ' ');
"""
MATCHING = """
const found = [];
walk(document.body, node => {
  if (node.nodeType === Node.ELEMENT_NODE && node.matches(arguments[0])) found.push(node);
});
"""
# Pictures are decoded, and a canvas is drawn a frame later.
DRAWN = """
const done = arguments[0], next = () => requestAnimationFrame(() => setTimeout(done, 100));
Promise.all([...document.images].map(image => image.decode().catch(() => 0))).then(next);
"""


class Browser:
    """One page of a headless Chromium.

    Args:
        driver: selenium's.
    """

    def __init__(self, driver):
        self.driver = driver

    def open(self, page, height=1200):
        """Opens a page anew, a URL or the path of an HTML file; some draw only what `height` shows."""
        self.driver.set_window_size(1500, height)
        self.driver.get("about:blank")  # else another #fragment of the same URL is no new page
        self.driver.get(page if "://" in page else f"file://{os.path.abspath(page)}")

    def text(self):
        """Returns all text of the page, blanks as one."""
        return self.driver.execute_script(WALK + TEXT)

    def properties(self, selector, name):
        """Returns the property `name` of each element that a CSS selector finds, in page order."""
        script = "return found.map(e => e[arguments[1]]);"
        return self.driver.execute_script(WALK + MATCHING + script, selector, name)

    def click(self, selector, text=""):
        """Clicks the first element that a CSS selector finds and whose text holds `text`."""
        script = "const [e] = found.filter(e => e.textContent.includes(arguments[1])); e.click();"
        self.driver.execute_script(WALK + MATCHING + script, selector, text)

    def wait(self, condition, what, seconds=60):
        """Returns the first true result of `condition()`, which is asked until then.

        Raises:
            AssertionError: there is none in time; it says what was waited for, and what the page shows.
        """
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if result := condition():
                return result
            time.sleep(0.2)
        raise AssertionError(f"no {what} in {seconds} s; the page says: {self.text()[:2000]}")

    def errors(self):
        """Returns what the page has complained of since the last call: scripts that fail, files that
        do not load."""
        return [e["message"] for e in self.driver.get_log("browser") if e["level"] == "SEVERE"]

    def screenshot(self, name):
        """Saves what is seen as build/screens/NAME.png, which is kept; returns its path."""
        os.makedirs(SCREENS, exist_ok=True)
        path = os.path.join(SCREENS, f"{name}.png")
        self.driver.save_screenshot(path)
        return path

    def keep_looks(self, name, page):
        """Keeps all of a page as build/screens/NAME-{light,dark,390}.png and NAME-print.pdf.

        Raises:
            AssertionError: it is wider than the window.
        """
        self.open(str(page))
        command = self.driver.execute_cdp_cmd
        for scheme, width in (("light", 1300), ("dark", 1300), ("light", 390)):
            feature = {"name": "prefers-color-scheme", "value": scheme}
            command("Emulation.setEmulatedMedia", {"features": [feature]})
            size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
            command("Emulation.setDeviceMetricsOverride", size)
            self.driver.execute_async_script(DRAWN)
            across = self.driver.execute_script("return document.documentElement.scrollWidth")
            assert across <= width, f"{name} is {across} pixels wide in a window of {width}"
            look = scheme if width > 390 else width
            _keep(
                f"{name}-{look}.png", command("Page.captureScreenshot", {"captureBeyondViewport": True})
            )
        command("Emulation.clearDeviceMetricsOverride", {})
        command("Emulation.setEmulatedMedia", {"features": []})
        _keep(f"{name}-print.pdf", command("Page.printToPDF", {"printBackground": True}))


def _keep(name, answer):
    os.makedirs(SCREENS, exist_ok=True)
    with open(os.path.join(SCREENS, name), "wb") as file:
        file.write(base64.b64decode(answer["data"]))


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """A `Browser` with a window of 1500 × 1200; the test is skipped where there is none."""
    program, driver = next(filter(None, map(shutil.which, NAMES)), None), shutil.which("chromedriver")
    if not (program and driver):
        missing = "no browser; expected Debian's chromium and chromium-driver"
        pytest.skip(f"{missing}; try, as root: make browser")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = program
    for argument in (
        "headless=new",
        "no-sandbox",  # which root cannot have
        "disable-dev-shm-usage",  # containers have little of it
        "enable-unsafe-swiftshader",  # WebGL without a GPU
        "hide-scrollbars",
        "window-size=1500,1200",
        f"user-data-dir={tmp_path_factory.mktemp('chromium')}",
    ):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(driver))
    yield Browser(driver)
    driver.quit()
