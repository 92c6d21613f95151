"""The run directory: one run, its flags, its numbers."""

import contextlib
import logging
import os
import time

from mocotf.errors import UserError
from mocotf.files import atomic_write
from mocotf.files import lock
from mocotf.json_files import read_json
from mocotf.json_files import write_json
from mocotf.settings import settings_of
from mocotf.settings import texts_of
from mocotf.training.flags_file import FLAGS_FILE
from mocotf.training.flags_file import is_run
from mocotf.training.flags_file import read_flags
from mocotf.training.flags_file import write_flags
from mocotf.training.history import change_line
from mocotf.training.history import read_history
from mocotf.training.history import shown
from mocotf.training.history import words
from mocotf.training.image_facts import CONTENTS_FILE
from mocotf.training.metrics_file import line_of
from mocotf.training.metrics_file import read_metrics
from mocotf.training.metrics_file import stamped

log = logging.getLogger(__name__)
COUNTS = ("replicas", "workers")  # facts that may change where that is asked for
FACTS_FILE, RECIPE_FILE = "facts.json", "recipe.json"


class RunDir:
    """The folder that `--model_dir` names; creates it, or checks that it holds the same run.

    The folder is locked until `close`, or the process ends: of two processes the second is refused.

    Args:
        path: of the folder.
        settings: all `Settings` of the run; they are saved, as a file that is itself a flagfile.
        facts: name → value of what else decides what is computed, as replicas.
        images: `ImageFacts` of what is learned from; None: all that counts of it is among the facts.
        follows: names, those of settings with --, whose values may be others where a run is resumed.
        changes: whether all settings, and what is in `COUNTS`, may be; None: that is not offered.
        recipe: what its settings were chosen by, a dictionary for recipe.json; None for nothing.

    Attributes:
        path: of the folder.
        resuming: the folder held this run already.
        changes: name → (old, new) of what is another than it was, until `keep_changes`.
        altered: whether something else is than what `follows`.

    Raises:
        UserError: the folder cannot be written, is in use, or holds another run or no run.
    """

    def __init__(
        self, path, settings, facts=None, images=None, *, follows=(), changes=None, recipe=None
    ):
        self.path = path = os.path.expanduser(path)
        self._settings = settings
        self.changes, self.altered = {}, False
        facts = (facts or {}) | (images.values if images else {})
        if changes and not os.path.exists(self.file(FLAGS_FILE)):
            raise UserError(
                f"--resume_with_changes with --model_dir={path}: there is no run; expected one that "
                "was begun; drop --resume_with_changes to begin it"
            )
        try:
            os.makedirs(path, exist_ok=True)
            check_place(path)
            self._lock = lock(
                self.file("lock"),
                f"--model_dir={path}: another process is running it; expected one at a time; wait for "
                "it, or use another folder",
            )
        except OSError as error:
            raise UserError(
                f"--model_dir={path}: {error.strerror}; expected a folder that can be written"
            ) from error
        with contextlib.ExitStack() as refused:  # the folder is left to who asks for it better
            refused.callback(self.close)
            self._take_up(facts, images, follows, changes, recipe)
            refused.pop_all()

    def _take_up(self, facts, images, follows, changes, recipe):
        """Begins the run, or checks that the folder holds the same."""
        path, settings = self.path, self._settings
        config, decided = self.file(FLAGS_FILE), self.file(FACTS_FILE)
        try:
            _check_links(path)
            self.resuming = os.path.exists(config)
            if not self.resuming:
                _check_lines(texts_of(settings))
                if images:
                    images.begin(path)
                if recipe is not None:  # before flags.cfg, with which it is a run
                    write_json(self.file(RECIPE_FILE), recipe)
                write_json(decided, facts)
                write_flags(config, texts_of(settings))
        except OSError as error:
            raise UserError(
                f"--model_dir={path}: {error.strerror}; expected a folder that can be written"
            ) from error
        if self.resuming:
            found = _differences(_decisive(config, settings), texts_of(settings, decisive=True), "--")
            known = read_facts(path) if facts else {}
            if facts:
                own = images.NAMES if images else ()
                there = {name: value for name, value in known.items() if name not in own}
                here = {name: facts[name] for name in there if name in facts}
                found |= _differences(there, here)
            self.changes = _permitted(path, found, follows, changes)
            self.altered = not found.keys() <= set(follows)
            if found:
                _check_lines(texts_of(settings))
            if images and (held := images.resume(path, known)) != known:
                write_json(decided, held)

    def close(self):
        """Leaves the folder to other processes, and to another run of this one."""
        self._lock.close()

    def file(self, name):
        """Returns the path of `name` in the folder."""
        return os.path.join(self.path, name)

    def keep_changes(self, step):
        """Makes what is another than it was what the run has from `step` on, and says so."""
        if not self.changes:
            return
        config = self.file(FLAGS_FILE)
        change = {"step": step, "time": round(time.time(), 3), "changes": self.changes}
        history = [change_line(one) for one in [*read_history(config), change]]
        write_flags(config, texts_of(self._settings), history)
        write_json(self.file(FACTS_FILE), read_facts(self.path))
        print(f"changed from step {step} on: {words(self.changes)}", flush=True)
        self.changes = {}

    def metrics(self, *, whole=False):
        """Returns the records of metrics.jsonl, see `read_metrics`."""
        return read_metrics(self.file("metrics.jsonl"), whole=whole)

    def forget_after(self, step, *new):
        """Drops the metrics of steps after `step`: the run will measure them again.

        Args:
            step: of the run.
            new: records that follow in the same write; wall-clock `time` is added.
        """
        kept = [record for record in self.metrics() if record["step"] <= step]
        kept += [stamped(record) for record in new]
        atomic_write(self.file("metrics.jsonl"), b"".join(map(line_of, kept)))


def _check_lines(texts):
    """Refuses settings, name → text, that flags.cfg would not give back."""
    for name, text in texts.items():
        if text != text.rstrip() or len(text.splitlines()) > 1:
            raise UserError(
                f"--{name}={text!r}: a run keeps its settings a line each; expected none that ends in "
                "a blank, or has a line break; of a folder, try a link to it"
            )


def check_place(path):
    """Refuses a folder that holds no run, and something else.

    Raises:
        UserError: so.
    """
    path = os.path.expanduser(path)
    if not os.path.isdir(path) or is_run(path):
        return
    # A process killed while it created the run leaves these.
    own = ("lock", FACTS_FILE, CONTENTS_FILE, RECIPE_FILE)
    others = [name for name in os.listdir(path) if name not in own and ".partial" not in name]
    if others:
        raise UserError(
            f"--model_dir={path}: holds files but no flags.cfg, so it is no run of mocotf; "
            "expected a new or empty folder"
        )


def _check_links(path):
    """Refuses folders that are links: what is written to them, and removed from them, is another's."""
    for folder, names, _ in os.walk(path):
        if links := [name for name in names if os.path.islink(os.path.join(folder, name))]:
            raise UserError(
                f"{os.path.join(folder, links[0])}: is a link; expected a folder of this run; move it "
                "here, or make all of --model_dir a link"
            )


def read_facts(folder):
    """Returns the name → value of what decides a run beside its settings, as it is now."""
    facts = read_json(os.path.join(folder, FACTS_FILE))
    # The history is the first to know: between the two writes a process may have been killed.
    for change in read_history(os.path.join(folder, FLAGS_FILE)):
        facts |= {name: new for name, (_, new) in change["changes"].items() if name in facts}
    return facts


def _decisive(path, settings):
    """Returns name → text of what a flags.cfg says that decides what is computed, in today's words."""
    saved, found = read_flags(path), {}
    # Some settings are of several of these.
    declared = {name: one for part in settings for name, one in settings_of(type(part)).items()}
    for name, one in declared.items():
        text = saved.pop(name, None)
        try:
            known = one.saved(text)
        except ValueError as error:
            raise UserError(f"{path}: --{name}={text}: {error}") from error
        if known is not None and not one.neutral and not one.place:
            found[name] = known
    return saved | found


def _differences(old, new, prefix=""):
    """Returns name → (old, new) of what differs in two name → value, the names with a prefix."""
    names = [name for name in sorted(old | new) if old.get(name) != new.get(name)]
    return {prefix + name: (old.get(name), new.get(name)) for name in names}


def _permitted(path, found, follows, changes):
    """Returns the differences that a resumed run may have; arguments as `RunDir` has them.

    Raises:
        UserError: there are others.
    """
    changeable = [name for name in found if name.startswith("--") or name in COUNTS]
    permitted = {*follows, *(changeable if changes else ())}
    if not found.keys() <= permitted:
        told = ", ".join(
            f"{name}={shown(old)} there, {shown(new)} here" for name, (old, new) in found.items()
        )
        offered = changes is not None and len(changeable) == len(found)
        instead = ", --resume_with_changes to go on with these," if offered else ","
        raise UserError(
            f"--model_dir={path}: holds another run ({told}); use the same flags, data and devices to "
            f"resume it{instead} or another folder"
        )
    if changes and not found:
        log.warning("--resume_with_changes: the run has these settings already; nothing is changed")
    return found
