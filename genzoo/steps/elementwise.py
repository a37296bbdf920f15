"""Elementwise steps: standardisation and the preprocessing of pixels."""

import keras
import numpy as np

from genzoo.core.checks import check_number
from genzoo.core.errors import InvalidInputError
from genzoo.core.lazy import tfp
from genzoo.steps.base import FlowStep, bijectors


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
        count = 0
        mean = np.zeros(self.event_shape)
        squares = np.zeros(self.event_shape)
        for batch in batches():
            # Chan, Golub and LeVeque 1983: merging means and sums of squares loses no digits
            batch = np.asarray(batch, np.float64)
            batch_mean = batch.mean(axis=0)
            delta = batch_mean - mean
            total = count + len(batch)
            mean += delta * len(batch) / total
            squares += ((batch - batch_mean) ** 2).sum(axis=0)
            squares += delta**2 * count * len(batch) / total
            count = total
        scale = np.sqrt(squares / count)
        rounding = scale <= 1e-10 * np.abs(mean)
        self.mean.assign(mean.astype(self.mean.dtype))
        self.scale.assign(np.where(rounding, 1.0, scale).astype(self.scale.dtype))

    def bijector(self, context=None):
        tfb = tfp.bijectors
        return tfb.Shift(self.mean.value)(tfb.Scale(self.scale.value))


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

    def bijector(self, context=None):
        tfb = tfp.bijectors
        return tfb.Shift(self.low.value)(tfb.Scale(self.high.value - self.low.value))


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

    def bijector(self, context=None):
        return bijectors.Logit(self.alpha, len(self.event_shape), self.compute_dtype)
