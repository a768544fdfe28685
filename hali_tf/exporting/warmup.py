"""Requests that TF-Serving replays before a version serves, so that no user waits for them."""

from __future__ import annotations

import io
import os
from typing import Any

import tensorflow as tf
from PIL import Image
from tensorflow_serving.apis import prediction_log_pb2

# The allowed_batch_sizes of serving/deploy (a test compares).
BATCH_SIZES = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64)
PATH = os.path.join("assets.extra", "tf_serving_warmup_requests")


def write(folder: str, signatures: dict[str, Any]) -> None:
    """Writes one PredictionLog for each signature and batch size.

    Args:
      folder: of the version.
      signatures: concrete functions by name.
    """
    os.makedirs(os.path.join(folder, "assets.extra"), exist_ok=True)
    with tf.io.TFRecordWriter(os.path.join(folder, PATH)) as writer:
        for name, function in signatures.items():
            (spec,) = function.structured_input_signature[0]
            for batch in BATCH_SIZES:
                writer.write(_log(name, spec, batch).SerializeToString())


def _log(name, spec, batch):
    log = prediction_log_pb2.PredictionLog()
    if spec.dtype == tf.string:
        request = log.classify_log.request
        request.input.example_list.examples.extend([example(_png())] * batch)
    else:
        request = log.predict_log.request
        zeros = tf.make_tensor_proto(0, spec.dtype, [batch, *spec.shape[1:]])  # one 0 for all
        request.inputs[spec.name].CopyFrom(zeros)
    request.model_spec.name = "hali"  # the server replays it under whatever name it serves
    request.model_spec.signature_name = name
    return log


def example(encoded: bytes) -> tf.train.Example:
    """A tf.Example with `image/encoded`, as the signature classify_examples parses it."""
    feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[encoded]))
    return tf.train.Example(features=tf.train.Features(feature={"image/encoded": feature}))


def _png():
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG")
    return file.getvalue()
