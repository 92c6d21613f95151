"""What a person sees: a page in a headless Chromium, a terminal in tmux."""

import contextlib
import io
import os
import shlex
import shutil
import subprocess
import sys
import time
import urllib.request

from PIL import Image
from rich.console import Console
from rich.terminal_theme import DEFAULT_TERMINAL_THEME
from rich.text import Text

from mocotf.errors import UserError

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WIDTH = 100  # columns
# rich's own names a font on another server.
SVG = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font: {char_height}px/{line_height}px Menlo, Consolas, monospace; }}
.{unique_id}-title {{ font: 18px sans-serif; }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal"><rect x="0" y="0" width="{terminal_width}"
height="{terminal_height}"/></clipPath>{lines}</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}<g class="{unique_id}-matrix">{matrix}</g></g>
</svg>
"""


def terminal(folder, words, first=None):
    """Returns an SVG of a terminal in which a command was typed, once it is over.

    Args:
        folder: where it is run.
        words: the command; its `mocotf` and `python` are this Python's.
        first: lines of what it prints that are shown; None: all.
    """
    if not shutil.which("tmux"):
        raise UserError("tmux is not installed; expected it for pictures of terminals")
    tmux = ["tmux", "-L", f"mocotf-{os.getpid()}"]
    python, root = shlex.quote(sys.executable), shlex.quote(ROOT)
    script = (
        f'export PYTHONPATH={root}; mocotf() {{ {python} -m mocotf "$@"; }}; '
        f'python() {{ {python} "$@"; }}; {words}; {shlex.join(tmux)} wait -S over; sleep 60'
    )
    size = "-x", str(WIDTH), "-y", "40"
    subprocess.run([*tmux, "new-session", "-d", *size, "-c", folder, "bash", "-c", script], check=True)
    try:
        subprocess.run([*tmux, "wait", "over"], check=True, timeout=900)
        capture = [*tmux, "capture-pane", "-pe", "-S", "-200"]
        seen = subprocess.run(capture, check=True, capture_output=True, text=True).stdout.rstrip()
    finally:
        subprocess.run([*tmux, "kill-server"], check=True)
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi("\n".join([f"$ {words}", *seen.splitlines()[:first], ""])))
    return console.export_svg(title="", theme=DEFAULT_TERMINAL_THEME, code_format=SVG)


@contextlib.contextmanager
def browser(width, height):
    """Yields selenium's driver of a headless Chromium that prefers light."""
    from selenium import webdriver

    found = shutil.which("chromium"), shutil.which("chromedriver")
    if not all(found):
        raise UserError("no chromium and chromedriver; expected them for pictures of pages")
    options = webdriver.ChromeOptions()
    options.binary_location = found[0]
    size = f"window-size={width},{height}"
    for argument in (
        "headless=new",
        "no-sandbox",
        "enable-unsafe-swiftshader",
        "hide-scrollbars",
        size,
    ):
        options.add_argument(f"--{argument}")
    driver = webdriver.Chrome(options, webdriver.ChromeService(found[1]))
    try:
        yield driver
    finally:
        driver.quit()


def wait(driver, script, seconds=30):
    """Waits until a script returns true."""
    end = time.monotonic() + seconds
    while not driver.execute_script(script):
        if time.monotonic() > end:
            raise UserError(f"a page did not get ready in {seconds} s: {script}")
        time.sleep(0.2)


def window(driver):
    """Returns an image of what the window shows."""
    return Image.open(io.BytesIO(driver.get_screenshot_as_png()))


def element(driver, selector):
    """Returns an image of an element."""
    found = driver.find_element("css selector", selector)
    return Image.open(io.BytesIO(found.screenshot_as_png))


@contextlib.contextmanager
def tensorboard(folder):
    """Yields the address of a TensorBoard of a folder."""
    words = [sys.executable, "-m", "tensorboard.main", "--logdir", folder, "--port", "6123"]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = "http://localhost:6123"
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(url)
                break
            except OSError:
                time.sleep(0.5)
        yield url
    finally:
        process.terminate()
        process.wait()
