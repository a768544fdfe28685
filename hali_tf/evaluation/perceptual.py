"""Distance of reconstructions in the discriminator's penultimate layer (paper, section 5.3).

See `hali_tf.measures.perceptual` for the distance. Here: its value at the checkpoint, how it went
during training, and whether it falls and orders the levels as the paper says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from hali_tf.drawing.plots import save_curves
from hali_tf.evaluation import tables
from hali_tf.evaluation.claims import Finding, compared
from hali_tf.evaluation.context import Context
from hali_tf.evaluation.question import Question
from hali_tf.evaluation.report import markdown
from hali_tf.measures.perceptual import distances_of_images, embedding, has_discriminator
from hali_tf.runs import metrics_file

_FALLING = -0.5  # Spearman's rho of distance and step, at most
_CHANCE = 0.025  # p of the one-sided test of rho, below this
_FEWEST = 5  # evaluations during training that are needed to judge a course
_CRITERION = (
    f"A level's distance falls if its rank correlation with the step (Spearman's rho) is at most "
    f"{_FALLING}, the last value is below the first, and p, the probability of as low a rho in a "
    f"random order of the values, is below {_CHANCE}. Where p alone is not, the fall may be "
    "chance, and nothing is decided. A level stays below the next one if it is at every "
    f"evaluation. Fewer than {_FEWEST} evaluations decide nothing."
)
_METHOD = """\
On {images:,} validation images at step {step:,}. The course is that of the evaluations during
training, on fewer of them and in the precision of the run. f is the embedding of an image together
with its own encodings, without noise and dropout. The ratio to random pairs, which the paper does
not have, is not affected by the scale of f, which changes as the discriminator learns. In brackets
95 % intervals by the bootstrap over images."""
_FALLS = {True: "falls", False: "does not fall", None: "may fall"}
_PAIRS = "random pairs"


class Perceptual(Question):
    """The distances under the discriminator, and their course in training.

    Of the run's own model alone: distances under two discriminators cannot be compared.
    """

    title = "Perceptual distance under the discriminator (section 5.3, Equation 8)"
    claims = {
        "z_1 falls": "The distance of reconstructions from z_1 falls as training advances",
        "z_2 falls": "The distance of reconstructions from z_2 falls as training advances",
        "order": "The distance of z_1 is below that of z_2, at the checkpoint and all evaluations",
        "error": "Per-pixel errors of all levels fall as training proceeds, with no term for them "
        "(section 3.2)",
    }

    compares = False

    def unanswerable(self, context: Context) -> str | None:
        """A model without discriminator."""
        if has_discriminator(context.subject.model):
            return None
        return f"a {context.subject.config.model.kind.upper()} has no discriminator"

    def inputs(self, context: Context) -> dict:
        """How far the course goes: `metrics.jsonl` grows where a run is trained further."""
        return {"course": len(metrics_file.read_run(context.subject.run_dir))}

    def answer(self, context: Context) -> dict:
        """The distances at the checkpoint, their course, whether the paper's claims hold."""
        subject = context.subject
        validation = context.split("validation")
        embed = embedding(subject.model)
        final = distances_of_images(subject.coder, embed, validation, bar=True)
        lines = metrics_file.read_run(subject.run_dir)
        course = [line for line in lines if line.get("perceptual_pairs")]  # 0: images all equal
        numbers = range(1, subject.model.num_levels + 1)
        names = {f"z_{l}": f"perceptual_{l}" for l in numbers}
        errors = {f"z_{l}": [line[f"rmse_{l}"] for line in course] for l in numbers}
        steps = [line["step"] for line in course]
        absolute = {level: [line[name] for line in course] for level, name in names.items()}
        relative = {
            level: [value / line["perceptual_pairs"] for value, line in zip(values, course)]
            for level, values in absolute.items()
        }
        if len(steps) > 1:
            save_curves(
                context.path("perceptual.png"),
                {"distance": absolute, "distance / that of random pairs": relative},
                steps,
            )
        return {
            "step": subject.step,
            "images": len(validation.images),
            **tables.measured([*names, _PAIRS], final, _with_ratio, ["distance", "ratio"]),
            "course": {"steps": steps, "distance": absolute, "ratio": relative},
            "claims": {
                "distance": claims(steps, absolute),
                "ratio": claims(steps, relative),
                "error": claims(steps, errors),
            },
        }

    def report(self, answer: dict) -> str:
        """Whether the claims hold, the table, the course."""
        rows = [
            [of, *(markdown.cell(row, measure) for measure in ("distance", "ratio"))]
            for of, row in answer["rows"].items()
        ]
        drawn = len(answer["course"]["steps"]) > 1
        return markdown.page(
            in_words(answer),
            _METHOD.format(**answer),
            markdown.table(["", "distance", "/ random pairs"], rows),
            "![Distance under the discriminator during training](perceptual.png)" if drawn else "",
            _CRITERION,
        )

    def findings(self, answer: dict) -> dict[str, Finding]:
        """By the course; the order also by the intervals at the checkpoint."""
        levels = list(answer["claims"]["distance"]["falls"])
        if len(levels) < 2:
            return {}
        found = {}
        for key, level in (("z_1 falls", levels[0]), ("z_2 falls", levels[-1])):
            found[key] = _falls({level: answer["claims"]["distance"]["falls"][level]})
        found["error"] = _falls(answer["claims"]["error"]["falls"])
        order = compared(answer, levels[0], levels[-1], "distance", sign=-1)
        below = answer["claims"]["distance"]["below_next"].values()
        if any(claim["holds"] is None for claim in below):
            figure = f"{order.figure}; too few evaluations during training"
            return {**found, "order": Finding(figure, order.interval, "undecided")}
        if any(claim["holds"] is False for claim in below):
            least = min(claim["share"] for claim in below)
            figure = f"{order.figure}; below at {least:.0%} of the evaluations"
            order = Finding(figure, order.interval, "does not hold")
        return {**found, "order": order}


def _with_ratio(means):
    """Means [..., L + 1] of distances, the last of random pairs, to [..., L + 1, 2]."""
    return np.stack([means, tables.divided(means, means[..., -1:])], axis=-1)


def _falls(falls):
    """The finding on the claim that all levels of `falls` fall, by its criterion."""
    if not all("first" in claim for claim in falls.values()):
        return Finding("too few evaluations during training", None, "undecided")
    all_hold = [claim["holds"] for claim in falls.values()]
    verdict = "does not hold" if False in all_hold else "undecided" if None in all_hold else "holds"
    return Finding("; ".join(map(_course_in_words, falls.values())), None, verdict)


def _course_in_words(claim):
    return "{first:.3g} to {last:.3g}, rho {spearman:.2f}, p {p:.2g}".format(**claim)


def _trend(steps, values):
    """Spearman's rho, and p of one as low as this in a random order; 0 and 1 of a constant."""
    if len(set(values)) == 1:
        return 0.0, 1.0
    found = spearmanr(steps, values, alternative="less")
    return float(found.statistic), float(found.pvalue)


def claims(steps: Sequence[int], courses: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Whether the paper's two statements hold.

    Args:
      steps: of the evaluations.
      courses: name of each level, from the lowest up, to the values at those steps.

    Returns:
      Dict with "falls", {level: {"spearman", "p", "first", "last", "holds"}}, and "below_next",
      {level: {"share" of evaluations, "holds"}}. "holds" is None where nothing can be said; where
      there are too few evaluations, it stands alone.
    """
    levels, falls, below = list(courses), {}, {}
    if len(steps) < _FEWEST:
        return {
            "falls": {level: {"holds": None} for level in levels},
            "below_next": {level: {"holds": None} for level in levels[:-1]},
        }
    for level, values in courses.items():
        rho, p = _trend(steps, values)
        falling = rho <= _FALLING and values[-1] < values[0]
        falls[level] = {
            "spearman": rho,
            "p": p,
            "first": values[0],
            "last": values[-1],
            "holds": None if falling and p >= _CHANCE else falling,
        }
    for level, above in zip(levels, levels[1:]):
        share = float(np.mean(np.less(courses[level], courses[above])))
        below[level] = {"share": share, "holds": share == 1.0}
    return {"falls": falls, "below_next": below}


def in_words(answer: dict) -> str:
    """Whether the paper's statements hold, as sentences."""
    count = len(answer["course"]["steps"])
    if count < _FEWEST:
        return f"Too few evaluations during training ({count}) to say whether the distances fall."
    sentences = []
    for measure, words in (("distance", "The distance"), ("ratio", "Its ratio to random pairs")):
        falls = ", ".join(
            f"{_FALLS[claim['holds']]} for {level} ({_course_in_words(claim)})"
            for level, claim in answer["claims"][measure]["falls"].items()
        )
        sentences.append(f"{words} {falls}.")
    for level, claim in answer["claims"]["distance"]["below_next"].items():
        above = f"z_{int(level[2:]) + 1}"
        sentences.append(
            f"{level} is below {above} at {claim['share']:.0%} of the evaluations: the paper's "
            f"order {'holds' if claim['holds'] else 'does not hold throughout'}."
        )
    return " ".join(sentences)
