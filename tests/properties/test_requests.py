"""Any JSON in a request: tensors, or INVALID_ARGUMENT; any latents for the client: as well."""

import json

import numpy as np
import pytest
from grpc import StatusCode
from hypothesis import example, given
from hypothesis import strategies as st
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import input_pb2

from serving.client.errors import HaliClientError
from serving.client.files import read_latents
from serving.embedded import json_tensors
from serving.embedded.status import ServingError

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**31, 2**63, 2**64, -(2**63) - 1, 10**400])
    | st.floats()
    | st.text(max_size=5)
    | st.fixed_dictionaries({"b64": st.text(max_size=5)})
)
NAMES = st.sampled_from(["images", "seeds", "inputs", "instances", "examples", "context", "x"])
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
DTYPES = {"float": 1, "uint8": 4, "string": 7, "int64": 9, "bool": 10}


@given(
    st.dictionaries(NAMES, JSON, max_size=3),
    st.dictionaries(NAMES, st.sampled_from(sorted(DTYPES)), min_size=1, max_size=2),
)
@example(document={"instances": [[1.0]]}, signature={"x": "float"})
def test_predict_requests_of_any_json(document, signature):
    infos = {
        name: meta_graph_pb2.TensorInfo(dtype=DTYPES[dtype]) for name, dtype in signature.items()
    }
    try:
        _, arrays = json_tensors.read_inputs(document, infos)
    except ServingError as error:
        assert error.code is StatusCode.INVALID_ARGUMENT and error.message
        return
    assert set(arrays) == set(infos)
    assert all(isinstance(array, np.ndarray) for array in arrays.values())


@given(st.dictionaries(NAMES, JSON, max_size=3))
def test_classify_requests_of_any_json(document):
    message = input_pb2.Input()
    try:
        json_tensors.fill_examples(message, document)
    except ServingError as error:
        assert error.code is StatusCode.INVALID_ARGUMENT and error.message


@given(
    st.dictionaries(st.sampled_from(["z_1", "z_2", "files"]), JSON, max_size=2).map(json.dumps)
    | JSON.map(json.dumps)
    | st.text(max_size=30),
    st.sampled_from(["json", "npy", "npz"]),
)
def test_latents_of_anything(tmp_path, content, ending):
    path = tmp_path / f"latents.{ending}"
    path.write_text(content, encoding="utf-8")
    try:
        latents = read_latents(str(path), 2)
    except HaliClientError as error:
        assert "\n" not in str(error) and str(path) in str(error)
        return
    assert latents.dtype == np.float32


@pytest.mark.parametrize(
    "content", ["[" * 100_000, '{"z_2": ' * 100_000, "[1e39]", f"[1{400 * '0'}]"]
)
def test_latents_nested_without_end_or_too_large(tmp_path, content):
    (tmp_path / "latents.json").write_text(content)
    with pytest.raises(HaliClientError, match="not latents"):
        read_latents(str(tmp_path / "latents.json"), 2)


@pytest.mark.parametrize("kept", [0, 0.3, 0.99])
def test_latents_that_were_cut(tmp_path, kept):
    path = tmp_path / "latents.npz"
    np.savez(path, z_2=np.zeros((4, 16), np.float32))
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    with pytest.raises(HaliClientError, match="not latents"):
        read_latents(str(path), 2)
