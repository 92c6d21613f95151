"""What TensorFlow says while it is imported: hidden where it is of no use, and nothing else is."""

import os

import pytest

from mocotf.training import environment

LOG = b"""\
WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:1795841541.680767   11279 port.cc:153] oneDNN custom operations are on.
E0000 00:00:1795841557.156109   11279 cuda_platform.cc:52] failed call to cuInit
2026-11-28 05:06:23.343377: E external/local_xla/xla/stream_executor/cuda/cuda_platform.cc:51] the same
"""
OTHERS = b"Is it 0000 00:00:17?\nof another thread, without an end"


def test_tensorflows_log_is_hidden_and_what_others_say_is_not(capfd, monkeypatch):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")
    with environment.without_notices():
        os.write(2, LOG + OTHERS)
    assert capfd.readouterr().err == OTHERS.decode()


@pytest.mark.parametrize("level", ["0", "1", "", "all"])
def test_all_is_shown_to_who_wants_it(capfd, monkeypatch, level):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", level)
    with environment.without_notices():
        os.write(2, LOG)
    assert capfd.readouterr().err == LOG.decode()


def test_all_is_shown_where_the_import_fails(capfd, monkeypatch):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")
    with pytest.raises(ImportError), environment.without_notices():
        os.write(2, LOG)
        raise ImportError
    assert capfd.readouterr().err == LOG.decode()


def test_a_program_without_stderr_goes_on(monkeypatch):
    def closed(_):
        raise OSError

    monkeypatch.setattr(os, "dup", closed)
    with environment.without_notices():
        reached = True
    assert reached
