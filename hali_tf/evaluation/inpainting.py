"""Inpainting (paper, section 6.1): the missing part of an image, from the top level downwards.

The model is used as it was trained; nothing is trained for the task and nothing is blended. The
missing pixels start as the mean colour of the known ones. A round replaces them by those of the
reconstruction of the whole image. The top level comes first, then each level below it, with equal
shares of the `ROUNDS` ("we first predict the missing portions from the higher level reconstructions
followed by iteratively using the lower level reconstructions"; the paper gives no number).

More rounds are not better: rounds of level 1 multiply its errors, since nothing else determines the
missing part. With HALI on CelebA and the centre missing, the error was 0.254 after six rounds of
level 2, then 0.240, 0.242, 0.248, ..., 0.270 after six of level 1; that of the naive fill is 0.281.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np

from hali_tf.drawing.plots import save_curves
from hali_tf.drawing.strips import Strips, save_strips
from hali_tf.evaluation.context import Context
from hali_tf.evaluation.masks import read_mask, standard_masks
from hali_tf.evaluation.question import Question
from hali_tf.evaluation.report import markdown
from hali_tf.models.coder import Coder

ROUNDS = 4
_IMAGES, _SHOWN = 128, 8
_GREY = 128  # how a missing pixel is drawn


class Inpainting(Question):
    """The error of each model inside masks, after each round."""

    title = "Inpainting (section 6.1)"

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
        images = np.asarray(context.split("test").images[:_IMAGES])
        masks, free = standard_masks(*images.shape[1:3]), _free_mask(context)
        if free is not None:
            masks["free"] = free
        coders = {subject.name: subject.coder for subject in context.subjects}
        errors: dict[str, dict] = {
            name: {"missing": float(mask.mean()), "rmse": {}} for name, mask in masks.items()
        }
        shown = {}
        tasks = [(name, subject) for name in masks for subject in coders]
        for name, subject in context.progress(tasks, "inpaint"):
            rounds = inpaint(coders[subject], images, masks[name])
            start, *after = [rmse(images, filled, masks[name]) for filled in rounds]
            errors[name]["naive"], errors[name]["rmse"][subject] = start, after
            shown[name, subject] = rounds[:, :_SHOWN]
        for name, mask in masks.items():
            of_mask = {subject: shown[name, subject] for subject in coders}
            page = _comparison(images[:_SHOWN], mask, of_mask, context.subject.coder.num_levels)
            save_strips(context.path(_picture(name)), page)
        save_curves(
            context.path("inpainting.png"),
            {f"RMSE, {name}": _curves(of_mask) for name, of_mask in errors.items()},
            range(ROUNDS + 1),
            "round",
        )
        return {
            "images": len(images),
            "schedule": {name: schedule(coder.num_levels) for name, coder in coders.items()},
            "masks": errors,
        }

    def report(self, answer: dict) -> str:
        """The result in words, the table, the figures."""
        own, *others = answer["schedule"]
        results = "; ".join(_against_naive(name, own, e) for name, e in answer["masks"].items())
        levels = answer["schedule"][own]
        last_rounds = [r for r in range(1, ROUNDS + 1) if r == ROUNDS or levels[r - 1] != levels[r]]
        rows = [
            [
                name,
                f"{errors['missing']:.0%}",
                errors["naive"],
                errors["rmse"][own][0],
                *(errors["rmse"][own][r - 1] for r in last_rounds),
                *(errors["rmse"][other][-1] for other in others),
            ]
            for name, errors in answer["masks"].items()
        ]
        head = [
            "mask",
            "missing",
            "naive fill",
            f"{own}, round 1",
            *(f"round {r} (level {levels[r - 1]})" for r in last_rounds),
            *(f"{other}, round {ROUNDS}" for other in others),
        ]
        return markdown.page(
            f"RMSE of the missing pixels after {ROUNDS} rounds: {results}.",
            f"On the scale [0, 1], over {answer['images']:,} test images. The naive fill is the "
            "mean colour of an image's known pixels; the rounds start from it.",
            markdown.table(head, rows),
            "![error by round](inpainting.png)",
            *(f"![{name}]({_picture(name)})" for name in answer["masks"]),
        )


def _free_mask(context):
    """The user's mask, or None."""
    return read_mask(context.mask, context.source.image_shape[:2]) if context.mask else None


def _comparison(images, mask, rounds, num_levels):
    """`strips` of the run's own rounds, and the last round of each baseline beside them.

    `rounds` are those of `inpaint` by the names of the models, the run's own first.
    """
    own, *others = rounds
    rows, columns, labels = strips(images, mask, rounds[own], num_levels)
    ends = [rounds[other][-1][:, np.newaxis] for other in others]
    headings = [other.replace(" ", "\n") for other in others]
    return Strips(np.concatenate([rows, *ends], axis=1), [*columns, *headings], labels)


def _curves(errors):
    """Curves of the errors of a mask over the rounds, from the naive fill on."""
    naive = errors["naive"]
    curves = {subject: [naive, *after] for subject, after in errors["rmse"].items()}
    return {**curves, "naive fill": [naive] * (ROUNDS + 1)}


def _against_naive(name, subject, errors):
    end, naive = errors["rmse"][subject][-1], errors["naive"]
    order = "below" if end < naive else "not below"
    return f"{name} {end:.4f}, {order} the naive fill's {naive:.4f}"


def _picture(mask):
    return f"inpainting_{mask.replace(' ', '_')}.png"


def schedule(num_levels: int) -> list[int]:
    """The level of each of the `ROUNDS`, the top one first."""
    return [num_levels - r * num_levels // ROUNDS for r in range(ROUNDS)]


def naive_fill(images: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Images with the missing pixels in the mean colour of the known ones, uint8 [B, H, W, C].

    Args:
      images: uint8 [B, H, W, C].
      mask: bool [H, W], True where a pixel is missing.
    """
    known = images[:, ~mask].mean(axis=1)[:, np.newaxis, np.newaxis]
    return np.where(mask[..., np.newaxis], np.rint(known).astype(np.uint8), images)


def rounds_of(coder: Coder, images: np.ndarray, mask: np.ndarray) -> Iterator[np.ndarray]:
    """Yields the naive fill, then the images after each round, one after the other.

    Args:
      coder: of the model.
      images: uint8 [B, H, W, C]; what they hold inside the mask is not used.
      mask: bool [H, W], True where a pixel is missing.

    Yields:
      uint8 [B, H, W, C], 1 + `ROUNDS` times.
    """
    filled = naive_fill(images, mask)
    yield filled
    for level in schedule(coder.num_levels):
        filled = np.where(mask[..., np.newaxis], coder.reconstruct(filled, level), images)
        yield filled


def inpaint(coder: Coder, images: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """What `rounds_of` yields, as uint8 [1 + ROUNDS, B, H, W, C]."""
    return np.stack(list(rounds_of(coder, images, mask)))


def rmse(images: np.ndarray, filled: np.ndarray, mask: np.ndarray) -> float:
    """Per-pixel RMSE inside the mask, on the scale [0, 1]; shapes as of `inpaint`."""
    difference = filled[:, mask].astype(np.float64) - images[:, mask]
    return float(np.sqrt(np.mean(np.square(difference / 255))))


def strips(images: np.ndarray, mask: np.ndarray, rounds: np.ndarray, num_levels: int) -> Strips:
    """For each image: original, masked, and the first and last round of each level.

    Args:
      images: uint8 [B, H, W, C].
      mask: bool [H, W].
      rounds: of `inpaint`.
      num_levels: L.
    """
    levels = [None, *schedule(num_levels)]
    first_and_last = sorted(
        {i for l in set(levels[1:]) for i in (levels.index(l), ROUNDS - levels[::-1].index(l))}
    )
    masked = np.where(mask[..., np.newaxis], np.uint8(_GREY), images)
    columns = [f"level {levels[i]}\nround {i}" for i in first_and_last]
    rows = np.stack([images, masked, *rounds[first_and_last]], axis=1)
    return Strips(rows, ["original", "masked", *columns], [""] * len(rows))
