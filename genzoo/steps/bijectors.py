"""Bijectors that TFP lacks: value and log-det from one pass."""

import math
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

tfb = tfp.bijectors


class OnePassBijector(tfb.Bijector):
    """A bijector whose value and log-det come from one computation.

    TFP asks for the image and the log-det one after the other; here both are computed once for a
    point and remembered. Made anew for each use, so what it remembers lives as long as one use.

    A subclass implements `_forward_and_log_det` and `_inverse_and_log_det`, with log-dets [n].
    """

    def __init__(self, event_ndims_base: int, event_ndims: int, dtype: Any, name: str):
        super().__init__(
            forward_min_event_ndims=event_ndims_base,
            inverse_min_event_ndims=event_ndims,
            dtype=dtype,
            validate_args=False,
            # TFP's cache serves bijectors of equal parameters alike: make each its own
            parameters={"identity": object()},
            name=name,
        )
        self._seen: dict[tuple[str, int], tuple[tf.Tensor, tuple[tf.Tensor, tf.Tensor]]] = {}

    def forward_and_log_det(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the image of `x` and log |det J|."""
        return self._once("forward", "inverse", x, self._forward_and_log_det)

    def inverse_and_log_det(self, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the pre-image of `y` and the log |det J| of the inverse."""
        return self._once("inverse", "forward", y, self._inverse_and_log_det)

    def _once(self, direction, opposite, point, compute):
        seen = self._seen.get((direction, id(point)))
        # an id may be used again after its tensor is gone
        if seen is not None and seen[0] is point:
            return seen[1]
        image, log_det = compute(point)
        self._seen[direction, id(point)] = point, (image, log_det)
        self._seen[opposite, id(image)] = image, (point, -log_det)
        return image, log_det

    def _forward_and_log_det(self, x):
        raise NotImplementedError

    def _inverse_and_log_det(self, y):
        raise NotImplementedError

    def _forward(self, x):
        return self.forward_and_log_det(x)[0]

    def _forward_log_det_jacobian(self, x):
        return self.forward_and_log_det(x)[1]

    def _inverse(self, y):
        return self.inverse_and_log_det(y)[0]

    def _inverse_log_det_jacobian(self, y):
        return self.inverse_and_log_det(y)[1]


def forward_and_log_det(bijector: tfb.Bijector, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return image and log-det of any bijector; all axes but the first are the event."""
    if isinstance(bijector, OnePassBijector):
        return bijector.forward_and_log_det(x)
    return bijector.forward(x), bijector.forward_log_det_jacobian(x, event_ndims=x.shape.rank - 1)


def inverse_and_log_det(bijector: tfb.Bijector, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return pre-image and log-det of the inverse of any bijector."""
    if isinstance(bijector, OnePassBijector):
        return bijector.inverse_and_log_det(y)
    return bijector.inverse(y), bijector.inverse_log_det_jacobian(y, event_ndims=y.shape.rank - 1)


class Composition(OnePassBijector):
    """Steps one after the other, first to last from the base to the data.

    Args:
        steps: Built flow steps.
        run: `run(step, method, x, context)` calls a method of a step.
        context: Encoded context, or `None`.
    """

    def __init__(self, steps, run, context, dtype):
        self._steps, self._run, self._context = steps, run, context
        self._event_shapes = (steps[0].base_shape, steps[-1].event_shape) if steps else ((), ())
        super().__init__(*map(len, self._event_shapes), dtype=dtype, name="composition")

    def _forward_and_log_det(self, x):
        total = tf.zeros(tf.shape(x)[:1], x.dtype)
        for step in self._steps:
            x, log_det = self._run(step, "forward_and_log_det", x, self._context)
            total += log_det
        return x, total

    def _inverse_and_log_det(self, y):
        total = tf.zeros(tf.shape(y)[:1], y.dtype)
        for step in reversed(self._steps):
            y, log_det = self._run(step, "inverse_and_log_det", y, self._context)
            total += log_det
        return y, total

    def _forward_event_shape(self, input_shape):
        return tf.TensorShape(self._event_shapes[1])

    def _inverse_event_shape(self, output_shape):
        return tf.TensorShape(self._event_shapes[0])

    def _forward_event_shape_tensor(self, input_shape):
        return tf.constant(self._event_shapes[1], tf.int32)

    def _inverse_event_shape_tensor(self, output_shape):
        return tf.constant(self._event_shapes[0], tf.int32)


class AffineCoupling(OnePassBijector):
    """Scales and shifts one part of a vector given the other (Dinh et al. 2017).

    forward:  y_t = x_t exp(s) + t,   s, t = conditioner(x_rest)

    Args:
        conditioner: Maps the untouched part [n, d] to `(s, t)`, each [n, D - d].
        start, stop: The part that is transformed.
    """

    def __init__(self, conditioner, start: int, stop: int, dtype: Any):
        self._conditioner, self._start, self._stop = conditioner, start, stop
        super().__init__(1, 1, dtype=dtype, name="affine_coupling")

    def _parts(self, x):
        part = x[:, self._start : self._stop]
        rest = x[:, self._stop :] if self._start == 0 else x[:, : self._start]
        return part, rest

    def _join(self, part, rest):
        return tf.concat([part, rest] if self._start == 0 else [rest, part], axis=1)

    def _forward_and_log_det(self, x):
        part, rest = self._parts(x)
        log_scale, shift = self._conditioner(rest)
        part = part * tf.exp(log_scale) + shift
        return self._join(part, rest), tf.reduce_sum(log_scale, axis=1)

    def _inverse_and_log_det(self, y):
        part, rest = self._parts(y)
        log_scale, shift = self._conditioner(rest)
        part = (part - shift) * tf.exp(-log_scale)
        return self._join(part, rest), -tf.reduce_sum(log_scale, axis=1)


class Logit(OnePassBijector):
    """Carries real numbers into the unit interval, with a margin (Dinh et al. 2017).

    inverse:  x = logit(alpha + (1 - 2 alpha) y),   y in [0, 1]

    Args:
        alpha: Margin that keeps the ends of the interval finite.
        event_ndims: Rank of an example.
    """

    def __init__(self, alpha: float, event_ndims: int, dtype: Any):
        self._alpha = alpha
        super().__init__(event_ndims, event_ndims, dtype=dtype, name="logit")

    def _sum(self, values):
        return tf.reduce_sum(tf.reshape(values, [tf.shape(values)[0], -1]), axis=1)

    def _log_slope(self, x):
        # d/dx of (sigmoid(x) - alpha) / (1 - 2 alpha)
        return -tf.nn.softplus(x) - tf.nn.softplus(-x) - math.log(1 - 2 * self._alpha)

    def _forward_and_log_det(self, x):
        y = (tf.sigmoid(x) - self._alpha) / (1 - 2 * self._alpha)
        return y, self._sum(self._log_slope(x))

    def _inverse_and_log_det(self, y):
        u = self._alpha + (1 - 2 * self._alpha) * y
        # rounding, or real data beyond the range of the training data
        edge = 1e-6 if y.dtype == tf.float32 else 1e-12
        u = tf.clip_by_value(u, edge, 1 - edge)
        x = tf.math.log(u) - tf.math.log1p(-u)
        return x, -self._sum(self._log_slope(x))


class Permutation(OnePassBijector):
    """Reorders a vector: y_i = x_(order_i).

    Args:
        order: int32 [D].
    """

    def __init__(self, order: tf.Tensor, dtype: Any):
        self._order = order
        super().__init__(1, 1, dtype=dtype, name="permutation")

    def _forward_and_log_det(self, x):
        return tf.gather(x, self._order, axis=1), tf.zeros([], x.dtype)

    def _inverse_and_log_det(self, y):
        inverse = tf.math.invert_permutation(self._order)
        return tf.gather(y, inverse, axis=1), tf.zeros([], y.dtype)
