"""Planar and radial steps, with both directions exact."""

import keras
import numpy as np
import tensorflow as tf

from genzoo.core.checks import check_int
from genzoo.core.maths.random import generator
from genzoo.core.maths.roots import monotone_root
from genzoo.steps.base import FlowStep

# the least slope along the map's one direction: below it float32 could not find the way back
_LEAST_SLOPE = 0.01
# softplus of this is 1, so that raw 0 is slope 1
_UNIT = float(np.log(np.expm1(1.0 - _LEAST_SLOPE)))


class _ContextParameters(FlowStep):
    """Base: parameters that are weights, shifted by a linear function of the context.

    Args:
        context_size: Width of the encoded context; 0 for none.
        seed: Fixes the initial weights.
    """

    def __init__(self, *, context_size: int = 0, seed: int | None = None, **layer_arguments):
        super().__init__(**layer_arguments)
        self.context_size = check_int(context_size, "context_size", minimum=0)
        self.seed = seed

    def _make(self, **starts):
        """Make weights from their initial values."""
        self._sizes = [np.size(value) for value in starts.values()]
        start = np.concatenate([np.ravel(value) for value in starts.values()])
        self.parameters = self.add_weight(
            shape=start.shape,
            initializer=lambda shape, dtype: keras.ops.convert_to_tensor(start, dtype),
            name="parameters",
        )
        self.context_kernel = None
        if self.context_size:
            self.context_kernel = self.add_weight(
                shape=(self.context_size, len(start)), initializer="zeros", name="context_kernel"
            )

    def _values(self, context):
        """Return the parameters, each [1, size], or [n, size] given a context."""
        values = self.parameters[None, :]
        if self.context_kernel is not None:
            values += tf.matmul(context, self.context_kernel)
        return tf.split(values, self._sizes, axis=1)

    def _check_vectors(self):
        if len(self.event_shape) != 1:
            raise self._refuse("vectors", "Put a Flatten after it.")


@keras.saving.register_keras_serializable("genzoo")
class Planar(_ContextParameters):
    """Moves points along one direction: y = x + u tanh(w x + b).

    u is kept such that the slope along w stays above 0.01. The inverse is the root of a monotone
    function of the one number w x.

    Args:
        context_size: Width of the encoded context; 0 for none.
        seed: Fixes the initial weights.

    Reference: Rezende and Mohamed, Variational inference with normalizing flows, 2015.
    """

    def build_event(self, event_shape):
        self._check_vectors()
        random = generator(self.seed)
        (size,) = event_shape
        w = random.normal(size=size) / np.sqrt(size)
        self._make(w=w, u=0.1 * random.normal(size=size), b=random.normal(size=1))

    def _weights(self, context):
        """Return w, the admissible u, b, and their product w u; [1 or n, ...]."""
        w, u, b = self._values(context)
        product = tf.reduce_sum(w * u, axis=1, keepdims=True)
        admissible = tf.math.softplus(product + _UNIT) - (1.0 - _LEAST_SLOPE)
        square = tf.reduce_sum(w**2, axis=1, keepdims=True) + 1e-12
        return w, u + (admissible - product) * w / square, b, admissible

    def _image(self, x, weights):
        w, u, b, product = weights
        bend = tf.tanh(tf.reduce_sum(w * x, axis=1, keepdims=True) + b)
        log_det = tf.math.log1p(product * (1 - bend**2))
        return x + u * bend, log_det[:, 0]

    def forward_and_log_det(self, x, context=None):
        return self._image(x, self._weights(context))

    def inverse_and_log_det(self, y, context=None):
        weights = w, u, b, product = self._weights(context)
        along = tf.reduce_sum(w * y, axis=1, keepdims=True)

        # along = a + (w u) tanh(a + b), of a = w x
        def gap(a, along, product, b):
            bend = tf.tanh(a + b)
            return a + product * bend - along, 1 + product * (1 - bend**2)

        reach = tf.abs(product) + 1e-3 * (1 + tf.abs(along))
        a = monotone_root(gap, along - reach, along + reach, (along, product, b))
        x = y - u * tf.tanh(a + b)
        _, log_det = self._image(x, weights)
        return x, -log_det


@keras.saving.register_keras_serializable("genzoo")
class Radial(_ContextParameters):
    """Moves points towards or away from a centre c: y = x + beta (x - c) / (alpha + |x - c|).

    beta is kept such that the slope along the radius stays above 0.01. The inverse is the root of
    a quadratic in the radius.

    Args:
        context_size: Width of the encoded context; 0 for none.
        seed: Fixes the initial weights.

    Reference: Rezende and Mohamed, Variational inference with normalizing flows, 2015.
    """

    def build_event(self, event_shape):
        self._check_vectors()
        random = generator(self.seed)
        self._make(c=random.normal(size=event_shape), a=random.normal(size=1), b=np.zeros(1))

    def _weights(self, context):
        c, a, b = self._values(context)
        alpha = tf.math.softplus(a) + 1e-3
        return c, alpha, alpha * (tf.math.softplus(b + _UNIT) - (1.0 - _LEAST_SLOPE))

    def _log_det(self, radius, alpha, beta):
        size = self.event_shape[0]
        pull = alpha + radius
        around = tf.math.log1p(beta / pull)
        outward = tf.math.log1p(alpha * beta / pull**2)
        return ((size - 1) * around + outward)[:, 0]

    @staticmethod
    def _radius(difference):
        # the smooth norm has a gradient at the centre itself
        square = tf.reduce_sum(difference**2, axis=1, keepdims=True)
        tiny = 1e-20 if difference.dtype == tf.float32 else 1e-40
        return tf.sqrt(square + tiny)

    def forward_and_log_det(self, x, context=None):
        c, alpha, beta = self._weights(context)
        difference = x - c
        radius = self._radius(difference)
        y = x + beta * difference / (alpha + radius)
        return y, self._log_det(radius, alpha, beta)

    def inverse_and_log_det(self, y, context=None):
        c, alpha, beta = self._weights(context)
        difference = y - c
        image = self._radius(difference)
        # image = r (1 + beta / (alpha + r)): the positive root of r^2 + p r - alpha image
        p = alpha + beta - image
        root = tf.sqrt(p**2 + 4 * alpha * image)
        product = 2 * alpha * image
        # without cancellation for either sign of p
        radius = tf.where(p > 0, product / (tf.maximum(p, 0) + root), 0.5 * (root - p))
        x = c + difference * (alpha + radius) / (alpha + radius + beta)
        return x, -self._log_det(radius, alpha, beta)
