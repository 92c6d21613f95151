"""Looks through a folder of images before weeks are spent on it.

    python tools/check_data.py --data_dir=my_photos

Counts images, formats and sizes, pictures that EXIF says are to be turned (they are only by --upright),
and what is left out, as hidden or no picture; and names the files that training would skip,
and why, and those whose content is that of another file. Reads and decodes every file, as training
does, on all cores.
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
import warnings

import tensorflow as tf
from absl import flags
from PIL import Image
from PIL import UnidentifiedImageError

from mocotf.data.sources.listing import LeftOut
from mocotf.data.sources.listing import list_images
from mocotf.data.sources.survey import look_into
from mocotf.data.views.decode import MAX_PIXELS
from mocotf.data.views.decode import decode
from mocotf.data.views.decode import format_of
from mocotf.errors import UserError
from mocotf.files import printable

SHOWN = 10  # names of a kind in the printed report; --json has all

FLAGS = flags.FLAGS
flags.DEFINE_string("data_dir", None, "Folder of images, searched recursively.", required=True)


def main():
    if not os.path.isdir(FLAGS.data_dir):
        raise UserError(f"--data_dir={FLAGS.data_dir}: no such folder; expected a folder of images")
    left_out = LeftOut()
    paths = list_images(FLAGS.data_dir, left_out)
    if not paths:
        raise UserError(
            f"--data_dir={FLAGS.data_dir}: no images found in it or its sub-folders; {left_out}"
        )
    Image.MAX_IMAGE_PIXELS = None  # MAX_PIXELS is looked at first
    warnings.filterwarnings("ignore", module="PIL")
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:  # decoding holds no lock
        found = list(pool.map(inspect, paths))
    results = summary([printable(path) for path in paths], found, left_out)
    show(results)
    command.print_json(results)


def inspect(path):
    """Returns (format, width, height, digest, whether EXIF turns it) of a file, or (None, reason) if
    training skips it."""
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        return None, error.strerror or type(error).__name__
    try:
        height, width = size_of(content).numpy().tolist()
    except tf.errors.OpError:
        return None, reason(content)
    digest, (_, orientation) = hashlib.sha256(content).hexdigest(), look_into(io.BytesIO(content))
    return format_of(content), width, height, digest, orientation != 1


@tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
def size_of(content):
    """Returns [height, width] of an image; fails where training would."""
    return tf.shape(decode(content))[:2]


def reason(content):
    """Returns what is wrong with a file that does not decode, as far as Pillow knows it."""
    if not content:
        return "empty file"
    try:
        with Image.open(io.BytesIO(content)) as image:
            if not format_of(content):
                return f"format {image.format} is not read by TensorFlow"
            if image.width * image.height > MAX_PIXELS:
                return f"{image.width} x {image.height} pixels, more than {MAX_PIXELS}"
            image.convert("RGB")
            return f"damaged, or a kind of {format_of(content)} that TensorFlow does not read"
    except UnidentifiedImageError:
        return "no image"
    except Exception as error:  # decoders fail in many ways
        return str(error) or type(error).__name__


def summary(paths, found, left_out):
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
        "rotated": sum(facts[4] for _, facts in good),
        "hidden": left_out.hidden,
        "not_pictures": dict(left_out.others),
        "unreadable": [[p, facts[1]] for p, facts in zip(paths, found, strict=True) if not facts[0]],
        "duplicates": duplicates,
    }


def show(results):
    """Prints the report."""
    formats = ", ".join(f"{count} {name}" for name, count in results["formats"].items())
    print(f"{results['images']} images: {formats or 'none'}")
    if results["short_side"]:
        print("short side: min {min}, median {median:g}, max {max} px".format(**results["short_side"]))
    print(f"{results['rotated']} rotated by EXIF, turned by --upright only")
    print(f"left out: {results['hidden']} hidden, {sum(results['not_pictures'].values())} not pictures")
    for ending, count in sorted(results["not_pictures"].items(), key=lambda item: -item[1])[:SHOWN]:
        print(f"  {count} {ending}")
    for kind, link in (("unreadable", ": "), ("duplicates", " = ")):
        print(f"{len(results[kind])} {kind}")
        for path, other in results[kind][:SHOWN]:
            print(f"  {path}{link}{other}")
        if len(results[kind]) > SHOWN:
            print(f"  and {len(results[kind]) - SHOWN} more; --json has all")


if __name__ == "__main__":
    command.run(main)
