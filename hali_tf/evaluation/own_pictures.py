"""A user's own pictures through a model: what each verb of `hali_tf.show` draws.

A function a verb, of a `models.coder.Coder`, images uint8 [N, H, W, C], their names and the verb's
flags; each returns what `save_strips` takes: uint8 [rows, columns, H, W, C], headings of the
columns, labels of the rows.
"""

import numpy as np
from tqdm import tqdm

from hali_tf.data import images as reading
from hali_tf.data.crops import celeba_face, central_square
from hali_tf.errors import BadImage, UsageError, UserError
from hali_tf.evaluation import innovation, inpainting, traversal
from hali_tf.measures import latents, spectra

_SAMPLES = 8  # a row, and rows
_STEPS = 8  # of an interpolation, both ends included
_COMPONENTS = 4  # shown where none is named


def read(paths, image_shape, data):
    """Pictures as the run's own images were read: see `hali_tf.data.images`.

    Args:
      paths: of image files.
      image_shape: (H, W, C) of the model; H = W.
      data: `--data` of the run. The aligned faces of CelebA are cut as in training; all else to
        its central square.

    Returns:
      uint8 [N, H, W, C].

    Raises:
      UserError: a file is missing or no image.
    """
    crop = _celeba_crop if data == "celeba" else central_square
    shape = (len(paths), *image_shape)
    return np.reshape([_read(path, *image_shape[1:], crop) for path in paths], shape)


def _celeba_crop(width, height):
    aligned = (width, height) == (178, 218)
    return (celeba_face if aligned else central_square)(width, height)


def _read(path, size, channels, crop):
    try:
        with open(path, "rb") as f:
            return reading.decode(f.read(), size, channels, crop)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); expected a picture") from error
    except BadImage as error:
        raise UserError(f"{path}: {error}; expected a picture, such as a JPEG or PNG") from error


def reconstruct(coder, images, names):
    """Each picture, and its reconstruction from every level."""
    levels = range(1, coder.num_levels + 1)
    rebuilt = [coder.reconstruct(images, level) for level in levels]
    columns = ["original", *(f"level {level}" for level in levels)]
    return np.stack([images, *rebuilt], axis=1), columns, names


def sample(coder, images, names, seed):
    """A square of samples."""
    del images, names
    seeds = np.random.default_rng(seed).integers(2**62, size=_SAMPLES**2)
    rows = coder.sample(seeds).reshape(_SAMPLES, _SAMPLES, *coder.image_shape)
    return rows, [""] * _SAMPLES, [""] * _SAMPLES


def interpolate(coder, images, names):
    """From each picture to the next, a row a level; the steps end at the reconstructions."""
    rows, labels, zs = [], [], coder.encode(images)
    for i in range(len(images) - 1):
        for level, z in enumerate(zs, start=1):
            steps = coder.decode(latents.path(z[i], z[i + 1], _STEPS), level)
            rows.append([images[i], *steps, images[i + 1]])
            labels.append(f"{names[i]}\nto {names[i + 1]}\nlevel {level}")
    columns = ["from", *(f"{100 * i / (_STEPS - 1):.0f} %" for i in range(_STEPS)), "to"]
    return np.array(rows), columns, labels


def inpaint(coder, images, names, mask):
    """The missing part predicted; `mask` is the path of one, or "" for the centre."""
    shape = coder.image_shape[:2]
    mask = (
        inpainting.read_mask(mask, shape) if mask else inpainting.standard_masks(*shape)["centre"]
    )
    rounds = inpainting.inpaint(coder, images, mask)
    return (*inpainting.strips(images, mask, rounds, coder.num_levels), names)


def traverse(coder, images, names, level, component):
    """Components of z_l multiplied; `level` 0 is the top, `component` -1 the strongest."""
    if not 0 <= level <= coder.num_levels:
        raise UsageError(f"--level={level}: expected 1 to {coder.num_levels}, or 0 for the top one")
    level = level or coder.num_levels
    z = coder.encode(images)[level - 1]
    components = _components(coder, z, level, component)
    rows, columns, labels = traversal.strips(coder, z, level, components)
    return rows, columns, [f"{n}\n{l}" for n, l in zip(names * len(components), labels)]


def innovate(coder, images, names, component):
    """Entries of the top latent multiplied, the change carried over to z_1."""
    if coder.num_levels < 2:
        raise UserError("innovate: the run has one level, it takes two; use traverse instead")
    zs = coder.encode(images)
    components = _components(coder, zs[-1], coder.num_levels, component)
    entries = {f"z_{coder.num_levels}[{k}]": k for k in components}
    rows, columns, labels = innovation.strips(coder, images, zs, entries)
    return rows, columns, [f"{n}\n{l}" for n, l in zip(np.repeat(names, len(entries)), labels)]


def _components(coder, z, level, component):
    """[component], or for -1 the components that change the images most."""
    count = z.shape[-1]
    if not -1 <= component < count:
        raise UsageError(
            f"--component={component}: z_{level} has components 0 to {count - 1}; -1 for those that "
            "change the pictures most"
        )
    if component >= 0:
        return [component]
    bar = tqdm(range(count), f"components of z_{level}", dynamic_ncols=True)
    return spectra.by_strength(traversal.effects(coder, z, level, bar))[:_COMPONENTS]
