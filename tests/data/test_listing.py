"""Listings of file names: any bytes, found by number, at little memory each and no cost of size."""

import concurrent.futures
import gc
import multiprocessing
import os
import tempfile
import time
import tracemalloc
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf

from mocotf.data.places import directory
from mocotf.data.places.listing import Listing
from mocotf.data.sources import folder
from mocotf.data.sources.base import Order

CLASSES = 1000


def test_any_bytes_are_found_by_number():
    names = [b"a.jpg", b"", b"\xff\xe9/\x00.png", "größe/ü.gif".encode(), b"x" * 5000]
    listing = Listing(iter(names))
    assert len(listing) == 5
    found = tf.data.Dataset.range(5).map(lambda number: listing[number])
    assert list(found.as_numpy_iterator()) == names
    assert [listing[number].numpy() for number in range(5)] == names
    assert len(Listing([])) == 0


def test_a_pipeline_outlives_the_listing():
    names = tf.data.Dataset.range(2).map(Listing([b"a", b"bc"]).__getitem__)
    gc.collect()
    assert list(names.as_numpy_iterator()) == [b"a", b"bc"]


def folder_of(entries):
    """Returns a Folder of so many images with ImageNet's names, of which there are no files."""

    def names(root, left_out):
        for i in range(entries):
            label, number = divmod(i, max(1, entries // CLASSES))
            yield b"n%08d/n%08d_%d.JPEG" % (label, label, number)

    with mock.patch.object(directory, "images_under", names):
        return folder.Folder(tempfile.gettempdir())


def test_two_hundred_thousand_images_take_little_memory():
    entries = 200_000
    tracemalloc.start()
    source = folder_of(entries)
    python = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    variables = (source._pictures._names._begins, source._labels)
    tensors = len(source._pictures._names._text.numpy()) + sum(v.numpy().nbytes for v in variables)
    assert source.describe(entries - 1).numpy().endswith(b"/n00000999/n00000999_199.JPEG")
    assert sum(source.evaluation_sizes) == entries
    assert (python + tensors) / entries < 28 + 8 + 4 + 14  # the last if TensorFlow keeps NumPy's array


def resident():
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def lookup_time(source, lookups=20_000):
    """Returns the seconds in which one image is drawn and named."""
    images = source.draw(Order(0, 1, source.size)).map(lambda _, handle: source.describe(handle))
    times = []
    for _ in range(3):
        started = time.perf_counter()
        images.take(lookups).reduce(0, lambda count, _: count + 1).numpy()
        times.append((time.perf_counter() - started) / lookups)
    return min(times)


def cost(entries):
    """Returns (resident bytes, seconds to list, seconds a lookup, seconds a lookup among few)."""
    among_few = lookup_time(folder_of(CLASSES))
    before, started = resident(), time.perf_counter()
    source = folder_of(entries)
    seconds = time.perf_counter() - started
    lookup = lookup_time(source)
    tf.constant(np.zeros(1)) + 1  # TensorFlow lets go of NumPy's arrays at its next operation
    gc.collect()
    return resident() - before, seconds, lookup, among_few


@pytest.mark.slow
def test_ten_million_images(capsys):
    entries = 10_000_000
    spawn = multiprocessing.get_context("spawn")  # a process whose memory nothing else has used
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn) as pool:
        memory, seconds, lookup, among_few = pool.submit(cost, entries).result()
    with capsys.disabled():
        print(
            f"\n{entries} images: {memory / entries:.1f} bytes resident each; listed in {seconds:.1f} s"
            f"; drawn and named in {1e6 * lookup:.0f} µs each, of {CLASSES} in {1e6 * among_few:.0f} µs"
        )
    assert memory / entries < 50
    assert lookup < 2 * among_few + 50e-6
