"""Measures of samples that are copies, held-out images, or one image over and over."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from scipy import stats
from scipy.spatial.distance import cdist

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
    shuffled = np.random.default_rng(1).permutation(held_out)  # as the evaluation has them
    context = context_of(Shifts(many(images["train"])), Shifts(many(shuffled)))
    answer = Samples().answer(context)
    assert (answer["images"], answer["training_images"]) == (14, 20)
    rows = answer["rows"]
    assert rows["A"]["nearest"] == pytest.approx(0, abs=1e-3)
    assert rows["held-out images"]["nearest"] > 0.1
    assert rows["B"] == rows["held-out images"]
    words = samples.in_words(rows)
    assert words.startswith("A: Fréchet distance ")
    assert "nearest training image 0.00 (" in words


def test_intervals_of_distances_are_those_of_a_jackknife_by_hand():
    a, b = np.random.default_rng(0).standard_normal((2, 40, 3)).astype(np.float32)
    row, without = samples._measures(a, b, b)
    kept = [np.arange(40) % 20 != group for group in range(20)]
    frechet = [distributions.frechet_distance(b[some], a[some]) for some in kept]
    np.testing.assert_allclose(without, frechet)
    kernel = [
        distributions.kernel_distance(np.delete(b, i, axis=0), np.delete(a, i, axis=0))[0]
        for i in range(40)
    ]
    for name, values in (("frechet_distance", frechet), ("kernel_distance", kernel)):
        # Tukey: a standard deviation is that of n numbers t - (n - 1) t_i, divided by sqrt(n).
        n, value = len(values), row[name]
        deviation = np.std([n * value - (n - 1) * one for one in values], ddof=1) / n**0.5
        reach = stats.t.ppf(0.975, n - 1) * deviation
        np.testing.assert_allclose(row["intervals"][name], [value - reach, value + reach], 1e-4)
    nearest = cdist(a, b).min(axis=1)
    expected = stats.t.interval(0.95, 39, nearest.mean(), stats.sem(nearest))
    np.testing.assert_allclose(row["intervals"]["nearest"], expected, rtol=0.03)


def test_intervals_of_precision_and_recall_hold_95_percent(monkeypatch):
    """Over draws of both sets: the images whose distances set the radii are as random as others."""
    for name, value in (  # what is not looked at takes no time
        ("frechet_distance", 0.0),
        ("kernel_distance", (0.0, np.zeros(2))),
        ("nearest", (np.zeros([300, 1]), None)),
    ):
        monkeypatch.setattr(distributions, name, lambda *_, value=value: value)
    rng = np.random.default_rng(0)
    values, ends = [], []
    for _ in range(60):
        a, b = rng.standard_normal((2, 300, 16)).astype(np.float32)
        row, _ = samples._measures(a, b, b)
        values.append([row["precision"], row["recall"]])
        ends.append([row["intervals"]["precision"], row["intervals"]["recall"]])
    low, high = np.moveaxis(ends, -1, 0)
    truth = np.mean(values)
    assert np.mean((low < truth) & (truth < high)) > 0.9
    # And no wider than they must be: by 2 standard deviations to each side.
    assert np.mean(high - low) == pytest.approx(4 * np.std(values), rel=0.15)


def test_classes_in_turns_do_not_widen_the_interval_of_held_out_images(context_of):
    """20 classes that take turns, each of its own brightness; every 20th image is of one class."""
    rng = np.random.default_rng(0)
    brightness = np.arange(200)[:, np.newaxis, np.newaxis, np.newaxis] % 20 * 12
    splits = {
        name: Split((brightness + rng.integers(0, 20, (200, 16, 16, 1))).astype(np.uint8))
        for name in ("train", "validation", "test")
    }
    source = Source("turns", (16, 16, 1), splits.__getitem__)
    model = Shifts(rng.permutation(splits["test"].images))  # the same, in any order
    rows = Samples().answer(dataclasses.replace(context_of(model), source=source))["rows"]
    in_turns, in_any_order = rows["held-out images"], rows["A"]
    distances = [row["frechet_distance"] for row in (in_turns, in_any_order)]
    widths = [np.ptp(row["intervals"]["frechet_distance"]) for row in (in_turns, in_any_order)]
    assert distances[0] == pytest.approx(distances[1])
    assert widths[0] == pytest.approx(widths[1], rel=0.5)


@pytest.mark.parametrize(
    "difference, verdict",
    [
        ([-0.001, 0.001], "holds"),  # equal: no margin, and this would be undecided
        ([0.015, 0.019], "holds"),
        ([0.01, 0.03], "undecided"),
        ([0.021, 0.03], "does not hold"),
    ],
)
def test_samples_are_no_worse_within_5_percent_of_alis_distance(difference, verdict):
    distance = {"value": np.mean(difference), "interval": difference}
    answer = {
        "labels": {"HALI": ["HALI, level 1", "HALI, level 2"], "ALI": ["ALI"]},
        "rows": {"HALI": {"frechet_distance": 0.5}, "ALI": {"frechet_distance": 0.4}},
        "differences": {"HALI": {"ALI": {"frechet_distance": distance}}, "ALI": {}},
    }
    finding = Samples().findings(answer)["ALI"]
    assert finding.verdict == verdict and finding.figure == "0.5 and 0.4"
    np.testing.assert_allclose(finding.interval, 0.02 - np.array(difference[::-1]))
    assert "at most 5 % higher" in Samples().claims["ALI"]


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
