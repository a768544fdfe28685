"""Errors that a user can correct, each one line; the commands print it and exit."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


class UserError(Exception):
    """Names the file or field, what was expected, what was received, what to do. Exit code 1."""

    exit_code = 1


class UsageError(UserError):
    """A flag has a value that cannot work, alone or with another. Exit code 2."""

    exit_code = 2


def in_one_line(error: Exception) -> str:
    """What an error of another library says; its type where it says nothing.

    It is shortened in the middle: TensorFlow ends with the cause, after names of files.
    """
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:97]} ... {text[-98:]}"


def reason(error: OSError) -> str:
    """Why a file cannot be read or written, in one line: the system's words where it has some."""
    return error.strerror or in_one_line(error)


@contextlib.contextmanager
def writing(what: str, remedy: str = "") -> Iterator[None]:
    """Around code that writes files.

    Args:
      what: the flag or folder that the files belong to.
      remedy: what to do about it, with the punctuation before it.

    Raises:
      UserError: a file could not be written.
    """
    try:
        yield
    except OSError as error:
        raise UserError(f"{what}: cannot be written ({reason(error)}){remedy}") from error


class BadImage(Exception):
    """Says in a few words why an image cannot be used; its name is known to the caller."""
