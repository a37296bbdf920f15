"""Where EM begins: clusters of some of the rows."""

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
        self._rows, self._weights = np.empty((0, width)), np.empty(0)
        self._keys = np.empty(0)

    def add(self, rows: np.ndarray, weights: np.ndarray) -> None:
        """See rows [n, width] with their weights [n]."""
        keys = self._random.random(len(rows))
        if len(self._keys) == self._limit:
            entering = keys < self._keys.max()
            rows, weights, keys = rows[entering], weights[entering], keys[entering]
        if not len(keys):
            return
        self._rows = np.concatenate([self._rows, rows])
        self._weights = np.append(self._weights, weights)
        self._keys = np.append(self._keys, keys)
        if len(self._keys) > self._limit:
            chosen = np.sort(np.argpartition(self._keys, self._limit)[: self._limit])
            self._rows, self._weights = self._rows[chosen], self._weights[chosen]
            self._keys = self._keys[chosen]

    def rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows in the order of the stream, and their weights."""
        return self._rows, self._weights


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
    from sklearn.cluster import KMeans, kmeans_plusplus
    from sklearn.metrics import pairwise_distances_argmin

    random = np.random.RandomState(seed % 2**32)
    if method == "random":
        shares = random.uniform(size=(len(rows), k))
        return shares / shares.sum(axis=1, keepdims=True)
    if method == "kmeans":
        labels = KMeans(k, n_init=1, random_state=random).fit_predict(rows, sample_weight=weights)
    elif method == "k-means++":
        centers, _ = kmeans_plusplus(rows, k, sample_weight=weights, random_state=random)
        labels = pairwise_distances_argmin(rows, centers)
    else:
        chosen = random.choice(len(rows), k, replace=False, p=weights / weights.sum())
        labels = pairwise_distances_argmin(rows, rows[chosen])
    return np.eye(k)[labels]


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
