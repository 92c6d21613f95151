"""Projection heads, initialised as `torch.nn.Linear` is: weights and biases U(±1/√fan_in)."""

import keras


def linear_head(features, dim):
    """Returns MoCo v1's head, `features` → `dim` (arXiv 1911.05722, §3.3)."""
    return keras.Sequential([vectors(features), linear(features, dim, "fc")], name="head")


def mlp_head(features, dim):
    """Returns MoCo v2's head, `features` → `features` → ReLU → `dim` (arXiv 2003.04297, §3)."""
    layers = [
        vectors(features),
        linear(features, features, "fc.0"),
        keras.layers.ReLU(name="fc.1"),
        linear(features, dim, "fc.2"),
    ]
    return keras.Sequential(layers, name="head")


def linear(inputs, outputs, name, bias=True):
    """Returns a dense layer with PyTorch's default initialisation."""
    bound = inputs**-0.5
    return keras.layers.Dense(
        outputs,
        use_bias=bias,
        kernel_initializer=keras.initializers.RandomUniform(-bound, bound),
        bias_initializer=keras.initializers.RandomUniform(-bound, bound),
        name=name,
    )


def vectors(features):
    """Returns the input of a head."""
    # Keras would cast to float32 on the way in, also under a float64 policy.
    return keras.Input((features,), dtype=keras.config.dtype_policy().compute_dtype)
