"""Base distributions of flows: Keras layers that yield `tfd.Distribution`s."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from genzoo.core.checks import check_choice
from genzoo.core.errors import InvalidInputError
from genzoo.core.lazy import tfp


class _Base(keras.layers.Layer):
    """Base of the base distributions.

    Args:
        shape: Shape of one example on the base side.
        seed: Fixes the initial weights.
    """

    def __init__(self, shape: tuple[int, ...], seed: int | None = None, **layer_arguments: Any):
        super().__init__(**layer_arguments)
        self.shape = shape
        self.seed = seed
        self.make_weights()
        self.built = True

    def add_weight(self, *arguments, **keywords):
        """Add a weight, which mixed precision leaves as it is."""
        return super().add_weight(*arguments, **{"autocast": False, **keywords})

    def make_weights(self) -> None:
        """Hook: make the weights."""

    def distribution(self, temperature: Any = 1.0):
        """Return the `tfd.Distribution` of events `shape`, its scale times `temperature`.

        It reads the weights at each call, not once.
        """
        raise NotImplementedError


class Normal(_Base):
    """Independent standard normals."""

    def distribution(self, temperature=1.0):
        tfd = tfp.distributions
        scale = tf.cast(temperature, self.variable_dtype)
        return tfd.Sample(tfd.Normal(tf.zeros([], self.variable_dtype), scale), self.shape)


class Logistic(_Base):
    """Independent standard logistics (Dinh, Krueger and Bengio, NICE, 2015)."""

    def distribution(self, temperature=1.0):
        tfd = tfp.distributions
        scale = tf.cast(temperature, self.variable_dtype)
        return tfd.Sample(tfd.Logistic(tf.zeros([], self.variable_dtype), scale), self.shape)


class StudentT(_Base):
    """Independent Student's t, one learned number of degrees of freedom a coordinate, above 1.

    Reference: Alexanderson and Henter, Robust model training and generalisation with Studentising
    flows, 2020.
    """

    def make_weights(self):
        # softplus(4) + 1: five degrees of freedom
        self.raw_df = self.add_weight(
            shape=self.shape, initializer=keras.initializers.Constant(4.0), name="raw_df"
        )

    def distribution(self, temperature=1.0):
        tfd = tfp.distributions
        df = tfp.util.DeferredTensor(self.raw_df.value, lambda raw: 1.0 + tf.math.softplus(raw))
        scale = tf.cast(temperature, self.variable_dtype)
        t = tfd.StudentT(df, tf.zeros([], self.variable_dtype), scale)
        return tfd.Independent(t, len(self.shape))


class Mixture(_Base):
    """A mixture of diagonal Gaussians; weights, means and scales are learned.

    Reference: Papamakarios, Pavlakou and Murray, Masked autoregressive flow, 2017.
    """

    num_components = 10

    def make_weights(self):
        shape = (self.num_components, *self.shape)
        self.logits = self.add_weight(shape=shape[:1], initializer="zeros", name="logits")
        self.means = self.add_weight(
            shape=shape,
            initializer=keras.initializers.RandomNormal(0, 0.5, self.seed),
            name="means",
        )
        self.log_scales = self.add_weight(shape=shape, initializer="zeros", name="log_scales")

    def distribution(self, temperature=1.0):
        tfd = tfp.distributions
        bound, temperature = 5.0, tf.cast(temperature, self.variable_dtype)
        scales = tfp.util.DeferredTensor(
            self.log_scales.value, lambda raw: temperature * tf.exp(bound * tf.tanh(raw / bound))
        )
        parts = tfd.Normal(self.means.value, scales)
        return tfd.MixtureSameFamily(
            tfd.Categorical(logits=self.logits.value), tfd.Independent(parts, len(self.shape))
        )


class Custom(_Base):
    """What a function of the shape returns; a temperature scales it about zero."""

    def __init__(self, builder: Callable[[tuple[int, ...]], Any], shape, **arguments):
        self._builder = builder
        super().__init__(shape, **arguments)
        made = self.distribution()
        event_shape = getattr(made, "event_shape", None)
        if event_shape is None or tuple(event_shape) != tuple(shape):
            raise InvalidInputError(
                f"Expected base to return a tfd.Distribution of event shape {tuple(shape)}. "
                f"Received: {made!r}"
            )

    def distribution(self, temperature=1.0):
        made = self._builder(self.shape)
        if isinstance(temperature, float) and temperature == 1.0:
            return made
        scale = tfp.bijectors.Scale(tf.cast(temperature, made.dtype))
        return tfp.distributions.TransformedDistribution(made, scale)


BASES = {"normal": Normal, "logistic": Logistic, "student_t": StudentT, "mixture": Mixture}


def make_base(base, shape, seed, dtype) -> _Base:
    """Return the layer for a name of `BASES` or a builder."""
    if callable(base):
        return Custom(base, shape, seed=seed, dtype=dtype)
    return BASES[check_choice(base, BASES, "base")](shape, seed, dtype=dtype)
