"""Makes a folder of real pictures, the same each time, that recipes are tried on.

    python tools/make_collection.py patches runs/collections/patches
    python tools/make_collection.py clipart runs/collections/clipart --pictures=50

Sub-folders are classes; where pictures are held out, they are in train/ and test/. Without arguments
the names are listed. The two of Debian's packages want `make packages` first, which needs apt-get and
no rights. A folder that is there stays as it is.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from mocotf.cli import command  # isort: skip  (first: it keeps TensorFlow's notices off the terminal)

import tensorflow as tf
from absl import flags

from mocotf.errors import UserError
from tools.pictures import place_flags
from tools.pictures.registry import COLLECTIONS
from tools.pictures.registry import make

FLAGS = flags.FLAGS
flags.DEFINE_integer(
    "pictures", None, "At most so many of each sub-folder, its first. Default: all.", lower_bound=1
)
flags.adopt_module_key_flags(place_flags)


def main(*arguments):
    tf.config.set_visible_devices([], "GPU")  # nothing here needs one
    if not arguments:
        for name, collection in COLLECTIONS.items():
            print(f"{name:<17}{collection.what}")
        return
    if len(arguments) != 2:
        raise UserError(f"{len(arguments)} arguments {arguments}: expected NAME FOLDER")
    found = make(*arguments, place_flags.read(), FLAGS.pictures)
    print("{pictures:,} pictures of {classes} classes, {queries:,} queries; {sha256}".format(**found))
    command.print_json(found)


if __name__ == "__main__":
    command.run(main, positional=None)
