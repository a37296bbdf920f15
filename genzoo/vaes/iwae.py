"""IWAE: the VAE trained on the importance-weighted bound."""

import dataclasses
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from genzoo.core.checks import check_int
from genzoo.core.errors import InvalidInputError
from genzoo.core.registry import register
from genzoo.vaes.latent_variable import LatentVariableLaw
from genzoo.vaes.posteriors import PosteriorParameters
from genzoo.vaes.vae import VAE, VAEArguments

if TYPE_CHECKING:
    from typing_extensions import Unpack


class ImportanceWeightedLaw(LatentVariableLaw):
    """The law of a VAE, trained on the bound of several draws.

    Args:
        event_shape, **law_arguments: As of `LatentVariableLaw`.
        num_draws: Draws K of z for an example in training.
    """

    def __init__(self, event_shape: tuple[int, ...], *, num_draws: int, **law_arguments: Any):
        super().__init__(event_shape, **law_arguments)
        self.num_draws = num_draws

    def objective(self, x, context=None, noise=None):
        noise = self._noise(noise)
        evidence = self.prepare(x, context, noise)
        target, log_weight = self.target(evidence.x, noise)
        n, draws = tf.shape(target)[0], self.num_draws

        def repeat(values):
            return None if values is None else tf.repeat(values, draws, axis=0)

        latent = tf.reshape(self.latent_noise(n, noise, draws), [n * draws, self.latent_dim])
        given = PosteriorParameters(*map(repeat, evidence.posterior))
        z, log_q = self.posterior.draw(given, latent)
        reconstruction = self.log_likelihood(repeat(target), z, repeat(context))
        of_draws = dataclasses.replace(noise, first_row=noise.first_row * draws)
        kl = log_q - self.log_prior(z, repeat(context), of_draws)

        def by_draw(values):
            return tf.reshape(values, [n, draws])

        weights = by_draw(reconstruction - kl)
        bound = tf.reduce_logsumexp(weights, axis=1) - tf.math.log(tf.cast(draws, weights.dtype))
        return {
            "objective": bound + log_weight,
            "elbo": tf.reduce_mean(weights, axis=1) + log_weight,
            "reconstruction": tf.reduce_mean(by_draw(reconstruction), axis=1) + log_weight,
            "kl": tf.reduce_mean(by_draw(kl), axis=1),
        }


@register("iwae")
class IWAE(VAE):
    """A VAE whose training raises the bound of several draws, log mean p(x, z_k) / q(z_k | x).

    Args:
        event_shape: Shape of one example.
        num_draws: Draws K of z for an example in training.
        **vae_arguments: As for `VAE`; `beta` and `free_bits` have no meaning here.

    Raises:
        InvalidInputError: For a `beta` other than 1 or `free_bits`.

    Example:

    >>> x = genzoo.data.load("digits").x_train
    >>> model = genzoo.IWAE((8, 8, 1), num_draws=3, latent_dim=2, hidden_units=(32,), seed=0)
    >>> history = model.fit(x, epochs=1, verbose=0)
    >>> model.log_prob(x[:3], num_samples=50).shape
    (3,)

    Reference: Burda, Grosse and Salakhutdinov, Importance weighted autoencoders, 2016.
    """

    def __init__(
        self,
        event_shape: tuple[int, ...] | int,
        *,
        num_draws: int = 5,
        **vae_arguments: "Unpack[VAEArguments]",
    ):
        self.num_draws = check_int(num_draws, "num_draws")
        super().__init__(event_shape, **vae_arguments)
        if self.beta != 1.0 or self.free_bits:
            raise InvalidInputError(
                "Expected beta=1 and free_bits=0: the importance-weighted bound has no KL term. "
                f"Received: beta={self.beta!r}, free_bits={self.free_bits!r}. Use VAE for them."
            )

    def _make_law(self):
        return ImportanceWeightedLaw(self.event_shape, num_draws=self.num_draws, **self._parts())
