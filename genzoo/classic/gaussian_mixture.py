"""GaussianMixture: a mixture of normals, by EM."""

import math
from typing import Any

import numpy as np
import tensorflow as tf

from genzoo.classic.covariance import COVARIANCES
from genzoo.classic.em import EMModel
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

    def __init__(
        self,
        event_shape: tuple[int, ...] | int,
        *,
        num_components: int = 10,
        covariance_type: str = "full",
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
        self.reg_covar = check_number(reg_covar, "reg_covar")
        self._covariance = COVARIANCES[covariance_type]
        k, d = self.num_components, self.event_size
        factor_shape = self._covariance.factor_shape(k, d)
        self.weights_init = _check_start(weights_init, (k,), "weights_init")
        self.means_init = _check_start(means_init, (k, d), "means_init")
        self.covariances_init = _check_start(covariances_init, factor_shape, "covariances_init")
        self._log_weights = self._parameter("log_weights", (k,))
        self._means = self._parameter("means", (k, d))
        self._factor = self._parameter("factor", factor_shape)
        self.built = True

    def _parameter(self, name, shape):
        return self.add_weight(shape=shape, initializer="zeros", trainable=False, name=name)

    # Parameters

    @property
    def weights_(self) -> np.ndarray:
        self._check_fitted("weights_")
        return np.exp(np.asarray(self._log_weights))

    @property
    def means_(self) -> np.ndarray:
        self._check_fitted("means_")
        return np.asarray(self._means)

    @property
    def covariances_(self) -> np.ndarray:
        self._check_fitted("covariances_")
        return self._covariance.to_covariance(np.asarray(self._factor))

    def _set_parameters(self, weights, means, covariances) -> None:
        factor = self._covariance.to_factor(np.asarray(covariances, np.float64))
        if not (np.isfinite(factor).all() and np.isfinite(means).all()):
            raise InvalidInputError(
                "Expected finite parameters. Received: an overflow in the M step. "
                "Standardise the data, or increase reg_covar."
            )
        with np.errstate(divide="ignore"):
            self._log_weights.assign(np.log(weights).astype(self.dtype))
        self._means.assign(np.asarray(means).astype(self.dtype))
        self._factor.assign(factor.astype(self.dtype))

    def _adapt_parts(self, batches):
        rows = self._start_rows(batches)
        k, d = self.num_components, self.event_size
        if len(rows) < k:
            raise InvalidInputError(
                f"Expected at least num_components={k} rows. "
                f"Received: {len(rows)} rows. Use fewer components."
            )
        from sklearn.cluster import KMeans

        seed = 0 if self.seed is None else self.seed % 2**32
        labels = KMeans(k, n_init=1, random_state=seed).fit_predict(rows)
        counts = np.bincount(labels, minlength=k).astype(np.float64)
        # as in scikit-learn, an empty cluster gets no more than a rounding error of weight
        counts += 10 * np.finfo(np.float64).eps
        means = np.zeros((k, d))
        np.add.at(means, labels, rows)
        means /= counts[:, None]
        scatter = np.zeros((k, d, d))
        for i in range(k):
            difference = rows[labels == i] - means[i]
            scatter[i] = difference.T @ difference
        covariances = self._covariance.from_scatter(scatter, counts, self.reg_covar)
        start = {
            "weights": counts / counts.sum(),
            "means": means,
            "covariances": covariances,
        }
        for name in start:
            given = getattr(self, f"{name}_init")
            start[name] = start[name] if given is None else np.asarray(given)
        self._set_parameters(**start)

    def _start_rows(self, batches) -> np.ndarray:
        """Return up to 20,000 rows in float64, drawn evenly from a stream of any length."""
        random = np.random.default_rng(0 if self.seed is None else self.seed)
        kept, keys = np.empty((0, self.event_size)), np.empty(0)
        for x, _ in self._real_batches(batches()):
            rows = x.numpy().reshape(len(x), -1).astype(np.float64)
            kept, keys = np.concatenate([kept, rows]), np.append(keys, random.random(len(rows)))
            if len(keys) > _START_ROWS:
                chosen = np.sort(np.argpartition(keys, _START_ROWS)[:_START_ROWS])
                kept, keys = kept[chosen], keys[chosen]
        return kept

    # In graph

    def _joint(self, x) -> tuple[tf.Tensor, tf.Tensor]:
        """Return log p(x, k) [n, K] and the whitened differences [n, K, D]."""
        rows = tf.reshape(x, [-1, 1, self.event_size])
        factor = tf.convert_to_tensor(self._factor)
        whitened = self._covariance.whiten(rows - self._means, factor)
        log_norm = 0.5 * self.event_size * math.log(2 * math.pi)
        log_norm += self._covariance.log_det(factor, self.event_size)
        squares = tf.reduce_sum(tf.square(whitened), axis=-1)  # [n, K]
        return self._log_weights - log_norm - 0.5 * squares, whitened

    def _log_weight(self, x, context, seed, first_row):
        return tf.reduce_logsumexp(self._joint(x)[0], axis=1)

    def statistic_shapes(self):
        k, d = self.num_components, self.event_size
        return {"counts": (k,), "sums": (k, d), "moments": self._covariance.moment_shape(k, d)}

    def _expect(self, x):
        joint, whitened = self._joint(x)
        log_prob = tf.reduce_logsumexp(joint, axis=1)
        responsibility = tf.exp(joint - log_prob[:, None])  # [n, K]
        return log_prob, {
            "counts": tf.reduce_sum(responsibility, axis=0),
            "sums": tf.einsum("nk,nkd->kd", responsibility, whitened),
            "moments": self._covariance.moments(responsibility, whitened),
        }

    def _maximize(self, statistics):
        counts = statistics["counts"] + 10 * np.finfo(np.float64).eps
        factor = np.asarray(self._factor, np.float64)
        shift = statistics["sums"] / counts[:, None]
        means = np.asarray(self._means, np.float64) + self._covariance.to_shift(shift, factor)
        covariances = self._covariance.update(
            statistics["moments"], shift, counts, factor, self.reg_covar
        )
        self._set_parameters(counts / counts.sum(), means, covariances)

    def _sample(self, n, context, temperature, seed):
        component_seed, noise_seed = tf.unstack(tf.random.split(seed))
        component = tf.random.stateless_categorical(
            self._log_weights[None], n, component_seed, dtype=tf.int32
        )[0]
        noise = tf.random.stateless_normal([n, self.event_size], noise_seed, dtype=self.float_dtype)
        factor = tf.convert_to_tensor(self._factor)
        colored = self._covariance.color(noise, component, factor, self.num_components)
        x = tf.gather(tf.convert_to_tensor(self._means), component) + temperature * colored
        return tf.reshape(x, [n, *self.event_shape])

    def distribution(self, context=None):
        """Return the `tfd.MixtureSameFamily` over flattened data, [D]."""
        tfd = tfp.distributions
        k, d = self.num_components, self.event_size
        factor = tf.convert_to_tensor(self._factor)
        if self.covariance_type in ("full", "tied"):
            factor = tf.broadcast_to(factor, [k, d, d])
            components = tfd.MultivariateNormalTriL(self._means.value, factor)
        else:
            scale = factor if self.covariance_type == "diag" else factor[:, None]
            components = tfd.MultivariateNormalDiag(
                self._means.value, tf.broadcast_to(scale, [k, d])
            )
        return tfd.MixtureSameFamily(tfd.Categorical(logits=self._log_weights.value), components)

    # Outside

    def predict_proba(self, x: Any, *, batch_size: int | None = None, seed: int = 0) -> np.ndarray:
        """Return the posterior probability of each component, [n, K]."""
        data, batch_size = self._door_rows("predict_proba", x, None, batch_size)

        def posterior(x, context, first_row, seed):
            return tf.nn.softmax(self._joint(self._to_real(x, seed, first_row)[0])[0])

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
