"""The client against a gRPC servicer in this process that behaves, or misbehaves, on demand."""

import os
import sys
from concurrent import futures

import grpc
import numpy as np
import pytest
import tensorflow as tf

from serving.client import HaliClient, HaliClientError
from tests.serving.fake_serving import (
    FLOAT,
    IMAGE,
    INT64,
    LATENT_1,
    LATENT_2,
    SIGNATURES,
    UINT8,
)


@pytest.fixture
def hali(target):
    with HaliClient(target, timeout=10) as client:
        yield client


def numbered_images(count):
    images = np.zeros((count, *IMAGE), np.uint8)
    images[:, 0, 0, 0] = np.arange(count) % 251
    return images


def test_it_learns_the_model_from_the_server(hali, servicer):
    assert hali.num_levels == 2
    assert hali.image_shape == IMAGE
    assert hali.has_classifier
    assert servicer.metadata_requests == 1


@pytest.mark.parametrize("as_numbers", [False, True])
def test_every_call_gives_the_documented_types(hali, servicer, as_numbers):
    servicer.as_numbers = as_numbers
    images = numbered_images(3)

    levels = hali.encode(images)
    assert [(mean.shape, stddev.shape) for mean, stddev in levels] == [
        ((3, *LATENT_1), (3, *LATENT_1)),
        ((3, *LATENT_2), (3, *LATENT_2)),
    ]
    assert {part.dtype for pair in levels for part in pair} == {np.dtype(np.float32)}
    # The servicer adds the output's place in the signature: z_1, z_1_stddev, z_2, z_2_stddev.
    assert [[part[2].flat[0] for part in pair] for pair in levels] == [[2, 3], [4, 5]]

    reconstructions = hali.reconstruct(images)
    assert [(r.shape, r.dtype, r[2, 0, 0, 0]) for r in reconstructions] == [
        (images.shape, np.uint8, 2),
        (images.shape, np.uint8, 3),
    ]
    classes, scores = hali.classify(images)
    assert classes.tolist() == [["0", "0"], ["1", "1"], ["2", "2"]]
    assert scores.shape == (3, 2) and scores.dtype == np.float32
    assert hali.sample([5, 7])[:, 0, 0, 0].tolist() == [5, 7]


def test_decode_takes_the_signature_of_the_level(hali, servicer):
    assert hali.decode(np.full((2, *LATENT_2), 9.0)).shape == (2, *IMAGE)  # float64 is fine
    hali.decode(np.zeros((2, *LATENT_2), np.float32), level=2)
    hali.decode(np.zeros((2, *LATENT_1), np.float32), level=1)
    assert [r.model_spec.signature_name for r in servicer.requests] == [
        "decode",
        "decode",
        "decode_1",
    ]
    assert servicer.requests[0].inputs["z_2"].dtype == FLOAT
    with pytest.raises(HaliClientError, match="level 3: the served model has levels 1 to 2"):
        hali.decode(np.zeros((2, 5), np.float32), level=3)


def test_latents_below_the_top_are_decoded(hali, servicer):
    (z_1,) = hali.decode_latents(np.full((2, *LATENT_2), 9.0))
    assert z_1.shape == (2, *LATENT_1) and z_1.dtype == np.float32 and (z_1 == 9).all()
    del servicer.signatures["decode_latents"]
    servicer.version = 2  # read again after an answer of another version
    hali.sample([1])
    with pytest.raises(HaliClientError, match="no signature decode_latents: it has one level, or"):
        hali.decode_latents(np.zeros((2, *LATENT_2)))


def test_an_encoder_alone_is_told_from_a_model_of_one_level(hali, servicer):
    for name in [name for name in servicer.signatures if name not in ("encode", "classify")]:
        del servicer.signatures[name]
    with pytest.raises(HaliClientError, match="decode_latents: .* of --encoder_only"):
        hali.decode_latents(np.zeros((1, *LATENT_2)))


def test_a_target_that_is_no_text_is_refused():
    with pytest.raises(HaliClientError, match="expected HOST:PORT"):
        HaliClient("h\udcf6st:8500")


def test_a_thousand_images_come_back_in_order(hali, servicer):
    images = numbered_images(1000)
    levels = hali.encode(images)
    assert len(servicer.requests) == 16  # 64 at a time
    np.testing.assert_array_equal(levels[0][0][:, 0, 0, 0], np.arange(1000) % 251)


def test_messages_keep_below_the_limit_both_ways(target, servicer):
    servicer.as_numbers = True
    limit = 4096 + 10 * 2 * 2 * int(np.prod(IMAGE))  # ten answers of two uint8 images as numbers
    with HaliClient(target, max_message_bytes=limit) as hali:
        images = np.full((25, *IMAGE), 255, np.uint8)  # 255 and 254 take two bytes each
        assert hali.reconstruct(images)[0].shape == images.shape
    assert [len(tf.make_ndarray(r.inputs["images"])) for r in servicer.requests] == [10, 10, 5]


def test_an_example_larger_than_a_message_is_named(target):
    with HaliClient(target, max_message_bytes=4200) as hali:
        with pytest.raises(HaliClientError, match="raise it to at least 4672"):
            hali.reconstruct(numbered_images(1))


def test_answers_above_grpcs_own_limit_arrive(target, servicer):
    side = 600  # a picture of 1 MB, eight of them in one answer
    big = {"images": (UINT8, (side, side, 3))}
    servicer.signatures = {"sample": ({"seeds": (INT64, ())}, big)}
    with HaliClient(target) as hali:
        assert hali.sample(range(8)).nbytes > 2 * 4 * 2**20
    assert len(servicer.requests) == 1


@pytest.mark.parametrize(
    "call, values, message",
    [
        (
            "encode",
            np.zeros((2, *IMAGE), np.float32),
            r"must be uint8 \[B, 6, 8, 3\], got float32 \[2, 6, 8, 3\]: grey levels 0 to 255",
        ),
        ("encode", np.zeros((2, *IMAGE), np.int64), r"got int64 \[2, 6, 8, 3\]"),
        (
            "encode",
            np.zeros(IMAGE, np.uint8),
            r"a single example needs a batch axis, images\[None\]",
        ),
        (
            "encode",
            np.zeros((2, 8, 8, 3), np.uint8),
            r"got uint8 \[2, 8, 8, 3\]: resize the images",
        ),
        ("encode", np.zeros((0, *IMAGE), np.uint8), "the batch is empty"),
        ("encode", np.array(["a.png"]), r"must be uint8 \[B, 6, 8, 3\]"),
        (
            "decode",
            np.zeros((2, 4), np.float32),
            r"z_2 must be float32 \[B, 5\], got float32 \[2, 4\]",
        ),
        ("decode", np.full((2, 5), np.nan), "NaN or infinite"),
        ("decode", np.full((2, 5), 1e300), "NaN or infinite as float32"),
        ("decode", [[1.0], [1.0, 2.0]], "got rows of different lengths"),
        ("decode", np.zeros((2, 5), np.int32), r"must be float32 \[B, 5\], got int32"),
        ("sample", [0.5], r"seeds must be int64 \[B\], got float64 \[1\]"),
        ("sample", np.array([2**63], np.uint64), "values above 9223372036854775807"),
    ],
)
def test_wrong_inputs_stop_at_the_door(hali, servicer, call, values, message):
    with pytest.raises(HaliClientError, match=message) as caught:
        getattr(hali, call)(values)
    assert caught.value.code == grpc.StatusCode.INVALID_ARGUMENT
    assert "\n" not in str(caught.value)
    assert not servicer.requests


def test_a_model_without_labels_says_so(hali, servicer):
    del servicer.signatures["classify"]
    assert not hali.has_classifier
    with pytest.raises(HaliClientError, match="exported from data without labels") as caught:
        hali.classify(numbered_images(1))
    assert caught.value.code == grpc.StatusCode.FAILED_PRECONDITION


def test_each_caller_has_its_own_signatures(hali, servicer):
    hali.signatures()["encode"].inputs.clear()  # threads must not share what protobuf holds
    assert list(hali.signatures()["encode"].inputs) == ["images"]
    assert servicer.metadata_requests == 1


def test_answers_of_two_versions_are_never_mixed(hali, servicer):
    hali.signatures()
    calls = []

    def swap():  # between the second and the third message
        calls.append(None)
        if len(calls) == 3:
            servicer.version = 2

    servicer.before_answer = swap
    assert len(hali.sample(range(200))) == 200
    assert len(servicer.requests) == 3 + 4  # the third showed the swap; all four anew
    assert servicer.metadata_requests == 2


def test_a_server_that_never_settles_is_reported(hali, servicer):
    def swap():
        servicer.version += 1

    servicer.before_answer = swap
    with pytest.raises(HaliClientError, match="changed the model's version") as caught:
        hali.sample(range(200))
    assert caught.value.code == grpc.StatusCode.ABORTED


def test_a_new_shape_is_noticed_after_a_refusal(hali, servicer):
    hali.encode(numbered_images(1))
    larger = (12, 16, 3)
    servicer.signatures["encode"] = ({"images": (UINT8, larger)}, SIGNATURES["encode"][1])
    servicer.failures = [(grpc.StatusCode.INVALID_ARGUMENT, "conv: wrong size")]
    with pytest.raises(HaliClientError):
        hali.encode(numbered_images(1))
    assert hali.image_shape == larger


def test_a_swapped_model_is_noticed_after_the_clients_own_refusal(hali, servicer):
    hali.encode(numbered_images(1))
    larger = (12, 16, 3)
    servicer.signatures["encode"] = ({"images": (UINT8, larger)}, SIGNATURES["encode"][1])
    with pytest.raises(HaliClientError):
        hali.encode(np.zeros([1, *larger], np.uint8))
    assert hali.image_shape == larger
    del servicer.signatures["classify"]
    with pytest.raises(HaliClientError, match="level 9"):
        hali.decode([[1.0]], level=9)
    assert not hali.has_classifier


@pytest.mark.parametrize(
    "arguments", [{"version": 2**63}, {"label": "\udcff"}, {"model": "\udcff"}]
)
def test_names_that_cannot_be_sent_are_refused(target, arguments):
    with pytest.raises(HaliClientError, match="expected text, and a version of at most 64 bits"):
        HaliClient(target, **arguments)


def test_messages_of_up_to_two_gibibytes(target):
    HaliClient(target, max_message_bytes=2**31 - 1).close()
    with pytest.raises(HaliClientError, match="below 2 GiB"):
        HaliClient(target, max_message_bytes=2**31)


def test_version_and_label_are_asked_for(target, servicer):
    with HaliClient(target, version=3) as hali:
        hali.sample([1])
    with HaliClient(target, label="canary") as hali:
        hali.sample([1])
    assert servicer.requests[0].model_spec.version.value == 3
    assert servicer.requests[1].model_spec.version_label == "canary"
    with pytest.raises(HaliClientError, match="exclude each other"):
        HaliClient(target, version=3, label="canary")


def test_one_client_serves_many_threads(hali):
    with futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda seed: hali.sample([seed])[0, 0, 0, 0], range(100)))
    assert answers == list(range(100))


def test_another_thread_may_call_between_any_two_lines(target, servicer):
    """Each answer comes from a new version, so each call makes the client forget the signatures."""
    hali = HaliClient(target, timeout=120)  # for all the calls in between

    def swap():
        servicer.version += 1

    def interrupt(frame, event, argument):
        if f"serving{os.sep}client" not in frame.f_code.co_filename:
            return None
        if event == "line":
            assert pool.submit(hali.sample, [3]).result()[0, 0, 0, 0] == 3
        return interrupt

    servicer.before_answer = swap
    tracer = sys.gettrace()
    with futures.ThreadPoolExecutor(1) as pool:
        sys.settrace(interrupt)
        try:
            assert hali.num_levels == 2
            assert hali.sample([7])[0, 0, 0, 0] == 7
        finally:
            sys.settrace(tracer)
    hali.close()
    assert len(servicer.requests) > 20
