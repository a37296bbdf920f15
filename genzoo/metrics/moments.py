"""Mean and covariance of features that come in batches, in float64 and constant memory."""

from typing import Any

import numpy as np

from genzoo.core.errors import InvalidInputError


class Moments:
    """The mean and covariance of rows seen so far; memory does not grow with their number.

    Example:

    >>> moments = genzoo.metrics.Moments()
    >>> for batch in np.array_split(np.arange(12.0).reshape(6, 2), 3):
    ...     moments.update(batch)
    >>> moments.count, moments.mean.tolist()
    (6, [5.0, 6.0])

    Reference: Chan, Golub and LeVeque, Algorithms for computing the sample variance, 1983.
    """

    def __init__(self):
        self.count = 0
        self.mean: np.ndarray | None = None
        self._scatter: np.ndarray | None = None

    def update(self, features: Any) -> None:
        """Add rows [n, d]."""
        features = np.asarray(features, np.float64)
        width = None if self.mean is None else len(self.mean)
        if features.ndim != 2 or (width is not None and features.shape[1] != width):
            raise InvalidInputError(
                f"Expected features [n, {'d' if width is None else width}]. "
                f"Received: shape {features.shape}"
            )
        if not len(features):
            return
        if not np.isfinite(features).all():
            raise InvalidInputError("Expected finite features. Received: NaN or infinity")
        n, mean = len(features), features.mean(axis=0)
        centered = features - mean
        scatter = centered.T @ centered
        if self.mean is None:
            self.count, self.mean, self._scatter = n, mean, scatter
            return
        total, shift = self.count + n, mean - self.mean
        self._scatter += scatter + np.outer(shift, shift) * (self.count * n / total)
        self.mean = self.mean + shift * (n / total)
        self.count = total

    @property
    def covariance(self) -> np.ndarray:
        """The unbiased covariance [d, d]."""
        if self.count < 2:
            raise InvalidInputError(
                f"Expected at least 2 rows of features. Received: {self.count} rows"
            )
        return self._scatter / (self.count - 1)
