"""Steps that mix the coordinates."""

import functools
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from genzoo.core.checks import check_choice
from genzoo.core.errors import InvalidInputError
from genzoo.core.maths.random import generator
from genzoo.steps.base import FlowStep

_COORDINATES = 64
_LOG_SCALE_BOUND = 5.0
# up to this width the product of the matrices costs less than many points times each of them
_SMALL = 128


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
            order = generator(self.seed).permutation(size)
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

    inverse:  x = y R L U, row vectors; L of unit diagonal, U = strict upper part + diag(e^s)

    R is a random rotation that stays as it is drawn; L and U start at the identity, where both are
    easy to invert at any width.

    Args:
        seed: Fixes the rotation.

    Reference: Kingma and Dhariwal, Glow: generative flow with invertible 1x1 convolutions, 2018.
    """

    def __init__(self, *, seed: int | None = None, **layer_arguments):
        super().__init__(**layer_arguments)
        self.seed = seed

    def build_event(self, event_shape):
        size = event_shape[-1]
        rotation, _ = np.linalg.qr(generator(self.seed).normal(size=(size, size)))
        self._below = np.tril(np.ones((size, size), self.variable_dtype), -1)
        # Adam moves every weight alike, so a step moves the image by the sum over all coordinates:
        # held to that of so many, it does not grow with the width
        self._pace = min(1.0, _COORDINATES / size)
        self.rotation = self.add_weight(
            shape=(size, size),
            initializer=lambda shape, dtype: keras.ops.convert_to_tensor(rotation, dtype),
            trainable=False,
            name="rotation",
        )
        self.lower = self.add_weight(shape=(size, size), initializer="zeros", name="lower")
        self.upper = self.add_weight(shape=(size, size), initializer="zeros", name="upper")
        self.log_scale = self.add_weight(shape=(size,), initializer="zeros", name="log_scale")

    def load_own_variables(self, store):
        arrays = {name: np.asarray(store[name]) for name in store.keys()}  # noqa: SIM118
        if len(arrays) == 5:
            weights = self._from_permuted(*(arrays[str(i)] for i in range(5)))
            arrays = {str(i): weight for i, weight in enumerate(weights)}
        super().load_own_variables(arrays)

    def _from_permuted(self, lower, upper, log_scale, order, sign):
        """Return the weights for P L U, which files of version 0.1 hold."""
        below = np.tril(lower, -1).astype(np.float64) + np.eye(len(order))
        above = np.triu(upper, 1).astype(np.float64) + np.diag(sign * np.exp(log_scale))
        rotation, above = np.linalg.qr((below @ above)[order])
        turned = np.sign(np.diag(above))
        rotation, above = rotation * turned, above * turned[:, None]
        share = np.log(np.diag(above)) / _LOG_SCALE_BOUND
        if np.abs(share).max() >= 1:
            raise InvalidInputError(
                "Expected a learned matrix that scales no direction by more than "
                f"exp({_LOG_SCALE_BOUND}). Received: one of a file of version 0.1 that does. "
                "Train the model anew."
            )
        raw = _LOG_SCALE_BOUND * np.arctanh(share)
        return np.zeros_like(above), np.triu(above, 1) / self._pace, raw, rotation

    def _factors(self):
        """Return R, L, U and the logarithm of U's diagonal."""
        lower = self._pace * self.lower * self._below
        upper = self._pace * self.upper * self._below.T
        log_scale = _LOG_SCALE_BOUND * tf.tanh(self.log_scale / _LOG_SCALE_BOUND)
        lower = tf.linalg.set_diag(lower, tf.ones_like(log_scale))
        upper = tf.linalg.set_diag(upper, tf.exp(log_scale))
        return tf.convert_to_tensor(self.rotation), lower, upper, log_scale

    def _log_det(self, points, log_scale):
        places = 1
        for n in points.shape[1:-1]:
            places *= n
        return places * tf.reduce_sum(log_scale)

    def inverse_and_log_det(self, y, context=None):
        *factors, log_scale = self._factors()
        return _multiply(y, factors), self._log_det(y, log_scale)

    def forward_and_log_det(self, x, context=None):
        rotation, lower, upper, log_scale = self._factors()

        def solve(columns):
            columns = tf.linalg.triangular_solve(upper, columns, lower=False, adjoint=True)
            columns = tf.linalg.triangular_solve(lower, columns, adjoint=True)
            return tf.matmul(rotation, columns)

        size = x.shape[-1]
        flat = tf.reshape(x, [-1, size])
        if size <= _SMALL:
            y = tf.matmul(flat, solve(tf.eye(size, dtype=x.dtype)), transpose_b=True)
        else:
            y = tf.transpose(solve(tf.transpose(flat)))
        return tf.reshape(y, [-1, *x.shape[1:]]), -self._log_det(x, log_scale)


def _multiply(points: tf.Tensor, matrices: Sequence[tf.Tensor]) -> tf.Tensor:
    """Return points [n, ..., D] times matrices [D, D], in turn."""
    size = points.shape[-1]
    flat = tf.reshape(points, [-1, size])
    if size <= _SMALL:
        matrices = [functools.reduce(tf.matmul, matrices)]
    for matrix in matrices:
        flat = tf.matmul(flat, matrix)
    return tf.reshape(flat, [-1, *points.shape[1:]])
