"""Equation 8 with an f whose distances are known, and the claims on curves made by hand."""

import json

import numpy as np
import pytest

from hali_tf.data import Split
from hali_tf.evaluation import perceptual
from hali_tf.evaluation.claims import Finding
from hali_tf.evaluation.perceptual import Perceptual
from hali_tf.measures.perceptual import distances, distances_of_images
from hali_tf.models.coder import Coder
from tests.evaluation.models import Shifts


def test_distances_by_hand(source):
    split = Split(np.tile(source.load("validation").images, [17, 1, 1, 1]))
    of = Coder(Shifts()), Shifts().discriminator_features, split
    measured, of_images = distances(*of), distances_of_images(*of)
    np.testing.assert_allclose(of_images.mean(axis=0), list(measured.values()), rtol=1e-5)
    # Of 256 pixels each is 10 * level brighter.
    assert measured["perceptual_1"] == pytest.approx(10 * 16)
    assert measured["perceptual_2"] == pytest.approx(20 * 16)
    flat = split.images.reshape(136, -1).astype(float)
    order = np.random.default_rng(0).permutation(136)
    pairs = np.linalg.norm(flat[order] - flat[np.roll(order, 1)], axis=1)
    assert measured["perceptual_pairs"] == pytest.approx(pairs.mean())


def test_distance_is_a_mean_of_roots():
    """Of images at distances 0 and 160 it is 80, not a root mean square."""

    class Half(Shifts):
        def reconstruct(self, images, level):
            return images + images // 100 * 10

    images = np.stack([np.zeros((16, 16, 1)), np.full((16, 16, 1), 100)]).astype(np.uint8)
    model = Half(num_levels=1)
    measured = distances(Coder(model), model.discriminator_features, Split(images))
    assert measured["perceptual_1"] == 80


def test_claims_that_hold():
    claims = perceptual.claims([1, 2, 3, 4, 5], {"z_1": [5, 4, 3, 2, 1], "z_2": [9, 8, 8.5, 7, 6]})
    assert claims["falls"]["z_1"] == {
        "spearman": pytest.approx(-1),
        "p": pytest.approx(0, abs=1e-6),
        "first": 5,
        "last": 1,
        "holds": True,
    }
    assert claims["falls"]["z_2"]["spearman"] == pytest.approx(-0.9)  # 1 - 6 * 38 / 120
    assert claims["falls"]["z_2"]["p"] == pytest.approx(0.0187, abs=1e-4)  # t = -3.576, 3 degrees
    assert claims["falls"]["z_2"]["holds"]
    assert claims["below_next"] == {"z_1": {"share": 1.0, "holds": True}}


def test_claims_that_do_not_hold():
    claims = perceptual.claims(
        [1, 2, 3, 4, 5], {"z_1": [5, 9, 9, 9, 4], "z_2": [6, 6, 10, 10, 10], "z_3": [8, 8, 8, 8, 8]}
    )
    assert not claims["falls"]["z_1"]["holds"]  # lower at the end, but not on the way
    assert not claims["falls"]["z_2"]["holds"]
    assert claims["falls"]["z_3"]["spearman"] == 0 and not claims["falls"]["z_3"]["holds"]
    assert claims["below_next"] == {
        "z_1": {"share": 0.8, "holds": False},
        "z_2": {"share": 0.4, "holds": False},
    }


def test_a_fall_that_may_be_chance_is_undecided():
    # Of the orders of five values 22.5 % end lower than they begin, with a rho of -0.5 or less.
    falls = perceptual.claims([1, 2, 3, 4, 5], {"z_1": [3, 5, 4, 2, 2.5]})["falls"]
    assert falls["z_1"]["spearman"] == pytest.approx(-0.6)  # 1 - 6 * 32 / 120
    assert falls["z_1"]["p"] > 0.025 and falls["z_1"]["holds"] is None
    found = perceptual._falls(falls)
    assert found.verdict == "undecided" and found.figure.startswith("3 to 2.5, rho -0.60, p 0.14")


def test_a_fall_of_many_evaluations_holds_and_a_rise_does_not():
    steps, falling = range(10), [9, 8, 8.5, 7, 6, 6.5, 5, 4, 4.5, 3]
    courses = {"z_1": falling, "z_2": falling[::-1]}
    falls = perceptual.claims(steps, courses)["falls"]
    assert falls["z_1"]["holds"] is True and falls["z_2"]["holds"] is False
    assert perceptual._falls({"z_1": falls["z_1"]}).verdict == "holds"
    assert perceptual._falls({"z_2": falls["z_2"]}).verdict == "does not hold"
    assert falls["z_2"]["p"] > 0.99


@pytest.mark.parametrize(
    "holds, verdict",
    [
        ((True, True), "holds"),
        ((True, None), "undecided"),
        ((None, False), "does not hold"),
        ((True, False), "does not hold"),
    ],
)
def test_that_all_levels_fall_is_as_sure_as_the_least_of_them(holds, verdict):
    numbers = {"first": 2.0, "last": 1.0, "spearman": -0.6, "p": 0.1}
    falls = {f"z_{i}": {**numbers, "holds": value} for i, value in enumerate(holds)}
    assert perceptual._falls(falls).verdict == verdict


def test_few_evaluations_decide_nothing():
    claims = perceptual.claims([1, 2], {"z_1": [2, 1], "z_2": [3, 2]})
    assert claims["falls"]["z_1"]["holds"] is None
    assert claims["below_next"]["z_1"]["holds"] is None


def course(context, distances):
    """Writes the metrics.jsonl of a run whose evaluations had these distances, and other lines."""
    with open(context.path("metrics.jsonl"), "w", encoding="utf-8") as f:
        for step, (one, two) in enumerate(distances, start=1):
            f.write(json.dumps({"step": 10 * step, "d_loss": 1.0}) + "\n")
            values = {"perceptual_1": one, "perceptual_2": two, "perceptual_pairs": 2 * step}
            errors = {"rmse_1": 0.1, "rmse_2": 0.1}
            f.write(json.dumps({"step": 10 * step, **errors, **values}) + "\n")


def test_answer_joins_checkpoint_and_course(context_of):
    context = context_of(Shifts())
    course(context, [(4, 6), (3, 7), (3.5, 5), (2, 4), (1, 3)])
    answer = Perceptual().answer(context)
    assert answer["step"] == 7 and answer["images"] == 8
    rows = answer["rows"]
    assert (rows["z_1"]["distance"], rows["z_2"]["distance"]) == pytest.approx((160, 320))
    assert rows["random pairs"]["ratio"] == 1
    low, high = rows["z_1"]["intervals"]["ratio"]
    assert low < rows["z_1"]["ratio"] < high
    assert answer["course"]["steps"] == [10, 20, 30, 40, 50]
    assert answer["course"]["distance"]["z_2"] == [6, 7, 5, 4, 3]
    assert answer["course"]["ratio"]["z_1"] == [2, 3 / 4, 3.5 / 6, 2 / 8, 1 / 10]
    assert answer["claims"]["distance"]["below_next"]["z_1"] == {"share": 1.0, "holds": True}
    report = Perceptual().report(answer)
    assert report.startswith("The distance falls for z_1 (4 to 1, rho -0.90, p 0.019), falls for")
    assert "z_1 is below z_2 at 100% of the evaluations: the paper's order holds." in report
    assert "(perceptual.png)" in report
    with open(context.path("perceptual.png"), "rb") as f:
        assert f.read(4) == b"\x89PNG"
    found = Perceptual().findings(json.loads(json.dumps(answer)))
    assert found["z_1 falls"] == Finding("4 to 1, rho -0.90, p 0.019", None, "holds")
    assert found["order"].verdict == "holds"
    assert found["order"].interval == pytest.approx([160, 160])
    assert found["error"].verdict == "does not hold"  # it is 0.1 throughout


def test_a_fall_that_may_be_chance_is_undecided_in_the_report(context_of):
    context = context_of(Shifts())
    course(context, [(3, 6), (5, 7), (4, 5), (2, 4), (2.5, 3)])
    answer = json.loads(json.dumps(Perceptual().answer(context)))
    assert Perceptual().findings(answer)["z_1 falls"].verdict == "undecided"
    assert "may fall for z_1 (3 to 2.5, rho -0.60, p 0.14)" in Perceptual().report(answer)
    assert "is below 0.025" in Perceptual().report(answer)


def test_an_order_that_held_only_at_the_end_does_not_hold(context_of):
    context = context_of(Shifts())
    course(context, [(4, 6), (5, 3), (3.5, 5), (2, 4), (1, 3)])
    order = Perceptual().findings(Perceptual().answer(context))["order"]
    assert order.verdict == "does not hold" and "below at 80% of the evaluations" in order.figure


def test_an_order_of_few_evaluations_is_undecided(context_of):
    context = context_of(Shifts())
    course(context, [(4, 3), (5, 3), (2, 4), (1, 3)])
    order = Perceptual().findings(Perceptual().answer(context))["order"]
    assert order.verdict == "undecided" and "too few evaluations" in order.figure


def test_run_without_a_course_still_has_distances(context_of):
    answer = Perceptual().answer(context_of(Shifts()))
    report = Perceptual().report(answer)
    assert report.startswith("Too few evaluations during training (0)")
    assert "| z_1 | 160.0 [160.0, 160.0] |" in report
    assert Perceptual().findings(answer)["z_1 falls"].verdict == "undecided"
    assert "perceptual.png" not in report


def test_model_without_discriminator_cannot_answer(context_of):
    context = context_of(object())
    assert Perceptual().unanswerable(context) == "a HALI has no discriminator"
    assert Perceptual().unanswerable(context_of(Shifts())) is None
