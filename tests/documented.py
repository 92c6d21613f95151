"""How commands and Python of README and docs are run small: what they are given, what is added.

What a document has a user type is run as printed, in its order, in a folder of the document's own,
where `flags`, `tools` and stand-ins for the user's data are.
"""

import typing

from tests.tiny import ARCH
from tests.tiny import STAGES


class Parsed(typing.NamedTuple):
    """Of what is not run, why not."""

    reason: str


FOLDER = "--dataset=folder --data_dir=my_photos"
SMALL = "--image_size=16 --batch_size=16 --moco_k=64 --log_every=1 --nofinal_files"
TRAIN = f"--arch={STAGES} {SMALL} --knn_every=0 --steps=2"
FIT = "--steps=2 --batch_size=16 --log_every=1"
DETECT = (
    "--canvas=128 --short_sides=128 --test_short_side=128 --head_convs=1 --batch_size=2 --steps=2 "
    "--drop_at=0.5 --strategy=one_device"
)
SCENES = "--dataset=cutouts --train_images=8 --test_images=4"
SEGMENT = (
    "--crop_size=33 --head_channels=8 --head_dilation=1 --batch_size=2 --steps=2 --drop_at=0.5 "
    "--strategy=one_device"
)
STEP = "--arch=resnet10 --image_size=32 --moco_k=64 --rounds=1"

# Part of a command → flags that are added to it, or why it is only parsed; the first that fits counts.
COMMANDS = {
    # Wants more than one machine with CPUs and no network.
    "srun ": Parsed("wants SLURM"),
    "--workers=node1:12345": Parsed("wants two machines of these names"),
    "--tpu=local": Parsed("wants a TPU"),
    "--data_service=grpc": Parsed("wants a tf.data service: tests/data/test_data_service.py has one"),
    "tools/gpu_check": Parsed("wants a GPU"),
    "--tracker=": Parsed("wants what only `make trackers` installs: tests/test_trackers.py has it"),
    "tools/serve_local": Parsed("is a server: tests/serving starts it, and asks it"),
    "--url=http": Parsed("wants a server: tests/tools/test_benchmarks.py has one"),
    "make_collection.py clipart": Parsed("wants what apt-get downloads"),
    "make_collection.py cifar10": Parsed("wants the zip of CIFAR-10"),
    "tools/recipes": Parsed("wants the collections that are downloaded, and hours"),
    "tools/ablate": "--list",
    # Settings that TRAIN would contradict.
    "--backbone=": f"{SMALL} --image_size=32 --knn_every=0 --steps=2",
    "--epochs=400": "--epochs=2",
    "--strategy=mirrored": "--resume_with_changes --steps=3",
    "--strategy=auto": f"{TRAIN} --resume_with_changes --steps=4",
    "--lr=5": TRAIN.replace("--steps=2", "--steps=4"),
    "tools/cifar10_curve": "",
    "flags/cifar10.cfg": f"{TRAIN} --knn_every=1 --knn_k=5",
    # Data of its own.
    "--dataset=hf": f"{TRAIN} --recipe=none --data_dir=table",
    "--positives=group --group_by=folder --max_gap": TRAIN,
    "--positives=group": f"{TRAIN} --recipe=none --data_dir=my_photos --model_dir=runs/pairs",
    "--minutes=": TRAIN,
    "flags/demo.cfg": TRAIN,
    "flags/walks.cfg": TRAIN,
    "--recipe=demo": TRAIN,
    "--channels=13 --write": "--data_dir=bands",
    "mocotf.check_data": "",
    "mocotf.preview": "--image_size=16",
    "mine.cfg": f"{TRAIN} --arch={ARCH} --data_dir=bands --model_dir=runs/bands",
    "mocotf.knn": "--k=5,20",
    "--lr_sweep": f"{FIT} --model_dir=runs/swept",
    "--cache_features": "",
    "mocotf.linear": FIT,
    "--label_fraction": f"{FIT} --label_fraction=0.5",
    "mocotf.finetune": FIT,
    "mocotf.predict": "",
    "mocotf.report": "",
    "--dataset=json": f"{DETECT} --saved_model=detector",
    "--compare=": f"{SCENES} {DETECT} --seeds=0",
    "mocotf.detect": f"{SCENES} {DETECT}",
    "mocotf.segment": SEGMENT,
    "mocotf.export": "",
    "mocotf.embed": "",
    "--index=photos.npz,scans.parquet": "--model_dir=given/tiny",
    "mocotf.search": "",
    "--from=torch": "--moco_k=64",
    "mocotf.convert": "",
    "tools/backbones.py --nochecks": Parsed(
        "minutes each: tests/tools/test_backbones.py runs it small"
    ),
    "tools/backbones.py": Parsed("minutes each: tests/tools/test_backbones.py runs it small"),
    "make_collection.py walks": "--pictures=4",
    "tools/benchmark_input": "--rounds=1 --pairs=64 --nopeers --nostages",
    "tools/benchmark_step": f"{STEP} --batch_size=8 --precision=float32 --peer=none",
    "tools/benchmark_scaling": STEP,
    "tools/benchmark_kernels": f"{STEP} --batch_size=4",
    "tools/benchmark_knn": "--banks=1000 --queries=64 --width=16 --rounds=1 --noimagenet",
    "tools/benchmark_serving": "--seconds=0.2 --batch_sizes=1 --clients=1",
    "tools/fuzz": "--seconds=2",
    "tools/mutants": "",
}

# Words in print that stand for something of the user's → what is given; none for what is left out.
WORDS = {
    "…": None,
    "[...]": None,
    "--mean=…": "--mean=" + ",".join(["0.4"] * 13),
    "--std=…": "--std=" + ",".join(["0.2"] * 13),
    "--model_dir=runs/v2/checkpoints/best/ckpt-90000": "--model_dir=runs/v2/checkpoints/best/ckpt-4",
}

# Runs that a document takes as given, beside those that its commands make.
GIVEN = {
    "docs/guides/evaluation.md": {f"runs/{name}": "tiny" for name in ("demo", "v2", "mine", *"abc")},
    "docs/start/encoder.md": {"runs/mine": "resnet50"},
    "docs/start/faq.md": {"runs/v2": "tiny"},
    "docs/guides/interop.md": {"runs/v2": "resnet50"},
    "docs/guides/serving.md": {"runs/v2": "tiny"},
    "docs/guides/transfer.md": {f"runs/{n}": "resnet50" for n in ("v2", "published_v2", "supervised")},
}

SMALL_FIT = {
    "(96, 96, 3)": "(32, 32, 3)",
    "size=256": "size=16",
    "size=96": "size=32",
    "epochs=10": "epochs=1",
}

# Part of a block of Python → what comes before it, and what takes the place of what; or why it is
# only parsed.
PYTHON = {
    'mocotf.pretrain("my_photos", "runs/mine", minutes=10)': ("", {}),
    "keras.applications.MobileNetV2": ("import keras, mocotf", SMALL_FIT),
    'mocotf.load_encoder("runs/v2")': ("", {}),
    "classifier = keras.Model": ('import keras, mocotf; encoder = mocotf.load_encoder("runs/v2")', {}),
    "onnxruntime.InferenceSession": (
        'import numpy, onnxruntime; images = numpy.zeros([1, 32, 32, 3], "float32")',
        {},
    ),
    "torchvision.models": Parsed("wants torchvision"),
    "from_preset": ("import keras_hub", {}),
    "urllib.request": Parsed("wants a server: tests/tools/test_stand_in.py runs it"),
    "grpc.insecure_channel": Parsed("wants a server: tests/tools/test_stand_in.py runs it"),
    "TFSMLayer": ("", {"(224, 224)": "(16, 16)", "moco/20000": "moco/4"}),
    'tf.saved_model.load("detector")': ("import tensorflow as tf", {}),
}
