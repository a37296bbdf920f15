"""What a decoder's output says about the data: one class a distribution p(x | z).

The output has the shape of the data, the last axis times `parameters`; the values of one parameter
stand together. Densities score data on the model's side of the preprocessing; masses score the
integers themselves. Log-probabilities are in nats, [n].
"""

import math

import keras
import tensorflow as tf

from genzoo.core.engine.variables import still_zeros
from genzoo.core.errors import InvalidInputError

_LOG_SCALE_LIMIT = 7.0
_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


class OutputDistribution(keras.layers.Layer):
    """Base of the output distributions.

    Args:
        levels: Integer data run from 0 to `levels - 1`, where the model was told.

    Attributes:
        kind: What is scored: `"density"` of real numbers, `"mass"` of integers or `"binary"`.
        parameters: Numbers of the decoder for each value.
        levels: As known now: a model sets it from its data.
    """

    kind = "density"
    parameters = 1

    def __init__(self, levels: int | None = None, **layer_arguments):
        super().__init__(**layer_arguments)
        self.levels = levels
        self.make_weights()
        self.built = True

    def make_weights(self) -> None:
        """Hook: make the weights."""

    def add_weight(self, *arguments, **keywords):
        """Add a weight, which mixed precision leaves as it is."""
        return super().add_weight(*arguments, **{"autocast": False, **keywords})

    def start(self, scale: float) -> None:
        """Hook: begin from the standard deviation of the data on the model's side; what was trained
        or restored stays."""

    def log_prob(self, x, output):
        """Return log p(x | z), [n]."""
        raise NotImplementedError

    def mean(self, output):
        """Return E[x | z], of the shape of the data."""
        raise NotImplementedError

    def sample(self, output, seed):
        """Return a draw of x given z."""
        raise NotImplementedError


class Bernoulli(OutputDistribution):
    """Independent binary values; the decoder gives logits. The data are binarised first."""

    kind = "binary"

    def log_prob(self, x, output):
        return -_sum(tf.nn.sigmoid_cross_entropy_with_logits(labels=x, logits=output))

    def mean(self, output):
        return tf.sigmoid(output)

    def sample(self, output, seed):
        uniform = tf.random.stateless_uniform(tf.shape(output), seed, dtype=output.dtype)
        return tf.cast(uniform < tf.sigmoid(output), output.dtype)


class Gaussian(OutputDistribution):
    """Independent normals with one learned variance for all values; the decoder gives means.

    Reference: Dai and Wipf, Diagnosing and enhancing VAE models, 2019.
    """

    def make_weights(self):
        self.log_scale = self.add_weight(shape=(), initializer="zeros", name="log_scale")

    def start(self, scale):
        if still_zeros(self.log_scale):
            self.log_scale.assign(math.log(scale))

    def split(self, output):
        """Return the mean and the log-scale of each value."""
        limit = _LOG_SCALE_LIMIT
        return output, tf.clip_by_value(tf.convert_to_tensor(self.log_scale), -limit, limit)

    def log_prob(self, x, output):
        mean, log_scale = self.split(output)
        size = math.prod(output.shape[1:])
        squares = _sum(tf.square(x - mean)) * tf.exp(-2.0 * log_scale)
        return -0.5 * squares - size * (log_scale + _HALF_LOG_2PI)

    def mean(self, output):
        return self.split(output)[0]

    def sample(self, output, seed):
        mean, log_scale = self.split(output)
        noise = tf.random.stateless_normal(tf.shape(mean), seed, dtype=output.dtype)
        return mean + tf.exp(log_scale) * noise


class DiagonalGaussian(Gaussian):
    """Independent normals; the decoder gives the mean and the log-scale of each value.

    Log-scales stay within 7 of the start, so that no value's density grows without bound.
    """

    parameters = 2

    def split(self, output):
        mean, log_scale = tf.split(output, 2, axis=-1)
        limit = _LOG_SCALE_LIMIT
        return mean, self.log_scale + limit * tf.tanh(log_scale / limit)

    def log_prob(self, x, output):
        mean, log_scale = self.split(output)
        z = (x - mean) * tf.exp(-log_scale)
        return -_sum(0.5 * tf.square(z) + log_scale + _HALF_LOG_2PI)


class DiscretizedLogistic(OutputDistribution):
    """The mass that a logistic gives to the bin of each integer, the end bins open.

    The decoder gives location and log-scale on [-1/2, 1/2].

    Reference: Kingma et al., Improved variational inference with inverse autoregressive flow,
    2016; Salimans et al., PixelCNN++, 2017.
    """

    kind = "mass"
    parameters = 2

    def _split(self, output):
        location, log_scale = tf.split(output, 2, axis=-1)
        # from about a sixth of the range, the spread of natural pixels
        limit = _LOG_SCALE_LIMIT
        return location, limit * tf.tanh((log_scale - 2.0) / limit)

    def log_prob(self, x, output):
        location, log_scale = self._split(output)
        inverse = tf.exp(-log_scale)
        middle = (x + 0.5) / self.levels - 0.5 - location
        upper = inverse * (middle + 0.5 / self.levels)
        lower = inverse * (middle - 0.5 / self.levels)
        # log(sigmoid(b) - sigmoid(a)) = log(1 - e^(a - b)) + log sigmoid(b) + log sigmoid(-a)
        width = inverse / self.levels
        inside = tf.math.log(-tf.math.expm1(-width))
        inside += tf.math.log_sigmoid(upper) + tf.math.log_sigmoid(-lower)
        value = tf.where(x < 0.5, tf.math.log_sigmoid(upper), inside)
        return _sum(tf.where(x > self.levels - 1.5, tf.math.log_sigmoid(-lower), value))

    def _to_levels(self, values):
        top = self.levels - 1.0
        return tf.clip_by_value((values + 0.5) * self.levels - 0.5, 0.0, top)

    def mean(self, output):
        return self._to_levels(self._split(output)[0])

    def sample(self, output, seed):
        location, log_scale = self._split(output)
        tiny = 1e-6
        u = tf.random.stateless_uniform(
            tf.shape(location), seed, minval=tiny, maxval=1 - tiny, dtype=output.dtype
        )
        logistic = tf.math.log(u) - tf.math.log1p(-u)
        return tf.round(self._to_levels(location + tf.exp(log_scale) * logistic))


class Categorical(OutputDistribution):
    """A free probability for every level of every value; the decoder gives logits."""

    kind = "mass"

    def __init__(self, levels: int | None = None, **layer_arguments):
        if levels is None:
            raise InvalidInputError(
                "Expected levels with likelihood='categorical', for example levels=256. "
                "Received: levels=None"
            )
        self.parameters = levels
        super().__init__(levels, **layer_arguments)

    def _logits(self, output):
        *rest, last = output.shape[1:]
        return tf.reshape(output, [-1, *rest, last // self.parameters, self.parameters])

    def log_prob(self, x, output):
        entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(
            labels=tf.cast(x, tf.int32), logits=self._logits(output)
        )
        return -_sum(entropy)

    def mean(self, output):
        levels = tf.range(self.parameters, dtype=output.dtype)
        return tf.reduce_sum(tf.nn.softmax(self._logits(output)) * levels, axis=-1)

    def sample(self, output, seed):
        logits = self._logits(output)
        flat = tf.reshape(logits, [-1, self.parameters])
        drawn = tf.random.stateless_categorical(flat, 1, seed, dtype=tf.int32)
        return tf.cast(tf.reshape(drawn, tf.shape(logits)[:-1]), output.dtype)


def _sum(values):
    return tf.reduce_sum(values, axis=list(range(1, values.shape.rank)))


LIKELIHOODS = {
    "bernoulli": Bernoulli,
    "gaussian": Gaussian,
    "diagonal_gaussian": DiagonalGaussian,
    "discretized_logistic": DiscretizedLogistic,
    "categorical": Categorical,
}
