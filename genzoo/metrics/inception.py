"""The Inception score."""

from typing import Any

import numpy as np
from scipy.special import entr

from genzoo.core import checks
from genzoo.core.errors import InvalidInputError


class InceptionScore:
    """The Inception score of images whose class probabilities come in batches.

    exp(E KL(p(y | x) || p(y))): from 1 to the number of classes; high where each image is surely of
    one class and all classes are drawn. It sees nothing of the real data, nor of variety inside
    a class, and few images make it too low, most so with many classes: compare equal numbers of
    images. Memory does not grow with these.

    Example:

    >>> score = genzoo.metrics.InceptionScore()
    >>> score.update(np.eye(4))
    >>> round(score.result(), 6)
    4.0

    Reference: Salimans et al., Improved techniques for training GANs, 2016.
    """

    def __init__(self):
        self.count = 0
        self._total: np.ndarray | float = 0.0
        self._entropy = 0.0

    def update(self, probabilities: Any) -> None:
        """Add the class probabilities of images, [n, classes], rows of sum 1."""
        rows = np.asarray(probabilities, np.float64)
        sound = rows.ndim == 2 and np.isfinite(rows).all() and (rows >= 0).all()
        if not sound or not np.allclose(rows.sum(axis=1), 1.0, atol=1e-3):
            raise InvalidInputError(
                f"Expected probabilities [n, classes], rows of sum 1. Received: shape {rows.shape}"
            )
        self.count += len(rows)
        self._total = self._total + rows.sum(axis=0)
        self._entropy += float(entr(rows).sum())

    def result(self) -> float:
        """Return the score of all images so far."""
        if not self.count:
            raise InvalidInputError("Expected an image at least. Received: none")
        marginal = self._total / self.count
        return float(np.exp(entr(marginal).sum() - self._entropy / self.count))


def inception_score(probabilities: Any, *, num_splits: int = 1) -> tuple[float, float]:
    """Return the mean and standard deviation over splits of the Inception score.

    Args:
        probabilities: Of the classes of each image, [n, classes].
        num_splits: Parts of the images; published scores have 10 of 5,000 each.

    Example:

    >>> mean, spread = genzoo.metrics.inception_score(np.full((6, 3), 1 / 3), num_splits=2)
    >>> round(mean, 6), spread
    (1.0, 0.0)
    """
    checks.check_int(num_splits, "num_splits")
    probabilities = np.asarray(probabilities)
    if probabilities.ndim and 0 < len(probabilities) < num_splits:
        raise InvalidInputError(
            "Expected an image at least in each split. "
            f"Received: num_splits={num_splits}, {len(probabilities)} images"
        )
    scores = []
    for part in np.array_split(probabilities, num_splits):
        score = InceptionScore()
        score.update(part)
        scores.append(score.result())
    return float(np.mean(scores)), float(np.std(scores))
