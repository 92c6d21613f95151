"""What a transfer begins with: a random start, a pre-trained or converted run, a supervised one."""

import dataclasses
import os

from mocotf.errors import UserError
from mocotf.moco.saved_run import SavedRun
from mocotf.moco.saved_run import open_run
from mocotf.nn.backbone import backbone_args
from mocotf.transfer.backbone import pyramid
from mocotf.transfer.settings import RANDOM


@dataclasses.dataclass(frozen=True)
class Start:
    """A backbone to begin with; `open_start` makes it.

    Attributes:
        name: as tables show it.
        run: the `SavedRun` that says the architecture, and mean and std of images.
        trained: with its weights; else at random.
    """

    name: str
    run: SavedRun
    trained: bool = True

    @property
    def view(self):
        """The `Augmentation` that has mean and std of images."""
        return self.run.view

    @property
    def checkpoint(self):
        """Path of the checkpoint that has the weights."""
        return self.run.checkpoint

    def pyramid(self, *, seed=0, dilated=False, precision=None):
        """Returns its `Pyramid`.

        Args:
            seed: of a random start's weights.
            dilated, precision: see `mocotf.transfer.backbone`.

        Raises:
            UserError: the checkpoint cannot be read, or is of another architecture; or the backbone
                offers no stages.
        """
        run = self.run
        if not self.trained:
            run = dataclasses.replace(run, flags=run.flags | {"seed": str(seed)}, base=None)
        backbone = run.encoder(trained=self.trained, precision=precision).backbone
        return pyramid(backbone, dilated=dilated)


def open_start(path, *, trained=True):
    """Returns the `Start` at a path.

    Args:
        path: of a run of `mocotf.train` or `mocotf.convert`, or a checkpoint in one; or of a run of
            `mocotf.finetune` or `mocotf.linear`.
        trained: else it is the random start of that architecture.

    Raises:
        UserError: there is no such run, or it is not of RGB.
    """
    run = open_run(path)
    if run.view.channels:
        raise UserError(
            f"{path}: is of --channels={run.view.channels}; detection and segmentation take RGB only"
        )
    if not trained:
        return Start(RANDOM, run, trained=False)
    return Start(path.rstrip(os.sep), run)


def check_alike(starts):
    """Checks the starts of a comparison against each other.

    Raises:
        UserError: their backbones are of different architectures.
    """
    first, *others = starts
    expected = _architecture(first)
    for other in others:
        found = _architecture(other)
        for name, value in found.items():
            if value != expected.get(name):
                raise UserError(
                    f"{other.name}: --{name}={value}, the first start has "
                    f"{expected.get(name, 'none')}; expected backbones of one architecture, or a "
                    "comparison says nothing of the start"
                )


def _architecture(start):
    """Returns name → value of the settings of a `Start` that decide its backbone."""
    settings = start.run.config.encoder
    if settings.backbone:
        return {"backbone": settings.backbone, "backbone_args": backbone_args(settings)}
    return {name: getattr(settings, name) for name in ("arch", "width", "stem")}
