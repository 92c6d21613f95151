r"""Converts between mocotf runs and checkpoints of the original PyTorch MoCo.

    python -m mocotf.convert --from=torch --to=mocotf --flagfile=flags/v2.cfg FILE.pth.tar runs/fair
    python -m mocotf.convert --from=mocotf --to=torch runs/v2 FILE.pth.tar

A full training file becomes a run that `mocotf.train` resumes with the same flags; a released file,
which holds only the query encoder, becomes a run at step 0 that starts from it. What the file decides
(arch, head, K, stem, width) is taken from it, the other flags from the command line.
"""

from mocotf.cli import command  # first: it keeps TensorFlow's start-up notices off the terminal

# isort: split
import json
import os
import shutil

import keras
from absl import flags

from mocotf.cli import train_flags
from mocotf.errors import UserError
from mocotf.interop import torch as interop
from mocotf.moco.config import Config
from mocotf.nn.resnet import ARCHITECTURES
from mocotf.optim.schedules import Milestones
from mocotf.training.checkpoints import Checkpoints
from mocotf.training.run_dir import RunDir
from mocotf.training.run_dir import read_flags

FLAGS = flags.FLAGS
FORMATS = ("mocotf", "torch")
EPOCH = 5004  # steps an epoch of ImageNet has at the original's batch of 256

flags.DEFINE_enum("from", "torch", FORMATS, "Format of the input.")
flags.DEFINE_enum("to", "mocotf", FORMATS, "Format of the output.")
flags.DEFINE_integer(
    "steps_per_epoch", EPOCH, "Steps an epoch has, for files that give epochs only.", lower_bound=1
)


def main(source, target):
    conversion = (FLAGS["from"].value, FLAGS["to"].value)
    if conversion == ("torch", "mocotf"):
        results = from_torch(source, target)
    elif conversion == ("mocotf", "torch"):
        results = to_torch(source, target)
    else:
        raise UserError(f"--from={conversion[0]} --to={conversion[1]}: expected two different formats")
    print(f"{source} -> {target}: {results}")
    command.print_json(results)


def from_torch(source, target):
    """Writes a run directory from a PyTorch checkpoint."""
    if os.path.exists(target):
        raise UserError(f"{target}: exists; expected the name of a new folder")
    train_flags.check()
    content = interop.read_file(source)
    decided = interop.describe(content)
    if decided["arch"] not in ARCHITECTURES:
        raise UserError(f"{source}: arch {decided['arch']}; expected one of {', '.join(ARCHITECTURES)}")
    for name, value in decided.items():
        FLAGS[name].value = value
    keras.config.set_dtype_policy(FLAGS.precision)  # on which depends what the optimizer holds
    model = Config.from_flags(FLAGS.flag_values_dict()).build_model(Milestones(FLAGS.lr, []))
    whole = interop.load(model, content, source)
    if whole:
        step = content.get("step", content["epoch"] * FLAGS.steps_per_epoch)
        model.optimizer.iterations.assign(step)
    # Written beside its place and renamed: half a run would be trained on from random weights.
    partial = f"{target}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    run_dir = RunDir(partial, train_flags.resolved())
    checkpoints = Checkpoints(run_dir.file("checkpoints"), model)
    checkpoints.save()
    if not checkpoints.wait():
        raise UserError(f"{target}: the checkpoint could not be written, see above; make room")
    os.rename(partial, target)
    return {"step": model.step, "training_state": whole}


def to_torch(source, target):
    """Writes a PyTorch checkpoint of a run's newest state."""
    flags_file = os.path.join(source, "flags.cfg")
    if not os.path.exists(flags_file):
        raise UserError(f"{source}: no flags.cfg; expected the --model_dir of a run")
    saved = read_flags(flags_file)
    config = Config.from_flags(saved)
    keras.config.set_dtype_policy(saved["precision"])
    model = config.build_model(Milestones(float(saved["lr"]), []))
    step = Checkpoints(os.path.join(source, "checkpoints"), model).restore()
    if step is None:
        raise UserError(f"{source}: no checkpoint yet; expected a run that has saved one")
    content = interop.dump(
        model,
        config.arch,
        step // _steps_per_epoch(source, saved),
        stem=config.stem,
        width=config.width,
    )
    interop.write_file(content, target)
    return {"step": step, "training_state": True}


def _steps_per_epoch(run, saved):
    """Returns what the run's data and batch give; the flag's where no training has noted its data."""
    path = os.path.join(run, "facts.json")
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            images = json.load(file).get("images")
        if images:
            return images // int(saved["batch_size"])
    return FLAGS.steps_per_epoch


if __name__ == "__main__":
    flags.adopt_module_key_flags(train_flags)
    command.run(main, positional=("INPUT", "OUTPUT"))
