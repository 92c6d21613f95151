"""The run directory: one run, its flags, its numbers."""

import json
import os

from mocotf.errors import UserError


class RunDir:
    """The folder that `--model_dir` names; creates it, or checks that it holds the same run.

    Args:
        path: of the folder.
        flags: name → text of every flag that decides what the run computes.

    Attributes:
        path: of the folder.
        resuming: the folder held this run already.

    Raises:
        UserError: the folder holds another run, or something that is no run.
    """

    def __init__(self, path, flags):
        self.path = path
        config = self.file("flags.cfg")
        self.resuming = os.path.exists(config)
        if self.resuming:
            _check_same(path, read_flags(config), flags)
            return
        if os.path.isdir(path) and os.listdir(path):
            raise UserError(
                f"--model_dir={path}: holds files but no flags.cfg, so it is no run of mocotf; "
                "expected a new or empty folder"
            )
        os.makedirs(path, exist_ok=True)
        write_whole(config, "".join(f"--{name}={text}\n" for name, text in sorted(flags.items())))

    def file(self, name):
        """Returns the path of `name` in the folder."""
        return os.path.join(self.path, name)

    def metrics(self):
        """Returns the records of metrics.jsonl, dictionaries in order of step."""
        try:
            with open(self.file("metrics.jsonl"), encoding="utf-8") as lines:
                return [json.loads(line) for line in lines if line.endswith("\n")]
        except FileNotFoundError:
            return []

    def forget_after(self, step):
        """Drops the metrics of steps after `step`: a resumed run will measure them again."""
        kept = [record for record in self.metrics() if record["step"] <= step]
        write_whole(self.file("metrics.jsonl"), "".join(json.dumps(record) + "\n" for record in kept))


def read_flags(path):
    """Returns the name → text of a flags.cfg."""
    with open(path, encoding="utf-8") as lines:
        pairs = (line.strip().removeprefix("--").partition("=") for line in lines if line.strip())
        return {name: text for name, _, text in pairs}


def write_whole(path, text):
    """Writes a file so that no reader ever sees a part of it."""
    partial = f"{path}.partial"
    with open(partial, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def _check_same(path, old, new):
    different = [name for name in sorted(old | new) if old.get(name) != new.get(name)]
    if different:
        changes = ", ".join(
            f"--{name}={old.get(name, '(unset)')} there, {new.get(name, '(unset)')} here"
            for name in different
        )
        raise UserError(
            f"--model_dir={path}: holds another run ({changes}); use the same flags to resume it, "
            "or another folder"
        )
