"""The client's one kind of error."""

import grpc


class HaliClientError(Exception):
    """A call that got no answer. The message, one line, says what to do.

    Attributes:
      code: `grpc.StatusCode`; INVALID_ARGUMENT also for what the client itself refused to send.
    """

    def __init__(self, message: str, code: grpc.StatusCode = grpc.StatusCode.INVALID_ARGUMENT):
        super().__init__(message)
        self.code = code
