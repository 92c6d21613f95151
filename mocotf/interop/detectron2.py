"""The backbone as detectron2's checkpointer reads it: a pickle of arrays under its own names.

The names are those of the original MoCo's `convert-pretrain-to-detectron2.py`.
"""

import io
import pickle
import re

import numpy as np

from mocotf.errors import UserError
from mocotf.errors import first_line
from mocotf.files import atomic_path
from mocotf.interop.output import check_stem
from mocotf.interop.torch_names import backbone_state

# All that the pickle may name: reading it runs nothing else.
KNOWN = {("numpy", "ndarray"): np.ndarray, ("builtins", "bytearray"): bytearray}


def write(saved, path):
    """Writes the pickle that `MODEL.WEIGHTS` of a detectron2 config names."""
    check_stem(saved.config.encoder, "detectron2")
    state = backbone_state(saved.encoder(precision="float32"))
    model = {name_of(name): value for name, value in state.items()}
    content = {"model": model, "__author__": "mocotf", "matching_heuristics": True}
    with atomic_path(path) as partial:
        with open(partial, "wb") as file:
            _Pickler(file, protocol=4).dump(content)
        found = read_file(partial)["model"]
        if any(not np.array_equal(found[name], value) for name, value in model.items()):
            raise UserError(f"{path}: not written: what was read back differs; is the disk full?")
    return {"arrays": len(model)}


def name_of(name):
    """Returns detectron2's name of a weight that torchvision calls `name`."""
    name, in_stage = re.subn(r"^layer(\d)", lambda stage: f"res{int(stage[1]) + 1}", name)
    name = re.sub(r"\bbn(\d)\.", r"conv\1.norm.", name if in_stage else f"stem.{name}")
    return name.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")


def read_file(path):
    """Returns the content of a file that `write` wrote; code in it is not run.

    Raises:
        UserError: it is no such file, or names anything but arrays.
    """
    with open(path, "rb") as file:
        try:
            return _Unpickler(io.BytesIO(file.read())).load()
        except Exception as error:  # what is no pickle fails in many ways
            raise UserError(
                f"{path}: cannot be read as a pickle of arrays: {first_line(error)}"
            ) from error


class _Pickler(pickle.Pickler):
    """Writes arrays so that NumPy 1 reads them too, which detectron2 is often used with: NumPy 2's own
    pickles name modules that the other does not have."""

    def reducer_override(self, value):
        if isinstance(value, np.ndarray):
            return np.ndarray, (value.shape, value.dtype.str, bytearray(value.tobytes()))
        return NotImplemented


class _Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        if (module, name) not in KNOWN:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is no array")
        return KNOWN[module, name]
