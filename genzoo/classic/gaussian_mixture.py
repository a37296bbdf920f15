"""GaussianMixture: a mixture of normals, by EM."""

import math
from typing import Any

import numpy as np
import tensorflow as tf

from genzoo.classic.covariance import COVARIANCES
from genzoo.classic.em import EMModel
from genzoo.classic.normals import Normals
from genzoo.classic.starts import (
    STARTS,
    RowSample,
    fill_missing,
    moments_of_parts,
    start_responsibilities,
)
from genzoo.core.checks import check_choice, check_int, check_number
from genzoo.core.errors import InvalidInputError
from genzoo.core.lazy import tfp
from genzoo.core.random import make_seed
from genzoo.core.registry import register

_START_ROWS = 20_000


@register("gaussian_mixture")
class GaussianMixture(EMModel):
    """A mixture of Gaussians with scikit-learn's parametrisation.

    Args:
        event_shape: Shape of one example; D values in all.
        num_components: Number of components K.
        covariance_type: `"full"`, `"tied"`, `"diag"` or `"spherical"`.
        reg_covar: Added to the diagonal of the covariances, in squared units of the data.
        tol: `fit` stops when the mean log-likelihood changes by less, in nats an example.
        weights_init, means_init, covariances_init: Start from these (shapes as of the
            attributes); what is `None` starts from k-means clusters of up to 20,000 rows.
        **model_arguments: `levels`, `seed`, `name`, `dtype`; see `TrainableModel`.

    Attributes:
        weights_: [K]. means_: [K, D].
        covariances_: [K, D, D], [D, D], [K, D] or [K] by `covariance_type`.
        converged_, n_iter_, lower_bound_: see `EMModel`.

    Example:

    >>> x = genzoo.data.load("eight_gaussians", seed=0).x_train
    >>> model = genzoo.GaussianMixture((2,), num_components=8, seed=0)
    >>> history = model.fit(x, verbose=0)
    >>> model.means_.shape, model.converged_
    ((8, 2), True)

    Reference: Bishop, Pattern recognition and machine learning, section 9.2, 2006.
    """

    takes_missing = True
    takes_sample_weight = True

    def __init__(
        self,
        event_shape: tuple[int, ...] | int,
        *,
        num_components: int = 10,
        covariance_type: str = "full",
        init: str = "kmeans",
        reg_covar: float = 1e-6,
        tol: float = 1e-3,
        weights_init: Any = None,
        means_init: Any = None,
        covariances_init: Any = None,
        **model_arguments: Any,
    ):
        super().__init__(event_shape, tol=tol, **model_arguments)
        if self.context_size:
            raise InvalidInputError(
                "Expected no context: GaussianMixture is unconditional. Received: "
                f"num_classes={self.num_classes!r}, context_dim={self.context_dim!r}. "
                "Fit one mixture a class, or use a conditional RealNVP."
            )
        self.num_components = check_int(num_components, "num_components")
        self.covariance_type = check_choice(covariance_type, COVARIANCES, "covariance_type")
        self.init = check_choice(init, STARTS, "init")
        self.reg_covar = check_number(reg_covar, "reg_covar")
        self._covariance = COVARIANCES[covariance_type]
        k, d = self.num_components, self.event_size
        factor_shape = self._covariance.factor_shape(k, d)
        self.weights_init = _check_start(weights_init, (k,), "weights_init")
        self.means_init = _check_start(means_init, (k, d), "means_init")
        self.covariances_init = _check_start(covariances_init, factor_shape, "covariances_init")
        self._weights = self._parameter("weights", (k,), "float64")
        self._means = self._parameter("means", (k, d), "float64")
        self._covariances = self._parameter("covariances", factor_shape, "float64")
        self._whitening = self._parameter("whitening", factor_shape)
        self.built = True

    def _parameter(self, name, shape, dtype=None):
        return self.add_weight(
            shape=shape, dtype=dtype, initializer="zeros", trainable=False, name=name
        )

    # Parameters

    @property
    def weights_(self) -> np.ndarray:
        self._check_fitted("weights_")
        return np.array(self._weights)

    @property
    def means_(self) -> np.ndarray:
        self._check_fitted("means_")
        return np.array(self._means)

    @property
    def covariances_(self) -> np.ndarray:
        self._check_fitted("covariances_")
        return np.array(self._covariances)

    def set_parameters(self, weights: Any, means: Any, covariances: Any) -> None:
        """Take these parameters in place of the present ones.

        Args:
            weights: [K], of sum 1.
            means: [K, D].
            covariances: Of the shape of `covariances_`.

        Raises:
            InvalidInputError: For parameters that are not those of a mixture.
        """
        weights, means, covariances = (
            np.asarray(value, np.float64) for value in (weights, means, covariances)
        )
        factor = self._covariance.to_factor(covariances)
        whitening = self._covariance.invert(factor).astype(self.dtype)
        if not all(np.isfinite(value).all() for value in (weights, means, whitening)):
            raise InvalidInputError(
                "Expected finite parameters. Received: an overflow in the M step. "
                "Standardise the data, or increase reg_covar."
            )
        self._weights.assign(weights)
        self._means.assign(means)
        self._covariances.assign(covariances)
        self._whitening.assign(whitening)

    def _adapt_parts(self, batches):
        sample = RowSample(_START_ROWS, self.event_size, self._start_seed())
        for x, batch in zip(self._real_batches(batches()), batches(), strict=True):
            rows = x[0].numpy().reshape(len(x[0]), -1).astype(np.float64)
            sample.add(rows, batch.get("sample_weight", np.ones(len(rows))))
        self._start_rows = sample.rows()
        self._start(0)

    def _start(self, attempt: int) -> None:
        """Begin from the rows seen by `adapt`."""
        rows, weights = self._start_rows
        k = self.num_components
        if np.count_nonzero(weights) < k:
            raise InvalidInputError(
                f"Expected at least num_components={k} rows. "
                f"Received: {len(rows)} rows. Use fewer components."
            )
        rows = fill_missing(rows)
        seed = self._start_seed() + attempt
        shares = start_responsibilities(rows, weights, k, self.init, seed)
        counts, means, scatter = moments_of_parts(rows, weights[:, None] * shares)
        self._begin(counts, means, scatter)

    def _begin(self, counts, means, scatter) -> None:
        """Set the parameters from the moments of parts of the rows."""
        start = {
            "weights": counts / counts.sum(),
            "means": means,
            "covariances": self._covariance.from_scatter(scatter, counts, self.reg_covar),
        }
        for name in start:
            given = getattr(self, f"{name}_init")
            start[name] = start[name] if given is None else np.asarray(given)
        self.set_parameters(**start)

    def _start_seed(self) -> int:
        return 0 if self.seed is None else self.seed

    # In graph

    def _normals(self) -> tuple[Normals, tf.Tensor]:
        """Return the components and the centre that rows are taken from."""
        weights = tf.convert_to_tensor(self._weights)
        means = tf.convert_to_tensor(self._means)
        whitening = tf.convert_to_tensor(self._whitening)
        center = tf.cast(tf.linalg.matvec(means, weights, transpose_a=True), self.float_dtype)
        log_scale = self._log_weights(weights)
        log_scale += tf.cast(self._log_det(whitening), tf.float64)
        log_scale -= 0.5 * self.event_size * math.log(2 * math.pi)
        normals = Normals(
            self.covariance_type,
            tf.cast(means - tf.cast(center, tf.float64), self.float_dtype),
            whitening,
            tf.cast(log_scale, self.float_dtype),
            has_missing=self.data_spec is None or not self.data_spec.is_integer,
        )
        return normals, center

    def _log_det(self, whitening):
        return self._covariance.log_det(whitening, self.event_size)

    def _log_weights(self, weights):
        return tf.math.log(weights)

    def _rows(self, x, center):
        return tf.reshape(x, [-1, self.event_size]) - center

    def _log_joint(self, x):
        normals, center = self._normals()
        return normals.log_joint(self._rows(x, center))

    def _log_weight(self, x, context, seed, first_row):
        return tf.reduce_logsumexp(self._log_joint(x), axis=1)

    def statistic_shapes(self):
        k, d = self.num_components, self.event_size
        moments = self._covariance.moment_shape(k, d)
        return {"counts": (k,), "sums": (k, d), "moments": moments, "entropy": ()}

    def _expect(self, x, weight=None):
        normals, center = self._normals()
        return normals.expect(self._rows(x, center), weight)

    def _maximize(self, statistics):
        counts = statistics["counts"] + 10 * np.finfo(np.float64).eps
        # the normals of the E step: what was rounded to its float type
        factor = self._covariance.invert(np.array(self._whitening, np.float64))
        shift = statistics["sums"] / counts[:, None]
        means = np.array(self._means) + self._covariance.to_shift(shift, factor)
        covariances = self._covariance.update(
            statistics["moments"], shift, counts, factor, self.reg_covar
        )
        self.set_parameters(counts / counts.sum(), means, covariances)

    def _sample(self, n, context, temperature, seed):
        component_seed, noise_seed = tf.unstack(tf.random.split(seed))
        component = tf.random.stateless_categorical(
            tf.math.log(self._weights)[None], n, component_seed, dtype=tf.int32
        )[0]
        noise = tf.random.stateless_normal([n, self.event_size], noise_seed, dtype=self.float_dtype)
        colored = self._covariance.color(noise, component, self._factor(), self.num_components)
        means = tf.cast(self._means, self.float_dtype)
        x = tf.gather(means, component) + temperature * colored
        return tf.reshape(x, [n, *self.event_shape])

    def _factor(self) -> tf.Tensor:
        """Return the Cholesky factors of the covariances, in graph."""
        covariances = tf.convert_to_tensor(self._covariances)
        root = tf.linalg.cholesky if self.covariance_type in ("full", "tied") else tf.sqrt
        return tf.cast(root(covariances), self.float_dtype)

    def distribution(self, context=None):
        """Return the `tfd.MixtureSameFamily` over flattened data, [D]."""
        tfd = tfp.distributions
        k, d = self.num_components, self.event_size
        means, factor = tf.cast(self._means, self.float_dtype), self._factor()
        if self.covariance_type in ("full", "tied"):
            factor = tf.broadcast_to(factor, [k, d, d])
            components = tfd.MultivariateNormalTriL(means, factor)
        else:
            scale = factor[:, None] if self.covariance_type == "spherical" else factor
            components = tfd.MultivariateNormalDiag(means, tf.broadcast_to(scale, [k, d]))
        weights = tf.cast(self._weights, self.float_dtype)
        return tfd.MixtureSameFamily(tfd.Categorical(probs=weights), components)

    # Outside

    def predict_proba(self, x: Any, *, batch_size: int | None = None, seed: int = 0) -> np.ndarray:
        """Return the posterior probability of each component, [n, K]."""
        data, batch_size = self._door_rows("predict_proba", x, None, batch_size)

        def posterior(x, context, first_row, seed):
            return tf.nn.softmax(self._log_joint(self._to_real(x, seed, first_row)[0]))

        values = self.map_rows("predict_proba", posterior, data, batch_size, make_seed(seed))
        return np.concatenate(list(values))

    def predict(self, x: Any, *, batch_size: int | None = None, seed: int = 0) -> np.ndarray:
        """Return the likeliest component of each row, [n] of int."""
        return self.predict_proba(x, batch_size=batch_size, seed=seed).argmax(axis=1)


def _check_start(value: Any, shape: tuple[int, ...], name: str) -> Any:
    """Return a start value as nested lists, which Keras can save."""
    if value is None:
        return None
    array = np.asarray(value, np.float64)
    if array.shape != shape or not np.isfinite(array).all():
        raise InvalidInputError(
            f"Expected {name} of finite numbers, shape {shape}. Received: {name} of shape "
            f"{array.shape}"
        )
    return array.tolist()
