"""Pictures out of a zip of train/CLASS/FILE and test/CLASS/FILE, such as CIFAR-10's."""

import collections
import itertools
import os
import zipfile

from mocotf.errors import UserError


def slices(path, classes, begin, end, split="train"):
    """Yields (class, contents of its files): those in train/CLASS from `begin` to `end`, by name.

    Args:
        path: of the zip.
        classes: their names; None for all.
        begin, end: places among the sorted files of a class.
        split: "train" or "test".

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
            folder, _, rest = name.partition("/")
            label, _, file = rest.partition("/")
            if folder == split and file:
                files[label].append(name)
        for label in classes or files:
            if len(files[label]) < end:
                raise UserError(
                    f"--zip={path}: {len(files[label])} files in {split}/{label}; expected {end} or "
                    "more"
                )
            yield label, map(archive.read, itertools.islice(files[label], begin, end))


def with_test(path, train, test):
    """Yields (train/CLASS or test/CLASS, contents of its first so many files), raises as `slices`."""
    for split, count in (("train", train), ("test", test)):
        for label, contents in slices(path, None, 0, count, split):
            yield os.path.join(split, label), contents
