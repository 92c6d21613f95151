"""How a command starts and ends: flag errors, one-line errors, the JSON line."""

import functools
import json
import logging
import os
import sys
import traceback

import absl.logging
from absl import app
from absl import flags

from mocotf import terminal
from mocotf.cli import arguments
from mocotf.cli import help
from mocotf.errors import Preempted
from mocotf.errors import UserError
from mocotf.files import Terminal
from mocotf.files import printable
from mocotf.nn.kernels import policy
from mocotf.training.flags_file import is_run
from mocotf.training.termination import Termination

flags.DEFINE_bool("json", False, "End the output with one line, a JSON object of the results.")
flags.DEFINE_bool("quiet", False, "Print errors, warnings and what --json asks for, and nothing else.")
flags.declare_key_flag("json")
flags.declare_key_flag("quiet")


def run(main, positional=(), resumes=False):
    """Runs a command: exit code 0; 1 with one line on an error of the user's; 2 on bad flags; 130
    when interrupted, 143 when it was asked to end by SIGTERM, both with one line, within two seconds
    where there is nothing to save.

    Args:
        main: called with the positional arguments; may return an exit code of its own.
        positional: their names; None where there may be any.
        resumes: flags that are not given are as in the run at --model_dir, if there is one.
    """

    def guarded(argv):
        names = argv[1:]
        if positional is not None and len(names) != len(positional):
            _stop(_unexpected(names, positional), 2)
        absl.logging.set_verbosity(absl.logging.WARNING)
        logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s", force=True)
        try:
            if flags.FLAGS.quiet:
                terminal.hush()
                sys.stdout = open(os.devnull, "w")  # noqa: SIM115
            policy.is_on()  # refuses a bad value here: out of a layer Keras would add lines to it
            code = main(*names) or 0
        except UserError as error:
            code = _complain(arguments.explain(str(error)), 1)
        except Preempted as stop:
            print(stop)
            code = stop.code
        except Exception:  # a fault of ours: with its traceback, but no more waiting than else
            traceback.print_exc()
            code = 1
        _leave(code)

    # Names of files, of classes and of columns are in much of what is said: they have one way out.
    sys.stdout, sys.stderr = map(Terminal, terminal.streams())
    with Termination():
        app.run(guarded, flags_parser=functools.partial(_parse, positional=positional, resumes=resumes))


def print_json(results):
    """Prints the results as the last line if --json is given."""
    if flags.FLAGS.json:
        quiet = flags.FLAGS.quiet
        print(json.dumps(results, allow_nan=False), file=sys.__stdout__ if quiet else None, flush=True)


def parse(argv, resumes=False):
    """Gives the flags their values; returns the arguments that are none, the command first.

    Args:
        argv: what was typed.
        resumes: see `run`.

    Raises:
        flags.Error: something is no flag, or no value of one; or a flag file cannot be read.
    """
    argv = arguments.expand(argv)
    left = flags.FLAGS(argv)
    run = flags.FLAGS.model_dir if resumes else None
    if run and flags.FLAGS.accept_changed_flags:
        arguments.accept_changed(run)
    saved = arguments.of_run(run) if run else []
    return flags.FLAGS([argv[0], *saved, *argv[1:]]) if saved else left


def _parse(argv, positional, resumes):
    if help.asked(argv[1:]):
        print(help.text(full=any(argument in help.FULL for argument in argv)))
        sys.exit(0)
    try:
        return parse(argv, resumes)
    except flags.Error as error:
        if positional == () and argv[1:] and not argv[1].startswith("-"):
            _stop(_unexpected(argv[1:2], positional), 2)  # of what is missing, it is the cause
        _stop(arguments.explain(arguments.in_words(" ".join(str(error).split()))), 2)


def _unexpected(names, positional):
    """Returns what is wrong with arguments that are no flags."""
    if positional:
        given = " ".join(names) or "nothing"
        return f"{given}: expected {len(positional)} arguments, {' '.join(positional)}"
    name = names[0]
    if is_run(name):
        run = "pretrained" if "pretrained" in flags.FLAGS else "model_dir"
        instead = {run: name}
    else:
        instead = {"data_dir": name, "model_dir": "runs/mine"}
    typed = " ".join(f"--{flag}={value}" for flag, value in instead.items() if flag in flags.FLAGS)
    return f"{name}: is no flag; expected --NAME=VALUE only; try {typed}"


def _stop(message, code):
    sys.exit(_complain(message, code))


def _complain(message, code):
    print(f"error: {printable(message)}", file=sys.stderr, flush=True)
    return code


def _leave(code):
    """Ends the process at once.

    TensorFlow's input threads may be about to run Python, which an interpreter that shuts down lets
    none do, while it waits for them: the process would never end.
    """
    terminal.close()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
