"""What documents take as given: pictures, labels of several kinds, runs; all of them small."""

import itertools
import json
import os
import shutil

import numpy as np
import tifffile
from PIL import Image

from tests.processes import ROOT
from tests.processes import succeed
from tests.tiny import STAGES
from tests.trained import write_pictures

TRAIN = ["--dataset=folder", "--data_dir=my_photos", "--moco_k=64", "--batch_size=16"]
TRAIN += ["--log_every=1", "--nofinal_files"]
RUNS = {
    "tiny": [
        "--recipe=none", f"--arch={STAGES}", "--image_size=16", "--epochs=1", "--knn_every=1",
        "--knn_k=5",
    ],
    "resnet50": ["--flagfile=flags/v2.cfg", "--image_size=32", "--steps=1", "--knn_every=0"],
}  # fmt: skip
# Of the ResNet-50, in the formats of others.
WEIGHTS = {
    "torch": "moco.pth.tar", "torchvision": "resnet50_sentinel2.pth", "keras_hub": "moco_preset",
}  # fmt: skip


def write_all(folder):
    """Writes into a folder what all documents are given, and `given` with a run of each kind."""
    for name in ("flags", "tools"):
        (folder / name).symlink_to(os.path.join(ROOT, name))
    write_pictures(folder / "my_photos")
    shutil.copytree(folder / "my_photos", folder / "labelled_photos")
    shutil.copytree(folder / "my_photos/val/red", folder / "new_photos")
    for name in ("QUERY.jpg", "photo.jpg"):
        Image.open(folder / "new_photos/0.png").save(folder / name)
    (folder / "runs/collections").mkdir(parents=True)
    (folder / "runs/collections/cifar10").symlink_to("../../my_photos")
    write_bands(folder / "bands")
    write_table(folder / "table")
    write_boxes(folder)
    write_masks(folder / "VOCdevkit/VOC2012")
    for kind, options in RUNS.items():
        succeed("train", *TRAIN, *options, f"--model_dir=given/{kind}", cwd=folder)
    for target, path in WEIGHTS.items():
        succeed("convert", f"--to={target}", "given/resnet50", path, cwd=folder)
    widen(folder / "resnet50_sentinel2.pth")
    for index in ("photos.npz", "scans.parquet"):
        succeed("embed", "--model_dir=given/tiny", "--data_dir=my_photos", f"--out={index}", cwd=folder)


def write_bands(folder, count=20, channels=13):
    """Writes TIFF files of many channels."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(count):
        pixels = rng.integers(0, 4000, (20, 20, channels), np.uint16)
        tifffile.imwrite(folder / f"{i}.tif", pixels, planarconfig="contig")


def write_table(folder, count=20):
    """Writes a Parquet file of pictures without labels."""
    import pyarrow
    import pyarrow.parquet

    paths = itertools.islice(sorted((folder.parent / "my_photos/train").rglob("*.png")), count)
    folder.mkdir()
    columns = {"image": [path.read_bytes() for path in paths]}
    pyarrow.parquet.write_table(pyarrow.table(columns), folder / "train.parquet")


def write_boxes(folder, count=4):
    """Writes `photos`, and train.json and val.json with a box in each, as COCO has them."""
    photos = folder / "photos"
    photos.mkdir()
    images, boxes = [], []
    for i in range(count):
        Image.new("RGB", (40, 30), (60 * i, 0, 0)).save(photos / f"{i}.jpg")
        images.append({"id": i, "file_name": f"{i}.jpg", "height": 30, "width": 40})
        boxes.append({"id": i, "image_id": i, "category_id": 1, "bbox": [2, 4, 20, 16], "iscrowd": 0})
    content = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "cat"}]}
    for part in ("train", "val"):
        (folder / f"{part}.json").write_text(json.dumps(content))


def write_masks(folder, count=4):
    """Writes images and masks, as VOC has them."""
    places = ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation")
    images, masks, lists = (folder / place for place in places)
    for place in (images, masks, lists):
        place.mkdir(parents=True)
    for i in range(count):
        Image.new("RGB", (40, 30), (60 * i, 0, 0)).save(images / f"{i}.jpg")
        Image.fromarray(np.full((30, 40), i % 3, np.uint8)).save(masks / f"{i}.png")
    for part in ("train", "val"):
        (lists / f"{part}.txt").write_text("\n".join(map(str, range(count))) + "\n")


def widen(path, channels=13):
    """Makes of the PyTorch weights of a ResNet for RGB those of one for so many channels."""
    import torch

    weights = torch.load(path, weights_only=True)
    weights["conv1.weight"] = weights["conv1.weight"].mean(1, keepdim=True).repeat(1, channels, 1, 1)
    torch.save(weights, path)
