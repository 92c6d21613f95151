"""The run directory: one run, its flags, its numbers."""

import fcntl
import json
import logging
import os

from mocotf.errors import UserError

log = logging.getLogger(__name__)
FLAGS_FILE = "flags.cfg"


class RunDir:
    """The folder that `--model_dir` names; creates it, or checks that it holds the same run.

    The folder is locked until the process ends: of two processes the second is refused.

    Args:
        path: of the folder.
        flags: name → text of every flag; they are saved, as a file that is itself a flagfile.
        facts: name → value of what else decides what is computed: replicas, images.
        neutral: names of flags that may change when a run is resumed.

    Attributes:
        path: of the folder.
        resuming: the folder held this run already.

    Raises:
        UserError: the folder cannot be written, is in use, or holds another run or no run.
    """

    def __init__(self, path, flags, facts=None, neutral=()):
        self.path = path
        config, decided = self.file(FLAGS_FILE), self.file("facts.json")
        try:
            os.makedirs(path, exist_ok=True)
            if not os.path.exists(config):
                _check_empty(path)
            self._lock = _lock(self.file("lock"))
            self.resuming = os.path.exists(config)
            if not self.resuming:
                write_whole(decided, json.dumps(facts or {}) + "\n")
                write_whole(
                    config, "".join(f"--{name}={text}\n" for name, text in sorted(flags.items()))
                )
        except OSError as error:
            raise UserError(
                f"--model_dir={path}: {error.strerror}; expected a folder that can be written"
            ) from error
        if self.resuming:
            saved = read_flags(config)
            decisive = (saved.keys() | flags.keys()) - set(neutral)
            _check_same(path, _only(decisive, saved), _only(decisive, flags), "--")
            if facts and os.path.exists(decided):
                with open(decided, encoding="utf-8") as file:
                    known = json.load(file)
                _check_same(path, known, _only(known, facts), "")

    def file(self, name):
        """Returns the path of `name` in the folder."""
        return os.path.join(self.path, name)

    def metrics(self):
        """Returns the records of metrics.jsonl, see `read_metrics`."""
        return read_metrics(self.file("metrics.jsonl"))

    def forget_after(self, step):
        """Drops the metrics of steps after `step`: a resumed run will measure them again."""
        kept = [record for record in self.metrics() if record["step"] <= step]
        write_whole(self.file("metrics.jsonl"), "".join(json.dumps(record) + "\n" for record in kept))


def _lock(path):
    file = open(path, "w")  # noqa: SIM115  (held open for as long as the process lives)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UserError(
            f"--model_dir={os.path.dirname(path)}: another process is running it; expected one at a "
            "time; wait for it, or use another folder"
        ) from error
    return file


def _check_empty(path):
    # A process killed while it created the run leaves these.
    others = [n for n in os.listdir(path) if n not in ("lock", "facts.json") and ".partial" not in n]
    if others:
        raise UserError(
            f"--model_dir={path}: holds files but no flags.cfg, so it is no run of mocotf; "
            "expected a new or empty folder"
        )


def read_flags(path):
    """Returns the name → text of a flags.cfg."""
    with open(path, encoding="utf-8") as lines:
        pairs = (line.strip().removeprefix("--").partition("=") for line in lines if line.strip())
        return {name: text for name, _, text in pairs}


def read_metrics(path):
    """Returns the records of a metrics.jsonl, dictionaries in order of step; none where it is not."""
    if not os.path.exists(path):
        return []
    records = []
    with open(path, encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            try:
                record = json.loads(line)
                records.append(record | {"step": record["step"], "time": record["time"]})
            except (ValueError, TypeError, KeyError):
                log.warning("%s, line %d: is no record; left out", path, number)
    return records


def write_whole(path, content):
    """Writes a file, text or bytes, so that no reader ever sees a part of it."""
    partial = f"{path}.partial"
    with open(partial, "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def _only(names, mapping):
    return {name: value for name, value in mapping.items() if name in names}


def _check_same(path, old, new, prefix):
    different = [name for name in sorted(old | new) if old.get(name) != new.get(name)]
    if different:
        changes = ", ".join(
            f"{prefix}{name}={old.get(name, '(unset)')} there, {new.get(name, '(unset)')} here"
            for name in different
        )
        raise UserError(
            f"--model_dir={path}: holds another run ({changes}); use the same flags, data and devices "
            "to resume it, or another folder"
        )
