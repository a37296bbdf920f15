"""The four types of covariances of K normals in D dimensions, by their Cholesky factors."""

import numpy as np
import tensorflow as tf

from genzoo.core.errors import InvalidInputError


class Full:
    """A matrix a component: factor [K, D, D]."""

    @staticmethod
    def factor_shape(k, d):
        return (k, d, d)

    moment_shape = factor_shape

    @staticmethod
    def whitening(factor):
        """Return the inverses of triangular factors, in graph."""
        identity = tf.eye(tf.shape(factor)[-1], dtype=factor.dtype)
        return tf.linalg.triangular_solve(factor, tf.broadcast_to(identity, tf.shape(factor)))

    @staticmethod
    def log_det(factor, d):
        """Return log |L| of each component, [K] or a scalar."""
        return tf.reduce_sum(tf.math.log(tf.linalg.diag_part(factor)), axis=-1)

    @staticmethod
    def color(noise, component, factor, k):
        """Return noise [n, D] times the factor of each row's component."""

        def add(i, total):
            mine = tf.cast(tf.equal(component, i), noise.dtype)[:, None]
            return i + 1, total + mine * tf.matmul(noise, factor[i], transpose_b=True)

        return tf.while_loop(lambda i, _: i < k, add, [0, tf.zeros_like(noise)])[1]

    @staticmethod
    def update(moments, shift, counts, factor, reg_covar):
        """Return covariances from whitened moments and the whitened shift of the means [K, D]."""
        central = moments / counts[:, None, None] - shift[:, :, None] * shift[:, None, :]
        covariance = factor @ central @ factor.transpose(0, 2, 1)
        covariance[:, np.arange(shift.shape[1]), np.arange(shift.shape[1])] += reg_covar
        return covariance

    @staticmethod
    def own_moments(whitening, weights, reg_covar, d):
        """Return the whitened moments that leave covariances as they are."""
        inverse = whitening @ np.swapaxes(whitening, -1, -2)
        return weights[:, None, None] * (np.eye(whitening.shape[-1]) - reg_covar * inverse)

    @staticmethod
    def to_full(covariance, k, d):
        """Return covariances as matrices, [K, D, D]."""
        return np.broadcast_to(covariance, (k, d, d))

    @staticmethod
    def num_parameters(k, d):
        """Return the number of free parameters of the covariances."""
        return k * d * (d + 1) // 2

    @staticmethod
    def from_scatter(scatter, counts, reg_covar):
        """Return covariances from the sums [K, D, D] of squares about the means."""
        covariance = scatter / counts[:, None, None]
        covariance[:, np.arange(scatter.shape[1]), np.arange(scatter.shape[1])] += reg_covar
        return covariance

    @staticmethod
    def to_factor(covariance):
        """Return the Cholesky factor of covariances."""
        try:
            return np.linalg.cholesky(covariance)
        except np.linalg.LinAlgError:
            _refuse_singular()

    @staticmethod
    def invert(factor):
        """Return the inverses of triangular factors."""
        return np.tril(np.linalg.inv(factor))

    @staticmethod
    def to_covariance(factor):
        return factor @ np.swapaxes(factor, -1, -2)

    @staticmethod
    def to_shift(whitened, factor):
        """Return a whitened shift of means [K, D] in data units."""
        return np.einsum(
            "kde,ke->kd", np.broadcast_to(factor, (len(whitened), *factor.shape[-2:])), whitened
        )


class Tied(Full):
    """One matrix for all components: factor [D, D]."""

    @staticmethod
    def factor_shape(k, d):
        return (d, d)

    moment_shape = factor_shape

    @staticmethod
    def color(noise, component, factor, k):
        return tf.matmul(noise, factor, transpose_b=True)

    @staticmethod
    def update(moments, shift, counts, factor, reg_covar):
        central = (moments - np.einsum("k,kd,ke->de", counts, shift, shift)) / counts.sum()
        return factor @ central @ factor.T + reg_covar * np.eye(len(factor))

    @staticmethod
    def own_moments(whitening, weights, reg_covar, d):
        return weights.sum() * (np.eye(len(whitening)) - reg_covar * whitening @ whitening.T)

    @staticmethod
    def num_parameters(k, d):
        return d * (d + 1) // 2

    @staticmethod
    def from_scatter(scatter, counts, reg_covar):
        return scatter.sum(axis=0) / counts.sum() + reg_covar * np.eye(scatter.shape[1])


class Diagonal:
    """A variance a feature and component: factor [K, D], the standard deviations."""

    @staticmethod
    def factor_shape(k, d):
        return (k, d)

    @staticmethod
    def moment_shape(k, d):
        return (k, d)

    @staticmethod
    def whitening(factor):
        return 1.0 / factor

    @staticmethod
    def log_det(factor, d):
        return tf.reduce_sum(tf.math.log(factor), axis=-1)

    @staticmethod
    def color(noise, component, factor, k):
        return noise * tf.gather(factor, component)

    @staticmethod
    def update(moments, shift, counts, factor, reg_covar):
        return (moments / counts[:, None] - shift**2) * factor**2 + reg_covar

    @staticmethod
    def own_moments(whitening, weights, reg_covar, d):
        return weights[:, None] * (1 - reg_covar * whitening**2)

    @staticmethod
    def to_full(covariance, k, d):
        return covariance[:, :, None] * np.eye(d)

    @staticmethod
    def num_parameters(k, d):
        return k * d

    @staticmethod
    def from_scatter(scatter, counts, reg_covar):
        return np.einsum("kdd->kd", scatter) / counts[:, None] + reg_covar

    @staticmethod
    def to_factor(covariance):
        if not (covariance > 0).all():
            _refuse_singular()
        return np.sqrt(covariance)

    @staticmethod
    def invert(factor):
        return 1 / factor

    @staticmethod
    def to_covariance(factor):
        return factor**2

    @staticmethod
    def to_shift(whitened, factor):
        return whitened * factor


class Spherical(Diagonal):
    """One variance a component: factor [K]."""

    @staticmethod
    def factor_shape(k, d):
        return (k,)

    @staticmethod
    def log_det(factor, d):
        return d * tf.math.log(factor)

    @staticmethod
    def color(noise, component, factor, k):
        return noise * tf.gather(factor, component)[:, None]

    @staticmethod
    def update(moments, shift, counts, factor, reg_covar):
        wide = np.broadcast_to(factor[:, None], shift.shape)
        return Diagonal.update(moments, shift, counts, wide, reg_covar).mean(axis=1)

    @staticmethod
    def own_moments(whitening, weights, reg_covar, d):
        own = weights * (1 - reg_covar * whitening**2)
        return np.broadcast_to(own[:, None], (len(own), d))

    @staticmethod
    def to_full(covariance, k, d):
        return covariance[:, None, None] * np.eye(d)

    @staticmethod
    def num_parameters(k, d):
        return k

    @staticmethod
    def from_scatter(scatter, counts, reg_covar):
        return Diagonal.from_scatter(scatter, counts, reg_covar).mean(axis=1)

    @staticmethod
    def to_shift(whitened, factor):
        return whitened * factor[:, None]


COVARIANCES = {"full": Full, "tied": Tied, "diag": Diagonal, "spherical": Spherical}


def update_normals(
    covariance: type[Full] | type[Diagonal],
    counts: np.ndarray,
    statistics: dict[str, np.ndarray],
    means: np.ndarray,
    factor: np.ndarray,
    reg_covar: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the means [K, D] and the covariances that the sums of `Normals` make likeliest.

    Args:
        covariance: One of `COVARIANCES`.
        counts: Sums of the responsibilities, all above 0, [K].
        statistics: `sums` and `moments`.
        means: Those that the sums were taken about, [K, D].
        factor: The Cholesky factors that they were whitened by.
        reg_covar: Added to the diagonal of the covariances.
    """
    shift = statistics["sums"] / counts[:, None]
    covariances = covariance.update(statistics["moments"], shift, counts, factor, reg_covar)
    return means + covariance.to_shift(shift, factor), covariances


def _refuse_singular():
    raise InvalidInputError(
        "Expected covariances that are positive definite. Received: others. In training a "
        "component collapses onto too few or identical rows: increase reg_covar, use fewer "
        "components, or choose covariance_type='diag' or 'tied'. Those set by hand are to have "
        "variances above 0."
    )
