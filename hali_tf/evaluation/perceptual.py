"""Distance of reconstructions in the discriminator's penultimate layer (paper, section 5.3).

The paper writes the embedding as f(x), a function of an image alone, but the discriminator takes
(x, z_1, ..., z_L). Read here: f(x) belongs to the image with its own encodings, by the means, noise
and dropout off. A reconstruction is an image like any other and is encoded anew.

The scale of f changes as the discriminator learns. Beyond the paper, the distance between random
pairs of images under the same f is therefore measured beside, and the ratio to it.
"""

import os

import numpy as np
from scipy.stats import spearmanr

from hali_tf.drawing.curves import save_curves
from hali_tf.evaluation.report import markdown
from hali_tf.measures.perceptual import distances, has_discriminator
from hali_tf.runs import metrics_file

TITLE = "Perceptual distance under the discriminator (section 5.3, Equation 8)"

_FALLING = -0.5  # Spearman's rho of distance and step, at most
_FEWEST = 5  # evaluations during training, to speak of a course
_CRITERION = (
    f"A level's distance falls if its rank correlation with the step (Spearman's rho) is at most "
    f"{_FALLING} and the last value is below the first. A level stays below the next if it is at "
    f"every evaluation. Fewer than {_FEWEST} evaluations decide nothing."
)


def unanswerable(context):
    """Why there is no distance, or None."""
    if has_discriminator(context.subject.model):
        return None
    return f"a {context.subject.config.model.kind.upper()} has no discriminator"


def answer(context):
    """The distances at the checkpoint, their course in training, whether the paper's claims hold.

    Of the run's own model alone: distances under the discriminators of two models do not compare.
    """
    subject = context.subject
    validation = context.split("validation")
    final = distances(subject.model, validation, progress=True)
    lines = metrics_file.read(os.path.join(subject.run_dir, "metrics.jsonl"))
    course = [line for line in lines if line.get("perceptual_pairs")]  # 0 if all images are equal
    names = [f"perceptual_{l}" for l in range(1, subject.model.num_levels + 1)]
    steps = [line["step"] for line in course]
    absolute = {f"z_{l}": [line[n] for line in course] for l, n in enumerate(names, start=1)}
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
        "distance": {f"z_{l}": final[n] for l, n in enumerate(names, start=1)},
        "random_pairs": final["perceptual_pairs"],
        "course": {"steps": steps, "distance": absolute, "ratio": relative},
        "criterion": _CRITERION,
        "claims": {"distance": claims(steps, absolute), "ratio": claims(steps, relative)},
    }


def claims(steps, courses):
    """Whether the paper's two statements hold.

    Args:
      steps: of the evaluations.
      courses: dict of level name, from the lowest up, to the values at those steps.

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


def report(answer):
    """Markdown."""
    rows = [
        [level, value, value / answer["random_pairs"] if answer["random_pairs"] else None]
        for level, value in answer["distance"].items()
    ] + [["random pairs", answer["random_pairs"], 1.0 if answer["random_pairs"] else None]]
    steps = answer["course"]["steps"]
    parts = [
        in_words(answer),
        f"On {answer['images']:,} validation images at step {answer['step']:,}; the course is that of "
        "the evaluations during training, on a part of them and in the run's precision. f is the "
        "embedding of an image together with its own encodings, noise and dropout off. The ratio to "
        "random pairs, which the paper does not have, leaves out that the scale of f changes as the "
        "discriminator learns.",
        markdown.table(["", "distance", "/ random pairs"], rows),
    ]
    if len(steps) > 1:
        parts.append("![Distance under the discriminator during training](perceptual.png)")
    return "\n\n".join([*parts, answer["criterion"]])


def in_words(answer):
    """Whether the paper's statements hold, as sentences."""
    count = len(answer["course"]["steps"])
    if count < _FEWEST:
        return f"Too few evaluations during training ({count}) to say whether the distances fall."
    sentences = []
    for measure, words in (("distance", "The distance"), ("ratio", "Its ratio to random pairs")):
        claim = answer["claims"][measure]
        falls = ", ".join(
            f"{'falls' if one['holds'] else 'does not fall'} for {level} "
            f"({one['first']:.3g} to {one['last']:.3g}, rho {one['spearman']:.2f})"
            for level, one in claim["falls"].items()
        )
        sentences.append(f"{words} {falls}.")
    for level, one in answer["claims"]["distance"]["below_next"].items():
        above = f"z_{int(level[2:]) + 1}"
        sentences.append(
            f"{level} is below {above} at {one['share']:.0%} of the evaluations: the paper's order "
            + ("holds." if one["holds"] else "does not hold throughout.")
        )
    return " ".join(sentences)
