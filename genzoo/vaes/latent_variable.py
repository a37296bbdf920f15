"""LatentVariableLaw: p(x) = integral of p(z) p(x | z), with an amortised posterior."""

from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from genzoo.core.engine.variables import still_zeros
from genzoo.core.law import Batches, Law
from genzoo.core.maths.random import RowNoise, make_seed
from genzoo.steps import Chain
from genzoo.vaes.likelihoods import OutputDistribution
from genzoo.vaes.posteriors import Posterior, PosteriorParameters
from genzoo.vaes.priors import VampPrior

_LATENT, _BINARY, _PRIOR = 2, 3, 4
_LEAST_SPREAD = 1e-3


class Evidence(NamedTuple):
    """Data as observed (integers, or binary values) and the posterior given them."""

    x: tf.Tensor
    posterior: PosteriorParameters


class LatentVariableLaw(Law):
    """The law of a VAE: a prior of z, a decoder's distribution of x given z, and a posterior.

    log p(x) >= E_q(z | x) [log p(x | z) + log p(z) - log q(z | x)]

    Args:
        event_shape: Shape of one example.
        prior: Law of z, [latent_dim].
        posterior: What becomes of the encoder's output.
        likelihood: What becomes of the decoder's output.
        encoder: Network of (x, context) to the posterior's numbers.
        decoder: Network of (z, context) to the likelihood's numbers.
        ends: Steps between the model's side and the data.
        beta, free_bits, binarization: As of `VAE`.
        context_size: Width of the encoded context.

    Attributes:
        kl_weight: Weight of the KL divergence in training beside `beta`, which callbacks may set.

    Reference: Kingma and Welling, Auto-encoding variational Bayes, 2014.
    """

    is_exact = False

    def __init__(
        self,
        event_shape: tuple[int, ...],
        *,
        prior: Law,
        posterior: Posterior,
        likelihood: OutputDistribution,
        encoder: keras.layers.Layer,
        decoder: keras.layers.Layer,
        ends: Chain,
        beta: float = 1.0,
        free_bits: float = 0.0,
        binarization: str | None = None,
        context_size: int = 0,
        **layer_arguments: Any,
    ):
        super().__init__(event_shape, context_size=context_size, **layer_arguments)
        self.prior, self.posterior, self.likelihood = prior, posterior, likelihood
        self.encoder, self.decoder, self.ends = encoder, decoder, ends
        self.beta, self.free_bits, self.binarization = beta, free_bits, binarization
        self.latent_dim = posterior.latent_dim
        self.kl_weight = self.add_weight(
            shape=(), initializer="ones", trainable=False, name="kl_weight"
        )
        self.built = True

    @property
    def has_closed_divergence(self) -> bool:
        """Whether the KL divergence from the prior is known in closed form."""
        return self.prior.is_standard_normal and self.posterior.chain is None

    # Data, as the parts see them

    def observe(self, x: tf.Tensor, noise: RowNoise) -> tf.Tensor:
        """Return the data that are scored: binarised where that is asked for."""
        if self.likelihood.kind != "binary":
            return x
        x = tf.cast(x, self.variable_dtype)
        top = self._top()
        threshold = 0.5
        if self.binarization == "dynamic":
            threshold = noise.part(_BINARY).uniform(tf.shape(x)[0], self.event_shape)
        return tf.cast(x > threshold * top, self.variable_dtype)

    def _top(self) -> float:
        """Return the largest value of the data."""
        known = self.data_spec is not None and self.data_spec.levels is not None
        return self.data_spec.levels - 1.0 if known else 1.0

    def see(self, x: tf.Tensor) -> tf.Tensor:
        """Return what the encoder sees of the data, integers by the middle of their bins."""
        middle = 0.5 if x.dtype.is_integer or x.dtype.is_bool else 0.0
        return self.ends.inverse_and_log_det(tf.cast(x, self.variable_dtype) + middle)[0]

    def target(self, x: tf.Tensor, noise: RowNoise) -> tuple[tf.Tensor, Any]:
        """Return what the likelihood scores, and the log-weight of the way there."""
        if self.likelihood.kind != "density":
            return tf.cast(x, self.variable_dtype), 0.0
        real, log_weight = self.to_real(x, noise)
        target, log_det = self.ends.inverse_and_log_det(real)
        return target, log_weight + log_det

    def to_event(self, values: tf.Tensor) -> tf.Tensor:
        """Carry what the likelihood speaks of to real numbers in data space."""
        kind = self.likelihood.kind
        if kind == "density":
            return self.ends.forward_and_log_det(values)[0]
        if kind == "mass":
            return values + 0.5
        # a binary value stands for the ends of the data's range, in the middle of its bin
        integer = self.data_spec is not None and self.data_spec.is_integer
        return values * self._top() + (0.5 if integer else 0.0)

    # Posterior and likelihood

    def infer(self, seen: tf.Tensor, context: tf.Tensor | None) -> PosteriorParameters:
        """Return the posterior given data on the model's side, [n, *event_shape]."""
        encoded = tf.cast(self.encoder(seen, self.seen_of(context)), self.variable_dtype)
        return self.posterior.split(encoded)

    def output(self, z: tf.Tensor, context: tf.Tensor | None) -> tf.Tensor:
        """Return the likelihood's parameters given z."""
        return tf.cast(self.decoder(z, self.seen_of(context)), self.variable_dtype)

    def log_likelihood(self, target, z, context) -> tf.Tensor:
        """Return log p(x | z), [n]."""
        return self.likelihood.log_prob(target, self.output(z, context))

    def log_prior(self, z, context, noise: RowNoise) -> tf.Tensor:
        """Return log p(z), or a draw whose exponential has mean p(z), [n]."""
        return self.prior.log_prob(z, context, noise.part(_PRIOR))

    def latent_noise(self, n, noise: RowNoise, draws: int | None = None) -> tf.Tensor:
        """Return the standard normal noise of the posterior, [n(, draws), latent_dim]."""
        shape = (self.latent_dim,) if draws is None else (draws, self.latent_dim)
        return noise.part(_LATENT).normal(n, shape)

    def draw_latent(self, given: PosteriorParameters, noise: RowNoise):
        """Return z and log q(z | x)."""
        return self.posterior.draw(given, self.latent_noise(tf.shape(given.mean)[0], noise))

    # Density

    def prepare(self, x, context, noise):
        x = self.observe(x, noise)
        return Evidence(x, self.infer(self.see(x), context))

    def log_weight(self, prepared, context, noise):
        target, log_weight = self.target(prepared.x, noise)
        z, log_q = self.draw_latent(prepared.posterior, noise)
        log_prior = self.log_prior(z, context, noise)
        return self.log_likelihood(target, z, context) + log_weight + log_prior - log_q

    def objective(self, x, context=None, noise=None):
        noise = self._noise(noise)
        evidence = self.prepare(x, context, noise)
        target, log_weight = self.target(evidence.x, noise)
        given = evidence.posterior
        z, log_q = self.draw_latent(given, noise)
        reconstruction = self.log_likelihood(target, z, context) + log_weight
        cost = kl = log_q - self.log_prior(z, context, noise)
        if self.has_closed_divergence:
            by_unit = self.posterior.divergence(given)
            kl = tf.reduce_sum(by_unit, axis=1)
            cost = tf.reduce_sum(tf.maximum(by_unit, self.free_bits), axis=1)
        return {
            "objective": reconstruction - self.beta * self.kl_weight * cost,
            "elbo": reconstruction - kl,
            "reconstruction": reconstruction,
            "kl": kl,
        }

    # Samples

    def sample(self, n, context=None, *, temperature=1.0, seed, mean=False):
        latent_seed, output_seed = tf.unstack(tf.random.split(seed))
        z = self.sample_latent(n, context, temperature=temperature, seed=latent_seed)
        return self.to_event(self.draw_output(z, context, output_seed, mean))

    def sample_latent(self, n, context=None, *, temperature=1.0, seed) -> tf.Tensor:
        """Return draws of z, [n, latent_dim]; arguments as of `sample`."""
        return self.prior.sample(n, context, temperature=temperature, seed=seed)

    def draw_output(self, z, context, seed, mean: bool) -> tf.Tensor:
        """Return a draw of what the likelihood speaks of, or its mean, given z."""
        output = self.output(z, context)
        return self.likelihood.mean(output) if mean else self.likelihood.sample(output, seed)

    def encode(self, x: tf.Tensor, context: tf.Tensor | None = None) -> tf.Tensor:
        """Return the centre of the posterior of z, [n, latent_dim]."""
        return self.posterior.center(self.prepare(x, context, self._noise(None)).posterior)

    def encode_draw(self, x, context, noise: RowNoise) -> tf.Tensor:
        """Return draws of z given x, [n, latent_dim]."""
        return self.draw_latent(self.prepare(x, context, noise).posterior, noise)[0]

    def decode(self, z: tf.Tensor, context: tf.Tensor | None = None) -> tf.Tensor:
        """Return the mean of x given z, as real numbers in data space, [n, *event_shape]."""
        return self.to_event(self.draw_output(z, context, make_seed(0), mean=True))

    # Start

    def adapt(self, batches: Batches) -> None:
        """Start the preprocessing, the likelihood's scale and pseudo-inputs from data."""
        self.prior.check_ready()
        for step in reversed(self.ends.steps):
            if step.adapts:
                step.adapt(lambda: self._real(batches), self.data_spec)
        num_inputs = self.prior.num_inputs if isinstance(self.prior, VampPrior) else 0
        count, total, squares, first = 0, 0.0, 0.0, []
        for x, _ in batches():
            noise = RowNoise(make_seed(0), count, self.variable_dtype)
            seen = self.see(self.observe(x, noise)).numpy()
            total += seen.sum(dtype=np.float64)
            squares += np.square(seen, dtype=np.float64).sum()
            if count < num_inputs:
                first.append(seen[: num_inputs - count])
            count += len(seen)
        size = count * int(np.prod(self.event_shape))
        variance = squares / size - (total / size) ** 2
        self.likelihood.start(max(np.sqrt(max(variance, 0.0)), _LEAST_SPREAD))
        if num_inputs and still_zeros(self.prior.inputs):
            self.prior.inputs.assign(np.resize(np.concatenate(first), self.prior.inputs.shape))

    def _real(self, batches):
        first_row = 0
        for x, _ in batches():
            noise = RowNoise(make_seed(0), first_row, self.variable_dtype)
            yield self.to_real(x, noise)[0].numpy()
            first_row += len(x)
