"""What commands look like on a terminal; the screens are kept in build/screens."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

import pytest
from rich.console import Console
from rich.text import Text

from tests.processes import ROOT
from tests.trained import OPTIONS

SCREENS = pathlib.Path(ROOT, "build", "screens")
LIMIT = 300  # seconds a command may take
BUSY = re.compile(r"━|\d( s)? (so far|left)\b")
END = "exit code"
FEW = "--steps=8 --log_every=4 --batch_size=4 --train_images=8 --test_images=4"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not shutil.which("tmux"), reason="tmux, a terminal without a window, is missing"
    ),
]


class Terminal:
    """A terminal of tmux's, with a shell in it.

    Args:
        folder: in which its socket is, and the shell.
        columns: of the terminal.
        env: name → text, changes of the environment.
    """

    def __init__(self, folder, columns, env):
        self._tmux = ["tmux", "-S", str(folder / "tmux"), "-f", os.devnull]
        wanted = {"PYTHONPATH": ROOT, "PS1": "$ ", "TERM": "screen-256color"} | env
        shell = ["env", "-u", "PROMPT_COMMAND", *(f"{n}={text}" for n, text in wanted.items())]
        size = ["-x", str(columns), "-y", "50", "-c", str(folder)]
        self._run("new-session", "-d", *size, *shell, "bash", "--norc", "--noprofile")

    def _run(self, *arguments):
        done = subprocess.run([*self._tmux, *arguments], check=True, capture_output=True, text=True)
        return done.stdout

    def type(self, line):
        self._run("send-keys", "-l", line)
        self._run("send-keys", "Enter")

    def screen(self, *options):
        """Returns what it shows, all that was scrolled too."""
        return self._run("capture-pane", "-p", "-S", "-", *options).rstrip() + "\n"

    def close(self):
        self._run("kill-server")


@pytest.fixture
def look(tmp_path):
    """Function (name, columns, command, environment) → what the terminal showed while the command ran,
    a list of texts, the last what it leaves; all are kept under that name."""
    opened = []

    def watch(name, columns, command, **env):
        terminal = Terminal(tmp_path, columns, env)
        opened.append(terminal)
        terminal.type(f"clear; {sys.executable} -m mocotf.{command}; echo {END} $?")
        frames, end = {}, time.monotonic() + LIMIT
        while not re.search(rf"^{END} \d+$", terminal.screen(), re.MULTILINE):
            assert time.monotonic() < end, terminal.screen()
            frames[terminal.screen()] = terminal.screen("-e")
            time.sleep(0.2)
        keep(name, columns, terminal.screen("-e"))
        for text, coloured in list(frames.items())[-1:0:-1]:
            if BUSY.search(text.strip().splitlines()[-1]):  # as it worked, the last of it
                keep(f"{name}.busy", columns, coloured)
                break
        last = terminal.screen()
        opened.remove(terminal)
        terminal.close()
        return [*frames, last]

    yield watch
    for terminal in opened:
        terminal.close()


def keep(name, columns, screen):
    """Writes a screen, with its colours, as text and as a picture."""
    SCREENS.mkdir(parents=True, exist_ok=True)
    (SCREENS / f"{name}.{columns}.ansi").write_text(screen, encoding="utf-8")
    with open(os.devnull, "w") as nowhere:
        console = Console(record=True, width=columns, file=nowhere, force_terminal=True)
        console.print(Text.from_ansi(screen))
        console.save_svg(str(SCREENS / f"{name}.{columns}.svg"), title=name)


def assert_well(frames, columns, code=0):
    """Checks what every command's screens have in common."""
    last = frames[-1]
    assert f"{END} {code}" in last and "Traceback" not in last
    assert not BUSY.search(last), "the live line is gone"
    assert not re.search(r"\x1b|\\x1b|\^\[", last)
    for frame in frames:
        assert all(len(line) <= columns for line in frame.splitlines())
        live = [line for line in frame.splitlines() if BUSY.search(line)]
        assert len(live) <= 1, frame  # each over the one before


def of(trained):
    """Returns the arguments that name a run and its pictures, which lie elsewhere than they did."""
    return f"--model_dir={trained / 'run'} --data_dir={trained / 'pictures'}"


@pytest.mark.parametrize(("columns", "env"), [(100, {}), (40, {}), (100, {"NO_COLOR": "1"})])
def test_a_run_is_watched(look, trained, tmp_path, columns, env):
    where = f"--data_dir={trained / 'pictures'} --model_dir={tmp_path / 'run'}"
    name = "train" + "".join(f".{variable}" for variable in env)
    frames = look(name, columns, f"train {' '.join(OPTIONS)} {where}", **env)
    assert_well(frames, columns)
    assert any("compiling the first step" in frame for frame in frames)
    assert any(re.search("━.*training|training.*(left|far)", frame) for frame in frames)
    assert "The run is in" in frames[-1] and "Verdict" in frames[-1]


@pytest.mark.parametrize(
    "command",
    [
        "knn --model_dir={run} --data_dir={pictures}",
        "linear --cache_features --pretrained={run} --data_dir={pictures}",
        "embed --model_dir={run} --data_dir={pictures} --out={out}/vectors.npz",
        "export --model_dir={run} --export_dir={out}/serving",
        "convert --to=keras {run} {out}/encoder.keras",
        "check_data --data_dir={pictures}",
        "report --table {run}",
        f"detect --recipe=demo_detection {FEW} --pretrained={{run}} --model_dir={{out}}/detect",
        f"segment --recipe=demo_segmentation {FEW} --pretrained={{run}} --model_dir={{out}}/segment",
        "train --help",
    ],
)
@pytest.mark.parametrize("columns", [100, 40])
def test_a_command_leaves_what_can_be_read(look, trained, tmp_path, command, columns):
    places = {"run": trained / "run", "pictures": trained / "pictures", "out": tmp_path}
    name = "help" if "--help" in command else command.partition(" ")[0]
    assert_well(look(name, columns, command.format(**places)), columns)


@pytest.mark.parametrize("env", [{"TERM": "dumb"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}])
def test_poor_terminals_get_plain_lines(look, trained, env):
    frames = look(f"knn.{next(iter(env.values()))}", 100, f"knn {of(trained)}", **env)
    assert f"{END} 0" in frames[-1] and "kNN top-1" in frames[-1]
    if "TERM" in env:
        assert "━" not in "".join(frames)


@pytest.mark.parametrize("rest", ["| head -1", "> {out} 2>&1", ">&-", "2>&-"])
def test_nobody_need_read_it(look, trained, tmp_path, rest):
    rest = rest.format(out=tmp_path / "out.txt")
    name = f"knn.{re.sub(r'[^a-z0-9]+', '_', rest.partition('/')[0])}"
    frames = look(name, 100, f"knn {of(trained)} {rest}")
    assert f"{END} 0" in frames[-1] and "Traceback" not in frames[-1]
    if (tmp_path / "out.txt").exists():
        text = (tmp_path / "out.txt").read_text()
        assert "kNN top-1" in text and "\x1b" not in text and "━" not in text


def test_an_error_is_told_in_words_that_are_whole(look, tmp_path):
    frames = look("error", 60, f"knn --model_dir={tmp_path / 'nowhere'}")
    assert_well(frames, 60, code=1)
    told = frames[-1].replace("\n", " ")
    assert "error: " in told and " expected " in told
