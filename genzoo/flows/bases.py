"""Base distributions of flows: laws that yield `tfd.Distribution`s."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from genzoo.core.checks import check_choice
from genzoo.core.errors import InvalidInputError
from genzoo.core.law import Law, as_law
from genzoo.core.lazy import tfp


class BaseLaw(Law):
    """A law in closed form, without a context.

    A subclass implements `distribution`, and `make_weights` where it has weights.

    Args:
        event_shape: Shape of one example on the base side.
        seed: Fixes the initial weights.
    """

    def __init__(
        self, event_shape: tuple[int, ...], *, seed: int | None = None, **layer_arguments: Any
    ):
        super().__init__(event_shape, **layer_arguments)
        self.seed = seed
        self.make_weights()
        self.built = True

    def make_weights(self) -> None:
        """Hook: make the weights."""

    def log_weight(self, prepared, context, noise):
        real, log_weight = self.to_real(prepared, noise)
        return self.distribution().log_prob(real) + log_weight

    def sample(self, n, context=None, *, temperature=1.0, seed):
        return self.distribution(temperature=temperature).sample(n, seed=seed)


@keras.saving.register_keras_serializable("genzoo")
class Normal(BaseLaw):
    """Independent standard normals."""

    is_standard_normal = True

    def distribution(self, context=None, temperature=1.0):
        tfd = tfp.distributions
        scale = tf.cast(temperature, self.variable_dtype)
        return tfd.Sample(tfd.Normal(tf.zeros([], self.variable_dtype), scale), self.event_shape)


@keras.saving.register_keras_serializable("genzoo")
class Logistic(BaseLaw):
    """Independent standard logistics (Dinh, Krueger and Bengio, NICE, 2015)."""

    def distribution(self, context=None, temperature=1.0):
        tfd = tfp.distributions
        scale = tf.cast(temperature, self.variable_dtype)
        return tfd.Sample(tfd.Logistic(tf.zeros([], self.variable_dtype), scale), self.event_shape)


@keras.saving.register_keras_serializable("genzoo")
class StudentT(BaseLaw):
    """Independent Student's t, one learned number of degrees of freedom a coordinate, above 1.

    Reference: Alexanderson and Henter, Robust model training and generalisation with Studentising
    flows, 2020.
    """

    def make_weights(self):
        # softplus(4) + 1: five degrees of freedom
        self.raw_df = self.add_weight(
            shape=self.event_shape, initializer=keras.initializers.Constant(4.0), name="raw_df"
        )

    def distribution(self, context=None, temperature=1.0):
        tfd = tfp.distributions
        df = tfp.util.DeferredTensor(self.raw_df.value, lambda raw: 1.0 + tf.math.softplus(raw))
        scale = tf.cast(temperature, self.variable_dtype)
        t = tfd.StudentT(df, tf.zeros([], self.variable_dtype), scale)
        return tfd.Independent(t, len(self.event_shape))


@keras.saving.register_keras_serializable("genzoo")
class Mixture(BaseLaw):
    """A mixture of diagonal Gaussians; weights, means and scales are learned.

    Reference: Papamakarios, Pavlakou and Murray, Masked autoregressive flow, 2017.
    """

    num_components = 10

    def make_weights(self):
        shape = (self.num_components, *self.event_shape)
        self.logits = self.add_weight(shape=shape[:1], initializer="zeros", name="logits")
        self.means = self.add_weight(
            shape=shape,
            initializer=keras.initializers.RandomNormal(0, 0.5, self.seed),
            name="means",
        )
        self.log_scales = self.add_weight(shape=shape, initializer="zeros", name="log_scales")

    def distribution(self, context=None, temperature=1.0):
        tfd = tfp.distributions
        bound, temperature = 5.0, tf.cast(temperature, self.variable_dtype)
        scales = tfp.util.DeferredTensor(
            self.log_scales.value, lambda raw: temperature * tf.exp(bound * tf.tanh(raw / bound))
        )
        parts = tfd.Normal(self.means.value, scales)
        return tfd.MixtureSameFamily(
            tfd.Categorical(logits=self.logits.value), tfd.Independent(parts, len(self.event_shape))
        )


@keras.saving.register_keras_serializable("genzoo")
class Custom(BaseLaw):
    """What a function of the shape returns; a temperature scales it about zero."""

    def __init__(
        self, event_shape: tuple[int, ...], builder: Callable[[tuple[int, ...]], Any], **arguments
    ):
        super().__init__(event_shape, **arguments)
        self.builder = builder
        made = self.distribution()
        shape = getattr(made, "event_shape", None)
        if shape is None or tuple(shape) != self.event_shape:
            raise InvalidInputError(
                f"Expected base to return a tfd.Distribution of event shape {self.event_shape}. "
                f"Received: {made!r}"
            )

    def distribution(self, context=None, temperature=1.0):
        made = self.builder(self.event_shape)
        if isinstance(temperature, float) and temperature == 1.0:
            return made
        scale = tfp.bijectors.Scale(tf.cast(temperature, made.dtype))
        return tfp.distributions.TransformedDistribution(made, scale)


BASES = {"normal": Normal, "logistic": Logistic, "student_t": StudentT, "mixture": Mixture}


def make_base(
    base: Any, event_shape: tuple[int, ...], seed: int | None, dtype: Any, context_size: int = 0
) -> Law:
    """Return the law for a name of `BASES`, a function of the shape, a model or a law.

    Args:
        base: Of these.
        event_shape: Shape of one example on the base side.
        seed: Fixes the initial weights.
        dtype: Of the weights.
        context_size: Width of the encoded context that models and laws may take.
    """
    if isinstance(base, keras.layers.Layer):
        return as_law(base, event_shape, context_size, "base")
    if callable(base):
        return Custom(event_shape, base, seed=seed, dtype=dtype)
    return BASES[check_choice(base, BASES, "base")](event_shape, seed=seed, dtype=dtype)
