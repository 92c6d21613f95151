"""Programs that are run beside this one, each within a time of its own."""

import concurrent.futures
import json
import os
import signal
import subprocess
import tempfile
import time

from tools import children

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TAIL = 1500  # characters of what a program said on stderr


def run(command, limit, environment=None, *, session=False):
    """Runs a command in the project's folder; it is asked to end where this process is killed.

    Args:
        command: its arguments.
        limit: seconds, after which it is killed.
        environment: name → text of the variables that differ from this process's.
        session: whether it is to lead a process group, which is killed as a whole.

    Returns:
        {"code": its exit code, None where it took too long; "seconds"; "out": all that it printed;
        "err": the end of its stderr}.
    """
    begun = time.monotonic()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            cwd=ROOT,
            env=os.environ | (environment or {}),
            start_new_session=session,
            preexec_fn=children.end_with_parent,
        )
        try:
            code = process.wait(max(0.0, limit))
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _end(process, session)
        seconds = round(time.monotonic() - begun, 1)
        return {"code": code, "seconds": seconds, "out": _text(out), "err": _text(err)[-TAIL:]}


def _end(process, session):
    """Kills what still runs: a group may outlive its leader."""
    try:
        if session:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    except ProcessLookupError:
        pass
    process.wait()


def _text(file):
    file.seek(0)
    return file.read().decode(errors="replace")


def run_all(jobs, deadline, at_once):
    """Runs commands side by side, and yields (name, what `run` returns) as each ends.

    Args:
        jobs: name → (command, environment).
        deadline: of `time.monotonic`, when what still runs is killed.
        at_once: how many at most.
    """

    def one(name):
        command, environment = jobs[name]
        return name, run(command, deadline - time.monotonic(), environment)

    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        for future in concurrent.futures.as_completed([pool.submit(one, name) for name in jobs]):
            yield future.result()


def last_json(text):
    """Returns the object of the last line that is one, or None."""
    for line in reversed(text.splitlines()):
        try:
            found = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(found, dict):
            return found
    return None


def last_line(outcome):
    """Returns what a program said last, of what `run` returns: on stderr where it failed."""
    texts = (
        (outcome["out"], outcome["err"]) if outcome["code"] == 0 else (outcome["err"], outcome["out"])
    )
    lines = [line for text in texts for line in text.strip().splitlines()[-1:]]
    return lines[0][-300:] if lines else "it said nothing"
