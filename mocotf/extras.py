"""Packages that only some commands need, each of an extra of pyproject.toml."""

import importlib
import importlib.metadata
import importlib.util

from mocotf.errors import UserError
from mocotf.errors import first_line

MODULES = {  # extra → what is imported of its packages
    "dicom": ("pydicom",),
    "evaluation": ("scipy", "sklearn", "threadpoolctl"),
    "heic": ("pillow_heif",),
    "hf": ("datasets",),
    "mlflow": ("mlflow",),
    "onnx": ("onnx", "onnxruntime", "tf2onnx"),
    "parquet": ("pyarrow",),
    "photographs": ("skimage",),
    "remote": ("fsspec",),
    "serving": ("tensorflow_serving",),
    "tfds": ("array_record", "importlib_resources", "tensorflow_datasets"),
    "tiff": ("imagecodecs",),
    "torch": ("safetensors", "torch"),
    "transfer": ("keras_hub", "pycocotools"),
    "wandb": ("wandb",),
}


def require(module, wanted_by):
    """Returns a module of an extra, imported.

    Args:
        module: its name, as "pyarrow.parquet".
        wanted_by: what cannot be done without it, which the message begins with, as "--to=onnx".

    Raises:
        UserError: it is not installed, or fails to be imported.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError)
        why = "is not installed" if missing else f"cannot be imported ({first_line(error)})"
        raise UserError(
            f"{wanted_by}: {module.partition('.')[0]} {why}; try: {command(module)}"
        ) from error


def is_installed(module):
    """Returns whether a package is there; a mere folder of its name is none."""
    spec = importlib.util.find_spec(module)
    return spec is not None and spec.origin is not None


def command(module):
    """Returns what installs the extra of a module: of the mocotf installed, or else of the checkout."""
    (extra,) = (name for name, modules in MODULES.items() if module.partition(".")[0] in modules)
    try:
        importlib.metadata.version("mocotf")
        place = "mocotf"
    except importlib.metadata.PackageNotFoundError:
        place = "."
    return f"pip install '{place}[{extra}]'"
