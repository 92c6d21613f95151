"""Where images come from, and how views are made of them: what a user may choose."""

import dataclasses

from mocotf.data.sources.groups import group_namer
from mocotf.data.views import augmentations
from mocotf.data.views.formats import MAX_PIXELS
from mocotf.data.views.formats import OLD_MAX_PIXELS
from mocotf.data.views.host import OPS
from mocotf.errors import UserError
from mocotf.settings import Settings
from mocotf.settings import setting

WHERE = {
    "folder": "a folder of images",
    "hf": "a .parquet file, a folder of such, or a folder that Hugging Face's datasets saved",
    "tfrecord": "a folder or a pattern of shards",
}
MOST_CHANNELS = 16
ONLY_OF = {"num_images": "tfrecord", "image_column": "hf", "label_column": "hf"}


@dataclasses.dataclass(frozen=True)
class DataSettings(Settings):
    """Where images come from, of all commands that read some."""

    GROUP = "Data"

    dataset: str = setting(
        "patches",
        "patches (embedded), folder, hf (Parquet files, or what Hugging Face's datasets saved), "
        "tfrecord, tfds (a prepared one), or a name in tensorflow-datasets.",
    )
    data_dir: str | None = setting(
        None,
        "Folder of images, zip or tar archive, folder or pattern of archives, address, or several "
        "of these with commas between; folder or pattern of Parquet files or TFRecord shards; or "
        "where tensorflow-datasets keeps its data; with --dataset=tfds the folder of one "
        "prepared data set.",
        neutral=True,
    )
    files: str | None = setting(
        None,
        "With --dataset=folder: a list of pictures, .txt with a path a line, or .csv or .tsv with "
        "columns path, label and group; paths are relative to --data_dir, or to the list's "
        "folder.",
        neutral=True,
    )
    num_images: int | None = setting(
        None, "With --dataset=tfrecord: how many records there are, to save counting them.", low=1
    )
    image_column: str | None = setting(
        None, "With --dataset=hf: column of the images, if there are several."
    )
    label_column: str | None = setting(
        None, "With --dataset=hf: column of the labels, if it is not called label, class or the like."
    )
    max_bad_images: float = setting(
        0.1,
        "Share of images that may fail to decode and be left out; more stop the run.",
        low=0,
        high=1,
        neutral=True,
    )
    host_ops: str = setting(
        "numba",
        "What makes views of image files on the host: numba, the faster one, or tensorflow, whose "
        "operators a data service can run.",
        choices=OPS,
        before="tensorflow",
    )
    upright: bool = setting(
        False,
        "Turn images as their EXIF says; otherwise they are used as stored, those of phones often "
        "on their sides.",
    )
    max_pixels: int = setting(
        MAX_PIXELS,
        "Pixels that an image may have; larger ones count as undecodable. Fewer in formats that "
        "take more than 4 bytes a pixel to decode, see docs/reference/formats.md.",
        low=1,
        neutral=True,
        before=OLD_MAX_PIXELS,
    )

    def check(self, given=None):
        if self.files and self.dataset != "folder":
            raise UserError(
                f"--files={self.files} does nothing with --dataset={self.dataset}: drop it, or give "
                "--dataset=folder"
            )
        if self.dataset in WHERE and not (self.data_dir or self.files):
            raise UserError(
                f"--dataset={self.dataset}: --data_dir is missing; expected {WHERE[self.dataset]}"
            )
        for name, dataset in ONLY_OF.items():
            value = getattr(self, name)
            if value and self.dataset != dataset:
                raise UserError(f"--{name}={value} does nothing with --dataset={self.dataset}: drop it")
        if self.dataset == "patches" and self.changed("upright", given):
            raise UserError("--upright does nothing with --dataset=patches, which has no EXIF: drop it")
        if self.dataset == "patches" and self.data_dir:
            raise UserError(
                f"--data_dir={self.data_dir} with --dataset=patches, which is embedded; for your own "
                "images: --dataset=folder"
            )


@dataclasses.dataclass(frozen=True)
class VerifySettings(Settings):
    """How a run that is resumed makes sure that its images are still the same."""

    GROUP = "Data"

    verify_data: str = setting(
        "names",
        "How a resumed run checks that its images are the same. names: names, and sizes of some; "
        "content: every byte, read at each start; data.sha256 in the run keeps a digest of each "
        "file.",
        choices=("names", "content"),
        neutral=True,
    )
    accept_changed_data: bool = setting(
        False,
        "Resume a run although its images have changed; facts.json notes what has.",
        place=True,
    )


@dataclasses.dataclass(frozen=True)
class ViewSettings(Settings):
    """How views are made of images in pre-training."""

    GROUP = "Views"

    image_size: int = setting(224, "Side of a view, pixels.", low=8)
    aug_plus: bool = setting(
        False, "MoCo v2's augmentation instead of v1's: jitter p .8, then gray, then blur."
    )
    crop_min: float = setting(0.2, "Smallest share of the image's area in a crop.", low=1e-4, high=1)
    query_crop_min: float | None = setting(
        None, "The same for queries, if keys are to be another kind of view.", low=1e-4, high=1
    )
    key_crop_min: float | None = setting(
        None,
        "The same for keys; 1: the whole image, or its middle if it is longer than 4 : 3.",
        low=1e-4,
        high=1,
    )
    jitter: tuple[float, ...] | None = setting(
        None,
        "Strengths of brightness, contrast, saturation, hue. Default: .4,.4,.4,.4; v2 .4,.4,.4,.1.",
        count=4,
        low=0,
    )
    blur_prob: float | None = setting(
        None, "Share of views blurred, with --aug_plus. Default: .5.", low=0, high=1
    )
    channels: int | None = setting(
        None,
        "Number of channels of images that are not RGB, up to 16, read as stored, in the files' "
        "units, with all bits, from TIFF, PNG and .npy. Needs --mean and --std, which "
        "mocotf.check_data measures. Default: 8-bit RGB, whatever a file has.",
        low=1,
        high=MOST_CHANNELS,
    )
    jitter_each: bool = setting(
        False,
        "With --channels: a factor of brightness and of contrast for each channel, not one for all.",
    )
    mean: tuple[float, ...] = setting(
        augmentations.IMAGENET_MEAN, "Mean of R, G, B in [0, 1]; with --channels of each, in its units."
    )
    std: tuple[float, ...] = setting(
        augmentations.IMAGENET_STD, "Standard deviation of R, G, B, or of each channel.", low=1e-6
    )
    show_channels: tuple[int, ...] | None = setting(
        None,
        "With --channels: those that pictures show as red, green and blue, counted from 1, as "
        "4,3,2, or one in gray; black is mean - 2 std, white mean + 2 std. Default: 1,2,3, or 1 "
        "if there are fewer.",
        low=1,
        high=MOST_CHANNELS,
        neutral=True,
    )
    augment_on: str = setting(
        "host",
        "Where views are made: host; or device: the host only decodes, crops and resizes, the "
        "accelerator does colours, blur and flip.",
        choices=("host", "device"),
    )
    data_service: str | None = setting(
        None,
        "Address of a tf.data service that makes the views: grpc://HOST:PORT.",
        neutral=True,
    )

    def check(self, given=None):
        if self.changed("blur_prob", given) and not self.aug_plus:
            raise UserError("--blur_prob does nothing without --aug_plus: add it, or drop --blur_prob")
        if self.jitter and self.jitter[3] > 0.5:
            raise UserError(
                f"--jitter={_text(self.jitter)}: expected a strength of hue, the last, up to .5"
            )
        if self.jitter and max(self.jitter) > 1:  # factors would be negative
            raise UserError(f"--jitter={_text(self.jitter)}: expected strengths up to 1")
        if self.data_service and not self.data_service.startswith("grpc://"):
            raise UserError(f"--data_service={self.data_service}: expected grpc://HOST:PORT")
        if self.channels:
            self._check_channels()
        for name in ("jitter_each", "show_channels"):
            if getattr(self, name) and not self.channels:
                raise UserError(f"--{name} does nothing without --channels: drop it")
        for name in ("mean", "std"):
            if len(getattr(self, name)) != (self.channels or 3):
                raise UserError(
                    f"--{name}={_text(getattr(self, name))}: has {len(getattr(self, name))} numbers; "
                    f"expected {self.channels or 3}, one for each channel"
                )

    def _check_channels(self):
        asked = f"--channels={self.channels}"
        missing = [f"--{name}" for name in ("mean", "std") if not self.changed(name)]
        if missing:
            raise UserError(
                f"{asked}: {' and '.join(missing)} missing; python -m mocotf.check_data {asked} "
                "--data_dir=… measures them"
            )
        if self.jitter and (self.jitter[2] or self.jitter[3]):
            raise UserError(
                f"--jitter={_text(self.jitter)} with {asked}: saturation and hue are of RGB only; "
                "expected 0 for them, the last two"
            )
        for name, value in (("augment_on", "device"), ("data_service", self.data_service)):
            if value and getattr(self, name) == value:
                raise UserError(f"--{name}={value} with {asked}: is for RGB only; drop it")
        shown = self.show_channels or (1,)
        if len(shown) not in (1, 3) or max(shown) > self.channels:
            raise UserError(
                f"--show_channels={','.join(map(str, shown))} with {asked}: expected one number or "
                f"three, from 1 to {self.channels}"
            )

    @property
    def augmentation(self):
        """The `Augmentation` that the settings describe."""
        make = augmentations.v2 if self.aug_plus else augmentations.v1
        changes = {"jitter": self.jitter, "blur_prob": self.blur_prob}
        if self.channels:  # what has no meaning there is left out
            jitter = (self.jitter or make().jitter)[:2]
            changes |= {"channels": self.channels, "jitter": (*jitter, 0.0, 0.0), "gray_prob": 0.0}
        return make(
            size=self.image_size,
            min_area=self.query_crop_min or self.crop_min,
            key_min_area=self.key_crop_min or (self.crop_min if self.query_crop_min else None),
            mean=self.mean,
            std=self.std,
            jitter_each=self.jitter_each,
            show_channels=self.show_channels,
            **{name: value for name, value in changes.items() if value is not None},
        )


@dataclasses.dataclass(frozen=True)
class PairSettings(Settings):
    """What a positive pair is in pre-training."""

    GROUP = "Views"

    positives: str = setting(
        "image",
        "What a query and its key are views of: image, the same one; group, two images of one "
        "group, such as frames of a video.",
        choices=("image", "group"),
    )
    group_by: str | None = setting(
        None,
        "How an image's group is named: folder, the one it lies in; or a regular expression, as "
        "'(.*)_\\d+\\.jpg', searched for in its path below --data_dir: its first group, or the "
        "whole match. Default: the column group of --files.",
    )
    max_gap: int | None = setting(
        None,
        "How many places apart, by name or as in --files, the two images of a pair may be. "
        "Default: any two of the group.",
        low=1,
    )

    def check(self, given=None):
        for name in ("group_by", "max_gap"):
            if self.positives != "group" and self.changed(name, given):
                raise UserError(
                    f"--{name}={getattr(self, name)} does nothing without --positives=group: add it, "
                    f"or drop --{name}"
                )
        if self.group_by:
            group_namer(self.group_by)


def _text(numbers):
    """Returns numbers as a user types them."""
    return ",".join(f"{number:g}" for number in numbers)
