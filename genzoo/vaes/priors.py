"""Priors p(z): layers that score z and draw it."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from genzoo.core.checks import check_choice
from genzoo.core.errors import InvalidInputError
from genzoo.core.lazy import tfp
from genzoo.core.registry import model_class, models
from genzoo.flows.bases import BASES, make_base
from genzoo.flows.flow import Flow

VAMP = "vamp"


class Prior(keras.layers.Layer):
    """Base of the priors."""

    is_standard_normal = False

    def log_prob(self, z, context, seed, first_row) -> tf.Tensor:
        """Return log p(z), or a draw whose exponential has mean p(z), [n].

        Args:
            z: [n, latent_dim].
            context: Encoded context, or `None`.
            seed, first_row: Of the draw, for priors that estimate.
        """
        return self.distribution(context).log_prob(z)

    def sample(self, n, context, temperature, seed) -> tf.Tensor:
        """Return draws of z, [n, latent_dim]."""
        return self.distribution(context, temperature).sample(n, seed=seed)

    def distribution(self, context=None, temperature=1.0):
        """Hook: the `tfd.Distribution` of z."""
        raise NotImplementedError


class BasePrior(Prior):
    """A base distribution of the flows: standard normal, mixture, Student-t ..."""

    def __init__(self, base, latent_dim, seed, **arguments: Any):
        super().__init__(**arguments)
        self.is_standard_normal = base == "normal"
        self.base = make_base(base, (latent_dim,), seed, self.variable_dtype)
        self.built = True

    def distribution(self, context=None, temperature=1.0):
        return self.base.distribution(temperature)


class FlowPrior(Prior):
    """A flow on vectors, trained with the rest."""

    def __init__(self, flow: Flow, latent_dim: int, context_size: int, **arguments: Any):
        super().__init__(**arguments)
        if flow.event_shape != (latent_dim,) or flow.context_size not in (0, context_size):
            raise InvalidInputError(
                f"Expected a flow prior of event_shape=({latent_dim},), the latent space, and a "
                f"context of width {context_size} or none. Received: {type(flow).__name__} of "
                f"event_shape={flow.event_shape} and a context of width {flow.context_size}"
            )
        self.flow = flow
        self.built = True

    def _seen(self, context):
        return context if self.flow.context_size else None

    def distribution(self, context=None, temperature=1.0):
        return self.flow.distribution(self._seen(context), temperature)

    def sample(self, n, context, temperature, seed):
        # one z for each row of the context
        noise = self.flow.base_distribution(temperature).sample(n, seed=seed)
        return self.flow.bijector(self._seen(context)).forward(noise)


class VampPrior(Prior):
    """The mixture of the posteriors of learned pseudo-inputs.

    Args:
        num_inputs: Pseudo-inputs.
        encode: Returns the posterior's mean and log-variance of inputs on the model's side.
        event_shape: Shape of an input.

    Reference: Tomczak and Welling, VAE with a VampPrior, 2018.
    """

    def __init__(self, num_inputs: int, encode: Callable[..., Any], event_shape, **arguments: Any):
        super().__init__(**arguments)
        self._encode = encode
        self.inputs = self.add_weight(
            shape=(num_inputs, *event_shape), initializer="zeros", autocast=False, name="inputs"
        )
        self.logits = self.add_weight(
            shape=(num_inputs,), initializer="zeros", autocast=False, name="logits"
        )
        self.built = True

    def distribution(self, context=None, temperature=1.0):
        tfd = tfp.distributions
        mean, log_variance = self._encode(tf.convert_to_tensor(self.inputs))
        scale = tf.exp(0.5 * log_variance) * tf.cast(temperature, mean.dtype)
        parts = tfd.MultivariateNormalDiag(mean, scale)
        weights = tfd.Categorical(logits=tf.convert_to_tensor(self.logits))
        return tfd.MixtureSameFamily(weights, parts)


def make_prior(
    prior: Any, latent_dim: int, context: dict[str, Any], context_size: int, seed, dtype: str
) -> Prior:
    """Return the layer for a name, a function of the shape, or a flow.

    Args:
        prior: A base distribution of the flows, a registered flow's name, a `Flow`, or a function
            of the shape that returns a `tfd.Distribution`.
        latent_dim: Width of z.
        context: The model's `context_dim` and `num_classes`.
        context_size: Width of the encoded context.
        seed: Fixes the initial weights.
        dtype: Float type.
    """
    if isinstance(prior, str) and prior not in BASES:
        flows = [name for name in models() if issubclass(model_class(name), Flow)]
        check_choice(prior, (*BASES, VAMP, *flows), "prior")
        prior = model_class(prior)(
            (latent_dim,), seed=seed, dtype=dtype, preprocessing=None, **context
        )
    if isinstance(prior, Flow):
        return FlowPrior(prior, latent_dim, context_size, dtype=dtype)
    if not isinstance(prior, str) and not callable(prior):
        raise InvalidInputError(
            "Expected prior to be a name, a flow, or a function that returns a distribution. "
            f"Received: prior={prior!r}"
        )
    return BasePrior(prior, latent_dim, seed, dtype=dtype)
