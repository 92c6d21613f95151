"""Weights that others have trained, for a backbone to begin with."""

from mocotf.errors import UserError
from mocotf.errors import first_line
from mocotf.nn.backbone import backbone_maker
from mocotf.nn.backbone import maker_of
from mocotf.nn.model_copies import read_file
from mocotf.nn.plain import copy_by_name
from mocotf.nn.resnet import ResNet

IMAGENET = "imagenet"
BACKBONE = "backbone"
ENCODER = {BACKBONE, "head", "unit_length"}  # layers of what `mocotf.nn.plain.plain` makes


def pretrained(settings, start, image_size):
    """Returns a `keras.Model` that has the weights to begin with.

    Args:
        settings: `EncoderSettings`.
        start: "imagenet", for the weights of keras.applications; a `.keras` file, of a backbone or of
            an encoder that `mocotf.convert --to=keras` wrote; or the name or folder of a preset of
            KerasHub.
        image_size: side of the images, pixels.

    Raises:
        UserError: there are none for this backbone, or they cannot be read.
    """
    if start.endswith(".keras"):
        return _of_file(start)
    if not settings.backbone:
        raise UserError(
            f"--init_from={start}: no such run or checkpoint; a ResNet of mocotf begins with a run, or "
            "with a .keras file of mocotf.convert; try mocotf.convert --from=torch"
        )
    try:
        if start == IMAGENET:
            return backbone_maker(settings, image_size, weights=IMAGENET)()
        return maker_of(settings).from_preset(start)
    except AttributeError as error:
        raise UserError(
            f"--init_from={start}: no such run, checkpoint or .keras file, and --backbone="
            f"{settings.backbone} has no presets"
        ) from error
    except Exception as error:  # of downloads and files that are not ours
        raise UserError(f"--init_from={start}: {first_line(error)}") from error


def take_weights(backbone, model, start):
    """Copies weights to the backbone of an encoder.

    Args:
        backbone: a `ResNet` or a `KerasBackbone`.
        model: as `pretrained` returns.
        start: what messages call it.

    Raises:
        UserError: it is of another architecture.
    """
    mine = backbone if isinstance(backbone, ResNet) else backbone.model
    found, expected = ([tuple(w.shape) for w in one.weights] for one in (model, mine))
    if sorted(found) != sorted(expected):
        odd = [(a, b) for a, b in zip(found, expected, strict=False) if a != b]
        where = f"the first that differs is {odd[0][0]}, expected {odd[0][1]}; " if odd else ""
        raise UserError(
            f"--init_from={start}: is of another architecture: {len(found)} weights, expected "
            f"{len(expected)}; {where}expected the same backbone and the same --backbone_args"
        )
    if isinstance(backbone, ResNet):
        copy_by_name(model, mine)
    else:
        mine.set_weights(model.get_weights())


def _of_file(path):
    model = read_file(path, f"--init_from={path}", "model.save or mocotf.convert --to=keras")
    layers = {layer.name: layer for layer in model.layers}
    return layers[BACKBONE] if layers.keys() >= ENCODER else model
