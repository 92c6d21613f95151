"""The ways of taking a step that tools/gpu_check.py compares: options of it, and the environment."""

import hashlib
import json
import os
import tempfile

from mocotf.errors import UserError

PEERS = {
    "torch": {"compiled": False},
    "torch.compile": {"compiled": True},
    "torch.float32": {"compiled": False, "precision": "float32"},
    "torch.max-autotune": {"compiled": True, "mode": "max-autotune-no-cudagraphs"},
}

# In capitals the environment, which TensorFlow and XLA read once; else options of step_ours.py.
VARIANTS = {
    "default": {},
    "nojit": {"jit_compile": False},
    "nojit-spatial": {"jit_compile": False, "TF_USE_CUDNN_BATCHNORM_SPATIAL_PERSISTENT": "0"},
    "jit": {"jit_compile": True},
    "no-stem": {"left_out": ["xla_stem"]},
    "autotune0": {"jit_compile": True, "XLA_FLAGS": "--xla_gpu_autotune_level=0"},
    "autotune2": {"jit_compile": True, "XLA_FLAGS": "--xla_gpu_autotune_level=2"},
    "autotune4": {"jit_compile": True, "XLA_FLAGS": "--xla_gpu_autotune_level=4"},
    "latency-hiding": {"XLA_FLAGS": "--xla_gpu_enable_latency_hiding_scheduler=true"},
    "no-command-buffers": {"XLA_FLAGS": "--xla_gpu_enable_command_buffer="},
    "triton-any": {"XLA_FLAGS": "--xla_gpu_triton_gemm_any=true"},
    "no-triton": {"XLA_FLAGS": "--xla_gpu_enable_triton_gemm=false"},
    "cudnn-fusion": {"XLA_FLAGS": "--xla_gpu_cudnn_gemm_fusion_level=2"},
    "fusion-autotuner": {"XLA_FLAGS": "--xla_gpu_experimental_enable_fusion_autotuner=true"},
    "multi-output": {"XLA_FLAGS": "--xla_gpu_unsupported_enable_triton_multi_output_fusion=true"},
    "nhwc": {"XLA_FLAGS": "--xla_gpu_force_conv_nhwc=true"},
    "deterministic": {"deterministic": True},
    "async-allocator": {"TF_GPU_ALLOCATOR": "cuda_malloc_async"},
}


def parse(texts):
    """Returns name → settings of variants that are written NAME or NAME:KEY=VALUE;KEY=VALUE.

    A NAME+NAME of known ones has the settings of both; their XLA_FLAGS add up.

    Raises:
        UserError: one is not known, or not so written.
    """
    found = {}
    for text in texts:
        name, _, settings = text.partition(":")
        found[name] = _written(text, settings) if settings else _known(name)
    return found


def _written(text, settings):
    found = {}
    for setting in filter(None, settings.split(";")):
        key, equals, value = setting.partition("=")
        if not equals:
            raise UserError(f"--variants: {text}: {setting}: expected KEY=VALUE")
        found[key] = value if key.isupper() else _json(text, value)
    return found


def _json(text, value):
    try:
        return json.loads(value)
    except json.JSONDecodeError as error:
        raise UserError(f"--variants: {text}: {value}: expected JSON, such as true") from error


def _known(name):
    found = {}
    for one in name.split("+"):
        if one not in VARIANTS:
            raise UserError(
                f"--variants: {one}: expected one of {', '.join(VARIANTS)}, or {one}:KEY=VALUE"
            )
        settings = VARIANTS[one]
        flags = " ".join(filter(None, (found.get("XLA_FLAGS"), settings.get("XLA_FLAGS"))))
        found |= settings | ({"XLA_FLAGS": flags} if flags else {})
    return found


def split(settings, environment):
    """Returns the environment's part of a variant's settings, and the options.

    Args:
        environment: what is set already; to its XLA_FLAGS a variant's are added.
    """
    own = {"XDG_CACHE_HOME": cache_folder(settings)}
    own |= {key: value for key, value in settings.items() if key.isupper()}
    if "XLA_FLAGS" in own:
        own["XLA_FLAGS"] = f"{environment.get('XLA_FLAGS', '')} {own['XLA_FLAGS']}".strip()
    return own, {key: value for key, value in settings.items() if not key.isupper()}


def cache_folder(settings):
    """Returns where a variant keeps what XLA has compiled, which no other may read.

    TensorFlow does not look at XLA's flags when it looks for what it has.
    """
    text = json.dumps(settings, sort_keys=True)
    name = hashlib.sha256(text.encode()).hexdigest()[:16]
    return os.path.join(tempfile.gettempdir(), "gpu_check_cache", name)
