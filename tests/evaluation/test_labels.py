"""Errors of the label, and its pictures, of a model made by hand."""

import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from hali_tf.config import Config
from hali_tf.data import Source, Split
from hali_tf.evaluation import labels
from hali_tf.evaluation.context import Context
from hali_tf.evaluation.labels import Labels
from hali_tf.evaluation.subjects import Subject
from hali_tf.layers.gaussian import Gaussian
from hali_tf.layers.label import LabelledGaussian
from hali_tf.measures.labels import confusion, count_errors
from hali_tf.models.coder import Coder

CLASSES = 3


class Reader:
    """Reads an image's class off its upper left pixel, draws z and y into the first two."""

    step = tf.Variable(7, dtype=tf.int64)
    image_shape, num_levels = (2, 2, 1), 2
    latent_shapes = ((4, 4, 2), (2 + CLASSES,))
    architecture = type("Architecture", (), {"classes": CLASSES})

    def encode(self, images):
        pixels = tf.cast(images, tf.float32)
        y = tf.one_hot(tf.cast(images[:, 0, 0, 0], tf.int32), CLASSES)
        z = tf.tile(pixels[:, 1, 1], [1, 2])
        z_1 = tf.zeros([tf.shape(images)[0], 4, 4, 2])
        return [Gaussian(z_1, z_1), LabelledGaussian(Gaussian(z, tf.ones_like(z)), 5 * y)]

    def decode(self, z, level):
        value = 10 * z[:, 0] + tf.cast(tf.argmax(z[:, 2:], axis=1), tf.float32) + 100
        return tf.cast(value[:, None, None, None] * tf.ones([1, 2, 2, 1]), tf.uint8)

    def sample(self, seeds):
        raise NotImplementedError  # nobody asks for it, nor for these

    reconstruct = decode_latents = lambda self, *_, **__: None


def split_of(read, own):
    """Images that the model takes for `read`, of classes `own`."""
    images = np.zeros([len(read), 2, 2, 1], np.uint8)
    images[:, 0, 0, 0] = read
    return Split(images, np.array(own))


SPLIT = split_of(read=[0, 1, 2, 2, 0, 1, 1], own=[0, 1, 2, 1, 0, 2, 1])


def test_images_without_labels_have_no_errors():
    assert count_errors(Coder(Reader()), CLASSES, Split(SPLIT.images, None)) == {}


def test_confusion_by_hand():
    expected = np.array([[2, 0, 0], [0, 2, 1], [0, 1, 1]])
    np.testing.assert_array_equal(confusion(Coder(Reader()), CLASSES, SPLIT), expected)
    batches = Split(np.tile(SPLIT.images, [20, 1, 1, 1]), np.tile(SPLIT.labels, 20))
    np.testing.assert_array_equal(confusion(Coder(Reader()), CLASSES, batches), 20 * expected)
    assert count_errors(Coder(Reader()), CLASSES, SPLIT) == {"label_errors": 2, "label_images": 7}
    partly = Split(SPLIT.images, np.where(np.arange(7) < 5, SPLIT.labels, -1))
    assert count_errors(Coder(Reader()), CLASSES, partly) == {"label_errors": 1, "label_images": 5}


def test_style_is_kept_and_every_label_drawn():
    images = split_of([0, 0], [0, 0]).images
    images[:, 1, 1, 0] = [3, 5]
    table = labels.style_transfer(Coder(Reader()), CLASSES, images)
    assert table.shape == (2, 1 + CLASSES, 2, 2, 1)
    np.testing.assert_array_equal(table[:, 0], images)
    np.testing.assert_array_equal(table[0, 1:, 0, 0, 0], [130, 131, 132])
    np.testing.assert_array_equal(table[1, 1:, 0, 0, 0], [150, 151, 152])


def test_samples_of_a_column_differ_by_their_label_alone():
    samples = labels.conditional_samples(Coder(Reader()), CLASSES)[:, :, 0, 0, 0].astype(int)
    assert samples.shape == (CLASSES, 10)
    np.testing.assert_array_equal(samples - samples[0], np.tile([[0], [1], [2]], 10))
    assert len(set(samples[0])) > 5


@pytest.fixture(name="context")
def _context(tmp_path):
    source = Source("toy", (2, 2, 1), {"test": SPLIT}.__getitem__, ("a", "b", "c"))

    def subject(name, **flags):
        folder = tmp_path / name
        folder.mkdir()
        lines = [{"step": 1, "d_loss": 1.0}, {"step": 2, "label_errors": 3, "label_images": 4}]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        flags = {"labels_per_class": 5, "classes": CLASSES, "cycle_labels": 1.0, **flags}
        return Subject(name, str(folder), Config.of(**flags), Reader())

    def make(**flags):
        subjects = (
            subject("A", **flags),
            subject("B", seed=3),
            subject("none", labels_per_class=0),
        )
        return Context(subjects, source, str(tmp_path))

    return make


def test_answer_and_report(context):
    context = context(label_shift=2)
    assert Labels().unanswerable(context) is None
    answer = json.loads(json.dumps(Labels().answer(context)))
    assert [(run["errors"], run["seed"], run["labels"]) for run in answer["runs"]] == [
        (2, 0, 15),
        (2, 3, 15),
    ]
    assert answer["runs"][0]["curve"] == [[2, 0.75]]
    text = Labels().report(answer)
    assert text.startswith("A errs on 2 of 7 test images (28.57 %) with 15 labels.")
    low, high = answer["runs"][0]["interval"]
    assert 0 <= low < 2 < high <= 5
    row = f"shifted by up to 2 px | 15 | 1 | 2.0 [{low:.1f}, {high:.1f}] | – | 28.57 |"
    assert row in text
    assert Labels().findings(answer) == {}  # which are of MNIST
    assert "CatGAN" not in text  # the published rows are MNIST's
    for name in ("confusion", "label_errors", "conditional_samples", "style_transfer"):
        with Image.open(context.path(f"{name}.png")) as picture:
            assert min(picture.size) > 5


def run_of(errors, settings="HALI", seed=None, **flags):
    return {
        "seed": errors if seed is None else seed,
        "settings": settings,
        "configuration": {"label_weight": 1, "width": 1.0, "seed": None, **flags},
        "labels": 100,
        "errors": errors,
        "interval": [errors - 5.0, errors + 5.0],
    }


def test_runs_that_differ_in_the_seed_alone_are_one_row_with_a_deviation():
    runs = [*map(run_of, (70, 80, 90)), run_of(800, "the same encoder alone", encoder_only=True)]
    answer = {"runs": runs, "images": 10000, "published": True}
    rows = labels._rows(answer)
    # t of 2 degrees of freedom is 4.303: 10 / sqrt(3) * 4.303 = 24.8.
    assert rows[0] == ["HALI", 100, 3, "80.0 [55.2, 104.8]", pytest.approx(10.0), 0.8]
    assert rows[1][2:] == [1, "800.0 [795.0, 805.0]", None, 8.0]
    assert ["HALI (the paper)", 100, None, 73, None, 0.73] in rows
    finding = Labels().findings(answer)["others"]
    assert finding.figure == "80 of 3 runs, and 79.5 of GSSLTRABG"
    assert finding.verdict == "undecided"
    assert finding.interval == pytest.approx([79.5 - 104.84, 79.5 - 55.16], abs=0.01)


def test_a_second_training_with_one_seed_counts_once():
    once = {"runs": [run_of(75, seed=0)], "images": 10000, "published": True}
    twice = {**once, "runs": [run_of(75, seed=0), run_of(75, seed=0)]}
    assert Labels().findings(twice) == Labels().findings(once)
    assert labels._rows(twice) == labels._rows(once)


def test_runs_of_other_flags_are_other_rows_whatever_the_words_say():
    runs = [run_of(70), run_of(90, width=2.0), run_of(80)]
    groups = labels._by_configuration(runs)
    assert {name: len(alike) for (name, _), alike in groups.items()} == {
        "HALI, width 1.0": 2,
        "HALI, width 2.0": 1,
    }


@pytest.mark.parametrize(
    "flags, words",
    [
        ({"cycle_labels": 0.0}, "HALI, the paper's objective"),
        ({"cycle_labels": 0.5}, "HALI, labels of generated images with weight 0.5"),
        (
            {"label_weight": 10.0, "cycle_labels": 1.0},
            "HALI, label weight 10, labels of generated images with weight 1",
        ),
        (
            {"label_shift": 2, "model": "ali"},
            "ALI, the paper's objective, labelled images shifted by up to 2 px",
        ),
        (
            {"consistency": 2.0, "label_warp": 0.2, "label_shift": 1},
            "HALI, consistency 2, labelled images shifted by up to 1 px and warped by up to 0.2",
        ),
        (
            {"consistency": 2.0, "label_spreading": "pixels"},
            "HALI, consistency 2, labels that spread by pixels",
        ),
        (
            {"consistency": 2.0, "label_spreading": "runs/some"},
            "HALI, consistency 2, labels that spread by features of a run",
        ),
        ({"label_warp": 0.2}, "HALI, the paper's objective, labelled images warped by up to 0.2"),
        ({"encoder_only": True, "cycle_labels": 1.0}, "the same encoder alone"),
    ],
)
def test_settings_in_words(flags, words):
    assert labels.settings_in_words(Config.of(**flags)) == words


def test_runs_without_labels_cannot_answer(context):
    assert "--labels_per_class" in Labels().unanswerable(context(labels_per_class=0))
