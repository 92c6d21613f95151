"""From cropped images to views: jitter, gray, blur, flip, normalise, each draw per image."""

import functools

import tensorflow as tf

from mocotf.data.views import augmentations
from mocotf.data.views import color

DISTINCT = 1 << 23  # values that a uniform float32 in [0, 1) has


def view_draws(seed, key):
    """Returns the uniforms of both views of the image that `key` stands for, float32 `[2, DRAWS]`."""
    key = tf.stack([tf.cast(seed, tf.int64), tf.cast(key, tf.int64)])
    return tf.random.stateless_uniform([2, augmentations.DRAWS], key)


# XLA fuses the operators into a few loops: 5 times faster than one by one, on a CPU too.
@functools.partial(tf.function, jit_compile=True, autograph=False)
def augment(images, draws, augmentation, conditions=True):
    """Returns views of cropped images, as the encoder sees them.

    Args:
        images: `[n, S, S, 3]` in 0…255, or `[n, S, S, channels]` in their own units; n and S static;
            any dtype.
        draws: uniforms `[n, DRAWS]`.
        augmentation: an `Augmentation`.
        conditions: leave out what no image is drawn for, as a CPU should and a GPU should not.

    Returns:
        float32 of the shape of `images`, normalised.
    """
    images = tf.transpose(tf.cast(images, tf.float32) / augmentation.white, [0, 3, 1, 2])
    if augmentation.gray_first:
        images = _random_gray(images, draws, augmentation, conditions)
    images = _random_jitter(images, draws, augmentation, conditions)
    if not augmentation.gray_first:
        images = _random_gray(images, draws, augmentation, conditions)
    images = _random_blur(images, draws, augmentation, conditions)
    flip = draws[:, augmentations.FLIP] < 0.5
    images = tf.where(flip[:, None, None, None], images[..., ::-1], images)
    return normalize(tf.transpose(images, [0, 2, 3, 1]), augmentation)


def normalize(images, augmentation):
    """Returns (images - mean) / std per channel, for images `[…, 3]` in [0, 1]."""
    return (images - tf.constant(augmentation.mean, tf.float32)) / tf.constant(
        augmentation.std, tf.float32
    )


def jitter_factors(draws, augmentation):
    """Returns the jitter of each image as `color.jitter` takes it, `[n, 4]`.

    Factors are U(1 - s, 1 + s), the hue shift U(-s, s); images not drawn for jitter get those that
    change nothing.
    """
    strengths = tf.constant(augmentation.jitter, tf.float32)
    neutral = tf.constant([1.0, 1.0, 1.0, 0.0])
    factors = neutral + (2 * draws[:, augmentations.FACTORS] - 1) * strengths
    return tf.where(_jittered(draws, augmentation)[:, None], factors, neutral)


def _factors_of_channels(draws, factors, augmentation):
    """Returns the factors of brightness and contrast, `[n, 2, channels]`: one for all, or of each."""
    if not augmentation.jitter_each:
        return tf.repeat(factors[:, :2, None], augmentation.channels, axis=2)
    seeds = tf.cast(draws[:, augmentations.FACTORS][:, :2] * DISTINCT, tf.int64)
    uniforms = tf.map_fn(
        lambda seed: tf.random.stateless_uniform([2, augmentation.channels], seed),
        seeds,
        fn_output_signature=tf.float32,
    )
    own = 1 + (2 * uniforms - 1) * tf.constant(augmentation.jitter[:2])[:, None]
    return tf.where(_jittered(draws, augmentation)[:, None, None], own, 1.0)


def _jittered(draws, augmentation):
    return draws[:, augmentations.JITTER] < augmentation.jitter_prob


def _random_jitter(images, draws, augmentation, conditions):
    factors = jitter_factors(draws, augmentation)
    if augmentation.channels:
        return color.scale(
            images, *tf.unstack(_factors_of_channels(draws, factors, augmentation), axis=1)
        )
    return color.where_any(
        _jittered(draws, augmentation),
        lambda x: color.jitter(
            x, draws[:, augmentations.ORDER], factors, augmentation.jitter, conditions
        ),
        images,
        conditions,
    )


def _random_gray(images, draws, augmentation, conditions):
    if not augmentation.gray_prob:
        return images
    chosen = draws[:, augmentations.GRAY] < augmentation.gray_prob
    return color.where_any(chosen, lambda x: tf.repeat(color.gray(x), 3, axis=1), images, conditions)


def _random_blur(images, draws, augmentation, conditions):
    if not augmentation.blur_prob:
        return images
    chosen = draws[:, augmentations.BLUR] < augmentation.blur_prob
    sigma = 0.1 + 1.9 * draws[:, augmentations.SIGMA]
    return color.where_any(chosen, lambda x: color.blur(x, sigma), images, conditions)
