"""Batches of what is made of image files, some of which may not decode."""

import tensorflow as tf

from mocotf.data.views.decode import or_else

PARALLEL = {"num_parallel_calls": tf.data.AUTOTUNE, "deterministic": True}
TOGETHER = 64  # images of a batch that are finished together: enough to make calling Python cheap
NOTHING_DECODES = "no image of a whole batch decodes"


def batches_of_files(drawn, n, make, blanks, describe, finish=None, overlap=True):
    """Returns batches of (places, names of the bad, *made) of n images, as far as they decode; the last
    may be of fewer.

    A batch is a small data set of its own, for graphs have no exceptions: ignoring errors is how they
    catch one. What fails is missing from a batch, which has the `places` of what did not.

    Args:
        drawn: dataset of (key, handle), each a tensor or several.
        n: images a batch.
        make: (key, handle) → tuple of tensors; may fail in the graph.
        blanks: batches of 0 images of what `make` returns, or `finish`.
        describe: handle → what a message calls the image.
        finish: (*made) → tuple of tensors `[k, …]`, of what was made of k images; must not fail.
        overlap: begin with the next batch before one is done, for the memory of three more.
    """
    nothing = tf.data.Dataset.from_tensors((tf.zeros([0], tf.int32), *blanks))

    def batch(keys, handles):
        numbers = tf.range(tf.shape(tf.nest.flatten(keys)[0])[0])
        images = tf.data.Dataset.from_tensor_slices((numbers, keys, handles))
        made = images.map(lambda place, *image: (place, *make(*image)), **PARALLEL)
        made = made.ignore_errors()
        if finish:
            some = made.batch(TOGETHER)
            made = some.map(lambda places, *rest: (places, *finish(*rest)), **PARALLEL).rebatch(n)
        else:
            made = made.batch(n)
        made = made.concatenate(nothing).take(1)
        return made.map(lambda places, *rest: (places, missing(numbers, places, handles), *rest))

    def missing(numbers, places, handles):
        bad = tf.sets.difference(numbers[None], places[None]).values
        bad = tf.nest.map_structure(lambda x: tf.gather(x, bad), handles)
        return tf.map_fn(describe, bad, fn_output_signature=tf.string)

    if not overlap:
        return drawn.batch(n).flat_map(batch)
    return drawn.batch(n).interleave(batch, cycle_length=2, num_parallel_calls=2, deterministic=True)


def whole_batches_of_files(drawn, n, make, blanks, describe, bad_images):
    """Returns the batches of n images that `batches_of_files` makes, the bad ones replaced."""
    batches = batches_of_files(drawn, n, make, blanks, describe)
    return batches.map(lambda *batch: replace_bad(*batch, bad_images=bad_images, n=n), **PARALLEL)


def good_ones(examples, make, blank, describe, bad_images):
    """Returns the dataset of what is made of each example; those where that fails are left out.

    Args:
        examples: dataset of handles, or of (handle, …).
        make: (handle, …) → tuple of tensors; may fail in the graph.
        blank: tuple of the same types, of what is made for nothing.
        describe: handle → what a message calls the image.
        bad_images: a `BadImages`, to which those are reported.
    """

    def one(handle, *rest):
        good, made = or_else(lambda: make(handle, *rest), blank)
        bad = tf.cond(good, lambda: tf.zeros([0], tf.string), lambda: describe(handle)[None])
        return reported(bad, (good, *made), bad_images)

    made = examples.map(one, **PARALLEL).filter(lambda good, *_: good)
    return made.map(lambda _, *made: made)


def replace_bad(places, bad, *made, bad_images, n):
    """Returns `made` with the next good image of the batch, cyclically, in the place of each bad one.

    Args:
        places, bad, made: an element of `batches_of_files`.
        bad_images: a `BadImages`, to which the names in `bad` are reported.
        n: images a batch.
    """

    def replaced():
        # Reported first, so that the error can name one.
        with tf.control_dependencies([bad_images.report_in_graph(bad)]):
            some_left = tf.debugging.Assert(tf.size(places) > 0, [NOTHING_DECODES])
        with tf.control_dependencies([some_left]):
            following = tf.searchsorted(places, tf.range(n)) % tf.size(places)
        return tuple(tf.gather(x, following) for x in made)

    whole = tf.cond(tf.size(places) == n, lambda: made, replaced)
    return tuple(tf.ensure_shape(x, [n, *x.shape[1:]]) for x in whole)


def reported(bad, made, bad_images):
    """Returns `made`, a tuple of tensors, once the names in `bad`, if any, are reported."""
    report = tf.cond(tf.size(bad) > 0, lambda: bad_images.report_in_graph(bad), lambda: 0)
    with tf.control_dependencies([report]):
        return tuple(tf.identity(x) for x in made)
