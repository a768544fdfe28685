"""The load test's one kind of error."""


class LoadTestError(Exception):
    """What the user can mend, in one line."""
