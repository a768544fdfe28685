"""Errors with a gRPC code, worded as the stock server words them."""

from __future__ import annotations

import logging

import grpc
import tensorflow as tf
from grpc import StatusCode

_LIMIT = 1024  # bytes of a message that reach the client

_CODES = {code.value[0]: code for code in StatusCode}

HTTP = {
    StatusCode.CANCELLED: 499,
    StatusCode.INVALID_ARGUMENT: 400,
    StatusCode.DEADLINE_EXCEEDED: 504,
    StatusCode.NOT_FOUND: 404,
    StatusCode.ALREADY_EXISTS: 409,
    StatusCode.PERMISSION_DENIED: 403,
    StatusCode.RESOURCE_EXHAUSTED: 429,
    StatusCode.FAILED_PRECONDITION: 400,
    StatusCode.ABORTED: 409,
    StatusCode.OUT_OF_RANGE: 400,
    StatusCode.UNIMPLEMENTED: 501,
    StatusCode.UNAVAILABLE: 503,
    StatusCode.UNAUTHENTICATED: 401,
}


class ServingError(Exception):
    """A request (or a load) that failed: a gRPC code and a message for whoever asked."""

    def __init__(self, code: grpc.StatusCode, message: str):
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def short(self) -> str:
        """The message as the stock server sends it: cut at 1,024 bytes of UTF-8."""
        data = self.message.encode("utf-8", "replace")
        if len(data) <= _LIMIT:
            return data.decode()
        return data[:_LIMIT].decode("utf-8", "ignore") + "...TRUNCATED"


def invalid(message: str) -> ServingError:
    """INVALID_ARGUMENT."""
    return ServingError(StatusCode.INVALID_ARGUMENT, message)


def as_serving_error(error: BaseException) -> ServingError:
    """What a client is told about any error that a request or a load ran into."""
    if isinstance(error, ServingError):
        return error
    if isinstance(error, tf.errors.OpError):
        # While a version is loaded, a session adds the Python stack that built the graph; the
        # kernel's own message, which is all that the stock server has, is the error's context.
        kernel = error.__context__ if isinstance(error.__context__, tf.errors.OpError) else error
        return ServingError(_CODES.get(error.error_code, StatusCode.UNKNOWN), str(kernel.message))
    if isinstance(error, MemoryError):
        return ServingError(StatusCode.RESOURCE_EXHAUSTED, "out of memory")
    return ServingError(StatusCode.INTERNAL, f"{type(error).__name__}: {error}")


def answer_to(error: BaseException, log: logging.Logger) -> ServingError:
    """What the caller of a request is told; what nobody foresaw is logged."""
    failure = as_serving_error(error)
    if failure.code == StatusCode.INTERNAL and failure is not error:
        log.error("request failed: %s", failure.message, exc_info=error)
    return failure
