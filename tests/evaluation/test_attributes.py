"""Agreement by hand, and the question with a small classifier."""

import dataclasses
import json

import numpy as np
import pytest

from hali_tf.attributes import classifier as classifiers
from hali_tf.errors import UserError
from hali_tf.evaluation import attributes
from hali_tf.evaluation.attributes import Attributes
from hali_tf.evaluation.context import Context
from hali_tf.evaluation.report import published
from hali_tf.evaluation.subjects import Subject
from tests.attributes.faces import faces
from tests.evaluation.models import Shifts


def decisions(*rows):
    return np.array(rows, np.uint8)


def test_agreement_by_hand():
    on_images = decisions([1, 0], [1, 0], [1, 0], [0, 0])
    rebuilt = decisions([1, 0], [1, 1], [0, 0], [1, 0])
    found = attributes.agreement(on_images, rebuilt)
    # First attribute: 2 of 3 keep it, 0 of 1 keep its absence. None has the second.
    np.testing.assert_allclose(found["plain"], [50, 75])
    np.testing.assert_allclose(found["balanced"], [100 * (2 / 3 + 0) / 2, 75])
    np.testing.assert_allclose(found["kept"], [100 * 2 / 3, 100])


def test_the_answer_by_hand():
    labels = decisions([1, 1], [0, 1], [1, 0], [0, 0])
    original = decisions([1, 1], [0, 1], [0, 0], [0, 0])
    good, bad = original, 1 - original
    answer = attributes.tabulate(
        ("A", "B"), labels, {"Data": original, "HALI z_1": good, "HALI z_2": bad, "VAE": good}
    )
    assert answer["data"] == {"balanced": [75, 100], "plain": [75, 100]}
    assert answer["levels"]["HALI z_2"]["balanced"] == [0, 0]
    assert answer["summary"]["balanced"]["HALI z_1"] == {"mean": 100, "std": 0, "best": 2}
    assert [row["best"] for row in answer["summary"]["plain"].values()] == [2, 0, 2]
    assert answer["orders"] == {"HALI z_1 above HALI z_2": True, "HALI z_1 above VAE": False}
    text = Attributes().report(json.loads(json.dumps(answer)))
    assert "HALI z_1 100.0 %, HALI z_2 0.0 %" in text.split("\n\n")[0]
    assert "HALI z_1 above VAE: no." in text
    assert "| B | 100.0 | 100.0 | 0.0 | 100.0 |" in text


def test_published_scores_stand_beside_the_forty_attributes():
    names = list(published.attribute_preservation()["Data"])
    original = (np.random.default_rng(0).random((30, 40)) > 0.5).astype(np.uint8)
    answer = attributes.tabulate(names, original, {"Data": original, "HALI z_1": original})
    text = Attributes().report(answer)
    assert "| Bald | 100.0 (77) | 100.0 (94) |" in text
    assert "| HALI z_1 | 100.0 | 0.000 | 40 | 100.0 | 100.0 | 91.35 | 5.618 | 30 |" in text
    assert "| ALI | – | – | – | – | – | 84.60 |" in text


class Keeper(Shifts):
    """Level 1 gives images back, level 2 a black one."""

    image_shape = (16, 16, 3)

    def reconstruct(self, images, level):
        return images if level == 1 else images * 0


def context_of(folder, classifier, source=None):
    subject = Subject("HALI", str(folder), None, Keeper())
    return Context((subject,), source or faces(), str(folder), classifier_dir=str(classifier))


def test_the_question_on_a_model_that_keeps_all_and_nothing(trained, tmp_path):
    context = context_of(tmp_path, trained)
    assert Attributes().unanswerable(context) is None
    answer = Attributes().answer(context)
    assert answer["images"] == 12
    assert answer["levels"]["HALI z_1"]["balanced"] == [100, 100, 100]
    assert answer["levels"]["HALI z_2"]["balanced"][:2] == [50, 50]
    assert answer["data"]["plain"] == classifiers.card(trained)["validation"]["plain"]
    assert Attributes().inputs(context)["classifier"][0].endswith("classifier.json")


def test_what_cannot_answer(trained, tmp_path):
    assert "no attribute classifier" in Attributes().unanswerable(context_of(tmp_path, ""))
    classes = dataclasses.replace(faces(), multi_label=False)
    assert "no attributes" in Attributes().unanswerable(context_of(tmp_path, trained, classes))


def test_a_classifier_of_others(trained, tmp_path):
    others = dataclasses.replace(faces(), label_names=("Old", "Red", "Any"))
    with pytest.raises(UserError, match="attributes are .Bright, Red, Any., .* .Old, Red, Any."):
        Attributes().answer(context_of(tmp_path, trained, others))
    with pytest.raises(UserError, match="its images are .16, 16, 3., .* .32, 32, 3."):
        Attributes().answer(context_of(tmp_path, trained, faces(32)))
