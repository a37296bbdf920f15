"""Priors p(z) of VAEs: any law of vectors with a density, by name or as a user gives it."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from genzoo.core.checks import check_choice
from genzoo.core.errors import InvalidInputError
from genzoo.core.law import Law, as_law
from genzoo.core.lazy import tfp
from genzoo.core.registry import model_class, models
from genzoo.flows.bases import BASES, BaseLaw, make_base
from genzoo.flows.flow import Flow

VAMP = "vamp"


class VampPrior(BaseLaw):
    """The mixture of the posteriors of learned pseudo-inputs.

    Args:
        event_shape: Shape of z, (latent_dim,).
        num_inputs: Pseudo-inputs.
        input_shape: Shape of one of them.
        encode: Returns the posterior's mean and log-variance of inputs on the model's side.

    Reference: Tomczak and Welling, VAE with a VampPrior, 2018.
    """

    def __init__(
        self,
        event_shape: tuple[int, ...],
        num_inputs: int,
        input_shape: tuple[int, ...],
        encode: Callable[..., Any],
        **arguments: Any,
    ):
        self.num_inputs, self._input_shape = num_inputs, input_shape
        self._encode = encode
        super().__init__(event_shape, **arguments)

    def make_weights(self):
        shape = (self.num_inputs, *self._input_shape)
        self.inputs = self.add_weight(shape=shape, initializer="zeros", name="inputs")
        self.logits = self.add_weight(shape=shape[:1], initializer="zeros", name="logits")

    def distribution(self, context=None, temperature=1.0):
        tfd = tfp.distributions
        mean, log_variance = self._encode(tf.convert_to_tensor(self.inputs))
        scale = tf.exp(0.5 * log_variance) * tf.cast(temperature, mean.dtype)
        parts = tfd.MultivariateNormalDiag(mean, scale)
        weights = tfd.Categorical(logits=tf.convert_to_tensor(self.logits))
        return tfd.MixtureSameFamily(weights, parts)


def make_prior(
    prior: Any, latent_dim: int, context: dict[str, Any], context_size: int, seed, dtype: str
) -> Law:
    """Return the law for a name, a function of the shape, a model or a law.

    Args:
        prior: A base distribution of the flows, a registered flow's name, a model or a law with a
            density, or a function of the shape that returns a `tfd.Distribution`.
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
    if isinstance(prior, keras.layers.Layer):
        return as_law(prior, (latent_dim,), context_size, "prior")
    if not isinstance(prior, str) and not callable(prior):
        raise InvalidInputError(
            "Expected prior to be a name, a model or law with a density, or a function that "
            f"returns a distribution. Received: prior={prior!r}"
        )
    return make_base(prior, (latent_dim,), seed, dtype)
