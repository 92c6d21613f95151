"""The view pairs of other libraries, timed for tools/benchmark_input.py in an environment of its own.

    .venv-peers/bin/python tools/peers/views.py torchvision FILE...

Answers each line of standard input, a number of pairs, with the seconds that making them took. Both
make MoCo v2's views of 224 pixels as its users write them, from files to batches of normalised float
tensors, on one thread.
"""

import random
import sys
import time

import numpy as np
import torch

BATCH = 32
SIZE, MIN_AREA = 224, 0.2
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def torchvision_transforms():
    """Returns the module, imported also beside a PyTorch without CUDA, where it lacks its operators."""
    global _library
    try:
        import torchvision.transforms as T
    except RuntimeError:
        _library = _declare_operators()  # they live as long as it does
        import torchvision.transforms as T
    return T


def torchvision_view():
    """The original's `main_moco.py`: torchvision on Pillow images."""
    from PIL import Image
    from PIL import ImageFilter

    T = torchvision_transforms()

    def blur(image):
        return image.filter(ImageFilter.GaussianBlur(radius=random.uniform(0.1, 2)))

    transform = T.Compose(
        [
            T.RandomResizedCrop(SIZE, scale=(MIN_AREA, 1)),
            T.RandomApply([T.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
            T.RandomGrayscale(p=0.2),
            T.RandomApply([T.Lambda(blur)], p=0.5),
            T.RandomHorizontalFlip(),
            T.ToTensor(),
            T.Normalize(MEAN, STD),
        ]
    )

    def load(path):
        with open(path, "rb") as file:
            return Image.open(file).convert("RGB")

    return load, transform


def _declare_operators():
    """Declares what torchvision looks up when it is imported, and its transforms do not use."""
    library = torch.library.Library("torchvision", "DEF")
    names = ["nms", "qnms", "roi_align", "roi_pool", "ps_roi_align", "ps_roi_pool", "deform_conv2d"]
    for name in names + [f"_{name}_backward" for name in names[2:]]:
        library.define(f"{name}(Tensor x) -> Tensor")
    return library


def albumentations_view():
    """Albumentations on OpenCV, uint8, each operator with its fastest setting of the same meaning."""
    import albumentations as A
    import cv2
    from albumentations.pytorch import ToTensorV2

    cv2.setNumThreads(1)
    transform = A.Compose(
        [
            A.RandomResizedCrop((SIZE, SIZE), scale=(MIN_AREA, 1)),
            A.ColorJitter((0.6, 1.4), (0.6, 1.4), (0.6, 1.4), (-0.1, 0.1), p=0.8),
            A.ToGray(p=0.2),
            A.GaussianBlur(blur_limit=0, sigma_limit=(0.1, 2.0), p=0.5),
            A.HorizontalFlip(p=0.5),
            A.Normalize(MEAN, STD),
            ToTensorV2(),
        ]
    )

    def load(path):
        return cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)

    return load, lambda image: transform(image=image)["image"]


def main():
    peer, paths = sys.argv[1], sys.argv[2:]
    load, view = {"torchvision": torchvision_view, "albumentations": albumentations_view}[peer]()
    torch.set_num_threads(1)
    random.seed(0)
    np.random.seed(0)
    made = 0
    for line in sys.stdin:
        start = time.perf_counter()
        for first in range(made, made + int(line), BATCH):
            images = [load(paths[i % len(paths)]) for i in range(first, first + BATCH)]
            pairs = [(view(image), view(image)) for image in images]
            for views in zip(*pairs, strict=True):
                torch.stack(views)  # as the loader of PyTorch does
        made += int(line)
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main()
