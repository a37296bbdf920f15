"""What a mixture of normals says of missing values, given those that were seen."""

from typing import Any

import numpy as np

from genzoo.core.checks import check_int, check_seed


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
        k, d = means.shape
        self.component_means = np.empty((len(rows), k, d))
        log_joint = np.empty((len(rows), k))
        missing = np.isnan(rows)
        patterns, self._pattern = np.unique(missing, axis=0, return_inverse=True)
        self._pattern = self._pattern.reshape(-1)
        self._factors = []
        for i, pattern in enumerate(patterns):
            mine = self._pattern == i
            log_joint[mine], self.component_means[mine], factor = _condition(
                rows[mine], pattern, means, covariances
            )
            self._factors.append(factor)
        with np.errstate(divide="ignore"):
            log_joint += np.log(weights)
        odds = np.exp(log_joint - log_joint.max(axis=1, keepdims=True))
        self.weights = odds / odds.sum(axis=1, keepdims=True)

    def mean(self) -> np.ndarray:
        """Return each row's conditional mean, [n, *event_shape]."""
        return self._to_data(np.einsum("nk,nkd->nd", self.weights, self.component_means))

    def variance(self) -> np.ndarray:
        """Return the conditional variance of each value, [n, *event_shape]; 0 where seen."""
        center = np.einsum("nk,nkd->nd", self.weights, self.component_means)[:, None]
        within = np.stack([np.einsum("kde,kde->kd", f, f) for f in self._factors])[self._pattern]
        spread = within + (self.component_means - center) ** 2
        return self._to_data(np.einsum("nk,nkd->nd", self.weights, spread))

    def component_covariances(self, row: int) -> np.ndarray:
        """Return the covariances of a row's components, [K, D, D]; 0 where seen."""
        factor = self._factors[self._pattern[row]]
        return factor @ factor.transpose(0, 2, 1)

    def sample(self, num_samples: int | None = None, *, seed: int | None = None) -> np.ndarray:
        """Draw the missing values.

        Args:
            num_samples: Draws of each row; `None` for one.
            seed: The same seed gives the same draws.

        Returns:
            Array [n, *event_shape], or [num_samples, n, *event_shape].
        """
        draws = 1 if num_samples is None else check_int(num_samples, "num_samples")
        random = np.random.default_rng(None if seed is None else check_seed(seed))
        n, k, d = self.component_means.shape
        samples = np.empty((draws, n, d))
        edges = self.weights.cumsum(axis=1)
        for draw in samples:
            component = (random.random((n, 1)) * edges[:, -1:] > edges).sum(axis=1)
            component = np.minimum(component, k - 1)
            noise = random.normal(size=(n, d))
            draw[:] = self.component_means[np.arange(n), component]
            for i, factor in enumerate(self._factors):
                for j in range(k):
                    mine = (self._pattern == i) & (component == j)
                    draw[mine] += noise[mine] @ factor[j].T
        shaped = np.stack([self._to_data(draw) for draw in samples])
        return shaped[0] if num_samples is None else shaped

    def _to_data(self, rows: np.ndarray) -> np.ndarray:
        return rows.reshape(self._x.shape).astype(self._dtype)


def _condition(rows, pattern, means, covariances) -> tuple[Any, Any, Any]:
    """Return log N(seen) [n, K], conditional means [n, K, D] and factors of covariances."""
    (missing,), (seen,) = np.nonzero(pattern), np.nonzero(~pattern)
    k, d = means.shape
    difference = rows[:, None, seen] - means[:, seen]  # [n, K, s]
    full = np.empty((len(rows), k, d))
    full[:, :, seen] = rows[:, None, seen]
    # one factor of the values seen, then missing: its last block is that of the conditional
    order, size = np.concatenate([seen, missing]), len(seen)
    factor = np.linalg.cholesky(covariances[:, order[:, None], order])
    whitening = np.linalg.inv(factor[:, :size, :size])
    whitened = np.einsum("kst,nkt->nks", whitening, difference)
    log_norm = np.log(np.einsum("kdd->kd", factor[:, :size, :size])).sum(axis=1)
    log_norm += 0.5 * size * np.log(2 * np.pi)
    log_prob = -0.5 * np.square(whitened).sum(axis=2) - log_norm
    shift = np.einsum("kms,nks->nkm", factor[:, size:, :size], whitened)
    full[:, :, missing] = means[:, missing] + shift
    wide = np.zeros((k, d, d))
    wide[:, missing[:, None], missing] = factor[:, size:, size:]
    return log_prob, full, wide
