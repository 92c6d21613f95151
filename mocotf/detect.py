r"""Trains a detector, KerasHub's RetinaNet, whose backbone is a pre-trained encoder's.

    python -m mocotf.detect --flagfile=flags/voc_detection.cfg --pretrained=runs/v2 --model_dir=runs/voc
    python -m mocotf.detect --flagfile=flags/demo_detection.cfg --pretrained=runs/demo \
        --compare=random --seeds=0,1,2 --model_dir=runs/demo_detection

Every layer is trained, batch norm by the statistics of all replicas together. Data sets: voc
(2007 and 2012) and coco (2017) of tensorflow-datasets; json, a file of COCO's format and a folder of
images; cutouts, which is embedded. Needs the extra `transfer`.
"""

from mocotf.cli import command  # first: it keeps TensorFlow's start-up notices off the terminal

# isort: split
import os

from mocotf import extras
from mocotf.cli import fit_flags
from mocotf.cli import settings_flags
from mocotf.cli import transfer_flags
from mocotf.errors import UserError
from mocotf.transfer import coco
from mocotf.transfer import tfds_scenes
from mocotf.transfer.detection_views import Canvas
from mocotf.transfer.scenes import cutout_scenes
from mocotf.transfer.settings import DetectionSettings

settings_flags.define(DetectionSettings)
settings_flags.adopt(transfer_flags)

DATASETS = (
    "voc or coco (of tensorflow-datasets), tfds (a prepared one with boxes), json (of COCO's format), "
    "or cutouts (embedded)."
)
DATA_DIR = (
    "Where tensorflow-datasets keeps its data; with --dataset=tfds the folder of one prepared data "
    "set; with --dataset=json the folder of the images."
)


def main():
    for module in ("keras_hub", "pycocotools"):
        extras.require(module, "mocotf.detect")
    settings = transfer_flags.read(DetectionSettings, "runs/transfer")
    saved_model = settings.own.saved_model
    if saved_model and settings.comparison.compare:
        raise UserError("--saved_model and --compare contradict each other: give one of them")
    if saved_model and os.path.exists(saved_model):
        raise UserError(f"--saved_model={saved_model}: exists; expected the name of a new folder")
    if saved_model and not os.path.isdir(os.path.dirname(os.path.abspath(saved_model))):
        raise UserError(f"--saved_model={saved_model}: expected a new folder in one that is there")
    command.print_json(transfer_flags.run(settings, lambda: make_job(settings)))


def make_job(settings):
    """Returns the `Detection` that `Flags` describe."""
    from mocotf.transfer.detection import Detection  # imports what `main` has looked for

    own = settings.own
    canvas = Canvas(own.canvas, tuple(map(int, own.short_sides)), own.test_short_side)
    scenes = make_scenes(settings, canvas)
    scenes.max_pixels = settings.data.max_pixels
    scenes.report()
    network = {
        "levels": (own.min_level, own.max_level),
        "anchor": own.anchor_size,
        "depth": own.head_convs,
    }
    return Detection(
        scenes,
        canvas,
        most_bad=settings.data.max_bad_images,
        precision=settings.training.devices.precision,
        network=network,
        saved_model=own.saved_model and os.path.abspath(own.saved_model),
    )


def make_scenes(settings, canvas):
    """Returns the `Scenes` that --dataset names."""
    data, own = settings.data, settings.own
    train_images, test_images = settings.transfer.train_images, settings.transfer.test_images
    check_data(data, settings.transfer, own)
    if data.dataset == "cutouts":
        return cutout_scenes(train_images or 64, test_images or 128, canvas.size)
    if data.dataset == "json":
        files = data.data_dir, own.annotations, own.test_annotations
        return coco.read(*files, train_images, test_images)
    return tfds_scenes.TFDSScenes(data.dataset, data.data_dir)


def check_data(data, transfer, own):
    """Checks what names the data against each other.

    Raises:
        UserError: the settings contradict each other.
    """
    name = data.dataset
    if not name:
        raise UserError(
            "--dataset is missing; expected cutouts, json, tfds, or voc or coco, which "
            "tensorflow-datasets downloads into --data_dir, 3 and 25 GB; try --recipe=voc_detection"
        )
    if name not in ("cutouts", "json", "tfds", *tfds_scenes.PARTS):
        raise UserError(
            f"--dataset={name}: expected cutouts, json, voc, coco, or tfds for a prepared data set"
        )
    if name == "cutouts" and data.data_dir:
        raise UserError(
            f"--data_dir={data.data_dir} with --dataset=cutouts, which is embedded: drop it, or "
            "try --dataset=json"
        )
    files = {"annotations": own.annotations, "test_annotations": own.test_annotations}
    for flag, value in (files | {"data_dir": data.data_dir}).items():
        wanted = "the folder of the images" if flag == "data_dir" else "a file such as instances.json"
        if name == "json" and not value:
            raise UserError(f"--dataset=json: --{flag} is missing; expected {wanted}")
        if name != "json" and flag != "data_dir" and value:
            raise UserError(f"--{flag} does nothing without --dataset=json: drop it")
    if name not in ("cutouts", "json"):
        transfer_flags.check_taken_whole(name, transfer)


if __name__ == "__main__":
    published = {"dataset": "", "batch_size": 16, "lr": 0.01, "steps": 24000}
    fit_flags.run_command(main, published, {"dataset": DATASETS, "data_dir": DATA_DIR})
