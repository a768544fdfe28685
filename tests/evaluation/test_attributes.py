"""Agreement by hand, and the question with a small classifier."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from hali_tf.attributes import folder as folders
from hali_tf.errors import UserError
from hali_tf.evaluation import attribute_classifier, attributes
from hali_tf.evaluation.attributes import Attributes
from hali_tf.evaluation.context import Context
from hali_tf.evaluation.report import published
from hali_tf.evaluation.subjects import Subject
from hali_tf.measures import scores
from tests.attributes.faces import faces
from tests.evaluation.models import Shifts


def decisions(*rows):
    return np.array(rows, np.uint8)


def test_agreement_by_hand():
    on_images = decisions([1, 0], [1, 0], [1, 0], [0, 0])
    rebuilt = decisions([1, 0], [1, 1], [0, 0], [1, 0])
    found = attributes.agreement(scores.recalls(on_images, rebuilt, (0, 1)).mean(axis=0))
    # First attribute: 2 of 3 keep it, 0 of 1 keep its absence. None has the second.
    np.testing.assert_allclose(found[0], [100 * (2 / 3 + 0) / 2, 50, 100 * 2 / 3])
    np.testing.assert_allclose(found[1], [np.nan, 75, np.nan])


def answer_of(**readings):
    """The answer of which `tabulate` made the readings."""
    labels = {"HALI": ["HALI z_1", "HALI z_2"], "ALI": ["ALI"], "VAE": ["VAE"]}
    return json.loads(json.dumps({"images": 4, "labels": labels, "readings": readings}))


def test_the_answer_by_hand():
    labels = decisions([1, 1], [0, 1], [1, 0], [0, 0])
    original = decisions([1, 1], [0, 1], [0, 0], [0, 0])
    good, bad = original, 1 - original
    found = {"Data": original, "HALI z_1": good, "HALI z_2": bad, "ALI": bad, "VAE": good}
    reading = attributes.tabulate(("A", "B"), labels, found)
    data = reading["levels"]["Data"]
    assert data["balanced"] == [75, 100] and data["plain"] == [75, 100]
    assert reading["levels"]["HALI z_2"]["balanced"] == [0, 0]
    assert reading["summary"]["balanced"]["HALI z_1"] == {"mean": 100, "std": 0, "best": 2}
    assert [row["best"] for row in reading["summary"]["plain"].values()] == [2, 0, 0, 2]
    assert reading["rows"]["HALI z_1"]["intervals"]["balanced"] == [100, 100]
    answer = answer_of(degraded=reading)
    text = Attributes().report(answer)
    assert "HALI z_1 100.0 [100.0, 100.0] %, HALI z_2 0.0 [0.0, 0.0] %" in text.split("\n\n")[0]
    assert "chance is 50 %" in text.split("\n\n")[0] and "| chance | 50.0 |" in text
    assert "| B | 100.0 [100.0, 100.0] | 100.0 [100.0, 100.0] | 0.0 [0.0, 0.0] |" in text
    verdicts = {key: f.verdict for key, f in Attributes().findings(answer).items()}
    assert verdicts == {
        "ALI": "holds",
        "VAE": "undecided",  # equal
        "z_2": "holds",
        "top above ALI": "undecided",
        "top above VAE": "does not hold",
        "most": "holds",
        "chance": "does not hold",
    }


def test_another_seed_of_the_run_is_no_rival():
    """Of 200 images it keeps 99 % of the decisions, the run itself 95 % and ALI 70 %."""
    rng = np.random.default_rng(0)
    original = (rng.random((200, 3)) > 0.5).astype(np.uint8)
    shares = {"HALI z_1": 0.05, "ALI": 0.3, "HALI 1 z_1": 0.01}
    found = {
        label: np.where(rng.random(original.shape) < share, 1 - original, original)
        for label, share in shares.items()
    }
    found["Data"] = original
    alone = attributes.tabulate("ABC", original, found, ["HALI 1 z_1"])["best_share"]
    assert alone == {"value": 1, "interval": [1, 1]}
    beside = attributes.tabulate("ABC", original, found)["best_share"]
    assert beside["value"] == 0 and beside["interval"][1] < 0.5


def test_best_for_most_attributes_is_undecided_where_noise_decides():
    """The first of five is the best for each of 40 attributes, by a point that noise hides."""
    rng = np.random.default_rng(0)
    original = (rng.random((2000, 40)) > 0.5).astype(np.uint8)
    kept = {"HALI z_1": 0.80, "HALI z_2": 0.79, "ALI": 0.79, "VAE": 0.79, "VAE 2": 0.79}
    found = {
        label: np.where(rng.random(original.shape) < share, original, 1 - original)
        for label, share in kept.items()
    }
    names = [str(i) for i in range(40)]
    reading = attributes.tabulate(names, original, {"Data": original, **found})
    low, high = reading["best_share"]["interval"]
    assert low < 0.5 < high and low <= reading["best_share"]["value"] <= high
    answer = answer_of(clean=reading)
    assert Attributes().findings(answer)["most"].verdict == "undecided"


def test_an_attribute_that_all_images_have_or_none_is_left_out_of_means():
    """Two of four attributes; the others kept as by chance, which no interval may exceed."""
    rng = np.random.default_rng(0)
    original = (rng.random((100, 4)) > [0.5, 0.5, 1, 0]).astype(np.uint8)
    chance = (rng.random((100, 4)) > [0.5, 0.5, 1, 0]).astype(np.uint8)
    found = {"Data": original, "HALI z_1": original, "HALI z_2": chance, "ALI": chance}
    reading = attributes.tabulate("ABCD", original, found)
    of_z_2 = reading["levels"]["HALI z_2"]
    assert of_z_2["balanced"][2:] == [None, None] == of_z_2["intervals"]["balanced"][2:]
    assert of_z_2["kept"][2] is None and of_z_2["kept"][3] == 100
    assert reading["rows"]["HALI z_2"]["balanced"] == pytest.approx(np.mean(of_z_2["balanced"][:2]))
    assert reading["summary"]["balanced"]["HALI z_1"] == {"mean": 100, "std": 0, "best": 2}
    answer = answer_of(clean=reading)
    del answer["labels"]["VAE"]
    assert Attributes().findings(answer)["chance"].verdict == "undecided"
    assert "| C | – | – | – | – |" in Attributes().report(answer)


def test_a_rare_attribute_has_the_interval_of_the_images_that_have_it():
    """The one image of 200 that has it keeps it never: 50 %, and not more by its absence."""
    original = decisions(*[[image == 0] for image in range(200)])
    reading = attributes.tabulate(
        ("A",), original, {"Data": original, "HALI z_1": np.zeros_like(original)}
    )
    assert reading["levels"]["HALI z_1"]["intervals"]["balanced"] == [[50, 50]]


def test_without_any_attribute_to_judge_by_nothing_is_found():
    original = decisions([1], [1], [1])
    reading = attributes.tabulate(
        ("A",),
        original,
        {"Data": original, "HALI z_1": original, "HALI z_2": original, "ALI": original},
    )
    answer = answer_of(clean=reading)
    assert Attributes().findings(answer) == {}
    assert "HALI z_1 – %" in Attributes().report(answer)
    assert Attributes().headline(answer) == {"attributes kept, %, by a classifier of clean": {}}


def test_intervals_are_those_of_images():
    """Of 400 images, 300 keep the attribute or its absence: 75 % and about 2 % on either side."""
    original = decisions(*[[image % 2] for image in range(400)])
    rebuilt = np.where(np.arange(400)[:, np.newaxis] % 8 < 2, 1 - original, original)
    reading = attributes.tabulate(("A",), original, {"Data": original, "HALI z_1": rebuilt})
    row = reading["rows"]["HALI z_1"]
    reach = 1.96 * 100 * (0.75 * 0.25 / 400) ** 0.5
    assert row["balanced"] == pytest.approx(75)
    assert row["intervals"]["balanced"] == pytest.approx([75 - reach, 75 + reach], abs=0.6)
    assert reading["levels"]["HALI z_1"]["intervals"]["plain"][0] == pytest.approx(
        [75 - reach, 75 + reach], abs=0.6
    )


def test_two_readings_stand_side_by_side_and_decide_nothing_where_they_differ():
    original = decisions([1], [0], [1], [0])
    good, bad = original, 1 - original
    one, other = (
        attributes.tabulate(
            ("A",), original, {"Data": original, "HALI z_1": z_1, "HALI z_2": good, "ALI": ali}
        )
        for z_1, ali in ((good, bad), (bad, good))
    )
    answer = answer_of(clean=one, degraded=other)
    text = Attributes().report(answer)
    assert "| HALI z_1 | 100.0 [100.0, 100.0] | 0.0 [0.0, 0.0] |" in text
    assert "### By a classifier of clean" in text and "### By a classifier of degraded" in text
    del answer["labels"]["VAE"]
    found = Attributes().findings(answer)["ALI"]
    assert found.verdict == "undecided" and found.interval == [-100, 100]
    assert found.figure == "clean: 100.0 and 0.0; degraded: 0.0 and 100.0"


def test_published_scores_stand_beside_the_forty_attributes():
    names = list(published.attribute_preservation()["Data"])
    original = (np.random.default_rng(0).random((30, 40)) > 0.5).astype(np.uint8)
    reading = attributes.tabulate(names, original, {"Data": original, "HALI z_1": original})
    text = Attributes().report(answer_of(clean=reading))
    all_kept = "100.0 [100.0, 100.0]"
    assert f"| Bald | {all_kept} (77) | {all_kept} (94) |" in text
    assert f"| HALI z_1 | {all_kept} | 0.000 | 40 | {all_kept} | {all_kept} | 91.35 |" in text
    assert "| ALI | – | – | – | – | – | 84.60 |" in text


class Keeper(Shifts):
    """Level 1 gives images back, level 2 a black one."""

    image_shape = (16, 16, 3)

    def reconstruct(self, images, level):
        return images if level == 1 else images * 0


def context_of(folder, *found, source=None):
    subject = Subject("HALI", str(folder), None, Keeper())
    return Context(
        (subject,), source or faces(), str(folder), classifier_dirs=tuple(map(str, found))
    )


def test_the_question_on_a_model_that_keeps_all_and_nothing(trained, tmp_path):
    context = context_of(tmp_path, trained)
    assert Attributes().unanswerable(context) is None
    answer = Attributes().answer(context)
    assert answer["images"] == 12 and list(answer["readings"]) == ["clean images"]
    reading = answer["readings"]["clean images"]
    kept = reading["levels"]["HALI z_1"]["balanced"]
    # The last attribute is chance: the classifier may find it on every image.
    assert kept[:2] == [100, 100] and kept[2] in (100, None)
    assert reading["levels"]["HALI z_2"]["balanced"][:2] == [50, 50]
    assert reading["levels"]["Data"]["plain"] == pytest.approx(
        folders.card(trained)["validation"]["plain"]
    )
    assert Attributes().inputs(context)["classifiers"][0][0].endswith("classifier.json")


def test_two_classifiers_of_one_kind_are_told_apart(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "other")
    context = context_of(tmp_path, trained, tmp_path / "other")
    readings = Attributes().answer(context)["readings"]
    assert list(readings) == ["clean images", f"clean images ({tmp_path / 'other'})"]


def test_what_cannot_answer(trained, tmp_path):
    assert "no attribute classifier" in Attributes().unanswerable(context_of(tmp_path))
    classes = dataclasses.replace(faces(), multi_label=False)
    context = context_of(tmp_path, trained, source=classes)
    assert "no attributes" in Attributes().unanswerable(context)


def test_a_classifier_of_others_is_refused_before_any_question(trained, tmp_path):
    others = dataclasses.replace(faces(), label_names=("Old", "Red", "Any"))
    for ask in (Attributes().inputs, Attributes().answer):
        message = "attributes are .Bright, Red, Any., .* .Old, Red, Any."
        with pytest.raises(UserError, match=message):
            ask(context_of(tmp_path, trained, source=others))
        with pytest.raises(UserError, match="its images are .16, 16, 3., .* .32, 32, 3."):
            ask(context_of(tmp_path, trained, source=faces(32)))


def test_a_classifier_that_was_trained_anew_is_loaded_anew(trained, tmp_path):
    folder = tmp_path / "found"
    shutil.copytree(trained, folder)

    def loaded():
        (classifier,) = attribute_classifier.load_all(context_of(tmp_path, folder)).values()
        return classifier

    before = loaded()
    assert loaded() is before
    card = folder / "classifier.json"
    card.write_text(card.read_text() + " ")
    assert loaded() is not before
