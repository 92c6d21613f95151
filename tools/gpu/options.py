"""Trains a few steps with every option, side by side: a part of tools/gpu_check.py."""

import math
import os
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from tools.gpu import child
from tools.gpu import part

SMALL = [
    "--dataset=patches",
    "--arch=resnet10",
    "--width=0.25",
    "--stem=small",
    "--image_size=32",
    "--mlp",
]
SMALL += ["--moco_k=256", "--aug_plus", "--blur_prob=0", "--batch_size=32", "--knn_every=0"]
BF16 = "--precision=mixed_bfloat16"
OPTIONS = {
    "float32": [],
    "mixed_bfloat16": [BF16],
    "mixed_float16": ["--precision=mixed_float16"],
    "mixed_float16 not compiled": ["--precision=mixed_float16", "--nojit_compile"],
    "jit_compile": [BF16, "--jit_compile"],
    "nojit_compile": [BF16, "--nojit_compile"],
    "grad_accum_steps remat jit_compile": [BF16, "--grad_accum_steps=2", "--remat", "--jit_compile"],
    "grad_accum_steps remat not compiled": [
        BF16,
        "--grad_accum_steps=2",
        "--remat",
        "--nojit_compile",
    ],
    "symmetric": [BF16, "--symmetric"],
    "probe": [BF16, "--probe"],
    "steps_per_execution=5": [BF16, "--steps_per_execution=5"],
    "augment_on=device": [BF16, "--augment_on=device"],
    "shuffle_bn=input bn_splits=4": [BF16, "--shuffle_bn=input", "--bn_splits=4"],
    "strategy=mirrored": [BF16, "--strategy=mirrored"],
    "end_to_end": [BF16, "--mechanism=end_to_end"],
    "memory_bank": [BF16, "--mechanism=memory_bank"],
    "npid": [BF16, "--mechanism=npid"],
    "simsiam": [BF16, "--mechanism=simsiam"],
    "optimizer=lars": [BF16, "--optimizer=lars"],
    "optimizer=adamw": [BF16, "--optimizer=adamw", "--lr=0.001"],
    "backbone": [BF16, "--backbone=keras.applications:MobileNetV3Small"],
    "npid_softmax=full": [BF16, "--mechanism=npid", "--npid_softmax=full"],
    "deterministic": [BF16, "--deterministic"],
    "tf32=off": ["--tf32=off"],
}


def main():
    asked = part.options()
    steps = 2 if asked["tiny"] else 20
    chosen = asked["options"] or (["mixed_bfloat16"] if asked["tiny"] else list(OPTIONS))
    common = [*SMALL, f"--steps={steps}", f"--log_every={steps}"]
    with tempfile.TemporaryDirectory() as folder:
        runs = {name: os.path.join(folder, str(i)) for i, name in enumerate(chosen)}
        jobs = {name: (part.train(runs[name], *common, *OPTIONS[name]), {}) for name in chosen}
        found = {name: {"passed": False, "said": "not run, for want of time"} for name in chosen}
        for name, outcome in child.run_all(jobs, asked["deadline"], asked["at_once"]):
            found[name] = judge(outcome, part.metrics(runs[name]), steps)
            part.report({"options": found})


def judge(outcome, records, steps):
    """Returns whether a run took all its steps, with a loss that is finite, and what it said last."""
    last = records[-1] if records else {}
    passed = outcome["code"] == 0 and last.get("step") == steps and math.isfinite(last["loss"])
    said = "it took too long" if outcome["code"] is None else child.last_line(outcome)
    return {"passed": passed, "seconds": outcome["seconds"], "said": said, "loss": last.get("loss")}


if __name__ == "__main__":
    main()
