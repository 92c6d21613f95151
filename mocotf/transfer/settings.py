"""What is transferred to detection and segmentation, and how: what a user may choose."""

import dataclasses

from mocotf.errors import UserError
from mocotf.settings import Settings
from mocotf.settings import setting

RANDOM = "random"


@dataclasses.dataclass(frozen=True)
class TransferSettings(Settings):
    """What detection and segmentation share."""

    GROUP = "Transfer"

    drop_at: tuple[float, ...] = setting(
        (),
        "Steps at which the rate falls to a tenth, instead of --schedule; numbers below 1 are "
        "shares of the run.",
        low=1e-9,
    )
    warmup_steps: int = setting(0, "Steps of linear warm-up.", low=0)
    evaluate_every: int = setting(
        0, "Steps between measurements on the test images; 0: at the end.", low=0, neutral=True
    )
    train_images: int | None = setting(
        None,
        "Number of labelled images to train on, always the same ones; of cutouts, composed. "
        "Default: all; of cutouts 64.",
        low=1,
    )
    test_images: int | None = setting(
        None, "Number of images to measure on, chosen likewise. Default: all; of cutouts 128.", low=1
    )


@dataclasses.dataclass(frozen=True)
class ComparisonSettings(Settings):
    """Runs side by side."""

    GROUP = "Comparison"

    compare: tuple[str, ...] = setting(
        (),
        "Train from several starts side by side: from --pretrained, from its architecture at "
        "random, and from the runs given here (of mocotf.train, mocotf.convert, mocotf.linear or "
        "mocotf.finetune); random for only the first two.",
        place=True,
    )
    seeds: tuple[int, ...] = setting(
        (0,),
        "With --compare: seeds; every start has a run with each.",
        low=0,
        high=2**32 - 1,
        least=1,
        place=True,
    )

    def check(self, given=None):
        if not self.compare and self.changed("seeds", given):
            raise UserError("--seeds does nothing without --compare: add it, or give --seed")
        if len(set(self.seeds)) < len(self.seeds):
            raise UserError(f"--seeds={','.join(map(str, self.seeds))}: expected each seed once")


@dataclasses.dataclass(frozen=True)
class DetectionSettings(Settings):
    """Where boxes come from, and the detector."""

    GROUP = "Detection"

    annotations: str | None = setting(
        None, "With --dataset=json: file in COCO's format, for images below --data_dir."
    )
    test_annotations: str | None = setting(None, "With --dataset=json: the file of the test images.")
    canvas: int = setting(
        1152,
        "Side in pixels of the square that an image is placed on; a multiple of 2^(the highest level).",
        low=32,
    )
    short_sides: tuple[float, ...] = setting(
        tuple(map(float, range(480, 801, 32))),
        "Lengths in pixels of an image's short side, one of which is drawn each time; the long "
        "side never exceeds --canvas.",
        low=1,
        least=1,
    )
    test_short_side: int = setting(800, "The same for test images.", low=1)
    min_level: int | None = setting(
        None, "Lowest level of the pyramid; n is of stride 2^n. Default: 3, or the stem's last."
    )
    max_level: int | None = setting(
        None, "Highest level. Default: 7, or with a small stem the backbone's last."
    )
    anchor_size: float = setting(
        4.0, "Side of the smallest anchors of a level, in strides of that level.", low=0.1
    )
    head_convs: int = setting(4, "Convolutions in the heads, before the last.", low=1)
    saved_model: str | None = setting(
        None,
        "New folder for the trained detector as a SavedModel, from bytes of images to boxes.",
        place=True,
    )

    def check(self, given=None):
        if max(*self.short_sides, self.test_short_side) > self.canvas:
            sides = ",".join(f"{side:g}" for side in self.short_sides)
            raise UserError(
                f"--short_sides={sides} --test_short_side={self.test_short_side}: expected numbers "
                f"from 1 to --canvas={self.canvas}"
            )


@dataclasses.dataclass(frozen=True)
class SegmentationSettings(Settings):
    """Where masks come from, and the segmenter."""

    GROUP = "Segmentation"

    train_list: str = setting(
        "train", "With --dataset=voc: file of ImageSets/Segmentation, without .txt."
    )
    test_list: str = setting("val", "With --dataset=voc: the same, of the test images.")
    masks: str = setting("SegmentationClass", "With --dataset=voc: folder of the masks.")
    crop_size: int = setting(
        513,
        "Side of the crops that are trained on, pixels; 1 more than a multiple of 16 fits best.",
        low=1,
    )
    scales: tuple[float, ...] = setting(
        (0.5, 2.0),
        "Smallest and largest factor by which a training image is resized before it is cropped.",
        count=2,
        low=1e-9,
    )
    head_channels: int = setting(256, "Channels of the head's two convolutions.", low=1)
    head_dilation: int = setting(
        6,
        "Dilation of the same convolutions; smaller for small images.",
        low=1,
    )

    def check(self, given=None):
        if self.scales[0] > self.scales[1]:
            scales = ",".join(f"{scale:g}" for scale in self.scales)
            raise UserError(f"--scales={scales}: expected two numbers, the smaller first")
