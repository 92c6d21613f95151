r"""Converts runs for other frameworks and runtimes, and checkpoints of the original MoCo to runs.

    python -m mocotf.convert --to=onnx runs/v2 encoder.onnx
    python -m mocotf.convert --to=torch runs/v2 FILE.pth.tar
    python -m mocotf.convert --from=torch --flagfile=flags/v2.cfg FILE.pth.tar runs/fair

INPUT is a run, for its newest checkpoint, or a checkpoint in one, ckpt-STEP. docs/guides/interop.md
describes the formats.

A full training file of the original MoCo becomes a run that `mocotf.train` resumes with the same
flags; a released file, which holds only the query encoder, becomes a run at step 0 that starts from it.
What the file decides (arch, head, K, stem, width, channels) is taken from it, the other flags from the
command line.
"""

from mocotf.cli import command  # first: it keeps TensorFlow's start-up notices off the terminal

# isort: split
import os
import shutil
from collections.abc import Callable
from typing import NamedTuple

import keras
from absl import flags

from mocotf import terminal
from mocotf.cli import train_flags
from mocotf.errors import UserError
from mocotf.interop import detectron2
from mocotf.interop import keras_file
from mocotf.interop import keras_hub
from mocotf.interop import litert
from mocotf.interop import model_garden
from mocotf.interop import onnx
from mocotf.interop import torch
from mocotf.interop import torchvision
from mocotf.json_files import read_json
from mocotf.moco.saved_run import open_run
from mocotf.nn.backbone import check_resnet
from mocotf.optim.schedules import Milestones
from mocotf.training.checkpoints import Checkpoints
from mocotf.training.flags_file import is_run
from mocotf.training.run_dir import RunDir
from mocotf.training.weights import load_state

FLAGS = flags.FLAGS
EPOCH = 5004  # steps an epoch of ImageNet has at the original's batch of 256


class Target(NamedTuple):
    """What --to names: write(saved run, path) → results; how the path has to end; what it is."""

    write: Callable
    ending: str
    what: str


def to_torch(saved, path):
    """Writes a PyTorch checkpoint of a run's whole state."""
    config, encoder = saved.config, saved.config.encoder
    if saved.base:
        raise UserError(
            f"{saved.path}: is a supervised run, which has neither queue nor key encoder; expected one "
            "of mocotf.train; --to=torchvision takes its backbone"
        )
    _check_method(config, saved.path)
    keras.config.set_dtype_policy(saved.flags["precision"])
    model = config.build_model(Milestones(float(saved.flags["lr"]), []))
    load_state(model, saved.checkpoint)
    epoch = saved.step // _steps_per_epoch(saved)
    more = {"stem": encoder.stem, "width": encoder.width, "channels": config.view.channels}
    content = torch.dump(model, encoder.arch, epoch, **more)
    torch.write_file(content, path)
    return {"training_state": True}


TARGETS = {
    "torch": Target(to_torch, "", "the original MoCo's checkpoint, both encoders and optimizer"),
    "torchvision": Target(torchvision.write, "", "state dictionary of its ResNet without fc"),
    "detectron2": Target(detectron2.write, ".pkl", "what MODEL.WEIGHTS names"),
    "keras_hub": Target(keras_hub.write, "", "a preset folder of its ResNetBackbone"),
    "model_garden": Target(model_garden.write, "", "checkpoint of its ResNet, for init_checkpoint"),
    "keras": Target(keras_file.write, ".keras", "the encoder, pixels to features, of Keras's layers"),
    "onnx": Target(onnx.write, ".onnx", "the same for onnxruntime"),
    "litert": Target(litert.write, ".tflite", "the same for phones"),
}
ANY = ("keras", "onnx", "litert")  # of a backbone of any kind; the others name a ResNet's weights

flags.DEFINE_enum(
    "from",
    None,
    ["mocotf", "torch"],
    "Format of the input. Default: torch with --to=mocotf, else mocotf.",
)
flags.DEFINE_enum(
    "to",
    "mocotf",
    ["mocotf", *TARGETS],
    "Format of the output. mocotf: a run; "
    + "; ".join(f"{name}: {target.what}" for name, target in TARGETS.items())
    + ".",
)
flags.DEFINE_integer(
    "steps_per_epoch", EPOCH, "Steps an epoch has, for files that only give epochs.", lower_bound=1
)


def main(source, path):
    path = path.rstrip(os.sep)
    target = TARGETS.get(FLAGS.to)
    expected = "mocotf" if target else "torch"
    given = FLAGS["from"].value or expected
    if given != expected:
        raise UserError(
            f"--from={given} --to={FLAGS.to}: expected --from={expected}; all else is made of runs"
        )
    if os.path.exists(path):
        order = "" if os.path.exists(source) else f", and {source} is not there: INPUT comes first"
        raise UserError(f"{path}: exists{order}; expected the name of a new file or folder")
    if not target and is_run(source):
        near = next((n for n, t in TARGETS.items() if t.ending and path.endswith(t.ending)), "torch")
        raise UserError(
            f"{source}: is a run; expected --to=FORMAT, one of {', '.join(TARGETS)}; try --to={near}"
        )
    if target:
        if not path.endswith(target.ending):
            raise UserError(f"{path}: --to={FLAGS.to} expects a name that ends in {target.ending}")
        saved = open_run(source)
        if FLAGS.to not in ANY:
            check_resnet(saved.config.encoder, f"--to={FLAGS.to}", "--to=keras takes any")
        with terminal.phase(f"converting to {FLAGS.to}"):
            results = {"step": saved.step} | target.write(saved, path)
    else:
        with terminal.phase("converting from PyTorch"):
            results = from_torch(source, path)
    print(f"{source} -> {path}: {', '.join(told(results))}")
    command.print_json(results)


def told(results):
    """Yields what people are told of a conversion, phrases."""
    for name, value in results.items():
        if name == "training_state":
            yield "with the state of training" if value else "without the state of training"
        elif isinstance(value, float):
            yield f"{name.replace('_', ' ')} {value:.1g}"
        else:
            yield f"{name.replace('_', ' ')} {value}"


def from_torch(source, target):
    """Writes a run directory from a PyTorch checkpoint."""
    settings = train_flags.read()
    _check_method(settings.config, target)
    content = torch.read_file(source)
    decided = torch.describe(content)
    if settings.config.view.channels:  # for which the file's first convolution may be adapted
        decided.pop("channels", None)
    settings = train_flags.read(decided)
    # On it depends what the optimizer holds.
    keras.config.set_dtype_policy(settings.training.devices.precision)
    model = settings.config.build_model(Milestones(settings.training.optimisation.lr, []))
    whole = torch.load(model, content, source)
    if whole:
        step = content.get("step", content["epoch"] * FLAGS.steps_per_epoch)
        model.optimizer.iterations.assign(step)
    # Written beside its place and renamed: half a run would be trained on from random weights.
    partial = f"{target}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    run_dir = RunDir(partial, settings.saved)
    checkpoints = Checkpoints(run_dir.file("checkpoints"), model)
    checkpoints.save()
    if not checkpoints.wait():
        raise UserError(f"{target}: the checkpoint could not be written, see above; make room")
    os.rename(partial, target)
    return {"step": model.step, "training_state": whole}


def _check_method(config, what):
    mechanism, optimizer = config.mechanism.NAME, config.optimisation.optimizer
    if mechanism != "moco":
        raise UserError(
            f"{what}: is of --mechanism={mechanism}, and the original MoCo's checkpoint has a queue; "
            "expected --mechanism=moco; --to=torchvision takes any"
        )
    if optimizer != "sgd":
        raise UserError(
            f"{what}: is of --optimizer={optimizer}, and the original MoCo's checkpoint has SGD's "
            "momentum; expected --optimizer=sgd; --to=torchvision takes any"
        )


def _steps_per_epoch(saved):
    """Returns what the run's data and batch give; the flag's where no training has noted its data."""
    facts = read_json(os.path.join(saved.path, "facts.json"), {"images": int | None})
    images = facts.get("images")
    return images // int(saved.flags["batch_size"]) if images else FLAGS.steps_per_epoch


if __name__ == "__main__":
    flags.adopt_module_key_flags(train_flags)
    command.run(main, positional=("INPUT", "OUTPUT"))
