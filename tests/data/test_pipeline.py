"""Batches: which images, in which order, and that any step can be the first."""

import subprocess
import sys

import numpy as np
import pytest

from hali_tf.data import Share, Split, batches, train_batches
from hali_tf.data.pipeline import positions


def _split(count, side=4, channels=1):
    """A split in which every image is filled with its own number."""
    numbers = np.arange(count, dtype=np.uint8)
    images = np.broadcast_to(numbers[:, None, None, None], (count, side, side, channels))
    return Split(np.ascontiguousarray(images), labels=numbers.astype(np.int64) * 10)


def _numbers(dataset):
    return [batch[:, 0, 0, 0].tolist() for batch in dataset.as_numpy_iterator()]


@pytest.mark.parametrize("batch_size", [1, 7, 25, 60])
def test_an_epoch_shows_each_image_once_whatever_the_batch_size(batch_size):
    steps = 25 * 4 // batch_size + 1
    shown = np.concatenate(_numbers(train_batches(_split(25), batch_size, 3, 0, steps)))
    for epoch in range(len(shown) // 25):
        assert sorted(shown[epoch * 25 : (epoch + 1) * 25]) == list(range(25))


def test_with_flips_an_epoch_has_each_image_and_its_mirror_image_once():
    split = Split(np.arange(5 * 2 * 3 * 1, dtype=np.uint8).reshape(5, 2, 3, 1), np.arange(5))
    mirror_images = np.stack([[row[::-1] for row in image] for image in split.images])
    parts = list(train_batches(split, 4, 3, 0, 5, labels=True, flip=True))
    images, labels = (np.concatenate(part) for part in zip(*parts))
    for epoch in range(2):
        places = slice(10 * epoch, 10 * epoch + 10)
        seen = [(image.tobytes(), label) for image, label in zip(images[places], labels[places])]
        both = [*zip(split.images, range(5)), *zip(mirror_images, range(5))]
        assert sorted(seen) == sorted((image.tobytes(), label) for image, label in both)
    assert list(train_batches(split, 4, 3, 3, 5, flip=True))[0].numpy().tolist() == (
        images[12:16].tolist()
    )


def test_epochs_and_seeds_differ():
    split = _split(50)
    first, second = _numbers(train_batches(split, 50, 3, 0, 2))
    (other,) = _numbers(train_batches(split, 50, 4, 0, 1))
    assert first != second and first != other and second != other


@pytest.mark.parametrize("batch_size", [8, 64])
def test_resuming_at_a_step_equals_never_having_stopped(batch_size):
    split = _split(30)
    whole = _numbers(train_batches(split, batch_size, 7, 0, 20))
    for first_step in (1, 4, 13, 19):
        assert _numbers(train_batches(split, batch_size, 7, first_step, 20)) == whole[first_step:]


def test_a_late_step_needs_no_walk_through_the_earlier_ones():
    chosen = positions(count=1000, batch_size=64, seed=0)(10**9)
    assert chosen.shape == (64,) and 0 <= chosen.min() and chosen.max() < 1000


def test_shapes_are_static_and_dtypes_uint8():
    dataset = train_batches(_split(30, side=6, channels=3), 8, 0, 0, 5)
    assert dataset.element_spec.shape.as_list() == [8, 6, 6, 3]
    assert dataset.element_spec.dtype.name == "uint8"
    assert len(list(dataset)) == 5


@pytest.mark.parametrize("dataset", [batches(_split(9)), train_batches(_split(9), 2, 0, 0, 4)])
def test_nothing_waits_by_the_systems_clock(dataset):
    """TensorFlow's tuning does: where it is put back, the end of an iteration waits for that."""
    assert dataset.options().autotune.enabled is False


def test_labels_belong_to_their_images():
    dataset = train_batches(_split(30), 8, 0, 0, 12, labels=True)
    assert dataset.element_spec[1].shape.as_list() == [8]
    for images, labels in dataset.as_numpy_iterator():
        assert (images[:, 0, 0, 0].astype(int) * 10 == labels).all()


def test_labels_of_a_set_without_labels_are_refused():
    with pytest.raises(ValueError, match="no labels"):
        train_batches(Split(_split(3).images), 2, 0, 0, 1, labels=True)


def test_a_memory_map_gives_what_the_array_gives(tmp_path):
    split = _split(40)
    np.save(tmp_path / "images.npy", split.images)
    mapped = Split(np.load(tmp_path / "images.npy", mmap_mode="r"))
    assert _numbers(train_batches(mapped, 8, 1, 0, 9)) == _numbers(train_batches(split, 8, 1, 0, 9))


@pytest.mark.parametrize("count, expected", [(160, [128, 32]), (128, [128]), (4, [4])])
def test_batches_keep_the_order(count, expected):
    shown = _numbers(batches(_split(count)))
    assert [len(batch) for batch in shown] == expected
    assert sum(shown, []) == list(range(count))


def test_a_part_has_some_of_every_class_from_its_beginning(tmp_path):
    labels = np.repeat(np.arange(4), 40)
    images = np.broadcast_to(labels[:, None, None, None], [160, 4, 4, 1]).astype(np.uint8)
    np.save(tmp_path / "images.npy", images)
    split = Split(np.load(tmp_path / "images.npy", mmap_mode="r"), labels, skipped=1)
    part = split.part(20)
    assert len(part.images) == 20 and set(part.labels) == {0, 1, 2, 3} and part.skipped == 1
    np.testing.assert_array_equal(part.images[:, 0, 0, 0], part.labels)
    np.testing.assert_array_equal(part.images, split.part(160).images[:20])
    assert sorted(split.part(200).labels) == labels.tolist()
    assert Split(images).part(3).labels is None


@pytest.mark.parametrize("side, expected", [(8, [128, 12]), (128, [32] * 4 + [12])])
def test_fewer_large_images_are_evaluated_at_a_time(side, expected):
    split = Split(np.zeros([140, side, side, 1], np.uint8))
    assert [len(batch) for batch in batches(split)] == expected


@pytest.mark.parametrize("labels", [False, True])
def test_shares_are_the_batch_without_repeats(labels):
    """Two processes of two replicas each, whose pieces come in order."""
    steps = (_split(30), 8, 0, 3, 7)
    whole = list(train_batches(*steps, labels=labels))
    pieces = [list(train_batches(*steps, labels, Share(2 * n, 2, 4))) for n in range(2)]
    for step, batch in enumerate(whole):
        parts = [piece for own in pieces for piece in own[2 * step : 2 * step + 2]]
        if not labels:
            batch, parts = (batch,), [(part,) for part in parts]
        for one, several in zip(batch, zip(*parts)):
            assert [len(part) for part in several] == [2] * 4
            np.testing.assert_array_equal(one, np.concatenate(several))


_REPLICAS = """
import hali_tf, numpy as np, tensorflow as tf
from hali_tf.data import Split, train_batches
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
images = np.tile(np.arange(20, dtype=np.uint8)[:, None, None, None], (1, 2, 2, 1))
dataset = train_batches(Split(images), 8, 0, 0, 5)
shared = strategy.experimental_distribute_dataset(dataset)
for parts, whole in zip(shared, dataset):
    parts = [part.numpy() for part in strategy.experimental_local_results(parts)]
    assert [len(part) for part in parts] == [4, 4], parts
    assert (np.concatenate(parts) == whole.numpy()).all()
print("equal")
"""


def test_two_replicas_share_each_batch_half_and_half():
    done = subprocess.run([sys.executable, "-c", _REPLICAS], capture_output=True, text=True)
    assert done.stdout.endswith("equal\n"), done.stderr[-2000:]
