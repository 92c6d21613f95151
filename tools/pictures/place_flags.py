"""The flags that say where pictures are taken from."""

import os

from absl import flags

from tools.pictures.registry import Places

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

flags.DEFINE_string(
    "zip",
    os.path.join(ROOT, "..", "shared", "data", "cifar10.zip"),
    "Zip of train/CLASS/FILE and test/CLASS/FILE with CIFAR-10's pictures.",
)
flags.DEFINE_string(
    "packages",
    os.path.join(ROOT, "runs", "packages"),
    "Folder that Debian's packages are unpacked in, as `make packages` does; /: they are installed.",
)


def read():
    """Returns the `Places` that the flags give."""
    return Places(flags.FLAGS.zip, flags.FLAGS.packages)
