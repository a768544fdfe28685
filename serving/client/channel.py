"""The connection to a server: TLS, retries, deadlines, and what to do about a failure."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from typing import Any

import grpc

from serving.client import messages_pb2
from serving.client.errors import HaliClientError

# gRPC sends a message at most five times, whatever its service config asks for.
MAX_RETRIES = 4
FIRST_BACKOFF, LARGEST_BACKOFF = 0.1, 5.0  # seconds

_SERVICE = "/tensorflow.serving.PredictionService/"

_ADVICE = {
    grpc.StatusCode.UNAVAILABLE: "check that a server runs at this address and that it is its gRPC "
    "port (8500, not REST's 8501), and that both sides agree on TLS",
    grpc.StatusCode.DEADLINE_EXCEEDED: "raise the timeout, or send fewer examples in one call",
    grpc.StatusCode.NOT_FOUND: "check the model's name and version against what the server serves",
    grpc.StatusCode.INVALID_ARGUMENT: "the server refused the request as it stands",
    grpc.StatusCode.FAILED_PRECONDITION: "the served model cannot answer this call",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "raise max_message_bytes or lower max_batch if a message "
    "was too large; otherwise the server is out of memory or threads",
    grpc.StatusCode.UNIMPLEMENTED: "no TensorFlow Serving server answers at this address",
    grpc.StatusCode.UNAUTHENTICATED: "give the metadata (an authorization header, say) or the "
    "certificate and key that the server asks for",
    grpc.StatusCode.PERMISSION_DENIED: "give the metadata (an authorization header, say) or the "
    "certificate and key that the server asks for",
    grpc.StatusCode.CANCELLED: "the call was cancelled, or the client was closed",
}


class Deadline:
    """The moment at which a whole call, with all its messages and retries, has to be done."""

    def __init__(self, timeout: float):
        """Starts the clock; `timeout` is in seconds."""
        self.timeout = timeout
        self._end = time.monotonic() + timeout

    def remaining(self) -> float:
        """Seconds that are left, at least 0."""
        return max(self._end - time.monotonic(), 0.0)


class Connection:
    """A channel to a server's PredictionService. May be shared by threads.

    Every signature is a pure function of its inputs, so a message that failed as UNAVAILABLE is
    safe to send again, and gRPC does. So it does where the server cancelled the call, as servers
    that stop do. No other failure is retried.
    """

    def __init__(
        self,
        target: str,
        *,
        retries: int,
        max_message_bytes: int,
        credentials: grpc.ChannelCredentials | None = None,
        metadata: Mapping[str, str] | None = None,
    ):
        """Opens the channel; nothing is sent before the first message.

        Args:
          target: host:port, or any gRPC name.
          retries: how often a message is sent again when the server was UNAVAILABLE or stopped.
          max_message_bytes: limit on one request and on one answer.
          credentials: for TLS; without them the channel is not encrypted.
          metadata: headers of every message.

        Raises:
          HaliClientError: a header that gRPC cannot send, or a target that is no text.
        """
        try:
            target.encode()
        except UnicodeEncodeError:
            raise HaliClientError(f"target {target!r}: expected HOST:PORT") from None
        self.target = target
        self._retries = retries
        self._metadata = _checked_metadata(metadata or {})
        options = _options(retries, max_message_bytes)
        if credentials is None:
            self._channel = grpc.insecure_channel(target, options)
        else:
            self._channel = grpc.secure_channel(target, credentials, options)
        self._predict = self._channel.unary_unary(
            f"{_SERVICE}Predict",
            messages_pb2.PredictRequest.SerializeToString,
            messages_pb2.PredictResponse.FromString,
        )
        self._get_metadata = self._channel.unary_unary(
            f"{_SERVICE}GetModelMetadata",
            messages_pb2.GetModelMetadataRequest.SerializeToString,
            messages_pb2.GetModelMetadataResponse.FromString,
        )

    def close(self) -> None:
        """Closes the channel; calls in flight fail as CANCELLED."""
        self._channel.close()

    def predict(
        self, request: messages_pb2.PredictRequest, deadline: Deadline
    ) -> messages_pb2.PredictResponse:
        """Sends a request; raises HaliClientError if it gets no answer."""
        return self._send(self._predict, request, deadline)

    def model_metadata(
        self, request: messages_pb2.GetModelMetadataRequest, deadline: Deadline
    ) -> messages_pb2.GetModelMetadataResponse:
        """Sends a request; raises HaliClientError if it gets no answer."""
        return self._send(self._get_metadata, request, deadline)

    def _send(self, method: grpc.UnaryUnaryMultiCallable, request: Any, deadline: Deadline) -> Any:
        try:
            return method(request, timeout=deadline.remaining(), metadata=self._metadata)
        except grpc.RpcError as error:
            raise self._explained(error, request.model_spec, deadline.timeout) from None
        except ValueError as error:  # grpc's answer to the use of a closed channel
            raise HaliClientError(
                f"the client to {self.target} is closed: {error}", grpc.StatusCode.CANCELLED
            ) from None

    def _explained(
        self, error: grpc.RpcError, spec: messages_pb2.ModelSpec, timeout: float
    ) -> HaliClientError:
        code = error.code()
        advice = _ADVICE.get(code, "look into the server's log")
        details = " ".join((error.details() or "no details").split())
        if "version label" in details:
            advice = "check the label against those of the server's configuration"
        elif "larger than maximum" in details:
            advice = "lower max_batch to the server's max_batch_size"
        version = str(spec.version.value) if spec.HasField("version") else spec.version_label
        asked = "/".join(part for part in (spec.name, version, spec.signature_name) if part)
        after = ""
        if code == grpc.StatusCode.UNAVAILABLE and self._retries:
            after = f" ({self._retries} retries)"
        elif code == grpc.StatusCode.DEADLINE_EXCEEDED:
            after = f" (timeout {timeout:g} s)"
        return HaliClientError(
            f"{self.target}, {asked}: {code.name}{after}: {details[:500]}; {advice}", code
        )


def tls_credentials(
    tls: bool, ca_file: str | None, cert_file: str | None, key_file: str | None
) -> grpc.ChannelCredentials | None:
    """Credentials from PEM files, with the system's root certificates if `ca_file` is None.

    Returns:
      None if neither `tls` nor a file asks for TLS.

    Raises:
      HaliClientError: a certificate without its key, or a file that cannot be read.
    """
    if bool(cert_file) != bool(key_file):
        raise HaliClientError("cert_file and key_file belong together: give both or neither")
    if not (tls or ca_file or cert_file):
        return None
    return grpc.ssl_channel_credentials(
        root_certificates=_read(ca_file),
        private_key=_read(key_file),
        certificate_chain=_read(cert_file),
    )


def _read(path: str | None) -> bytes | None:
    if not path:
        return None
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise HaliClientError(f"{path}: cannot be read: {error.strerror}") from None


def _options(retries: int, max_message_bytes: int) -> list[tuple[str, str | int]]:
    # With a name of several addresses (a headless Kubernetes service) the addresses take turns;
    # by default everything goes to the first.
    service_config: dict = {"loadBalancingConfig": [{"round_robin": {}}]}
    if retries:
        retry_policy = {
            "maxAttempts": 1 + retries,
            "initialBackoff": f"{FIRST_BACKOFF}s",
            "maxBackoff": f"{LARGEST_BACKOFF}s",
            "backoffMultiplier": 2,
            "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
        }
        service_config["methodConfig"] = [{"name": [{}], "retryPolicy": retry_policy}]
    return [
        ("grpc.max_send_message_length", max_message_bytes),
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.service_config", json.dumps(service_config)),
        # gRPC keeps a message for retries only up to this size, by default 256 KB: less than a
        # batch of 64 pictures of 64x64.
        ("grpc.per_rpc_retry_buffer_size", min(2 * max_message_bytes, 2**31 - 1)),
        # After a lost connection gRPC waits a second and more before it connects again, and fails
        # every call meanwhile. Keep this wait within that of the retries.
        ("grpc.initial_reconnect_backoff_ms", int(1000 * FIRST_BACKOFF)),
        ("grpc.min_reconnect_backoff_ms", 1000),
        ("grpc.max_reconnect_backoff_ms", int(1000 * LARGEST_BACKOFF)),
    ]


def _checked_metadata(metadata: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Pairs as gRPC takes them: keys in small letters, values of printable ASCII characters."""
    pairs = tuple((key.lower(), value) for key, value in metadata.items())
    for key, value in pairs:
        if not re.fullmatch(r"[0-9a-z_.-]+", key) or key.startswith("grpc-") or key[-4:] == "-bin":
            raise HaliClientError(
                f"metadata: the key {key!r} cannot be sent; use letters, digits and _ . - (gRPC "
                "keeps names that begin with grpc- or end in -bin for itself)"
            )
        if not re.fullmatch(r"[ -~]*", value):
            raise HaliClientError(
                f"metadata: the value of {key} has characters other than printable ASCII"
            )  # the value itself may be a secret
    return pairs
