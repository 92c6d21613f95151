"""LiteRT, once TensorFlow Lite, through Keras's exporter."""

import tensorflow as tf

from mocotf.files import atomic_path
from mocotf.interop.keras_file import from_run
from mocotf.interop.output import difference
from mocotf.interop.output import outputs
from mocotf.interop.output import quiet


def write(saved, path):
    """Writes a `.tflite` file of a run's encoder, and compares what the interpreter makes of it.

    Its signature `serve` takes `image`, float32 `[n, S, S, 3]`, RGB in 0…255, or `[n, S, S, N]` in the
    files' units, and returns `features` and `embedding`.
    """
    images, expected = outputs(saved)
    with atomic_path(path) as partial, quiet():
        from_run(saved).export(partial, format="litert", verbose=False)
        runner = tf.lite.Interpreter(partial).get_signature_runner()
        worst = difference(runner(image=images), expected, path)
    return {"max_difference": worst}
