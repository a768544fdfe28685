"""The networks: VGG16 against Keras' own, how images are varied, what is kept in the folder."""

import keras
import numpy as np
import pytest

from hali_tf.attributes import classifier as classifiers
from hali_tf.attributes import folder as folders
from hali_tf.attributes import training
from hali_tf.errors import UserError
from tests.attributes.faces import config_of, faces


def test_decisions_do_not_depend_on_the_batch(trained):
    classifier = folders.load(trained)
    images = np.concatenate([faces().load("train").images] * 4)  # more than one batch
    np.testing.assert_allclose(
        classifier.probabilities(images)[-3:], classifier.probabilities(images[-3:]), atol=1e-6
    )


@pytest.fixture(scope="module")
def vgg_weights(tmp_path_factory):
    """A file of VGG16's convolutions as keras.applications has it, of random weights."""
    keras.utils.set_random_seed(0)
    vgg = keras.applications.VGG16(include_top=False, weights=None, input_shape=(32, 32, 3))
    path = tmp_path_factory.mktemp("vgg") / "vgg16.weights.h5"
    vgg.save_weights(path)
    return path, vgg


@pytest.mark.parametrize("frozen_blocks", [0, 3, 5])
def test_vgg16_is_keras_own(vgg_weights, frozen_blocks):
    path, vgg = vgg_weights
    trunk = classifiers.VGG16((32, 32, 3), str(path), frozen_blocks)
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    expected = vgg(keras.applications.vgg16.preprocess_input(images.astype(np.float32)))
    np.testing.assert_allclose(trunk(trunk.fixed(images)), expected, rtol=1e-4, atol=1e-5)
    convolutions = {0: 13, 3: 6, 5: 0}[frozen_blocks]
    assert len(trunk.trainable_variables) == 2 * convolutions


@pytest.mark.parametrize("frozen_blocks", [0, 4])
def test_vgg16_trains_above_its_frozen_blocks(vgg_weights, tmp_path, frozen_blocks):
    path, vgg = vgg_weights
    config = config_of(
        tmp_path, weights=str(path), frozen_blocks=frozen_blocks, epochs=1, learning_rate=1e-4
    )
    source = faces(32, (("train", 10), ("validation", 4), ("test", 4)))
    training.train(config, source)
    classifier = folders.load(tmp_path)
    layers = classifier.trunk.frozen + classifier.trunk.tuned
    weights = {layer.name: layer.get_weights() for layer in layers}
    for layer in vgg.layers:
        if layer.weights:
            trained = int(layer.name[5]) > frozen_blocks
            assert np.any(weights[layer.name][0] != layer.get_weights()[0]) == trained
    assert not (tmp_path / "features.npy").exists()


def is_mirrored(found, image):
    """Which of the two it is; neither fails."""
    same, other = np.array_equal(found, image), np.array_equal(found, image[:, ::-1])
    assert same != other
    return other


def test_an_encoders_images_are_mirrored_at_random(trained):
    classifier = folders.load(trained)
    images = np.random.default_rng(0).integers(0, 256, (64, 16, 16, 3), dtype=np.uint8)
    found = classifier._varied(images, [0, 1]).numpy()
    assert 16 < sum(map(is_mirrored, found, images)) < 48


def test_every_second_image_is_degraded(trained):
    classifier = folders.load(trained)
    classifier.degraded = True
    images = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), dtype=np.uint8)
    found = classifier._varied(images, [0, 1]).numpy()
    for image in range(0, 6, 2):
        is_mirrored(found[image], images[image])
    for image in range(1, 6, 2):
        assert not np.array_equal(found[image], images[image])
        assert not np.array_equal(found[image], images[image][:, ::-1])


def test_too_small_images_for_vgg16():
    with pytest.raises(UserError, match="16x16: VGG16 needs 32"):
        classifiers.VGG16((16, 16, 3))


def test_a_file_that_is_no_weights(tmp_path):
    path = tmp_path / "vgg.h5"
    path.write_bytes(b"no weights")
    with pytest.raises(UserError, match="--weights=.*vgg.h5: not VGG16"):
        classifiers.VGG16((32, 32, 3), str(path))


def test_weights_that_cannot_be_downloaded(monkeypatch):
    def fail(**_):
        raise Exception("URL fetch failure on https://...: None -- unreachable")

    monkeypatch.setattr(keras.applications, "VGG16", fail)
    with pytest.raises(UserError, match="cannot download.*--weights=FILE") as caught:
        classifiers.VGG16((32, 32, 3), "imagenet")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", ["missing", "json", "weights", "empty"])
def test_a_damaged_classifier(trained, tmp_path, damage):
    for name in () if damage == "missing" else ("classifier.json", "weights.npz"):
        (tmp_path / name).write_bytes((trained / name).read_bytes())
    if damage == "json":
        (tmp_path / "classifier.json").write_text("{}")
    if damage == "weights":
        (tmp_path / "weights.npz").write_bytes((trained / "weights.npz").read_bytes()[:5000])
    if damage == "empty":
        (tmp_path / "weights.npz").write_text("")
    with pytest.raises(UserError, match="classifier.json|weights.npz"):
        folders.load(tmp_path)
