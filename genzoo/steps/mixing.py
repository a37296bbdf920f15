"""Steps that mix the coordinates."""

import keras
import numpy as np
import tensorflow as tf

from genzoo.core.checks import check_choice
from genzoo.steps.base import FlowStep


@keras.saving.register_keras_serializable("genzoo")
class Permutation(FlowStep):
    """Reorders a vector by a fixed permutation, which is saved with the weights.

    forward:  y_i = x_(order_i)

    Args:
        kind: `"random"` or `"reverse"`.
        seed: Fixes a random permutation.
    """

    def __init__(self, kind: str = "random", *, seed: int | None = None, **layer_arguments):
        super().__init__(**layer_arguments)
        self.kind = check_choice(kind, ("random", "reverse"), "kind")
        self.seed = seed

    def build_event(self, event_shape):
        if len(event_shape) != 1:
            raise self._refuse("vectors", "Put a Flatten after it.")
        (size,) = event_shape
        order = np.arange(size)[::-1]
        if self.kind == "random":
            order = np.random.default_rng(self.seed).permutation(size)
        self.order = self.add_weight(
            shape=(size,),
            dtype="int32",
            initializer=lambda shape, dtype: keras.ops.convert_to_tensor(order, dtype),
            trainable=False,
            name="order",
        )

    def forward_and_log_det(self, x, context=None):
        return tf.gather(x, self.order.value, axis=1), tf.zeros([], x.dtype)

    def inverse_and_log_det(self, y, context=None):
        inverse = tf.math.invert_permutation(self.order.value)
        return tf.gather(y, inverse, axis=1), tf.zeros([], y.dtype)


@keras.saving.register_keras_serializable("genzoo")
class LULinear(FlowStep):
    """An invertible matrix along the last axis; on images a 1 x 1 convolution.

    inverse:  x = y P L U, row vectors; L of unit diagonal, U = strict upper part + diag(sign e^s)

    Starts as a random rotation. P and the signs stay as they are drawn.

    Args:
        seed: Fixes the rotation.

    Reference: Kingma and Dhariwal, Glow: generative flow with invertible 1x1 convolutions, 2018.
    """

    def __init__(self, *, seed: int | None = None, **layer_arguments):
        super().__init__(**layer_arguments)
        self.seed = seed

    def build_event(self, event_shape):
        from scipy.linalg import lu

        size = event_shape[-1]
        rotation, _ = np.linalg.qr(np.random.default_rng(self.seed).normal(size=(size, size)))
        order, lower, upper = lu(rotation, p_indices=True)
        diagonal = np.diag(upper)
        self._below = np.tril(np.ones((size, size), self.variable_dtype), -1)

        def weight(name, value, **arguments):
            return self.add_weight(
                shape=value.shape,
                initializer=lambda shape, dtype: keras.ops.convert_to_tensor(value, dtype),
                name=name,
                **arguments,
            )

        self.order = weight("order", order.astype("int32"), trainable=False, dtype="int32")
        self.sign = weight("sign", np.sign(diagonal), trainable=False)
        self.lower = weight("lower", np.tril(lower, -1))
        self.upper = weight("upper", np.triu(upper, 1))
        self.log_scale = weight("log_scale", np.log(np.abs(diagonal)))

    def _factors(self):
        lower = self.lower * self._below + np.eye(len(self._below), dtype=self.variable_dtype)
        diagonal = tf.linalg.diag(self.sign * tf.exp(self.log_scale))
        return lower, self.upper * self._below.T + diagonal

    def _log_det(self, points):
        places = 1
        for n in points.shape[1:-1]:
            places *= n
        return places * tf.reduce_sum(self.log_scale)

    @staticmethod
    def _multiply(points, matrix):
        size = points.shape[-1]
        flat = tf.matmul(tf.reshape(points, [-1, size]), matrix)
        return tf.reshape(flat, [-1, *points.shape[1:]])

    def inverse_and_log_det(self, y, context=None):
        lower, upper = self._factors()
        matrix = tf.gather(tf.matmul(lower, upper), self.order.value)
        return self._multiply(y, matrix), self._log_det(y)

    def forward_and_log_det(self, x, context=None):
        lower, upper = self._factors()
        unit = tf.eye(lower.shape[0], dtype=x.dtype)
        matrix = tf.linalg.triangular_solve(lower, unit)
        matrix = tf.linalg.triangular_solve(upper, matrix, lower=False)
        # the rows of P L U are those of L U in `order`
        matrix = tf.gather(matrix, self.order.value, axis=1)
        return self._multiply(x, matrix), -self._log_det(x)
