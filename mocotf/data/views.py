"""From cropped images to views: jitter, gray, blur, flip, normalise, each draw per image."""

import tensorflow as tf

from mocotf.data import color
from mocotf.data import recipe


def view_draws(seed, number):
    """Returns the uniforms of both views of image `number` of the run, float32 `[2, DRAWS]`."""
    key = tf.stack([tf.cast(seed, tf.int64), tf.cast(number, tf.int64)])
    return tf.random.stateless_uniform([2, recipe.DRAWS], key)


def augment(images, draws, augmentation):
    """Returns views of cropped images, as the encoder sees them.

    Args:
        images: float32 `[n, S, S, 3]` in [0, 1].
        draws: uniforms `[n, DRAWS]`.
        augmentation: an `Augmentation`.

    Returns:
        float32 `[n, S, S, 3]`, normalised.
    """
    if augmentation.gray_first:
        images = _random_gray(images, draws, augmentation)
    images = _random_jitter(images, draws, augmentation)
    if not augmentation.gray_first:
        images = _random_gray(images, draws, augmentation)
    images = _random_blur(images, draws, augmentation)
    flip = draws[:, recipe.FLIP] < 0.5
    images = tf.where(flip[:, None, None, None], images[:, :, ::-1], images)
    return normalize(images, augmentation)


def normalize(images, augmentation):
    """Returns (images - mean) / std per channel, for images in [0, 1]."""
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
    factors = neutral + (2 * draws[:, recipe.FACTORS] - 1) * strengths
    return tf.where(draws[:, recipe.JITTER, None] < augmentation.jitter_prob, factors, neutral)


def _random_jitter(images, draws, augmentation):
    factors = jitter_factors(draws, augmentation)
    return color.jitter(images, draws[:, recipe.ORDER], factors, augmentation.jitter)


def _random_gray(images, draws, augmentation):
    if not augmentation.gray_prob:
        return images
    chosen = draws[:, recipe.GRAY] < augmentation.gray_prob
    return tf.where(chosen[:, None, None, None], color.gray(images), images)


def _random_blur(images, draws, augmentation):
    if not augmentation.blur_prob:
        return images
    chosen = draws[:, recipe.BLUR] < augmentation.blur_prob
    sigma = tf.where(chosen, 0.1 + 1.9 * draws[:, recipe.SIGMA], 0.0)
    return tf.cond(tf.reduce_any(chosen), lambda: color.blur(images, sigma), lambda: images)
