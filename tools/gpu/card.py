"""The card, its driver, and the libraries: a part of tools/gpu_check.py."""

import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

import mocotf.cli  # noqa: F401  # isort: skip  (first: it keeps TensorFlow's notices off the terminal)

import tensorflow as tf

from tools.gpu import part
from tools.peers import environment
from tools.peers import limit

QUERY = ("name", "driver_version", "memory.total", "utilization.gpu")
TORCH = "import torch; print(torch.__version__, torch.version.cuda, torch.backends.cudnn.version())"


def main():
    asked = part.options()
    found = {
        "machine": environment.machine(),
        "versions": environment.versions(("tensorflow", "keras")),
    }
    found["cards"] = cards()
    found["torch"] = first_line([asked["peers_python"], "-c", TORCH])
    built = tf.sysconfig.get_build_info()
    found["built_for"] = {name: built.get(f"{name}_version") for name in ("cuda", "cudnn")}
    found["tensorflow_sees"] = [
        tf.config.experimental.get_device_details(gpu) for gpu in tf.config.list_physical_devices("GPU")
    ]
    part.report(found)
    for dtype in ("bfloat16", "float32"):
        found[f"limit_{dtype}"] = limit.peaks(dtype)
    part.report(found)


def cards():
    """Returns what the driver says of each card, [] where there is none."""
    query = ["nvidia-smi", f"--query-gpu={','.join(QUERY)}", "--format=csv,noheader"]
    try:
        said = subprocess.run(query, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return []
    return [dict(zip(QUERY, line.split(", "), strict=True)) for line in said.strip().splitlines()]


def first_line(command):
    """Returns the first line that a command prints, None where it fails."""
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return said.strip().splitlines()[0]


if __name__ == "__main__":
    main()
