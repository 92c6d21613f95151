"""Checks a folder of images, or any other place of them, before you spend weeks on it.

    python -m mocotf.check_data --data_dir=my_photos
    python -m mocotf.check_data --data_dir=my_scenes --channels=13 --write=my_scenes.cfg

Counts images, formats and sizes, pictures that EXIF says to turn (which only --upright does), and files
left out, such as hidden ones. Names the files that training would skip, and why, and duplicates. Reads
and decodes every file, as training does, on all cores. With --channels it measures each channel's mean
and standard deviation over all pixels; --write writes them to a file for mocotf.train's --flagfile.
"""

from mocotf.cli import command  # first: it keeps TensorFlow's start-up notices off the terminal

# isort: split
import collections
import concurrent.futures
import hashlib
import io
import os
import statistics
import warnings

import tensorflow as tf
from absl import flags
from PIL import Image
from PIL import UnidentifiedImageError

from mocotf import terminal
from mocotf.data import channel_statistics
from mocotf.data.places.parts import Parts
from mocotf.data.places.pictures import Pictures
from mocotf.data.places.survey import look_into
from mocotf.data.pretraining import most_resized
from mocotf.data.settings import MOST_CHANNELS
from mocotf.data.views.channels import values_of
from mocotf.data.views.decode import decode
from mocotf.data.views.formats import MAX_PIXELS
from mocotf.data.views.formats import format_of
from mocotf.data.views.formats import what_reads
from mocotf.data.views.other_formats import pixels_of
from mocotf.errors import UserError
from mocotf.errors import first_line
from mocotf.files import printable
from mocotf.tables import counted

SHOWN = 10  # names of a kind in the printed report; --json has all

FLAGS = flags.FLAGS
flags.DEFINE_string(
    "data_dir", None, "Folder of images, archive, address …: what --data_dir of mocotf.train may be."
)
flags.DEFINE_string("files", None, "List of images: what --files of mocotf.train may be.")
flags.DEFINE_integer(
    "channels",
    None,
    "Number of channels, for images that are not RGB: as --channels of mocotf.train.",
    lower_bound=1,
    upper_bound=MOST_CHANNELS,
)
flags.DEFINE_integer(
    "max_pixels", MAX_PIXELS, "What --max_pixels of mocotf.train may be.", lower_bound=1
)
flags.DEFINE_string(
    "write", None, "With --channels: flag file to write --channels, --mean and --std to."
)


def main():
    if not (FLAGS.data_dir or FLAGS.files):
        raise UserError(
            "--data_dir and --files are missing; expected one of them; try --data_dir=my_photos"
        )
    if FLAGS.write and not FLAGS.channels:
        raise UserError(
            f"--write={FLAGS.write} does nothing without --channels: add it, or drop --write"
        )
    with terminal.phase(f"reading {printable(FLAGS.files or FLAGS.data_dir)}"):
        parts = Parts(FLAGS.data_dir, FLAGS.files)
        pictures = Pictures([(tree, "") for tree in parts.trees])
    if not len(pictures):
        where = f"--files={FLAGS.files}" if FLAGS.files else f"--data_dir={FLAGS.data_dir}"
        raise UserError(f"{where}: no images found in it or its sub-folders; {pictures.left_out}")
    Image.MAX_IMAGE_PIXELS = None  # --max_pixels is looked at first
    warnings.filterwarnings("ignore", module="PIL")
    found = []
    with (
        terminal.phase("decoding", len(pictures)) as progress,
        concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool,  # decoding holds no lock
    ):
        for facts in pool.map(lambda number: inspect(pictures, number), range(len(pictures))):
            found.append(facts)
            progress.advance()
    paths = [printable(pictures.path_of(number)) for number in range(len(pictures))]
    results = summary(paths, found, pictures.left_out, parts.damaged)
    if FLAGS.channels:
        results["channels"] = channel_statistics.joined([facts[5] for facts in found if facts[0]])
    show(results)
    if FLAGS.write:
        channel_statistics.write(FLAGS.write, results["channels"])
    command.print_json(results)


def inspect(pictures, number):
    """Returns (format, width, height, digest, whether EXIF turns it, `channel_statistics.of` it) of a
    picture, or (None, reason) if training skips it."""
    try:
        content = pictures.bytes_of(number)
    except Exception as error:  # each place has its own
        return None, getattr(error, "strerror", None) or first_line(error)
    statistics_of = None
    try:
        if FLAGS.channels:
            values = values_of(content, FLAGS.channels, most_resized(FLAGS.max_pixels))
            (height, width, _), statistics_of = values.shape, channel_statistics.of(values)
        else:
            height, width = size_of(content, FLAGS.max_pixels).numpy().tolist()
    except tf.errors.OpError:
        return None, reason(content)
    except Exception as error:  # decoders fail in many ways
        return None, first_line(error)
    digest, (_, orientation, _) = hashlib.sha256(content).hexdigest(), look_into(io.BytesIO(content))
    return format_of(content), width, height, digest, orientation != 1, statistics_of


@tf.function(
    input_signature=[tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.int64)], autograph=False
)
def size_of(content, max_pixels):
    """Returns [height, width] of an image; fails where training would."""
    return tf.shape(decode(content, True, max_pixels))[:2]


def reason(content):
    """Returns what is wrong with a file that does not decode, as far as Pillow or pydicom knows it."""
    if not content:
        return "empty file"
    kind = format_of(content)
    try:
        if not kind:
            with Image.open(io.BytesIO(content)) as image:
                return f"format {image.format} is not read"
        pixels_of(content, FLAGS.max_pixels)
        return f"damaged, or a kind of {kind} that TensorFlow does not read"
    except UnidentifiedImageError:
        return f"damaged {kind}" if kind else "no image"
    except Exception as error:  # decoders fail in many ways
        return first_line(error)


def summary(paths, found, left_out, damaged):
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
        "refused": dict(left_out.refused),
        "damaged": damaged,
        "unreadable": [[p, facts[1]] for p, facts in zip(paths, found, strict=True) if not facts[0]],
        "duplicates": duplicates,
    }


def show(results):
    """Prints the report."""
    formats = ", ".join(f"{count} {name}" for name, count in results["formats"].items())
    print(f"{counted(results['images'], 'image')}: {formats or 'none'}")
    if results["short_side"]:
        print("short side: min {min}, median {median:g}, max {max} px".format(**results["short_side"]))
    print(f"{results['rotated']} rotated by EXIF, turned by --upright only")
    print(f"left out: {results['hidden']} hidden, {sum(results['not_pictures'].values())} not pictures")
    for ending, count in sorted(results["not_pictures"].items(), key=lambda item: -item[1])[:SHOWN]:
        print(f"  {count} {ending}{what_reads(ending)}")
    if "channels" in results:
        channel_statistics.show(results["channels"])
    for why, count in results["refused"].items():
        print(f"  {count} {why}")
    for problem in results["damaged"]:
        print(problem)
    for kind, what, link in (("unreadable", "unreadable", ": "), ("duplicates", "duplicated", " = ")):
        print(f"{len(results[kind])} {what}")
        for path, other in results[kind][:SHOWN]:
            print(f"  {path}{link}{other}")
        if len(results[kind]) > SHOWN:
            print(f"  and {len(results[kind]) - SHOWN} more; --json has all")


if __name__ == "__main__":
    command.run(main)
