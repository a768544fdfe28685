"""A model's signatures as plain data.

Threads share these while they answer. A shared protocol buffer is not safe there: on Python 3.11
with protobuf 4.25, a wrapper of a shared TensorInfo was freed twice, and the process ended with a
segmentation fault about once in two minutes of load by 32 clients.
"""

from __future__ import annotations

import dataclasses
import math

import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import get_model_metadata_pb2


@dataclasses.dataclass(frozen=True)
class Tensor:
    """An input or output.

    Attributes:
      name: in the graph.
      dtype: a DataType of TensorFlow.
      row_bytes: bytes of one row; dimensions that are not known count as 1.
    """

    name: str
    dtype: int
    row_bytes: int


@dataclasses.dataclass(frozen=True)
class Signature:
    """Inputs and outputs by alias, and the SignatureDef's text for messages."""

    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]
    text: str


def read_signature(definition: meta_graph_pb2.SignatureDef) -> Signature:
    """The Signature that a SignatureDef defines."""
    return Signature(
        {alias: _read_tensor(info) for alias, info in definition.inputs.items()},
        {alias: _read_tensor(info) for alias, info in definition.outputs.items()},
        str(definition),
    )


def serialized_definitions(meta_graph: meta_graph_pb2.MetaGraphDef) -> bytes:
    """The SignatureDefs as a serialized SignatureDefMap; who wants them parses a copy."""
    definitions = get_model_metadata_pb2.SignatureDefMap()
    for key, definition in meta_graph.signature_def.items():
        definitions.signature_def[key].CopyFrom(definition)
    return definitions.SerializeToString()


def _read_tensor(info: meta_graph_pb2.TensorInfo) -> Tensor:
    dims = [max(dim.size, 1) for dim in info.tensor_shape.dim[1:]]
    size = tf.dtypes.as_dtype(info.dtype).size if info.dtype else 0  # 0: an operation, no tensor
    return Tensor(info.name, info.dtype, size * math.prod(dims))
