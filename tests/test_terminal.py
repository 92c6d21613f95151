"""What commands say while they work: at once, on any terminal, and to nobody."""

import fcntl
import io
import os
import re
import struct
import sys
import termios
import types

import pytest

from mocotf import phases
from mocotf import streams
from mocotf import terminal
from mocotf import train
from mocotf.files import Terminal
from tests import processes
from tests.data.support import write_colours
from tests.processes import refuse

END = "the end"


class Over:
    """Time that passes for a display where it waits, and is over at some second."""

    def __init__(self, clock, end):
        self._clock, self._end = clock, end

    def wait(self, seconds):
        self._clock[0] += seconds
        return self._clock[0] > self._end


@pytest.fixture
def display(monkeypatch):
    found = terminal._Display()
    monkeypatch.setattr(terminal, "_display", found)
    return found


@pytest.fixture
def clock(monkeypatch):
    """Seconds that have passed for phases, a list of one."""
    seconds = [0.0]
    for module in (phases, terminal):
        monkeypatch.setattr(module, "time", types.SimpleNamespace(monotonic=lambda: seconds[0]))
    return seconds


@pytest.fixture
def screen(display, monkeypatch):
    """Function (columns, environment) → function that ends it, and returns what a terminal was sent."""
    opened = []

    def open_one(columns, **env):
        for name, value in ({"TERM": "xterm", "NO_COLOR": ""} | env).items():
            monkeypatch.setenv(name, value)
        master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        stream = open(slave, "w", encoding="utf-8")  # noqa: SIM115
        opened.append(stream)
        monkeypatch.setattr("sys.stdout", stream)
        monkeypatch.setattr("sys.stderr", stream)
        terminal.begin()

        def sent():
            print(END, file=stream, flush=True)
            text = b""
            while not text.endswith(f"{END}\r\n".encode()):
                text += os.read(master, 1 << 16)
            return text.decode().removesuffix(f"{END}\r\n")

        return sent

    yield open_one
    for stream in opened:
        stream.close()


def test_no_phase_longer_than_five_seconds_is_silent(display, clock, capsys):
    slow = phases.Phase("encoding", total=300)
    display._phases = [phases.Phase("fitting"), slow]
    display._speak(Over(clock, 4.9))
    slow.advance(50)  # after 5 s, which compiling took
    assert capsys.readouterr().out == "encoding: 0 of 300 pictures, 4 s so far\n"
    display._speak(Over(clock, 7))
    slow.advance(50)
    display._speak(Over(clock, 200))
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "encoding: 100 of 300 pictures, 28 s left" and 4 <= len(said) <= 8


def test_what_was_inside_a_phase_leaves_no_line_of_it_behind(display, clock, capsys):
    training = phases.Phase("training", 9, "steps", done=9)
    display._phases, display._gap = [training, phases.Phase("measuring")], 16.0
    display._speak(Over(clock, 15))
    display._phases.pop()
    display._speak(Over(clock, 16))
    assert capsys.readouterr().out == "measuring: 4 s so far\nmeasuring: 12 s so far\n"
    display._phases.append(phases.Phase("saving"))  # and what comes then is not silent for that
    display._speak(Over(clock, 20.5))
    assert capsys.readouterr().out == "saving: 4 s so far\n"
    display._phases.pop()
    display._speak(Over(clock, 40))
    assert capsys.readouterr().out == "training: 9 of 9 steps, 28 s so far\n"


@pytest.mark.parametrize("columns", [40, 100])
def test_a_live_line_fits_and_what_is_printed_is_above_it(display, screen, columns):
    sent = screen(columns)
    out = Terminal(terminal.AboveTheLine(streams.Lasting(display.console.file._stream)))
    with terminal.phase("training", 300, "steps") as one:
        one.done, one.beside = 30, ["loss 6.123", "epoch 3/20", "acc1 12.3"]
        display.live.refresh()
        print("a line that is longer than the narrow one of both terminals\x1b[2J", file=out)
        print("  python -m mocotf.train --data_dir=photos --model_dir=runs/mine", file=out)
        print("a half", end="", file=out)
    print(" and the other", file=out)
    print("it is broken, too, where no line is live any more", file=out, flush=True)
    text = sent()
    assert "?25l" not in text  # else who is ended at once leaves no cursor
    shown = re.sub(r"\x1b\[[\d;]*\w", "", text)
    broken = "\r\n" if columns == 40 else " "
    assert f"longer than the narrow{broken}one of both terminals\\x1b[2J\r\n" in shown
    command = "  python -m mocotf.train --data_dir=photos --model_dir=runs/mine"
    assert f"{command}\r\n" in shown  # to be pasted
    last = f"it is broken, too, where no line is live{broken}any more\r\n"
    assert shown.endswith(f"a half and the other\r\n{last}")
    frames = [line for line in re.split(r"[\r\n]+", shown) if "training" in line]
    assert len(frames) > 1 and all(len(line.rstrip()) < columns and "━" in line for line in frames)
    assert all("loss 6.123" in line for line in frames[1:])
    assert all(("acc1 12.3" in line) == (columns > 80) for line in frames[1:])


def test_no_colours_and_no_live_line_where_they_are_not_wanted(display, screen):
    sent = screen(60, NO_COLOR="1")
    with terminal.phase("encoding", 10):
        text = sent().replace("\x1b[0m", "")  # at once, whatever leaves other threads no turn
    assert "encoding" in text and not re.search(r"\x1b\[[\d;]*m", text)
    display.console = None
    screen(60, TERM="dumb")
    with terminal.phase("encoding", 10):
        assert not terminal.is_live() and display.live is None


def test_what_nobody_reads_ends_nothing_but_a_full_disk_is_told():
    reader, writer = os.pipe()
    with open(writer, "w") as stream:
        os.close(reader)
        try:
            for _ in range(2):
                print("x" * 100_000, file=streams.Lasting(stream), flush=True)
        except OSError as error:
            pytest.fail(f"it ends by {error!r}")
    with pytest.raises(OSError, match="No space"), open("/dev/full", "w") as stream:
        print("x", file=streams.Lasting(stream), flush=True)


def test_without_utf_8_it_is_readable():
    found = io.BytesIO()
    out = streams.Lasting(io.TextIOWrapper(found, "ascii"))
    print("ü · 50×37 → …", file=out, flush=True)
    assert found.getvalue() == b"\\xfc - 50x37 -> ...\n"


# In the place of TensorFlow: says where the next file goes that is opened.
STAND_IN = "import os; os._exit(70 + os.open(os.devnull, os.O_RDONLY))"


@pytest.mark.parametrize(
    ("more", "said"),
    [("", "starting TensorFlow\n"), ("--json", ""), ("--quiet", ""), ("<&- >&- 2>&-", "")],
)
def test_the_first_words_come_before_what_takes_seconds(tmp_path, more, said):
    (tmp_path / "tensorflow.py").write_text(STAND_IN)
    command = ["sh", "-c", f"exec {sys.executable} -m mocotf.knn {more}"]
    run = f"import os; os.execv('/bin/sh', {command})"
    done = processes.python("-c", run, env={"PYTHONPATH": str(tmp_path)}).wait()
    assert (done.out, done.err) == ("", said) and done.code > 72


def test_quiet_is_errors_and_json(tmp_path):
    write_colours(tmp_path, 2)
    done = processes.succeed("check_data", f"--data_dir={tmp_path}", "--quiet", "--json")
    assert done.out.count("\n") == 1 and done.json["images"] == 2 and not done.err
    assert not processes.succeed("check_data", f"--data_dir={tmp_path}", "--quiet").out
    refuse("check_data", ["--data_dir=nowhere", "--quiet"], "nowhere")


def test_an_argument_that_is_no_flag_is_told_which_one_it_may_be(tmp_path):
    expected = "photos: is no flag; expected --NAME=VALUE only; try --data_dir=photos --model_dir="
    refuse("train", ["photos"], expected, 2)
    (tmp_path / "flags.cfg").write_text("")
    refuse("knn", [tmp_path], f"try --model_dir={tmp_path}", 2)


def test_what_may_be_typed_next_can_be_pasted():
    said = train.next_commands("runs/a b", "my photos")
    assert "--model_dir='runs/a b' --data_dir='my photos' --out='a b'.npz" in said
    assert "mocotf.embed" not in train.next_commands("runs/a", None) and "--logdir='runs/a b'\n" in said
