"""Whether --deterministic runs repeat, and survive being killed: a part of tools/gpu_check.py."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from tools.gpu import child
from tools.gpu import part

SMALL = [
    "--dataset=patches",
    "--arch=resnet10",
    "--stem=small",
    "--image_size=32",
    "--mlp",
    "--moco_k=1024",
    "--bn_splits=2",
]
SMALL += ["--aug_plus", "--blur_prob=0", "--batch_size=64", "--knn_every=0", "--augment_on=device"]
SMALL += ["--precision=mixed_bfloat16", "--log_every=1", "--keep_checkpoints=20"]
COMPARING = 10  # seconds, of which TensorFlow's import takes most
PAIRS = {
    "two runs": ("a", "b"),
    "killed and resumed": ("a", "c"),
    "without --deterministic": ("d", "e"),
}


def main():
    asked = part.options()
    asked["deadline"] -= COMPARING
    steps = 4 if asked["tiny"] else 30
    common = [*SMALL, f"--steps={steps}", f"--checkpoint_every={steps // 4}"]
    common += ["--width=0.25"] if asked["tiny"] else []
    plain = ("d", "e") if not asked["tiny"] else ()
    with tempfile.TemporaryDirectory() as folder:
        runs = {name: os.path.join(folder, name) for name in "abcde"}
        commands = {name: part.train(runs[name], *common, "--deterministic") for name in "abc"}
        commands |= {name: part.train(runs[name], *common) for name in plain}
        killed = {}
        killer = threading.Thread(
            target=lambda: killed.update(run_killed(commands["c"], runs["c"], steps // 2, asked))
        )
        killer.start()
        jobs = {name: (commands[name], {}) for name in commands if name != "c"}
        outcomes = dict(child.run_all(jobs, asked["deadline"], len(jobs)))
        killer.join()
        outcomes["c"] = killed
        pairs = {title: compare(*pair, runs, outcomes, steps) for title, pair in PAIRS.items()}
        part.report({"pairs": pairs})


def run_killed(command, run, step, asked):
    """Trains until a step has been reached, kills that, and returns how the same command ended then."""
    with open(os.devnull, "w") as nowhere:
        first = subprocess.Popen(command, stdout=nowhere, stderr=nowhere, cwd=part.ROOT)
    while first.poll() is None and part.left(asked) > 0:
        if any(record["step"] >= step for record in part.metrics(run)):
            break
        time.sleep(0.02)
    first.kill()
    if first.wait() != -signal.SIGKILL:
        return {"code": 1, "out": "", "err": "it ended before it was killed", "seconds": 0.0}
    return child.run(command, part.left(asked))


def compare(one, other, runs, outcomes, steps):
    """Returns how many variables of two runs' last checkpoints differ in any bit, or what failed."""
    for name in (one, other):
        if name not in outcomes:
            return {"said": "not run"}
        if outcomes[name]["code"] != 0:
            return {"said": child.last_line(outcomes[name])}
    from tools.differences import variables_that_differ  # imports TensorFlow

    number, differ = variables_that_differ(runs[one], runs[other], steps)
    seconds = outcomes[one]["seconds"]
    return {"variables": number, "differ": len(differ), "first": differ[:3], "seconds": seconds}


if __name__ == "__main__":
    main()
