"""How long a step waits for its images: a part of tools/gpu_check.py."""

import os
import statistics
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from tools.gpu import child
from tools.gpu import part
from tools.peers import images

COMMON = ["--knn_every=0", "--precision=mixed_bfloat16", "--checkpoint_every=1000000"]
TINY = ["--arch=resnet10", "--width=0.25", "--steps=5", "--log_every=1", "--moco_k=256"]
SETTLED = 0.4  # share of the records, at the start, that are left out: the first steps compile


def main():
    asked = part.options()
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in asked["inputs"]:
            flags = SETTINGS[name](asked, folder)
            run = os.path.join(folder, name)
            outcome = child.run(
                part.train(run, *flags, *COMMON, *asked["train_flags"]), part.left(asked)
            )
            found[name] = speeds(part.metrics(run)) | {"seconds": outcome["seconds"]}
            if outcome["code"] != 0:
                found[name]["said"] = child.last_line(outcome)
            part.report({"input": found})


def small(asked, _):
    """Returns the flags of a run on images of 32 pixels, all of whose views the host makes."""
    flags = ["--flagfile=flags/cifar10.cfg"]
    if asked["data_dir"]:
        flags += ["--dataset=folder", f"--data_dir={asked['data_dir']}"]
    if asked["tiny"]:
        return [*flags, "--batch_size=16", *TINY]
    return [*flags, "--steps=300", "--log_every=15"]


def small_on_device(asked, folder):
    """Returns the flags of the same run, with colours and flips made by the device."""
    return [*small(asked, folder), "--augment_on=device"]


def large_on_device(asked, folder):
    """Returns the flags of a run of ResNet-50 on photographs; the host decodes and crops."""
    flags = ["--flagfile=flags/v2.cfg", "--dataset=folder", "--augment_on=device"]
    flags += [f"--data_dir={photographs(folder, asked)}"]
    if asked["tiny"]:
        return [*flags, "--batch_size=4", "--image_size=32", *TINY]
    return [*flags, "--steps=100", "--log_every=5"]


SETTINGS = {"host32": small, "device32": small_on_device, "device224": large_on_device}


def photographs(folder, asked):
    """Makes JPEG files of 500 x 375 and links to them, and returns their folder."""
    made, linked = os.path.join(folder, "made"), os.path.join(folder, "photographs")
    os.mkdir(made)
    os.mkdir(linked)
    paths = images.make(made)
    for i in range(8 if asked["tiny"] else 4096):
        os.link(paths[i % len(paths)], os.path.join(linked, f"{i:05}.jpg"))
    return linked


def speeds(records):
    """Returns the median speed and share of waiting of a run's later records."""
    records = [record for record in records if "images_per_second" in record]
    records = records[int(SETTLED * len(records)) :]
    if not records:
        return {}
    names = ("images_per_second", "data_wait")
    found = {name: statistics.median(record[name] for record in records) for name in names}
    return found | {
        "longest_wait": max(record["data_wait"] for record in records),
        "records": len(records),
    }


if __name__ == "__main__":
    main()
