r"""Finds the images of an index that are most like others.

    python -m mocotf.embed --model_dir=runs/v2 --data_dir=my_photos --out=vectors.npz
    python -m mocotf.search --index=vectors.npz QUERY.jpg [...]

It is the dictionary look-up of the paper: a query is encoded, and the keys that it is closest to are
looked up. They are printed, and shown on a page that opens in any browser.
"""

from mocotf.cli import command  # first: it keeps TensorFlow's start-up notices off the terminal

# isort: split
import os

import numpy as np
from absl import flags

from mocotf.data.bad_images import BadImages
from mocotf.data.sources.image_files import ImageFiles
from mocotf.data.views.decode import FORMATS
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

FLAGS = flags.FLAGS

flags.DEFINE_string("index", None, "File that mocotf.embed wrote; required.", required=True)
flags.DEFINE_integer("k", 12, "Images to find for each query.", lower_bound=1)
flags.DEFINE_string("html", "search.html", "Page to write; nothing for none.")
flags.DEFINE_string(
    "model_dir",
    None,
    "Where the encoder is now: a run, a checkpoint or a .keras file. Default: where the index says.",
)
flags.DEFINE_string(
    "data_dir", None, "Where the images of the index are now. Default: where the index says."
)


def main(*queries):
    if not queries:
        raise UserError("no images to search for; expected QUERY.jpg [...]")
    index = read_index(FLAGS.index)
    encoder = find_encoder(index.about)
    vectors = embed_queries(encoder, queries, index.about)
    folder = FLAGS.data_dir or index.about["data_dir"]
    results = []
    # One more is asked for: a query that is in the index is no answer.
    answers = nearest(index.vectors, vectors, FLAGS.k + 1)
    for query, places, similarities in zip(queries, *answers, strict=True):
        names = [index.names[place] for place in places]
        found = [
            Found(name, os.path.join(folder, name), float(s))
            for name, s in zip(names, similarities, strict=True)
        ]
        own = os.path.realpath(query)
        results.append((query, [f for f in found if os.path.realpath(f.path) != own][: FLAGS.k]))

    for query, found in results:
        print(printable(query))
        for rank, one in enumerate(found, 1):
            print(f"{rank:4}  {one.similarity:.3f}  {printable(one.name)}")
    if FLAGS.html:
        write_page(FLAGS.html, index, results)
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


def find_encoder(about):
    """Returns the encoder that made an index."""
    path = FLAGS.model_dir or about["encoder"]
    try:
        encoder = load_encoder(path)
    except UserError as error:
        raise UserError(f"the encoder of {FLAGS.index}: {error}; or tell --model_dir") from error
    if fingerprint(encoder) != about["weights"]:
        raise UserError(
            f"{path}: its weights are not those that made {FLAGS.index}; expected {about['encoder']}; "
            "try that, or embed again"
        )
    return encoder


def embed_queries(encoder, queries, about):
    """Returns the vectors of image files, float32 `[M, D]`."""
    files = ImageFiles("", [os.fsencode(query) for query in queries], upright=upright_in(about))
    for query in queries:
        if not os.path.isfile(query):
            raise UserError(f"{query}: no such file; expected an image to search for")
    bad_images = BadImages()
    batches = embed(encoder, files, about["output"], about["batch_size"], bad_images)
    vectors = np.concatenate([vectors for _, vectors, _ in batches])
    if bad_images.names:
        raise UserError(f"{', '.join(bad_images.names)}: does not decode; expected {FORMATS}")
    return vectors


def upright_in(about):
    """Returns whether the images of an index were turned as their EXIF says."""
    return about.get("upright", False)  # of an earlier release: not


def write_page(path, index, results):
    about = index.about
    trained = f", step {about['step']:,}" if "step" in about else ""
    line = (
        f"of {len(index.names):,} in {about['data_dir']}, by cosine similarity of the "
        f"{about['output']} of {about['encoder']}{trained}"
    )
    try:
        atomic_write(path, sheet("Nearest images", line, results, upright_in(about)))
    except OSError as error:
        raise UserError(
            f"--html={path}: {error.strerror}; expected a file that can be written"
        ) from error


if __name__ == "__main__":
    command.run(main, positional=None)
