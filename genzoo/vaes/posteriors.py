"""Approximate posteriors q(z | x) and what an encoder gives them."""

import math
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from genzoo.core.checks import check_choice, check_int
from genzoo.steps import Chain, Inverse, MaskedAutoregressive, Permutation, Planar

POSTERIORS = ("gaussian", "iaf", "planar")
_LOG_VARIANCE_LIMIT = 10.0
_LOG_2PI = math.log(2.0 * math.pi)
_FEATURES = 32
_HIDDEN_UNITS = (128, 128)


class PosteriorParameters(NamedTuple):
    """Mean and log-variance of the Gaussian, each [n, latent_dim], and the steps' context."""

    mean: tf.Tensor
    log_variance: tf.Tensor
    features: tf.Tensor | None


class Posterior(keras.layers.Layer):
    """A diagonal Gaussian, and flow steps after it that see features of x.

    Args:
        kind: `"gaussian"` (no steps), `"iaf"` (inverse autoregressive steps) or `"planar"`.
        latent_dim: Width of z.
        num_steps: Flow steps.
        seed: Fixes the initial weights.

    Reference: Rezende and Mohamed, Variational inference with normalizing flows, 2015; Kingma et
    al., Improved variational inference with inverse autoregressive flow, 2016.
    """

    def __init__(
        self, kind: str, latent_dim: int, num_steps: int, seed: int | None = None, **arguments: Any
    ):
        super().__init__(**arguments)
        self.kind = check_choice(kind, POSTERIORS, "posterior")
        self.latent_dim = latent_dim
        check_int(num_steps, "num_posterior_steps")
        self.chain = None
        if kind != "gaussian":
            self.chain = Chain(self._steps(num_steps, seed), dtype=self.variable_dtype)
            self.chain.build((None, latent_dim))
        self.built = True

    def _steps(self, count, seed):
        steps, dtype = [], self.variable_dtype
        for i in range(count):
            own = {"seed": None if seed is None else seed + 10 * i, "dtype": dtype}
            if self.kind == "planar":
                steps.append(Planar(context_size=_FEATURES, **own))
                continue
            if i and self.latent_dim > 1:
                steps.append(Permutation("reverse", **own))
            autoregressive = MaskedAutoregressive(
                "affine", _HIDDEN_UNITS, context_size=_FEATURES, **own
            )
            steps.append(Inverse(autoregressive, dtype=dtype))
        return steps

    @property
    def parameter_size(self) -> int:
        """Numbers that the encoder gives for one example."""
        return 2 * self.latent_dim + (_FEATURES if self.chain else 0)

    def split(self, encoded: tf.Tensor) -> PosteriorParameters:
        """Name the parts of the encoder's output [n, parameter_size]."""
        sizes = [self.latent_dim, self.latent_dim, self.parameter_size - 2 * self.latent_dim]
        mean, log_variance, features = tf.split(encoded, sizes, axis=1)
        limit = _LOG_VARIANCE_LIMIT
        log_variance = limit * tf.tanh(log_variance / limit)
        return PosteriorParameters(mean, log_variance, features if self.chain else None)

    def draw(self, given: PosteriorParameters, noise: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return z [n, latent_dim] and log q(z | x), [n].

        Args:
            given: From `split`.
            noise: Standard normal [n, latent_dim].
        """
        z = given.mean + tf.exp(0.5 * given.log_variance) * noise
        log_q = -0.5 * tf.reduce_sum(noise**2 + given.log_variance + _LOG_2PI, axis=1)
        if self.chain is None:
            return z, log_q
        z, log_det = self.chain.forward_and_log_det(z, given.features)
        return z, log_q - log_det

    def center(self, given: PosteriorParameters) -> tf.Tensor:
        """Return the mean of z, or the image of the Gaussian's under the steps."""
        if self.chain is None:
            return given.mean
        return self.chain.forward_and_log_det(given.mean, given.features)[0]

    def divergence(self, given: PosteriorParameters) -> tf.Tensor:
        """Return KL(q(z_j | x) || N(0, 1)) in nats, [n, latent_dim], of the Gaussian alone."""
        variance = tf.exp(given.log_variance)
        return 0.5 * (variance + given.mean**2 - 1.0 - given.log_variance)
