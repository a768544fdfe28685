"""Inpainting by hand, and the question on real digits."""

import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from hali_tf.config import Config
from hali_tf.data import Source, Split
from hali_tf.errors import UserError
from hali_tf.evaluation import inpainting
from hali_tf.evaluation.context import Context
from hali_tf.evaluation.inpainting import Inpainting
from hali_tf.evaluation.masks import read_mask, standard_masks
from hali_tf.evaluation.subjects import Subject
from hali_tf.models.coder import Coder
from tests.evaluation.linear import Linear


class Pulls:
    """Level 2 gives 60 everywhere; level 1 goes half the way from the image to 100."""

    num_levels = 2

    def reconstruct(self, images, level):
        return np.full_like(images, 60) if level == 2 else np.uint8((images.astype(int) + 100) // 2)


MASK = np.array([[True, False], [False, False]])


def test_rounds_go_down_the_levels_and_keep_what_is_known():
    images = np.array([[[7], [10]], [[20], [30]]], np.uint8)[np.newaxis]
    rounds = inpainting.inpaint(Pulls(), images, MASK, [2, 2, 1, 1])
    assert rounds.shape == (5, 1, 2, 2, 1) and rounds.dtype == np.uint8
    missing = rounds[:, 0, 0, 0, 0].tolist()
    assert missing == [20, 60, 60, 80, 90]  # 20: mean of 10, 20 and 30
    known = rounds[:, 0, ..., 0][:, ~MASK]
    np.testing.assert_array_equal(known, np.tile([10, 20, 30], (5, 1)))


def test_what_is_missing_is_not_used():
    images = np.array([[[7], [10]], [[20], [30]]], np.uint8)[np.newaxis]
    other = images.copy()
    other[0, 0, 0] = 255
    np.testing.assert_array_equal(
        inpainting.inpaint(Coder(Linear()), images, MASK, [2, 1]),
        inpainting.inpaint(Coder(Linear()), other, MASK, [2, 1]),
    )


def test_linear_model_fills_in_what_it_can_represent():
    # 110 but for one pixel: uniform and chessboard parts converge to the uniform image.
    images = np.full([1, 2, 2, 1], 110, np.uint8)
    images[0, 0, 0] = 50
    rounds = inpainting.inpaint(Coder(Linear()), images, MASK, [2, 1, 1])
    assert (rounds[1:, 0, 0, 0, 0] == 110).all()


def test_naive_fill_is_the_mean_of_each_colour():
    image = np.array([[[9, 9, 9], [0, 100, 200]], [[3, 100, 100], [0, 100, 0]]], np.uint8)
    filled = inpainting.naive_fill(image[np.newaxis], MASK)
    np.testing.assert_array_equal(filled[0, 0, 0], [1, 100, 100])
    np.testing.assert_array_equal(filled[0][~MASK], image[~MASK])


@pytest.mark.parametrize(
    "levels, expected",
    [(1, [1, 1]), (2, [2, 2, 1, 1]), (5, [5, 5, 4, 4, 3, 3, 2, 2, 1, 1])],
)
def test_schedule_has_two_rounds_of_every_level(levels, expected):
    assert inpainting.schedule(levels) == expected


@pytest.mark.parametrize(
    "missing, expected",
    [
        (60, [2]),  # level 2 gives it; level 1 would only take it away
        (80, [2, 1]),
        (90, [2, 1, 1]),
        (100, [2, 1, 1, 1, 1, 1, 1]),
        (10, [2]),  # no round would be best, but the top level has one
    ],
)
def test_rounds_are_those_of_the_smallest_error(missing, expected):
    images = np.array([[[missing], [10]], [[20], [30]]], np.uint8)[np.newaxis]
    assert inpainting.choose(Pulls(), images, MASK) == expected


@pytest.mark.parametrize(
    "missing, least, begun, expected",
    [
        (60, 1, (), [2, 1]),  # what level 1 takes away is least after one round
        (60, 2, (), [2, 1, 1]),
        (90, 1, (), [2, 1, 1]),  # as without `least`
        (90, 0, [2, 2], [2, 2, 1, 1]),
        (60, 0, [2, 1], [2, 1]),  # there is no lower level
    ],
)
def test_levels_may_have_a_least_number_of_rounds_and_known_first_ones(
    missing, least, begun, expected
):
    images = np.array([[[missing], [10]], [[20], [30]]], np.uint8)[np.newaxis]
    assert inpainting.choose(Pulls(), images, MASK, least, begun) == expected


def test_standard_masks():
    masks = standard_masks(4, 4)
    assert np.argwhere(masks["centre"]).tolist() == [[1, 1], [1, 2], [2, 1], [2, 2]]
    assert masks["right half"].tolist() == [[False, False, True, True]] * 4
    assert masks["lower half"].tolist() == [[False] * 4] * 2 + [[True] * 4] * 2
    assert standard_masks(64, 64)["centre"].mean() == 0.25


def test_rmse_counts_missing_pixels_only():
    images = np.zeros([1, 2, 2, 1], np.uint8)
    filled = images + np.array([[51, 200], [200, 200]], np.uint8)[..., np.newaxis]
    assert inpainting.rmse(images, filled, MASK) == pytest.approx(0.2)
    two = np.array([[True, True], [False, False]])
    assert inpainting.rmse(images, filled, two) == pytest.approx(np.hypot(51, 200) / 255 / 2**0.5)


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "P"])
def test_mask_is_white_where_missing(tmp_path, mode):
    values = np.uint8([[255, 0, 0], [0, 0, 255]])
    Image.fromarray(values).convert(mode).save(tmp_path / "mask.png")
    mask = read_mask(str(tmp_path / "mask.png"), (2, 3))
    np.testing.assert_array_equal(mask, values == 255)


def picture(path, mode="L", size=(3, 2), colour=0):
    Image.new(mode, size, colour).save(path)


@pytest.mark.parametrize(
    "write, words",
    [
        (lambda path: None, "cannot be read: No such file"),
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: path.write_text("no"), "not an image"),
        (picture, "covers nothing"),
        (lambda path: picture(path, colour=255), "covers all"),
        (lambda path: picture(path, size=(2, 3)), "expected 3x2 pixels, as the model's images"),
        (lambda path: picture(path, "RGBA"), "received mode RGBA"),
        (lambda path: picture(path, "LA"), "received mode LA"),
        (lambda path: picture(path, "I;16"), "received mode I"),
    ],
)
def test_mask_that_cannot_be_used(tmp_path, write, words):
    path = tmp_path / "mask.png"
    write(path)
    with pytest.raises(UserError) as error:
        read_mask(str(path), (2, 3))
    message = str(error.value)
    assert message.startswith(f"--mask={path}: ") and words in message and "\n" not in message


class Moved(Linear):
    """The reconstructions from each level are brighter by its number."""

    def __init__(self, *brighter):
        super().__init__(4)
        self._brighter = brighter

    def reconstruct(self, images, level):
        rebuilt = tf.cast(super().reconstruct(images, level), tf.int32)
        return tf.cast(tf.clip_by_value(rebuilt + self._brighter[level - 1], 0, 255), tf.uint8)


def linear_context(tmp_path, mask="", names=("HALI",), model=None):
    """Random images; the linear model, or another, under each name."""
    images = np.random.default_rng(0).integers(60, 141, (200, 4, 4, 1), dtype=np.uint8)
    source = Source(
        "random", (4, 4, 1), lambda split: Split(images[::-1] if split == "validation" else images)
    )
    model = model or Linear(4)
    subjects = tuple(Subject(name, str(tmp_path), Config.of(), model) for name in names)
    context = Context(subjects, source, str(tmp_path), limit=150, mask=mask)
    return context, context.split("test").images


def test_answer_holds_errors_of_all_and_draws_them(tmp_path):
    mask = np.arange(16).reshape(4, 4) == 6
    Image.fromarray(np.uint8(mask * 255)).save(tmp_path / "free.png")
    context, images = linear_context(tmp_path, str(tmp_path / "free.png"), ("HALI", "ALI"))
    answer = json.loads(json.dumps(Inpainting().answer(context)))
    assert answer["images"] == answer["chosen_on"] == 150
    assert list(answer["masks"]) == ["centre", "right half", "lower half", "free"]
    free = answer["masks"]["free"]
    validation = context.split("validation").images
    levels = inpainting.choose(Coder(Linear(4)), validation, mask)
    every = inpainting.choose(Coder(Linear(4)), validation, mask, least=1)
    assert free["schedule"] == {"HALI": levels, "HALI, every level": every, "ALI": levels}
    rounds = inpainting.inpaint(Coder(Linear(4)), images, mask, levels)
    expected = [np.sqrt(np.mean((r[:, 1, 2] / 255 - images[:, 1, 2] / 255) ** 2)) for r in rounds]
    np.testing.assert_allclose(free["curves"]["ALI"], expected)
    rows = free["rows"]
    assert list(rows) == ["naive fill", "HALI, level 2 alone", "HALI, every level", "HALI", "ALI"]
    assert rows["naive fill"]["rmse"] == pytest.approx(expected[0])
    assert rows["HALI, level 2 alone"]["rmse"] == pytest.approx(expected[levels.count(2)])
    assert rows["HALI"]["rmse"] == pytest.approx(expected[-1])
    low, high = rows["HALI"]["intervals"]["rmse"]
    assert low < expected[-1] < high
    standard = [answer["masks"][name]["rows"]["HALI"]["rmse"] for name in answer["masks"]][:3]
    assert answer["mean"]["rows"]["HALI"]["rmse"] == pytest.approx(np.mean(standard))
    text = Inpainting().report(answer)
    assert f"{expected[0]:.4g} [" in text and "free: HALI (" in text
    assert f"HALI, every level ({every.count(2)} of level 2 + {every.count(1)} of level 1)" in text
    assert 'judged by the row "HALI, every level"' in text
    for name in ("inpainting.png", "inpainting_right_half.png", "inpainting_free.png"):
        assert f"({name})" in text
        with Image.open(tmp_path / name) as picture:
            assert min(picture.size) > 100


def test_what_cannot_be_predicted_is_filled_in_worse_than_by_its_mean(tmp_path):
    context, _ = linear_context(tmp_path)
    found = Inpainting().findings(json.loads(json.dumps(Inpainting().answer(context))))
    assert found.keys() == {"naive", "levels"}
    assert found["naive"].verdict == "does not hold" and found["naive"].interval[1] < 0
    # z_1 of this model is the image: rounds of level 1 leave what level 2 has filled in.
    assert found["levels"].verdict == "undecided"
    assert found["levels"].interval == pytest.approx([0, 0])


@pytest.mark.parametrize(
    "brighter, verdict", [((40, 0), "does not hold"), ((-40, 40), "holds")], ids=["harm", "help"]
)
def test_lower_levels_are_judged_where_they_have_rounds(tmp_path, brighter, verdict):
    context, images = linear_context(tmp_path, model=Moved(*brighter))
    answer = json.loads(json.dumps(Inpainting().answer(context)))
    found = Inpainting().findings(answer)["levels"]
    assert found.verdict == verdict
    mean = {label: row["rmse"] for label, row in answer["mean"]["rows"].items()}
    alone, every = mean["HALI, level 2 alone"], mean["HALI, every level"]
    assert found.figure == f"{every:.3g} and {alone:.3g}"
    if verdict == "holds":
        assert every == mean["HALI"] < alone
    else:
        assert every > mean["HALI"] == alone  # the model's own row has no round of level 1
    validation = context.split("validation").images
    for name, mask in standard_masks(4, 4).items():
        schedule = answer["masks"][name]["schedule"]["HALI, every level"]
        assert schedule == inpainting.choose(context.subject.coder, validation, mask, least=1)
        filled = inpainting.inpaint(context.subject.coder, images, mask, schedule)[-1]
        expected = inpainting.rmse(images, filled, mask)
        row = answer["masks"][name]["rows"]["HALI, every level"]
        assert row["rmse"] == pytest.approx(expected)


def test_a_model_of_one_level_has_no_lower_ones(tmp_path):
    context, _ = linear_context(tmp_path, names=("ALI",))
    context.subject.model.num_levels = 1
    answer = json.loads(json.dumps(Inpainting().answer(context)))
    assert list(answer["mean"]["rows"]) == ["naive fill", "ALI, level 1 alone", "ALI"]
    assert Inpainting().findings(answer) == {}
    assert "every level" not in Inpainting().report(answer)


def test_inputs_change_with_the_mask(tmp_path):
    centre = standard_masks(4, 4)["centre"]
    for name, mask in (("a", centre), ("b", ~centre), ("c", centre)):
        Image.fromarray(np.uint8(mask * 255)).save(tmp_path / f"{name}.png")
    a, b, c = (
        Inpainting().inputs(linear_context(tmp_path, str(tmp_path / f"{name}.png"))[0])
        for name in "abc"
    )
    assert a == c != b
    assert Inpainting().inputs(linear_context(tmp_path)[0]) == {"mask": ""}
    with pytest.raises(UserError, match="--mask="):
        Inpainting().inputs(linear_context(tmp_path, str(tmp_path / "none.png"))[0])
