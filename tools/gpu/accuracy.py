"""Batch norm on the card held against float64: a part of tools/gpu_check.py.

Images have standard deviation 1 and a mean far from 0, where a variance that is computed as a
difference of large numbers is lost. What TensorFlow takes for its kernels is set by the environment,
once a process.
"""

import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from tools.gpu import child
from tools.gpu import part

SWITCH = "TF_USE_CUDNN_BATCHNORM_SPATIAL_PERSISTENT"
WAYS = {
    "cuDNN": ({SWITCH: "0"}, "operator"),
    "cuDNN, persistent": ({SWITCH: "1"}, "operator"),
    "as set without XLA": ({}, "operator"),
    "XLA's own": ({}, "compiled operator"),
    "as set with XLA": ({}, "compiled whole"),
}
MEANS = (0.0, 1.0, 10.0, 100.0)
DTYPES = ("float32", "bfloat16", "float16")
SHAPES = ((64, 56, 56, 64), (64, 14, 14, 256))
EPSILON = 1e-5


def main():
    if len(sys.argv) > 2:
        return measure(json.loads(sys.argv[2]))
    asked = part.options()
    shapes = [[4, 8, 8, 16]] if asked["tiny"] else SHAPES
    dtypes = ["bfloat16"] if asked["tiny"] else DTYPES
    jobs, found = {}, {}
    for way, (environment, how) in WAYS.items():
        work = json.dumps({"shapes": shapes, "dtypes": dtypes, "how": how})
        jobs[way] = ([sys.executable, os.path.abspath(__file__), "{}", work], environment)
    if asked["tiny"]:
        jobs = {way: jobs[way] for way in list(jobs)[-1:]}
    for way, outcome in child.run_all(jobs, asked["deadline"], len(jobs)):
        found[way] = child.last_json(outcome["out"]) or {"said": child.last_line(outcome)}
        part.report({"errors": found})
    return None


def measure(work):
    """Prints the errors of this process's batch norm, dtype → mean → quantity → largest of shapes."""
    import mocotf.cli  # noqa: F401  (first: it keeps TensorFlow's notices off the terminal)

    found = {}
    for dtype in work["dtypes"]:
        for mean in MEANS:
            errors = [errors_of(shape, dtype, mean, work["how"]) for shape in work["shapes"]]
            found.setdefault(dtype, {})[str(mean)] = {
                name: max(error[name] for error in errors) for name in errors[0]
            }
            part.report(found)


def errors_of(shape, dtype, mean, how):
    """Returns ‖found − exact‖ / ‖exact‖ of batch norm's results and gradients.

    Args:
        shape: of the images, `[n, H, W, C]`.
        dtype: of the images.
        mean: of them.
        how: whether XLA compiles it, and whether the layer knows that it does.
    """
    import numpy as np
    import tensorflow as tf

    random = np.random.default_rng(0)
    x, dy = (tf.cast(random.normal(about, 1, shape).astype(np.float32), dtype) for about in (mean, 0.0))
    gamma, beta = (random.uniform(0.5, 1.5, shape[-1]).astype(np.float32) for _ in range(2))
    found = _found(x, dy, gamma, beta, how)
    exact = _exact(*(tf.cast(a, tf.float64).numpy() for a in (x, dy)), gamma, beta)

    def error(name):
        wrong = tf.cast(found[name], tf.float64).numpy() - exact[name]
        return float(np.linalg.norm(wrong.ravel()) / np.linalg.norm(exact[name].ravel()))

    return {name: error(name) for name in exact}


def _found(x, dy, gamma, beta, how):
    """Returns what the layer computes."""
    import tensorflow as tf

    from mocotf.nn import xla
    from mocotf.nn.batch_norm import BatchNorm

    policy = f"mixed_{x.dtype.name}" if x.dtype.size == 2 else x.dtype.name
    layer = BatchNorm(momentum=0.0, epsilon=EPSILON, dtype=policy)
    layer.build(x.shape)
    layer.gamma.assign(gamma)
    layer.beta.assign(beta)

    @tf.function(jit_compile=how != "operator", autograph=False)
    def run(x, dy):
        with tf.GradientTape() as tape, xla.compiled_whole(how == "compiled whole"):
            tape.watch(x)
            y = layer(x, training=True)
        affine = layer.gamma.value, layer.beta.value
        return y, *tape.gradient(y, (x, *affine), dy)

    names = ("y", "dx", "dgamma", "dbeta")
    found = dict(zip(names, run(x, dy), strict=True))
    return found | {"variance": layer.moving_variance.value}  # without momentum, the batch's


def _exact(x, dy, gamma, beta):
    """Returns the same, of float64 arrays."""
    import numpy as np

    axes, count = (0, 1, 2), x.size // x.shape[-1]
    mean, biased = x.mean(axes), x.var(axes)
    normal = (x - mean) / np.sqrt(biased + EPSILON)
    dgamma, dbeta = (dy * normal).sum(axes), dy.sum(axes)
    dx = gamma / np.sqrt(biased + EPSILON) * (dy - dbeta / count - normal * dgamma / count)
    found = {"y": gamma * normal + beta, "dx": dx, "dgamma": dgamma, "dbeta": dbeta}
    return found | {"variance": biased * count / (count - 1)}


if __name__ == "__main__":
    main()
