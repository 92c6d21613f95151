"""What a new run begins with: another run's query encoder, or weights that others have trained."""

import os

from mocotf.nn.pretrained import pretrained
from mocotf.nn.pretrained import take_weights
from mocotf.training.flags_file import FLAGS_FILE
from mocotf.training.weights import load_encoder


def start_from(model, config, start):
    """Gives a model what it is to begin with, its keys too.

    Args:
        model: a compiled `Mechanism`.
        config: its `Config`.
        start: path of a run, or of a checkpoint in one, ckpt-STEP; or see `pretrained`.

    Raises:
        UserError: there is none, or it is of another architecture.
    """
    with model.distribute_strategy.scope():
        if _is_of_a_run(start):
            load_encoder(model.query_encoder, start)
        else:
            others = pretrained(config.encoder, start, config.view.size, config.view.channels)
            take_weights(model.query_encoder.backbone, others, start)
        model.start_keys()


def _is_of_a_run(path):
    in_it = (os.path.join(path, name) for name in (FLAGS_FILE, "checkpoints"))
    return any(map(os.path.exists, (*in_it, f"{path}.index")))
