"""Inpainting (paper, section 6.1): the missing part of an image, from the top level downwards.

The model is used as it was trained; nothing is trained for the task and nothing is blended. The
missing pixels start as the mean colour of the known ones. A round replaces them by those of the
reconstruction of the whole image. The top level comes first, then each level below it ("we first
predict the missing portions from the higher level reconstructions followed by iteratively using the
lower level reconstructions"; the paper gives no number of rounds). An evaluation chooses the rounds
of each model and mask on validation images, since more are not better: rounds of level 1 multiply
its errors, as nothing else determines the missing part. A baseline of one level has rounds of that.
A level that does harm is not chosen, which hides the harm. So whether lower levels help is judged
by a second schedule, with a round of each of them at least.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
from sklearn.utils import gen_batches

from hali_tf.drawing.plots import save_curves
from hali_tf.drawing.strips import Strips, save_strips
from hali_tf.evaluation import tables
from hali_tf.evaluation.claims import Finding, compared, roles
from hali_tf.evaluation.context import Context
from hali_tf.evaluation.masks import read_mask, standard_masks
from hali_tf.evaluation.question import Question
from hali_tf.evaluation.report import markdown
from hali_tf.models.coder import Coder
from hali_tf.progress import progress_bar

_MOST = 6  # rounds of a level
_CHOOSING, _IMAGES, _SHOWN = 200, 1000, 8
_BATCH = 100
_GREY = 128  # how a missing pixel is drawn
_NAIVE = "naive fill"
_METHOD = """\
RMSE of the missing pixels on the scale [0, 1], over {images:,} test images, with 95 % intervals by
the bootstrap over images. The naive fill is the mean colour of an image's known pixels; the rounds
start from it. How many rounds each level has, 0 to {most}, and at least one of the top level, was
chosen on {chosen_on} validation images, level by level, for each model and mask: {schedules}."""
_HOW_LEVELS_ARE_JUDGED = """\
A lower level that does harm has no rounds in the row "{own}", which therefore cannot show the harm.
Whether lower levels help is judged by the row "{every}", which has at least one round of each of
them and is chosen in the same way otherwise, against "{alone}"."""


class Inpainting(Question):
    """The error of each model inside masks, after each round."""

    title = "Inpainting (section 6.1)"
    claims = {
        "naive": "Missing parts are filled in better than by the mean colour",
        "levels": "Lower levels bring them nearer to the original than the top level alone",
        "ALI": "Missing parts are filled in better than by ALI",
        "VAE": "Missing parts are filled in better than by a VAE",
    }
    beyond = ("naive", "ALI", "VAE")

    def inputs(self, context: Context) -> dict:
        """The user's mask.

        Raises:
          UserError: it cannot be used.
        """
        mask = _free_mask(context)
        return {
            "mask": "" if mask is None else hashlib.sha256(np.packbits(mask).tobytes()).hexdigest()
        }

    def answer(self, context: Context) -> dict:
        """RMSE inside each mask by round, for the run and the baselines; figures."""
        images = context.split("test").part(_IMAGES).images
        choosing = context.split("validation").part(_CHOOSING).images
        masks, free = standard_masks(*images.shape[1:3]), _free_mask(context)
        standard = list(masks)
        if free is not None:
            masks["free"] = free
        found = {
            name: _of_mask(context, choosing, images, name, mask) for name, mask in masks.items()
        }
        longest = max(len(c) for m, _ in found.values() for c in m["curves"].values())
        save_curves(
            context.path("inpainting.png"),
            {f"RMSE, {name}": _padded(m["curves"], longest) for name, (m, _) in found.items()},
            range(longest),
            "round",
        )
        values = np.stack([squares for name, (_, squares) in found.items() if name in standard], 1)
        labels = list(found[standard[0]][0]["rows"])
        return {
            "images": len(images),
            "chosen_on": len(choosing),
            "labels": context.labels,
            "masks": {name: of_mask for name, (of_mask, _) in found.items()},
            "mean": _table(labels, values.transpose(0, 2, 1)),
        }

    def report(self, answer: dict) -> str:
        """The result in words, the table, the figures."""
        masks = {**answer["masks"], "mean of the first three": answer["mean"]}
        labels = list(answer["mean"]["rows"])
        rows = []
        for name, table in masks.items():
            missing = f"{table['missing']:.0%}" if "missing" in table else None
            rows.append([name, missing, *(_cell(table["rows"][label]) for label in labels)])
        own, levels = next(iter(answer["labels"].items()))
        results = "; ".join(
            f"{name} {_cell(table['rows'][own])}, of the naive fill {_cell(table['rows'][_NAIVE])}"
            for name, table in masks.items()
        )
        schedules = "; ".join(
            f"{name}: {', '.join(f'{row} ({_in_words(chosen)})' for row, chosen in of.items())}"
            for name, of in ((name, table["schedule"]) for name, table in answer["masks"].items())
        )
        alone, every = _rows_of_levels(own, len(levels))
        judged = _HOW_LEVELS_ARE_JUDGED.format(own=own, alone=alone, every=every)
        return markdown.page(
            f"RMSE of the missing pixels: {results}.",
            _METHOD.format(most=_MOST, schedules=schedules, **answer),
            judged if len(levels) > 1 else "",
            markdown.table(["mask", "missing", *labels], rows),
            "![error by round](inpainting.png)",
            *(f"![{name}]({_picture(name)})" for name in answer["masks"]),
        )

    def findings(self, answer: dict) -> dict[str, Finding]:
        """By the means over the standard masks."""
        role = roles(answer["labels"])
        if not role:
            return {}
        own, levels = next(iter(answer["labels"].items()))
        alone, every = _rows_of_levels(own, len(levels))
        pairs = {"naive": (own, _NAIVE), "levels": (every, alone)}
        pairs.update({kind: (own, role[kind]) for kind in ("ALI", "VAE") if kind in role})
        return {
            key: compared(answer["mean"], *pair, "rmse", sign=-1) for key, pair in pairs.items()
        }


def _of_mask(context, choosing, images, name, mask):
    """(a mask's part of the answer, squared errors [N, R] of its rows); draws its figure."""
    squares, curves, schedules, shown = {}, {}, {}, {}
    top = context.subject.coder.num_levels
    for subject in progress_bar(context.subjects, f"inpaint, {name}"):
        levels = schedules[subject.name] = choose(subject.coder, choosing, mask)
        parts = list(gen_batches(len(images), _BATCH))
        rounds = [inpaint(subject.coder, images[part], mask, levels) for part in parts]
        errors = np.concatenate(
            [_squares(images[part], filled, mask) for part, filled in zip(parts, rounds)], axis=1
        )
        curves[subject.name] = np.sqrt(errors.mean(axis=1)).tolist()
        squares.setdefault(_NAIVE, errors[0])
        if subject is context.subject:
            alone, every = _rows_of_levels(subject.name, top)
            squares[alone] = errors[levels.count(top)]
            if top > 1:
                schedules[every], squares[every] = _with_every_level(
                    subject.coder, choosing, images, mask, levels, rounds
                )
        squares[subject.name] = errors[-1]
        shown[subject.name] = rounds[0][:, :_SHOWN]
    drawn = _comparison(images[:_SHOWN], mask, shown, schedules[context.subject.name])
    save_strips(context.path(_picture(name)), drawn)
    values = np.stack(list(squares.values()), axis=1)
    return {
        "missing": float(mask.mean()),
        "schedule": schedules,
        "curves": curves,
        **_table(list(squares), values[..., np.newaxis]),
    }, values


def _rows_of_levels(name, top):
    """Labels of the rows of a model's top level alone, and of at least one round of each level."""
    return f"{name}, level {top} alone", f"{name}, every level"


def _with_every_level(coder, choosing, images, mask, levels, rounds):
    """(the schedule with at least one round of every level, squared errors [N] after it).

    `levels` is the schedule of the model's own row, and `rounds` are its images, of a batch each:
    the rounds of the top level are those of this schedule too.
    """
    top = levels.count(coder.num_levels)
    every = choose(coder, choosing, mask, least=1, begun=levels[:top])
    shared = len(levels) if every == levels else top
    squares = []
    for part, known in zip(gen_batches(len(images), _BATCH), rounds):
        *_, last = rounds_of(coder, known[shared], mask, every[shared:])
        squares.append(_squares(images[part], last[np.newaxis], mask)[0])
    return every, np.concatenate(squares)


def _table(labels, values):
    """RMSE of squared errors [N, R, masks], the mean over the masks."""
    return tables.measured(
        labels, values, lambda means: np.sqrt(means).mean(axis=-1, keepdims=True), ["rmse"]
    )


def _squares(images, rounds, mask):
    """Mean squared error of each image inside the mask after each round, [1 + R, N]."""
    difference = rounds[:, :, mask].astype(np.float64) - images[:, mask]
    return np.mean(np.square(difference / 255), axis=(2, 3))


def _cell(row):
    return markdown.cell(row, "rmse")


def _in_words(levels):
    """How many rounds each level has."""
    return " + ".join(f"{levels.count(l)} of level {l}" for l in sorted(set(levels), reverse=True))


def _free_mask(context):
    """The user's mask, or None."""
    return read_mask(context.mask, context.source.image_shape[:2]) if context.mask else None


def _comparison(images, mask, rounds, levels):
    """`strips` of the run's own rounds, and the last round of each baseline beside them.

    `rounds` are those of `inpaint` by the names of the models, the run's own first.
    """
    own, *others = rounds
    rows, columns, labels = strips(images, mask, rounds[own], levels)
    ends = [rounds[other][-1][:, np.newaxis] for other in others]
    headings = [other.replace(" ", "\n") for other in others]
    return Strips(np.concatenate([rows, *ends], axis=1), [*columns, *headings], labels)


def _padded(curves, length):
    """Curves of one length, for a plot."""
    return {name: values + [np.nan] * (length - len(values)) for name, values in curves.items()}


def _picture(mask):
    return f"inpainting_{mask.replace(' ', '_')}.png"


def schedule(num_levels: int) -> list[int]:
    """The level of each round where there is nothing to choose by: two of each, the top first."""
    return [level for level in range(num_levels, 0, -1) for _ in range(2)]


def choose(
    coder: Coder, images: np.ndarray, mask: np.ndarray, least: int = 0, begun: Sequence[int] = ()
) -> list[int]:
    """The level of each round, by the error on images whose missing part is known.

    From the top level down, each has as many rounds as bring the error of its rounds down most: up
    to 6, and at least one of the top level.

    Args:
      coder: of the model.
      images: uint8 [N, H, W, C].
      mask: bool [H, W], True where a pixel is missing.
      least: how many rounds each level below the top has at least, 0 to 6.
      begun: the rounds of the upper levels, where they were chosen before.
    """
    levels = list(begun)
    filled = inpaint(coder, images, mask, levels)[-1]
    for level in range(min(levels, default=coder.num_levels + 1) - 1, 0, -1):
        rounds = list(rounds_of(coder, filled, mask, [level] * _MOST))
        errors = [rmse(images, after, mask) for after in rounds]
        first = least if levels else 1
        best = first + int(np.argmin(errors[first:]))
        levels, filled = levels + [level] * best, rounds[best]
    return levels


def naive_fill(images: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Images with the missing pixels in the mean colour of the known ones, uint8 [B, H, W, C].

    Args:
      images: uint8 [B, H, W, C].
      mask: bool [H, W], True where a pixel is missing.
    """
    known = images[:, ~mask].mean(axis=1)[:, np.newaxis, np.newaxis]
    return np.where(mask[..., np.newaxis], np.rint(known).astype(np.uint8), images)


def inpaint(
    coder: Coder, images: np.ndarray, mask: np.ndarray, levels: Sequence[int]
) -> np.ndarray:
    """The naive fill, and the images after each round.

    Args:
      coder: of the model.
      images: uint8 [B, H, W, C]; what they hold inside the mask is not used.
      mask: bool [H, W], True where a pixel is missing.
      levels: the level of each of the R rounds.

    Returns:
      uint8 [1 + R, B, H, W, C].
    """
    return np.stack(list(rounds_of(coder, naive_fill(images, mask), mask, levels)))


def rounds_of(
    coder: Coder, filled: np.ndarray, mask: np.ndarray, levels: Sequence[int]
) -> Iterator[np.ndarray]:
    """Yields the images of `inpaint` one round after the other, from a first fill on."""
    yield filled
    missing = mask[..., np.newaxis]
    for level in levels:
        filled = np.where(missing, coder.reconstruct(filled, level), filled)
        yield filled


def rmse(images: np.ndarray, filled: np.ndarray, mask: np.ndarray) -> float:
    """Per-pixel RMSE inside the mask, on the scale [0, 1]; shapes as of `inpaint`."""
    return float(np.sqrt(_squares(images, filled[np.newaxis], mask).mean()))


def strips(
    images: np.ndarray, mask: np.ndarray, rounds: np.ndarray, levels: Sequence[int]
) -> Strips:
    """For each image: original, masked, and the first and last round of each level.

    Args:
      images: uint8 [B, H, W, C].
      mask: bool [H, W].
      rounds: of `inpaint`.
      levels: as of `inpaint`.
    """
    count = len(levels)
    first_and_last = [
        r
        for r in range(1, count + 1)
        if r in (1, count) or not levels[r - 2] == levels[r - 1] == levels[r]
    ]
    masked = np.where(mask[..., np.newaxis], np.uint8(_GREY), images)
    columns = [f"level {levels[r - 1]}\nround {r}" for r in first_and_last]
    rows = np.stack([images, masked, *rounds[first_and_last]], axis=1)
    return Strips(rows, ["original", "masked", *columns], [""] * len(rows))
