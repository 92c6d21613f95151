"""Requests that TF Serving makes to a version before it gives it to users.

A server that starts on a version runs these first, so that no user waits for what is set up once. One
that fails would keep the version from being served: all are run before the version is published.
"""

import math
import os

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2
from tensorflow_serving.apis import prediction_log_pb2

from mocotf.data.pretraining import prepare
from mocotf.data.sources.patches import PHOTOGRAPHS
from mocotf.data.sources.patches import photograph
from mocotf.serving.requests import signatures_of
from mocotf.serving.session import SessionModel

FILE = os.path.join("assets.extra", "tf_serving_warmup_requests")  # where the server looks for it
NO_IMAGE = b"no image"  # what users send is not always one
# Of embeddings, and of features relative to the largest: folded weights are rounded once more, and deep
# networks add up what they round: features of EfficientNetV2B0 are off by 4e-5 in float32 itself.
TOLERANCE = {"float32": 1e-4, "mixed_bfloat16": 0.1}


def write(folder, model, batch_size, view, max_pixels):
    """Writes the requests of a version: each signature with one photograph, and a full batch of files.

    Args:
        folder: of the version.
        model: the name it is served by.
        batch_size: the largest that the server makes.
        view: the `Augmentation` that it was made with.
        max_pixels: as it was made with.

    Returns:
        Their number.
    """
    side = max(1, math.isqrt(max_pixels) // 4)  # a pixel of other channels counts as several
    pixels = [photograph(name)[:side, :side] for name in PHOTOGRAPHS[:4]]
    if view.channels:
        pixels = [_with_channels(p, view) for p in pixels]
    signatures = signatures_of(view.channels, max_pixels)
    requests = [("serving_tensor", np.stack(pixels[:1]))]
    if "serving_example" in signatures:
        files = [_encode(p) for p in pixels]
        batch = [files[i % len(files)] for i in range(batch_size - 1)] + [NO_IMAGE]
        requests += [("serving_default", files[:1]), ("serving_default", batch)]
        requests += [("serving_example", [_example(files[0])])]
    else:
        requests += [("serving_default", pixels) for _, pixels in requests]
    path = os.path.join(folder, FILE)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with tf.io.TFRecordWriter(path) as writer:
        for signature, elements in requests:
            log = _log(model, signature, *signatures[signature], elements)
            writer.write(log.SerializeToString())
    return len(requests)


def check(folder, encoder, view, precision, upright, max_pixels):
    """Runs a version's warm-up requests through what was saved, and compares with the encoder.

    Args:
        folder: of the version.
        encoder: the `Encoder` that it was made of.
        view: the `Augmentation` that it was made with.
        precision: of the encoder.
        upright, max_pixels: as it was made with.

    Returns:
        The largest difference of "embedding" and "features", the latter relative to the largest.

    Raises:
        RuntimeError: they differ by more than rounding does.
    """
    model = SessionModel(folder)
    found = {"embedding": 0.0, "features": 0.0}
    for record in tf.data.TFRecordDataset(os.path.join(folder, FILE)):
        request = prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log.request
        signature = request.model_spec.signature_name
        (elements,) = map(tf.make_ndarray, request.inputs.values())
        outputs = model.predict(signature, elements)
        _, image_of = signatures_of(view.channels, max_pixels)[signature]
        expected = _expected(elements, image_of, encoder, view, upright)
        valid = outputs["valid"]
        if not np.array_equal(valid, expected.pop("valid")):
            raise RuntimeError(f"{signature}: takes other elements for images than Python does")
        for key, values in expected.items():
            scale = np.abs(values).max() if key == "features" else 1
            difference = np.abs(outputs[key][valid] - values).max() / scale
            found[key] = max(found[key], float(difference))
    model.close()
    if not max(found.values()) <= TOLERANCE[precision]:  # NaN fails as well
        raise RuntimeError(f"what was exported computes something else than the encoder: {found}")
    return found


def _with_channels(photo, view):
    """Returns a photograph, in gray, as an image of other channels, about where their values are."""
    gray = photo.mean(axis=2, keepdims=True, dtype=np.float32) / 64 - 2
    return (gray * view.std + view.mean).astype(np.float32)


def _encode(pixels):
    """Returns a JPEG of RGB, a PNG of 16 bits of other channels."""
    if pixels.dtype == np.uint8:
        return tf.io.encode_jpeg(pixels, quality=90).numpy()
    return tf.io.encode_png(tf.cast(tf.clip_by_value(pixels, 0, 65535), tf.uint16)).numpy()


def _example(file):
    feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[file]))
    features = tf.train.Features(feature={"image/encoded": feature})
    return tf.train.Example(features=features).SerializeToString()


def _log(model, signature, expected, _, elements):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    request.inputs[expected.name].CopyFrom(tf.make_tensor_proto(elements, expected.dtype))
    return prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))


def _expected(elements, image_of, encoder, view, upright):
    """Returns what Python computes: valid of all elements, the rest of those that are images."""
    views, valid = [], []
    for element in elements:
        try:
            views.append(prepare(image_of(tf.constant(element), upright), view))
            valid.append(True)
        except tf.errors.InvalidArgumentError:
            valid.append(False)
    features = encoder.backbone(tf.stack(views), training=False)
    return {
        "valid": valid,
        "embedding": encoder.embed(features).numpy(),
        "features": tf.cast(features, tf.float32).numpy(),
    }
