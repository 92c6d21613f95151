"""Folders of versions as TF Serving reads them: EXPORT_DIR/INTEGER, whole or not there."""

import contextlib
import os

from mocotf.errors import UserError
from mocotf.files import atomic_path
from mocotf.files import locked_folder


def versions_in(folder):
    """Returns the numbers of the versions in a folder, ascending; none where it does not exist."""
    names = os.listdir(folder) if os.path.isdir(folder) else []
    return sorted(int(name) for name in names if name.isdecimal())


def newest_in(folder):
    """Returns the path of the version with the largest number, which a server serves.

    Raises:
        UserError: there is none.
    """
    versions = versions_in(folder)
    if not versions:
        raise UserError(
            f"--export_dir={folder}: has no version; expected what mocotf.export writes, "
            "EXPORT_DIR/NUMBER"
        )
    return os.path.join(folder, str(versions[-1]))


def choose(folder, step, version=None):
    """Returns the number of a new version.

    Args:
        folder: of the versions.
        step: of the checkpoint; the number where none is asked for.
        version: the number that is asked for.

    Raises:
        UserError: it exists; or none is asked for, and the server would go on with a larger one.
    """
    existing = versions_in(folder)
    newest = max(existing, default=-1)
    chosen = step if version is None else version
    if chosen in existing:
        raise UserError(
            f"--export_dir={folder}: version {chosen} exists, and a version is never changed; expected "
            f"a new number; try --version={newest + 1}"
        )
    if version is None and chosen < newest:
        raise UserError(
            f"--export_dir={folder}: has version {newest}, which a server prefers to {chosen}, the "
            f"step of this checkpoint; expected a larger number; try --version={newest + 1}"
        )
    return chosen


@contextlib.contextmanager
def new_version(folder, version):
    """Gives an empty folder to write a version to; it becomes the version when all is written.

    Until then its name is no number, so that no server loads it. What is left of one that was
    interrupted is removed by the next.

    Args:
        folder: of the versions; made where it does not exist.
        version: a number that is not there yet.

    Raises:
        UserError: the folder cannot be written, or another process is exporting to it.
    """
    busy = "another process exports to it; expected one at a time; wait for it"
    with contextlib.ExitStack() as stack:
        try:
            os.makedirs(folder, exist_ok=True)
            stack.enter_context(locked_folder(folder, f"--export_dir={folder}: {busy}"))
        except OSError as error:
            raise UserError(
                f"--export_dir={folder}: {error.strerror}; expected a folder that can be written"
            ) from error
        partial = stack.enter_context(atomic_path(os.path.join(folder, str(version))))
        os.mkdir(partial)
        yield partial
