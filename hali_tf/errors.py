"""Errors that a user can correct, each one line; the commands print it and exit."""


class UserError(Exception):
    """Names the file or field, what was expected, what was received, what to do. Exit code 1."""

    exit_code = 1


class UsageError(UserError):
    """A flag has a value that cannot work, alone or with another. Exit code 2."""

    exit_code = 2


class BadImage(Exception):
    """Says in a few words why an image cannot be used; its name is known to the caller."""
