"""Log-densities of normals and of mixtures of them at n rows, and the sums that EM needs."""

import dataclasses
import math
from collections.abc import Callable

import tensorflow as tf

from genzoo.classic.gaussians.covariances import COVARIANCES
from genzoo.classic.gaussians.missing_values import marginal_blocks
from genzoo.classic.gaussians.responsibilities import posterior

# distances of the means from the centre, in standard deviations, up to which float32 serves
_FLOAT32_REACH = {"full": 1e3, "tied": 16.0, "diag": 16.0, "spherical": 16.0}
_TENSORS = ("center", "means", "whitening", "log_scale")
_LOG_2PI = math.log(2 * math.pi)
Statistics = dict[str, tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Normals:
    """C weighted normals in D dimensions, in graph: G mixtures of C / G components each.

    A mixture model has one mixture, a hidden Markov model one for each state. NaN in a row is
    marginalised. y = W_c (x - m_c) is the whitened difference, W_c the inverse of the covariance's
    Cholesky factor; sums of it stay near the identity, so they lose no digits wherever the data
    lie. Parameters are float64; rows are looked at in their own float type. Made by `make_normals`.

    Args:
        covariance_type: As in `GaussianMixture`.
        center: What is taken from rows, [D].
        means: [C, D], less the centre.
        whitening: Inverse factors, of the factor's shape (see `covariances`).
        log_scale: log weight + log |W| - D/2 log 2 pi of each component, [C].
        num_mixtures: G.
        has_missing: Whether rows may hold NaN.
        fused: Whether XLA compiles the graph. Differences of rows and means then need no memory,
            and lose no digits; else densities come from products of matrices.
    """

    covariance_type: str
    center: tf.Tensor
    means: tf.Tensor
    whitening: tf.Tensor
    log_scale: tf.Tensor
    num_mixtures: int = 1
    has_missing: bool = True
    fused: bool = False

    @property
    def tensors(self) -> dict[str, tf.Tensor]:
        """Its tensors by name, to pass to a compiled function."""
        return {name: getattr(self, name) for name in _TENSORS}

    def cast(self, dtype: str) -> "Normals":
        """Return the same normals with tensors of a float type."""
        return dataclasses.replace(
            self, **{name: tf.cast(value, dtype) for name, value in self.tensors.items()}
        )

    def log_joint(self, x: tf.Tensor) -> tf.Tensor:
        """Return log p(x, component), [n, C], of rows [n, D]."""

        if self.fused and not self.has_missing:
            return self.cast(x.dtype)._fused(x - tf.cast(self.center, x.dtype))

        def of_complete(normals, x):
            return normals._kernel(x)[0], {}

        def of_missing(normals, x):
            return normals._missing(x, None)

        return self._choose(x, of_complete, of_missing)[0]

    def log_prob(self, x: tf.Tensor) -> tf.Tensor:
        """Return log p(x) of each mixture, [n, G], of rows [n, D]."""
        joint, groups = self.log_joint(x), self.num_mixtures
        if groups == self.means.shape[0]:
            return joint
        return tf.reduce_logsumexp(
            tf.reshape(joint, [-1, groups, joint.shape[1] // groups]), axis=2
        )

    def expect(self, x: tf.Tensor, weight: tf.Tensor) -> tuple[tf.Tensor, Statistics]:
        """Return log p(x) [n, G] and the sums over rows that `covariances` updates from.

        Args:
            x: [n, D].
            weight: Of each row for each mixture [n, G].

        Returns:
            log p(x), and float64 `counts` [C], the sums of the responsibilities r, which have the
            weight in them; `sums` [C, D] of r y; `moments`, the sums of r y y^T; `entropy` of the
            responsibilities. Where values are missing, y and y y^T are conditional expectations.
        """

        def of_complete(normals, x):
            joint, sums = normals._kernel(x)
            log_prob, responsibility, entropy = posterior(joint, tf.cast(weight, x.dtype))
            counts = tf.reduce_sum(responsibility, axis=0)
            first, second = sums(responsibility, counts)
            return log_prob, _wide(counts=counts, sums=first, moments=second, entropy=entropy)

        def of_missing(normals, x):
            return normals._missing(x, tf.cast(weight, x.dtype))

        return self._choose(x, of_complete, of_missing)

    def sum_complete(self, x: tf.Tensor, responsibility: tf.Tensor) -> Statistics:
        """Return the sums of `expect`, less the entropy, of rows without missing values whose
        responsibilities [n, C] are known.

        All in float64, from sums about the centre, which need no whitened rows: few products of
        large matrices, that any number of rows may go into.
        """
        x = tf.cast(x, tf.float64) - self.center
        responsibility = tf.cast(responsibility, tf.float64)
        counts = tf.reduce_sum(responsibility, axis=0)
        if self.covariance_type == "full":
            first, second = self._full_sums(x, responsibility, counts)
        elif self.covariance_type == "tied":
            first, second = self._tied(x)[1](responsibility, counts)
        else:
            squares = tf.matmul(responsibility, tf.square(x), transpose_a=True)
            firsts = tf.matmul(responsibility, x, transpose_a=True)
            first, second = self._diagonal_sums(squares, firsts, counts[:, None])
        return {"counts": counts, "sums": first, "moments": second}

    # Which graph

    def _choose(self, x, of_complete: Callable, of_missing: Callable):
        """Return the function's result; in float64 where float32 would lose digits."""
        dtype = x.dtype
        x -= tf.cast(self.center, dtype)

        def in_float64(function):
            by_row, statistics = function(self, tf.cast(x, tf.float64))
            return tf.cast(by_row, dtype), statistics

        def complete():
            if dtype == tf.float64:
                return of_complete(self, x)
            far = self._reach() > _FLOAT32_REACH[self.covariance_type]
            narrow = self.cast(dtype)
            return tf.cond(far, lambda: in_float64(of_complete), lambda: of_complete(narrow, x))

        if not self.has_missing:
            return complete()
        any_missing = tf.reduce_any(tf.math.is_nan(x))
        return tf.cond(any_missing, lambda: in_float64(of_missing), complete)

    def _reach(self) -> tf.Tensor:
        return tf.reduce_max(tf.abs(self._whitened_means()))

    def _whitened_means(self) -> tf.Tensor:
        if self.covariance_type == "full":
            return tf.einsum("ked,kd->ke", self.whitening, self.means)
        if self.covariance_type == "tied":
            return tf.matmul(self.means, self.whitening, transpose_b=True)
        return self._scales() * self.means

    def _scales(self) -> tf.Tensor:
        """Return the inverse standard deviations of diagonal covariances, [C, D]."""
        wide = self.whitening[:, None] if self.covariance_type == "spherical" else self.whitening
        return tf.broadcast_to(wide, tf.shape(self.means))

    # Complete rows

    def _kernel(self, x) -> tuple[tf.Tensor, Callable]:
        """Return log p(x, c) [n, C], and the function of r [n, C] that sums r y and r y y^T."""
        kernels = {"full": self._full, "tied": self._tied}
        return kernels.get(self.covariance_type, self._diagonal)(x)

    def _full(self, x):
        # components first: one product of matrices for each
        y = tf.matmul(x[None], self.whitening, transpose_b=True)  # [C, n, D]
        y -= self._whitened_means()[:, None]
        # sums over short last axes are slow; products of matrices are not
        ones = tf.ones([tf.shape(y)[0], y.shape[2], 1], y.dtype)
        squares = tf.matmul(tf.square(y), ones)[:, :, 0]

        def sums(responsibility, counts):
            by_component = tf.transpose(responsibility)  # [C, n]
            weighted = by_component[:, :, None] * y
            first = tf.matmul(by_component[:, None], y)[:, 0]
            return first, tf.matmul(weighted, y, transpose_a=True)

        return tf.transpose(self.log_scale[:, None] - 0.5 * squares), sums

    def _fused(self, x):
        """Return log p(x, c) [n, C] by differences of rows and means."""
        count, d = self.means.shape
        if self.covariance_type == "full":
            flat = tf.reshape(tf.transpose(self.whitening, [2, 0, 1]), [d, count * d])
            y = tf.reshape(tf.matmul(x, flat), [-1, count, d]) - self._whitened_means()
        elif self.covariance_type == "tied":
            y = tf.matmul(x, self.whitening, transpose_b=True)[:, None] - self._whitened_means()
        else:
            y = (x[:, None] - self.means) * self._scales()
        return self.log_scale - 0.5 * tf.reduce_sum(tf.square(y), axis=-1)

    def _full_sums(self, x, responsibility, counts):
        """Return the sums of r y and r y y^T from those about the centre."""
        means, whitening = self.means, self.whitening
        total = tf.matmul(responsibility, x, transpose_a=True)  # [C, D]
        squares = tf.stack([tf.matmul(x * responsibility[:, c, None], x, transpose_a=True)
                            for c in range(means.shape[0])])  # fmt: skip
        cross = means[:, :, None] * total[:, None]
        squares += counts[:, None, None] * means[:, :, None] * means[:, None]
        squares -= cross + tf.transpose(cross, [0, 2, 1])
        first = tf.linalg.matvec(whitening, total - counts[:, None] * means)
        return first, tf.matmul(whitening, tf.matmul(squares, whitening, transpose_b=True))

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
            totals = tf.matmul(responsibility, powers, transpose_a=True)
            return self._diagonal_sums(*tf.split(totals, 2, axis=1), counts[:, None])

        return self.log_scale - 0.5 * squares, sums

    def _diagonal_sums(self, squares, firsts, counts):
        """Return the sums of r y and r y^2 from those of r x^2 and r x; all are [C, D]."""
        scales, means, counts, first, second = (
            tf.cast(t, tf.float64) for t in (self._scales(), self.means, counts, firsts, squares)
        )
        about = first - counts * means
        return scales * about, scales**2 * (second - means * (first + about))

    # Rows with missing values

    def _missing(self, x, weight):
        """Return log p(x, c) [n, C] and no sums, or for a weight [n, G] log p(x) and the sums."""
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
        totals = tf.matmul(responsibility, powers, transpose_a=True)
        first, second = self._diagonal_sums(*tf.split(totals, 2, axis=1), observed)
        # a missing value is expected at the mean, with the variance of the component
        second += tf.cast(counts[:, None] - observed, tf.float64)
        return log_prob, _wide(counts=counts, sums=first, moments=second, entropy=entropy)


def make_normals(
    covariance_type: str,
    log_weights: tf.Tensor | float,
    means: tf.Tensor,
    whitening: tf.Tensor,
    center: tf.Tensor,
    dtype: str,
    **options,
) -> Normals:
    """Return normals, in graph.

    Args:
        covariance_type: As in `GaussianMixture`.
        log_weights: What is added to the log-density of each component, float64 [C] or a number.
        means: float64 [C, D].
        whitening: Inverse factors, of the factor's shape.
        center: A point near all means, [D].
        dtype: The float type of rows, to which the centre is rounded.
        **options: `num_mixtures`, `has_missing`, `fused`; see `Normals`.
    """
    center = tf.cast(tf.cast(center, dtype), tf.float64)
    whitening, d = tf.cast(whitening, tf.float64), means.shape[1]
    # the inverse factor's, where the method is written for the factor
    log_scale = log_weights + COVARIANCES[covariance_type].log_det(whitening, d)
    log_scale -= 0.5 * d * _LOG_2PI
    log_scale = tf.broadcast_to(log_scale, means.shape[:1])
    return Normals(covariance_type, center, means - center, whitening, log_scale, **options)


def _wide(**statistics) -> Statistics:
    return {name: tf.cast(value, tf.float64) for name, value in statistics.items()}
