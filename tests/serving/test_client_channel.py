"""How the client sends: retries, deadlines, metadata, TLS, and errors that say what to do."""

import threading
import time
from concurrent import futures

import grpc
import numpy as np
import pytest
from tensorflow_serving.apis import (
    prediction_service_pb2_grpc,
)

from serving.client import HaliClient, HaliClientError
from tests.serving.fake_serving import (
    UINT8,
    start,
)
from tests.serving.serving_calls import wait_for


@pytest.fixture
def hali(target):
    with HaliClient(target, timeout=10) as client:
        yield client


def test_unavailable_is_tried_again(hali, servicer):
    servicer.failures = [(grpc.StatusCode.UNAVAILABLE, "the batching queue is full")] * 4
    assert len(hali.sample([1])) == 1
    assert [h.get("grpc-previous-rpc-attempts") for h in servicer.headers[1:]] == [
        None,
        *"1234",
    ]


def test_a_call_that_a_stopping_server_cancelled_is_sent_again(hali, servicer):
    servicer.failures = [(grpc.StatusCode.CANCELLED, "the server stops")] * 2
    assert len(hali.sample([1])) == 1
    assert len(servicer.requests) == 3


def test_a_message_larger_than_grpcs_retry_buffer_is_tried_again(hali, servicer):
    images = {"images": (UINT8, (200, 200, 3))}
    servicer.signatures = {"reconstruct": (images, {"reconstruction_1": images["images"]})}
    servicer.failures = [(grpc.StatusCode.UNAVAILABLE, "full")] * 2
    batch = np.zeros((60, 200, 200, 3), np.uint8)  # 7 MB; the buffer has 256 KB by default
    assert hali.reconstruct(batch)[0].shape == batch.shape
    assert len(servicer.requests) == 3


def test_retries_are_counted(target, servicer):
    servicer.failures = [(grpc.StatusCode.UNAVAILABLE, "full")] * 9
    with HaliClient(target, retries=2) as hali:
        with pytest.raises(HaliClientError, match=r"UNAVAILABLE \(2 retries\): full") as caught:
            hali.sample([1])
    assert caught.value.code == grpc.StatusCode.UNAVAILABLE
    assert len(servicer.requests) == 3


def test_no_retries(target, servicer):
    servicer.failures = [(grpc.StatusCode.UNAVAILABLE, "full")]
    with HaliClient(target, retries=0) as hali:
        with pytest.raises(HaliClientError, match="UNAVAILABLE: full"):
            hali.sample([1])
    assert len(servicer.requests) == 1


def test_more_retries_than_grpc_makes_are_refused():
    with pytest.raises(HaliClientError, match=r"retries \(5\) 0 to 4"):
        HaliClient(retries=5)


def test_all_messages_of_a_call_share_one_deadline(target, servicer):
    servicer.before_answer = lambda: time.sleep(0.2)
    with HaliClient(target, timeout=20, max_batch=1) as hali:
        hali.sample(range(5))
        assert len(servicer.seconds_left) == 5
        assert servicer.seconds_left[0] > 10
        assert servicer.seconds_left[-1] < 20 - 4 * 0.2 + 0.1  # gRPC rounds what it sends
        hali.timeout = 0.5
        with pytest.raises(HaliClientError, match=r"\(timeout 0.5 s\)") as caught:
            hali.sample(range(5))  # each message alone would be in time
    assert caught.value.code == grpc.StatusCode.DEADLINE_EXCEEDED


def test_metadata_goes_with_every_message(target, servicer):
    headers = {"Authorization": "Bearer secret", "x-tenant": "faces"}
    with HaliClient(target, metadata=headers) as hali:
        hali.sample([1])
    assert len(servicer.headers) == 2  # the signatures and the samples
    for sent in servicer.headers:
        assert (sent["authorization"], sent["x-tenant"]) == ("Bearer secret", "faces")


@pytest.mark.parametrize(
    "headers, message",
    [
        ({"a key": "x"}, "the key 'a key' cannot be sent"),
        ({"grpc-timeout": "x"}, "the key 'grpc-timeout' cannot be sent"),
        ({"authorization": "s\u00e9same\n"}, "the value of authorization has characters"),
    ],
)
def test_metadata_that_grpc_cannot_send(headers, message):
    with pytest.raises(HaliClientError, match=message) as caught:
        HaliClient(metadata=headers)
    assert "same" not in str(caught.value)  # it may be a secret


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
    with HaliClient("localhost:1", retries=1) as hali:
        with pytest.raises(HaliClientError, match=r"\(1 retries\).*gRPC port") as caught:
            hali.sample([1])
    assert caught.value.code == grpc.StatusCode.UNAVAILABLE


def test_a_server_that_comes_back_is_found_again(servicer):
    server, port = start(servicer)
    with HaliClient(f"localhost:{port}") as hali:
        assert len(hali.sample([1])) == 1
        server.stop(0).wait()
        with pytest.raises(HaliClientError, match="UNAVAILABLE"):
            hali.sample([2])
        again = _listen(servicer, port)
        wait_for(lambda: _answers(hali))
        again.stop(0).wait()


def _listen(servicer, port):
    server = grpc.server(futures.ThreadPoolExecutor(2))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(servicer, server)
    server.add_insecure_port(f"localhost:{port}")
    server.start()
    return server


def _answers(hali):
    try:
        return len(hali.sample([3])) == 1
    except HaliClientError as error:
        assert error.code == grpc.StatusCode.UNAVAILABLE
        return False


def test_a_closed_client_says_so(target):
    with HaliClient(target) as hali:
        pass
    with pytest.raises(HaliClientError, match="closed") as caught:
        hali.sample([1])
    assert caught.value.code == grpc.StatusCode.CANCELLED


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
