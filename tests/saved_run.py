"""A small run as `mocotf.train` leaves it, without training one."""

import keras
import numpy as np

from mocotf.moco.config import Config
from mocotf.optim.schedules import Milestones
from mocotf.training.checkpoints import Checkpoints
from tests.tiny import ARCH

FLAGS = {
    "arch": ARCH, "width": "0.125", "stem": "cifar", "mlp": "true", "moco_dim": "16",
    "moco_k": "8", "moco_m": "0.9", "moco_t": "0.2", "bn_splits": "2", "shuffle_bn": "gather",
    "symmetric": "false", "momentum": "0.9", "weight_decay": "0.0", "seed": "3", "lr": "0.1",
    "precision": "float32", "image_size": "16", "mean": "0.1,0.2,0.3", "std": "0.4,0.5,0.6",
    "dataset": "patches", "batch_size": "8",
}  # fmt: skip


def write_run(folder, step=2, **changes):
    """Writes a run directory with checkpoints of step 0 and of `step`; returns the model of `step`.

    Args:
        folder: a `pathlib.Path`.
        step: whose encoders are not those of step 0, batch norm's statistics neither.
        changes: flags that are not as in FLAGS: `arch="resnet10"` for what needs a ResNet.
    """
    flags = FLAGS | changes
    folder.mkdir(exist_ok=True, parents=True)
    (folder / "flags.cfg").write_text("".join(f"--{name}={text}\n" for name, text in flags.items()))
    keras.utils.set_random_seed(int(flags["seed"]))
    model = Config.of(flags).build_model(Milestones(0.1, []))
    checkpoints = Checkpoints(str(folder / "checkpoints"), model)
    checkpoints.save()
    rng = np.random.default_rng(0)
    encoders = [getattr(model, f"{name}_encoder", None) for name in ("query", "key")]  # SimSiam has one
    for variable in [variable for one in encoders if one for variable in one.variables]:
        scale, shift = rng.uniform(0.5, 1.5, variable.shape), rng.uniform(-0.1, 0.1, variable.shape)
        variable.assign(variable * scale + shift)
    model.optimizer.iterations.assign(step)
    checkpoints.save()
    assert checkpoints.wait()
    return model
