"""Labels that spread from few images to all others over their nearest neighbours."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from hali_tf.progress import progress_bar

_COMPONENTS = 50
_NEIGHBOURS = 10
_ALPHA = 0.99  # how much an image takes from its neighbours in a round, as in Zhou et al.
_ROUNDS = 300
_AT_A_TIME = 1000  # images whose neighbours are looked for


def spread_labels(
    points: np.ndarray, labelled: np.ndarray, labels: np.ndarray, classes: int
) -> np.ndarray:
    """The class of each image by label spreading (Zhou et al., NIPS 2004).

    Neighbours are near in the first principal components of the points; the weight of a pair falls
    with its distance, relative to how far the neighbours of both are (Zelnik-Manor and Perona,
    NIPS 2004). Each class is given the same mass (Zhu et al., ICML 2003).

    Args:
      points: [N, ...], the images, or features of them.
      labelled: int64 [M], positions of the images with a label.
      labels: int64 [M], their labels, 0..K-1, some of each class.
      classes: K.

    Returns:
      int64 [N]; -1 where no label comes to.
    """
    pairs = _weights(points)
    degrees = np.asarray(pairs.sum(axis=1)).ravel()
    scale = 1 / np.sqrt(np.maximum(degrees, np.finfo(np.float32).tiny))  # 0 is of one far from all
    step = pairs.multiply(scale[:, None]).multiply(scale).tocsr()
    given = np.zeros([len(points), classes], np.float32)
    given[labelled, labels] = 1
    mass = given
    for _ in range(_ROUNDS):
        mass = _ALPHA * (step @ mass) + (1 - _ALPHA) * given
    mass = mass / mass.sum(axis=0)
    return np.where(mass.max(axis=1) > 0, mass.argmax(axis=1), -1)


def _weights(points):
    """The weights of pairs of neighbours, a symmetric sparse float32 [N, N]."""
    count = len(points)
    entries = points.reshape(count, -1).astype(np.float32)
    components = min(_COMPONENTS, *entries.shape)
    codes = PCA(components, svd_solver="randomized", random_state=0).fit_transform(entries)
    near = min(_NEIGHBOURS + 1, count)  # the image itself is one of them
    search = NearestNeighbors(n_neighbors=near, algorithm="brute").fit(codes)
    begins = range(0, count, _AT_A_TIME)
    found = [
        search.kneighbors(codes[begin : begin + _AT_A_TIME])
        for begin in progress_bar(begins, "neighbours of images", unit_scale=_AT_A_TIME)
    ]
    distances, neighbours = (np.concatenate(parts) for parts in zip(*found))
    farthest = np.maximum(distances[:, -1], 1e-6)  # 0 is of one with many copies
    weights = np.exp(-np.square(distances) / (farthest[:, None] * farthest[neighbours]))
    rows = np.repeat(np.arange(count), near)
    cells = (weights.ravel().astype(np.float32), (rows, neighbours.ravel()))
    pairs = sparse.csr_array(cells, shape=(count, count))
    pairs.setdiag(0)
    return pairs.maximum(pairs.T)
