"""The files that all sides of a comparison read."""

import os

import skimage
from PIL import Image
from PIL import ImageOps

from mocotf.data.places.directory import list_images
from mocotf.errors import UserError

MOST = 512  # their paths are arguments of a command
PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")


def make(folder):
    """Writes 64 files, parts of four photographs and their mirror images, and returns the paths."""
    for name in PHOTOGRAPHS:
        with Image.open(os.path.join(os.path.dirname(skimage.__file__), "data", name)) as photograph:
            photograph = photograph.convert("RGB")
        for i in range(8):
            part = photograph.crop((2 * i, i, *photograph.size))
            part = part.resize((500, 375), Image.Resampling.LANCZOS)
            stem = os.path.join(folder, f"{name[: -len('.png')]}_{i}")
            part.save(f"{stem}.jpg", quality=90)
            ImageOps.mirror(part).save(f"{stem}_mirrored.jpg", quality=90)
    return list_images(folder)


def find(data_dir, folder, least):
    """Links to the JPEG files of `data_dir`, `least` to MOST, in a folder, and returns the paths."""
    found = [path for path in list_images(data_dir) if path.lower().endswith((".jpg", ".jpeg"))]
    if len(found) < least:
        raise UserError(f"--data_dir={data_dir}: {len(found)} JPEG files; expected {least} or more")
    for i, path in enumerate(found[:: -(-len(found) // MOST)]):
        _check(path)
        os.symlink(os.path.abspath(path), os.path.join(folder, f"{i:03}.jpg"))
    return list_images(folder)


def _check(path):
    """Raises where an image does not decode: each side would do something else with it."""
    try:
        with Image.open(path) as image:
            image.load()
    except Exception as error:  # decoders fail in many ways
        raise UserError(
            f"{path}: does not decode ({error}); expected sound JPEG files; try "
            "python -m mocotf.check_data"
        ) from error
