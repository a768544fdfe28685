"""A call of one served model: from a batch to messages, and from the answers to arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from grpc import StatusCode

from serving.client import messages_pb2, tensors
from serving.client.channel import Connection, Deadline
from serving.client.errors import HaliClientError

# How often a call of several messages starts again because the model was swapped in its middle.
_RESTARTS = 2


class Description(NamedTuple):
    """What the server said about one version of the model; never changed, so threads share it.

    Threads must not share a message itself: reading its fields makes and frees objects behind
    it, which crashed a process (`serving/embedded/signatures.py`). Each gets a copy of its own.
    """

    name: str  # and where it is served, for messages
    version: int
    signatures: dict[str, bytes]  # serialized SignatureDefs

    def signature(self, name: str) -> messages_pb2.SignatureDef:
        """The signature of this name; raises HaliClientError if the model has none."""
        if name in self.signatures:
            return messages_pb2.SignatureDef.FromString(self.signatures[name])
        reason = f"it has {', '.join(sorted(self.signatures))}"
        if name == "classify":
            reason = "it was exported from data without labels"
        if name == "decode_latents":
            reason = "it has one level, or an older version exported it: export the run again"
        decodes = ("decode", "decode_latents", "reconstruct", "sample")
        if name in decodes and not self.signatures.keys() & set(decodes):
            reason = "it was exported from a run of --encoder_only, whose decoder learned nothing"
        raise HaliClientError(
            f"model {self.name} has no signature {name}: {reason}",
            StatusCode.FAILED_PRECONDITION,
        )


class ServedModel:
    """One model on a server, with what is known about it. May be shared by threads."""

    def __init__(
        self,
        connection: Connection,
        name: str,
        *,
        version: int | None,
        label: str | None,
        max_batch: int,
        max_message_bytes: int,
    ):
        """The arguments are those of `HaliClient`; nothing is sent yet."""
        self._connection = connection
        self._name, self._version, self._label = name, version, label
        self._max_batch, self._max_message_bytes = max_batch, max_message_bytes
        self._known: Description | None = None
        try:
            self._spec()
        except ValueError:
            raise HaliClientError(
                f"model {name!r}, version {version}, label {label!r}: expected text, and a version "
                "of at most 64 bits"
            ) from None

    def forget(self) -> None:
        """Asks anew what the model is, the next time that it has to be known."""
        self._known = None

    def describe(self, deadline: Deadline) -> Description:
        """Asks the server what the model is, unless that is known."""
        # `_known` is read once: another thread may take it away at any time.
        known = self._known
        if known is None:
            request = messages_pb2.GetModelMetadataRequest(
                model_spec=self._spec(), metadata_field=["signature_def"]
            )
            answer = self._connection.model_metadata(request, deadline)
            table = messages_pb2.SignatureDefMap.FromString(answer.metadata["signature_def"].value)
            known = Description(
                name=f"{self._name} at {self._connection.target}",
                version=answer.model_spec.version.value,
                signatures={
                    key: definition.SerializeToString()
                    for key, definition in table.signature_def.items()
                },
            )
            self._known = known
        return known

    def call(self, signature: str, values: object, deadline: Deadline) -> dict[str, np.ndarray]:
        """Sends one batch, in as many messages as it takes, and joins the answers in order.

        A server may swap the model between two of the messages. Latents of two models must not
        end up in one array, so the call then starts again.

        Args:
          signature: its name.
          values: the batch, an array or a sequence.
          deadline: of the whole call.

        Returns:
          Arrays [B, ...] by name of the output.

        Raises:
          HaliClientError: the batch does not fit the signature, or a message got no answer.
        """
        for _ in range(1 + _RESTARTS):
            model = self.describe(deadline)
            try:
                definition = model.signature(signature)
                answers, versions = self._send(definition, signature, values, deadline)
            except HaliClientError as error:
                # The model may have been swapped for one of another shape, whoever found it out.
                if error.code in (StatusCode.INVALID_ARGUMENT, StatusCode.FAILED_PRECONDITION):
                    self.forget()
                raise
            if versions != {model.version}:
                self.forget()  # the model was swapped since its signatures were read
            if len(versions) == 1:
                return {key: np.concatenate([a[key] for a in answers]) for key in answers[0]}
        raise HaliClientError(
            f"{signature}: the server changed the model's version in the middle of the call, "
            f"{1 + _RESTARTS} times in a row; call again, or ask for one version or label",
            StatusCode.ABORTED,
        )

    def _send(
        self,
        definition: messages_pb2.SignatureDef,
        signature: str,
        values: object,
        deadline: Deadline,
    ) -> tuple[list[dict[str, np.ndarray]], set[int]]:
        """Answers up to the first from another version, and the versions that gave them."""
        ((name, info),) = definition.inputs.items()
        batch = tensors.checked(signature, name, values, info)
        fitting = tensors.rows_per_message(definition, batch, self._max_message_bytes)
        rows = min(self._max_batch, fitting)
        answers, versions = [], set()
        for start in range(0, len(batch), rows):
            answer = self._predict(signature, name, batch[start : start + rows], deadline)
            answers.append({k: tensors.from_tensor(t) for k, t in answer.outputs.items()})
            versions.add(answer.model_spec.version.value)
            if len(versions) > 1:
                break
        return answers, versions

    def _predict(
        self, signature: str, name: str, batch: np.ndarray, deadline: Deadline
    ) -> messages_pb2.PredictResponse:
        request = messages_pb2.PredictRequest(
            model_spec=self._spec(signature), inputs={name: tensors.to_tensor(batch)}
        )
        return self._connection.predict(request, deadline)

    def _spec(self, signature: str = "") -> messages_pb2.ModelSpec:
        spec = messages_pb2.ModelSpec(name=self._name, signature_name=signature)
        if self._version is not None:
            spec.version.value = self._version
        if self._label is not None:
            spec.version_label = self._label
        return spec
