r"""Trains a segmenter, the papers' FCN-16s, whose backbone is a pre-trained encoder's.

    python -m mocotf.segment --flagfile=flags/voc_segmentation.cfg --data_dir=VOCdevkit/VOC2012 \
        --pretrained=runs/v2 --model_dir=runs/v2_voc
    python -m mocotf.segment --flagfile=flags/demo_segmentation.cfg --pretrained=runs/demo \
        --compare=random --seeds=0,1,2 --model_dir=runs/demo_segmentation

Every layer is trained, batch norm by the statistics of all replicas together. Data sets: voc, a
VOCdevkit's folder; folder, images and masks of your own; some of tensorflow-datasets; cutouts, which is
embedded. See docs/transfer.md.
"""

from mocotf.cli import command  # first: it keeps TensorFlow's start-up notices off the terminal

# isort: split
from absl import flags

from mocotf.cli import pretrained_flags
from mocotf.cli import transfer_flags
from mocotf.cli import values
from mocotf.errors import UserError
from mocotf.transfer import mask_files
from mocotf.transfer.mask_views import Crop
from mocotf.transfer.masked import MaskedCutouts
from mocotf.transfer.segmentation import Segmentation
from mocotf.transfer.tfds_masked import FORMS
from mocotf.transfer.tfds_masked import TFDSMasked

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(transfer_flags)

DATASETS = (
    "voc (a VOCdevkit's folder), folder (images and masks), cutouts (embedded), or of "
    f"tensorflow-datasets: {', '.join(FORMS)}."
)
DATA_DIR = (
    "As VOCdevkit/VOC2012; a folder with images/ and masks/, or with these in train/ and in val/; or "
    "where tensorflow-datasets keeps its data."
)

flags.DEFINE_string(
    "train_list", "train", "With --dataset=voc: file of ImageSets/Segmentation, without .txt."
)
flags.DEFINE_string("test_list", "val", "With --dataset=voc: the same, of the test images.")
flags.DEFINE_string("masks", "SegmentationClass", "With --dataset=voc: folder of the masks.")
flags.DEFINE_integer(
    "crop_size",
    513,
    "Side of the crops that are trained on, pixels; 1 more than a multiple of 16 fits best.",
    lower_bound=1,
)
flags.DEFINE_list(
    "scales",
    ["0.5", "2"],
    "Smallest and largest factor by which a training image is resized before it is cropped.",
)
flags.DEFINE_integer("head_channels", 256, "Of the two convolutions of the head.", lower_bound=1)
flags.DEFINE_integer(
    "head_dilation",
    6,
    "Of the same: how many places of the map lie between what they look at; smaller for small images.",
    lower_bound=1,
)


def main():
    command.print_json(transfer_flags.run(job, __name__))


def job():
    """Returns the `Segmentation` that the flags describe."""
    scales = values.numbers("scales", 2)
    if not 0 < scales[0] <= scales[1]:
        raise UserError(
            f"--scales={','.join(FLAGS.scales)}: expected two numbers above 0, the smaller first"
        )
    return Segmentation(
        make_masked(),
        Crop(FLAGS.crop_size, scales),
        most_bad=FLAGS.max_bad_images,
        precision=FLAGS.precision,
        network={"channels": FLAGS.head_channels, "dilation": FLAGS.head_dilation},
    )


def make_masked():
    """Returns the `Masked` that --dataset names."""
    name, chosen = FLAGS.dataset, (FLAGS.train_images, FLAGS.test_images)
    check_data(name)
    if name == "cutouts":
        return MaskedCutouts(chosen[0] or 64, chosen[1] or 128)
    if name == "folder":
        return mask_files.read_folder(FLAGS.data_dir, *chosen, FLAGS.max_bad_images)
    if name == "voc":
        return mask_files.read_voc(
            FLAGS.data_dir,
            *chosen,
            FLAGS.max_bad_images,
            train_list=FLAGS.train_list,
            test_list=FLAGS.test_list,
            masks=FLAGS.masks,
        )
    return TFDSMasked(name, FLAGS.data_dir)


def check_data(name):
    """Holds the flags of the data against each other.

    Raises:
        UserError: they contradict each other.
    """
    if name not in ("cutouts", "folder", "voc", *FORMS):
        raise UserError(
            f"--dataset={name}: expected voc, folder, cutouts, or of tensorflow-datasets one of "
            f"{', '.join(FORMS)}"
        )
    if name in ("folder", "voc") and not FLAGS.data_dir:
        expected = "VOCdevkit/VOC2012" if name == "voc" else "a folder with images/ and masks/"
        raise UserError(f"--dataset={name}: --data_dir is missing; expected {expected}")
    if name == "cutouts" and FLAGS.data_dir:
        raise UserError(f"--data_dir={FLAGS.data_dir} with --dataset=cutouts, which is embedded")
    for flag in ("train_images", "test_images") if name in FORMS else ():
        if FLAGS[flag].value:
            raise UserError(f"--{flag} with --dataset={name}: expected cutouts, folder or voc")
    for flag in ("train_list", "test_list", "masks") if name != "voc" else ():
        if values.changed(flag):
            raise UserError(f"--{flag} does nothing without --dataset=voc: drop it")


if __name__ == "__main__":
    FLAGS["dataset"].help = DATASETS
    FLAGS["data_dir"].help = DATA_DIR
    pretrained_flags.run_command(
        main,
        {"dataset": "voc", "batch_size": 16, "lr": 0.003, "steps": 30000, "drop_at": ["0.7", "0.9"]},
    )
