"""The encoder as a Keras model of Keras's own layers: made from a run, written to a `.keras` file, read
from either."""

import keras

from mocotf import terminal
from mocotf.errors import UserError
from mocotf.files import PathLike
from mocotf.files import atomic_path
from mocotf.files import path_of
from mocotf.interop.output import difference
from mocotf.interop.output import outputs
from mocotf.moco.saved_run import open_run
from mocotf.nn.model_copies import read_file
from mocotf.nn.plain import OUTPUTS
from mocotf.nn.plain import plain


def load_encoder(path: PathLike) -> keras.Model:
    """Returns the encoder of a run, or of a `.keras` file written from one.

    Args:
        path: a run directory, whose newest checkpoint is taken; a checkpoint in one, ckpt-STEP; or a
            file that `python -m mocotf.convert --to=keras` wrote.

    Returns:
        A `keras.Model` from images `[n, S, S, 3]`, RGB in 0…255, S as in training, or of a run with
        --channels `[n, S, S, N]`, float32 in the units of its files, to a dictionary of `features`
        `[n, C]`, what transfers to other tasks (2,048 of a ResNet-50), and `embedding` `[n, dim]`, the
        head's output of unit length, whose inner products pre-training compared; both float32. Its
        layers are Keras's own, so `save`, `export` and `fit` work as of any model.

    Raises:
        UserError: there is none, or it cannot be read.

    Examples:
        >>> encoder = mocotf.load_encoder("runs/mine")
        >>> out = encoder(np.zeros([1, 32, 32, 3]))
        >>> sorted(out)
        ['embedding', 'features']
        >>> classifier = keras.Model(encoder.input, keras.layers.Dense(10)(encoder.output["features"]))
    """
    path = path_of(path)
    return read(path) if path.endswith(".keras") else from_run(open_run(path))


def from_run(saved):
    """Returns what `load_encoder` does, of a `SavedRun`."""
    view = saved.view
    with terminal.phase("loading the encoder"):
        encoder = saved.encoder(precision="float32")
        return plain(encoder, size=view.size, mean=view.mean, std=view.std, channels=view.channels)


def read(path):
    """Returns the encoder of a `.keras` file; code in it, which Keras's format allows, is not run."""
    model = read_file(path, path, "mocotf.convert --to=keras")
    found = getattr(model, "output", None)
    if not isinstance(found, dict) or set(found) != set(OUTPUTS):
        raise UserError(
            f"{path}: holds another model; expected the outputs {' and '.join(OUTPUTS)}, as of a file "
            "that mocotf.convert --to=keras wrote"
        )
    return model


def write(saved, path):
    """Writes a `.keras` file, and compares what it computes with the run's encoder.

    Raises:
        UserError: it cannot be written, or not be read.
    """
    images, expected = outputs(saved)
    model = from_run(saved)
    with atomic_path(path) as partial:
        try:
            model.save(partial)
            back = read(partial)
        except (UserError, NotImplementedError) as error:
            kinds = {type(layer) for layer in model._flatten_layers()}
            own = [k.__name__ for k in kinds if not k.__module__.startswith(("keras.", "keras_hub."))]
            if not own:
                raise
            raise UserError(
                f"{path}: not written: Keras cannot read it back, which has {', '.join(sorted(own))}; "
                "expected classes with keras.saving.register_keras_serializable() that can be made of "
                "their get_config(); --to=onnx takes any"
            ) from error
        worst = difference(back(images), expected, path)
    return {"max_difference": worst}
