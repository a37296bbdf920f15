"""Elementwise steps: standardisation and the preprocessing of pixels."""

import math

import keras
import numpy as np
import tensorflow as tf

from genzoo.core.checks import check_number
from genzoo.core.engine.variables import still_zeros
from genzoo.core.errors import InvalidInputError
from genzoo.core.inputs.units import RunningMoments
from genzoo.steps.base import FlowStep, sum_rows


@keras.saving.register_keras_serializable("genzoo")
class Standardize(FlowStep):
    """Gives each feature mean 0 and variance 1 on the base side, as seen by `adapt`.

    forward:  y = x * scale + mean

    A constant feature keeps scale 1.
    """

    adapts = True

    def build_event(self, event_shape):
        self.mean = self.add_weight(
            shape=event_shape, initializer="zeros", trainable=False, name="mean"
        )
        self.scale = self.add_weight(
            shape=event_shape, initializer="ones", trainable=False, name="scale"
        )

    def adapt(self, batches, spec):
        moments = RunningMoments()
        for batch in batches():
            moments.update(np.asarray(batch, np.float64))
        mean, scale = moments.mean, moments.spread
        rounding = scale <= 1e-10 * np.abs(mean)
        self.mean.assign(mean.astype(self.mean.dtype))
        self.scale.assign(np.where(rounding, 1.0, scale).astype(self.scale.dtype))

    def forward_and_log_det(self, x, context=None):
        return x * self.scale + self.mean, tf.reduce_sum(tf.math.log(self.scale))

    def inverse_and_log_det(self, y, context=None):
        return (y - self.mean) / self.scale, -tf.reduce_sum(tf.math.log(self.scale))


class _LogScale(FlowStep):
    """Base: y = x exp(s) + t, one s and t for each entry of the weights' shape."""

    def _places(self):
        return int(np.prod(self.event_shape)) // self.log_scale.shape[0]

    def _shift(self):
        return 0.0

    def forward_and_log_det(self, x, context=None):
        log_det = self._places() * tf.reduce_sum(self.log_scale)
        return x * tf.exp(self.log_scale) + self._shift(), log_det

    def inverse_and_log_det(self, y, context=None):
        log_det = self._places() * tf.reduce_sum(self.log_scale)
        return (y - self._shift()) * tf.exp(-self.log_scale), -log_det


@keras.saving.register_keras_serializable("genzoo")
class DiagonalScale(_LogScale):
    """Scales each feature by a learned factor, exp(s).

    Reference: Dinh, Krueger and Bengio, NICE, 2015.
    """

    def build_event(self, event_shape):
        if len(event_shape) != 1:
            raise self._refuse("vectors", "Put a Flatten after it.")
        self.log_scale = self.add_weight(shape=event_shape, initializer="zeros", name="log_scale")


@keras.saving.register_keras_serializable("genzoo")
class ActNorm(_LogScale):
    """Scales and shifts each channel (the last axis); both learned.

    Starts such that the first batch has mean 0 and variance 1 by channel on the base side; what
    was trained or restored stays as it is.

    Reference: Kingma and Dhariwal, Glow, 2018.
    """

    starts = True

    def build_event(self, event_shape):
        shape = event_shape[-1:]
        self.log_scale = self.add_weight(shape=shape, initializer="zeros", name="log_scale")
        self.shift = self.add_weight(shape=shape, initializer="zeros", name="shift")

    def _shift(self):
        return self.shift

    def start(self, y, context=None):
        if not still_zeros(self.shift, self.log_scale):
            return super().start(y, context)
        mean, variance = tf.nn.moments(y, axes=list(range(y.shape.rank - 1)))
        scale = tf.sqrt(variance)
        # a constant channel keeps scale 1
        constant = scale <= 1e-6 * (tf.abs(mean) + 1e-6)
        self.shift.assign(mean)
        self.log_scale.assign(tf.where(constant, 0.0, tf.math.log(tf.where(constant, 1.0, scale))))
        return super().start(y, context)


@keras.saving.register_keras_serializable("genzoo")
class PixelScale(FlowStep):
    """Carries the unit interval onto the range of the pixels.

    forward:  y = low + (high - low) x

    `adapt` sets the range: [0, levels] for integers; for real numbers [0, 1] or [-1, 1] where
    that holds all the data, and else what the data span.
    """

    adapts = True

    def build_event(self, event_shape):
        self.low = self.add_weight(shape=(), initializer="zeros", trainable=False, name="low")
        self.high = self.add_weight(shape=(), initializer="ones", trainable=False, name="high")

    def adapt(self, batches, spec):
        if spec.levels is not None:
            low, high = 0.0, float(spec.levels)
        else:
            low, high = np.inf, -np.inf
            for batch in batches():
                low, high = min(low, float(batch.min())), max(high, float(batch.max()))
            if low >= 0.0 and high <= 1.0:
                low, high = 0.0, 1.0
            elif low >= -1.0 and high <= 1.0:
                low, high = -1.0, 1.0
            elif low == high:
                raise InvalidInputError(
                    "Expected pixels of more than one value. "
                    f"Received: x that is {low} everywhere. Use preprocessing='standardize'."
                )
        self.low.assign(low)
        self.high.assign(high)

    def _log_det(self):
        return int(np.prod(self.event_shape)) * tf.math.log(self.high - self.low)

    def forward_and_log_det(self, x, context=None):
        return self.low + (self.high - self.low) * x, self._log_det()

    def inverse_and_log_det(self, y, context=None):
        return (y - self.low) / (self.high - self.low), -self._log_det()


@keras.saving.register_keras_serializable("genzoo")
class Logit(FlowStep):
    """Carries the real line onto the unit interval, so that no sample leaves it.

    inverse:  x = logit(alpha + (1 - 2 alpha) y)

    Args:
        alpha: Margin at both ends, 0 <= alpha < 0.5.

    Reference: Dinh, Sohl-Dickstein and Bengio, Density estimation using Real NVP, 2017.
    """

    def __init__(self, alpha: float = 0.01, **layer_arguments):
        super().__init__(**layer_arguments)
        self.alpha = check_number(alpha, "alpha")
        if self.alpha >= 0.5:
            raise InvalidInputError(f"Expected alpha below 0.5. Received: alpha={alpha!r}")

    def _log_slope(self, x):
        # d/dx of (sigmoid(x) - alpha) / (1 - 2 alpha)
        return -tf.nn.softplus(x) - tf.nn.softplus(-x) - math.log(1 - 2 * self.alpha)

    def forward_and_log_det(self, x, context=None):
        y = (tf.sigmoid(x) - self.alpha) / (1 - 2 * self.alpha)
        return y, sum_rows(self._log_slope(x))

    def inverse_and_log_det(self, y, context=None):
        u = self.alpha + (1 - 2 * self.alpha) * y
        # rounding, or real data beyond the range of the training data
        edge = 1e-6 if y.dtype == tf.float32 else 1e-12
        u = tf.clip_by_value(u, edge, 1 - edge)
        x = tf.math.log(u) - tf.math.log1p(-u)
        return x, -sum_rows(self._log_slope(x))


@keras.saving.register_keras_serializable("genzoo")
class Center(FlowStep):
    """The unit interval on the data side is [-1/2, 1/2] on the base side."""

    def forward_and_log_det(self, x, context=None):
        return x + 0.5, tf.zeros([], x.dtype)

    def inverse_and_log_det(self, y, context=None):
        return y - 0.5, tf.zeros([], y.dtype)
