"""The client against a gRPC servicer in this process that behaves, or misbehaves, on demand."""

import subprocess
import sys
import threading
from concurrent import futures

import grpc
import numpy as np
import pytest
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import prediction_service_pb2_grpc

from serving import client as client_module
from serving.client import HaliClient, HaliClientError, from_tensor, to_tensor
from tests.serving.fake_serving import (  # noqa: F401  (servicer and target are fixtures)
    FLOAT,
    IMAGE,
    INT64,
    LATENT_1,
    LATENT_2,
    SIGNATURES,
    UINT8,
    servicer,
    start,
    target,
)


@pytest.fixture
def hali(target):
    with HaliClient(target, timeout=10, retry_seed=0) as client:
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
    assert [len(from_tensor(r.inputs["images"])) for r in servicer.requests] == [10, 10, 5]


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


def test_unavailable_is_tried_again(hali, servicer):
    servicer.failures = [(grpc.StatusCode.UNAVAILABLE, "the batching queue is full")] * 2
    send, timeouts = hali._stub.Predict, []

    def noted(request, timeout):
        timeouts.append(timeout)
        return send(request, timeout=timeout)

    hali._stub.Predict = noted
    assert len(hali.sample([1])) == 1
    assert len(servicer.requests) == 3
    # One deadline over all tries, with pauses of at least 0.05 and 0.1 s between them.
    first, second, third = timeouts
    assert first <= 10 and second <= first - 0.05 and third <= second - 0.1


def test_tries_are_counted(target, servicer):
    servicer.failures = [(grpc.StatusCode.UNAVAILABLE, "full")] * 9
    with HaliClient(target, retries=2, retry_seed=0) as hali:
        with pytest.raises(HaliClientError, match="UNAVAILABLE after 3 tries: full") as caught:
            hali.sample([1])
    assert caught.value.code == grpc.StatusCode.UNAVAILABLE
    assert len(servicer.requests) == 3


def test_retries_end_with_the_deadline(target, servicer):
    servicer.failures = [(grpc.StatusCode.UNAVAILABLE, "full")] * 99
    with HaliClient(target, timeout=0.5, retries=99, retry_seed=0) as hali:
        hali.signatures()
        with pytest.raises(HaliClientError, match="UNAVAILABLE"):
            hali.sample([1])
    assert 2 <= len(servicer.requests) <= 6  # pauses of about 0.1, 0.2, 0.4 seconds


@pytest.mark.parametrize(
    "code",
    [
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.INTERNAL,
    ],
)
def test_other_failures_are_not_tried_again(hali, servicer, code):
    servicer.failures = [(code, "some\nreason")]
    message = f"hali/sample: {code.name}.*: some reason; "
    with pytest.raises(HaliClientError, match=message) as caught:
        hali.sample([1])
    assert caught.value.code == code
    assert len(servicer.requests) == 1
    assert len(hali.sample([1])) == 1  # and the client goes on


def test_a_batch_above_the_servers_limit_says_which_setting_to_lower(hali, servicer):
    servicer.failures = [
        (
            grpc.StatusCode.INVALID_ARGUMENT,
            "Task size 64 is larger than maximum input batch size 32",
        )
    ]
    with pytest.raises(HaliClientError, match="lower max_batch to the server's max_batch_size"):
        hali.sample(range(64))


def test_the_deadline_is_the_callers(target, servicer):
    blocked = threading.Event()
    servicer.before_answer = lambda: blocked.wait(5)
    with HaliClient(target, timeout=0.3) as hali:
        with pytest.raises(
            HaliClientError, match=r"\(timeout 0.3 s\).*raise the timeout"
        ) as caught:
            hali.sample([1])
    blocked.set()
    assert caught.value.code == grpc.StatusCode.DEADLINE_EXCEEDED


def test_nobody_listens():
    with HaliClient("localhost:1", retries=1, retry_seed=0) as hali:
        with pytest.raises(HaliClientError, match="after 2 tries.*gRPC port") as caught:
            hali.sample([1])
    assert caught.value.code == grpc.StatusCode.UNAVAILABLE


def test_a_server_that_comes_back_is_found_again(servicer):
    server, port = start(servicer)
    with HaliClient(f"localhost:{port}", timeout=20, retries=20, retry_seed=0) as hali:
        assert len(hali.sample([1])) == 1
        server.stop(0).wait()
        again = []
        timer = threading.Timer(0.7, lambda: again.append(_listen(servicer, port)))
        timer.start()
        assert len(hali.sample([2])) == 1
        timer.join()
        again[0].stop(0).wait()


def _listen(servicer, port):
    server = grpc.server(futures.ThreadPoolExecutor(2))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(servicer, server)
    server.add_insecure_port(f"localhost:{port}")
    server.start()
    return server


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


def test_a_closed_client_says_so(target):
    with HaliClient(target) as hali:
        pass
    with pytest.raises(HaliClientError, match="closed") as caught:
        hali.sample([1])
    assert caught.value.code == grpc.StatusCode.CANCELLED


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """A root and two certificates that it signed, for server and client."""
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    (folder / "names").write_text("subjectAltName=DNS:localhost\n")
    new_key = ["-newkey", "rsa:2048", "-nodes"]
    openssl(
        "req",
        "-x509",
        *new_key,
        "-keyout",
        "ca.key",
        "-out",
        "ca.crt",
        "-subj",
        "/CN=root",
        "-days",
        "2",
    )
    for name in ("server", "client"):
        openssl(
            "req", *new_key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}"
        )
        openssl(
            "x509",
            "-req",
            "-in",
            f"{name}.csr",
            "-CA",
            "ca.crt",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-out",
            f"{name}.crt",
            "-days",
            "2",
            "-extfile",
            "names",
        )
    return folder


def test_tls_with_certificates_on_both_sides(servicer, certificates):
    def read(name):
        return (certificates / name).read_bytes()

    credentials = grpc.ssl_server_credentials(
        [(read("server.key"), read("server.crt"))], read("ca.crt"), require_client_auth=True
    )
    server, port = start(servicer, credentials)
    files = {
        name: str(certificates / path)
        for name, path in [
            ("ca_file", "ca.crt"),
            ("cert_file", "client.crt"),
            ("key_file", "client.key"),
        ]
    }
    try:
        with HaliClient(f"localhost:{port}", **files) as hali:
            assert len(hali.sample([1])) == 1
        for wrong in ({}, {"ca_file": files["ca_file"]}, {"tls": True}):
            with HaliClient(f"localhost:{port}", retries=0, **wrong) as hali:
                with pytest.raises(HaliClientError, match="both sides agree on TLS"):
                    hali.sample([1])
    finally:
        server.stop(0).wait()


def test_tls_files_are_checked_at_once(tmp_path):
    with pytest.raises(HaliClientError, match="no_such.pem: cannot be read"):
        HaliClient(ca_file=str(tmp_path / "no_such.pem"))
    with pytest.raises(HaliClientError, match="belong together"):
        HaliClient(cert_file="client.crt")


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
    tensor = tensor_pb2.TensorProto.FromString(to_tensor(array).SerializeToString())
    back = from_tensor(tensor)
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)


def test_tensors_read_as_tensorflow_reads_them():
    tf = pytest.importorskip("tensorflow")
    for array in (np.arange(6, dtype=np.uint8).reshape(2, 3), np.full((3, 2), 7.5, np.float32)):
        np.testing.assert_array_equal(tf.make_ndarray(to_tensor(array)), array)
        np.testing.assert_array_equal(from_tensor(tf.make_tensor_proto(array)), array)
    compressed = tensor_pb2.TensorProto(dtype=INT64, int64_val=[1, 2])
    compressed.tensor_shape.dim.add(size=4)
    assert from_tensor(compressed).tolist() == tf.make_ndarray(compressed).tolist() == [1, 2, 2, 2]


def test_the_module_is_imported_without_tensorflow():
    code = "import sys, serving.client; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_backoff_is_reproducible_from_its_seed(target, servicer, monkeypatch):
    def pauses(seed):
        slept = []
        servicer.failures = [(grpc.StatusCode.UNAVAILABLE, "full")] * 4
        with monkeypatch.context() as patch:
            patch.setattr(client_module.time, "sleep", slept.append)
            with HaliClient(target, retry_seed=seed) as hali:
                hali.sample([1])
        return slept

    first = pauses(0)
    assert first == pauses(0) != pauses(1)
    assert all(0.5 * b <= p <= b for p, b in zip(first, (0.1, 0.2, 0.4, 0.8)))
