"""Errors by hand, with models that answer what they are told to."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from scipy.signal import correlate2d

from hali_tf.data import Source, Split
from hali_tf.evaluation import reconstruction
from hali_tf.evaluation.reconstruction import Reconstruction
from hali_tf.measures import features
from hali_tf.measures import reconstruction as measure
from hali_tf.measures.reconstruction import compare, table
from hali_tf.models.coder import Coder
from tests.evaluation.models import Shifts


def split_of(count):
    images = np.random.default_rng(0).integers(0, 200, (count, 16, 16, 1), dtype=np.uint8)
    return Split(images)


def test_rmse_is_per_pixel_and_level():
    errors = measure.errors(Coder(Shifts()), split_of(130))
    assert errors["rmse_1"] == pytest.approx(10 / 255)
    assert errors["rmse_2"] == pytest.approx(20 / 255)
    assert errors["ratio_2"] == pytest.approx(errors["rmse_2"] / errors["random_pairs"])


def test_feature_distances_are_means_over_all_images():
    images = np.random.default_rng(0).integers(0, 200, (130, 16, 16, 1), dtype=np.uint8)
    errors = measure.errors(Coder(Shifts()), Split(images))

    def mean_distance(others):
        return pytest.approx(features.distance(images, others).numpy().mean(), rel=1e-5)

    assert errors["feature_distance_1"] == mean_distance(images + np.uint8(10))
    assert errors["feature_distance_2"] == mean_distance(images + np.uint8(20))
    assert errors["feature_distance_pairs"] == mean_distance(images[measure.partners(130)])


def test_random_pairs_by_hand():
    def random_pairs(*greys):
        images = np.repeat(np.uint8(greys), 256).reshape(-1, 16, 16, 1)
        return measure.errors(Coder(Shifts()), Split(images))["random_pairs"]

    assert random_pairs(0, 255) == 1.0
    # Any order of three is one circle through all three pairs.
    expected = np.sqrt((0.2**2 + 0.8**2 + 1.0**2) / 3)
    assert random_pairs(0, 51, 255) == pytest.approx(expected)


def test_one_image_has_no_ratio():
    errors = measure.errors(Coder(Shifts()), split_of(1))
    assert errors["random_pairs"] == 0
    assert "ratio_1" not in errors
    assert "0.0392" in table(errors)


def test_table_names_each_level():
    text = table(
        {
            "rmse_1": 0.05,
            "rmse_2": 0.1,
            "random_pairs": 0.4,
            "ratio_1": 0.125,
            "ratio_2": 0.25,
        },
    )
    pairs, *levels = text.splitlines()
    assert "0.4000" in pairs
    assert ["0.125" in levels[0], "0.250" in levels[1]] == [True, True]


def ssim(a, b):
    """Wang et al. (2004), Equation 13, of [H, W] in 0..255, by SciPy."""
    x = np.arange(11) - 5
    window = np.exp(-(x**2) / (2 * 1.5**2))
    window = np.outer(window, window) / window.sum() ** 2

    def mean(image):
        return correlate2d(image, window, "valid")

    (c_1, c_2), (m_a, m_b) = ((0.01 * 255) ** 2, (0.03 * 255) ** 2), (mean(a), mean(b))
    v_a, v_b, v_ab = mean(a * a) - m_a**2, mean(b * b) - m_b**2, mean(a * b) - m_a * m_b
    similarity = (2 * m_a * m_b + c_1) * (2 * v_ab + c_2)
    return np.mean(similarity / ((m_a**2 + m_b**2 + c_1) * (v_a + v_b + c_2)))


def test_compare_equals_scipys():
    rng = np.random.default_rng(0)
    a = rng.integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
    b = np.clip(a + rng.normal(0, 40, a.shape), 0, 255).astype(np.uint8)
    measured = {name: value.numpy() for name, value in compare(a, b).items()}
    x, y = a.astype(float), b.astype(float)
    np.testing.assert_allclose(measured["mse"], (((x - y) / 255) ** 2).mean((1, 2, 3)), rtol=1e-5)
    expected = [
        np.mean([ssim(x[i, ..., c], y[i, ..., c]) for c in range(3)]) for i in range(len(a))
    ]
    np.testing.assert_allclose(measured["ssim"], expected, atol=1e-4)
    np.testing.assert_array_equal(measured["feature_distance"], features.distance(a, b))


def test_answer_measures_each_level_of_each_subject(context_of, source, monkeypatch):
    monkeypatch.setattr(reconstruction, "_BATCH", 4)
    context = context_of(Shifts(), Shifts(num_levels=1))
    answer = Reconstruction().answer(context)
    assert list(answer["rows"]) == ["A z_1", "A z_2", "B"]
    assert answer["rows"]["A z_2"]["rmse"] == pytest.approx(20 / 255)
    assert answer["rows"]["B"] == answer["rows"]["A z_1"]
    pairs = answer["random_pairs"]
    images = source.load("test").images
    others = images[measure.partners(len(images))].astype(float)
    assert pairs["rmse"] == pytest.approx(np.sqrt(np.mean((images - others) ** 2)) / 255)
    assert answer["rows"]["B"]["rmse_ratio"] == pytest.approx(10 / 255 / pairs["rmse"])
    assert pairs["ssim"] < answer["rows"]["A z_2"]["ssim"] < answer["rows"]["B"]["ssim"] < 1
    assert answer["images"] == 6
    report = Reconstruction().report(answer)
    assert report.startswith("Per-pixel RMSE: A z_1 0.03922 [0.03922, 0.03922], A z_2 0.07843 [")
    assert answer["differences"]["A z_1"]["A z_2"]["rmse"] == {
        "value": pytest.approx(-10 / 255),
        "interval": pytest.approx([-10 / 255, -10 / 255]),
    }
    low, high = answer["random_pairs"]["intervals"]["rmse"]
    assert 0.9 * pairs["rmse"] < low < pairs["rmse"] < high < 1.1 * pairs["rmse"]
    with Image.open(context.path("reconstruction.png")) as picture:
        # Six images in a row of eight places, and three rows of reconstructions below.
        assert picture.width / picture.height == pytest.approx((8 * 18 - 2) / (4 * 18 - 2))


def test_limit_of_the_evaluation_cuts_the_images(context_of):
    assert Reconstruction().answer(context_of(Shifts(), limit=3))["images"] == 3


def test_one_image_evaluates_without_ratios(context_of):
    answer = Reconstruction().answer(context_of(Shifts(), limit=1))
    assert answer["rows"]["A z_1"]["rmse_ratio"] is None
    assert "| A z_1 | 0.03922 | – |" in Reconstruction().report(answer)


class Copies(Shifts):
    """Level 1 makes noise of images, level 2 makes them brighter."""

    def reconstruct(self, images, level):
        flipped = tf.bitwise.bitwise_xor(images, tf.constant(8, tf.uint8))
        return flipped if level == 1 else images + tf.constant(40, tf.uint8)


def test_findings_say_which_is_nearer_and_where_the_difference_lies(context_of):
    context = context_of(Copies(), Shifts(num_levels=1))
    subjects = [
        dataclasses.replace(subject, name=name)
        for subject, name in zip(context.subjects, ("HALI", "ALI other"))
    ]
    context = dataclasses.replace(context, subjects=tuple(subjects))
    answer = json.loads(json.dumps(Reconstruction().answer(context)))
    assert answer["labels"] == {"HALI": ["HALI z_1", "HALI z_2"], "ALI other": ["ALI other"]}
    found = Reconstruction().findings(answer)
    assert found.keys() == Reconstruction().claims.keys() - {"class"}  # there are none
    # 8 of 255 are less than ALI's 10 and level 2's 40; noise is local, brightness is global.
    assert found["pixels"].figure == "0.0314 and 0.0392"
    assert found["pixels"].interval == pytest.approx([2 / 255, 2 / 255])
    assert [found[key].verdict for key in ("pixels", "levels", "local")] == ["holds"] * 3
    assert found["features"].verdict == "does not hold"  # a brighter image looks the same
    answer["labels"] = {"ALI": ["ALI"], "HALI": ["HALI z_1", "HALI z_2"]}
    assert Reconstruction().findings(answer) == {}  # the paper says nothing of such a run


def test_lpips_is_measured_and_judges_where_its_weights_are_given(
    context_of, monkeypatch, tmp_path
):
    def brightness(a, b):
        return np.abs(a.mean(axis=(1, 2, 3)) - b.mean(axis=(1, 2, 3)))

    weights = tmp_path / "vgg16.ckpt"
    weights.write_text("")
    monkeypatch.setattr(reconstruction.lpips, "load", {str(weights): brightness}.__getitem__)
    context = context_of(Shifts(), Shifts(num_levels=1), lpips_weights=str(weights))
    assert Reconstruction().inputs(context)["lpips_weights"][:2] == [str(weights), 0]
    answer = json.loads(json.dumps(Reconstruction().answer(context)))
    assert answer["rows"]["A z_2"]["lpips"] == pytest.approx(20)
    assert answer["differences"]["A z_1"]["A z_2"]["lpips"]["value"] == pytest.approx(-10)
    report = Reconstruction().report(answer)
    assert "| LPIPS |" in report and "LPIPS is that of Zhang" in report
    answer["labels"] = {"HALI": ["A z_1", "A z_2"], "ALI": ["B"]}
    assert Reconstruction().findings(answer)["features"].figure == "10 and 10"
    plain = context_of(Shifts())
    assert Reconstruction().inputs(plain) == {"lpips_weights": None}
    assert "| LPIPS |" not in Reconstruction().report(Reconstruction().answer(plain))


class Collapses(Shifts):
    """Level 1 gives images back; level 2 gives the same one for all."""

    def reconstruct(self, images, level):
        return images if level == 1 else images[:1] + 0 * images


def test_reconstructions_of_another_class_are_told(context_of):
    """Bars across or down, 28 and 12 images: one of them for all has the class of half of the two.

    The classifier tells every fourth image wrong, since its label is, which the model is not blamed
    for.
    """
    across = np.kron(np.arange(16) // 4 % 2, np.full((16, 1), 200))[..., np.newaxis]
    bars = np.stack([across, across.transpose(1, 0, 2)]).astype(np.uint8)
    true = (np.arange(40) >= 28).astype(int)
    given = np.where(np.arange(40) % 4 == 3, 1 - true, true)
    splits = {"train": Split(bars[true], true), "test": Split(bars[true], given)}
    for model, share, verdict in ((Shifts(), 1.0, "holds"), (Collapses(), 0.5, "undecided")):
        source = Source("bars", (16, 16, 1), splits.__getitem__)
        context = dataclasses.replace(context_of(model), source=source)
        answer = json.loads(json.dumps(Reconstruction().answer(context)))
        found = answer["same_class"]
        assert (found["value"], found["of_images"], found["chance"]) == (share, 0.75, 0.5)
        assert f"in {share:.1%} [" in Reconstruction().report(answer)
        assert Reconstruction().findings(answer)["class"].verdict == verdict
