"""Simple classifiers on fixed features: linear SVMs and nearest neighbours.

Labels are integers [N, A]: class numbers in one column, or 0 and 1 for A attributes, each of which
is learned independently. Features are standardised by the training examples. Equal arrays give
equal decisions.
"""

from __future__ import annotations

import numpy as np
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils.parallel import Parallel, delayed

from hali_tf.measures import scores

REGULARISATIONS = tuple(10.0**e for e in range(-7, 4))  # C of the SVMs, the strongest first
_FIRST = REGULARISATIONS.index(1e-3)
NEIGHBOURS = 20
_HELD_OUT = 5  # one in so many examples chooses C


def svm(features: np.ndarray, labels: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, float]:
    """Decides by linear SVMs: L2 regularisation, squared hinge, balanced class weights.

    C is chosen on examples held out from those given, by the mean balanced accuracy over the
    columns: one C for all, since a rare attribute leaves too few examples to choose by. The search
    starts at 1e-3 and increases C until the accuracy falls, since large values take longest to fit;
    if no larger C is better, it decreases C in the same way. Finally the SVMs are fitted to all
    examples.

    Args:
      features: float32 [N, F].
      labels: [N, A].
      others: float32 [M, F], the examples to decide on.

    Returns:
      (decisions [M, A], C). C is of `REGULARISATIONS`, and the first or the last of them if the
      accuracy still rises there.
    """
    held_out = np.arange(len(labels)) % _HELD_OUT == 0
    x, x_held_out = _standardised(features[~held_out], features[held_out])

    def accuracy(c):
        decisions = _fit_and_decide(x, labels[~held_out], x_held_out, c)
        return np.mean(scores.balanced_accuracy(labels[held_out], decisions))

    chosen = _climb(accuracy)
    x, x_others = _standardised(features, others)
    return _fit_and_decide(x, labels, x_others, chosen), chosen


def _climb(accuracy):
    """The C of the best accuracy, from the first upwards, else downwards."""
    chosen = REGULARISATIONS[_FIRST]
    best = accuracy(chosen)
    for candidates in (REGULARISATIONS[_FIRST + 1 :], REGULARISATIONS[:_FIRST][::-1]):
        for c in candidates:
            found = accuracy(c)
            if found < best:
                break
            if found > best:
                best, chosen = found, c
        if chosen != REGULARISATIONS[_FIRST]:
            break
    return chosen


def _fit_and_decide(x, labels, others, c):
    """One thread per column: liblinear releases the interpreter lock."""

    def column(y):
        if len(np.unique(y)) == 1:  # an attribute that all or none have
            return np.full(len(others), y[0])
        # liblinear regularises the intercept too, which would bias the boundary of a rare
        # attribute; scaling the intercept makes that small. On faces, this tolerance gave the
        # accuracies of the default in half the time.
        machine = LinearSVC(
            C=c,
            class_weight="balanced",
            dual="auto",
            intercept_scaling=10,
            tol=1e-2,
            random_state=0,
        )
        return machine.fit(x, y).predict(others)

    return np.stack(Parallel(-1, prefer="threads")(delayed(column)(y) for y in labels.T), axis=1)


def nearest(features: np.ndarray, labels: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Decides by the nearest neighbours, in Euclidean distance.

    In each column the decision is the value whose share among the neighbours exceeds its share
    among all examples by the largest factor: a plain vote would hardly ever find a rare attribute.

    Args:
      features: as of `svm`.
      labels: as of `svm`.
      others: as of `svm`.

    Returns:
      Decisions [M, A].
    """
    x, x_others = _standardised(features, others)
    found = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(x)), algorithm="brute").fit(x)
    neighbours = found.kneighbors(x_others, return_distance=False)

    def column(y):
        values, counts = np.unique(y, return_counts=True)
        votes = [np.mean(y[neighbours] == v, axis=1) / n for v, n in zip(values, counts)]
        return values[np.argmax(votes, axis=0)]

    return np.stack([column(y) for y in labels.T], axis=1)


def reduced(features: np.ndarray, others: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The first principal components of standardised features.

    Args:
      features: float32 [N, F], which the components are of.
      others: float32 [M, F].
      size: how many, K; fewer where N or F is smaller.

    Returns:
      The components of `features`, [N, K], and of `others`, [M, K].
    """
    x, x_others = _standardised(features, others)
    components = PCA(min(size, *features.shape), random_state=0).fit(x)
    return components.transform(x), components.transform(x_others)


def _standardised(features, others):
    scaler = StandardScaler().fit(features)
    return scaler.transform(features), scaler.transform(others)
