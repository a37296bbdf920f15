"""MixtureLaw: the law of a mixture of normals."""

from typing import Any

import numpy as np
import tensorflow as tf

from genzoo.classic.gaussians import COVARIANCES, Normals, make_normals
from genzoo.core.engine.variables import still_zeros
from genzoo.core.errors import NotFittedError
from genzoo.core.law import Law
from genzoo.core.lazy import tfp


class MixtureLaw(Law):
    """p(x) = sum_k w_k N(x; m_k, C_k), of flattened examples.

    The parameters are held in float64; graphs compute in the float type of the law, from rows less
    the mixture's mean. No gradient trains them: a model sets them.

    Args:
        event_shape: Shape of one example; D values in all.
        num_components: Number of components K.
        covariance_type: Name of `COVARIANCES`.

    Attributes:
        mixing_weights: [K]. means: [K, D].
        covariances: Of the shape of the type. whitening: Their inverse Cholesky factors.
    """

    def __init__(
        self,
        event_shape: tuple[int, ...],
        *,
        num_components: int,
        covariance_type: str,
        **layer_arguments: Any,
    ):
        super().__init__(event_shape, **layer_arguments)
        self.num_components, self.covariance_type = num_components, covariance_type
        self.covariance = COVARIANCES[covariance_type]
        self.size = int(np.prod(self.event_shape))
        k, d = num_components, self.size
        shape = self.covariance.factor_shape(k, d)
        self.mixing_weights = self._parameter("weights", (k,), "float64")
        self.means = self._parameter("means", (k, d), "float64")
        self.covariances = self._parameter("covariances", shape, "float64")
        self.whitening = self._parameter("whitening", shape)
        self.built = True

    def _parameter(self, name, shape, dtype=None):
        return self.add_weight(
            shape=shape, dtype=dtype, initializer="zeros", trainable=False, name=name
        )

    def assign(self, weights: Any, means: Any, covariances: Any) -> bool:
        """Take these parameters in place of the present ones; return whether they are finite.

        Args:
            weights: [K], of sum 1.
            means: [K, D].
            covariances: Of the shape of `covariances`.
        """
        weights, means, covariances = (
            np.asarray(value, np.float64) for value in (weights, means, covariances)
        )
        factor = self.covariance.to_factor(covariances)
        whitening = self.covariance.invert(factor).astype(self.variable_dtype)
        if not all(np.isfinite(value).all() for value in (weights, means, whitening)):
            return False
        self.mixing_weights.assign(weights)
        self.means.assign(means)
        self.covariances.assign(covariances)
        self.whitening.assign(whitening)
        return True

    def check_ready(self):
        if still_zeros(self.mixing_weights):
            raise NotFittedError(
                "Expected a fitted mixture as the base or prior of another model, whose training "
                "leaves it as it is. Received: one without parameters. Call its fit(x) first."
            )

    def rows(self, x: tf.Tensor) -> tf.Tensor:
        """Return examples as vectors, [n, D]."""
        return tf.reshape(x, [-1, self.size])

    def normals(self, log_weights: tf.Tensor | None = None) -> Normals:
        """Return the components, what is added to their log-densities being `log_weights` [K].

        Args:
            log_weights: `None` for the logarithms of the mixing weights.
        """
        weights, means = (tf.convert_to_tensor(v) for v in (self.mixing_weights, self.means))
        return make_normals(
            self.covariance_type,
            tf.math.log(weights) if log_weights is None else log_weights,
            means,
            tf.convert_to_tensor(self.whitening),
            tf.linalg.matvec(means, weights, transpose_a=True),
            self.variable_dtype,
            has_missing=self.data_spec is None or not self.data_spec.is_integer,
        )

    def log_weight(self, prepared, context, noise):
        real, log_weight = self.to_real(prepared, noise)
        return self.normals().log_prob(self.rows(real))[:, 0] + log_weight

    def sample(self, n, context=None, *, temperature=1.0, seed):
        component_seed, noise_seed = tf.unstack(tf.random.split(seed))
        component = tf.random.stateless_categorical(
            tf.math.log(self.mixing_weights)[None], n, component_seed, dtype=tf.int32
        )[0]
        noise = tf.random.stateless_normal([n, self.size], noise_seed, dtype=self.variable_dtype)
        colored = self.covariance.color(noise, component, self.factor(), self.num_components)
        means = tf.cast(self.means, self.variable_dtype)
        x = tf.gather(means, component) + temperature * colored
        return tf.reshape(x, [n, *self.event_shape])

    def factor(self) -> tf.Tensor:
        """Return the Cholesky factors of the covariances, in graph."""
        covariances = tf.convert_to_tensor(self.covariances)
        root = tf.linalg.cholesky if self.covariance_type in ("full", "tied") else tf.sqrt
        return tf.cast(root(covariances), self.variable_dtype)

    def flat_distribution(self, offset: Any = 0.0):
        """Return the `tfd.MixtureSameFamily` over flattened examples, [D], moved by `offset`.

        It has the parameters of the moment: one that is kept does not follow further training.
        """
        tfd = tfp.distributions
        k, d = self.num_components, self.size
        means, factor = tf.cast(self.means + offset, self.variable_dtype), self.factor()
        if self.covariance_type in ("full", "tied"):
            factor = tf.broadcast_to(factor, [k, d, d])
            components = tfd.MultivariateNormalTriL(means, factor)
        else:
            scale = factor[:, None] if self.covariance_type == "spherical" else factor
            components = tfd.MultivariateNormalDiag(means, tf.broadcast_to(scale, [k, d]))
        weights = tf.cast(self.mixing_weights, self.variable_dtype)
        return tfd.MixtureSameFamily(tfd.Categorical(probs=weights), components)
