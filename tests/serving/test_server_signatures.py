"""A loaded version: its signatures as plain data, which threads may share, and its leases."""

import gc
import threading

import tensorflow as tf
from google.protobuf.message import Message
from tensorflow_serving.apis import get_model_metadata_pb2

from serving.embedded.limits import Limits
from serving.embedded.servable import Servable
from tests.serving import toy_models as toy


def _messages(value) -> list:
    """All protocol buffers among the plain data that `value` holds."""
    if isinstance(value, Message):
        return [value]
    children = gc.get_referents(value) if not isinstance(value, type) else []
    return [message for child in children for message in _messages(child)]


def test_signatures_are_those_of_the_model_and_hold_no_protocol_buffer(toy_base):
    servable = Servable.load("toy", 1, f"{toy_base}/1", Limits())
    encode = servable.signatures["encode"]
    images = encode.inputs["images"]
    assert images.dtype == tf.uint8.as_datatype_enum
    assert images.row_bytes == toy.SIZE * toy.SIZE
    (z_2,) = servable.run({images.name: toy.images(2)}, (encode.outputs["z_2"].name,))
    assert z_2.tolist() == toy.expected_z_2(toy.images(2), 1).tolist()
    assert encode.outputs["z_2"].row_bytes == z_2[:1].nbytes
    assert _messages(servable.signatures) == []
    servable.close()


def test_who_asks_for_the_definitions_gets_a_copy(toy_base):
    servable = Servable.load("toy", 1, f"{toy_base}/1", Limits())
    table = get_model_metadata_pb2.SignatureDefMap.FromString(servable.definitions)
    assert set(table.signature_def) == set(servable.signatures)
    assert str(table.signature_def["add"]) == servable.signatures["add"].text
    servable.close()


def test_an_executor_that_is_being_built_holds_up_no_lease(toy_base, monkeypatch):
    """The first request for other outputs waits for it alone."""
    servable = Servable.load("toy", 1, f"{toy_base}/1", Limits())
    encode = servable.signatures["encode"]
    build = servable._session._make_callable_from_options
    building, leased = threading.Event(), threading.Event()

    def build_slowly(options):
        building.set()
        assert leased.wait(30)
        return build(options)

    monkeypatch.setattr(servable._session, "_make_callable_from_options", build_slowly)
    feeds, fetches = {encode.inputs["images"].name: toy.images(2)}, (encode.outputs["z_2"].name,)
    first = threading.Thread(target=servable.run, args=(feeds, fetches))
    first.start()
    assert building.wait(30)
    other = threading.Thread(target=lambda: (servable.acquire(), leased.set()))
    other.start()
    other.join(10)
    assert leased.is_set()
    first.join()
    servable.release()
    servable.close()
