"""What a call from Python shows, in a notebook, on a terminal and elsewhere."""

import sys
import threading
import types

import pytest
import tensorflow as tf

from mocotf import interactive
from mocotf import terminal
from tests import processes
from tests.test_terminal import display  # noqa: F401  (a fixture)
from tests.test_terminal import screen  # noqa: F401  (likewise)


@pytest.fixture
def outputs(monkeypatch, display):  # noqa: F811
    """The texts that each output of a cell has had: this process is a notebook's."""
    found = []

    class Output:
        def __init__(self, data):
            self.texts = [data["text/plain"]]
            found.append(self.texts)

        def update(self, data, raw):
            self.texts.append(data["text/plain"])

    ipython = types.ModuleType("IPython")
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=True)
    ipython.display = types.ModuleType("IPython.display")
    ipython.display.display = lambda data, raw, display_id: Output(data)
    for module in (ipython, ipython.display):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(interactive, "BETWEEN", 0.01)
    return found


def test_a_cell_has_one_output_that_says_in_the_end_how_long_it_took(outputs, capsys):
    def reads(text):
        processes.wait_until(lambda: outputs and text in outputs[0][-1], 10)

    with interactive.shown():
        with terminal.phase("reading"):
            reads("reading")
        with terminal.phase("training", 300, "steps") as one:
            one.done = 30
            reads("30 of 300 steps")
            assert "training" in outputs[0][-1] and "━" in outputs[0][-1]
        with interactive.shown(), terminal.phase("measuring"):  # a call of ours within it
            reads("measuring")
        print("a line")
    (texts,) = outputs
    assert texts[-1] == "took 0 s" and all(len(text) <= interactive.WIDTH for text in texts)
    assert "\x1b" not in "".join(texts)
    assert capsys.readouterr().out == "a line\n"


def test_what_is_over_at_once_shows_nothing(outputs, monkeypatch):
    monkeypatch.setattr(interactive, "BETWEEN", 60)
    with interactive.shown(), terminal.phase("reading"):
        pass
    assert outputs == []


def test_on_a_terminal_it_is_the_live_line_of_commands(screen):  # noqa: F811
    sent, before = screen(80), sys.stdout
    terminal.end()
    with interactive.shown():
        with terminal.phase("training", 300, "steps"):
            print("a \x1b[2Jline")
        assert terminal.is_live()
    assert sys.stdout is before and not terminal.is_live()
    text = sent()
    assert "training" in text and "a \\x1b[2Jline\r\n" in text


def test_of_another_thread_streams_stay_as_they_are(outputs):
    def work():
        with interactive.shown(), terminal.phase("reading"):
            found.append((sys.stdout, terminal.is_live()))

    found, before = [], sys.stdout
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [(before, False)] and outputs == []


def test_tensorflow_says_nothing_of_several_calls_that_is_not_so(monkeypatch):
    log, advice = tf.get_logger(), "5 out of the last 5 calls to %s triggered tf.function retracing."
    said = []
    monkeypatch.setattr(log, "callHandlers", lambda record: said.append(record.getMessage()))
    with interactive.shown():
        log.warning(advice, "encode")
        log.warning("another")
    log.warning(advice, "a function of theirs")
    assert said == ["another", advice % "a function of theirs"]
