"""Which images have a label, and the batches of those with and without."""

import numpy as np
import pytest
import tensorflow as tf

from hali_tf.data import (
    Share,
    Source,
    Split,
    count_classes,
    draw_labelled,
    learned_names,
    semi_supervised_batches,
)
from hali_tf.data.labelled import moved
from hali_tf.data.pipeline import train_batches
from hali_tf.errors import UserError

LABELS = np.random.default_rng(0).integers(0, 4, 200)


def test_draw_has_as_many_of_each_class():
    drawn = draw_labelled(LABELS, 4, 7, seed=1)
    assert len(set(drawn.tolist())) == 28
    assert np.bincount(LABELS[drawn]).tolist() == [7] * 4


def test_draw_follows_from_the_seed():
    drawn = draw_labelled(LABELS, 4, 7, seed=1)
    np.testing.assert_array_equal(draw_labelled(LABELS, 4, 7, seed=1), drawn)
    assert set(draw_labelled(LABELS, 4, 7, seed=2)) != set(drawn)


def test_class_with_too_few_images_is_named():
    labels = np.array([0, 0, 0, 1, 1])
    with pytest.raises(UserError, match="--labels_per_class=3: class 1 has 2 training images"):
        draw_labelled(labels, 2, 3, seed=0)


def source_of(**settings):
    return Source(
        "some",
        (4, 4, 1),
        lambda _: Split(
            np.zeros([5, 4, 4, 1], np.uint8), **{k: v for k, v in settings.items() if k == "labels"}
        ),
        **{k: v for k, v in settings.items() if k != "labels"},
    )


def test_classes_are_named_or_counted():
    assert count_classes(source_of(label_names=("a", "b", "c"))) == 3
    assert count_classes(source_of(labels=np.array([0, 4, 1, 2, 2]))) == 5
    of_split = {"train": [0, 1], "validation": [1, 2], "test": [0, 3]}
    splits = {
        name: Split(np.zeros([2, 4, 4, 1], np.uint8), np.array(labels))
        for name, labels in of_split.items()
    }
    assert count_classes(Source("some", (4, 4, 1), splits.__getitem__)) == 4


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"label_names": ("a", "b"), "multi_label": True}, "it has attributes and no classes"),
        ({}, "it has no labels"),
    ],
)
def test_sets_without_classes_are_refused(settings, words):
    with pytest.raises(UserError, match=f"--labels_per_class with --data=some: {words}"):
        count_classes(source_of(**settings))


def test_names_are_those_of_the_classes_that_a_run_learned():
    named = source_of(label_names=("a", "b"))
    assert learned_names(named, 2) == ("a", "b") and learned_names(source_of(), 2) == ("0", "1")
    with pytest.raises(UserError, match="--data=some: has 2 classes, and the run learned 3; name"):
        learned_names(named, 3)


@pytest.fixture(name="split")
def _split():
    images = np.random.default_rng(1).integers(0, 256, (200, 6, 6, 1), dtype=np.uint8)
    return Split(images, LABELS)


def test_batches_are_all_images_and_labelled_ones_with_their_labels(split):
    labelled = draw_labelled(LABELS, 4, 2, seed=0)
    steps = (16, 3, 5, 9)
    plain = list(train_batches(split, *steps))
    own_label = {split.images[i].tobytes(): LABELS[i] for i in labelled}
    seen = set()
    batches = list(semi_supervised_batches(split, labelled, *steps))
    assert len(batches) == len(plain)
    for (images, unmoved, with_label, labels, spread), expected in zip(batches, plain):
        np.testing.assert_array_equal(images, expected)
        np.testing.assert_array_equal(unmoved, expected)
        assert with_label.shape == images.shape and labels.shape == (16,)
        np.testing.assert_array_equal(spread, np.full(16, -1))
        for image, label in zip(with_label.numpy(), labels.numpy()):
            assert own_label[image.tobytes()] == label
            seen.add(image.tobytes())
    assert len(seen) == 8


def test_with_flips_both_kinds_of_images_have_their_mirror_images(split):
    labelled = draw_labelled(LABELS, 4, 2, seed=0)
    (images, _, with_label, *_), *_ = semi_supervised_batches(
        split, labelled, len(split.images), 3, 0, 1, flip=True
    )
    for own, drawn in ((split.images, images), (split.images[labelled], with_label)):
        plain = {image.tobytes() for image in own}
        mirrored = {image[:, ::-1].tobytes() for image in own}
        seen = {image.tobytes() for image in drawn.numpy()}
        assert seen <= plain | mirrored and seen & plain and seen & mirrored


def test_spread_labels_go_with_their_images(split):
    spread = np.arange(200)
    of_image = {image.tobytes(): label for image, label in zip(split.images, spread)}
    for images, *_, labels in semi_supervised_batches(
        split, np.arange(4), 16, 3, 5, 9, shift=2, spread=spread
    ):
        np.testing.assert_array_equal(labels, [of_image[i.tobytes()] for i in images.numpy()])


def test_shares_are_moved_as_the_whole_batch_is(split):
    labelled = draw_labelled(LABELS, 4, 2, seed=0)
    steps, moves = (8, 3, 2, 5), {"shift": 2, "warp": 0.1, "flip": True}
    moves["spread"] = np.arange(200)
    whole = list(semi_supervised_batches(split, labelled, *steps, **moves))
    shares = [
        list(semi_supervised_batches(split, labelled, *steps, **moves, share=Share(n, 1, 2)))
        for n in range(2)
    ]
    for batch, *pieces in zip(whole, *shares):
        for one, several in zip(batch, zip(*pieces)):
            assert [len(part) for part in several] == [4, 4]
            np.testing.assert_array_equal(one, np.concatenate(several))


def test_batches_of_a_step_are_the_same_wherever_they_begin(split):
    labelled = draw_labelled(LABELS, 4, 2, seed=0)
    whole = list(semi_supervised_batches(split, labelled, 8, 3, 0, 6, shift=2, warp=0.1))
    later = list(semi_supervised_batches(split, labelled, 8, 3, 4, 6, shift=2, warp=0.1))
    assert len(later) == 2
    for expected, actual in zip(whole[4:], later):
        for a, b in zip(actual, expected):
            np.testing.assert_array_equal(a, b)
        assert (actual[0].numpy() != actual[1].numpy()).any()


def test_shifts_repeat_the_border_and_reach_every_offset():
    image = np.arange(25, dtype=np.uint8).reshape(5, 5)
    images = moved(tf.tile(image[None, :, :, None], [200, 1, 1, 1]), 1, 0.0, [1, 2])
    padded = np.pad(image, 1, mode="edge")
    windows = {padded[r : r + 5, c : c + 5].tobytes(): (r, c) for r in range(3) for c in range(3)}
    found = [windows[image.tobytes()] for image in images.numpy()[..., 0]]
    assert set(found) == set(windows.values())


def test_warp_is_linear_around_the_centre():
    """A ramp of grey 100 + 4 x + 2 y, x and y from the centre, becomes 100 + g . (x, y)."""
    x = np.arange(9) - 4.0
    ramp = np.rint(100 + 4 * x[None, :] + 2 * x[:, None]).astype(np.uint8)
    images = moved(tf.tile(ramp[None, :, :, None], [50, 1, 1, 1]), 0, 0.2, [1, 2]).numpy()[..., 0]
    inner = images[:, 2:7, 2:7].astype(float)  # taken from inside the ramp
    assert (images[:, 4, 4] == 100).all()
    horizontal = (inner[:, :, -1] - inner[:, :, 0]).mean(axis=1) / 4
    vertical = (inner[:, -1] - inner[:, 0]).mean(axis=1) / 4
    fitted = (
        100
        + horizontal[:, None, None] * x[2:7][None, None, :]
        + vertical[:, None, None] * x[2:7][None, :, None]
    )
    np.testing.assert_allclose(inner, fitted, atol=1.5)  # whole greys
    # A^T (4, 2), entries of A - I up to 0.2: 4 +- 0.2 * 6 and 2 +- 0.2 * 6.
    assert (np.abs(horizontal - 4) < 1.4).all() and (np.abs(vertical - 2) < 1.4).all()
    assert np.ptp(horizontal) > 1.2 and np.ptp(vertical) > 1.2


def test_no_move_leaves_images_alone(split):
    assert moved(split.images, 0, 0.0, [0, 0]) is split.images


def test_moves_are_of_both_kinds_of_images_and_others_in_each_step():
    image = np.random.default_rng(1).integers(0, 256, (6, 6, 1), dtype=np.uint8)
    same = Split(np.tile(image, (8, 1, 1, 1)), np.arange(8) % 4)
    batches = semi_supervised_batches(same, np.arange(4), 8, 3, 0, 2, shift=2)
    one, two = ([part.numpy() for part in batch] for batch in batches)
    for place in (1, 2):
        assert (one[place] != image).any() and (one[place] != two[place]).any()
    assert (one[1] != one[2]).any()
