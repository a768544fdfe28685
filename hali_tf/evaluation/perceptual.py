"""Distance of reconstructions in the discriminator's penultimate layer (paper, section 5.3).

See `hali_tf.measures.perceptual` for the distance. Here: its value at the checkpoint, how it went
during training, and whether it falls and orders the levels as the paper says.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from hali_tf.drawing.plots import save_curves
from hali_tf.evaluation.context import Context
from hali_tf.evaluation.question import Question
from hali_tf.evaluation.report import markdown
from hali_tf.measures.perceptual import distances, has_discriminator
from hali_tf.runs import metrics_file

_FALLING = -0.5  # Spearman's rho of distance and step, at most
_FEWEST = 5  # evaluations during training that are needed to judge a course
_CRITERION = (
    f"A level's distance falls if its rank correlation with the step (Spearman's rho) is at most "
    f"{_FALLING} and the last value is below the first. A level stays below the next one if it is "
    f"at every evaluation. Fewer than {_FEWEST} evaluations decide nothing."
)
_METHOD = """\
On {images:,} validation images at step {step:,}. The course is that of the evaluations during
training, on fewer of them and in the precision of the run. f is the embedding of an image together
with its own encodings, without noise and dropout. The ratio to random pairs, which the paper does
not have, is not affected by the scale of f, which changes as the discriminator learns."""


class Perceptual(Question):
    """The distances under the discriminator, and their course in training.

    Of the run's own model alone: distances under two discriminators cannot be compared.
    """

    title = "Perceptual distance under the discriminator (section 5.3, Equation 8)"

    def unanswerable(self, context: Context) -> str | None:
        """A model without discriminator."""
        if has_discriminator(context.subject.model):
            return None
        return f"a {context.subject.config.model.kind.upper()} has no discriminator"

    def answer(self, context: Context) -> dict:
        """The distances at the checkpoint, their course, whether the paper's claims hold."""
        subject = context.subject
        validation = context.split("validation")
        final = distances(subject.model, validation, bar=True)
        lines = metrics_file.read(os.path.join(subject.run_dir, "metrics.jsonl"))
        course = [line for line in lines if line.get("perceptual_pairs")]  # 0: images all equal
        names = {f"z_{l}": f"perceptual_{l}" for l in range(1, subject.model.num_levels + 1)}
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
            "distance": {level: final[name] for level, name in names.items()},
            "random_pairs": final["perceptual_pairs"],
            "course": {"steps": steps, "distance": absolute, "ratio": relative},
            "criterion": _CRITERION,
            "claims": {"distance": claims(steps, absolute), "ratio": claims(steps, relative)},
        }

    def report(self, answer: dict) -> str:
        """Whether the claims hold, the table, the course."""
        pairs = answer["random_pairs"]
        distance = {**answer["distance"], "random pairs": pairs}
        rows = [[of, value, value / pairs if pairs else None] for of, value in distance.items()]
        drawn = len(answer["course"]["steps"]) > 1
        return markdown.page(
            in_words(answer),
            _METHOD.format(**answer),
            markdown.table(["", "distance", "/ random pairs"], rows),
            "![Distance under the discriminator during training](perceptual.png)" if drawn else "",
            answer["criterion"],
        )


def claims(steps: Sequence[int], courses: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Whether the paper's two statements hold.

    Args:
      steps: of the evaluations.
      courses: name of each level, from the lowest up, to the values at those steps.

    Returns:
      Dict with "falls", {level: {"spearman", "first", "last", "holds"}}, and "below_next",
      {level: {"share" of evaluations, "holds"}}. "holds" is None where nothing can be said.
    """
    levels, falls, below = list(courses), {}, {}
    if len(steps) < _FEWEST:
        return {
            "falls": {level: {"holds": None} for level in levels},
            "below_next": {level: {"holds": None} for level in levels[:-1]},
        }
    for level, values in courses.items():
        rho = 0.0 if len(set(values)) == 1 else float(spearmanr(steps, values).statistic)
        falls[level] = {
            "spearman": rho,
            "first": values[0],
            "last": values[-1],
            "holds": rho <= _FALLING and values[-1] < values[0],
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
            f"{'falls' if claim['holds'] else 'does not fall'} for {level} "
            f"({claim['first']:.3g} to {claim['last']:.3g}, rho {claim['spearman']:.2f})"
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
