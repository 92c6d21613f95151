"""ONNX, through Keras's exporter; needs the extra `onnx`."""

import keras
import numpy as np

from mocotf import extras
from mocotf.errors import UserError
from mocotf.errors import first_line
from mocotf.files import atomic_path
from mocotf.interop.keras_file import from_run
from mocotf.interop.output import difference
from mocotf.interop.output import outputs
from mocotf.interop.output import quiet


def write(saved, path):
    """Writes an ONNX file of a run's encoder, and compares what onnxruntime makes of it.

    Its input is `image`, float32 `[n, S, S, 3]`, RGB in 0…255, or `[n, S, S, N]` in the files'
    units; its outputs are `features` and `embedding`.

    Raises:
        UserError: a library is not installed, or ONNX has no operator for one of the encoder's.
    """
    onnxruntime = extras.require("onnxruntime", "--to=onnx")
    extras.require("tf2onnx", "--to=onnx")  # which Keras needs
    images, expected = outputs(saved)
    with atomic_path(path) as partial, quiet():
        model = from_run(saved)
        for layer in model._flatten_layers():
            if isinstance(layer, keras.layers.Normalization):
                # Of tensors the exporter would make inputs.
                layer.mean, layer.variance = np.array(layer.mean), np.array(layer.variance)
        model(images)  # Keras exports what has been called only
        model.export(partial, format="onnx", verbose=False)
        try:
            session = onnxruntime.InferenceSession(partial, providers=["CPUExecutionProvider"])
        except Exception as error:  # of operators that tf2onnx does not know, such as GELU's
            raise UserError(
                f"{path}: not written: onnxruntime cannot read it ({first_line(error)}); try "
                "--to=litert"
            ) from error
        found = session.run(list(expected), {"image": images})
        worst = difference(dict(zip(expected, found, strict=True)), expected, path)
    return {"max_difference": worst}
