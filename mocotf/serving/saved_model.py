"""The SavedModel: signatures to be served, and callables to be trained on."""

import tensorflow as tf

from mocotf.data.views.formats import SERVED_PIXELS
from mocotf.data.views.tensorflow_ops import normalize
from mocotf.nn.keras_backbones import KerasBackbone
from mocotf.nn.kernels import policy
from mocotf.serving.folding import fold
from mocotf.serving.requests import CLASSIFY
from mocotf.serving.requests import signatures_of
from mocotf.serving.requests import views_of


def save(encoder, view, folder, classifier=None, upright=False, max_pixels=SERVED_PIXELS):
    """Writes an encoder as a SavedModel, which needs nothing but TensorFlow to be used.

    - Signatures, of `signatures_of`, for TF Serving, by the backbone with batch norm folded: any number
      of images to embedding `[n, D]`, of unit length, features `[n, C]`, both float32 and zero for what
      is no image, and valid, bool `[n]`. With a classifier also CLASSIFY: what `serving_default` takes
      to probabilities `[n, classes]` and label, a string `[n]`, "" for what is no image.
    - `features(images)`, `embedding(images)` and, by batch statistics, which the moving ones follow,
      `features_in_training(images)`, `embedding_in_training(images)`, of images float32 `[n, H, W, C]`,
      RGB in [0, 1], others as files have them, of any size unless the backbone was made for one:
      endpoints for `keras.layers.TFSMLayer`.
    - TensorFlow's interface of reusable SavedModels: `__call__(images, training)`, for features,
      `variables`, `trainable_variables` and `regularization_losses`.

    Args:
        encoder: an `Encoder` whose batch norm takes a batch as one group.
        view: the `Augmentation` that has the size, mean and std of what the encoder takes.
        folder: an existing one.
        classifier: a `Head` for the backbone's features; None for none.
        upright: signatures that take encoded images turn them as their EXIF says.
        max_pixels: of an encoded image, see `DataSettings`; a larger one is no image to them.

    Raises:
        tf.errors.OpError: the folder cannot be written.
    """
    root = tf.train.Checkpoint()
    root.variables = _values(encoder.backbone.variables)
    root.trainable_variables = _values(encoder.backbone.trainable_variables)
    root.regularization_losses = []
    root.head_variables = _values(encoder.head.variables)
    with policy.plain():
        _add_callables(root, encoder, view)
        folded = fold(encoder.backbone)
        root.folded_variables = _values(folded.variables)
        asked = signatures_of(view.channels, max_pixels)
        signatures = {
            name: _signature(*one, folded, encoder, view, upright) for name, one in asked.items()
        }
        if classifier:
            root.classifier = [tf.Variable(classifier.kernel), tf.Variable(classifier.bias)]
            names = tf.constant(classifier.names)
            signatures[CLASSIFY] = _classify(
                *asked["serving_default"], folded, *root.classifier, names, view, upright
            )
        tf.saved_model.save(root, folder, signatures=signatures)


def _values(variables):
    return [variable.value for variable in variables]


def _add_callables(root, encoder, view):
    def features(images, training=False):
        x = encoder.backbone(normalize(images, view), training=training)
        return tf.cast(x, tf.float32)

    def embedding(images, training=False):
        x = encoder.backbone(normalize(images, view), training=training)
        return encoder.embed(x, training=training)

    pixels = _pixels(encoder.backbone, len(view.mean))
    root.__call__ = tf.function(features, autograph=False)
    for training in (False, True):
        root.__call__.get_concrete_function(pixels, training=training)
    for run in (features, embedding):
        for ending, training in (("", False), ("_in_training", True)):
            endpoint = _endpoint(run, training, pixels)
            setattr(root, run.__name__ + ending, endpoint)


def _pixels(backbone, channels):
    """Returns what images the callables take: of any size, unless the backbone was made for one."""
    model = backbone.model if isinstance(backbone, KerasBackbone) else backbone
    shape = getattr(model, "input_shape", None)  # a subclassed model has none
    sides = shape[1:3] if isinstance(shape, tuple) else (None, None)
    return tf.TensorSpec([None, *sides, channels], tf.float32, "images")


def _endpoint(run, training, pixels):
    return tf.function(lambda images: run(images, training), input_signature=[pixels], autograph=False)


def _signature(expected, image_of, folded, encoder, view, upright):
    def serve(elements):
        views, valid = views_of(elements, image_of, view, upright)
        x = folded(views, training=False)
        outputs = {"embedding": encoder.embed(x), "features": tf.cast(x, tf.float32)}
        n = tf.size(valid)
        zeroed = {key: tf.where(valid[:, None], value[:n], 0) for key, value in outputs.items()}
        return zeroed | {"valid": valid}

    return tf.function(serve, autograph=False).get_concrete_function(expected)


def _classify(expected, image_of, folded, kernel, bias, names, view, upright):
    def classify(elements):
        views, valid = views_of(elements, image_of, view, upright)
        features = tf.cast(folded(views, training=False), tf.float32)
        probabilities = tf.nn.softmax(features @ kernel + bias)[: tf.size(valid)]
        label = tf.gather(names, tf.argmax(probabilities, axis=1))
        return {
            "probabilities": tf.where(valid[:, None], probabilities, 0),
            "label": tf.where(valid, label, ""),
            "valid": valid,
        }

    return tf.function(classify, autograph=False).get_concrete_function(expected)
