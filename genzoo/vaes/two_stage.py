"""TwoStageVAE: a second VAE on the latent space of the first."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from genzoo.core import checks
from genzoo.core.errors import InvalidInputError
from genzoo.core.law import Law
from genzoo.core.registry import register
from genzoo.vaes.latent_variable import LatentVariableLaw
from genzoo.vaes.phases import TwoPhaseTraining
from genzoo.vaes.vae import VAE, VAEArguments

if TYPE_CHECKING:
    from typing_extensions import Unpack

_SECOND = 5


class TwoStageLaw(LatentVariableLaw):
    """The law of a VAE whose prior, from the second phase of training on, is a second VAE's law.

    Args:
        event_shape, **law_arguments: As of `LatentVariableLaw`; `prior` is that of the first phase.
        second: Law of z, (latent_dim,).

    Attributes:
        phase: 0 while the first is trained, then 1.
    """

    phase = 0

    def __init__(self, event_shape: tuple[int, ...], *, second: Law, **law_arguments: Any):
        super().__init__(event_shape, **law_arguments)
        self.second = second

    def log_prior(self, z, context, noise):
        if self.phase == 0:
            return super().log_prior(z, context, noise)
        return self.second.log_prob(z, context, noise.part(_SECOND))

    def objective(self, x, context=None, noise=None):
        if self.phase == 0:
            return super().objective(x, context, noise)
        noise = self._noise(noise)
        evidence = self.prepare(x, context, noise)
        target, log_weight = self.target(evidence.x, noise)
        z, log_q = self.draw_latent(evidence.posterior, noise)
        reconstruction = self.log_likelihood(target, z, context) + log_weight
        z, log_q, reconstruction = map(tf.stop_gradient, (z, log_q, reconstruction))
        kl = log_q - self.second.objective(z, context, noise.part(_SECOND))["objective"]
        elbo = reconstruction - kl
        return {"objective": elbo, "elbo": elbo, "reconstruction": reconstruction, "kl": kl}

    def sample_latent(self, n, context=None, *, temperature=1.0, seed):
        if self.phase == 0:
            return super().sample_latent(n, context, temperature=temperature, seed=seed)
        drawn, mean = (
            self.second.sample(n, context, temperature=temperature, seed=seed, mean=mean)
            for mean in (False, True)
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
        **vae_arguments: "Unpack[VAEArguments]",
    ):
        prior = vae_arguments.get("prior", "normal")
        if not isinstance(prior, str) or prior != "normal":
            raise InvalidInputError(
                "Expected prior='normal': the second VAE is the prior. "
                f"Received: prior={prior!r}. Use VAE for other priors."
            )
        self.second_hidden_units = checks.check_units(second_hidden_units)
        self.first_phase_share = checks.check_share(first_phase_share, "first_phase_share")
        super().__init__(event_shape, **vae_arguments)

    def _make_law(self):
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
        return TwoStageLaw(self.event_shape, second=second.law, **self._parts())

    def _second_part(self):
        return self.law.second
