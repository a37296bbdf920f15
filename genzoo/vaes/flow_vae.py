"""FlowVAE: a VAE whose decoder is a flow."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from genzoo.core import checks
from genzoo.core.errors import InvalidInputError
from genzoo.core.registry import register
from genzoo.flows.stacks import glow_step
from genzoo.steps import Chain, Squeeze
from genzoo.vaes.latent_variable import LatentVariableLaw
from genzoo.vaes.phases import TwoPhaseTraining
from genzoo.vaes.vae import VAE

_GAUSSIANS = ("gaussian", "diagonal_gaussian")


class FlowDecoderLaw(LatentVariableLaw):
    """The law of a VAE whose Gaussian decoder is followed by a flow from the second phase on.

    Args:
        event_shape, **law_arguments: As of `LatentVariableLaw`.
        flow: Chain of steps that see the decoder's mean and log-scale.
        seen: Chain that carries these to the grid of the flow's base side.
        flow_temperature: Scale of the flow's noise in sampling.
        joint: Whether all parts are trained together.

    Attributes:
        phase: 0 while the VAE is trained, then 1.
    """

    def __init__(
        self,
        event_shape: tuple[int, ...],
        *,
        flow: Chain,
        seen: Chain,
        flow_temperature: float,
        joint: bool,
        **law_arguments: Any,
    ):
        super().__init__(event_shape, **law_arguments)
        self.flow, self.seen = flow, seen
        self.flow_temperature, self.joint = flow_temperature, joint
        self.phase = int(joint)

    def _moments(self, output):
        """Return the decoder's mean and log-scale, and what the flow sees of them."""
        mean, log_scale = self.likelihood.split(output)
        log_scale = tf.broadcast_to(log_scale, tf.shape(mean))
        seen, _ = self.seen.inverse_and_log_det(tf.concat([mean, log_scale], axis=-1))
        return mean, log_scale, seen

    def _flow_log_likelihood(self, target, mean, log_scale, seen):
        rest = (target - mean) * tf.exp(-log_scale)
        noise, log_det = self.flow.inverse_and_log_det(rest, seen)
        axes = list(range(1, target.shape.rank))
        log_normal = -0.5 * tf.reduce_sum(tf.square(noise), axis=axes)
        log_normal -= 0.5 * math.prod(self.event_shape) * math.log(2 * math.pi)
        return log_normal + log_det - tf.reduce_sum(log_scale, axis=axes)

    def log_likelihood(self, target, z, context):
        if self.phase == 0:
            return super().log_likelihood(target, z, context)
        return self._flow_log_likelihood(target, *self._moments(self.output(z, context)))

    def objective(self, x, context=None, noise=None):
        if self.phase == 0 or self.joint:
            return super().objective(x, context, noise)
        noise = self._noise(noise)
        evidence = self.prepare(x, context, noise)
        target, log_weight = self.target(evidence.x, noise)
        z, log_q = self.draw_latent(evidence.posterior, noise)
        kl = log_q - self.log_prior(z, context, noise)
        # the VAE is fixed; no gradient runs into it
        kl = tf.stop_gradient(kl)
        moments = map(tf.stop_gradient, self._moments(self.output(z, context)))
        reconstruction = self._flow_log_likelihood(target, *moments) + log_weight
        elbo = reconstruction - kl
        return {"objective": elbo, "elbo": elbo, "reconstruction": reconstruction, "kl": kl}

    def draw_output(self, z, context, seed, mean, temperature=1.0):
        if self.phase == 0:
            return super().draw_output(z, context, seed, mean)
        center, log_scale, seen = self._moments(self.output(z, context))
        shape = tf.concat([tf.shape(z)[:1], self.flow.base_shape], axis=0)
        noise = tf.zeros(shape, self.variable_dtype)
        if not mean:
            drawn = tf.random.stateless_normal(shape, seed, dtype=self.variable_dtype)
            noise = temperature * drawn
        rest, _ = self.flow.forward_and_log_det(noise, seen)
        return center + tf.exp(log_scale) * rest

    def sample(self, n, context=None, *, temperature=1.0, seed, mean=False, flow_temperature=None):
        latent_seed, output_seed = tf.unstack(tf.random.split(seed))
        z = self.sample_latent(n, context, temperature=temperature, seed=latent_seed)
        scale = self.flow_temperature if flow_temperature is None else flow_temperature
        return self.to_event(self.draw_output(z, context, output_seed, mean, scale))


@register("flow_vae")
class FlowVAE(TwoPhaseTraining, VAE):
    """A VAE with a flow prior, and a flow that models what its Gaussian decoder leaves over.

    x = m(z) + s(z) g(e; m(z), s(z)), with e standard normal, m and s the decoder's mean and scale,
    and g a Glow of one scale with additive couplings that see m and s. `fit` trains the VAE first
    and then, with the VAE fixed, g; the loss is the bound on the log-likelihood of the whole all
    along. One scale of a few cheap steps is enough, since the VAE has the coarse structure.

    Args:
        event_shape: Shape of one example: an image of even height and width, or a vector.
        num_flow_steps: Steps of the flow.
        flow_filters: Images: channels of the couplings' networks.
        flow_hidden_units: Vectors: widths of the couplings' networks.
        flow_temperature: Scale of e in sampling, beside `temperature`, which is that of z.
        joint: Whether to train all parts together from the start, in one phase.
        first_phase_share: Share of the epochs that the VAE gets.
        prior: As for `VAE`; a flow by default.
        likelihood: `"diagonal_gaussian"` or `"gaussian"`.
        **vae_arguments: As for `VAE`.

    Raises:
        InvalidInputError: For images of odd height or width, or another likelihood.

    Example:

    >>> x = genzoo.data.load("digits").x_train
    >>> model = genzoo.FlowVAE((8, 8, 1), latent_dim=2, hidden_units=(32,), seed=0)
    >>> history = model.fit(x[:256], epochs=2, verbose=0)
    >>> model.sample(3, flow_temperature=0.7, seed=0).shape
    (3, 8, 8, 1)

    Reference: Morrow and Chiu, Variational autoencoders with normalizing flow decoders, 2020.
    """

    default_epochs = 2
    default_steps_per_execution = 1

    def __init__(
        self,
        event_shape: tuple[int, ...] | int,
        *,
        num_flow_steps: int = 8,
        flow_filters: int = 64,
        flow_hidden_units: Sequence[int] = (128, 128),
        flow_temperature: float = 0.5,
        joint: bool = False,
        first_phase_share: float = 0.5,
        prior: Any = "realnvp",
        likelihood: str = "diagonal_gaussian",
        **vae_arguments: Any,
    ):
        checks.check_choice(likelihood, _GAUSSIANS, "likelihood")
        self.num_flow_steps = checks.check_int(num_flow_steps, "num_flow_steps")
        self.flow_filters = checks.check_int(flow_filters, "flow_filters")
        self.flow_hidden_units = checks.check_units(flow_hidden_units, "flow_hidden_units")
        self.flow_temperature = checks.check_number(flow_temperature, "flow_temperature")
        self.joint = checks.check_choice(joint, (True, False), "joint")
        self.first_phase_share = checks.check_share(first_phase_share, "first_phase_share")
        super().__init__(event_shape, prior=prior, likelihood=likelihood, **vae_arguments)

    def _count_first_epochs(self, epochs):
        return 0 if self.joint else super()._count_first_epochs(epochs)

    def _second_part(self):
        return self if self.joint else self.law.flow

    def _make_law(self):
        is_image, dtype = self.on_images, self.variable_dtype
        if not is_image and len(self.event_shape) != 1:
            raise InvalidInputError(
                "Expected images (height, width, channels) or vectors. "
                f"Received: event_shape={self.event_shape}. Reshape the data to vectors."
            )
        *space, channels = self.event_shape
        squeeze = [Squeeze(dtype=dtype)] if is_image else []
        steps = [self._flow_step(i, channels, is_image) for i in range(self.num_flow_steps)]
        flow = Chain([*steps, *squeeze], dtype=dtype)
        flow.build((None, *self.event_shape))
        # the couplings see the decoder's output on the base side's grid
        seen = Chain([Squeeze(dtype=dtype)] if is_image else [], dtype=dtype)
        seen.build((None, *space, 2 * channels))
        return FlowDecoderLaw(
            self.event_shape,
            flow=flow,
            seen=seen,
            flow_temperature=self.flow_temperature,
            joint=self.joint,
            **self._parts(),
        )

    def _flow_step(self, index, channels, is_image):
        seen = {"image_context": 8 * channels} if is_image else {"context_size": 2 * channels}
        return glow_step(
            is_image,
            transform="additive",
            filters=self.flow_filters,
            hidden_units=self.flow_hidden_units,
            activation=self.activation,
            seed=self._part_seed(700 + 10 * index),
            dtype=self.variable_dtype,
            **seen,
        )

    # Outside

    def sample(
        self,
        n: int,
        *,
        context: Any = None,
        temperature: float = 1.0,
        flow_temperature: float | None = None,
        mean: bool = False,
        seed: int | None = None,
    ) -> np.ndarray:
        """Draw samples in the kind of the data.

        Args:
            n, context, temperature, seed: As in `GenerativeModel`; the temperature scales z.
            flow_temperature: Scale of the flow's noise; by default the model's own.
            mean: Whether the flow's noise is zero.
        """
        options = {"mean": bool(mean)}
        if flow_temperature is not None:
            options["flow_temperature"] = checks.check_number(flow_temperature, "flow_temperature")
        return self._draw(n, context, temperature, seed, **options)
