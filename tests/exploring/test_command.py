"""What the command refuses before it opens anything."""

import pytest

from tests.commands import run


def explore(*arguments):
    """Exit code, stdout and stderr of the command."""
    return run("explore", *arguments)


@pytest.mark.parametrize(
    "arguments, words",
    [
        ((), "--run_dir=: no such folder"),
        (("--run_dir=.", "--target=localhost:8500"), "expected --run_dir or --target"),
        (("--target=localhost:8500", "--port=-1"), "--port=-1: expected 1 to 65535, or 0"),
    ],
)
def test_wrong_usage_is_one_line(arguments, words):
    code, out, err = explore(*arguments)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1 and words in err
