"""What is sent: inputs that a signature takes, and serialized requests of them."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from hali_tf.errors import UserError
from serving.client import messages_pb2


def make_inputs(signature: str, name: str, info: Any, size: int, seed: int) -> np.ndarray:
    """A batch that the signature takes: noise, which costs what pictures cost.

    Args:
      signature: its name, for the error message.
      name: of its input.
      info: TensorInfo of its input.
      size: examples.
      seed: of the noise.

    Returns:
      [size, ...] of the input's data type; `object` for serialized examples.

    Raises:
      UserError: a data type that no export has.
    """
    random = np.random.default_rng(seed)
    shape = [size] + [dim.size for dim in info.tensor_shape.dim][1:]
    if info.dtype == messages_pb2.DT_UINT8:
        return random.integers(0, 256, shape, np.uint8)
    if info.dtype == messages_pb2.DT_FLOAT:
        return random.standard_normal(shape, np.float32)
    if info.dtype == messages_pb2.DT_INT64:
        return random.integers(0, 2**31, shape, np.int64)
    if info.dtype == messages_pb2.DT_STRING:
        return np.array([_example(random) for _ in range(size)], object)
    raise UserError(f"{signature}: input {name} has a data type that no hali_tf export has")


def _example(random: np.random.Generator) -> bytes:
    """A serialized tf.Example with a picture, for the Classify RPC's signature."""
    from tensorflow.core.example import example_pb2  # not where only `make_inputs` is needed

    png = io.BytesIO()
    Image.fromarray(random.integers(0, 256, (64, 64, 3), np.uint8)).save(png, "PNG")
    example = example_pb2.Example()
    example.features.feature["image/encoded"].bytes_list.value.append(png.getvalue())
    return example.SerializeToString()


def prepared_requests(
    model: str, signature: str, definition: messages_pb2.SignatureDef, count: int, examples: int = 1
) -> list[bytes]:
    """Serialized Predict requests of so many examples each."""
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    ((name, info),) = definition.inputs.items()
    requests = []
    for seed in range(count):
        tensor = tf.make_tensor_proto(make_inputs(signature, name, info, examples, seed))
        request = predict_pb2.PredictRequest(inputs={name: tensor})
        request.model_spec.name, request.model_spec.signature_name = model, signature
        requests.append(request.SerializeToString())
    return requests
