"""The backbone as torchvision's ResNets name their weights; needs the extra `torch`."""

import logging

from mocotf import extras
from mocotf.errors import UserError
from mocotf.files import atomic_path
from mocotf.interop.torch_names import backbone_state

log = logging.getLogger(__name__)


def write(saved, path):
    """Writes the state dictionary of a torchvision ResNet without its last layer, `fc`.

    model.load_state_dict(torch.load(path, weights_only=True), strict=False)
    """
    torch = extras.require("torch", "--to=torchvision")
    config = saved.config.encoder
    channels, as_there = len(saved.view.mean), (config.stem, config.width) == ("imagenet", 1)
    if not as_there or config.arch == "resnet10" or channels != 3:
        log.warning(
            "torchvision has no %s with --stem=%s and --width=%g for %d channels: its ResNet has to be "
            "changed in the same way before it takes these weights",
            config.arch,
            config.stem,
            config.width,
            channels,
        )
    state = {}
    for name, value in backbone_state(saved.encoder(precision="float32")).items():
        state[name] = torch.from_numpy(value.copy())
        if name.endswith("running_var"):
            tracked = name.replace("running_var", "num_batches_tracked")
            state[tracked] = torch.tensor(saved.step)
    with atomic_path(path) as partial:
        with open(partial, "wb") as file:
            torch.save(state, file)
        found = torch.load(partial, weights_only=True)
        if any(not torch.equal(found[name], value) for name, value in state.items()):
            raise UserError(f"{path}: not written: what was read back differs; is the disk full?")
    return {"tensors": len(state)}
