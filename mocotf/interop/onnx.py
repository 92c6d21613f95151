"""ONNX, through Keras's exporter; needs the extra `onnx`."""

from mocotf.errors import UserError
from mocotf.files import atomic_path
from mocotf.interop.keras_file import from_run
from mocotf.interop.output import difference
from mocotf.interop.output import outputs
from mocotf.interop.output import quiet


def write(saved, path):
    """Writes an ONNX file of a run's encoder, and compares what onnxruntime makes of it.

    Its input is `image`, float32 `[n, S, S, 3]`, RGB in 0…255; its outputs are `features` and
    `embedding`.
    """
    try:
        import onnxruntime
        import tf2onnx  # noqa: F401  (which Keras needs)
    except ImportError as error:
        raise UserError(
            f"--to=onnx: {error.name} is not installed; try: pip install onnx==1.23.2 "
            "onnxruntime==1.31.1 tf2onnx==1.17.0"
        ) from error
    images, expected = outputs(saved)
    with atomic_path(path) as partial, quiet():
        model = from_run(saved)
        model(images)  # Keras exports what has been called only
        model.export(partial, format="onnx", verbose=False)
        session = onnxruntime.InferenceSession(partial, providers=["CPUExecutionProvider"])
        found = session.run(list(expected), {"image": images})
        worst = difference(dict(zip(expected, found, strict=True)), expected, path)
    return {"max_difference": worst}
