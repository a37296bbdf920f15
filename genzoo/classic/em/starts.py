"""Where EM begins: clusters of some of the rows."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from genzoo.core.errors import InvalidInputError

STARTS = ("kmeans", "k-means++", "random", "random_from_data")
_TINY = 10 * np.finfo(np.float64).eps


class RowSample:
    """Up to `limit` rows drawn evenly from a stream of any length.

    Args:
        limit: Rows to keep.
        width: Values in a row.
        seed: Of the draw.
    """

    def __init__(self, limit: int, width: int, seed: int):
        self._random = np.random.default_rng(seed)
        self._limit = limit
        self._rows, self._beside = np.empty((0, width)), np.empty(0)
        self._keys = np.empty(0)

    def offer(
        self, count: int, take: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
    ) -> None:
        """Draw from so many further rows.

        Args:
            count: Number of rows.
            take: Returns rows [n, width] by their numbers [n], and a number beside each [n].
        """
        keys = self._random.random(count)
        chosen = np.arange(count)
        if len(self._keys) == self._limit:
            chosen = np.flatnonzero(keys < self._keys.max())
        elif count > self._limit:
            chosen = np.sort(np.argpartition(keys, self._limit)[: self._limit])
        if not len(chosen):
            return
        rows, beside = take(chosen)
        self._rows = np.concatenate([self._rows, rows])
        self._beside = np.append(self._beside, beside)
        self._keys = np.append(self._keys, keys[chosen])
        if len(self._keys) > self._limit:
            kept = np.sort(np.argpartition(self._keys, self._limit)[: self._limit])
            self._rows, self._beside = self._rows[kept], self._beside[kept]
            self._keys = self._keys[kept]

    def rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows in the order of the stream, and the numbers beside them."""
        return self._rows, self._beside


def start_responsibilities(
    rows: np.ndarray, weights: np.ndarray, k: int, method: str, seed: int
) -> np.ndarray:
    """Return how much of each row each of k components begins with, [n, k].

    Args:
        rows: [n, D], complete.
        weights: [n].
        k: Number of components.
        method: `"kmeans"`, clusters of k-means; `"k-means++"` or `"random_from_data"`, the rows
            nearest to each of k rows so drawn; `"random"`, random shares.
        seed: Of the draw.
    """
    from sklearn.cluster import kmeans_plusplus
    from sklearn.metrics import pairwise_distances_argmin

    random = np.random.RandomState(seed % 2**32)
    if method == "random":
        shares = random.uniform(size=(len(rows), k))
        return shares / shares.sum(axis=1, keepdims=True)
    if method == "kmeans":
        labels, _ = kmeans(rows, k, random, weights)
    elif method == "k-means++":
        centers, _ = kmeans_plusplus(rows, k, sample_weight=weights, random_state=random)
        labels = pairwise_distances_argmin(rows, centers)
    else:
        chosen = random.choice(len(rows), k, replace=False, p=weights / weights.sum())
        labels = pairwise_distances_argmin(rows, rows[chosen])
    return np.eye(k)[labels]


def kmeans(
    rows: np.ndarray, k: int, random: Any, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels [n] and the centers [k, D] of k-means clusters.

    Args:
        rows: [n, D], complete.
        k: Number of clusters.
        random: scikit-learn's `random_state`.
        weights: [n]; `None` for ones.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        # fewer distinct rows than clusters
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = KMeans(k, n_init=1, random_state=random).fit(rows, sample_weight=weights)
    return fitted.labels_, fitted.cluster_centers_


def moments_of_parts(
    rows: np.ndarray, responsibility: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the counts [k], means [k, D] and sums of squares about them [k, D, D] of parts.

    Args:
        rows: [n, D].
        responsibility: Weighted shares [n, k].
    """
    # as in scikit-learn, an empty part gets no more than a rounding error of weight
    counts = responsibility.sum(axis=0) + _TINY
    means = responsibility.T @ rows / counts[:, None]
    scatter = np.empty((len(counts), rows.shape[1], rows.shape[1]))
    for i, mean in enumerate(means):
        difference = rows - mean
        scatter[i] = (responsibility[:, i, None] * difference).T @ difference
    return counts, means, scatter


def fill_missing(rows: np.ndarray) -> np.ndarray:
    """Return rows with each missing value at the mean of its column.

    Raises:
        InvalidInputError: For a column without any value.
    """
    missing = np.isnan(rows)
    seen = (~missing).sum(axis=0)
    if not seen.all():
        raise InvalidInputError(
            "Expected some values in every column. Received: x with NaN alone in column "
            f"{int(np.argmin(seen))}. Leave the column out."
        )
    means = np.nansum(rows, axis=0) / seen
    return np.where(missing, means, rows)
