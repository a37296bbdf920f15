"""VAE: a latent-variable model with an amortised Gaussian posterior."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from genzoo.core import checks
from genzoo.core.density import DensityModel
from genzoo.core.errors import InvalidInputError
from genzoo.core.likelihood import Likelihood
from genzoo.core.random import make_seed, normal_rows
from genzoo.core.registry import register
from genzoo.core.spec import DataSpec
from genzoo.nets import MLP
from genzoo.steps import Standardize
from genzoo.vaes.likelihoods import LIKELIHOODS

_LATENT = 2
_LOG_VARIANCE_LIMIT = 10.0


@register("vae")
class VAE(DensityModel):
    """A variational autoencoder with MLP encoder and decoder.

    `fit` raises the evidence lower bound (ELBO) with the analytic KL divergence; `log_prob` is
    the importance-weighted bound, the ELBO in expectation for one draw.

    Args:
        event_shape: Shape of one example.
        latent_dim: Width of the latent vector z.
        hidden_units: Widths of the encoder's hidden layers; the decoder's in reverse.
        activation: Name of a Keras activation.
        likelihood: `"gaussian"` (standardised data, one learned variance; integers are
            dequantised) or `"bernoulli"` (binary data).
        binarization: For `"bernoulli"` on data that are not binary: `"threshold"` makes values
            in the upper half of the range 1 and scores the binary data, so figures compare with
            those of thresholded data alone. `None` refuses such data.
        beta: Weight of the KL divergence in training (Higgins et al. 2017); 1 for a bound.
        **model_arguments: `levels`, `context_dim`, `num_classes`, `seed`, `name`, `dtype`; see
            `TrainableModel`.

    Example:

    >>> x = genzoo.data.load("digits").x_train
    >>> model = genzoo.VAE((8, 8, 1), latent_dim=2, hidden_units=(32,), seed=0)
    >>> history = model.fit(x, epochs=1, verbose=0)
    >>> model.encode(x[:3]).shape, model.decode(np.zeros((1, 2))).shape
    ((3, 2), (1, 8, 8, 1))

    Reference: Kingma and Welling, Auto-encoding variational Bayes, 2014.
    """

    is_bound = True

    def __init__(
        self,
        event_shape: tuple[int, ...] | int,
        *,
        latent_dim: int = 16,
        hidden_units: Sequence[int] = (256, 256),
        activation: str = "relu",
        likelihood: str = "gaussian",
        binarization: str | None = None,
        beta: float = 1.0,
        **model_arguments: Any,
    ):
        super().__init__(event_shape, **model_arguments)
        self.latent_dim = checks.check_int(latent_dim, "latent_dim")
        self.hidden_units = checks.check_units(hidden_units)
        self.activation = activation
        self.likelihood_name = checks.check_choice(likelihood, LIKELIHOODS, "likelihood")
        self.binarization = checks.check_choice(binarization, ("threshold", None), "binarization")
        if binarization and likelihood != "bernoulli":
            raise InvalidInputError(
                "Expected binarization with likelihood='bernoulli' alone. "
                f"Received: binarization={binarization!r}, likelihood={likelihood!r}"
            )
        self.beta = checks.check_number(beta, "beta")
        dtype = self.dtype_policy.name
        seed = self.seed
        self.encoder = MLP(
            self.event_size,
            self.hidden_units,
            2 * self.latent_dim,
            context_size=self.context_size,
            activation=activation,
            seed=seed,
            dtype=dtype,
            name="encoder",
        )
        self.decoder = MLP(
            self.latent_dim,
            self.hidden_units[::-1],
            self.event_size,
            context_size=self.context_size,
            activation=activation,
            seed=None if seed is None else seed + 100,
            dtype=dtype,
            name="decoder",
        )
        self.output_distribution = LIKELIHOODS[likelihood](dtype=dtype)
        self.output_distribution.build((None, self.event_size))
        self.preprocessing = Standardize(dtype=dtype) if likelihood == "gaussian" else None
        if self.preprocessing is not None:
            self.preprocessing.build((None, *self.event_shape))
        self.built = True

    @property
    def likelihood(self) -> Likelihood:
        if self.likelihood_name == "bernoulli":
            return Likelihood("lower_bound", "mass")
        return super().likelihood

    def _set_spec(self, spec: DataSpec) -> None:
        if self.likelihood_name == "bernoulli" and spec.levels != 2 and self.binarization is None:
            levels = "real numbers" if spec.levels is None else f"{spec.levels} levels"
            raise InvalidInputError(
                "Expected binary data (bool, or uint8 of 0 and 1) with "
                f"likelihood='bernoulli'. Received: {spec.dtype} data of {levels}. "
                "Pass binarization='threshold', or use likelihood='gaussian'."
            )
        super()._set_spec(spec)

    def _adapt_parts(self, batches):
        if self.preprocessing is None:
            return

        def real():
            return (x.numpy() for x, _ in self._real_batches(batches()))

        self.preprocessing.adapt(real, self.data_spec)

    # In graph

    def _to_real(self, x, seed, first_row):
        if self.likelihood_name != "bernoulli":
            return super()._to_real(x, seed, first_row)
        x = tf.cast(x, self.float_dtype)
        return tf.cast(x > self._threshold(), self.float_dtype), 0.0

    def _threshold(self) -> float:
        levels = self.data_spec.levels
        return 0.5 if levels is None else 0.5 * (levels - 1)

    def _preprocess(self, x) -> tuple[tf.Tensor, tf.Tensor]:
        """Return flat data on the model's side [n, D] and the log-det of the way there."""
        log_det = tf.zeros([], self.float_dtype)
        if self.preprocessing is not None:
            x, log_det = self.preprocessing.inverse_and_log_det(x)
        return tf.reshape(x, [-1, self.event_size]), log_det

    def posterior(self, flat, context=None) -> tuple[tf.Tensor, tf.Tensor]:
        """Return mean and log-variance of q(z | x), each [n, latent_dim]."""
        mean, log_variance = tf.split(self.encoder(flat, context), 2, axis=1)
        limit = _LOG_VARIANCE_LIMIT
        return mean, limit * tf.tanh(log_variance / limit)

    def _draw(self, mean, log_variance, seed, first_row):
        seed = tf.random.experimental.stateless_fold_in(seed, _LATENT)
        n, dtype = tf.shape(mean)[0], self.float_dtype
        noise = normal_rows(n, (self.latent_dim,), seed, first_row, dtype)
        return mean + tf.exp(0.5 * log_variance) * noise, noise

    def _reconstruct(self, flat, z, context):
        return self.output_distribution.log_prob(flat, self.decoder(z, context))

    def _objective(self, x, context, seed, first_row):
        flat, log_det = self._preprocess(x)
        mean, log_variance = self.posterior(flat, context)
        z, _ = self._draw(mean, log_variance, seed, first_row)
        variance = tf.exp(log_variance)
        divergence = 0.5 * tf.reduce_sum(variance + mean**2 - 1.0 - log_variance, axis=1)
        return self._reconstruct(flat, z, context) + log_det - self.beta * divergence

    def _log_weight(self, x, context, seed, first_row):
        """Log p(x, z) / q(z | x) at a draw of z from q, [n]."""
        flat, log_det = self._preprocess(x)
        mean, log_variance = self.posterior(flat, context)
        z, noise = self._draw(mean, log_variance, seed, first_row)
        # the normal constants of prior and posterior cancel
        log_ratio = 0.5 * tf.reduce_sum(noise**2 + log_variance - z**2, axis=1)
        return self._reconstruct(flat, z, context) + log_det + log_ratio

    def _to_event(self, flat):
        """Carry [n, D] on the model's side to real numbers in data space."""
        x = tf.reshape(flat, [-1, *self.event_shape])
        if self.preprocessing is not None:
            return self.preprocessing.forward_and_log_det(x)[0]
        # a binary value stands for the ends of the data's range, in the middle of its bin
        top = 1.0 if self.data_spec.levels is None else self.data_spec.levels - 1.0
        return x * top + (0.5 if self.data_spec.is_integer else 0.0)

    def _sample(self, n, context, temperature, seed):
        latent_seed, output_seed = tf.unstack(tf.random.split(seed))
        z = tf.random.stateless_normal([n, self.latent_dim], latent_seed, dtype=self.float_dtype)
        output = self.decoder(temperature * z, context)
        return self._to_event(self.output_distribution.sample(output, output_seed))

    def _encode(self, x, context, first_row):
        real, _ = self._to_real(x, make_seed(0), first_row)
        flat, _ = self._preprocess(real)
        return self.posterior(flat, context)[0]

    def _decode(self, z, context):
        mean = self.output_distribution.mean(self.decoder(z, context))
        return self.data_spec.to_data(self._to_event(mean))

    def get_config(self):
        # `likelihood` itself is the declaration that every model makes
        return {**super().get_config(), "likelihood": self.likelihood_name}

    # Outside

    def encode(self, x: Any, *, context: Any = None, batch_size: int | None = None) -> np.ndarray:
        """Return the posterior mean of z for each row, [n, latent_dim]."""
        data, batch_size = self._door_rows("encode", x, context, batch_size)
        return np.concatenate(list(self.map_rows("encode", self._encode, data, batch_size)))

    def decode(self, z: Any, *, context: Any = None) -> np.ndarray:
        """Return the mean of p(x | z) in the kind of the data.

        Args:
            z: [n, latent_dim].
            context: As in `fit`, for conditional models.

        Returns:
            Array [n, *event_shape]; for binarised data the mean is rounded to a level.
        """
        return self.map_latents("decode", self._decode, z, (self.latent_dim,), context)

    def reconstruct(self, x: Any, *, context: Any = None) -> np.ndarray:
        """Return `decode(encode(x))`."""
        return self.decode(self.encode(x, context=context), context=context)

    def export_signatures(self):
        """As in `DensityModel`, with `encode(x)` (the mean of z) and `decode(z)`."""
        return {**super().export_signatures(), **self.latent_signatures((self.latent_dim,))}
