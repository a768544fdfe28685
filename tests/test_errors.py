"""Errors of other libraries in one line."""

from hali_tf.errors import in_one_line, reason


def test_a_long_error_keeps_its_beginning_and_its_cause():
    text = f"{{{{function_node SaveV2}}}} {'/folder' * 50}/part-0; No space left on device"
    short = in_one_line(OSError(text))
    assert len(short) == 200
    assert short.startswith("{{function_node SaveV2}} /folder/folder")
    assert short.endswith("/part-0; No space left on device")


def test_a_short_error_is_whole_and_on_one_line():
    assert in_one_line(ValueError("a\n  b")) == "a b"
    assert in_one_line(ValueError()) == "ValueError"
    assert in_one_line(ValueError("x" * 200)) == "x" * 200


def test_the_system_says_why_in_its_own_words():
    assert reason(OSError(28, "No space left on device")) == "No space left on device"
    assert reason(OSError("odd")) == "odd"
