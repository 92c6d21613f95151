"""Momentum Contrast (MoCo v1 and v2) for TensorFlow and Keras.

Pre-train an encoder on unlabelled pictures, and use it; the same call again resumes a run:

    run = mocotf.pretrain("my_photos", "runs/mine", minutes=10)
    run.verdict                                   # whether anything was learned
    run.knn()["knn_top1"]                         # percent, where sub-folders are classes
    run.finetune(label_fraction=0.1)
    names, vectors = run.embed("new_photos")
    run.report("report.html")
    run.export("serving/mine")                    # for TF Serving

A run that is there, whoever trained it, and its encoder, a `keras.Model`:

    run = mocotf.PretrainedRun("runs/mine")
    encoder = mocotf.load_encoder("runs/mine")
    names, vectors = mocotf.embed_folder(encoder, "my_photos")

Your own Keras model, with `compile` and `fit`:

    model = mocotf.MoCo(backbone, dim=128, mlp=True, K=4096, T=0.2, bn_splits=8)
    model.compile(keras.optimizers.AdamW(1e-3))
    model.fit(mocotf.two_crops("my_photos", batch_size=256, image_size=96), epochs=10)

Beside MoCo there are EndToEnd, SimCLR and SimSiam; SGD is PyTorch's. What cannot be done raises
`UserError`, a ValueError of one line. `help(mocotf.MoCo)` and the like have the arguments, `mocotf
--help` the commands.
"""

import importlib
import sys
import types
import typing

__version__ = "0.1.0"

if typing.TYPE_CHECKING:
    from mocotf.api.python import PretrainedRun
    from mocotf.api.python import pretrain
    from mocotf.data.two_crops import two_crops
    from mocotf.errors import UserError
    from mocotf.image_search.embedding import embed_folder
    from mocotf.interop.keras_file import load_encoder
    from mocotf.moco.end_to_end import EndToEnd
    from mocotf.moco.model import MoCo
    from mocotf.moco.simclr import SimCLR
    from mocotf.moco.simsiam import SimSiam
    from mocotf.optim.sgd import SGD

__all__ = [
    "SGD",
    "EndToEnd",
    "MoCo",
    "PretrainedRun",
    "SimCLR",
    "SimSiam",
    "UserError",
    "embed_folder",
    "load_encoder",
    "pretrain",
    "two_crops",
]

# Imported when asked for: TensorFlow takes seconds.
_WHERE = {
    "EndToEnd": "mocotf.moco.end_to_end",
    "MoCo": "mocotf.moco.model",
    "PretrainedRun": "mocotf.api.python",
    "SGD": "mocotf.optim.sgd",
    "SimCLR": "mocotf.moco.simclr",
    "SimSiam": "mocotf.moco.simsiam",
    "UserError": "mocotf.errors",
    "embed_folder": "mocotf.image_search.embedding",
    "load_encoder": "mocotf.interop.keras_file",
    "pretrain": "mocotf.api.python",
    "two_crops": "mocotf.data.two_crops",
}


class _Lazy(types.ModuleType):
    """This module: its class, and not functions of it, has what help would show."""

    def __getattr__(self, name):
        if name not in _WHERE:
            raise AttributeError(f"module 'mocotf' has no attribute {name!r}")
        if "tensorflow" not in sys.modules:  # what it reads of its environment it reads once
            environment = importlib.import_module("mocotf.training.environment")
            environment.prepare()
            environment.list_devices()
        return getattr(importlib.import_module(_WHERE[name]), name)

    def __dir__(self):
        # Completion has names; help, which asks by inspect, would print all that Keras's models have.
        asked_by = sys._getframe(1).f_globals["__name__"]
        return [*super().__dir__(), *(_WHERE if asked_by != "inspect" else ())]


sys.modules[__name__].__class__ = _Lazy
