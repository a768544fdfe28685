"""The client's own messages and tensors are those of TensorFlow, without TensorFlow."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2, types_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    model_pb2,
    predict_pb2,
)

from serving.client import messages_pb2
from serving.client.tensors import from_tensor, to_tensor
from tests.serving.fake_serving import (
    INT64,
)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.uint8).reshape(2, 3),
        np.array([[-1.5, np.inf]], np.float32),
        np.array([2**62, -1], np.int64),
        np.zeros((2, 0), np.float32),
    ],
)
def test_tensors_survive_the_wire(array):
    tensor = messages_pb2.TensorProto.FromString(to_tensor(array).SerializeToString())
    back = from_tensor(tensor)
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)


def to_published(tensor):
    return tensor_pb2.TensorProto.FromString(tensor.SerializeToString())


def from_published(tensor):
    return messages_pb2.TensorProto.FromString(tensor.SerializeToString())


def test_tensors_read_as_tensorflow_reads_them():
    for array in (np.arange(6, dtype=np.uint8).reshape(2, 3), np.full((3, 2), 7.5, np.float32)):
        np.testing.assert_array_equal(tf.make_ndarray(to_published(to_tensor(array))), array)
        published = tf.make_tensor_proto(array)
        np.testing.assert_array_equal(from_tensor(from_published(published)), array)
    compressed = tensor_pb2.TensorProto(dtype=INT64, int64_val=[1, 2])
    compressed.tensor_shape.dim.add(size=4)
    assert from_tensor(from_published(compressed)).tolist() == [1, 2, 2, 2]
    assert tf.make_ndarray(compressed).tolist() == [1, 2, 2, 2]


def test_the_client_imports_nothing_of_tensorflow_or_hali_tf():
    code = """
import sys
from serving.client import HaliClient, command, pictures
HaliClient().close()
ours = {name for name in sys.modules if name.startswith("serving.")}
print(*sorted(name for name in ours if not name.startswith("serving.client")))
print(*sorted({"tensorflow", "tensorflow_serving", "keras", "hali_tf"} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


PUBLISHED = {
    message.DESCRIPTOR.name: message.DESCRIPTOR
    for message in (
        tensor_shape_pb2.TensorShapeProto,
        tensor_pb2.TensorProto,
        meta_graph_pb2.TensorInfo,
        meta_graph_pb2.SignatureDef,
        get_model_metadata_pb2.SignatureDefMap,
        model_pb2.ModelSpec,
        predict_pb2.PredictRequest,
        predict_pb2.PredictResponse,
        get_model_metadata_pb2.GetModelMetadataRequest,
        get_model_metadata_pb2.GetModelMetadataResponse,
    )
}


def fields(descriptor):
    """Field name -> what decides its bytes on the wire, down to the nested messages."""
    return {
        field.name: (
            field.number,
            field.type,
            field.containing_oneof.name if field.containing_oneof else None,
            field.message_type.name if field.message_type else None,
            fields(field.message_type) if field.message_type in descriptor.nested_types else None,
        )
        for field in descriptor.fields
    }


def is_part(ours, published):
    """Whether all fields of `ours` are in `published`, nested ones included."""
    return all(
        name in published
        and entry[:4] == published[name][:4]
        and (entry[4] is None or is_part(entry[4], published[name][4]))
        for name, entry in ours.items()
    )


def test_the_messages_are_part_of_the_published_ones():
    ours = messages_pb2.DESCRIPTOR.message_types_by_name
    assert set(ours) == set(PUBLISHED)
    for name, descriptor in ours.items():
        assert is_part(fields(descriptor), fields(PUBLISHED[name])), name
    for name, number in messages_pb2.DataType.items():
        assert types_pb2.DataType.Value(name) == number
    wrong = {"dtype": (2, *fields(PUBLISHED["TensorProto"])["dtype"][1:])}
    assert not is_part(wrong, fields(PUBLISHED["TensorProto"]))
