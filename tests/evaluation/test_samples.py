"""Measures of samples that are copies, held-out images, or one image over and over."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from hali_tf.data import Source, Split
from hali_tf.evaluation import samples
from hali_tf.evaluation.samples import Samples
from hali_tf.measures import distributions, features
from tests.evaluation.models import Shifts


@pytest.fixture
def images(source):
    return {name: source.load(name).images for name in ("train", "validation", "test")}


def many(images):
    """Enough of them for a grid of 64."""
    return np.resize(images, (64, *images.shape[1:]))


def test_sets_have_the_size_of_the_smallest(context_of):
    assert samples.count(context_of(Shifts())) == 8 + 6
    assert samples.count(context_of(Shifts(), limit=4)) == 4
    assert Samples().unanswerable(context_of(Shifts())) is None
    assert "fewer than 10" in Samples().unanswerable(context_of(Shifts(), limit=4))


def test_held_out_images_are_a_draw_and_not_the_first(context_of, monkeypatch):
    rng = np.random.default_rng(0)
    splits = {
        name: Split(rng.integers(0, 256, (count, 16, 16, 1), np.uint8))
        for name, count in (("train", 12), ("validation", 3), ("test", 40))
    }
    source = Source("numbers", (16, 16, 1), splits.__getitem__)
    context = dataclasses.replace(context_of(Shifts(many(splits["train"].images))), source=source)
    seen, embed = [], samples._embed

    def recorded(network, load, which, words):
        seen.append((words, list(which)))
        return embed(network, load, which, words)

    monkeypatch.setattr(samples, "_embed", recorded)
    assert Samples().answer(context)["images"] == 12
    ((_, which),) = [call for call in seen if call[0] == "held-out images"]
    assert which == sorted(splits["test"].draw(12)) and max(which) > 20


def test_copies_and_new_images_are_told_apart(context_of, images, monkeypatch):
    monkeypatch.setattr(samples, "_BATCH", 5)
    held_out = np.concatenate([images["test"], images["validation"]])
    context = context_of(Shifts(many(images["train"])), Shifts(many(held_out)))
    answer = Samples().answer(context)
    assert (answer["images"], answer["training_images"]) == (14, 20)
    rows = answer["rows"]
    assert rows["A"]["nearest"] == pytest.approx(0, abs=1e-3)
    assert rows["held-out images"]["nearest"] > 0.1
    assert rows["B"] == rows["held-out images"]
    for measure in ("frechet_distance", "kernel_distance", "precision", "recall", "nearest"):
        low, high = rows["B"]["intervals"][measure]
        assert low <= rows["B"][measure] <= high
    words = samples.in_words(rows)
    assert words.startswith("A: Fréchet distance ")
    assert "nearest training image 0.00 (" in words


def test_copies_are_no_worse_than_noise_and_noise_is(context_of, images):
    noise = np.random.default_rng(1).integers(0, 2, (64, 16, 16, 1), dtype=np.uint8) * 255
    context = context_of(Shifts(many(images["train"])), Shifts(noise, num_levels=1))
    for names, verdict in ((("HALI", "ALI"), "holds"), (("HALI", "VAE"), None)):
        subjects = [
            dataclasses.replace(subject, name=name)
            for subject, name in zip(context.subjects, names)
        ]
        answer = Samples().answer(dataclasses.replace(context, subjects=tuple(subjects)))
        finding = Samples().findings(answer).get("ALI")
        assert (finding and finding.verdict) == verdict
    of_noise, of_copies = (answer["rows"][name]["frechet_distance"] for name in ("VAE", "HALI"))
    difference = answer["differences"]["HALI"]["VAE"]["frechet_distance"]
    assert difference["value"] == pytest.approx(of_copies - of_noise)
    assert difference["interval"][1] < 0


def test_one_image_over_and_over_has_no_recall(context_of, images):
    context = context_of(Shifts(np.repeat(images["train"][:1], 64, axis=0)))
    row = Samples().answer(context)["rows"]["A"]
    assert (row["precision"], row["recall"]) == (1.0, pytest.approx(1 / 14, abs=1 / 14))


def test_neighbours_are_shown_below_their_samples(context_of, images):
    context = context_of(Shifts(many(images["train"])))
    answer = Samples().answer(context)
    grid, nearest = answer["pictures"]["A"]
    with Image.open(context.path(nearest)) as picture:
        factor = picture.width // (8 * 18 - 2)
        pixels = np.asarray(picture)[::factor, ::factor]
    for column in range(8):
        x = 18 * column
        tiles = [pixels[18 * row : 18 * row + 16, x : x + 16] for row in range(4)]
        np.testing.assert_array_equal(tiles[0], images["train"][column, ..., 0])
        np.testing.assert_array_equal(tiles[0], tiles[1])  # a copy is its own nearest
        train = features.embed(images["train"]).numpy()
        order = np.argsort(np.linalg.norm(train - train[column], axis=1))
        np.testing.assert_array_equal(tiles[2], images["train"][order[1], ..., 0])
    with Image.open(context.path(grid)) as picture:
        assert picture.width == picture.height  # 8 x 8
    assert f"({grid})" in Samples().report(answer) and f"({nearest})" in Samples().report(answer)


def test_the_published_network_makes_it_fid(context_of, images, monkeypatch, tmp_path):
    def colours(x):
        return tf.reduce_mean(tf.cast(x, tf.float32), axis=2)[:, :4, 0]

    weights = tmp_path / "graph.pb"
    weights.write_text("")
    monkeypatch.setattr(samples.inception, "load", {str(weights): colours}.__getitem__)
    context = context_of(Shifts(many(images["train"])), feature_weights=str(weights))
    assert Samples().inputs(context)["feature_weights"][0] == str(weights)
    answer = Samples().answer(context)
    assert answer["training_images"] == answer["images"] == 14
    held_out = np.concatenate([images["test"], images["validation"]])
    order = np.random.default_rng(0).permutation(20)[:14]
    expected = distributions.frechet_distance(
        colours(images["train"][order]).numpy(), colours(held_out).numpy()
    )
    assert answer["rows"]["held-out images"]["frechet_distance"] == pytest.approx(expected)
    assert "So the distances are FID" in Samples().report(answer)
    plain = context_of(Shifts(many(images["train"])))
    assert Samples().inputs(plain) == {"feature_weights": None}
    assert "not in\nInception's features" in Samples().report(Samples().answer(plain))
