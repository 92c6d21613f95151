"""Epochs of CIFAR-10 beside the log of the original authors' demo: a part of tools/gpu_check.py.

The recipe is that of all 200 epochs, stopped when the time is up.
"""

import json
import os
import statistics
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from tools.gpu import child
from tools.gpu import part


def main():
    asked = part.options()
    if not asked["data_dir"]:
        part.report(
            {"said": "not run: --data_dir names no folder of CIFAR-10 as train/CLASS, test/CLASS"}
        )
        return
    flags = ["--flagfile=flags/cifar10.cfg", "--dataset=folder", f"--data_dir={asked['data_dir']}"]
    flags += ["--log_every=10", "--knn_every=5", "--augment_on=device"]
    if asked["tiny"]:
        flags += ["--arch=resnet10", "--width=0.25", "--batch_size=16", "--moco_k=256", "--knn_every=1"]
        flags += ["--epochs=1", "--log_every=1"]
    with tempfile.TemporaryDirectory() as folder:
        outcome = child.run(part.train(folder, *flags, *asked["train_flags"]), part.left(asked))
        found = epochs(part.metrics(folder)) | {"seconds": outcome["seconds"]}
    if outcome["code"] not in (0, None):
        found["said"] = child.last_line(outcome)
    part.report(found)


def authors():
    """Returns epoch → (kNN, loss) of the authors' log."""
    with open(os.path.join(part.ROOT, "docs/reference/cifar10.json"), encoding="utf-8") as file:
        log = json.load(file)["published"][0]
    return {int(epoch): (knn, log["loss"][epoch]) for epoch, knn in log["knn_top1"].items()}


def epochs(records):
    """Returns what a run's records say of each epoch, and of its speed."""
    losses, knn, speeds, waits = {}, {}, [], []
    steps = [record for record in records if record["step"] > 0]
    for record in steps:
        # A record at the end of an epoch is of the one that follows, by its number.
        epoch = record["epoch"] + ("knn_top1" not in record)
        losses.setdefault(epoch, []).append(record["loss"])
        if "knn_top1" in record:
            knn[epoch] = record["knn_top1"]
        speeds.append(record["images_per_second"])
        waits.append(record["data_wait"])
    if not steps:
        return {}
    published = authors()
    table = {
        str(epoch): {
            "loss": statistics.mean(values),
            "knn_top1": knn.get(epoch),
            "authors": published.get(epoch),
        }
        for epoch, values in losses.items()
    }
    settled = len(speeds) // 4
    return {
        "epochs": table,
        "images_per_second": statistics.median(speeds[settled:]),
        "data_wait": statistics.median(waits[settled:]),
    }


if __name__ == "__main__":
    main()
