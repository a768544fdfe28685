"""The published tables give the summaries that are known of them."""

import pytest

from hali_tf.evaluation.report import published
from hali_tf.measures import scores


def summary(table):
    return scores.summary({name: list(column.values()) for name, column in table.items()})


def check(found, expected):
    """Means, deviations and numbers of best, to the two decimals that are known."""
    assert found.keys() == expected.keys()
    for name, (mean, std, best) in expected.items():
        assert found[name]["mean"] == pytest.approx(mean, abs=0.006)
        assert found[name]["std"] == pytest.approx(std, abs=0.006)
        assert found[name]["best"] == best


def test_attribute_preservation():
    table = published.attribute_preservation()
    data = scores.mean_and_std(list(table.pop("Data").values()))
    assert data == {"mean": pytest.approx(77.13, abs=0.006), "std": pytest.approx(12.48, abs=0.006)}
    found = summary(table)
    expected = {
        "VAE": (81.28, 10.50, 6),
        "ALI": (84.60, 5.73, 4),
        "HALI z_1": (91.35, 5.62, 30),
        "HALI z_2": (86.53, 5.58, 3),
    }
    check(found, expected)


def test_attribute_prediction():
    found = summary(published.attribute_prediction())
    expected = {
        "Triplet-kNN": (71.55, 12.61, 0),
        "PANDA": (76.95, 13.33, 1),
        "Anet": (79.58, 12.19, 4),
        "LMLE-kNN": (83.83, 12.33, 25),
        "VAE": (73.30, 9.65, 0),
        "ALI": (73.88, 10.16, 0),
        "HALI": (83.75, 8.96, 16),
    }
    check(found, expected)


def test_both_tables_are_of_the_same_forty_attributes():
    kept, predicted = published.attribute_preservation(), published.attribute_prediction()
    names = set(kept["Data"])
    assert len(names) == 40 and {"5_o_Clock_Shadow", "Receding_Hairline"} < names
    assert all(set(column) == names for column in (*kept.values(), *predicted.values()))


def test_mnist():
    rows = published.mnist_100_labels()
    assert rows["HALI"]["errors"] == 73 == min(row["errors"] for row in rows.values())
    assert all(row["from"] for row in rows.values())
