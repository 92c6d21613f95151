"""Checkpoints in the `.pth.tar` layout of the original MoCo, and backbones of others; needs the extra
`torch`.

Top level: epoch, arch, state_dict, optimizer. The state holds `encoder_q.*`, `encoder_k.*`, `queue`
`[C, K]` and `queue_ptr` `[1]`, each behind `module.`; released files hold `encoder_q.*` only. Files of
other tools give a backbone, see `torch_layouts`.
"""

import argparse
import re
import zipfile

import numpy as np

from mocotf import extras
from mocotf.errors import UserError
from mocotf.errors import first_line
from mocotf.files import atomic_path
from mocotf.interop import torch_layouts
from mocotf.interop.torch_names import entries
from mocotf.interop.torch_names import misfits
from mocotf.interop.torch_names import parameters
from mocotf.interop.torch_names import read_state
from mocotf.interop.torch_names import write_state
from mocotf.moco.momentum import copy_weights
from mocotf.nn.resnet import ARCHITECTURES
from mocotf.nn.stem_channels import RGB
from mocotf.nn.stem_channels import adapt_stem

SAFETENSORS = ".safetensors"
NUMBERS = ("f8", "f4", "i8", "i4")  # of NumPy, that scripts put beside weights


def read_file(path):
    """Returns the content of a checkpoint file: `state_dict` with tensors as arrays and names without
    `module.`, `arch` and `epoch`; where it is no MoCo's, in place of the state its `backbone`.

    Raises:
        UserError: no such file, not a checkpoint, or of nothing that is known.
    """
    content = _safetensors(path) if path.endswith(SAFETENSORS) else _unpickled(path)
    if not isinstance(content, dict):
        raise UserError(
            f"{path}: holds a {type(content).__name__}, not a checkpoint's dictionary; expected "
            "what torch.save wrote of one; try to save the model's state_dict()"
        )
    state = {
        name: (value.detach().float() if value.is_floating_point() else value).numpy()
        for name, value in torch_layouts.state_of(content, path).items()
    }
    is_moco = any(name.startswith("encoder_q.") for name in state)
    query = {name.removeprefix("encoder_q."): value for name, value in state.items()}
    backbone = query if is_moco else torch_layouts.backbone_of(state, path)
    arch = content.get("arch")
    is_known = isinstance(arch, str) and arch in ARCHITECTURES
    found = {"arch": arch if is_known else torch_layouts.arch_of(backbone, path)}
    epoch = content.get("epoch")
    found["epoch"] = epoch if isinstance(epoch, int) else 0
    content = {name: value for name, value in content.items() if name != "backbone"}
    return content | found | ({"state_dict": state} if is_moco else {"backbone": backbone})


def describe(content):
    """Returns the flags of `mocotf.train` that the file decides: arch, head, queue, stem, width, and
    channels that are not RGB."""
    if "backbone" in content:
        return {"arch": content["arch"]} | _of_stem(content, content["backbone"]["conv1.weight"])
    state = content["state_dict"]
    head = [n for n in state if n.startswith("encoder_q.fc") and n.endswith("weight")]
    conv1 = state.get("encoder_q.conv1.weight")
    if not head or conv1 is None:
        raise UserError(
            "the checkpoint has no encoder_q.conv1.weight or no encoder_q.fc: it is no MoCo's; names "
            f"begin {', '.join(list(state)[:3])}; expected a checkpoint of the original MoCo's training"
        )
    found = {
        "arch": content["arch"],
        "mlp": len(head) == 2,
        "moco_dim": state[max(head)].shape[0],
    } | _of_stem(content, conv1)
    if "queue" in state:
        found["moco_k"] = state["queue"].shape[1]
    return found


def _of_stem(content, conv1):
    # mocotf's own files say what the shapes alone do not.
    stem = content.get("stem", "imagenet" if conv1.shape[-1] == 7 else "cifar")
    found = {"stem": stem, "width": content.get("width", conv1.shape[0] / 64)}
    channels = content.get("channels", conv1.shape[1] if conv1.shape[1] != RGB else None)
    return found | ({"channels": channels} if channels else {})


def load(model, content, source):
    """Fills a compiled `MoCo` from a checkpoint; of one without a training state, the first convolution
    as `adapt_stem` has it.

    Args:
        model: its optimizer is built.
        content: as `read_file` returns.
        source: what messages call it.

    Returns:
        True if the file held a whole training state; False if only the query encoder, or its backbone,
        which the key encoder then copies.

    Raises:
        UserError: missing, unexpected or misshapen names, all of them in the message.
    """
    if "backbone" in content:
        _load_backbone(model, content["backbone"], source)
        return False
    state = dict(content["state_dict"])
    query, key = (_take(state, f"encoder_{letter}.") for letter in "qk")
    whole = bool(key) or "queue" in state or "optimizer" in content
    if not whole:
        query = _adapted(model, query, source)
    problems = misfits(model.query_encoder, query, "encoder_q.")
    if whole:
        problems += misfits(model.key_encoder, key, "encoder_k.")
        problems += _queue_misfits(model.queue, state) + _velocity_misfits(model, content)
    problems += [f"unexpected {name}" for name in state if name not in ("queue", "queue_ptr")]
    if problems:
        raise _no_fit(source, problems)

    write_state(model.query_encoder, query)
    if not whole:
        copy_weights(model.query_encoder, model.key_encoder)
        return False
    write_state(model.key_encoder, key)
    model.queue.keys.assign(state["queue"].T)
    model.queue.pointer.assign(int(state["queue_ptr"].reshape(-1)[0]))
    velocities = _velocities(model)
    for i, buffer in _buffers(content["optimizer"]).items():
        velocities[i].write(buffer["momentum_buffer"].numpy())
    return True


def _no_fit(source, problems):
    return UserError(
        f"{source} does not fit the model: {'; '.join(problems)}; expected flags that make what is in "
        "the file"
    )


def _load_backbone(model, backbone, source):
    """Fills the query encoder's backbone; its head stays at random, and the key encoder copies both."""
    heads = {n: v for n, v in read_state(model.query_encoder).items() if n.startswith("fc")}
    backbone = _adapted(model, backbone, source)
    if problems := misfits(model.query_encoder, backbone | heads):
        raise _no_fit(source, problems)
    write_state(model.query_encoder, backbone | heads)
    copy_weights(model.query_encoder, model.key_encoder)


def _adapted(model, state, source):
    shapes = {name: entry.shape for name, entry in entries(model.query_encoder).items()}
    return adapt_stem(state, shapes, source, axis=1)


def dump(model, arch, epoch, **more):
    """Returns the content of a checkpoint of the original's layout, with the step beside the epoch.

    Args:
        model: a compiled `MoCo`.
        arch: torchvision's name of the backbone.
        epoch: epochs done.
        more: entries of the top level that the original does not have.
    """
    torch = extras.require("torch", "--to=torch")
    state = {
        "module.queue": torch.from_numpy(np.ascontiguousarray(model.queue.keys.numpy().T)),
        "module.queue_ptr": torch.tensor([int(model.queue.pointer.numpy())]),
    }
    forwards = torch.tensor(model.step * (1 + model.symmetric))
    for letter, encoder in (("q", model.query_encoder), ("k", model.key_encoder)):
        for name, value in read_state(encoder).items():
            state[f"module.encoder_{letter}.{name}"] = torch.from_numpy(value.copy())
            if name.endswith("running_var"):
                tracked = name.replace("running_var", "num_batches_tracked")
                state[f"module.encoder_{letter}.{tracked}"] = forwards
    sgd = model.optimizer
    velocities = _velocities(model)
    group = {
        "lr": float(sgd.learning_rate),
        "momentum": sgd.momentum,
        "dampening": 0,
        "weight_decay": sgd.decay,
        "nesterov": False,
        # The original lists the key encoder's parameters too, which get no gradient.
        "params": list(range(2 * len(velocities))),
    }
    buffers = {
        i: {"momentum_buffer": torch.from_numpy(velocity.read().copy())}
        for i, velocity in enumerate(velocities)
    }
    optimizer = {"state": buffers, "param_groups": [group]}
    content = {"epoch": epoch, "arch": arch, "state_dict": state, "optimizer": optimizer}
    return content | {"step": model.step} | more


def write_file(content, path):
    """Writes a checkpoint file, so that no reader ever sees a part of it."""
    with atomic_path(path) as partial, open(partial, "wb") as file:
        extras.require("torch", path).save(content, file)


def _take(state, prefix):
    names = [name for name in state if name.startswith(prefix)]
    return {name.removeprefix(prefix): state.pop(name) for name in names}


def _queue_misfits(queue, state):
    problems = [f"missing {name}" for name in ("queue", "queue_ptr") if name not in state]
    expected = tuple(queue.keys.shape[::-1])
    if "queue" in state and state["queue"].shape != expected:
        problems.append(f"queue has shape {list(state['queue'].shape)}, expected {list(expected)}")
    return problems


def _velocity_misfits(model, content):
    if "optimizer" not in content:
        return ["missing optimizer"]
    velocities = _velocities(model)
    buffers = _buffers(content["optimizer"])
    expected = set(range(len(velocities))) if buffers else set()  # none before the first step
    if set(buffers) != expected:
        return [
            f"optimizer has the momentum of {len(buffers)} parameters, expected {len(velocities)}, "
            "those of encoder_q in order"
        ]
    found = {i: buffers[i].get("momentum_buffer") for i in buffers}
    if any(buffer is None for buffer in found.values()):
        return ["optimizer is not SGD with momentum"]
    shapes = {i: tuple(buffer.shape) for i, buffer in found.items()}
    return [
        f"momentum_buffer {i} has shape {list(shape)}, expected {list(velocities[i].shape)}"
        for i, shape in shapes.items()
        if shape != velocities[i].shape
    ]


def _buffers(optimizer):
    """Returns number of a parameter → its buffers; PyTorch before 1.0 had them by an address."""
    state = optimizer.get("state", {})
    order = [one for group in optimizer.get("param_groups", []) for one in group.get("params", [])]
    places = {address: number for number, address in enumerate(order)}
    return {places.get(key, key): buffers for key, buffers in state.items()}


def _velocities(model):
    """Returns the entries of SGD's velocities in the order of PyTorch's `parameters`."""
    sgd = model.optimizer
    return [
        entry._replace(variable=sgd.slots_of(entry.variable)[0])
        for entry in parameters(model.query_encoder).values()
    ]


def numpy_globals():
    """Returns what a pickled NumPy number names."""
    scalar = np._core.multiarray.scalar
    return [
        scalar,
        (scalar, "numpy.core.multiarray.scalar"),
        np.dtype,
        *(type(np.dtype(kind)) for kind in NUMBERS),
    ]


def _unpickled(path):
    """Returns what `torch.save` wrote into a file."""
    torch = extras.require("torch", path)
    try:
        _check_sums(path)
        # What scripts put beside the weights, and what holds nothing that could run.
        known = [argparse.Namespace, *numpy_globals()]
        with torch.serialization.safe_globals(known):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what is no checkpoint fails in many ways
        if "Unsupported operand" in str(error):  # of Python's pickles
            raise UserError(
                f"{path}: is no file that torch.save wrote; expected a checkpoint"
            ) from error
        if "Weights only" in str(error):  # what PyTorch advises is not safe
            unknown = re.search(r"GLOBAL (\S+)", str(error))
            what = unknown[1] if unknown else "more than tensors, numbers and texts"
            raise UserError(
                f"{path}: holds {what}, and to read that would be to run code out of the file; "
                "expected tensors, numbers and texts; where you trust it, save its state_dict anew"
            ) from error
        raise UserError(
            f"{path}: cannot be read as a PyTorch checkpoint: {first_line(error)}; expected a "
            "whole file that torch.save wrote"
        ) from error
    return content


def _check_sums(path):
    """Checks what is in a file against its checksums, which PyTorch does not look at.

    Raises:
        ValueError: they do not fit.
    """
    if zipfile.is_zipfile(path):  # before 1.6 PyTorch wrote other files, without any
        with zipfile.ZipFile(path) as file:
            if damaged := file.testzip():
                raise ValueError(f"{damaged} in it is damaged, by its checksum")


def _safetensors(path):
    """Returns the tensors of a .safetensors file, name → tensor."""
    safetensors = extras.require("safetensors.torch", path)
    try:
        return safetensors.load_file(path)
    except Exception as error:  # its own, and the operating system's
        raise UserError(
            f"{path}: cannot be read as safetensors: {first_line(error)}; expected a whole file"
        ) from error
