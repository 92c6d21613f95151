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
SETTLED = 0.4  # share of the records, at the start, that are left out: the first steps compile


def main():
    asked = part.options()
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, flags in settings(asked, folder).items():
            run = os.path.join(folder, name)
            outcome = child.run(
                part.train(run, *flags, *COMMON, *asked["train_flags"]), part.left(asked)
            )
            found[name] = speeds(part.metrics(run)) | {"seconds": outcome["seconds"]}
            if outcome["code"] != 0:
                found[name]["said"] = child.last_line(outcome)
            part.report({"input": found})


def settings(asked, folder):
    """Returns name → flags of what is trained."""
    small = ["--flagfile=flags/cifar10.cfg", f"--batch_size={16 if asked['tiny'] else 512}"]
    small += (
        [f"--dataset=folder --data_dir={asked['data_dir']}"]
        if asked["data_dir"]
        else ["--dataset=patches"]
    )
    small = " ".join(small).split()
    large = ["--flagfile=flags/v2.cfg", "--dataset=folder", f"--data_dir={photographs(folder, asked)}"]
    large += ["--augment_on=device"]
    tiny = ["--arch=resnet10", "--steps=5", "--log_every=1", "--moco_k=256"]
    if asked["tiny"]:
        large += ["--batch_size=4", "--image_size=32", *tiny]
        small += tiny
    else:
        large += ["--steps=100", "--log_every=5"]
        small += ["--steps=400", "--log_every=20"]
    return {
        "32 px, colours on the host": small,
        "32 px, augment_on=device": [*small, "--augment_on=device"],
        "224 px, augment_on=device": large,
    }


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
