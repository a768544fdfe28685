"""A user's own pictures through a model: what each verb of `hali_tf.show` draws.

Each verb is a function of the model's encoder and decoder, the images, uint8 [N, H, W, C], their
names, and the flags of the verb.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hali_tf.drawing.strips import Strips
from hali_tf.errors import UsageError, UserError
from hali_tf.evaluation import innovation, inpainting, traversal
from hali_tf.evaluation.masks import read_mask, standard_masks
from hali_tf.measures import latents, spectra
from hali_tf.models.coder import Coder, sample_seeds
from hali_tf.progress import progress_bar

_SAMPLES = 8  # in a row; as many rows
_STEPS, _FRAMES = 8, 24  # of an interpolation, in a picture and in a film, both ends included
_COMPONENTS = 4  # shown where none is named


def reconstruct(coder: Coder, images: np.ndarray, names: Sequence[str]) -> Strips:
    """Each picture, and its reconstruction from every level."""
    levels = range(1, coder.num_levels + 1)
    rebuilt = [coder.reconstruct(images, level) for level in levels]
    columns = ["original", *(f"level {level}" for level in levels)]
    return Strips(np.stack([images, *rebuilt], axis=1), columns, names)


def sample(coder: Coder, images: np.ndarray, names: Sequence[str], seed: int) -> Strips:
    """A square of samples; there are no pictures."""
    seeds = sample_seeds(seed, _SAMPLES**2)
    rows = coder.sample(seeds).reshape(_SAMPLES, _SAMPLES, *coder.image_shape)
    return Strips(rows, [""] * _SAMPLES, [""] * _SAMPLES)


def interpolate(coder: Coder, images: np.ndarray, names: Sequence[str]) -> Strips:
    """From each picture to the next, one row per level; the path ends at the reconstructions."""
    rows, labels, zs = [], [], coder.encode(images)
    for i in range(len(images) - 1):
        for level, z in enumerate(zs, start=1):
            steps = coder.decode(latents.path(z[i], z[i + 1], _STEPS), level)
            rows.append([images[i], *steps, images[i + 1]])
            labels.append(f"{names[i]}\nto {names[i + 1]}\nlevel {level}")
    columns = ["from", *(f"{100 * i / (_STEPS - 1):.0f} %" for i in range(_STEPS)), "to"]
    return Strips(np.array(rows), columns, labels)


def interpolate_film(coder: Coder, images: np.ndarray, names: Sequence[str]) -> list[Strips]:
    """The same as a film: one row per pair of pictures, one column per level, moving at once."""
    zs, pairs = coder.encode(images), range(len(images) - 1)
    ways = np.array(
        [
            [coder.decode(latents.path(z[i], z[i + 1], _FRAMES), level) for i in pairs]
            for level, z in enumerate(zs, start=1)
        ]
    )  # [level, pair, frame, H, W, C]
    columns = ["from", *(f"level {level}" for level in range(1, len(zs) + 1)), "to"]
    labels = [f"{names[i]}\nto {names[i + 1]}" for i in pairs]
    ends = images[:-1], images[1:]
    return [
        Strips(np.stack([ends[0], *moved, ends[1]], axis=1), columns, labels)
        for moved in np.moveaxis(ways, 2, 0)
    ]


def inpaint(coder: Coder, images: np.ndarray, names: Sequence[str], mask: str) -> Strips:
    """The missing part predicted; `mask` is the path of one, or "" for the centre."""
    shape = coder.image_shape[:2]
    missing = read_mask(mask, shape) if mask else standard_masks(*shape)["centre"]
    levels = inpainting.schedule(coder.num_levels)
    rounds = inpainting.inpaint(coder, images, missing, levels)
    return inpainting.strips(images, missing, rounds, levels)._replace(labels=names)


def traverse(
    coder: Coder, images: np.ndarray, names: Sequence[str], level: int, component: int
) -> Strips:
    """Components of z_l multiplied; `level` 0 is the top, `component` -1 the strongest."""
    if not 0 <= level <= coder.num_levels:
        raise UsageError(f"--level={level}: expected 1 to {coder.num_levels}, or 0 for the top one")
    level = level or coder.num_levels
    z = coder.encode(images)[level - 1]
    components = _components(coder, z, level, component)
    strips = traversal.strips(coder, z, level, components)
    return _named(strips, list(names) * len(components))


def innovate(coder: Coder, images: np.ndarray, names: Sequence[str], component: int) -> Strips:
    """Entries of the top latent multiplied, and the change applied to z_1."""
    if coder.num_levels < 2:
        raise UserError("innovate: the run has one level, it takes two; use traverse instead")
    zs = coder.encode(images)
    components = _components(coder, zs[-1], coder.num_levels, component)
    by_entry = np.eye(zs[-1].shape[-1], dtype=np.float32)
    vectors = {f"z_{coder.num_levels}[{k}]": by_entry[k] for k in components}
    strips = innovation.strips(coder, images, zs, vectors)
    return _named(strips, [name for name in names for _ in vectors])


def _named(strips, names):
    """Strips with the name of a picture before each label."""
    pairs = zip(names, strips.labels)
    return strips._replace(labels=[f"{name}\n{label}" for name, label in pairs])


def _components(coder, z, level, component):
    """[component], or for -1 the components that change the images most."""
    count = z.shape[-1]
    if not -1 <= component < count:
        raise UsageError(
            f"--component={component}: z_{level} has components 0 to {count - 1}; -1 for those "
            "that change the pictures most"
        )
    if component >= 0:
        return [component]
    components = progress_bar(range(count), f"components of z_{level}")
    return spectra.by_strength(traversal.effects(coder, z, level, components))[:_COMPONENTS]
