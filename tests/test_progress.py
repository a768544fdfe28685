"""Progress where there is no terminal."""

import pytest

from hali_tf.progress import progress_bar


@pytest.fixture
def clock(monkeypatch):
    """Seconds that a bar sees, in a list of one."""
    seconds = [0.0]
    monkeypatch.setattr("hali_tf.progress.monotonic", lambda: seconds[0])
    return seconds


def test_a_plain_line_every_ten_seconds(capsys, clock):
    with progress_bar(words="train", total=280, unit="step") as bar:
        for _ in range(280):
            clock[0] += 0.125
            bar.set_postfix_str("d_loss 1.3", refresh=False)
            bar.update()
    out, err = capsys.readouterr()
    assert out == "" and "\r" not in err
    lines = err.splitlines()
    assert len(lines) == 4  # after 10, 20 and 30 seconds, and at the end
    assert lines[0].startswith("train: 80 of 280 [00:10<00:25, ")
    assert lines[0].endswith("step/s, d_loss 1.3]")
    assert lines[-1].startswith("train: 280 of 280 [00:35<00:00, ")


def test_what_is_soon_done_says_nothing(capsys, clock):
    for _ in progress_bar(range(5), "embed"):
        clock[0] += 1
    assert capsys.readouterr() == ("", "")


def test_a_terminal_gets_a_bar(capsys, clock, monkeypatch):
    import sys

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    for _ in progress_bar(range(5), "embed", mininterval=0):
        clock[0] += 1
    assert "\rembed" in capsys.readouterr().err
