"""What a run knows its images by, so that others are noticed when it is resumed."""

import contextlib
import logging
import os
import time

from mocotf.data.contents import Contents
from mocotf.data.contents import read_contents
from mocotf.errors import UserError
from mocotf.files import atomic_write

log = logging.getLogger(__name__)

COUNT, LISTED, CONTENTS = "images", "names and sizes of images", "contents of images"
ACCEPTED = "accepted changes of images"
CONTENTS_FILE = "data.sha256"


class ImageFacts:
    """The facts about a source's images that facts.json has; beside it, data.sha256 has what they are,
    file by file, if their content counts.

    Args:
        source: a `Source`.
        settings: `VerifySettings`; with `content` every image is read now.
        size: images that are learned from.
        tell: print how far the reading is.

    Attributes:
        values: name → value.

    Raises:
        UserError: an address does not answer.
    """

    NAMES = (COUNT, LISTED, CONTENTS, ACCEPTED)  # of all facts that it may keep

    def __init__(self, source, settings, size, tell=True):
        self._accept = settings.accept_changed_data
        self._contents = read_contents(source, tell) if settings.verify_data == "content" else None
        found = {COUNT: size, LISTED: source.digest()}
        found[CONTENTS] = self._contents.digest if self._contents else ""
        self.values = {name: value for name, value in found.items() if value}

    def begin(self, path):
        """Writes what a new run in a folder keeps of its images, but for `values`."""
        if self._contents:
            atomic_write(os.path.join(path, CONTENTS_FILE), self._contents.text)

    def resume(self, path, known):
        """Checks the images against those that a run began with, or was resumed with since.

        Args:
            path: the run's folder.
            known: its facts, name → value.

        Returns:
            The facts that it has from now on.

        Raises:
            UserError: they are others, and that has not been accepted.
        """
        facts = known | self.values
        if changed := [n for n in self.values if n in known and known[n] != self.values[n]]:
            changes = self._describe(path, known, changed)
            if not self._accept:
                raise UserError(
                    f"--model_dir={path}: its images are not those that it was begun with ({changes}); "
                    "put these back, or go on with others by --accept_changed_data, or use another "
                    "folder"
                )
            log.warning("%s: goes on with other images (%s)", path, changes)
            accepted = {"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "changes": changes}
            facts[ACCEPTED] = [*known.get(ACCEPTED, ()), accepted]
            if not self._contents:  # what is known of it is of the images before
                facts.pop(CONTENTS, None)
                with contextlib.suppress(FileNotFoundError):
                    os.remove(os.path.join(path, CONTENTS_FILE))
        if facts != known:
            self.begin(path)
        return facts

    def _describe(self, path, known, changed):
        """Returns what has changed, a phrase."""
        said = ", ".join(f"{n}={known[n]} there, {self.values[n]} here" for n in changed)
        if CONTENTS not in known:
            return f"{said}; which, a run begun with --verify_data=content would say"
        if not self._contents:
            return f"{said}; which, --verify_data=content says"
        try:
            with open(os.path.join(path, CONTENTS_FILE), "rb") as file:
                before = Contents(file.read())
        except FileNotFoundError:
            before = Contents(b"")
        if before.digest != known[CONTENTS]:
            return f"{said}; {CONTENTS_FILE} is not as the run wrote it, so which is not known"
        return before.changes_to(self._contents) or said
