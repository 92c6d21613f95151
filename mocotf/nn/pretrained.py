"""Weights that others have trained, for a backbone to begin with."""

from mocotf.errors import UserError
from mocotf.errors import first_line
from mocotf.nn.backbone import backbone_maker
from mocotf.nn.backbone import maker_of
from mocotf.nn.model_copies import read_file
from mocotf.nn.resnet import ResNet
from mocotf.nn.stem_channels import RGB
from mocotf.nn.stem_channels import adapt_stem

IMAGENET = "imagenet"
BACKBONE = "backbone"
ENCODER = {BACKBONE, "head", "unit_length"}  # layers of what `mocotf.nn.plain.plain` makes


def pretrained(settings, start, image_size, channels=None):
    """Returns a `keras.Model` that has the weights to begin with.

    Args:
        settings: `EncoderSettings`.
        start: "imagenet", for the weights of keras.applications; a `.keras` file, of a backbone or of
            an encoder that `mocotf.convert --to=keras` wrote; or the name or folder of a preset of
            KerasHub.
        image_size: side of the images, pixels.
        channels: of images that are not RGB, whatever the weights were trained on; None: RGB.

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
            return backbone_maker(settings, image_size, channels and RGB, weights=IMAGENET)()
        return maker_of(settings).from_preset(start)
    except AttributeError as error:
        raise UserError(
            f"--init_from={start}: no such run, checkpoint or .keras file, and --backbone="
            f"{settings.backbone} has no presets; expected one of those, or nothing"
        ) from error
    except Exception as error:  # of downloads and files that are not ours
        raise UserError(f"--init_from={start}: {first_line(error)}") from error


def take_weights(backbone, model, start):
    """Copies weights to the backbone of an encoder, its first convolution as `adapt_stem` has it.

    Args:
        backbone: a `ResNet` or a `KerasBackbone`.
        model: as `pretrained` returns.
        start: what messages call it.

    Raises:
        UserError: it is of another architecture.
    """
    mine = backbone if isinstance(backbone, ResNet) else backbone.model
    named = _by_layer if isinstance(backbone, ResNet) else _by_place
    variables = named(mine)
    shapes = {name: tuple(v.shape) for name, v in variables.items()}
    values = {name: v.numpy() for name, v in named(model).items()}
    values = adapt_stem(values, shapes, f"--init_from={start}")
    found = {name: value.shape for name, value in values.items()}
    if found != shapes:
        odd = [(a, b) for a, b in zip(found.values(), shapes.values(), strict=False) if a != b]
        where = f"the first that differs is {odd[0][0]}, expected {odd[0][1]}; " if odd else ""
        raise UserError(
            f"--init_from={start}: is of another architecture: {len(found)} weights, expected "
            f"{len(shapes)}; {where}expected the same backbone and the same --backbone_args"
        )
    for name, variable in variables.items():
        variable.assign(values[name])


def _by_layer(resnet):  # Keras's own layers order their weights otherwise
    return {f"{layer.name}/{v.name}": v for layer in resnet.layers for v in layer.weights}


def _by_place(model):
    return dict(enumerate(model.weights))


def _of_file(path):
    model = read_file(path, f"--init_from={path}", "model.save or mocotf.convert --to=keras")
    layers = {layer.name: layer for layer in model.layers}
    return layers[BACKBONE] if layers.keys() >= ENCODER else model
