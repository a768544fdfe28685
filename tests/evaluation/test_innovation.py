"""Innovation by hand, and the question on random and labelled images."""

import dataclasses
import json
import types

import numpy as np
import pytest
from PIL import Image

from hali_tf.config import Config
from hali_tf.data import Source, Split
from hali_tf.evaluation import attribute_classifier, axes, innovation
from hali_tf.evaluation.innovation import Innovation
from hali_tf.models.coder import Coder
from tests.evaluation.linear import Linear
from tests.evaluation.test_inpainting import linear_context


def bright_and_chequered(images):
    """Decisions: brighter than 100 on average; brighter on the white squares than on the black."""
    x = images[..., 0].astype(int) - 100
    signs = 1 - 2 * (np.indices(x.shape[1:]).sum(axis=0) % 2)
    return np.stack([x.sum((1, 2)) > 0, (signs * x).sum((1, 2)) > 0], axis=1).astype(np.uint8)


def test_strips_end_with_the_original():
    images = np.array([[[131, 89], [91, 129]]] * 2, np.uint8)[..., np.newaxis]
    coder = Coder(Linear())
    rows, columns, labels = innovation.strips(
        coder,
        images,
        coder.encode(images),
        dict(zip(("first", "second"), np.eye(2, dtype=np.float32))),
    )
    assert rows.shape == (4, 8, 2, 2, 1)
    assert labels == ["first", "second"] * 2
    assert columns == ["× -3", "× -2", "× -1", "× 0", "× 1", "× 2", "× 3", "original"]
    np.testing.assert_array_equal(rows[:, 4], rows[:, -1])  # here z_1 loses nothing
    assert rows[0, :, 0, 0, 0].tolist() == [91, 101, 111, 121, 131, 141, 151, 131]
    assert rows[3, 0, 0, 0, 0] == 51


def test_one_level_cannot_answer(tmp_path):
    context, _ = linear_context(tmp_path)
    assert Innovation().unanswerable(context) is None
    context.subject.model.num_levels = 1
    assert "one level" in Innovation().unanswerable(context)


def labelled(tmp_path, labels_of, **fields):
    """The context of `linear_context` with labels computed from the images."""
    context, images = linear_context(tmp_path)
    source = Source("random", (4, 4, 1), lambda split: Split(images, labels_of(images)), **fields)
    return dataclasses.replace(context, source=source)


def check_report(tmp_path, answer):
    text = Innovation().report(answer)
    for name in ["innovation.png", *(["innovation_axes.png"] if answer["labels"] else [])]:
        assert f"({name})" in text
        with Image.open(tmp_path / name) as picture:
            assert min(picture.size) > 100
    return text


def classifiers(monkeypatch, **decide_of):
    """Classifiers with these decisions are in the folders of their names."""

    def load_all(context):
        return {
            f"images of {folder}": types.SimpleNamespace(decide=decide_of[folder])
            for folder in context.classifier_dirs
        }

    monkeypatch.setattr(attribute_classifier, "load_all", load_all)


def test_attributes_find_their_entries_and_are_measured(tmp_path, monkeypatch):
    classifiers(monkeypatch, CLASSIFIER=bright_and_chequered)
    context = labelled(
        tmp_path, bright_and_chequered, label_names=("Bright", "Chequered"), multi_label=True
    )
    plain = json.loads(json.dumps(Innovation().answer(context)))
    assert plain["labels"]["Bright"]["entry"] == 0 and plain["labels"]["Chequered"]["entry"] == 1
    assert plain["labels"]["Bright"]["correlation"] > 0.5 and not plain["readings"]
    assert "by other entries" not in check_report(tmp_path, plain)
    context = dataclasses.replace(context, classifier_dirs=("CLASSIFIER",))
    answer = json.loads(json.dumps(Innovation().answer(context)))
    reading = answer["readings"]["images of CLASSIFIER"]
    bright = reading["labels"]["Bright"]
    # Times -3 the mean goes to the other side of 100, but for those that are nearly 100: pixels are
    # rounded.
    validation = context.split("validation")
    measured = validation.part(len(validation.images))  # all of them are correlated
    means = measured.images[measured.draw(100)].mean(axis=(1, 2, 3))
    near = 3 * np.abs(means - 100) < 0.5
    z = context.subject.coder.encode(measured.images[measured.draw(100)])[-1][:, 0]
    can_change = (z > 0) == (means > 100)  # but for a mean of 100 and a z of 1e-8
    assert can_change.sum() >= 99
    assert bright["changed"] == pytest.approx(np.mean(~near[can_change]))
    assert bright["changed_by_other_entries"] == 0 and bright["others_changed"] < 0.05
    assert answer["measured"]["images"] == 100
    assert reading["mean"]["changed"] == pytest.approx(
        np.mean([row["changed"] for row in reading["labels"].values()])
    )
    text = check_report(tmp_path, answer)
    assert (
        "by other entries" in text and text.count("By a classifier of images of CLASSIFIER:") == 3
    )
    assert f"{bright['changed_along_axis']:.0%} [" in text
    assert bright["changed_along_axis"] > 0.95 > bright["changed_along_random_axes"]
    for correlation, interval in (
        ("correlation_validation", "correlation_interval"),
        ("axis_correlation", "axis_interval"),
    ):
        low, high = answer["labels"]["Bright"][interval]
        assert 0.5 < low < answer["labels"]["Bright"][correlation] < high < 1
    finding = Innovation().findings(answer)["control"]
    assert finding.verdict == "holds" and 0.9 < finding.interval[0] <= finding.interval[1] <= 1
    assert Innovation().findings(plain) == {}


def test_no_classifier_counts_more_than_another(tmp_path, monkeypatch):
    """By one of the two, each entry changes the other attribute and not its own."""

    def exchanged(images):  # not: the correlations of these images lead there
        return 1 - bright_and_chequered(images)[:, ::-1]

    classifiers(monkeypatch, A=bright_and_chequered, B=exchanged)
    context = labelled(tmp_path, bright_and_chequered, label_names=("a", "b"), multi_label=True)

    def answer(*folders):
        return json.loads(
            json.dumps(Innovation().answer(dataclasses.replace(context, classifier_dirs=folders)))
        )

    found = {
        folders: Innovation().findings(answer(*folders))["control"] for folders in ("A", "B", "AB")
    }
    assert found["A"].verdict == "holds" and found["B"].verdict == "does not hold"
    assert found["AB"].verdict == "undecided"
    assert found["AB"].interval == [found["B"].interval[0], found["A"].interval[1]]
    assert found["AB"].figure == f"{found['A'].figure}; {found['B'].figure}"
    other_order = answer("B", "A")
    control = Innovation().findings(other_order)["control"]
    assert (control.verdict, control.interval) == ("undecided", found["AB"].interval)
    text = check_report(tmp_path, other_order)
    for name in "AB":  # in the result, and above a table of entries and one of axes
        assert text.count(f"By a classifier of images of {name}:") == 3


def test_classes_find_their_entries(tmp_path):
    context = labelled(tmp_path, lambda images: bright_and_chequered(images)[:, 1].astype(np.int64))
    answer = json.loads(json.dumps(Innovation().answer(context)))
    rows = answer["labels"]
    assert list(rows) == ["class 0", "class 1"]
    assert rows["class 0"]["entry"] == rows["class 1"]["entry"] == 1
    assert rows["class 0"]["correlation"] == pytest.approx(-rows["class 1"]["correlation"])
    assert "| class 1 | 1 |" in check_report(tmp_path, answer)


def test_classes_that_take_turns_find_their_entries(tmp_path):
    """Every second one of 8,000 images would be of one class."""
    context, images = linear_context(tmp_path)
    bright = bright_and_chequered(images)[:, 0]
    both = [images[bright == 1], images[bright == 0]]
    turns = np.stack([np.resize(part, (4000, *images.shape[1:])) for part in both], axis=1)
    split = Split(turns.reshape(-1, *images.shape[1:]), np.arange(8000) % 2)
    context = dataclasses.replace(context, source=Source("turns", (4, 4, 1), lambda name: split))
    answer = Innovation().answer(context)
    assert abs(answer["labels"]["class 0"]["correlation"]) > 0.5


def test_attributes_of_one_entry_have_no_others(tmp_path, monkeypatch):
    def twice(images):
        return np.repeat(bright_and_chequered(images)[:, :1], 2, axis=1)

    classifiers(monkeypatch, CLASSIFIER=twice)
    context = labelled(tmp_path, twice, label_names=("Bright", "Pale"), multi_label=True)
    answer = Innovation().answer(dataclasses.replace(context, classifier_dirs=("CLASSIFIER",)))
    assert "None" not in check_report(tmp_path, json.loads(json.dumps(answer)))
    assert Innovation().findings(answer) == {}


def test_without_labels_the_strongest_are_shown(tmp_path):
    context, _ = linear_context(tmp_path)
    answer = json.loads(json.dumps(Innovation().answer(context)))
    assert answer["labels"] == {}
    assert "no labels" in check_report(tmp_path, answer)


def test_another_classifier_is_another_question(tmp_path):
    context, _ = linear_context(tmp_path)
    assert Innovation().inputs(context) == {"classifiers": []}
    card = tmp_path / "classifier.json"
    card.write_text("{}")
    context = dataclasses.replace(context, classifier_dirs=(str(tmp_path),))
    status = card.stat()
    expected = [str(card), status.st_size, status.st_mtime_ns]
    assert Innovation().inputs(context) == {"classifiers": [expected]}


def test_axes_that_are_shown_are_the_best_and_not_alike():
    labels = {name: {"axis_correlation": r} for name, r in (("a", 0.2), ("b", 0.5), ("c", 0.4))}
    labels["constant"] = {"axis_correlation": 0.9}
    vectors = np.array([[0, 1], [1, 0], [-0.99, 0.14], [0, 0]])
    shown = innovation._most_correlated(labels, vectors)
    assert list(shown) == ["b\nits axis", "a\nits axis"]
    np.testing.assert_array_equal(shown["b\nits axis"], [1, 0])


def test_an_axis_leads_from_one_mean_to_the_other(tmp_path):
    """The components of z_2 have unequal deviations here."""
    context = labelled(tmp_path, bright_and_chequered, label_names=("A", "B"), multi_label=True)
    coder, train = context.subject.coder, context.split("train")
    wide = types.SimpleNamespace(
        encode=lambda images: [coder.encode(images)[-1] * np.float32([1, 9])]
    )
    z = wide.encode(train.images)[-1]
    _, towards = innovation._correlations(context, wide, z, train.labels)
    means = [z[of == 1].mean(axis=0) - z[of == 0].mean(axis=0) for of in train.labels.T]
    np.testing.assert_allclose(axes.unit(towards), axes.unit(np.stack(means)), atol=1e-3)


def with_y(context):
    """The last entry of z_2 is y."""
    config = Config.of(labels_per_class=2, classes=1)
    subject = dataclasses.replace(context.subject, config=config)
    return dataclasses.replace(context, subjects=(subject,))


def test_y_is_no_entry_and_not_a_part_of_an_axis(tmp_path):
    context = labelled(tmp_path, lambda images: bright_and_chequered(images)[:, 1].astype(np.int64))
    assert Innovation().answer(context)["labels"]["class 0"]["entry"] == 1  # which will be y
    context = with_y(context)
    train = context.split("train")
    z = context.subject.coder.encode(train.images)[-1]
    labels, towards = innovation._correlations(context, context.subject.coder, z, train.labels)
    assert not towards[:, 1].any() and towards[:, 0].any()
    assert [row["entry"] for row in labels.values()] == [0, 0]
    answer = json.loads(json.dumps(Innovation().answer(context)))
    assert [row["entry"] for row in answer["labels"].values()] == [0, 0]
    check_report(tmp_path, answer)


def test_y_is_not_shown_without_labels_of_held_out_images(tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(innovation, "strips", lambda *given: shown.append(list(given[-1])))
    monkeypatch.setattr(innovation, "save_strips", lambda *given: None)
    context, _ = linear_context(tmp_path)
    Innovation().answer(context)
    Innovation().answer(with_y(context))
    assert sorted(shown[0]) == ["entry 0", "entry 1"] and shown[1] == ["entry 0"]
