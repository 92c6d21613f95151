"""Looks through a folder of images before weeks are spent on it.

    python tools/check_data.py --data_dir=my_photos

Counts images, formats and sizes, and names the files that do not decode and those whose content is
that of another file. Reads and decodes every file, with Pillow, on all cores.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from mocotf.cli import command  # isort: skip  (first: it keeps TensorFlow's notices off the terminal)

import collections
import concurrent.futures
import hashlib
import io
import statistics

from absl import flags
from PIL import Image
from PIL import UnidentifiedImageError

from mocotf.data.folder import list_images
from mocotf.errors import UserError

SHOWN = 10  # names of a kind in the printed report; --json has all

FLAGS = flags.FLAGS
flags.DEFINE_string("data_dir", None, "Folder of images, searched recursively.", required=True)


def main():
    if not os.path.isdir(FLAGS.data_dir):
        raise UserError(f"--data_dir={FLAGS.data_dir}: no such folder; expected a folder of images")
    paths = list_images(FLAGS.data_dir)
    if not paths:
        raise UserError(f"--data_dir={FLAGS.data_dir}: no images found in it or its sub-folders")
    with concurrent.futures.ProcessPoolExecutor() as pool:
        found = list(pool.map(inspect, paths, chunksize=64))
    results = summary(paths, found)
    show(results)
    command.print_json(results)


def inspect(path):
    """Returns (format, width, height, digest) of a file, or (None, reason) if it does not decode."""
    try:
        with open(path, "rb") as file:
            content = file.read()
        with Image.open(io.BytesIO(content)) as image:
            image.convert("RGB")
            return image.format, *image.size, hashlib.sha256(content).hexdigest()
    except Exception as error:  # decoders fail in many ways; each is a bad file
        reason = "no image" if isinstance(error, UnidentifiedImageError) else str(error)
        return None, reason or type(error).__name__


def summary(paths, found):
    """Returns the report as a dictionary."""
    good = [(path, facts) for path, facts in zip(paths, found, strict=True) if facts[0]]
    first, duplicates = {}, []
    for path, facts in good:
        original = first.setdefault(facts[3], path)
        if original != path:
            duplicates.append([path, original])
    short = [min(facts[1:3]) for _, facts in good]
    return {
        "images": len(good),
        "formats": dict(collections.Counter(facts[0] for _, facts in good)),
        "short_side": {"min": min(short), "median": statistics.median(short), "max": max(short)}
        if short
        else None,
        "unreadable": [[p, facts[1]] for p, facts in zip(paths, found, strict=True) if not facts[0]],
        "duplicates": duplicates,
    }


def show(results):
    """Prints the report."""
    formats = ", ".join(f"{count} {name}" for name, count in results["formats"].items())
    print(f"{results['images']} images: {formats or 'none'}")
    if results["short_side"]:
        print("short side: min {min}, median {median:g}, max {max} px".format(**results["short_side"]))
    for kind, link in (("unreadable", ": "), ("duplicates", " = ")):
        print(f"{len(results[kind])} {kind}")
        for path, other in results[kind][:SHOWN]:
            print(f"  {path}{link}{other}")
        if len(results[kind]) > SHOWN:
            print(f"  and {len(results[kind]) - SHOWN} more; --json has all")


if __name__ == "__main__":
    command.run(main)
