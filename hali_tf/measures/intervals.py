"""How far a number would be off with other images: intervals at 95 %."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.stats import norm, t
from sklearn.utils import gen_batches

_PERCENTILES = (2.5, 97.5)
_RESAMPLES = 1000
_AT_A_TIME = 100  # resamples


def bootstrap(
    values: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray] = np.asarray, seed: int = 0
) -> np.ndarray:
    """Percentile bootstrap over images (Efron, 1979) of anything that is a function of means.

    Images are drawn with replacement, each with all of its numbers: where these are of several
    models, the interval of a difference is the paired one. The percentiles lie further out than
    2.5 and 97.5, as Student's t and the variance of resamples ask of few images (Hesterberg, 2015,
    section 5.2, arXiv 1411.5279): of 16 images 1.4 and 98.6. Of fewer than six images even the
    widest interval of resamples is too narrow.

    Args:
      values: [N, *numbers] of each image.
      statistic: from means float64 [R, *numbers] to [R, *results]; by default the means themselves.
      seed: of the draws.

    Returns:
      float64 [2, *results]: the lower and the upper ends; NaN for a single image. Resamples for
      which a result is NaN are left out of its ends.
    """
    count = len(values)
    flat = np.reshape(values, [count, -1]).astype(np.float64)
    rng = np.random.default_rng(seed)
    results = []
    for part in gen_batches(_RESAMPLES, _AT_A_TIME):
        drawn = rng.integers(0, count, [part.stop - part.start, count])
        times = np.stack([np.bincount(images, minlength=count) for images in drawn])
        means = times.astype(np.float64) @ flat / count
        results.append(statistic(means.reshape(-1, *np.shape(values)[1:])))
    all_results = np.concatenate(results)
    if count == 1:
        return np.full([2, *all_results.shape[1:]], np.nan)
    reach = t.ppf(_PERCENTILES[1] / 100, count - 1) * np.sqrt(count / (count - 1))
    undefined = np.isnan(all_results).all(axis=0)
    known = np.where(undefined, 0.0, all_results)
    ends = np.nanpercentile(known, 100 * norm.cdf([-reach, reach]), axis=0)
    return np.where(undefined, np.nan, ends)


def of_mean(values: Sequence[float]) -> list[float] | None:
    """Student's t interval of the mean of a few values; None of a single one."""
    if len(values) < 2:
        return None
    reach = t.ppf(_PERCENTILES[1] / 100, len(values) - 1) * np.std(values, ddof=1)
    return [float(np.mean(values) + sign * reach / np.sqrt(len(values))) for sign in (-1, 1)]


def left_out(statistic: Callable[..., float], *sets: np.ndarray, groups: int = 20) -> np.ndarray:
    """A statistic without each group of images in turn, left out of all sets at once.

    For statistics of whole sets, such as a distance of two: a bootstrap's repeated images would
    count as images that are alike.

    Args:
      statistic: of the sets.
      *sets: [N, ...] each, in random order.
      groups: how many; fewer where N is smaller.

    Returns:
      float64 [groups], for `jackknife`.
    """
    groups = min(groups, *map(len, sets))
    return np.array(
        [
            statistic(*(x[np.arange(len(x)) % groups != group] for x in sets))
            for group in range(groups)
        ]
    )


def jackknife(value: float, without: np.ndarray) -> list[float]:
    """Interval of a statistic by its values without each group of images (Tukey, 1958).

    Args:
      value: of all images.
      without: [G], of `left_out`; of a difference, the difference of these.
    """
    groups = len(without)
    deviation = np.sqrt((groups - 1) * np.var(without))
    reach = t.ppf(_PERCENTILES[1] / 100, groups - 1) * deviation
    return [float(value - reach), float(value + reach)]


def by_halves(share: float, halves: np.ndarray) -> list[float]:
    """Interval of a share of two sets by what it is in halves of both.

    For shares within the manifold of a set, which its nearest neighbours make: the jackknife is 1.5
    to 2 times too wide for them, and a bootstrap's repeated images would have balls too small.
    Halves are sets like the whole, of twice its variance.

    Args:
      share: of the whole sets, 0 to 1.
      halves: float64 [divisions, 2], of `distributions.share_inside`.
    """
    deviation = np.sqrt(np.mean(np.diff(halves) ** 2) / 4)  # a difference: four times its variance
    reach = t.ppf(_PERCENTILES[1] / 100, len(halves)) * deviation
    return [float(np.clip(share + sign * reach, 0, 1)) for sign in (-1, 1)]


def verdict(interval: Sequence[float]) -> str:
    """What an interval says of the claim that the number is above 0."""
    low, high = interval
    return "holds" if low > 0 else "does not hold" if high < 0 else "undecided"
