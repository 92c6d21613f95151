"""The one small run that tests share: trained by the command, on pictures of three colours."""

import numpy as np
from PIL import Image

from tests import processes

CLASSES = {"blue": (0, 0, 200), "green": (0, 200, 0), "red": (200, 0, 0)}
STEPS = 12
# A ResNet, for whoever hands the run on needs its stages.
OPTIONS = [
    "--dataset=folder", "--recipe=none", "--arch=resnet10", "--width=0.125", "--stem=small",
    "--image_size=32", "--mlp",
    "--moco_dim=16", "--moco_k=48", "--moco_m=0.9", "--moco_t=0.2", "--bn_splits=2", "--batch_size=24",
    f"--steps={STEPS}", "--cos", "--lr=0.05", "--log_every=2", "--checkpoint_every=4", "--knn_every=4",
    "--knn_k=5", "--probe", "--strategy=one_device", "--nofinal_files",
]  # fmt: skip


def train_small(folder):
    """Writes `pictures` and the `run` that was trained on them; the fixture `trained` has it done."""
    write_pictures(folder / "pictures")
    where = [f"--data_dir={folder / 'pictures'}", f"--model_dir={folder / 'run'}"]
    processes.succeed("train", *OPTIONS, *where)


def write_pictures(folder, train=24, val=8):
    """Writes a folder of noisy pictures of three colours, so many of each."""
    rng = np.random.default_rng(0)
    for part, count in (("train", train), ("val", val)):
        for name, colour in CLASSES.items():
            (folder / part / name).mkdir(parents=True)
            for i in range(count):
                pixels = np.clip(rng.normal(colour, 40, (20, 20, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / part / name / f"{i}.png")
