"""Asks an exported version on a machine that has TensorFlow, but not mocotf.

    python elsewhere.py VERSION REQUESTS.npz ANSWERS.npz

REQUESTS has, a signature each, its elements; ANSWERS gets LOADER/SIGNATURE/OUTPUT.
"""

import importlib.util
import sys

import numpy as np
import tensorflow as tf


def main(folder, requests, answers):
    assert importlib.util.find_spec("mocotf") is None
    given = np.load(requests, allow_pickle=True)
    elements = {name: list(map(bytes, e)) if e.dtype == object else e for name, e in given.items()}
    found = {}
    loaded = tf.saved_model.load(folder)
    for name, e in elements.items():
        for output, value in loaded.signatures[name](tf.constant(e)).items():
            found[f"eager/{name}/{output}"] = value.numpy()
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        signatures = tf.compat.v1.saved_model.loader.load(session, ["serve"], folder).signature_def
        for name, e in elements.items():
            (asked,) = signatures[name].inputs.values()
            for output, info in signatures[name].outputs.items():
                found[f"session/{name}/{output}"] = session.run(info.name, {asked.name: e})
    np.savez(answers, **found)


main(*sys.argv[1:])
