"""Pictures out of a zip of train/CLASS/FILE and test/CLASS/FILE, such as CIFAR-10's."""

import collections
import itertools
import os
import zipfile

from mocotf.errors import UserError


def slices(path, classes, begin, end):
    """Yields (class, contents of its files): those in train/CLASS from `begin` to `end`, by name.

    Args:
        path: of the zip.
        classes: their names; None for all.
        begin, end: places among the sorted files of a class.

    Raises:
        UserError: there is no such zip, or it lacks a class, or files of one.
    """
    if not os.path.exists(path):
        raise UserError(
            f"--zip={path}: no such file; expected a zip of train/CLASS/FILE and test/CLASS/FILE with "
            "CIFAR-10's pictures; put one there, or name yours"
        )
    with zipfile.ZipFile(path) as archive:
        files = collections.defaultdict(list)
        for name in sorted(archive.namelist()):
            split, _, rest = name.partition("/")
            label, _, file = rest.partition("/")
            if split == "train" and file:
                files[label].append(name)
        for label in classes or files:
            if len(files[label]) < end:
                raise UserError(
                    f"--zip={path}: {len(files[label])} files in train/{label}; expected {end} or more"
                )
            yield label, map(archive.read, itertools.islice(files[label], begin, end))
