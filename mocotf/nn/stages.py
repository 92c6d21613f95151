"""The maps of a Keras model that detection and segmentation take: the last of each stride."""

import keras

SIDE = 224  # pixels of the images by which a model that takes any is judged
LEVELS = (2, 3, 4, 5)  # level n is of stride 2ⁿ


def stages_of(model):
    """Returns the stages of a `keras.Model`: name → (`keras.KerasTensor`, stride), from fine to coarse.

    A stage is the last map `[n, H / stride, W / stride, C]`, of more than one place, of a stride: 4, 8,
    16 or 32, by KerasHub's name "P2" to "P5". It is one of the model's own `pyramid_outputs`, if there
    are such; else one that everything later depends on, and on nothing else of what was before.

    Args:
        model: functional or sequential, built; others tell nothing of what is in them.

    Returns:
        The stages, two or more; None for other models, such as vision transformers.
    """
    inputs = getattr(model, "inputs", None)
    if not inputs:
        return None
    maps = list((getattr(model, "pyramid_outputs", None) or {}).values()) or _cuts(model)
    *size, channels = inputs[0].shape[1:]
    size = (SIDE, SIDE) if None in size else size
    shapes = keras.Model(inputs, maps).compute_output_shape((None, *size, channels))
    found = {_level(shape, size): tensor for tensor, shape in zip(maps, shapes, strict=True)}
    levels = sorted(found.keys() - {None})
    return {f"P{n}": (found[n], 2**n) for n in levels} if len(levels) > 1 else None


def _cuts(model):
    """Returns, in order, each tensor that is all that later layers take of what was before them."""
    nodes = keras.Model(model.inputs, model.outputs)._nodes_by_depth
    nodes = [node for depth in sorted(nodes, reverse=True) for node in nodes[depth]]
    last_use = {id(tensor): i for i, node in enumerate(nodes) for tensor in node.input_tensors}
    cuts, needed_until = [], 0
    for i, node in enumerate(nodes):
        if len(node.outputs) == 1 and needed_until <= i:
            cuts += node.outputs
        needed_until = max(needed_until, *(last_use.get(id(tensor), i) for tensor in node.outputs))
    return cuts


def _level(shape, size):
    """Returns n, of `LEVELS`, of a map whose stride is 2ⁿ; None of anything else."""
    if len(shape) == 4 and None not in shape[1:3] and min(shape[1:3]) > 1:
        for n in LEVELS:
            if tuple(side * 2**n for side in shape[1:3]) == tuple(size):
                return n
    return None
