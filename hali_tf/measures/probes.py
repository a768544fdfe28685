"""Simple classifiers on fixed features: linear SVMs and nearest neighbours.

Labels are integers [N, A]: class numbers in one column, or 0 and 1 for A attributes, each of which
is learned by itself. Features are standardised by the examples that are learned from. The same
arrays give the same decisions.
"""

import numpy as np
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils.parallel import Parallel, delayed

from hali_tf.measures import scores

REGULARISATIONS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)  # C of the SVMs, from the strongest on
NEIGHBOURS = 20
_HELD_OUT = 5  # one example of five chooses C


def svm(features, labels, others):
    """Decides by linear SVMs: L2 regularisation, squared hinge, balanced class weights.

    C is chosen on examples held out from those given, by the mean balanced accuracy over the
    columns: one C for all, since an attribute that few have leaves too few examples to choose by.
    It is weakened as long as the accuracy does not fall, for the weakest take the longest. The
    SVMs are then fitted to all that is given.

    Args:
      features: float32 [N, F].
      labels: [N, A].
      others: float32 [M, F], of what is to be decided on.

    Returns:
      (decisions [M, A], C).
    """
    held_out = np.arange(len(labels)) % _HELD_OUT == 0
    x, x_held_out = _standardised(features[~held_out], features[held_out])

    best, chosen = 0.0, REGULARISATIONS[0]
    for c in REGULARISATIONS:
        decisions = _fit_and_decide(x, labels[~held_out], x_held_out, c)
        found = np.mean(scores.balanced_accuracy(labels[held_out], decisions))
        if found < best:
            break
        if found > best:
            best, chosen = found, c
    x, x_others = _standardised(features, others)
    return _fit_and_decide(x, labels, x_others, chosen), chosen


def _fit_and_decide(x, labels, others, c):
    """A column a thread: liblinear runs outside of the interpreter's lock."""

    def column(y):
        if len(np.unique(y)) == 1:  # an attribute that all or none have
            return np.full(len(others), y[0])
        # liblinear regularises the intercept too, which would pull the boundary of a rare attribute
        # away from the middle; scaled, it is cheap. Its tolerance shrinks with the rarer class, and
        # on faces this one gave the default's accuracies in half the time.
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


def nearest(features, labels, others):
    """Decides by the 20 nearest neighbours, in Euclidean distance.

    Of the values of a column the one is taken whose share among the neighbours exceeds its share
    among all examples by the largest factor: by a plain vote, few would have a rare attribute.

    Args, returns: as `svm`, without C.
    """
    x, x_others = _standardised(features, others)
    found = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(x)), algorithm="brute").fit(x)
    neighbours = found.kneighbors(x_others, return_distance=False)

    def column(y):
        values, counts = np.unique(y, return_counts=True)
        votes = [np.mean(y[neighbours] == v, axis=1) / n for v, n in zip(values, counts)]
        return values[np.argmax(votes, axis=0)]

    return np.stack([column(y) for y in labels.T], axis=1)


def _standardised(features, others):
    scaler = StandardScaler().fit(features)
    return scaler.transform(features), scaler.transform(others)
