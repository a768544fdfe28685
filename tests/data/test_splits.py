"""The rule for splits that a set does not define."""

import pytest

from hali_tf.data.splits import cut


@pytest.mark.parametrize(
    "present, sizes",
    [
        (["train"], {"train": 90, "validation": 5, "test": 5}),
        (["train", "validation"], {"train": 95, "test": 5}),
        (["train", "test"], {"train": 95, "validation": 5}),
        (["train", "validation", "test"], {"train": 100}),
    ],
)
def test_missing_splits_take_five_percent_each_and_overlap_nothing(present, sizes):
    parts = cut(range(100), present)
    assert {name: len(part) for name, part in parts.items()} == sizes
    assert sorted(row for part in parts.values() for row in part) == list(range(100))


def test_no_split_is_empty():
    assert [len(part) for part in cut(range(3), ["train"]).values()] == [1, 1, 1]
