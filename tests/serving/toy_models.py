"""Small SavedModels with the signatures that an export has, quick to save and to check by hand.

Every output depends on its own row and on the model's version, so that an answer tells which
version gave it.
"""

from __future__ import annotations

import os
import shutil
import sys

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import classification_pb2, predict_pb2, prediction_log_pb2

SIZE = 8  # height and width of an image
LATENT = 4  # length of z_2
CLASSES = ("cat", "dog", "hen")
_REACHED = ".reached"


def _spec(dtype, *shape, name):
    return tf.TensorSpec([None, *shape], dtype, name=name)


class ToyModel(tf.Module):
    """Encodes an image as statistics of it plus the version; see the expected_ functions."""

    def __init__(self, version: int, gate: str = ""):
        """
        Args:
          version: goes into every output.
          gate: a file that is not there yet: `slow` writes `reached(gate)` and waits for it.
        """
        super().__init__()
        self.version = tf.Variable(float(version), trainable=False)
        self.weights = tf.Variable(tf.ones([64, 64]), trainable=False)  # something to truncate
        self.classes = tf.constant(CLASSES)
        self.gate = tf.Variable(gate, trainable=False)  # a constant would be looked for once

    @tf.function(input_signature=[_spec(tf.uint8, SIZE, SIZE, 1, name="images")])
    def encode(self, images):
        x = tf.cast(images, tf.float32)
        mean = tf.reduce_mean(x, [1, 2, 3])
        z_1 = tf.nn.avg_pool2d(x, 4, 4, "VALID") + self.version
        z_2 = tf.tile(mean[:, None], [1, LATENT]) + self.version
        return {
            "z_1": z_1,
            "z_1_stddev": tf.ones_like(z_1) * self.version,
            "z_2": z_2,
            "z_2_stddev": tf.ones_like(z_2) * self.version,
        }

    @tf.function(input_signature=[_spec(tf.float32, LATENT, name="z_2")])
    def decode(self, z_2):
        gray = tf.clip_by_value(z_2[:, :1] + self.version, 0.0, 255.0)
        images = tf.tile(gray[:, None, None, :], [1, SIZE, SIZE, 1])
        return {"images": tf.cast(images, tf.uint8)}

    @tf.function(input_signature=[_spec(tf.float32, 2, 2, 1, name="z_1")])
    def decode_1(self, z_1):
        gray = tf.clip_by_value(z_1 + self.version, 0.0, 255.0)
        images = tf.repeat(tf.repeat(gray, SIZE // 2, 1), SIZE // 2, 2)
        return {"images": tf.cast(images, tf.uint8)}

    @tf.function(input_signature=[_spec(tf.uint8, SIZE, SIZE, 1, name="images")])
    def reconstruct(self, images):
        version = tf.cast(self.version, tf.uint8)
        return {"reconstruction_1": images + version, "reconstruction_2": images - version}

    @tf.function(input_signature=[_spec(tf.uint8, SIZE, SIZE, 1, name="images")])
    def classify(self, images):
        return self._classify(images)

    @tf.function(input_signature=[_spec(tf.string, name="inputs")])
    def classify_examples(self, inputs):
        features = tf.io.parse_example(
            inputs, {"image/encoded": tf.io.FixedLenFeature([], tf.string)}
        )

        def decode(data):
            image = tf.io.decode_png(data, channels=1)
            image = tf.image.resize(image, [SIZE, SIZE], "nearest")
            return tf.ensure_shape(image, [SIZE, SIZE, 1])

        images = tf.map_fn(decode, features["image/encoded"], fn_output_signature=tf.uint8)
        return self._classify(images)

    def _classify(self, images):
        mean = tf.reduce_mean(tf.cast(images, tf.float32), [1, 2, 3])
        scores = tf.stack([mean + self.version, mean * 2.0, mean * 3.0], axis=1)
        classes = tf.tile(self.classes[None], [tf.shape(images)[0], 1])
        return {"classes": classes, "scores": scores}

    @tf.function(input_signature=[_spec(tf.int64, name="seeds")])
    def sample(self, seeds):
        gray = (seeds * 31 + tf.cast(self.version, tf.int64)) % 256
        images = tf.tile(gray[:, None, None, None], [1, SIZE, SIZE, 1])
        return {"images": tf.cast(images, tf.uint8)}

    @tf.function(input_signature=[_spec(tf.float32, LATENT, name="x")])
    def slow(self, x):
        """Answers when the gate opens: for drains, deadlines and full queues."""
        looked = 0
        if self.gate != "":
            # TensorFlow drops what no output needs: the file is written as `looked` waits for it.
            with tf.control_dependencies([tf.io.write_file(self.gate + _REACHED, "")]):
                looked = tf.size(tf.io.matching_files(self.gate))
            while tf.size(tf.io.matching_files(self.gate)) == 0:
                looked += 1
        return {"y": x + self.version + 0.0 * tf.cast(looked, tf.float32)}

    @tf.function(input_signature=[_spec(tf.float32, LATENT, name="x")])
    def scalar(self, x):
        """One number for the whole batch: what batching must refuse."""
        return {"total": tf.reduce_sum(x)}

    @tf.function(input_signature=[_spec(tf.float32, None, name="x")])
    def batch(self, x):
        """Tells each row which batch it was in: how many rows it had, and the sum over them."""
        rows, total = tf.shape(x)[0], tf.reduce_sum(x)
        return {"rows": tf.fill([rows], rows), "total": tf.fill([rows], total), "same": x}

    @tf.function(input_signature=[_spec(tf.float32, 2, name="a"), _spec(tf.float32, 2, name="b")])
    def add(self, a, b):
        return {"sum": a + b, "difference": a - b}


def reached(gate: str) -> str:
    """The file that says that a request waits at the gate."""
    return f"{gate}{_REACHED}"


def save(base_path, version: int, gate: str = "", warmup=None) -> str:
    """Writes `base_path/version` as an export does: beside, then renamed.

    Args:
      base_path: folder of the model.
      version: its number.
      gate: see ToyModel.
      warmup: PredictionLogs; None for good ones, () for none.
    Returns:
      The version's folder.
    """
    model = ToyModel(version, gate)
    signatures = {
        name: getattr(model, name)
        for name in (
            "encode",
            "decode",
            "decode_1",
            "reconstruct",
            "classify",
            "classify_examples",
            "sample",
            "slow",
            "scalar",
            "batch",
            "add",
        )
    }
    signatures["serving_default"] = model.encode
    beside = os.path.join(base_path, f".tmp-{version}")
    tf.saved_model.save(model, beside, signatures=signatures)
    logs = warmup_logs() if warmup is None else warmup
    if logs:
        os.makedirs(os.path.join(beside, "assets.extra"))
        file = os.path.join(beside, "assets.extra", "tf_serving_warmup_requests")
        with tf.io.TFRecordWriter(file) as writer:
            for log in logs:
                writer.write(log.SerializeToString())
    target = os.path.join(base_path, str(version))
    os.rename(beside, target)
    return target


def warmup_logs() -> list:
    """One good record for Predict and one for Classify."""
    predict = predict_pb2.PredictRequest()
    predict.model_spec.name = "toy"
    predict.inputs["images"].CopyFrom(tf.make_tensor_proto(images(1)))
    classify = classification_pb2.ClassificationRequest()
    classify.model_spec.name = "toy"
    classify.model_spec.signature_name = "classify_examples"
    classify.input.example_list.examples.append(example(images(1)[0]))
    logs = [prediction_log_pb2.PredictionLog(), prediction_log_pb2.PredictionLog()]
    logs[0].predict_log.request.CopyFrom(predict)
    logs[1].classify_log.request.CopyFrom(classify)
    return logs


def images(count: int, seed: int = 0) -> np.ndarray:
    """Images uint8 [count, SIZE, SIZE, 1], each of one gray that tells it from its neighbours."""
    grays = (np.arange(count) * 7 + seed * 13) % 200
    return np.tile(grays[:, None, None, None], [1, SIZE, SIZE, 1]).astype(np.uint8)


def example(image) -> tf.train.Example:
    """A tf.Example with an image as PNG."""
    return encoded_example(tf.io.encode_png(image).numpy())


def encoded_example(data: bytes) -> tf.train.Example:
    """A tf.Example with these bytes as its image."""
    message = tf.train.Example()
    message.features.feature["image/encoded"].bytes_list.value.append(data)
    return message


def expected_z_2(batch, version) -> np.ndarray:
    """What `encode` gives as z_2, float32 [B, LATENT]."""
    mean = batch.reshape(len(batch), -1).mean(axis=1, dtype=np.float32)
    return np.repeat(mean[:, None], LATENT, axis=1) + np.float32(version)


def version_of(outputs):
    """The one version that all parts of an answer come from."""
    version = float(outputs["z_2_stddev"][0, 0])
    assert (outputs["z_2_stddev"] == version).all() and (outputs["z_1_stddev"] == version).all()
    np.testing.assert_allclose(outputs["z_2"], expected_z_2(images(3), version))
    return int(version)


def ask(server, **spec):
    """The version that answers; `spec` names one."""
    return version_of(server.predict({"images": images(3)}, "encode", **spec))


def drop_variables(path):
    """Breaks a version."""
    shutil.rmtree(path / "variables")


if __name__ == "__main__":
    for number in (1, 2):
        save(sys.argv[1], number)
