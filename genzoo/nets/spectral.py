"""Spectral normalisation."""

from typing import Any

import keras
import tensorflow as tf


class SpectralNormalization(keras.layers.Layer):
    """Divides a kernel by an estimate of its largest singular value.

    One step of the power iteration a training call; the kernel counts as a matrix of its last axis
    by all others.

    Args:
        kernel_shape: Shape of the kernel.
        seed: Fixes the start of the iteration.

    Reference: Miyato et al., Spectral normalization for generative adversarial networks, 2018.
    """

    def __init__(self, kernel_shape, *, seed: int | None = None, **layer_arguments: Any):
        super().__init__(**layer_arguments)
        self.u = self.add_weight(
            shape=(kernel_shape[-1],),
            initializer=keras.initializers.RandomNormal(seed=seed),
            trainable=False,
            autocast=False,
            name="u",
        )
        self.built = True

    def call(self, kernel, training=False):
        matrix = tf.reshape(kernel, [-1, kernel.shape[-1]])
        fixed = tf.stop_gradient(matrix)
        left = tf.math.l2_normalize(tf.linalg.matvec(fixed, self.u))
        right = tf.math.l2_normalize(tf.linalg.matvec(fixed, left, transpose_a=True))
        if training:
            self.u.assign(right)
        return kernel / tf.tensordot(left, tf.linalg.matvec(matrix, right), 1)
