"""What is drawn for a view and with what chance, and how the operators make one."""

import dataclasses
import itertools

import numpy as np
import pytest
from scipy import stats

from mocotf.data.views import augmentations
from mocotf.data.views import color
from mocotf.data.views import tensorflow_ops
from tests.data.support import assert_same_distribution
from tests.data.support import assert_share
from tests.data.support import many_draws
from tests.data.support import photograph
from tests.data.support import uniform
from tests.oracles import pillow_ops

PLAIN = augmentations.Augmentation(
    jitter=(0, 0, 0, 0), gray_prob=0, blur_prob=0, mean=(0, 0, 0), std=(1, 1, 1)
)
COFFEE = (photograph("coffee.png", 24, 36) / 255).astype(np.float32)


def all_draws():
    return many_draws().reshape(-1, augmentations.DRAWS)


def changed(augmentation, image, draws):
    """Returns the views that `augmentation`, next to PLAIN, makes of one image."""
    images = np.repeat(255 * image[None], len(draws), axis=0)
    return tensorflow_ops.augment(images, draws, augmentation).numpy()


def test_views_are_the_same_with_and_without_conditions():
    draws = all_draws()[:40]
    images = np.repeat(255 * COFFEE[None], len(draws), axis=0)
    for recipe in augmentations.v1(blur_prob=0.5), augmentations.v2():
        ours, theirs = (tensorflow_ops.augment(images, draws, recipe, c) for c in (True, False))
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


# ---- Recipes


def test_recipes_are_the_papers():
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    papers = {"size": 224, "min_area": 0.2, "gray_prob": 0.2, "mean": mean, "std": std}
    assert augmentations.v1() == augmentations.Augmentation(
        **papers, jitter=(0.4, 0.4, 0.4, 0.4), jitter_prob=1, gray_first=True, blur_prob=0
    )
    assert augmentations.v2() == augmentations.Augmentation(
        **papers, jitter=(0.4, 0.4, 0.4, 0.1), jitter_prob=0.8, gray_first=False, blur_prob=0.5
    )
    assert (
        augmentations.v1(size=32, blur_prob=0.1).blur_prob == 0.1
        and augmentations.v2(size=32).size == 32
    )


def oracle_view(image, draw, augmentation):
    """One view by the NumPy definitions: grayscale first or last, blur, flip, normalise."""

    def gray(image):
        return (
            pillow_ops.grayscale(image) if draw[augmentations.GRAY] < augmentation.gray_prob else image
        )

    names = np.array(["brightness", "contrast", "saturation", "hue"])
    u = 2 * draw[augmentations.FACTORS] - 1
    factors = dict(zip(names, np.array([1, 1, 1, 0]) + u * augmentation.jitter, strict=True))
    order = list(itertools.permutations(range(4)))[int(draw[augmentations.ORDER] * 24)]
    if augmentation.gray_first:
        image = gray(image)
    if draw[augmentations.JITTER] < augmentation.jitter_prob:
        image = pillow_ops.jitter(image, names[list(order)], factors)
    if not augmentation.gray_first:
        image = gray(image)
    if draw[augmentations.BLUR] < augmentation.blur_prob:
        image = pillow_ops.blur(image, 0.1 + 1.9 * draw[augmentations.SIGMA])
    if draw[augmentations.FLIP] < 0.5:
        image = image[:, ::-1]
    return pillow_ops.normalise(image, augmentation.mean, augmentation.std)


@pytest.mark.parametrize("augmentation", [augmentations.v1(), augmentations.v2()], ids=["v1", "v2"])
def test_views_are_the_operators_in_the_papers_order(augmentation):
    draws = all_draws()[:60]
    ours = changed(augmentation, COFFEE, draws)
    exact = np.stack([oracle_view(COFFEE, draw, augmentation) for draw in draws])
    np.testing.assert_allclose(ours, exact, atol=1e-3)  # 2e-4 of 1, over the standard deviation

    swapped = dataclasses.replace(augmentation, gray_first=not augmentation.gray_first)
    other = np.stack([oracle_view(COFFEE, draw, swapped) for draw in draws])
    is_gray = draws[:, augmentations.GRAY] < 0.2
    differ = np.abs(ours - other).max((1, 2, 3)) > 0.01
    assert differ[is_gray].mean() > 0.5 and not differ[~is_gray].any()


# ---- Draws


def test_every_random_number_has_a_slot_of_its_own():
    slots = [
        augmentations.AREA,
        augmentations.ASPECT,
        augmentations.TOP,
        augmentations.LEFT,
        augmentations.FLIP,
        augmentations.JITTER,
    ]
    slots += [
        augmentations.ORDER,
        augmentations.FACTORS,
        augmentations.GRAY,
        augmentations.BLUR,
        augmentations.SIGMA,
    ]
    taken = np.concatenate([np.atleast_1d(np.arange(augmentations.DRAWS)[slot]) for slot in slots])
    assert sorted(taken) == list(range(augmentations.DRAWS))


def test_draws_are_uniform_and_independent():
    draws = many_draws()
    for slot in range(augmentations.DRAWS):
        assert_same_distribution(draws[..., slot], uniform(0, 1))
    # Slots, views, and an image and the next: no correlation beyond 4.5 of its standard deviations.
    together = np.concatenate([draws[:-1, 0], draws[:-1, 1], draws[1:, 0]], axis=1)
    correlation = np.corrcoef(together.T) - np.eye(3 * augmentations.DRAWS)
    assert np.abs(correlation).max() < 4.5 / np.sqrt(len(together))


def test_draws_are_a_function_of_seed_and_number():
    one = tensorflow_ops.view_draws(3, 77).numpy()
    np.testing.assert_array_equal(one, many_draws(100, seed=3)[77])
    for other in (
        tensorflow_ops.view_draws(4, 77),
        tensorflow_ops.view_draws(3, 78),
        tensorflow_ops.view_draws(77, 3),
    ):
        assert not np.any(one == other)
    assert not np.any(one[0] == one[1])
    assert not np.any(tensorflow_ops.view_draws(3, 77 + 2**32) == one)


# ---- Strength and chance of each operator

V1, V2 = augmentations.v1(), augmentations.v2()


@pytest.mark.parametrize(("augmentation", "hue"), [(V1, 0.4), (V2, 0.1)], ids=["v1", "v2"])
def test_jitter_factors_are_uniform(augmentation, hue):
    factors = tensorflow_ops.jitter_factors(all_draws(), augmentation).numpy()
    drawn = np.any(factors != [1, 1, 1, 0], axis=1)
    assert_share(drawn, augmentation.jitter_prob)
    for operator in range(3):
        assert_same_distribution(factors[drawn, operator], uniform(0.6, 1.4))
    assert_same_distribution(factors[drawn, color.HUE], uniform(-hue, hue))


def events(draws):
    """Returns bool `[n, 4]`: jittered, gray, blurred, flipped; told from what became of an image."""
    image = COFFEE[::5, ::6]
    with_one = {"jitter": (0.4, 0, 0, 0)}, {"gray_prob": 0.2}, {"blur_prob": 0.5}, {}
    neutral = draws.copy()
    neutral[:, augmentations.FLIP] = 0.9
    seen = []
    for change, drawn in zip(with_one, (neutral, neutral, neutral, draws), strict=True):
        result = changed(dataclasses.replace(PLAIN, **change), image, drawn)
        seen.append(np.any(np.abs(result - image) > 1e-7, axis=(1, 2, 3)))
    return np.stack(seen, axis=1)


def test_each_operator_is_applied_with_its_chance_for_each_view():
    seen = events(np.where(all_draws() < 0.11, 0.11, all_draws()))  # σ < .3 hardly shows
    for hits, chance in zip(seen.T, (0.8, 0.2, 0.5, 0.5), strict=True):
        assert_share(hits, chance)
    chances = [np.prod(c) for c in itertools.product((0.2, 0.8), (0.8, 0.2), (0.5, 0.5), (0.5, 0.5))]
    found = np.bincount(seen @ [8, 4, 2, 1], minlength=16)
    assert stats.chisquare(found, np.array(chances) * len(seen)).pvalue > 1e-3  # independent
    for column in range(4):  # an image's two views
        table = np.bincount(seen[:, column].reshape(-1, 2) @ [2, 1], minlength=4).reshape(2, 2)
        assert stats.chi2_contingency(table).pvalue > 1e-3


def test_sigma_of_the_blur_is_uniform():
    impulse = np.zeros([17, 17, 3], np.float32)
    impulse[8, 8] = 1
    grid = np.linspace(0.3, 2, 500)
    peaks = [pillow_ops.blur(impulse, sigma)[8, 8, 0] for sigma in grid]
    draws = all_draws()[:4000]
    peak = changed(dataclasses.replace(PLAIN, blur_prob=1), impulse, draws)[:, 8, 8, 0]
    wide = peak < peaks[0]  # where the peak still tells σ
    assert_share(wide, 1.7 / 1.9)
    sigma = np.interp(-peak[wide], -np.array(peaks), grid)
    assert_same_distribution(sigma, uniform(0.3, 2))


def test_flip_mirrors_left_and_right_and_views_are_normalised():
    draws = np.full([2, augmentations.DRAWS], 0.9, np.float32)
    draws[1, augmentations.FLIP] = 0.1
    normalised = dataclasses.replace(PLAIN, mean=V2.mean, std=V2.std)
    kept, flipped = changed(normalised, COFFEE, draws)
    np.testing.assert_allclose(kept, pillow_ops.normalise(COFFEE), atol=1e-5)
    np.testing.assert_array_equal(flipped, kept[:, ::-1])
