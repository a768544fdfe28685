"""How often a change of z_L along an axis changes a classifier's decisions (paper, section 6.3).

The paper changes single entries, which are the axes of the coordinates. But the prior of z_L is the
same in all directions, and nothing in the game makes an attribute belong to one entry. Therefore
the axis from the mean z_L of images without an attribute to that of images with it is measured as
well. Random axes say what any change of this size does: each is the difference of two means of z_L
with random weights, so that they lean to entries of large variance as much as attributes' axes do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from hali_tf.measures import intervals
from hali_tf.measures.latents import innovated, scale_along
from hali_tf.models.coder import Coder
from hali_tf.progress import progress_bar

FLIP = -3.0  # multiplies the component along an axis: the other sign, and far out
OF_ENTRIES = ("changed", "changed_by_other_entries", "others_changed")
OF_AXES = (
    "changed_along_axis",
    "changed_along_other_axes",
    "others_changed_along_axis",
    "changed_along_random_axes",
)
MEASURES = (*OF_ENTRIES, *OF_AXES, "difference")
RANDOM = 20  # axes


def measure(
    coder: Coder,
    zs: Sequence[np.ndarray],
    towards: np.ndarray,
    entries: Sequence[int],
    deciders: Sequence[Callable[[np.ndarray], np.ndarray]],
    seed: int = 0,
) -> list[list[dict]]:
    """The shares of images for which the decision on an attribute changes, and how many others do.

    Args:
      coder: of two levels or more.
      zs: of the encoded images, float32 [N, *latent] for each level.
      towards: [A, d], the mean z_L of images with an attribute less that of images without it; each
        row may be multiplied by a number above 0.
      entries: of each attribute, 0 to d - 1.
      deciders: of each classifier, uint8 images [N, H, W, C] to decisions uint8 [N, A]. All of them
        see the same images, which take the time.
      seed: of the random axes.

    Returns:
      Of each classifier, for each attribute, and last for their mean, a dict of `MEASURES` and of
      their "intervals". Those of other entries or axes, and the "difference" of the first two
      measures, are None where there are no others. The share of images that change is 0 where none
      can.
    """
    different, own = np.unique(entries, return_inverse=True)
    weights = np.random.default_rng(seed).standard_normal((RANDOM, len(zs[-1])))
    random = weights @ (zs[-1] - zs[-1].mean(axis=0))
    kinds = [np.eye(towards.shape[1])[different], unit(towards), unit(random)]
    vectors = np.concatenate(kinds).astype(np.float32)
    ends = np.cumsum([len(kind) for kind in kinds])[:-1]

    def decide(images):
        return np.stack([of_one(images) for of_one in deciders], axis=-1)

    before, after = changes(coder, zs, progress_bar(vectors, "innovate"), decide)
    return [
        _measured(_observed(zs, vectors, towards, before[..., k], after[..., k]), ends, own)
        for k in range(len(deciders))
    ]


def _measured(values, ends, own):
    """As `measure`, of one classifier, from its values of `_observed`; the others as `_shares`."""

    def shares(means):
        return _shares(means, ends, own)

    value, interval = shares(values.mean(axis=0)), intervals.bootstrap(values, shares)
    measured = [
        {
            **dict(zip(MEASURES, value[:, i].tolist())),
            "intervals": dict(zip(MEASURES, interval[:, :, i].T.tolist())),
        }
        for i in range(value.shape[-1])
    ]
    for row in measured:
        if ends[0] == 1:  # one entry
            row["changed_by_other_entries"] = row["difference"] = None
        if len(measured) == 2:  # one attribute and the mean
            row["changed_along_other_axes"] = None
    return measured


def _observed(zs, vectors, towards, before, after):
    """Of each image, axis and attribute whether the decision could change, did, changed at all.

    The first two in the direction of the axis; bool [N, 3, E, A].
    """
    signs = np.sign(vectors @ towards.T)
    directed = in_direction(before, after, zs[-1] @ vectors.T, signs)
    any_change = (after != before[:, np.newaxis])[:, np.newaxis]
    return np.concatenate([directed, any_change], axis=1)


def _shares(means, ends, own):
    """`MEASURES` of each attribute, and of their mean, last: [..., M, A + 1].

    Args:
      means: of `_observed`, [..., 3, E, A].
      ends: where the axes of attributes begin after those of entries, and where random ones begin.
      own: [A], which of the entries is that of each attribute.
    """
    possible, found, changed = np.moveaxis(means, -3, 0)
    share = np.divide(found, possible, out=np.zeros_like(found), where=possible > 0)
    of_entries, of_axes, of_random = np.split(share, ends, axis=-2)
    by_entries, by_axes, _ = np.split(changed, ends, axis=-2)
    by_own, by_others, with_it = _own_and_others(of_entries, by_entries, own)
    along_axes = _own_and_others(of_axes, by_axes, np.arange(len(own)))
    along_random = of_random.mean(axis=-2)
    shares = np.stack(
        [by_own, by_others, with_it, *along_axes, along_random, by_own - by_others], axis=-2
    )
    return np.concatenate([shares, shares.mean(axis=-1, keepdims=True)], axis=-1)


def _own_and_others(share, changed, own):
    """Along an attribute's own axis, along the others, and how many other decisions change.

    Args:
      share: [..., E, A], of changed decisions on each attribute along each axis.
      changed: the same, of all images and in either direction.
      own: [A], the axis of each attribute.
    """
    attribute = np.arange(len(own))
    is_own = np.zeros(share.shape[-2:], bool)
    is_own[own, attribute] = True
    others = np.sum(share, axis=-2, where=~is_own) / max(share.shape[-2] - 1, 1)
    with_it = changed.sum(axis=-1)[..., own] - changed[..., own, attribute]
    return share[..., own, attribute], others, with_it


def unit(vectors: np.ndarray) -> np.ndarray:
    """Each row of vectors [E, d] divided by its length; 0 stays 0."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)


def innovate(coder: Coder, zs: Sequence[np.ndarray], changed: np.ndarray) -> np.ndarray:
    """Images with the innovation of a change of z_L, uint8 [N, H, W, C].

    Args:
      coder: of two levels or more.
      zs: of the encoded images, float32 [N, *latent] for each level.
      changed: z_L, changed, float32 [N, d].
    """
    return coder.decode(innovated(coder, zs[0], zs[-1], changed), 1)


def changes(
    coder: Coder,
    zs: Sequence[np.ndarray],
    axes: Iterable[np.ndarray],
    decide: Callable[[np.ndarray], np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """The classifier's decisions before and after the change along each axis.

    Args:
      coder: of two levels or more.
      zs: of the encoded images, float32 [N, *latent] for each level.
      axes: E unit vectors, float32 [d].
      decide: uint8 images [N, H, W, C] to decisions uint8 [N, ...].

    Returns:
      uint8 [N, ...] and [N, E, ...].
    """
    after = [decide(innovate(coder, zs, scale_along(zs[-1], axis, FLIP))) for axis in axes]
    return decide(coder.decode(zs[0], 1)), np.stack(after, axis=1)


def in_direction(
    before: np.ndarray, after: np.ndarray, z: np.ndarray, signs: np.ndarray
) -> np.ndarray:
    """Which decisions could change in the direction of an axis, and which did.

    Args:
      before: uint8 [N, A], decisions.
      after: uint8 [N, E, A], after the component along each axis was multiplied by `FLIP`.
      z: float32 [N, E], the components.
      signs: [E, A], of the correlation of component and attribute.

    Returns:
      bool [N, 2, E, A].
    """
    target = (FLIP - 1) * z[:, :, np.newaxis] * signs > 0  # whether the attribute is to be there
    could = target != before[:, np.newaxis]
    return np.stack([could, could & (after == target)], axis=1)
