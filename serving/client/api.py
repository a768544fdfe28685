"""`HaliClient`: one method for each thing that a served model does."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from serving.client import messages_pb2, tensors
from serving.client.calls import Description, ServedModel
from serving.client.channel import MAX_RETRIES, Connection, Deadline, tls_credentials
from serving.client.errors import HaliClientError

DEFAULT_MODEL = "hali"
DEFAULT_TIMEOUT = 30.0
MAX_TIMEOUT = 1e6  # gRPC counts in nanoseconds
DEFAULT_RETRIES = MAX_RETRIES
# gRPC's own limit on an answer is 4 MB, which 170 pictures of 64x64 exceed. Servers take far more.
DEFAULT_MAX_MESSAGE_BYTES = 64 * 2**20
# A batching server refuses requests larger than its max_batch_size; the deployment files say 64.
DEFAULT_MAX_BATCH = 64


class HaliClient:
    """Calls one served model. May be shared by threads.

    Args:
      target: host:port of the server's gRPC port, or any gRPC name such as
        `dns:///hali-serving-headless:8500` (all its addresses take turns).
      model: the model's name in the server's configuration.
      version: version number to ask for; by default the newest that is served.
      label: version label to ask for (`stable`, `canary`) instead of a number.
      timeout: seconds for a whole call with all its messages and retries.
      retries: how often a message is sent again when the server was UNAVAILABLE or
        stopped, at most 4.
      metadata: headers of every message, such as {"authorization": "Bearer ..."}. Without
        TLS they can be read on the way.
      tls: use TLS with the system's root certificates. Implied by the three files.
      ca_file: PEM file with the root certificates to trust.
      cert_file: PEM file with this client's certificate, where the server asks for one.
      key_file: PEM file with the key to `cert_file`.
      max_message_bytes: limit on one request and on one answer. Larger batches are split.
      max_batch: most examples in one message; at most the server's max_batch_size.

    Raises:
      HaliClientError: an argument cannot work, or a file cannot be read.
    """

    def __init__(
        self,
        target: str = "localhost:8500",
        model: str = DEFAULT_MODEL,
        *,
        version: int | None = None,
        label: str | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        retries: int = DEFAULT_RETRIES,
        metadata: Mapping[str, str] | None = None,
        tls: bool = False,
        ca_file: str | None = None,
        cert_file: str | None = None,
        key_file: str | None = None,
        max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES,
        max_batch: int = DEFAULT_MAX_BATCH,
    ):
        """Opens a channel; nothing is sent before the first call."""
        if version is not None and label is not None:
            raise HaliClientError("version and label exclude each other: give one of them")
        if not target:
            raise HaliClientError("target is empty: name the server, such as localhost:8500")
        _check_limits(timeout, retries, max_batch, max_message_bytes)
        self.timeout = timeout
        self._connection = Connection(
            target,
            retries=retries,
            max_message_bytes=max_message_bytes,
            credentials=tls_credentials(tls, ca_file, cert_file, key_file),
            metadata=metadata,
        )
        self._served = ServedModel(
            self._connection,
            model,
            version=version,
            label=label,
            max_batch=max_batch,
            max_message_bytes=max_message_bytes,
        )

    def __enter__(self) -> HaliClient:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the channel; calls in flight fail as CANCELLED."""
        self._connection.close()

    @property
    def num_levels(self) -> int:
        """Number of latent levels L; the top level is L."""
        return _num_levels(self._describe())

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of the images that the model takes and gives."""
        images = self._describe().signature("encode").inputs["images"]
        _, height, width, channels = tensors.shape_of(images)
        return height, width, channels

    @property
    def has_classifier(self) -> bool:
        """Whether the model was exported from labelled data."""
        return "classify" in self._describe().signatures

    def signatures(self) -> dict[str, messages_pb2.SignatureDef]:
        """The served model's signatures by name (SignatureDef messages), asked for once."""
        model = self._describe()
        return {name: model.signature(name) for name in model.signatures}

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
        deadline = Deadline(self.timeout)
        top = _num_levels(self._served.describe(deadline))
        if level is None:
            level = top
        if not 1 <= level <= top:
            self._served.forget()
            raise HaliClientError(f"level {level}: the served model has levels 1 to {top}")
        name = "decode" if level == top else f"decode_{level}"
        return self._served.call(name, z, deadline)["images"]

    def decode_latents(self, z: np.ndarray) -> list[np.ndarray]:
        """Decodes top latents into those of the levels below, on the way of `decode`.

        Args:
          z: [B, *latent shape of the top level], a floating-point type, finite.

        Returns:
          For each level, from 1 to the one below the top, float32 [B, *latent shape].

        Raises:
          HaliClientError: FAILED_PRECONDITION if the model has one level, or was exported before
            there was this call.
        """
        outputs = self._call("decode_latents", z)
        return [outputs[f"z_{level}"] for level in range(1, len(outputs) + 1)]

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
          (classes, scores): class names, str [B, K], and their scores, float32 [B, K].

        Raises:
          HaliClientError: FAILED_PRECONDITION if the model was exported without labels.
        """
        outputs = self._call("classify", images)
        return outputs["classes"], outputs["scores"]

    def sample(self, seeds: Sequence[int] | np.ndarray) -> np.ndarray:
        """Draws images from the prior; the same seed gives the same image on every server.

        Args:
          seeds: whole numbers [B].

        Returns:
          uint8 [B, H, W, C].
        """
        return self._call("sample", seeds)["images"]

    def _call(self, signature: str, values: object) -> dict[str, np.ndarray]:
        return self._served.call(signature, values, Deadline(self.timeout))

    def _describe(self) -> Description:
        return self._served.describe(Deadline(self.timeout))


def _check_limits(timeout: float, retries: int, max_batch: int, max_message_bytes: int) -> None:
    if (
        not 0 < timeout <= MAX_TIMEOUT
        or not 0 <= retries <= MAX_RETRIES
        or max_batch < 1
        or not tensors.MESSAGE_OVERHEAD < max_message_bytes < 1 << 31
    ):
        raise HaliClientError(
            f"timeout ({timeout}) must be above 0 and at most {MAX_TIMEOUT:,.0f}, retries "
            f"({retries}) 0 to {MAX_RETRIES}, max_batch ({max_batch}) at least 1, "
            f"max_message_bytes ({max_message_bytes}) above {tensors.MESSAGE_OVERHEAD} and below "
            "2 GiB"
        )


def _num_levels(model: Description) -> int:
    outputs = model.signature("encode").outputs
    return len([name for name in outputs if re.fullmatch(r"z_\d+", name)])
