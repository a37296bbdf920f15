"""TwoStageVAE: a second VAE on the latent space of the first."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from genzoo.core import checks
from genzoo.core.errors import InvalidInputError
from genzoo.core.registry import register
from genzoo.vaes.phases import TwoPhaseTraining
from genzoo.vaes.priors import Prior
from genzoo.vaes.vae import VAE


class VAEPrior(Prior):
    """A VAE on the latent space as the prior.

    Args:
        vae: Its `event_shape` is (latent_dim,).
    """

    def __init__(self, vae: VAE, **arguments: Any):
        super().__init__(**arguments)
        self.vae = vae
        self.built = True

    def bound(self, z, context, seed, first_row):
        """Return what training of the second stage raises: a bound on log p(z), [n]."""
        return self.vae._objective(z, context, seed, first_row)["objective"]

    def log_prob(self, z, context, seed, first_row):
        prepared = self.vae._prepare(z, context, seed, first_row)
        return self.vae._draw_log_weight(prepared, context, seed, first_row)

    def sample(self, n, context, temperature, seed):
        drawn, mean = (
            self.vae._sample(n, context, temperature, seed, mean=mean) for mean in (False, True)
        )
        # both VAEs' noise is noise of the latent space
        return mean + temperature * (drawn - mean)


@register("two_stage_vae")
class TwoStageVAE(TwoPhaseTraining, VAE):
    """A VAE, and a second VAE that learns how the latent vectors of the first are distributed.

    The first is trained alone with a normal prior; then the second, on draws of z given the data,
    with the first fixed. Samples come from the second through the first. `log_prob` and the loss
    of the second phase are the bound of both together.

    Args:
        event_shape: Shape of one example.
        second_hidden_units: Widths of the second VAE's hidden layers; its latent space is as wide
            as the first's.
        first_phase_share: Share of the epochs that the first VAE gets.
        **vae_arguments: Of the first, as for `VAE`, without `prior`.

    Example:

    >>> x = genzoo.data.load("digits").x_train
    >>> model = genzoo.TwoStageVAE((8, 8, 1), latent_dim=2, hidden_units=(32,), seed=0)
    >>> history = model.fit(x, epochs=2, verbose=0)
    >>> model.sample(3, seed=0).shape
    (3, 8, 8, 1)

    Reference: Dai and Wipf, Diagnosing and enhancing VAE models, 2019.
    """

    default_epochs = 2

    def __init__(
        self,
        event_shape: tuple[int, ...] | int,
        *,
        second_hidden_units: Sequence[int] = (256, 256),
        first_phase_share: float = 0.5,
        **vae_arguments: Any,
    ):
        prior = vae_arguments.get("prior", "normal")
        if not isinstance(prior, str) or prior != "normal":
            raise InvalidInputError(
                "Expected prior='normal': the second VAE is the prior. "
                f"Received: prior={prior!r}. Use VAE for other priors."
            )
        super().__init__(event_shape, **vae_arguments)
        self.second_hidden_units = checks.check_units(second_hidden_units)
        self.first_phase_share = checks.check_share(first_phase_share, "first_phase_share")
        second = VAE(
            (self.latent_dim,),
            latent_dim=self.latent_dim,
            hidden_units=self.second_hidden_units,
            activation=self.activation,
            preprocessing=None,
            context_dim=self.context_dim,
            num_classes=self.num_classes,
            seed=self._part_seed(600),
            dtype=self.variable_dtype,
        )
        self.second_prior = VAEPrior(second, dtype=self.variable_dtype)

    def _second_part(self):
        return self.second_prior

    def _log_prior(self, z, context, seed, first_row):
        if self.phase == 0:
            return super()._log_prior(z, context, seed, first_row)
        return self.second_prior.log_prob(z, context, seed, first_row)

    def _objective(self, x, context, seed, first_row):
        if self.phase == 0:
            return super()._objective(x, context, seed, first_row)
        evidence = self._prepare(x, context, seed, first_row)
        target, log_weight = self._target(evidence.x, seed, first_row)
        noise = self._noise(tf.shape(target)[0], seed, first_row)
        z, log_q = self.posterior_layer.draw(evidence.posterior, noise)
        reconstruction = self._log_likelihood(target, z, context) + log_weight
        z, log_q, reconstruction = map(tf.stop_gradient, (z, log_q, reconstruction))
        kl = log_q - self.second_prior.bound(z, context, seed, first_row)
        elbo = reconstruction - kl
        return {"objective": elbo, "elbo": elbo, "reconstruction": reconstruction, "kl": kl}

    def _draw_latent(self, n, context, temperature, seed):
        prior = self.prior_layer if self.phase == 0 else self.second_prior
        return prior.sample(n, context, temperature, seed)
