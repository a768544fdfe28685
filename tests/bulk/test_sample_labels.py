"""The labels that `hali_tf.sample` takes."""

import pytest

from hali_tf import sample
from hali_tf.errors import UsageError


@pytest.mark.parametrize(
    "label, classes, expected", [("", 10, ()), ("3", 10, (3,)), ("all", 3, (0, 1, 2))]
)
def test_labels_of_a_run(label, classes, expected):
    assert sample._labels(label, classes) == expected


@pytest.mark.parametrize("label", ["10", "x", "-1"])
def test_labels_that_no_run_of_ten_classes_has(label):
    with pytest.raises(UsageError, match=f"--label={label}: expected a class from 0 to 9, or all"):
        sample._labels(label, 10)
