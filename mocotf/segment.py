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

from mocotf.cli import task
from mocotf.cli import transfer
from mocotf.cli import values
from mocotf.errors import UserError
from mocotf.transfer.mask_views import Crop
from mocotf.transfer.masked import MaskedCutouts
from mocotf.transfer.segmentation import Segmentation

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(transfer)

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
    command.print_json(transfer.run(job, __name__))


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
    if FLAGS.dataset == "cutouts":
        return MaskedCutouts(FLAGS.train_images or 64, FLAGS.test_images or 128)
    raise UserError(f"--dataset={FLAGS.dataset}: expected cutouts")


if __name__ == "__main__":
    task.run_command(
        main,
        {"dataset": "voc", "batch_size": 16, "lr": 0.003, "steps": 30000, "drop_at": ["0.7", "0.9"]},
    )
