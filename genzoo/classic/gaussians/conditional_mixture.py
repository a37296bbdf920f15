"""What a mixture of normals says of missing values, given those that were seen."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from genzoo.classic.gaussians.missing_values import factor_patterns
from genzoo.core.checks import check_int, check_seed
from genzoo.core.maths.random import generator

_VALUES_A_BLOCK = 2**22


class _Block(NamedTuple):
    """Rows that miss much the same number of values, b of them, in P patterns.

    Attributes:
        rows: Their numbers, [b].
        pattern: That of each row, [b].
        columns: The columns that each pattern misses, [P, m]; other ones beside, if it misses less.
        root: Factors of their conditional covariances, [P, K, m, m], zero in the other columns.
    """

    rows: np.ndarray
    pattern: np.ndarray
    columns: np.ndarray
    root: np.ndarray

    @property
    def places(self) -> tuple[np.ndarray, np.ndarray]:
        """Index of the missing values in an array [n, D]."""
        return self.rows[:, None], self.columns[self.pattern]


class ConditionalMixture:
    """The exact mixture over each row's missing values given its other values.

    Made by `GaussianMixture.condition`. Values that were seen have their own value in every mean
    and sample, and no variance.

    Args:
        x: Rows [n, *event_shape], NaN where missing.
        weights, means, covariances: Of the mixture: [K], [K, D], [K, D, D].
        dtype: Of the results.

    Attributes:
        weights: Posterior probabilities of the components, [n, K].
        component_means: [n, K, D].

    Reference: Bishop, Pattern recognition and machine learning, section 2.3.1, 2006.
    """

    def __init__(self, x, weights, means, covariances, dtype: str):
        self._x, self._dtype = x, dtype
        rows = x.reshape(len(x), -1).astype(np.float64)
        missing, num_components = np.isnan(rows), len(means)
        whitening = np.linalg.inv(np.linalg.cholesky(covariances))
        precision = np.swapaxes(whitening, 1, 2) @ whitening
        log_scale = np.log(np.einsum("kdd->kd", whitening)).sum(axis=1)
        with np.errstate(divide="ignore"):
            log_scale += np.log(weights)
        # a missing value stands at its mean, until what was seen moves it
        self.component_means = np.where(missing[:, None], means, rows[:, None])
        log_joint = np.empty((len(rows), num_components))
        self._blocks = []
        for members, patterns, own in _blocks(missing, num_components):
            columns, root, log_det = _roots(whitening, patterns)
            block = _Block(members, own, columns, root)
            difference = np.swapaxes(self.component_means[members] - means, 0, 1)  # [K, b, D]
            slope = np.swapaxes(difference @ precision, 0, 1)  # [b, K, D]
            at = columns[own][:, None]  # [b, 1, m]
            pull = np.take_along_axis(slope, at, axis=2)[:, :, None] @ root[own]  # [b, K, 1, m]
            squares = np.einsum("kbd,bkd->bk", difference, slope) - np.square(pull).sum((2, 3))
            squares += (~missing[members]).sum(axis=1, keepdims=True) * np.log(2 * np.pi)
            log_joint[members] = log_scale - log_det[own] - 0.5 * squares
            moved = (root[own] @ np.swapaxes(pull, 2, 3))[..., 0]  # [b, K, m]
            places, columns = block.places
            self.component_means[places, :, columns] -= np.swapaxes(moved, 1, 2)
            self._blocks.append(block)
        odds = np.exp(log_joint - log_joint.max(axis=1, keepdims=True))
        self.weights = odds / odds.sum(axis=1, keepdims=True)

    def mean(self) -> np.ndarray:
        """Return each row's conditional mean, [n, *event_shape]."""
        return self._to_data(np.einsum("nk,nkd->nd", self.weights, self.component_means))

    def variance(self) -> np.ndarray:
        """Return the conditional variance of each value, [n, *event_shape]; 0 where seen."""
        center = np.einsum("nk,nkd->nd", self.weights, self.component_means)[:, None]
        variance = np.einsum("nk,nkd->nd", self.weights, (self.component_means - center) ** 2)
        for block in self._blocks:
            within = np.square(block.root).sum(axis=3)[block.pattern]  # [b, K, m]
            variance[block.places] += np.einsum("bk,bkm->bm", self.weights[block.rows], within)
        return self._to_data(variance)

    def component_covariances(self, row: int) -> np.ndarray:
        """Return the covariances of a row's components, [K, D, D]; 0 where seen."""
        k, d = self.component_means.shape[1:]
        row = range(len(self.weights))[row]
        covariances = np.zeros((k, d, d))
        block = next(block for block in self._blocks if row in block.rows)
        pattern = block.pattern[block.rows == row][0]
        root, columns = block.root[pattern], block.columns[pattern]
        covariances[:, columns[:, None], columns] = root @ np.swapaxes(root, 1, 2)
        return covariances

    def sample(self, num_samples: int | None = None, *, seed: int | None = None) -> np.ndarray:
        """Draw the missing values.

        Args:
            num_samples: Draws of each row; `None` for one.
            seed: The same seed gives the same draws.

        Returns:
            Array [n, *event_shape], or [num_samples, n, *event_shape].
        """
        draws = 1 if num_samples is None else check_int(num_samples, "num_samples")
        random = generator(None if seed is None else check_seed(seed))
        n, k, d = self.component_means.shape
        samples = np.empty((draws, n, d))
        edges = self.weights.cumsum(axis=1)
        for draw in samples:
            component = (random.random((n, 1)) * edges[:, -1:] > edges).sum(axis=1)
            component = np.minimum(component, k - 1)
            noise = random.normal(size=(n, d))
            draw[:] = self.component_means[np.arange(n), component]
            for block in self._blocks:
                root = block.root[block.pattern, component[block.rows]]  # [b, m, m]
                draw[block.places] += (root @ noise[block.places][..., None])[..., 0]
        shaped = np.stack([self._to_data(draw) for draw in samples])
        return shaped[0] if num_samples is None else shaped

    def _to_data(self, rows: np.ndarray) -> np.ndarray:
        return rows.reshape(self._x.shape).astype(self._dtype)


def _blocks(missing: np.ndarray, k: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield numbers of rows [b], their patterns [P, D], and the pattern of each [b].

    Rows come in order of how much they miss, and few enough at a time for K factors of each.
    """
    patterns, pattern_of = np.unique(missing, axis=0, return_inverse=True)
    pattern_of = pattern_of.reshape(-1)
    sizes = patterns.sum(axis=1)[pattern_of]
    order = np.lexsort((pattern_of, sizes))
    sizes = sizes[order]
    values = k * np.maximum(sizes**2, missing.shape[1]).cumsum()
    # rows of half as many holes, or less, are not worth the padding
    places = np.stack([values // _VALUES_A_BLOCK, np.frexp(sizes)[1]])
    for rows in np.split(order, np.flatnonzero(np.diff(places).any(axis=0)) + 1):
        own, index = np.unique(pattern_of[rows], return_inverse=True)
        yield rows, patterns[own], index


def _roots(whitening, patterns) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the columns missing and factors of their covariances, as in `_Block`.

    Beside them half the log-determinant of the precision of what is missing, [P, K].
    """
    most = max(int(patterns.sum(axis=1).max()), 1)
    columns, _, factor, log_det = (
        value.numpy() for value in factor_patterns(whitening, patterns.astype(np.int32), most)
    )
    valid = np.take_along_axis(patterns, columns, axis=1)[:, None, :, None]  # [P, 1, m, 1]
    return columns, np.where(valid, np.swapaxes(np.linalg.inv(factor), 2, 3), 0.0), log_det
