r"""Finds the images of an index that are most like others.

    python -m mocotf.embed --model_dir=runs/v2 --data_dir=my_photos --out=vectors.npz
    python -m mocotf.search --index=vectors.npz[,MORE.npz] QUERY.jpg [...]

It is the paper's dictionary look-up: the query is encoded, and the closest keys are looked up, printed,
and shown on a page that opens in any browser.
"""

from mocotf.cli import command  # first: it keeps TensorFlow's start-up notices off the terminal

# isort: split
import os

import numpy as np
from absl import flags

from mocotf import terminal
from mocotf.data.bad_images import BadImages
from mocotf.data.sources.image_files import files_named
from mocotf.data.views import formats
from mocotf.data.views.augmentations import Augmentation
from mocotf.data.views.formats import OLD_MAX_PIXELS
from mocotf.data.views.orientation import decode_image
from mocotf.errors import UserError
from mocotf.files import atomic_write
from mocotf.files import printable
from mocotf.image_search.embedding import embed
from mocotf.image_search.embedding import fingerprint
from mocotf.image_search.embedding import nearest
from mocotf.image_search.index import read_index
from mocotf.image_search.results_page import Found
from mocotf.image_search.results_page import sheet
from mocotf.interop.keras_file import load_encoder
from mocotf.training.pictures import levels

FLAGS = flags.FLAGS

flags.DEFINE_list(
    "index",
    None,
    "File that mocotf.embed wrote, or several, A,B, of one encoder; required. Images of several are "
    "named by their whole paths.",
    required=True,
)
flags.DEFINE_integer("k", 12, "Number of images to find for each query.", lower_bound=1)
flags.DEFINE_string("html", "search.html", "Page to write; nothing for none.")
flags.DEFINE_string(
    "model_dir",
    None,
    "Where the encoder is now: a run, a checkpoint or a .keras file. Default: where the index says.",
)
flags.DEFINE_string(
    "data_dir",
    None,
    "Where the images of a single index are now. Default: where the index says.",
)


def main(*queries):
    if not queries:
        raise UserError("no images to search for; expected QUERY.jpg [...]")
    if not FLAGS.index:
        raise UserError("--index=: names no file; expected one that mocotf.embed wrote")
    indexes = read_indexes(FLAGS.index)
    about = indexes[0].about
    with terminal.phase("loading the encoder"):
        encoder = find_encoder(about)
    with terminal.phase("searching"):
        results = search(indexes, queries, embed_queries(encoder, queries, about))

    for query, found in results:
        print(printable(query))
        for rank, one in enumerate(found, 1):
            print(f"{rank:4}  {one.similarity:.3f}  {printable(one.name)}")
    if FLAGS.html:
        with terminal.phase("writing the page"):
            write_page(FLAGS.html, indexes, results, encoder)
        print(f"page: {FLAGS.html}")
    command.print_json(
        {
            "results": [
                {"query": query, "found": [[f.name, round(f.similarity, 6)] for f in found]}
                for query, found in results
            ],
            "html": FLAGS.html or None,
        }
    )


def read_indexes(paths):
    """Returns the `Index` of each file, in which `data_dir` is where its images are now.

    Raises:
        UserError: they cannot be searched together.
    """
    if FLAGS.data_dir and len(paths) > 1:
        raise UserError(
            f"--data_dir={FLAGS.data_dir}: given with {len(paths)} indexes; expected one; leave it "
            "out: the images of each are where it says"
        )
    indexes = [read_index(path) for path in paths]
    first = indexes[0].about
    for path, index in zip(paths, indexes, strict=True):
        same = all(index.about[name] == first[name] for name in ("weights", "output"))
        if not same or _views(index.about) != _views(first):
            made = " and ".join(f"{a['output']} of {a['encoder']}" for a in (first, index.about))
            raise UserError(
                f"{paths[0]}, {path}: cannot be compared, they have {made}; expected the same output, "
                "weights, --upright and --channels; try one at a time, or embed again"
            )
        index.about["data_dir"] = FLAGS.data_dir or index.about["data_dir"]
    return indexes


def find_encoder(about):
    """Returns the encoder that made the indexes."""
    path = FLAGS.model_dir or about["encoder"]
    try:
        encoder = load_encoder(path)
    except UserError as error:
        raise UserError(f"the encoder of {FLAGS.index[0]}: {error}; or tell --model_dir") from error
    if fingerprint(encoder) != about["weights"]:
        raise UserError(
            f"{path}: its weights are not those that made {FLAGS.index[0]}; expected "
            f"{about['encoder']}; try that, or embed again"
        )
    return encoder


def embed_queries(encoder, queries, about):
    """Returns the vectors of image files, float32 `[M, D]`."""
    files = files_named(queries, **how_read(about))
    for query in queries:
        if not os.path.isfile(query):
            raise UserError(f"{query}: no such file; expected an image to search for")
    bad_images = BadImages()
    batches = embed(encoder, files, about["output"], about["batch_size"], bad_images)
    vectors = np.concatenate([vectors for _, vectors, _ in batches])
    if bad_images.names:
        expected = formats.expected(about.get("channels"))
        raise UserError(f"{bad_images.names[0]}: does not decode; expected {expected}")
    return vectors


def how_read(about):
    """Returns how the images of an index were read, as arguments of `ImageFiles`."""
    before = {"upright": False, "channels": None, "max_pixels": OLD_MAX_PIXELS}
    return {name: about.get(name, value) for name, value in before.items()}


def _views(about):
    """Returns (upright, channels), on which what is seen of an image depends."""
    how = how_read(about)
    return how["upright"], how["channels"]


def search(indexes, queries, vectors):
    """Returns (query, its `Found`) of each image file that is asked about."""
    several = len(indexes) > 1
    # An image may be in each index, and a query that is in one is no answer.
    answers = nearest((index.vectors for index in indexes), vectors, (FLAGS.k + 1) * len(indexes))
    results = []
    for query, places, similarities in zip(queries, *answers, strict=True):
        found = {}
        for place, similarity in zip(places, similarities, strict=True):
            folder, name = image_at(indexes, place)
            path = os.path.join(folder, name)
            found.setdefault(path, Found(path if several else name, path, float(similarity)))
        own = os.path.realpath(query)
        others = [one for path, one in found.items() if os.path.realpath(path) != own]
        results.append((query, others[: FLAGS.k]))
    return results


def image_at(indexes, place):
    """Returns (folder, name) of an image, counted through all indexes."""
    first, *others = indexes
    if place < len(first.names):
        return first.about["data_dir"], first.names[place]
    return image_at(others, place - len(first.names))


def write_page(path, indexes, results, encoder):
    about = indexes[0].about
    view = Augmentation(channels=about.get("channels"), show_channels=about.get("show_channels"))

    def show(encoded):
        image = decode_image(encoded, **how_read(about))
        return levels(encoder.get_layer("normalize")(image), view) if view.channels else image.numpy()

    trained = f", step {about['step']:,}" if "step" in about else ""
    folders = ", ".join(dict.fromkeys(index.about["data_dir"] for index in indexes))
    line = (
        f"of {sum(len(index.names) for index in indexes):,} in {folders}, by cosine similarity of the "
        f"{about['output']} of {about['encoder']}{trained}"
    )
    atomic_write(path, sheet("Nearest images", line, results, show))


if __name__ == "__main__":
    command.run(main, positional=None)
