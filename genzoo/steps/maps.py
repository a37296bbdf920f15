"""Monotone maps of a number, their parameters given by a network.

A coupling and an autoregressive step differ in what the network sees; what it does to each
coordinate is one of these. Each takes x [..., d] and raw parameters [..., d * num_parameters]
(any real numbers; zeros give nearly the identity), coordinate by coordinate, and returns the image
and the log-slope, each [..., d].
"""

import math
from typing import Any

import numpy as np
import tensorflow as tf

from genzoo.core.checks import check_choice, check_int, check_number, nearest
from genzoo.core.errors import InvalidInputError, UnknownNameError
from genzoo.core.maths.roots import monotone_root, with_derivatives
from genzoo.core.registry import constructor_arguments

_LOG_2PI = math.log(2.0 * math.pi)


class Additive:
    """Adds a shift: y = x + t (Dinh, Krueger and Bengio, NICE, 2015)."""

    num_parameters = 1

    def forward(self, x, parameters):
        return x + parameters, tf.zeros_like(x)

    def inverse(self, y, parameters):
        return y - parameters, tf.zeros_like(y)


class Affine:
    """Scales and shifts: x = y exp(s) + t, |s| < scale_bound by a smooth clip.

    Args:
        scale_bound: Bound of the log-scale from the data to the base, either way.
        expansion_bound: A tighter bound for growth, s < expansion_bound, for deep stacks: what is
            far from the data is then thrown less far. `None` for `scale_bound`.

    Reference: Dinh, Sohl-Dickstein and Bengio, Density estimation using Real NVP, 2017.
    """

    num_parameters = 2

    def __init__(self, scale_bound: float = 3.0, expansion_bound: float | None = None):
        self.scale_bound = check_number(scale_bound, "scale_bound", exclusive=True)
        if expansion_bound is not None:
            check_number(expansion_bound, "expansion_bound", exclusive=True)
        self.expansion_bound = expansion_bound
        if expansion_bound is not None:
            # a sigmoid between the bounds with value and slope 1 at 0
            self._least, most = math.exp(-self.scale_bound), math.exp(expansion_bound)
            self._range = most - self._least
            share = (1.0 - self._least) / self._range
            self._start = math.log(share / (1.0 - share))
            self._pace = 1.0 / (self._range * share * (1.0 - share))

    def _split(self, parameters):
        """Return the scale, its logarithm and the shift."""
        shape = tf.concat([tf.shape(parameters)[:-1], [parameters.shape[-1] // 2, 2]], axis=0)
        raw, shift = tf.unstack(tf.reshape(parameters, shape), num=2, axis=-1)
        if self.expansion_bound is not None:
            scale = self._least + self._range * tf.sigmoid(self._pace * raw + self._start)
            return scale, tf.math.log(scale), shift
        log_scale = self.scale_bound * tf.tanh(raw / self.scale_bound)
        return tf.exp(log_scale), log_scale, shift

    def forward(self, x, parameters):
        scale, log_scale, shift = self._split(parameters)
        return (x - shift) / scale, -log_scale

    def inverse(self, y, parameters):
        scale, log_scale, shift = self._split(parameters)
        return y * scale + shift, log_scale


class Spline:
    """A monotone rational-quadratic spline on [-bound, bound], the identity outside.

    The spline leads from the data to the base, the way that training goes.

    Args:
        num_bins: Number of bins K; 3 K - 1 parameters a coordinate.
        bound: End of the interval.
        min_bin: Least width and height of a bin, as a share of the interval.
        min_slope: Least slope at a knot; its inverse is the largest.

    Reference: Durkan, Bekasov, Murray and Papamakarios, Neural spline flows, 2019.
    """

    def __init__(
        self,
        num_bins: int = 8,
        bound: float = 5.0,
        min_bin: float = 1e-3,
        min_slope: float = 1e-3,
    ):
        self.num_bins = check_int(num_bins, "num_bins", minimum=2)
        self.bound = check_number(bound, "bound", exclusive=True)
        self.min_bin = check_number(min_bin, "min_bin", exclusive=True)
        self.min_slope = check_number(min_slope, "min_slope", exclusive=True)
        if self.min_bin * self.num_bins >= 1:
            raise InvalidInputError(
                "Expected min_bin below 1 / num_bins. "
                f"Received: min_bin={min_bin!r}, num_bins={num_bins!r}"
            )
        self.num_parameters = 3 * self.num_bins - 1

    def _knots(self, parameters, d):
        """Return widths, heights [..., d, K] and the slopes at the left and right of each bin."""
        bins = self.num_bins
        shape = tf.concat([tf.shape(parameters)[:-1], [d, self.num_parameters]], axis=0)
        # tf.split, whose gradient is a concatenation, is several times faster than slices
        sizes, slopes = tf.split(tf.reshape(parameters, shape), [2 * bins, bins - 1], axis=-1)
        sizes = tf.reshape(sizes, tf.concat([shape[:-1], [2, bins]], axis=0))
        share = self.min_bin + (1 - self.min_bin * bins) * tf.nn.softmax(sizes)
        widths, heights = tf.unstack(2 * self.bound * share, num=2, axis=-2)
        limit = -math.log(self.min_slope)
        slopes = tf.exp(limit * tf.tanh(slopes / limit))
        ones = tf.ones_like(slopes[..., :1])
        left = tf.concat([ones, slopes], axis=-1)
        right = tf.concat([slopes, ones], axis=-1)
        return widths, heights, left, right

    def _bin(self, x, along, across, left, right):
        """Find the bin of x on the axis that the sizes `along` divide.

        Returns:
            Start and size of the bin along and across, and its two slopes; each [..., d].
        """
        bins = self.num_bins
        # starts of the bins but the first: sums of the sizes before each
        before = tf.constant(np.triu(np.ones((bins, bins)), 1)[:, 1:], x.dtype)
        starts = tf.linalg.matmul(tf.stop_gradient(along), before) - self.bound
        at_or_after = tf.cast(x[..., None] >= starts, x.dtype)  # [..., d, K - 1]
        ones = tf.ones_like(at_or_after[..., :1])
        first = tf.concat([ones, at_or_after], axis=-1)
        passed = tf.concat([at_or_after, 0 * ones], axis=-1)
        here = first - passed

        def pick(values, weights):
            return tf.reduce_sum(values * weights, axis=-1)

        return (
            pick(along, passed) - self.bound,
            pick(along, here),
            pick(across, passed) - self.bound,
            pick(across, here),
            pick(left, here),
            pick(right, here),
        )

    def _inside(self, x):
        # clipped before the branches: a NaN there would reach the gradient through tf.where
        return tf.clip_by_value(x, -self.bound, self.bound), tf.abs(x) < self.bound

    def _log_slope(self, t, slope, left, right):
        middle = t * (1 - t)
        below = slope + (left + right - 2 * slope) * middle
        above = right * t**2 + 2 * slope * middle + left * (1 - t) ** 2
        return 2 * tf.math.log(slope) + tf.math.log(above) - 2 * tf.math.log(below)

    def forward(self, x, parameters):
        inner, inside = self._inside(x)
        widths, heights, left, right = self._knots(parameters, x.shape[-1])
        x0, height, y0, width, left, right = self._bin(inner, heights, widths, left, right)
        slope = height / width
        part = tf.clip_by_value((inner - x0) / height, 0, 1)
        bend = left + right - 2 * slope
        # a t^2 + b t + c = 0, the root in [0, 1] without cancellation
        a = slope - left + part * bend
        b = left - part * bend
        c = -slope * part
        root = tf.sqrt(tf.maximum(b**2 - 4 * a * c, 1e-20))
        t = tf.clip_by_value(-2 * c / (b + root), 0, 1)
        y = y0 + t * width
        log_slope = -self._log_slope(t, slope, left, right)
        return tf.where(inside, y, x), tf.where(inside, log_slope, 0)

    def inverse(self, y, parameters):
        inner, inside = self._inside(y)
        widths, heights, left, right = self._knots(parameters, y.shape[-1])
        y0, width, x0, height, left, right = self._bin(inner, widths, heights, left, right)
        slope = height / width
        t = tf.clip_by_value((inner - y0) / width, 0, 1)
        middle = t * (1 - t)
        below = slope + (left + right - 2 * slope) * middle
        x = x0 + height * (slope * t**2 + left * middle) / below
        log_slope = self._log_slope(t, slope, left, right)
        return tf.where(inside, x, y), tf.where(inside, log_slope, 0)


class Mixture:
    """Carries a standard normal to a mixture of Gaussians: Phi(x) = sum_k w_k Phi((y - m_k) / s_k).

    As the base end of an autoregressive flow its conditionals are mixtures of Gaussians.

    Args:
        num_components: Number of components C; 3 C parameters a coordinate.
        scale_bound: Bound on the components' log-scales.

    Reference: Papamakarios, Pavlakou and Murray, Masked autoregressive flow, 2017.
    """

    def __init__(self, num_components: int = 5, scale_bound: float = 5.0):
        self.num_components = check_int(num_components, "num_components")
        self.scale_bound = check_number(scale_bound, "scale_bound", exclusive=True)
        self.num_parameters = 3 * self.num_components

    def _components(self, parameters, d):
        """Return log-weights, means and log-scales, each [..., d, C]."""
        count = self.num_components
        shape = tf.concat([tf.shape(parameters)[:-1], [d, 3, count]], axis=0)
        parameters = tf.reshape(parameters, shape)
        # equal components would stay equal: start them apart
        apart = tf.constant(np.linspace(-1.0, 1.0, count) if count > 1 else [0.0], parameters.dtype)
        log_weights = tf.nn.log_softmax(parameters[..., 0, :])
        bound = self.scale_bound
        return (
            log_weights,
            parameters[..., 1, :] + apart,
            bound * tf.tanh(parameters[..., 2, :] / bound),
        )

    def inverse(self, y, parameters):
        log_weights, means, log_scales = self._components(parameters, y.shape[-1])
        z = (y[..., None] - means) * tf.exp(-log_scales)
        log_density = tf.reduce_logsumexp(
            log_weights - log_scales - 0.5 * (z**2 + _LOG_2PI), axis=-1
        )
        below = tf.reduce_logsumexp(log_weights + _log_normal_cdf(z), axis=-1)
        above = tf.reduce_logsumexp(log_weights + _log_normal_cdf(-z), axis=-1)
        # the smaller tail keeps its digits
        lower = below < above
        x = _normal_quantile(tf.where(lower, below, above))
        x = tf.where(lower, x, -x)
        return x, log_density + 0.5 * (x**2 + _LOG_2PI)

    def forward(self, x, parameters):
        _, means, log_scales = self._components(parameters, x.shape[-1])
        reach = tf.abs(x)[..., None] * tf.exp(log_scales)
        low = tf.reduce_min(means - reach, axis=-1)
        high = tf.reduce_max(means + reach, axis=-1)

        def gap(y, x, parameters):
            image, log_slope = self.inverse(y, parameters)
            return image - x, tf.exp(log_slope)

        y = monotone_root(gap, low, high, (x, parameters))
        _, log_slope = self.inverse(y, parameters)
        return y, -log_slope


def _log_normal_cdf(x):
    """Return log Phi(x), also far out in the lower tail."""
    # from here on the asymptotic series is exact to rounding
    edge = -10.0 if x.dtype == tf.float32 else -20.0
    tail = tf.minimum(x, edge)
    square = 1.0 / tail**2
    series = 1.0 - square * (1.0 - 3.0 * square * (1.0 - 5.0 * square * (1.0 - 7.0 * square)))
    far = -0.5 * (tail**2 + _LOG_2PI) - tf.math.log(-tail) + tf.math.log(series)
    near = tf.math.log(0.5 * tf.math.erfc(-tf.maximum(x, edge) * math.sqrt(0.5)))
    return tf.where(x < edge, far, near)


def _normal_quantile(log_p):
    """Return x with log Phi(x) = log_p <= log 1/2, by Newton steps from the asymptotic form."""

    def gap(x, log_p):
        log_cdf = _log_normal_cdf(x)
        return log_cdf - log_p, tf.exp(-0.5 * (x**2 + _LOG_2PI) - log_cdf)

    fixed = tf.stop_gradient(log_p)
    x = -tf.sqrt(tf.maximum(-2.0 * (fixed + 0.5 * math.log(2.0)), 0.0))
    for _ in range(6):
        value, hazard = gap(x, fixed)
        x = tf.minimum(x - value / hazard, 0.0)
    return with_derivatives(gap, x, [log_p])


MAPS = {"additive": Additive, "affine": Affine, "spline": Spline, "mixture": Mixture}


def make_map(transform: str, arguments: dict[str, Any] | None = None):
    """Return the map of that name.

    Args:
        transform: `"additive"`, `"affine"`, `"spline"` or `"mixture"`.
        arguments: Of the map's constructor.
    """
    cls = MAPS[check_choice(transform, MAPS, "transform")]
    valid = constructor_arguments(cls) if "__init__" in vars(cls) else {}
    for name in arguments or {}:
        if name not in valid:
            raise UnknownNameError(
                f"Unknown argument of the {transform} transform. {nearest(name, valid)}"
                f"Received: transform_arguments={arguments!r}"
            )
    return cls(**(arguments or {}))
