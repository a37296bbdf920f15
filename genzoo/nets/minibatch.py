"""Minibatch discrimination."""

from typing import Any

import keras
import tensorflow as tf

from genzoo.core.engine.replicas import gather_over_replicas, mean_over_replicas

_MOMENTUM = 0.9


class MinibatchDiscrimination(keras.layers.Layer):
    """Features [n, features] to the same beside how close each row is to the others, per kernel.

    Mean over the other rows j of exp(-|M_i - M_j|_1) with M = x T, over the batch of all replicas;
    the paper's sum would outweigh the features in a large batch. Outside training a row does not
    depend on its batch: the running mean stands in.

    Args:
        features: Width of the input.
        num_kernels: Numbers that are added to a row.
        kernel_dim: Width in which rows are compared.
        seed: Fixes the initial weights.

    Reference: Salimans et al., Improved techniques for training GANs, 2016.
    """

    def __init__(
        self,
        features: int,
        *,
        num_kernels: int = 16,
        kernel_dim: int = 4,
        seed: int | None = None,
        **layer_arguments: Any,
    ):
        super().__init__(**layer_arguments)
        self.num_kernels, self.kernel_dim = num_kernels, kernel_dim
        self.kernel = self.add_weight(
            shape=(features, num_kernels * kernel_dim),
            initializer=keras.initializers.RandomNormal(stddev=features**-0.5, seed=seed),
            name="kernel",
        )
        self.mean = self.add_weight(
            shape=(num_kernels,), initializer="zeros", trainable=False, autocast=False, name="mean"
        )
        self.built = True

    def call(self, inputs, training=False):
        if not training:
            shape = [tf.shape(inputs)[0], self.num_kernels]
            return tf.concat([inputs, tf.broadcast_to(self.mean, shape)], axis=1)
        own = tf.matmul(inputs, self.kernel)
        # rows last: sums over short trailing axes are slow
        own, every = (
            tf.reshape(tf.transpose(rows), [self.num_kernels, self.kernel_dim, -1])
            for rows in (own, gather_over_replicas(own))
        )
        distance = tf.reduce_sum(tf.abs(own[..., None] - every[:, :, None]), axis=1)
        others = tf.cast(tf.shape(every)[2] - 1, distance.dtype)
        # a row is at distance 0 from itself
        closeness = (tf.reduce_sum(tf.exp(-distance), axis=2) - 1.0) / tf.maximum(others, 1.0)
        closeness = tf.transpose(closeness)
        batch_mean = tf.stop_gradient(mean_over_replicas(closeness))
        self.mean.assign(_MOMENTUM * self.mean + (1 - _MOMENTUM) * batch_mean)
        return tf.concat([inputs, closeness], axis=1)
