r"""Trains a detector, KerasHub's RetinaNet, whose backbone is a pre-trained encoder's.

    python -m mocotf.detect --flagfile=flags/voc_detection.cfg --pretrained=runs/v2 --model_dir=runs/voc
    python -m mocotf.detect --flagfile=flags/demo_detection.cfg --pretrained=runs/demo \
        --compare=random --seeds=0,1,2 --model_dir=runs/demo_detection

Every layer is trained, batch norm by the statistics of all replicas together. Data sets: voc
(2007 and 2012) and coco (2017) of tensorflow-datasets; json, a file of COCO's format and a folder of
images; cutouts, which is embedded. Needs the extra: pip install '.[transfer]'.
"""

from mocotf.cli import command  # first: it keeps TensorFlow's start-up notices off the terminal

# isort: split
import importlib.util
import os

from absl import flags

from mocotf.cli import pretrained_flags
from mocotf.cli import transfer_flags
from mocotf.cli import values
from mocotf.errors import UserError
from mocotf.transfer import coco
from mocotf.transfer import tfds_scenes
from mocotf.transfer.detection_views import Canvas
from mocotf.transfer.scenes import cutout_scenes

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(transfer_flags)

DATASETS = (
    "voc or coco (of tensorflow-datasets), tfds (a prepared one with boxes), json (of COCO's format), "
    "or cutouts (embedded)."
)
DATA_DIR = (
    "Where tensorflow-datasets keeps its data; with --dataset=tfds the folder of one prepared data "
    "set; with --dataset=json the folder of the images."
)

flags.DEFINE_string(
    "annotations", None, "With --dataset=json: file of COCO's format, of images below --data_dir."
)
flags.DEFINE_string("test_annotations", None, "With --dataset=json: the file of the test images.")
flags.DEFINE_integer(
    "canvas",
    1152,
    "Side of the square that an image is laid on, pixels; a multiple of 2^(the highest level).",
    lower_bound=32,
)
flags.DEFINE_list(
    "short_sides",
    [str(side) for side in range(480, 801, 32)],
    "Lengths of an image's short side, pixels, of which one is drawn each time; the long side never "
    "exceeds --canvas.",
)
flags.DEFINE_integer("test_short_side", 800, "Of test images, pixels.", lower_bound=1)
flags.DEFINE_integer(
    "min_level",
    None,
    "Lowest level of the pyramid; n is of stride 2^n. Default: 3, or the stem's last.",
)
flags.DEFINE_integer(
    "max_level", None, "Highest level. Default: 7, or with a small stem the backbone's last."
)
flags.DEFINE_float(
    "anchor_size", 4.0, "Side of the smallest anchors of a level, in strides of it.", lower_bound=0.1
)
flags.DEFINE_integer("head_convs", 4, "Convolutions in the heads, before the last.", lower_bound=1)

flags.DEFINE_string(
    "saved_model",
    None,
    "New folder to write the trained detector to, as a SavedModel: from the bytes of images to boxes.",
)


def main():
    for package in ("keras_hub", "pycocotools"):
        if importlib.util.find_spec(package) is None:
            raise UserError(f"{package} is not installed; try: pip install '.[transfer]'")
    if FLAGS.saved_model and FLAGS.compare:
        raise UserError("--saved_model and --compare contradict each other: give one of them")
    if FLAGS.saved_model and os.path.exists(FLAGS.saved_model):
        raise UserError(f"--saved_model={FLAGS.saved_model}: exists; expected the name of a new folder")
    command.print_json(transfer_flags.run(job, __name__))


def job():
    """Returns the `Detection` that the flags describe."""
    from mocotf.transfer.detection import Detection  # imports what `main` has looked for

    canvas = make_canvas()
    scenes = make_scenes(canvas)
    scenes.report()
    network = {
        "levels": (FLAGS.min_level, FLAGS.max_level),
        "anchor": FLAGS.anchor_size,
        "depth": FLAGS.head_convs,
    }
    return Detection(
        scenes,
        canvas,
        most_bad=FLAGS.max_bad_images,
        precision=FLAGS.precision,
        network=network,
        saved_model=FLAGS.saved_model,
    )


def make_canvas():
    """Returns the `Canvas` that the flags describe."""
    sides = values.numbers("short_sides")
    if min(sides) < 1 or max(*sides, FLAGS.test_short_side) > FLAGS.canvas:
        raise UserError(
            f"--short_sides={','.join(FLAGS.short_sides)} --test_short_side={FLAGS.test_short_side}: "
            f"expected numbers from 1 to --canvas={FLAGS.canvas}"
        )
    return Canvas(FLAGS.canvas, tuple(int(side) for side in sides), FLAGS.test_short_side)


def make_scenes(canvas):
    """Returns the `Scenes` that --dataset names."""
    check_data()
    if FLAGS.dataset == "cutouts":
        return cutout_scenes(FLAGS.train_images or 64, FLAGS.test_images or 128, canvas.size)
    if FLAGS.dataset == "json":
        return coco.read(
            FLAGS.data_dir,
            FLAGS.annotations,
            FLAGS.test_annotations,
            FLAGS.train_images,
            FLAGS.test_images,
        )
    return tfds_scenes.TFDSScenes(FLAGS.dataset, FLAGS.data_dir)


def check_data():
    """Holds the flags of the data against each other.

    Raises:
        UserError: they contradict each other.
    """
    name = FLAGS.dataset
    if name not in ("cutouts", "json", "tfds", *tfds_scenes.PARTS):
        raise UserError(
            f"--dataset={name}: expected cutouts, json, voc, coco, or tfds for a prepared data set"
        )
    if name == "cutouts" and FLAGS.data_dir:
        raise UserError(f"--data_dir={FLAGS.data_dir} with --dataset=cutouts, which is embedded")
    for flag in ("annotations", "test_annotations", "data_dir"):
        if name == "json" and not FLAGS[flag].value:
            raise UserError(f"--dataset=json: --{flag} is missing")
        if name != "json" and flag != "data_dir" and FLAGS[flag].value:
            raise UserError(f"--{flag} does nothing without --dataset=json: drop it")
    for flag in ("train_images", "test_images") if name not in ("cutouts", "json") else ():
        if FLAGS[flag].value:
            raise UserError(f"--{flag} with --dataset={name}: expected cutouts or json")


if __name__ == "__main__":
    FLAGS["dataset"].help = DATASETS
    FLAGS["data_dir"].help = DATA_DIR
    pretrained_flags.run_command(main, {"dataset": "voc", "batch_size": 16, "lr": 0.01, "steps": 24000})
