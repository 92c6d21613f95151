"""The flag of commands that tune a whole network: learning rates of some of its layers."""

import math

from absl import flags

from mocotf.errors import UserError

FLAGS = flags.FLAGS

flags.DEFINE_list(
    "lr_scale",
    [],
    "LAYER:FACTOR,…: multiplies --lr for layers whose name begins so, the longest one that fits; as "
    "conv1:.1,layer1:.1,fc:10.",
)


def lr_scales():
    """Returns the beginning of a layer's name → factor that --lr_scale gives.

    Raises:
        UserError: it gives something else.
    """
    pairs = {}
    for text in FLAGS.lr_scale:
        prefix, colon, factor = text.partition(":")
        try:
            pairs[prefix] = float(factor)
        except ValueError:
            colon = ""
        if not (prefix and colon and 0 <= pairs[prefix] < math.inf):
            raise UserError(
                f"--lr_scale={text}: expected LAYER:FACTOR, such as layer1:.1, factors from 0"
            )
    return pairs
