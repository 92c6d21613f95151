"""What is drawn for a view, and from which distributions."""

import dataclasses

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """The random transformation that makes a view of an image.

    Attributes:
        size: side of the view in pixels.
        min_area: smallest share of the image's area in a crop; the largest is 1.
        jitter: strengths of brightness, contrast, saturation and hue.
        jitter_prob: share of views that are jittered.
        gray_prob: share of views in gray.
        gray_first: gray before jitter (v1) or after (v2).
        blur_prob: share of views that are blurred, with σ from U(.1, 2) pixels.
        mean, std: per channel, for images in [0, 1], or with `channels` as files have them.
        key_min_area: the smallest share in a crop of the second view, x_k; None: as of the first.
        channels: of images that are not RGB; None: RGB of 8 bits.
        jitter_each: brightness and contrast have a factor for each of the channels.
        show_channels: which of the channels pictures show, from 1: three, or one in gray; None: the
            first three, or the first.
    """

    size: int = 224
    min_area: float = 0.2
    jitter: tuple[float, float, float, float] = (0.4, 0.4, 0.4, 0.1)
    jitter_prob: float = 0.8
    gray_prob: float = 0.2
    gray_first: bool = False
    blur_prob: float = 0.5
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    key_min_area: float | None = None
    channels: int | None = None
    jitter_each: bool = False
    show_channels: tuple[int, ...] | None = None

    @property
    def shape(self):
        """Of a view: (size, size, channels)."""
        return self.size, self.size, len(self.mean)

    @property
    def white(self):
        """What is 1 in the units of `mean` and `std`: a level of 255, or 1 in a file's own units."""
        return 1 if self.channels else 255

    def min_areas(self, views):
        """Returns the smallest share of each view: of x_q, and if there are 2 of x_k."""
        return (self.min_area, self.key_min_area or self.min_area)[:views]


def v1(**changes):
    """MoCo v1: crop, gray .2, jitter (.4, .4, .4, .4) always, flip (arXiv 1911.05722, §4)."""
    published = {
        "jitter": (0.4, 0.4, 0.4, 0.4),
        "jitter_prob": 1.0,
        "gray_first": True,
        "blur_prob": 0.0,
    }
    return Augmentation(**(published | changes))


def v2(**changes):
    """MoCo v2: crop, jitter (.4, .4, .4, .1) p .8, gray .2, blur p .5, flip (arXiv 2003.04297)."""
    return Augmentation(**changes)


# Every random number of a view has a slot in one vector of uniforms in [0, 1).
TRIES = 10
AREA = slice(0, TRIES)
ASPECT = slice(TRIES, 2 * TRIES)
TOP, LEFT, FLIP, JITTER, ORDER, FACTORS, GRAY, BLUR, SIGMA = (
    20,
    21,
    22,
    23,
    24,
    slice(25, 29),
    29,
    30,
    31,
)
DRAWS = 32
