"""Client of a served HALI model: NumPy arrays in, NumPy arrays out, over gRPC.

    from serving.client import HaliClient

    with HaliClient("localhost:8500") as hali:
        levels = hali.encode(images)              # [(mean, stddev), ...], one pair a level
        pictures = hali.decode(levels[-1][0])     # uint8 [B, H, W, C] from the top level
        classes, scores = hali.classify(images)

It talks to TensorFlow Serving and to the project's development server alike, and learns the image
size, the number of levels and the latents' shapes from the server. From a shell:

    python -m serving.client reconstruct --image=photos/ --target=localhost:8500 --out=grid.png

It needs numpy, grpcio and tensorflow-serving-api (and Pillow for the command), nothing of
`hali_tf`. The messages of tensorflow-serving-api are built on those of the tensorflow package, so
importing them imports TensorFlow: about 3 seconds, once a process, when the first client is made.
Importing this module does not.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import random
import re
import sys
import time
import types

import grpc
import numpy as np

DEFAULT_TIMEOUT = 30.0
DEFAULT_RETRIES = 4
# gRPC's own limit on an answer is 4 MB, which 170 pictures of 64x64 exceed. Servers take far more.
DEFAULT_MAX_MESSAGE_BYTES = 64 * 2**20
# A batching server refuses requests larger than its max_batch_size; the deployment files say 64.
DEFAULT_MAX_BATCH = 64

_FIRST_BACKOFF, _LARGEST_BACKOFF = 0.1, 5.0  # seconds
# How often a call of several messages starts again because the model was swapped in its middle.
_RESTARTS = 2
_MESSAGE_OVERHEAD = 4096  # names, shapes and headers beside the tensors' own bytes

# The wire's numbers for data types (tensorflow/core/framework/types.proto), and for each the field
# of TensorProto that holds its values when `tensor_content` does not.
_STRING = 7
_DTYPES = {
    1: (np.dtype(np.float32), "float_val"),
    2: (np.dtype(np.float64), "double_val"),
    3: (np.dtype(np.int32), "int_val"),
    4: (np.dtype(np.uint8), "int_val"),
    9: (np.dtype(np.int64), "int64_val"),
    10: (np.dtype(np.bool_), "bool_val"),
}
_ENUMS = {dtype: number for number, (dtype, _) in _DTYPES.items()}

_ADVICE = {
    grpc.StatusCode.UNAVAILABLE: "check that a server runs at this address and that it is its gRPC port (8500, not REST's "
    "8501), and that both sides agree on TLS",
    grpc.StatusCode.DEADLINE_EXCEEDED: "raise the timeout, or lower max_batch so that a message holds less work",
    grpc.StatusCode.NOT_FOUND: "check the model's name and version against what the server serves",
    grpc.StatusCode.INVALID_ARGUMENT: "the server refused the request as it stands",
    grpc.StatusCode.FAILED_PRECONDITION: "the served model cannot answer this call",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "raise max_message_bytes or lower max_batch if a message was too large; otherwise the "
    "server is out of memory or threads",
    grpc.StatusCode.UNIMPLEMENTED: "no TensorFlow Serving server answers at this address",
    grpc.StatusCode.UNAUTHENTICATED: "give the certificate and key the server asks for",
    grpc.StatusCode.PERMISSION_DENIED: "give the certificate and key the server asks for",
    grpc.StatusCode.CANCELLED: "the call was cancelled, or the client was closed",
}


class HaliClientError(Exception):
    """A call that got no answer. The message, one line, says what to do.

    Attributes:
        code: `grpc.StatusCode`; INVALID_ARGUMENT also for what the client itself refused to send.
    """

    def __init__(self, message: str, code: grpc.StatusCode = grpc.StatusCode.INVALID_ARGUMENT):
        super().__init__(message)
        self.code = code


class HaliClient:
    """Calls one served model. May be shared by threads.

    Every signature is a pure function of its inputs, so a request that failed as UNAVAILABLE is
    safe to send again, and is, with exponential backoff. No other failure is retried.
    """

    def __init__(
        self,
        target: str = "localhost:8500",
        model: str = "hali",
        *,
        version: int | None = None,
        label: str | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        retries: int = DEFAULT_RETRIES,
        retry_seed: int | None = None,
        tls: bool = False,
        ca_file: str | None = None,
        cert_file: str | None = None,
        key_file: str | None = None,
        max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES,
        max_batch: int = DEFAULT_MAX_BATCH,
    ):
        """Opens a channel; nothing is sent before the first call.

        Args:
            target: host:port of the server's gRPC port, or any gRPC name such as
                `dns:///hali-serving-headless:8500` (all its addresses take turns).
            model: the model's name in the server's configuration.
            version: version number to ask for; by default the newest that is served.
            label: version label to ask for (`stable`, `canary`) instead of a number.
            timeout: seconds for one message with all its retries.
            retries: how often a message is sent again when the server was UNAVAILABLE.
            retry_seed: seed of the backoff's jitter. Leave it out in production, where clients
                that lost a server together should not come back together.
            tls: use TLS with the system's root certificates. Implied by the three files.
            ca_file: PEM file with the root certificates to trust.
            cert_file: PEM file with this client's certificate, where the server asks for one.
            key_file: PEM file with the key to `cert_file`.
            max_message_bytes: limit on one request and on one answer. Larger batches are split.
            max_batch: most examples in one message; at most the server's max_batch_size.

        Raises:
            HaliClientError: an argument cannot work, or a file cannot be read.
        """
        if version is not None and label is not None:
            raise HaliClientError("version and label exclude each other: give one of them")
        if timeout <= 0 or retries < 0 or max_batch < 1 or max_message_bytes <= _MESSAGE_OVERHEAD:
            raise HaliClientError(
                f"timeout ({timeout}) must be above 0, retries ({retries}) at least 0, max_batch "
                f"({max_batch}) at least 1, max_message_bytes ({max_message_bytes}) above "
                f"{_MESSAGE_OVERHEAD}"
            )
        self.target, self.model, self.version, self.label = target, model, version, label
        self.timeout, self.retries = timeout, retries
        self.max_message_bytes, self.max_batch = max_message_bytes, max_batch
        self._jitter = random.Random(retry_seed)
        self._signatures = None
        self._signatures_version = None
        self._channel = _open_channel(target, max_message_bytes, tls, ca_file, cert_file, key_file)
        self._stub = _protos().prediction_grpc.PredictionServiceStub(self._channel)

    def __enter__(self) -> HaliClient:
        return self

    def __exit__(self, *exception) -> None:
        self.close()

    def close(self) -> None:
        """Closes the channel; calls in flight fail as CANCELLED."""
        self._channel.close()

    # What the served model is.

    @property
    def num_levels(self) -> int:
        """Number of latent levels L; the top level is L."""
        names = self._signature("encode").outputs
        return len([name for name in names if re.fullmatch(r"z_\d+", name)])

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of the images that the model takes and gives."""
        return tuple(_shape(self._signature("encode").inputs["images"])[1:])

    @property
    def has_classifier(self) -> bool:
        """Whether the model was exported from labelled data."""
        return "classify" in self.signatures()

    def signatures(self) -> dict:
        """The served model's signatures by name (SignatureDef messages), asked for once."""
        if self._signatures is None:
            protos = _protos()
            request = protos.metadata.GetModelMetadataRequest(
                model_spec=self._model_spec(), metadata_field=["signature_def"]
            )
            answer = self._send(self._stub.GetModelMetadata, request)
            table = protos.metadata.SignatureDefMap()
            answer.metadata["signature_def"].Unpack(table)
            self._signatures_version = answer.model_spec.version.value
            self._signatures = dict(table.signature_def)
        return self._signatures

    # The calls.

    def encode(self, images: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """Infers the latents of images.

        Args:
            images: uint8 [B, H, W, C], any B >= 1.

        Returns:
            For each level, from 1 to the top, (mean, stddev), float32 of the level's latent shape:
            [B, h, w, c], at the top [B, D].
        """
        outputs = self._call("encode", images)
        return [
            (outputs[f"z_{level}"], outputs[f"z_{level}_stddev"])
            for level in range(1, len(outputs) // 2 + 1)
        ]

    def decode(self, z: np.ndarray, level: int | None = None) -> np.ndarray:
        """Decodes latents of one level into images.

        Args:
            z: [B, *latent shape of the level], a floating-point type, finite.
            level: 1 to `num_levels`; by default the top one.

        Returns:
            uint8 [B, H, W, C].
        """
        top = self.num_levels
        if level is None:
            level = top
        if not 1 <= level <= top:
            raise HaliClientError(f"level {level}: the served model has levels 1 to {top}")
        return self._call("decode" if level == top else f"decode_{level}", z)["images"]

    def reconstruct(self, images: np.ndarray) -> list[np.ndarray]:
        """Encodes images up to each level and decodes them from there.

        Args:
            images: uint8 [B, H, W, C], any B >= 1.

        Returns:
            For each level, from 1 to the top, uint8 [B, H, W, C].
        """
        outputs = self._call("reconstruct", images)
        return [outputs[f"reconstruction_{level}"] for level in range(1, len(outputs) + 1)]

    def classify(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Scores images against the labels of the training data.

        Args:
            images: uint8 [B, H, W, C], any B >= 1.

        Returns:
            (classes, scores): class names, str [B, K], and float32 [B, K] beside them.

        Raises:
            HaliClientError: FAILED_PRECONDITION if the model was exported without labels.
        """
        outputs = self._call("classify", images)
        return outputs["classes"], outputs["scores"]

    def sample(self, seeds) -> np.ndarray:
        """Draws images from the prior; the same seed gives the same image on every server.

        Args:
            seeds: whole numbers [B], an array or a sequence.

        Returns:
            uint8 [B, H, W, C].
        """
        return self._call("sample", seeds)["images"]

    # How a call is made.

    def _call(self, signature: str, values) -> dict[str, np.ndarray]:
        """Sends one batch, in as many messages as it takes, and joins the answers in order.

        A server may swap the model between two of the messages. Latents of two models must not
        end up in one array, so the call then starts again.
        """
        for _ in range(1 + _RESTARTS):
            definition = self._signature(signature)
            ((name, info),) = definition.inputs.items()
            batch = _checked(signature, name, values, info)
            rows = self._rows_per_message(definition, batch)
            answers, versions = [], set()
            for start in range(0, len(batch), rows):
                answer = self._predict(signature, name, batch[start : start + rows])
                answers.append({key: from_tensor(t) for key, t in answer.outputs.items()})
                versions.add(answer.model_spec.version.value)
                if len(versions) > 1:
                    break
            if versions != {self._signatures_version}:
                self._signatures = None  # a swap since they were read: ask again before next use
            if len(versions) == 1:
                return {key: np.concatenate([a[key] for a in answers]) for key in answers[0]}
        raise HaliClientError(
            f"{signature}: the server changed the model's version in the middle of the call, "
            f"{1 + _RESTARTS} times in a row; call again, or ask for one version or label",
            grpc.StatusCode.ABORTED,
        )

    def _predict(self, signature: str, name: str, batch: np.ndarray):
        predict = _protos().predict
        request = predict.PredictRequest(
            model_spec=self._model_spec(signature), inputs={name: to_tensor(batch)}
        )
        return self._send(self._stub.Predict, request)

    def _send(self, method, request):
        """Sends one message until it is answered, refused, or out of tries or time."""
        deadline = time.monotonic() + self.timeout
        backoff = _FIRST_BACKOFF
        tries = 0
        while True:
            tries += 1
            try:
                return method(request, timeout=max(deadline - time.monotonic(), 1e-3))
            except grpc.RpcError as error:
                # Full jitter between half and all of the backoff; never sleeps past the deadline.
                pause = backoff * self._jitter.uniform(0.5, 1.0)
                out_of_time = time.monotonic() + pause >= deadline
                unavailable = error.code() == grpc.StatusCode.UNAVAILABLE
                if not unavailable or tries > self.retries or out_of_time:
                    raise self._explained(error, request.model_spec, tries) from None
            except ValueError as error:  # grpc's answer to the use of a closed channel
                raise HaliClientError(
                    f"the client to {self.target} is closed: {error}", grpc.StatusCode.CANCELLED
                ) from None
            time.sleep(pause)
            backoff = min(2 * backoff, _LARGEST_BACKOFF)

    def _explained(self, error: grpc.RpcError, spec, tries: int) -> HaliClientError:
        code = error.code()
        if code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION):
            self._signatures = None  # the model may have been swapped for one of another shape
        advice = _ADVICE.get(code, "look into the server's log")
        details = " ".join((error.details() or "no details").split())
        if "larger than maximum" in details:
            advice = "lower max_batch to the server's max_batch_size"
        asked = "/".join(
            part
            for part in (
                spec.name,
                str(spec.version.value) if spec.HasField("version") else spec.version_label,
                spec.signature_name,
            )
            if part
        )
        after = f" after {tries} tries" if tries > 1 else ""
        if code == grpc.StatusCode.DEADLINE_EXCEEDED:
            after += f" (timeout {self.timeout:g} s)"
        return HaliClientError(
            f"{self.target}, {asked}: {code.name}{after}: {details[:500]}; {advice}", code
        )

    def _model_spec(self, signature: str = ""):
        spec = _protos().model.ModelSpec(name=self.model, signature_name=signature)
        if self.version is not None:
            spec.version.value = self.version
        if self.label is not None:
            spec.version_label = self.label
        return spec

    def _signature(self, name: str):
        known = self.signatures()
        if name in known:
            return known[name]
        reason = (
            "it was exported from data without labels"
            if name == "classify"
            else (f"it has {', '.join(sorted(known))}")
        )
        raise HaliClientError(
            f"model {self.model} at {self.target} has no signature {name}: {reason}",
            grpc.StatusCode.FAILED_PRECONDITION,
        )

    def _rows_per_message(self, definition, batch: np.ndarray) -> int:
        """Most examples that fit a message both ways."""
        answer = sum(_row_bytes(info) for info in definition.outputs.values())
        row = max(batch[:1].nbytes, answer)
        room = self.max_message_bytes - _MESSAGE_OVERHEAD
        if row > room:
            raise HaliClientError(
                f"one example takes {row} bytes on the wire, max_message_bytes is "
                f"{self.max_message_bytes}: raise it to at least {row + _MESSAGE_OVERHEAD}"
            )
        return min(self.max_batch, room // row)


@functools.cache
def _protos() -> types.SimpleNamespace:
    """Messages and stubs of TensorFlow Serving; their import costs seconds, see above."""
    from tensorflow.core.framework import tensor_pb2
    from tensorflow_serving.apis import (
        get_model_metadata_pb2,
        model_pb2,
        predict_pb2,
        prediction_service_pb2_grpc,
    )

    return types.SimpleNamespace(
        metadata=get_model_metadata_pb2,
        model=model_pb2,
        predict=predict_pb2,
        prediction_grpc=prediction_service_pb2_grpc,
        tensor=tensor_pb2,
    )


def _open_channel(target, max_message_bytes, tls, ca_file, cert_file, key_file) -> grpc.Channel:
    options = [
        ("grpc.max_send_message_length", max_message_bytes),
        ("grpc.max_receive_message_length", max_message_bytes),
        # Retries are the client's own; two layers of them would multiply.
        ("grpc.enable_retries", 0),
        # After a lost connection gRPC waits a second and more before it tries again, and fails
        # every call meanwhile. Keep its wait within the client's own backoff.
        ("grpc.initial_reconnect_backoff_ms", int(1000 * _FIRST_BACKOFF)),
        ("grpc.min_reconnect_backoff_ms", 1000),
        ("grpc.max_reconnect_backoff_ms", int(1000 * _LARGEST_BACKOFF)),
        # With a name of several addresses (a headless Kubernetes service) take turns, instead of
        # sending everything to the first.
        ("grpc.service_config", '{"loadBalancingConfig": [{"round_robin": {}}]}'),
    ]
    if bool(cert_file) != bool(key_file):
        raise HaliClientError("cert_file and key_file belong together: give both or neither")
    if not (tls or ca_file or cert_file):
        return grpc.insecure_channel(target, options)
    credentials = grpc.ssl_channel_credentials(
        root_certificates=_read(ca_file),
        private_key=_read(key_file),
        certificate_chain=_read(cert_file),
    )
    return grpc.secure_channel(target, credentials, options)


def _read(path: str | None) -> bytes | None:
    if not path:
        return None
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise HaliClientError(f"{path}: cannot be read: {error.strerror}") from None


# Tensors on the wire. TensorFlow's own make_tensor_proto and make_ndarray would do, but they are
# not reached through the messages alone.


def to_tensor(array: np.ndarray):
    """NumPy array -> TensorProto."""
    tensor = _protos().tensor.TensorProto(
        dtype=_ENUMS[array.dtype], tensor_content=np.ascontiguousarray(array).tobytes()
    )
    for size in array.shape:
        tensor.tensor_shape.dim.add(size=size)
    return tensor


def from_tensor(tensor) -> np.ndarray:
    """TensorProto -> NumPy array; strings come as str.

    The stock server sends values as numbers (`int_val` and so on) unless it runs with
    --enable_serialization_as_tensor_content; then, and from the development server, as raw bytes.
    """
    shape = [dim.size for dim in tensor.tensor_shape.dim]
    size = int(np.prod(shape, dtype=np.int64))
    if tensor.dtype == _STRING:
        values = np.array([value.decode("utf-8", "replace") for value in tensor.string_val])
    elif tensor.dtype not in _DTYPES:
        raise HaliClientError(
            f"the answer has a tensor of data type {tensor.dtype}, which no signature of hali_tf "
            "has",
            grpc.StatusCode.INTERNAL,
        )
    else:
        dtype, field = _DTYPES[tensor.dtype]
        if tensor.tensor_content:
            return np.frombuffer(tensor.tensor_content, dtype).reshape(shape)
        values = np.array(getattr(tensor, field), dtype)
    if len(values) < size and len(values):  # the last value stands for all that follow
        values = np.concatenate([values, np.repeat(values[-1:], size - len(values))])
    return values.reshape(shape)


def _shape(info) -> list[int]:
    """Dimensions of a TensorInfo, -1 where unknown."""
    return [dim.size for dim in info.tensor_shape.dim]


def _row_bytes(info) -> int:
    """Largest size of one example of an output on the wire."""
    numbers = int(np.prod([max(size, 1) for size in _shape(info)[1:]], dtype=np.int64))
    # As numbers, uint8 takes up to 2 bytes; the length of a class name is anyone's guess.
    return numbers * {4: 2, 1: 4, _STRING: 64}.get(info.dtype, 10)


def _checked(signature: str, name: str, values, info) -> np.ndarray:
    """The batch as the signature wants it.

    Raises:
        HaliClientError: another type, shape or range; the message names both.
    """
    array = np.asarray(values)
    wanted, shape = _DTYPES[info.dtype][0], _shape(info)
    expected = f"{wanted} [{', '.join(['B'] + [str(size) for size in shape[1:]])}]"
    received = f"{array.dtype} {list(array.shape)}"
    what = f"{signature}: {name} must be {expected}, got {received}"
    if array.ndim == len(shape) - 1 and _fits(array.shape, shape[1:]) and array.ndim:
        raise HaliClientError(f"{what}: a single example needs a batch axis, {name}[None]")
    if array.ndim != len(shape) or not _fits(array.shape[1:], shape[1:]):
        hint = ""
        if name == "images" and array.ndim == len(shape):
            hint = ": resize the images, or convert their channels, first"
        raise HaliClientError(what + hint)
    if not len(array):
        raise HaliClientError(f"{what}: the batch is empty")
    kinds = {"u": "u", "f": "f", "i": "iu"}[wanted.kind]
    if array.dtype.kind not in kinds or (wanted.kind == "u" and array.dtype != wanted):
        hint = ": grey levels 0 to 255, not scaled to [0, 1]" if name == "images" else ""
        raise HaliClientError(what + hint)
    if wanted.kind == "f" and not np.isfinite(array).all():
        raise HaliClientError(f"{signature}: {name} has values that are NaN or infinite")
    if array.dtype == np.uint64 and array.max() > np.iinfo(np.int64).max:
        raise HaliClientError(f"{signature}: {name} has values above {np.iinfo(np.int64).max}")
    return array.astype(wanted, copy=False)


def _fits(sizes, wanted) -> bool:
    return len(sizes) == len(wanted) and all(w in (-1, s) for s, w in zip(sizes, wanted))


# The command.

_EPILOG = """examples:
  python -m serving.client reconstruct --image=photos/ --out=grid.png
      one row a picture: the original, then its reconstruction from each level
  python -m serving.client encode --image=face.jpg --out=latents.json
  python -m serving.client decode --latents=latents.json --out=face_again.png
  python -m serving.client classify --image=face.jpg
  python -m serving.client sample --count=64 --out=samples.png --label=canary

Pictures of any size and mode are turned upright (EXIF), cut to the model's aspect ratio about
their centre and resized. Exit status: 0 done, 1 a file or the server failed, 2 wrong usage."""


def main(argv: list[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    # Before TensorFlow is imported: the messages' import would print its start-up notes.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    arguments = _parser().parse_args(argv)
    from serving import pictures

    try:
        problem = _usage_problem(arguments)
        if problem:
            print(f"error: {problem}", file=sys.stderr)
            return 2
        with _client_of(arguments) as client:
            _COMMANDS[arguments.command](client, arguments, pictures)
    except (HaliClientError, pictures.PictureError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m serving.client",
        description="Calls a served HALI model: pictures in, pictures or numbers out.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    server = argparse.ArgumentParser(add_help=False)
    group = server.add_argument_group("server")
    group.add_argument(
        "--target",
        default="localhost:8500",
        help="host:port of the gRPC port (default %(default)s)",
    )
    group.add_argument("--model", default="hali", help="name of the model (default %(default)s)")
    which = group.add_mutually_exclusive_group()
    which.add_argument("--version", type=int, help="version number (default: the newest served)")
    which.add_argument("--label", help="version label, such as stable or canary")
    group.add_argument(
        "--timeout",
        type=float,
        default=DEFAULT_TIMEOUT,
        metavar="SECONDS",
        help="for one message with its retries (default %(default)s)",
    )
    group.add_argument(
        "--retries",
        type=int,
        default=DEFAULT_RETRIES,
        help="when the server is unavailable (default %(default)s)",
    )
    group.add_argument(
        "--max_batch",
        type=int,
        default=DEFAULT_MAX_BATCH,
        help="most pictures in one message (default %(default)s)",
    )
    group.add_argument("--tls", action="store_true", help="TLS with the system's roots")
    group.add_argument("--ca", metavar="FILE", help="TLS with the roots of this PEM file")
    group.add_argument("--cert", metavar="FILE", help="this client's certificate (PEM)")
    group.add_argument("--key", metavar="FILE", help="key to --cert (PEM)")

    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name, summary, out, image=False, out_required=False):
        sub = commands.add_parser(name, parents=[server], help=summary, description=summary)
        if image:
            sub.add_argument(
                "--image",
                required=True,
                metavar="FILE|FOLDER",
                help="a picture, or a folder of pictures (taken in order of name)",
            )
        sub.add_argument("--out", metavar="FILE", required=out_required, help=out)
        return sub

    numbers = "FILE.json or FILE.npz (default: JSON on standard output)"
    grid = "FILE.png for a grid of pictures, FILE.npy for uint8 [B, H, W, C]"
    command(
        "encode",
        "Infer the latents of pictures: mean and stddev at each level.",
        numbers,
        image=True,
    )
    command("classify", "Score pictures against the training data's labels.", numbers, image=True)
    command(
        "reconstruct",
        "Encode pictures up to each level and decode them from there.",
        "FILE.png: a row a picture, the original first; FILE.npz: images, reconstruction_l",
        image=True,
        out_required=True,
    )
    decode = command("decode", "Decode latents into pictures.", grid, out_required=True)
    decode.add_argument(
        "--latents",
        required=True,
        metavar="FILE",
        help="what encode wrote (.json, .npz), a JSON array, or .npy [B, ...]",
    )
    decode.add_argument("--level", type=int, help="level of the latents (default: the top one)")
    sample = command("sample", "Draw pictures from the prior.", grid, out_required=True)
    which = sample.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--seeds",
        type=_seeds,
        metavar="0,1,2",
        help="one picture a seed; the same seed gives the same picture anywhere",
    )
    which.add_argument("--count", type=int, help="seeds 0 to COUNT - 1")
    return parser


def _seeds(text: str) -> list[int]:
    try:
        return np.array([int(seed) for seed in text.split(",")], np.int64).tolist()
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            f"{text!r}: give 64-bit whole numbers with commas between, such as 0,1,2"
        ) from None


_SUFFIXES = {
    "encode": (".json", ".npz"),
    "classify": (".json", ".npz"),
    "reconstruct": (".png", ".npz"),
    "decode": (".png", ".npy"),
    "sample": (".png", ".npy"),
}


def _usage_problem(arguments) -> str | None:
    """What is wrong with the flags, before anything is read or sent."""
    suffixes = _SUFFIXES[arguments.command]
    if arguments.out and os.path.splitext(arguments.out)[1].lower() not in suffixes:
        return f"--out={arguments.out}: {arguments.command} writes {' or '.join(suffixes)}"
    folder = os.path.dirname(arguments.out or "") or "."
    if not os.path.isdir(folder):
        return f"--out={arguments.out}: there is no folder {folder}; make it first"
    if getattr(arguments, "count", None) is not None and arguments.count < 1:
        return f"--count={arguments.count}: must be at least 1"
    if arguments.timeout <= 0:
        return f"--timeout={arguments.timeout}: must be above 0 seconds"
    if arguments.retries < 0:
        return f"--retries={arguments.retries}: must be at least 0"
    if arguments.max_batch < 1:
        return f"--max_batch={arguments.max_batch}: must be at least 1"
    if bool(arguments.cert) != bool(arguments.key):
        return "--cert and --key belong together: give both or neither"
    return None


def _client_of(arguments) -> HaliClient:
    return HaliClient(
        arguments.target,
        arguments.model,
        version=arguments.version,
        label=arguments.label,
        timeout=arguments.timeout,
        retries=arguments.retries,
        tls=arguments.tls,
        ca_file=arguments.ca,
        cert_file=arguments.cert,
        key_file=arguments.key,
        max_batch=arguments.max_batch,
    )


def _run_encode(client, arguments, pictures):
    names, images = pictures.load(arguments.image, client.image_shape)
    arrays = {}
    for level, (mean, stddev) in enumerate(client.encode(images), start=1):
        arrays[f"z_{level}"], arrays[f"z_{level}_stddev"] = mean, stddev
    _write_numbers(arguments.out, names, arrays, pictures)


def _run_classify(client, arguments, pictures):
    client._signature("classify")  # says at once that there is none, before pictures are read
    names, images = pictures.load(arguments.image, client.image_shape)
    classes, scores = client.classify(images)
    _write_numbers(arguments.out, names, {"classes": classes, "scores": scores}, pictures)


def _run_reconstruct(client, arguments, pictures):
    _, images = pictures.load(arguments.image, client.image_shape)
    levels = client.reconstruct(images)
    if arguments.out.lower().endswith(".npz"):
        named = {f"reconstruction_{l}": array for l, array in enumerate(levels, start=1)}
        pictures.write(arguments.out, lambda file: np.savez(file, images=images, **named))
    else:
        columns = [images, *levels]
        rows = np.stack(columns, axis=1).reshape(-1, *images.shape[1:])
        pictures.write_grid(arguments.out, rows, columns=len(columns))


def _run_decode(client, arguments, pictures):
    level = arguments.level or client.num_levels
    images = client.decode(_read_latents(arguments.latents, level), arguments.level)
    _write_images(arguments.out, images, pictures)


def _run_sample(client, arguments, pictures):
    seeds = arguments.seeds if arguments.seeds else range(arguments.count)
    _write_images(arguments.out, client.sample(np.array(seeds, np.int64)), pictures)


_COMMANDS = {
    "encode": _run_encode,
    "decode": _run_decode,
    "reconstruct": _run_reconstruct,
    "classify": _run_classify,
    "sample": _run_sample,
}


def _write_numbers(out: str | None, names, arrays, pictures) -> None:
    if out and out.lower().endswith(".npz"):
        pictures.write(out, lambda file: np.savez(file, files=np.array(names), **arrays))
        return
    table = {"files": names, **{name: array.tolist() for name, array in arrays.items()}}
    text = json.dumps(table) + "\n"
    if out:
        pictures.write(out, lambda file: file.write(text.encode()))
    else:
        sys.stdout.write(text)


def _write_images(out: str, images: np.ndarray, pictures) -> None:
    if out.lower().endswith(".npy"):
        pictures.write(out, lambda file: np.save(file, images))
    else:
        pictures.write_grid(out, images)


def _read_latents(path: str, level: int) -> np.ndarray:
    """Latents of a level from what `encode` wrote, or from a bare array."""
    key = f"z_{level}"
    try:
        if path.lower().endswith((".npy", ".npz")):
            loaded = np.load(path, allow_pickle=False)
        else:
            with open(path, encoding="utf-8") as file:
                loaded = json.load(file)
        if not isinstance(loaded, (np.ndarray, list)):
            loaded = loaded[key]
        return np.asarray(loaded, dtype=np.float32)
    except OSError as error:
        raise HaliClientError(f"--latents={path}: cannot be read: {error.strerror}") from None
    except KeyError:
        raise HaliClientError(
            f"--latents={path}: has no {key}, the latents of level {level}"
        ) from None
    except (ValueError, TypeError, EOFError) as error:
        raise HaliClientError(
            f"--latents={path}: not latents as encode writes them, nor an array: "
            f"{' '.join(str(error).split())[:200]}"
        ) from None


if __name__ == "__main__":
    sys.exit(main())
