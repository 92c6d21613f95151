"""A trained detector as a SavedModel, from the bytes of images to boxes; it needs TensorFlow only."""

import tensorflow as tf

from mocotf.data.views.decode import decode
from mocotf.data.views.decode import or_else
from mocotf.data.views.formats import SERVED_PIXELS
from mocotf.files import atomic_path
from mocotf.transfer.coco_scores import MOST_DETECTIONS
from mocotf.transfer.detection_views import lay
from mocotf.transfer.detection_views import on_canvas


def save(detector, canvas, view, class_names, path):
    """Writes the SavedModel.

    Its signature `serving_default` takes `image_bytes`, string `[n]`, n from 1, and returns `boxes`
    float32 `[n, 100, 4]`, y1, x1, y2, x2 in pixels of the image; `scores` float32 `[n, 100]`, the
    highest first; `labels` int32 and `names` string `[n, 100]`; `counts`, int32 `[n]`, how many there
    are, 0 for what is no image, or one of more than `SERVED_PIXELS`; behind them scores are 0, labels
    -1 and names empty.

    Args:
        detector: a `Detector`, built outside of any strategy.
        canvas: a `Canvas`.
        view: has mean and std of images.
        class_names: of the labels.
        path: of a new folder.

    Raises:
        UserError: it cannot be written.
    """
    names = tf.constant(list(class_names))
    size = canvas.size
    blank = tf.zeros([size, size, 3]), tf.ones([]), tf.zeros([2])

    @tf.autograph.experimental.do_not_convert
    def laid(encoded):
        def make():
            pixels = decode(encoded, python=False, max_pixels=SERVED_PIXELS)
            image, scale = lay(pixels, tf.constant(canvas.test_short_side), size)
            return on_canvas(image, view, size), scale, tf.cast(tf.shape(pixels)[:2], tf.float32)

        decoded, made = or_else(make, blank)
        return decoded, *made

    def serve(image_bytes):
        kinds = [((), tf.bool), ((size, size, 3), tf.float32), ((), tf.float32), ((2,), tf.float32)]
        kinds = tuple(tf.TensorSpec(shape, dtype) for shape, dtype in kinds)
        decoded, images, scales, sizes = tf.map_fn(laid, image_bytes, fn_output_signature=kinds)
        boxes, scores, labels, counts = detector.detect(images, MOST_DETECTIONS)
        counts = tf.where(decoded, counts, 0)
        there = tf.sequence_mask(counts, MOST_DETECTIONS)
        limits = tf.tile(sizes, [1, 2])[:, None]  # h, w, h, w
        boxes = tf.clip_by_value(boxes / scales[:, None, None], 0.0, limits)
        return {
            "boxes": tf.where(there[..., None], boxes, 0.0),
            "scores": tf.where(there, scores, 0.0),
            "labels": tf.where(there, labels, -1),
            "names": tf.where(there, tf.gather(names, labels), ""),
            "counts": counts,
        }

    root = tf.train.Checkpoint()
    root.variables = [variable.value for variable in detector.retina.variables]
    spec = tf.TensorSpec([None], tf.string, "image_bytes")
    signature = tf.function(serve, autograph=False).get_concrete_function(spec)
    with atomic_path(path) as partial:
        tf.saved_model.save(root, partial, signatures=signature)
