"""mocotf's view pairs, timed for tools/benchmark_input.py as tools/peers/views.py times the others'.

    python tools/peers/ours.py numba|tensorflow views|crops|stages FOLDER

Answers each line of standard input, a number of pairs, with the seconds that making them took: for
`views` and `crops` those of `random_views`, for `stages` an object with those of growing parts of it.

`random_views` works ahead of whoever reads it: a part of a batch at each map, and whole batches in its
prefetch, whose buffer doubles each time it runs full and then dry. So each answer has an iterator of
its own. The reader never pauses, which keeps that buffer empty; the clock starts when it has got some
batches and stops when it has got the last, moments with as much in the making; and nothing is made
after that, because the iterator is gone.
"""

import json
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

import mocotf.cli  # noqa: F401  # isort: skip  (first: it keeps TensorFlow's notices off the terminal)

import tensorflow as tf

from mocotf.data.bad_images import BadImages
from mocotf.data.pretraining import random_views
from mocotf.data.sources.base import Order
from mocotf.data.sources.folder import Folder
from mocotf.data.views import augmentations
from mocotf.data.views import crop
from mocotf.data.views.decode import open_jpeg
from mocotf.data.views.host import decode_windows
from mocotf.data.views.host import view_maker
from mocotf.data.views.tensorflow_ops import view_draws

SEED, BATCH = 0, 32
UNTIMED = 2  # batches at the start of each answer


def main():
    ops, what, folder = sys.argv[1:]
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    source = Folder(folder)
    parts = prefixes(source, ops) if what == "stages" else {}
    step = 0
    for line in sys.stdin:
        batches = int(line) // BATCH
        seconds = timed(iter(pairs(source, ops, what == "crops", step)), batches)
        if parts:
            seconds = {name: timed(part, batches) for name, part in parts.items()} | {"all": seconds}
        print(json.dumps(seconds), flush=True)
        step += UNTIMED + batches


def timed(iterator, batches):
    """Returns the seconds in which so many more batches came, see the top of this file."""
    for _ in range(UNTIMED):
        next(iterator)
    start = time.perf_counter()
    for _ in range(batches):
        next(iterator)
    return time.perf_counter() - start


def pairs(source, ops, crops_only, first_step):
    """Returns the dataset that is measured, on one thread."""
    none_bad = BadImages(total=source.size, most=0)  # the others would not skip one
    dataset = random_views(
        source,
        augmentations.v2(),
        _order(source),
        bad_images=none_bad,
        first_step=first_step,
        crops_only=crops_only,
        ops=ops,
    )
    return dataset.with_options(_one_thread())


def prefixes(source, ops):
    """Returns iterators over batches of what the pipeline does with an image up to some stage.

    They make nothing ahead, and draw what `random_views` draws. What they make is thrown away.
    """
    bare = augmentations.v2(jitter_prob=0, gray_prob=0, blur_prob=0)
    area = bare.min_area

    def windows(encoded, draws):
        _, shape = open_jpeg(encoded)
        return crop.sample_window(draws, shape[0], shape[1], area)

    def decoded(encoded, draws):
        return decode_windows(encoded, draws, area)

    def made(augmentation, crops_only=False):
        make = view_maker(augmentation, ops, crops_only)
        return lambda encoded, draws: make(*decoded(encoded, draws), draws)

    up_to = {
        "read": lambda encoded, draws: (),
        "draws": lambda encoded, draws: draws,
        "windows": windows,
        "decode": decoded,
        "crops": made(bare, crops_only=True),
        "bare views": made(bare),
        "colours": made(augmentations.v2(blur_prob=0)),
        "blur": made(augmentations.v2()),
    }
    return {name: _iterate(source, part) for name, part in up_to.items()}


def _iterate(source, part):
    def run(key, handle):
        encoded = source.load(handle)
        return tuple(tf.nest.flatten((encoded, part(encoded, view_draws(SEED, key)))))

    # Thrown away in a map of its own: within `run`, TensorFlow would leave out what nobody reads.
    made = source.draw(_order(source)).map(run).map(lambda *_: 0)
    return iter(made.batch(BATCH).with_options(_one_thread()))


def _order(source):
    return Order(SEED, BATCH, source.steps_per_epoch(BATCH))


def _one_thread():
    options = tf.data.Options()
    options.autotune.enabled = False
    options.threading.private_threadpool_size = 1
    options.threading.max_intra_op_parallelism = 1
    return options


if __name__ == "__main__":
    main()
