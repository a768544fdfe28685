"""What classifies: the model's own label, or a linear classifier that is fitted at export."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from sklearn.linear_model import LogisticRegression

from hali_tf.config import Config
from hali_tf.data import Source, Split, learned_names
from hali_tf.errors import UserError
from hali_tf.layers.gaussian import Gaussian
from hali_tf.models.generative import Generative

_POOLED = 4  # feature maps are averaged down to 4x4
_LARGEST_FIT = 20000
_NEVER = -20.0  # logit of what no image shows


class Classifier(tf.Module):
    """Logistic regression on `features`.

    Args:
      names: of the K classes, or attributes; a class number is an index of it.
      multi_label: whether each has a probability of its own.
      weights: float32 [F, K].
      bias: float32 [K].
    """

    def __init__(self, names, multi_label, weights, bias):
        super().__init__()
        self.names = tuple(names)
        self._multi_label = multi_label
        self._weights = tf.Variable(weights, trainable=False, dtype=tf.float32)
        self._bias = tf.Variable(bias, trainable=False, dtype=tf.float32)

    def scores(self, gaussians: Sequence[Gaussian]) -> tf.Tensor:
        """Probabilities, float32 [B, K], from what `Generative.encode` gives."""
        logits = features(gaussians) @ self._weights + self._bias
        return tf.sigmoid(logits) if self._multi_label else tf.nn.softmax(logits)


class OwnLabel(tf.Module):
    """The label y of a semi-supervised model.

    Args:
      names: of the K classes.
    """

    def __init__(self, names):
        super().__init__()
        self.names = tuple(names)

    def scores(self, gaussians: Sequence[Gaussian]) -> tf.Tensor:
        """q(y | x), float32 [B, K], from what `Generative.encode` gives."""
        return gaussians[-1].probabilities  # type: ignore[attr-defined]


def features(gaussians: Sequence[Gaussian]) -> tf.Tensor:
    """The means of all levels, feature maps averaged to at most 4x4, as float32 [B, F]."""
    parts = []
    for q in gaussians:
        z = q.mean
        if len(z.shape) == 4:
            factor = max(1, z.shape[1] // _POOLED)
            z = tf.nn.avg_pool2d(z, factor, factor, "VALID")
        parts.append(tf.reshape(z, [tf.shape(z)[0], int(np.prod(z.shape[1:]))]))
    return tf.concat(parts, axis=1)


def of_run(
    config: Config, source: Source, generative: Generative
) -> tuple[Classifier | OwnLabel, dict[str, float]]:
    """What classifies for a run, and how well.

    Args:
      config: of the run.
      source: its data, with class numbers, or attributes, as labels.
      generative: `models.generative.Generative`.

    Returns:
      The model's own label if it learned one, or else what `fit` makes of the training images; and
      its `accuracy`, by the name of the split that it was measured on: the test images, or the
      validation images where those have no labels.

    Raises:
      UserError: the data cannot be read, or have no labels.
    """
    train = source.load("train")
    if train.labels is None:
        raise UserError(f"--data={config.data.name} has no labels")
    classifier: Classifier | OwnLabel
    if config.labels.per_class:
        classifier = OwnLabel(learned_names(source, config.labels.classes))
    else:
        classifier = fit(generative, source, train)
    for name in ("test", "validation"):
        split = source.load(name)
        if split.labels is not None:
            return classifier, {name: accuracy(generative, classifier, split)}
    return classifier, {}


def fit(
    generative: Generative, source: Source, split: Split, most: int = _LARGEST_FIT
) -> Classifier:
    """Fits the classifier to labelled images, chosen by a fixed draw.

    Args:
      generative: `models.generative.Generative`.
      source: `data.Source`, for the names of the classes.
      split: `data.Split` with labels.
      most: of its images that are used.

    Returns:
      `Classifier`.
    """
    assert split.labels is not None
    rows = split.draw(most)
    labels = split.labels[rows]
    x = _over(split.images, rows, lambda images: features(generative.encode(images)))
    mean, deviation = x.mean(axis=0), x.std(axis=0) + 1e-6
    classes = labels.shape[1] if source.multi_label else int(split.labels.max()) + 1
    names = source.class_names(classes)
    regress = _fit_attributes if source.multi_label else _fit_classes
    weights, bias = regress((x - mean) / deviation, labels, len(names))
    weights = weights / deviation[:, np.newaxis]
    return Classifier(names, source.multi_label, weights, bias - mean @ weights)


def accuracy(generative: Generative, classifier: Classifier | OwnLabel, split: Split) -> float:
    """Share of right decisions on a labelled split: of classes, or of attributes at one half."""
    rows = np.arange(len(split.images))
    scores = _over(split.images, rows, lambda images: classifier.scores(generative.encode(images)))
    assert split.labels is not None
    if split.labels.ndim == 2:
        return float(np.mean((scores > 0.5) == split.labels))
    return float(np.mean(scores.argmax(axis=1) == split.labels))


# The regularisation is strong, for there are about as many features as images in small sets.
def _regression():
    return LogisticRegression(C=0.01, max_iter=300, tol=1e-3)


def _fit_classes(x, labels, count):
    """Weights [F, K] and bias [K] of a softmax; a class without an image gets none of it."""
    weights, bias = np.zeros([x.shape[1], count]), np.full(count, _NEVER)
    if labels.min() == labels.max():
        bias[labels[0]] = -_NEVER
        return weights, bias
    fitted = _regression().fit(x, labels)
    coefficients, intercepts = fitted.coef_, fitted.intercept_
    if len(fitted.classes_) == 2:  # scikit-learn has one logit then, the second class's
        coefficients = np.concatenate([-coefficients, coefficients]) / 2
        intercepts = np.concatenate([-intercepts, intercepts]) / 2
    weights[:, fitted.classes_], bias[fitted.classes_] = coefficients.T, intercepts
    return weights, bias


def _fit_attributes(x, labels, count):
    """Weights [F, A] and bias [A] of a sigmoid an attribute; one that never varies stays so."""
    weights, bias = np.zeros([x.shape[1], count]), np.where(labels[0] > 0, -_NEVER, _NEVER)
    for column in np.flatnonzero(labels.min(axis=0) != labels.max(axis=0)):
        fitted = _regression().fit(x, labels[:, column])
        weights[:, column], bias[column] = fitted.coef_[0], fitted.intercept_[0]
    return weights, bias


def _over(images, rows, function):
    """`function` of batches of the images at `rows`, its results concatenated."""
    function = tf.function(function)
    return np.concatenate([function(images[rows[i : i + 128]]) for i in range(0, len(rows), 128)])
