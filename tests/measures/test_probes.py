"""Probes on toys whose answers are known."""

import numpy as np
import pytest

from hali_tf.measures import probes, scores


@pytest.fixture
def toy():
    """Two attributes on the signs of features 0 and 1 (one of them rare), one on nothing."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((600, 4)).astype(np.float32)
    x[:, 1] -= 1.3  # positive for one in ten
    x = x[np.all(np.abs(x[:, :2]) > 0.1, axis=1)]  # a margin
    labels = np.stack([x[:, 0] > 0, x[:, 1] > 0, rng.random(len(x)) > 0.5], axis=1)
    return (x * [1, 100, 1, 1]).astype(np.float32), labels.astype(np.uint8)


def test_svm_finds_the_line(toy):
    x, labels = toy
    decisions, c = probes.svm(x[:400], labels[:400], x[400:])
    found = scores.balanced_accuracy(labels[400:], decisions)
    assert found[0] > 97 and found[1] > 90 and abs(found[2] - 50) < 15
    assert decisions.dtype == np.uint8 and c in probes.REGULARISATIONS


@pytest.mark.parametrize("best", [1e-7, 1e-5, 1e-3, 1e-1, 1e3])
def test_the_search_for_c_goes_past_the_best(best):
    asked = []

    def accuracy(c):
        asked.append(c)
        return 50 - abs(np.log10(c / best))

    assert probes._climb(accuracy) == best
    assert best in (1e-7, 1e3) or min(asked) < best < max(asked)


def test_principal_components_of_the_first_set():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((50, 1)) * [1.0, 2.0, 3.0] + 1e-3 * rng.standard_normal((50, 3))
    one, others = probes.reduced(x, -x, 1)
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    np.testing.assert_allclose(np.abs(one[:, 0]), np.linalg.norm(z, axis=1), atol=0.02)
    centre = 2 * x.mean(axis=0) / x.std(axis=0)
    np.testing.assert_allclose(np.abs(one + others), np.linalg.norm(centre), atol=0.02)
    assert probes.reduced(x, x, 9)[0].shape == (50, 3)


def test_svm_is_deterministic_and_knows_nothing_of_the_others(toy):
    x, labels = toy
    one, c = probes.svm(x[:300], labels[:300], x[300:])
    two, again = probes.svm(x[:300], labels[:300], x[300:400])
    np.testing.assert_array_equal(one[:100], two)
    assert c == again


def test_a_rare_attribute_counts_as_much_as_its_absence():
    """Overlapping classes of 1 to 9: the balanced boundary is in the middle between them."""
    rng = np.random.default_rng(1)
    labels = (np.arange(4000) % 10 == 0).astype(np.uint8)[:, np.newaxis]
    x = rng.standard_normal((4000, 1)) + 2 * labels
    decisions, _ = probes.svm(x, labels, np.linspace(-1, 3, 401)[:, np.newaxis])
    boundary = np.linspace(-1, 3, 401)[np.argmax(decisions[:, 0])]
    assert boundary == pytest.approx(1.0, abs=0.2)


def test_an_attribute_that_none_has_is_given_to_none(toy):
    x, labels = toy
    labels = np.concatenate([labels, np.zeros_like(labels[:, :1])], axis=1)
    for decisions in (probes.svm(x, labels, x)[0], probes.nearest(x, labels, x)):
        assert not decisions[:, -1].any()


def test_classes():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, (300, 1))
    x = np.eye(3)[labels[:, 0]] * 8 + rng.standard_normal((300, 3))
    for decisions in (
        probes.svm(x[:200], labels[:200], x[200:])[0],
        probes.nearest(x[:200], labels[:200], x[200:]),
    ):
        assert np.mean(decisions == labels[200:]) > 0.97


def test_nearest_weighs_values_by_their_share():
    """One in ten has the attribute: 3 of 20 neighbours are more than expected, 1 is fewer."""
    places = np.repeat([0.0, 10.0, 20.0], [20, 20, 160])
    labels = np.zeros((200, 1), np.uint8)
    labels[:3] = labels[20:21] = labels[40:56] = 1
    decisions = probes.nearest(places[:, np.newaxis], labels, np.array([[0.0], [10.0]]))
    assert decisions[:, 0].tolist() == [1, 0]
