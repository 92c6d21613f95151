r"""Computes a vector for each image in a folder.

    python -m mocotf.embed --model_dir=runs/v2 --data_dir=my_photos --out=vectors.npz

The same command continues what was interrupted, and ends in the same file; --append adds images that
have come since. `numpy.load` reads the file: arrays names, vectors and about. `python -m mocotf.search`
searches it.
"""

from mocotf.cli import command  # first: it keeps TensorFlow's start-up notices off the terminal

# isort: split
import os
import time

from absl import flags

import mocotf
from mocotf import terminal
from mocotf.data.bad_images import BadImages
from mocotf.data.places.parts import whole
from mocotf.data.places.tree import place_of
from mocotf.data.sources.image_files import files_under
from mocotf.data.views.formats import MAX_PIXELS
from mocotf.data.views.formats import expected
from mocotf.errors import Preempted
from mocotf.errors import UserError
from mocotf.files import printable
from mocotf.image_search.embedding import channels_of
from mocotf.image_search.embedding import embed
from mocotf.image_search.embedding import fingerprint
from mocotf.image_search.index import Index
from mocotf.image_search.index import check_ending
from mocotf.image_search.index import merge
from mocotf.image_search.index import read_index
from mocotf.image_search.index import write_index
from mocotf.image_search.partial_index import PartialIndex
from mocotf.interop.keras_file import load_encoder
from mocotf.moco.saved_run import open_run
from mocotf.nn.plain import OUTPUTS
from mocotf.training.termination import Termination

FLAGS = flags.FLAGS
COMMIT = 5  # seconds between

flags.DEFINE_string(
    "model_dir",
    None,
    "Run, a checkpoint in one, ckpt-STEP, or a file of mocotf.convert --to=keras; required. Of a run "
    "the newest checkpoint is taken.",
    required=True,
)
flags.DEFINE_string(
    "data_dir",
    None,
    "Folder of images, searched recursively, zip or tar archive, or address; required.",
    required=True,
)
flags.DEFINE_string("out", None, "File to write, .npz or .parquet; required.", required=True)
flags.DEFINE_bool(
    "append",
    False,
    "Add to --out, an index of this folder, the images that are not in it. Those in it are not read "
    "again, whether changed or gone.",
)
flags.DEFINE_enum(
    "output",
    "features",
    OUTPUTS,
    "Of the encoder: features, the backbone's, best for most uses; embedding, the head's, shorter.",
)
flags.DEFINE_bool(
    "upright",
    None,
    "Turn images as their EXIF says. Default: where the run was trained so; of a .keras file not.",
)
flags.DEFINE_integer(
    "channels",
    None,
    "Of a .keras file from a run of --channels, where they are 3, which else are taken for RGB.",
    lower_bound=1,
)
flags.DEFINE_integer(
    "max_pixels",
    None,
    "Pixels that an image may have; larger ones count as such that do not decode. Default: as the run "
    f"was trained; of a .keras file {MAX_PIXELS}.",
    lower_bound=1,
)
flags.DEFINE_integer("batch_size", 64, "Images encoded at a time.", lower_bound=1)


def main():
    check_ending(FLAGS.out)
    if os.path.exists(FLAGS.out) != FLAGS.append:
        there = "exists; expected the name of a new file; try --append to add to it"
        absent = "no such file; expected an index to add to; without --append one is made"
        raise UserError(f"--out={FLAGS.out}: {absent if FLAGS.append else there}")
    index = read_index(FLAGS.out) if FLAGS.append else None
    about = describe_encoder(FLAGS.model_dir)
    with terminal.phase("loading the encoder"):
        encoder = load_encoder(about["encoder"])
    if channels := about.get("channels") or channels_of(encoder):
        about["channels"] = channels
    about |= {
        "mocotf": mocotf.__version__,
        "weights": fingerprint(encoder),
        "output": FLAGS.output,
        "batch_size": FLAGS.batch_size,
        "data_dir": whole(FLAGS.data_dir),
    }
    if index:
        check_made_so(index.about, about)
    embedded = {os.fsencode(name) for name in index.names} if index else frozenset()
    how = {name: about[name] for name in ("upright", "max_pixels")}
    with terminal.phase(f"reading {printable(FLAGS.data_dir)}"):
        files = files_under(FLAGS.data_dir, embedded, channels=channels, **how)
        print(f"{FLAGS.data_dir}: {files.found()}", flush=True)
    about["files"] = files.digest
    wanted = about | {"wanted": files.wanted}
    partial = PartialIndex(f"{FLAGS.out}.unfinished", wanted, encoder.output[FLAGS.output].shape[1])
    bad_images = BadImages(partial.file("bad_images.txt"), root=files.root, again=False)
    if partial.seen:
        print(f"going on after {partial.seen:,} of {len(files):,} images")
    progress = terminal.phase("embedding", len(files), done=partial.seen)
    with progress, Termination(ends="ends after this batch") as termination:
        fill(partial, encoder, files, bad_images, termination)
    results = finish(partial, index, about, bad_images.names)
    partial.remove()  # no array of `finish` has its files open: Windows would not remove them
    print(
        f"{FLAGS.out}: {results['images']:,} vectors of {results['dim']:,} numbers"
        + f", {results['added']:,} of them new" * FLAGS.append
    )
    command.print_json(results)


def describe_encoder(path):
    """Returns what an index says of the encoder that made it; `encoder` is the path to load it from."""
    if path.endswith(".keras"):
        told = {"channels": FLAGS.channels} if FLAGS.channels else {}
        how = {"upright": bool(FLAGS.upright), "max_pixels": FLAGS.max_pixels or MAX_PIXELS}
        return {"encoder": os.path.abspath(path)} | how | told
    saved = open_run(path)
    if FLAGS.channels:
        raise UserError(
            f"--channels={FLAGS.channels} does nothing with a run, which has its own: drop it"
        )
    upright = saved.upright if FLAGS.upright is None else FLAGS.upright
    about = {"encoder": os.path.abspath(saved.checkpoint), "step": saved.step, "flags": saved.flags}
    view = saved.view
    told = {"channels": view.channels, "show_channels": view.show_channels} if view.channels else {}
    return about | {"upright": upright, "max_pixels": FLAGS.max_pixels or saved.max_pixels} | told


def check_made_so(known, about):
    """Refuses to add to an index, `known` of it, what was made another way.

    Raises:
        UserError: so.
    """
    if known["weights"] != about["weights"]:
        raise UserError(
            f"--model_dir={FLAGS.model_dir}: its weights are not those that made {FLAGS.out}; expected "
            f"{known['encoder']}; try that, or another --out"
        )
    if known["output"] != about["output"]:
        raise UserError(
            f"--output={about['output']}: {FLAGS.out} has another; expected {known['output']}; try "
            f"--output={known['output']}, or another --out"
        )
    if known.get("upright", False) != about["upright"]:
        expected = "--noupright" if about["upright"] else "--upright"
        raise UserError(f"{FLAGS.out}: its images were not turned so; expected {expected}")
    if known.get("channels") != about.get("channels"):
        expected = f"--channels={known['channels']}" if "channels" in known else "no --channels"
        raise UserError(f"{FLAGS.out}: its images were not read so; expected {expected}")
    if os.path.realpath(known["data_dir"]) != os.path.realpath(about["data_dir"]):
        raise UserError(
            f"--data_dir={FLAGS.data_dir}: {FLAGS.out} is of another folder; expected "
            f"{known['data_dir']}; try an index of its own, and "
            f"mocotf.search --index={FLAGS.out},OTHER, which asks both"
        )


def fill(partial, encoder, files, bad_images, termination):
    """Embeds the files that are not yet.

    Raises:
        Preempted: it was asked to end; what it has embedded is kept.
    """
    last = None
    batches = embed(encoder, files, FLAGS.output, FLAGS.batch_size, bad_images, partial.seen)
    for names, vectors, seen in batches:
        terminal.advance(seen - partial.seen)
        partial.add(names, vectors, seen)
        termination.saves = True
        now = time.monotonic()
        asked = termination.requested
        if last and now - last < COMMIT and not asked:
            continue
        partial.commit()
        if asked:
            raise Preempted(
                f"{termination.words}; {seen:,} of {len(files):,} images are kept; the same command "
                "goes on",
                termination.code,
            )
        last = now


def finish(partial, index, about, bad_images):
    """Writes the index, with what was in it before, an `Index` or None; returns what --json prints."""
    names, vectors = partial.result()
    added = len(names)
    if index:
        # Bad ones that are still there have been tried again; those gone are kept, as names are.
        gone = set(index.about["bad_images"]) - set(bad_images) - set(map(printable, names))
        bad_images = sorted([*bad_images, *gone], key=place_of)
        names, vectors = merge(index, names, vectors, partial.file("merged"))
    if not names:
        raise UserError(
            f"--data_dir={FLAGS.data_dir}: no image decodes; expected {expected(about.get('channels'))}"
        )
    about = about | {"bad_images": bad_images}
    if added or not index or about != index.about:  # else the file is what it would become
        write_index(FLAGS.out, Index(names, vectors, about))
    dim = vectors.shape[1]
    return {"images": len(names), "added": added, "bad_images": len(bad_images), "dim": dim}


if __name__ == "__main__":
    command.run(main)
