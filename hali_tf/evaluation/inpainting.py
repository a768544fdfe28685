"""Inpainting (paper, section 6.1): the missing part of an image, from the top level downwards.

The model is as it was trained: no training for the task, no blending. The missing pixels start as
the mean colour of the known ones. A round replaces them by the reconstruction of the whole image;
the known pixels are put back. The top level comes first, then each level below it, an equal part
of the `ROUNDS` each ("we first predict the missing portions from the higher level reconstructions
followed by iteratively using the lower level reconstructions"; the paper gives no number).
"""

import numpy as np
from PIL import Image, UnidentifiedImageError

from hali_tf.errors import UserError
from hali_tf.evaluation import plots
from hali_tf.evaluation.latents import Coder

TITLE = "Inpainting (section 6.1)"
ROUNDS = 12
_IMAGES, _SHOWN = 256, 8
_GREY = 128  # how a missing pixel is drawn


def unanswerable(context):
    """Never: any images can be masked."""
    del context


def answer(context):
    """RMSE inside each mask by round, for the run and the baselines; figures.

    Raises:
      UserError: the user's mask cannot be used.
    """
    images = np.asarray(context.split("test").images[:_IMAGES])
    masks = standard_masks(*images.shape[1:3])
    if context.mask:
        masks["free"] = read_mask(context.mask, images.shape[1:3])
    result = {
        "images": len(images),
        "schedule": {s.name: schedule(s.model.num_levels) for s in context.subjects},
        "masks": {},
    }
    coders = {subject.name: Coder(subject.model) for subject in context.subjects}
    tasks = [(name, subject) for name in masks for subject in coders]
    shown = {}
    for name, subject in context.progress(tasks, "inpaint"):
        mask = masks[name]
        rounds = inpaint(coders[subject], images, mask)
        start, *after = [rmse(images, filled, mask) for filled in rounds]
        numbers = result["masks"].setdefault(name, {"missing": float(mask.mean()), "naive": start})
        numbers.setdefault("rmse", {})[subject] = after
        shown[name, subject] = rounds[:, :_SHOWN]
    for name, mask in masks.items():
        _draw(context, name, images[:_SHOWN], mask, shown)
        _draw_curve(context, name, result["masks"][name])
    return result


def report(answer):
    """Table of errors, and the figures of each mask."""
    names = list(answer["schedule"])
    levels = "; ".join(f"{name}: {_in_words(levels)}" for name, levels in answer["schedule"].items())
    lines = [
        f"RMSE of the missing pixels on the scale [0, 1], {answer['images']} test images. The naive "
        f"fill is the mean colour of an image's known pixels. Rounds: {levels}.",
        "",
        "| mask | missing | naive fill | " + " | ".join(
            f"{name}, {part}" for name in names for part in ("round 1", f"round {ROUNDS}")) + " |",
        "|---" * (3 + 2 * len(names)) + "|",
    ]  # fmt: skip
    for mask, numbers in answer["masks"].items():
        cells = [
            f"{numbers['rmse'][name][part]:.4f}" for name in names for part in (0, -1)
        ]
        lines.append(f"| {mask} | {numbers['missing']:.0%} | {numbers['naive']:.4f} | "
                     + " | ".join(cells) + " |")  # fmt: skip
    lines.append("")
    own = names[0]
    for mask, numbers in answer["masks"].items():
        better = numbers["rmse"][own][-1] < numbers["naive"]
        lines += [
            f"{mask.capitalize()}: {own} ends {'below' if better else 'not below'} the naive fill.",
            "",
            f"![{mask}, images](inpainting_{_file(mask)}.png)",
            f"![{mask}, error by round](inpainting_{_file(mask)}_error.png)",
            "",
        ]
    return "\n".join(lines)


def schedule(num_levels):
    """The level of each of the `ROUNDS`, the top one first."""
    return [num_levels - r * num_levels // ROUNDS for r in range(ROUNDS)]


def standard_masks(height, width):
    """Masks by name, bool [H, W], True where a pixel is missing.

    "centre" is half as high and wide as the image, in its middle.
    """
    rows, columns = np.mgrid[:height, :width]
    return {
        "centre": (abs(2 * rows + 1 - height) < height / 2) & (abs(2 * columns + 1 - width) < width / 2),
        "right half": columns >= width // 2,
        "lower half": rows >= height // 2,
    }  # fmt: skip


def read_mask(path, shape):
    """A mask from an image file: white, 128 and above, is what is missing.

    Args:
      path: of a PNG, black and white, grey or colour.
      shape: (H, W) of the images.

    Returns:
      bool [H, W].

    Raises:
      UserError: no such image; transparent or of more than 8 bits; of another size; it covers all
        or nothing.
    """
    try:
        with Image.open(path) as image:
            if image.mode not in ("1", "L", "P", "RGB") or "transparency" in image.info:
                raise UserError(
                    f"--mask={path}: expected black and white, grey or RGB, 8 bits a channel, "
                    f"without transparency; received mode {image.mode}; save it as grey PNG"
                )
            if image.size != (shape[1], shape[0]):
                raise UserError(
                    f"--mask={path}: expected {shape[1]}x{shape[0]} pixels, as the model's images; "
                    f"received {image.width}x{image.height}"
                )
            mask = np.asarray(image.convert("L")) >= 128
    except UnidentifiedImageError as error:
        raise UserError(f"--mask={path}: not an image; expected a PNG") from error
    except OSError as error:
        raise UserError(f"--mask={path}: cannot be read ({error.strerror or error})") from error
    if mask.all() or not mask.any():
        raise UserError(
            f"--mask={path}: covers {'all' if mask.all() else 'nothing'}; expected white where the "
            "image is missing and black where it is known, some of each"
        )
    return mask


def naive_fill(images, mask):
    """Images with the missing pixels in the mean colour of the known ones, uint8 [B, H, W, C].

    Args:
      images: uint8 [B, H, W, C].
      mask: bool [H, W], True where a pixel is missing.
    """
    known = images[:, ~mask].mean(axis=1)[:, np.newaxis, np.newaxis]
    return np.where(mask[..., np.newaxis], np.rint(known).astype(np.uint8), images)


def inpaint(coder, images, mask):
    """The rounds.

    Args:
      coder: `latents.Coder`.
      images: uint8 [B, H, W, C]; what they hold inside the mask is not used.
      mask: bool [H, W], True where a pixel is missing.

    Returns:
      uint8 [1 + ROUNDS, B, H, W, C]: the naive fill, and the images after each round.
    """
    missing = mask[..., np.newaxis]
    rounds = [naive_fill(images, mask)]
    for level in schedule(coder.num_levels):
        rounds.append(np.where(missing, coder.reconstruct(rounds[-1], level), images))
    return np.stack(rounds)


def rmse(images, filled, mask):
    """Per-pixel RMSE inside the mask, on the scale [0, 1]."""
    difference = filled[:, mask].astype(np.float64) - images[:, mask]
    return float(np.sqrt(np.mean(np.square(difference / 255))))


def strips(images, mask, rounds, num_levels):
    """What a figure shows of the rounds: original, masked, and a level's first and last round.

    Args:
      images: uint8 [B, H, W, C].
      mask: bool [H, W].
      rounds: of `inpaint`.
      num_levels: L.

    Returns:
      uint8 [B, N, H, W, C] and N headings.
    """
    levels = [None, *schedule(num_levels)]
    first_and_last = sorted(
        {i for l in set(levels[1:]) for i in (levels.index(l), ROUNDS - levels[::-1].index(l))}
    )
    masked = np.where(mask[..., np.newaxis], np.uint8(_GREY), images)
    columns = [f"level {levels[i]}\nround {i}" for i in first_and_last]
    return (
        np.stack([images, masked, *rounds[first_and_last]], axis=1),
        ["original", "masked", *columns],
    )


def _draw(context, name, images, mask, shown):
    """The run's own rounds, and beside them how each baseline ends."""
    own, *others = context.subjects
    rows, columns = strips(images, mask, shown[name, own.name], own.model.num_levels)
    ends = [shown[name, other.name][-1][:, np.newaxis] for other in others]
    plots.save_strips(
        context.path(f"inpainting_{_file(name)}.png"),
        np.concatenate([rows, *ends], axis=1),
        [*columns, *(other.name for other in others)],
        [""] * len(images),
    )


def _draw_curve(context, name, numbers):
    rounds = range(ROUNDS + 1)
    curves = {s: (rounds, [numbers["naive"], *after]) for s, after in numbers["rmse"].items()}
    curves["naive fill"] = (rounds, [numbers["naive"]] * len(rounds))
    plots.save_curves(
        context.path(f"inpainting_{_file(name)}_error.png"), curves,
        "round", f"RMSE of the missing pixels, {name}", dashed=["naive fill"],
    )  # fmt: skip


def _in_words(levels):
    """[2, 2, 1, 1] as "level 2 twice ..."."""
    counts = {level: levels.count(level) for level in levels}
    return ", then ".join(f"{count} at level {level}" for level, count in counts.items())


def _file(name):
    return name.replace(" ", "_")
