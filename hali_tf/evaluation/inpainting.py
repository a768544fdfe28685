"""Inpainting (paper, section 6.1): the missing part of an image, from the top level downwards.

The model is as it was trained: no training for the task, no blending. The missing pixels start as
the mean colour of the known ones. A round replaces them by the reconstruction of the whole image;
the known pixels are put back. The top level comes first, then each level below it, a like part of
the `ROUNDS` each ("we first predict the missing portions from the higher level reconstructions
followed by iteratively using the lower level reconstructions"; the paper gives no number).

More rounds are not better: those of level 1 multiply its errors, as there is nothing else to hold the
missing part. HALI on CelebA, centre: 0.254 after six rounds of level 2, then 0.240, 0.242, 0.248, ...,
0.270 after six of level 1; the naive fill has 0.281.
"""

import hashlib

import numpy as np
from PIL import Image, UnidentifiedImageError

from hali_tf.drawing.curves import save_curves
from hali_tf.drawing.strips import save_strips
from hali_tf.errors import UserError
from hali_tf.evaluation.report import markdown
from hali_tf.models.coder import Coder

TITLE = "Inpainting (section 6.1)"
ROUNDS = 4
_IMAGES, _SHOWN = 128, 8
_GREY = 128  # how a missing pixel is drawn


def unanswerable(context):
    """Never: any images can be masked."""
    del context


def inputs(context):
    """The user's mask, which is also checked before anything is computed.

    Raises:
      UserError: it cannot be used.
    """
    mask = _free_mask(context)
    return {"mask": hashlib.sha256(np.packbits(mask)).hexdigest() if context.mask else ""}


def _free_mask(context):
    return read_mask(context.mask, context.source.image_shape[:2]) if context.mask else None


def answer(context):
    """RMSE inside each mask by round, for the run and the baselines; figures."""
    images = np.asarray(context.split("test").images[:_IMAGES])
    masks = standard_masks(*images.shape[1:3])
    if context.mask:
        masks["free"] = _free_mask(context)
    coders = {subject.name: Coder(subject.model) for subject in context.subjects}
    result = {
        "images": len(images),
        "schedule": {name: schedule(coder.num_levels) for name, coder in coders.items()},
        "masks": {name: {"missing": float(mask.mean())} for name, mask in masks.items()},
    }
    shown = {}
    tasks = [(name, subject) for name in masks for subject in coders]
    for name, subject in context.progress(tasks, "inpaint"):
        rounds = inpaint(coders[subject], images, masks[name])
        start, *after = [rmse(images, filled, masks[name]) for filled in rounds]
        result["masks"][name]["naive"] = start
        result["masks"][name].setdefault("rmse", {})[subject] = after
        shown[name, subject] = rounds[:, :_SHOWN]
    own, *others = coders
    for name, mask in masks.items():
        rows, columns = strips(images[:_SHOWN], mask, shown[name, own], coders[own].num_levels)
        ends = [shown[name, other][-1][:, np.newaxis] for other in others]
        save_strips(
            context.path(_picture(name)),
            np.concatenate([rows, *ends], axis=1),
            [*columns, *(other.replace(" ", "\n") for other in others)],
            [""] * len(rows),
        )
    panels = {
        f"RMSE, {name}": {
            **{subject: [of["naive"], *after] for subject, after in of["rmse"].items()},
            "naive fill": [of["naive"]] * (ROUNDS + 1),
        }
        for name, of in result["masks"].items()
    }
    save_curves(context.path("inpainting.png"), panels, range(ROUNDS + 1), "round")
    return result


def report(answer):
    """Markdown."""
    own, *others = answer["schedule"]
    first = "; ".join(_against_naive(name, own, of) for name, of in answer["masks"].items())
    levels = answer["schedule"][own]
    last_rounds = [r for r in range(1, ROUNDS + 1) if r == ROUNDS or levels[r - 1] != levels[r]]
    rows = [
        [
            name,
            f"{numbers['missing']:.0%}",
            numbers["naive"],
            numbers["rmse"][own][0],
            *(numbers["rmse"][own][r - 1] for r in last_rounds),
            *(numbers["rmse"][other][-1] for other in others),
        ]
        for name, numbers in answer["masks"].items()
    ]
    head = [
        "mask",
        "missing",
        "naive fill",
        f"{own}, round 1",
        *(f"round {r} (level {levels[r - 1]})" for r in last_rounds),
        *(f"{other}, round {ROUNDS}" for other in others),
    ]
    parts = [
        f"RMSE of the missing pixels after {ROUNDS} rounds: {first}.",
        f"On the scale [0, 1], over {answer['images']:,} test images. The naive fill is the mean "
        "colour of an image's known pixels, and what the rounds start from.",
        markdown.table(head, rows),
        "![error by round](inpainting.png)",
        *(f"![{name}]({_picture(name)})" for name in answer["masks"]),
    ]
    return "\n\n".join(parts)


def _against_naive(name, subject, numbers):
    end, naive = numbers["rmse"][subject][-1], numbers["naive"]
    order = "below" if end < naive else "not below"
    return f"{name} {end:.4f}, {order} the naive fill's {naive:.4f}"


def _picture(mask):
    return f"inpainting_{mask.replace(' ', '_')}.png"


def schedule(num_levels):
    """The level of each of the `ROUNDS`, the top one first."""
    return [num_levels - r * num_levels // ROUNDS for r in range(ROUNDS)]


def standard_masks(height, width):
    """Masks by name, bool [H, W], True where a pixel is missing.

    "centre" is half as high and wide as the image, in its middle.
    """
    rows, columns = np.mgrid[:height, :width]
    return {
        "centre": (abs(2 * rows + 1 - height) < height / 2)
        & (abs(2 * columns + 1 - width) < width / 2),
        "right half": columns >= width // 2,
        "lower half": rows >= height // 2,
    }


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
      coder: `models.coder.Coder`.
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
