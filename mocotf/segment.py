r"""Trains a segmenter, the papers' FCN-16s, whose backbone is a pre-trained encoder's.

    python -m mocotf.segment --flagfile=flags/voc_segmentation.cfg --data_dir=VOCdevkit/VOC2012 \
        --pretrained=runs/v2 --model_dir=runs/v2_voc
    python -m mocotf.segment --flagfile=flags/demo_segmentation.cfg --pretrained=runs/demo \
        --compare=random --seeds=0,1,2 --model_dir=runs/demo_segmentation

Every layer is trained, batch norm by the statistics of all replicas together. Data sets: voc, a
VOCdevkit's folder; folder, images and masks of your own; some of tensorflow-datasets; cutouts, which is
embedded. See docs/guides/transfer.md.
"""

from mocotf.cli import command  # first: it keeps TensorFlow's start-up notices off the terminal

# isort: split
from mocotf.cli import arguments
from mocotf.cli import fit_flags
from mocotf.cli import settings_flags
from mocotf.cli import transfer_flags
from mocotf.errors import UserError
from mocotf.transfer import mask_files
from mocotf.transfer.mask_views import Crop
from mocotf.transfer.masked import MaskedCutouts
from mocotf.transfer.segmentation import Segmentation
from mocotf.transfer.settings import SegmentationSettings
from mocotf.transfer.tfds_masked import FORMS
from mocotf.transfer.tfds_masked import TFDSMasked

settings_flags.define(SegmentationSettings)
settings_flags.adopt(transfer_flags)

DATASETS = (
    "voc (a VOCdevkit's folder), folder (images and masks), cutouts (embedded), or of "
    f"tensorflow-datasets: {', '.join(FORMS)}."
)
DATA_DIR = (
    "As VOCdevkit/VOC2012; a folder with images/ and masks/, or with these in train/ and in val/; or "
    "where tensorflow-datasets keeps its data."
)


def main():
    settings = transfer_flags.read(SegmentationSettings, "runs/transfer")
    command.print_json(transfer_flags.run(settings, lambda: make_job(settings)))


def make_job(settings):
    """Returns the `Segmentation` that `Flags` describe."""
    own, masked = settings.own, make_masked(settings)
    masked.max_pixels = settings.data.max_pixels
    return Segmentation(
        masked,
        Crop(own.crop_size, own.scales),
        most_bad=settings.data.max_bad_images,
        precision=settings.training.devices.precision,
        network={"channels": own.head_channels, "dilation": own.head_dilation},
    )


def make_masked(settings):
    """Returns the `Masked` that --dataset names."""
    data, own = settings.data, settings.own
    chosen = settings.transfer.train_images, settings.transfer.test_images
    check_data(data, settings.transfer, own)
    if data.dataset == "cutouts":
        return MaskedCutouts(chosen[0] or 64, chosen[1] or 128)
    if data.dataset == "folder":
        return mask_files.read_folder(data.data_dir, *chosen, data.max_bad_images)
    if data.dataset == "voc":
        return mask_files.read_voc(
            data.data_dir,
            *chosen,
            data.max_bad_images,
            train_list=own.train_list,
            test_list=own.test_list,
            masks=own.masks,
        )
    return TFDSMasked(data.dataset, data.data_dir)


def check_data(data, transfer, own):
    """Checks what names the data against each other.

    Raises:
        UserError: the settings contradict each other.
    """
    name = data.dataset
    if name not in ("cutouts", "folder", "voc", *FORMS):
        raise UserError(
            f"--dataset={name}: expected voc, folder, cutouts, or of tensorflow-datasets one of "
            f"{', '.join(FORMS)}"
        )
    if name in ("folder", "voc") and not data.data_dir:
        expected = "VOCdevkit/VOC2012" if name == "voc" else "a folder with images/ and masks/"
        raise UserError(f"--dataset={name}: --data_dir is missing; expected {expected}")
    if name == "cutouts" and data.data_dir:
        raise UserError(
            f"--data_dir={data.data_dir} with --dataset=cutouts, which is embedded: drop it, or "
            "try --dataset=folder"
        )
    if name in FORMS:
        transfer_flags.check_taken_whole(name, transfer)
    for flag in ("train_list", "test_list", "masks") if name != "voc" else ():
        if own.changed(flag, arguments.given()):
            raise UserError(f"--{flag} does nothing without --dataset=voc: drop it")


if __name__ == "__main__":
    published = {"dataset": "voc", "batch_size": 16, "lr": 0.003, "steps": 30000, "drop_at": (0.7, 0.9)}
    fit_flags.run_command(main, published, {"dataset": DATASETS, "data_dir": DATA_DIR})
