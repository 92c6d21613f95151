"""Whether a run is on GPUs, and why not where there are some."""

import ctypes
import glob
import importlib.metadata
import logging
import os
import sysconfig

import tensorflow as tf

from mocotf.errors import UserError

log = logging.getLogger(__name__)

DEVICES = ("auto", "gpu", "cpu")
SIGNS = (
    "/proc/driver/nvidia/version",
    "/dev/nvidia0",
)  # of a GPU, whether TensorFlow can use it or not
DRIVER = "libcuda.so.1"
# What TensorFlow 2.21 loads of CUDA 12, and the packages that have it.
LIBRARIES = {
    "libcudart.so.12": "nvidia-cuda-runtime-cu12",
    "libcublas.so.12": "nvidia-cublas-cu12",
    "libcublasLt.so.12": "nvidia-cublas-cu12",
    "libcufft.so.11": "nvidia-cufft-cu12",
    "libcusolver.so.11": "nvidia-cusolver-cu12",
    "libcusparse.so.12": "nvidia-cusparse-cu12",
    "libcudnn.so.9": "nvidia-cudnn-cu12",
    "libnccl.so.2": "nvidia-nccl-cu12",
}


def choose(device="auto"):
    """Has TensorFlow use GPUs or not; call it before TensorFlow starts its devices.

    Args:
        device: "gpu": nothing else will do; "cpu": GPUs stay idle; "auto": GPUs where TensorFlow can
            use them, else the CPU, with a warning where there are some.

    Raises:
        UserError: "gpu", and TensorFlow has none.
    """
    if device == "cpu":
        tf.config.set_visible_devices([], "GPU")
    elif not tf.config.list_physical_devices("GPU"):
        hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
        there = any(map(os.path.exists, SIGNS))
        reason = why_unusable() if there else "no NVIDIA GPU, or no driver of one, on this machine"
        if device == "gpu":
            raise UserError(f"--device=gpu: {reason}; or try --device=auto, which takes the CPU")
        if there and not hidden:
            log.warning("the GPU stays idle, the run goes on on the CPU: %s", reason)


def why_unusable():
    """Returns what keeps TensorFlow from the GPU that this machine has, and what to do about it."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return f"CUDA_VISIBLE_DEVICES={os.environ['CUDA_VISIBLE_DEVICES']} hides it; unset that"
    if not _loads(DRIVER):
        return (
            f"{DRIVER} cannot be loaded; install NVIDIA's driver, version 525 or later; start a "
            "container with --gpus=all"
        )
    missing = [name for name in LIBRARIES if not _loads(name)]
    if missing:
        packages = ", ".join(dict.fromkeys(LIBRARIES[name] for name in missing))
        release = importlib.metadata.version("tensorflow")
        return (
            f"{', '.join(missing)} cannot be loaded (of {packages}); try "
            f"pip install 'tensorflow[and-cuda]=={release}'"
        )
    return (
        "TensorFlow does not list it, though every library that it needs is there; set "
        "TF_CPP_MIN_LOG_LEVEL=0 to see what it says, and hold the driver against CUDA 12"
    )


def _loads(name):
    """Returns whether a shared library can be loaded, from where TensorFlow looks for it."""
    packaged = glob.glob(os.path.join(sysconfig.get_path("purelib"), "nvidia", "*", "lib", name))
    for path in [*packaged, name]:
        try:
            ctypes.CDLL(path, mode=os.RTLD_LAZY)
        except OSError:
            continue
        return True
    return False
