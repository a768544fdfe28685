"""What a classifier's training needs, and what does not fit."""

import dataclasses
import math

import pytest

from hali_tf.attributes import classifier as classifiers
from hali_tf.attributes import memory, training
from hali_tf.errors import UsageError
from hali_tf.training.describe import parameters
from tests.attributes.faces import ENCODER, config_of, faces


@pytest.mark.parametrize("frozen", [0, 4, 5])
def test_vgg16_needs_its_weights_and_the_outputs_of_its_trained_layers(frozen):
    """32x32: 2x2 in the fifth block, 1x1 behind it; the second convolution: 64 x 32x32 twice."""
    config = dataclasses.replace(config_of("x", batch_size=2), frozen_blocks=frozen)
    trunk = classifiers.VGG16((32, 32, 3), "none", frozen)
    trained, weights = parameters(trunk), sum(math.prod(w.shape) for w in trunk.weights)
    of_block_5 = 3 * 2 * 2 * 512 + 512
    of_all = of_block_5 + sum(
        filters * (count * side**2 + (side // 2) ** 2)
        for filters, count, side in ((64, 2, 32), (128, 2, 16), (256, 3, 8), (512, 3, 4))
    )
    kept = {0: of_all, 4: of_block_5, 5: 0}[frozen]
    step = 4 * (weights + 3 * trained) + 2 * 4 * kept
    measured = 4 * weights + 128 * 4 * 2 * 64 * 32**2
    assert memory.needed(config, (32, 32, 3)) == (step, measured)


def test_an_encoder_needs_its_weights_four_times_and_outputs_by_image():
    trunk = classifiers.EncoderTrunk((16, 16, 3), **ENCODER)
    one, two, three = (
        memory.needed(config_of("x", batch_size=size), (16, 16, 3), ENCODER)[0]
        for size in (1, 2, 3)
    )
    trunk.call(classifiers.tf.zeros([1, 16, 16, 3], classifiers.tf.uint8))
    assert one - (two - one) == 16 * parameters(trunk)
    assert three - two == two - one
    halved = config_of("x", batch_size=1, precision="mixed_bfloat16")
    assert 2 * (one - memory.needed(halved, (16, 16, 3), ENCODER)[0]) == two - one


@pytest.mark.parametrize(
    "size, batch_size, encoder, message",
    [
        (16, 10**9, ENCODER, "--batch_size=1000000000 with images of 16x16: a step needs at least"),
        (64, 10**9, None, "--batch_size=1000000000 with images of 64x64: a step needs at least"),
        (2**16, 1, None, "with images of 65536x65536: a step needs at least"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_made(
    tmp_path, size, batch_size, encoder, message
):
    source = dataclasses.replace(faces(), image_shape=(size, size, 3))
    config = config_of(tmp_path / "out", batch_size=batch_size)
    with pytest.raises(UsageError, match=f"{message} .* GiB of memory, and .* take smaller images"):
        training.train(config, source, encoder)
    assert not (tmp_path / "out").exists()


def test_images_too_large_to_be_measured_are_refused(monkeypatch):
    config = config_of("x", batch_size=1)
    step, measured = memory.needed(config, (64, 64, 3))
    assert step < measured
    monkeypatch.setattr(memory.memory, "available", lambda: measured)
    memory.check(config, (64, 64, 3))
    monkeypatch.setattr(memory.memory, "available", lambda: measured - 1)
    with pytest.raises(UsageError, match="^images of 64x64: a pass over 128 of them needs at leas"):
        memory.check(config, (64, 64, 3))
