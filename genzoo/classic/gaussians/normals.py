"""Log-densities of K normals at n rows, and the sums that EM needs of them."""

import dataclasses
import math
from collections.abc import Callable

import tensorflow as tf

from genzoo.classic.gaussians.missing_values import marginal_blocks
from genzoo.classic.gaussians.responsibilities import posterior

# distances of the means from the centre, in standard deviations, up to which float32 serves
_FLOAT32_REACH = {"full": 1e3, "tied": 16.0, "diag": 16.0, "spherical": 16.0}
_LOG_2PI = math.log(2 * math.pi)
Statistics = dict[str, tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Normals:
    """K weighted normals in D dimensions, in graph; NaN in a row is marginalised.

    y = W_k (x - m_k) is the whitened difference, W_k the inverse of the covariance's Cholesky
    factor. Rows come centred, in the float type of the normals.

    Args:
        covariance_type: As in `GaussianMixture`.
        means: [K, D], centred as the rows are.
        whitening: Inverse factors, of the factor's shape (see `covariance`).
        log_scale: log weight + log |W| - D/2 log 2 pi of each component, [K].
        has_missing: Whether rows may hold NaN.
    """

    covariance_type: str
    means: tf.Tensor
    whitening: tf.Tensor
    log_scale: tf.Tensor
    has_missing: bool = True

    def log_joint(self, x: tf.Tensor) -> tf.Tensor:
        """Return log p(x, k), [n, K], of rows [n, D]."""

        def of_complete(normals, x):
            return normals._kernel(x)[0], {}

        def of_missing(normals, x):
            return normals._missing(x, None)

        return self._choose(x, of_complete, of_missing)[0]

    def expect(self, x: tf.Tensor, weight: tf.Tensor | None) -> tuple[tf.Tensor, Statistics]:
        """Return log p(x) [n] and the sums over rows that `covariance` updates from.

        Args:
            x: [n, D].
            weight: Of each row [n], or `None` for ones.

        Returns:
            log p(x), and float64 `counts` [K], the sums of the responsibilities r; `sums` [K, D]
            of r y; `moments`, the sums of r y y^T; `entropy` of the responsibilities. Where values
            are missing, y and y y^T are conditional expectations.
        """
        if weight is None:
            weight = tf.ones(tf.shape(x)[:1], x.dtype)

        def of_complete(normals, x):
            joint, sums = normals._kernel(x)
            log_prob, responsibility, entropy = posterior(joint, tf.cast(weight, x.dtype))
            counts = tf.reduce_sum(responsibility, axis=0)
            first, second = sums(responsibility, counts)
            return log_prob, _wide(counts=counts, sums=first, moments=second, entropy=entropy)

        def of_missing(normals, x):
            return normals._missing(x, tf.cast(weight, x.dtype))

        return self._choose(x, of_complete, of_missing)

    # Which graph

    def _choose(self, x, of_complete: Callable, of_missing: Callable):
        """Return the function's result; in float64 where float32 would lose digits."""

        def in_float64(function):
            by_row, statistics = function(self._cast(tf.float64), tf.cast(x, tf.float64))
            return tf.cast(by_row, x.dtype), statistics

        def complete():
            if x.dtype == tf.float64:
                return of_complete(self, x)
            far = self._reach() > _FLOAT32_REACH[self.covariance_type]
            return tf.cond(far, lambda: in_float64(of_complete), lambda: of_complete(self, x))

        if not self.has_missing:
            return complete()
        any_missing = tf.reduce_any(tf.math.is_nan(x))
        return tf.cond(any_missing, lambda: in_float64(of_missing), complete)

    def _cast(self, dtype) -> "Normals":
        means, whitening, log_scale = (
            tf.cast(t, dtype) for t in (self.means, self.whitening, self.log_scale)
        )
        return dataclasses.replace(self, means=means, whitening=whitening, log_scale=log_scale)

    def _reach(self) -> tf.Tensor:
        return tf.reduce_max(tf.abs(self._whitened_means()))

    def _whitened_means(self) -> tf.Tensor:
        if self.covariance_type == "full":
            return tf.einsum("ked,kd->ke", self.whitening, self.means)
        if self.covariance_type == "tied":
            return tf.matmul(self.means, self.whitening, transpose_b=True)
        return self._scales() * self.means

    def _scales(self) -> tf.Tensor:
        """Return the inverse standard deviations of diagonal covariances, [K, D]."""
        wide = self.whitening[:, None] if self.covariance_type == "spherical" else self.whitening
        return tf.broadcast_to(wide, tf.shape(self.means))

    # Complete rows

    def _kernel(self, x) -> tuple[tf.Tensor, Callable]:
        """Return log p(x, k) [n, K], and the function of r [n, K] that sums r y and r y y^T."""
        kernels = {"full": self._full, "tied": self._tied}
        return kernels.get(self.covariance_type, self._diagonal)(x)

    def _full(self, x):
        # components first: one product of matrices for each
        y = tf.matmul(x[None], self.whitening, transpose_b=True)  # [K, n, D]
        y -= self._whitened_means()[:, None]
        # sums over short last axes are slow; products of matrices are not
        ones = tf.ones([tf.shape(y)[0], y.shape[2], 1], y.dtype)
        squares = tf.matmul(tf.square(y), ones)[:, :, 0]

        def sums(responsibility, counts):
            by_component = tf.transpose(responsibility)  # [K, n]
            weighted = by_component[:, :, None] * y
            first = tf.matmul(by_component[:, None], y)[:, 0]
            return first, tf.matmul(weighted, y, transpose_a=True)

        return tf.transpose(self.log_scale[:, None] - 0.5 * squares), sums

    def _tied(self, x):
        y = tf.matmul(x, self.whitening, transpose_b=True)  # [n, D], about the centre
        means = self._whitened_means()
        squares = -2 * tf.matmul(y, means, transpose_b=True) + tf.reduce_sum(means**2, axis=1)
        squares += tf.reduce_sum(tf.square(y), axis=1, keepdims=True)

        def sums(responsibility, counts):
            of_rows = tf.reduce_sum(responsibility, axis=1, keepdims=True)
            total = tf.cast(tf.matmul(responsibility, y, transpose_a=True), tf.float64)
            second = tf.cast(tf.matmul(of_rows * y, y, transpose_a=True), tf.float64)
            weight, about = tf.cast(counts, tf.float64)[:, None], tf.cast(means, tf.float64)
            first = total - weight * about
            shifted = tf.matmul(total, about, transpose_a=True)
            second -= tf.transpose(shifted) + tf.matmul(first, about, transpose_a=True)
            return first, second

        return self.log_scale - 0.5 * squares, sums

    def _diagonal(self, x):
        scales, means = self._scales(), self.means
        powers = tf.concat([tf.square(x), x], axis=1)  # [n, 2 D]
        precision = tf.square(scales)
        factors = tf.concat([precision, -2 * precision * means], axis=1)
        squares = tf.matmul(powers, factors, transpose_b=True)
        squares += tf.reduce_sum(precision * means**2, axis=1)

        def sums(responsibility, counts):
            return self._diagonal_sums(responsibility, powers, counts[:, None])

        return self.log_scale - 0.5 * squares, sums

    def _diagonal_sums(self, responsibility, powers, counts):
        """Return the sums of r y and r y^2 from those of r x^2 and r x; counts are [K, D]."""
        totals = tf.cast(tf.matmul(responsibility, powers, transpose_a=True), tf.float64)
        second, first = tf.split(totals, 2, axis=1)
        scales, means, counts = (
            tf.cast(t, tf.float64) for t in (self._scales(), self.means, counts)
        )
        about = first - counts * means
        return scales * about, scales**2 * (second - means * (first + about))

    # Rows with missing values

    def _missing(self, x, weight):
        """Return log p(x, k) [n, K] and no sums, or for a weight log p(x) and the sums."""
        if self.covariance_type in ("full", "tied"):
            means = self._whitened_means()
            return marginal_blocks(x, weight, means, self.whitening, self.log_scale)
        missing = tf.math.is_nan(x)
        filled, seen = tf.where(missing, tf.zeros_like(x), x), tf.cast(~missing, x.dtype)
        scales, means = self._scales(), self.means
        powers = tf.concat([tf.square(filled), filled], axis=1)
        precision = tf.square(scales)
        factors = tf.concat(
            [precision, -2 * precision * means, precision * means**2 - 2 * tf.math.log(scales)],
            axis=1,
        )
        squares = tf.matmul(tf.concat([powers, seen], axis=1), factors, transpose_b=True)
        size = tf.reduce_sum(seen, axis=1, keepdims=True)
        # log_scale holds the whole of log |W| and log 2 pi
        rest = self.log_scale - tf.reduce_sum(tf.math.log(scales), axis=1)
        joint = rest + 0.5 * _LOG_2PI * (x.shape[1] - size) - 0.5 * squares
        if weight is None:
            return joint, {}
        log_prob, responsibility, entropy = posterior(joint, weight)
        counts = tf.reduce_sum(responsibility, axis=0)
        observed = tf.matmul(responsibility, seen, transpose_a=True)
        first, second = self._diagonal_sums(responsibility, powers, observed)
        # a missing value is expected at the mean, with the variance of the component
        second += tf.cast(counts[:, None] - observed, tf.float64)
        return log_prob, _wide(counts=counts, sums=first, moments=second, entropy=entropy)


def _wide(**statistics) -> Statistics:
    return {name: tf.cast(value, tf.float64) for name, value in statistics.items()}
