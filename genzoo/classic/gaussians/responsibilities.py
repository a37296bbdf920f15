"""Bayes' rule over components."""

import tensorflow as tf


def posterior(joint: tf.Tensor, weight: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return log p(x) [n], the weighted responsibilities [n, K] and their entropy.

    Args:
        joint: log p(x, k), [n, K].
        weight: Of each row, [n].
    """
    largest = tf.reduce_max(joint, axis=1, keepdims=True)
    largest = tf.where(tf.math.is_finite(largest), largest, tf.zeros_like(largest))
    relative = joint - largest
    odds = tf.exp(relative)
    total = tf.reduce_sum(odds, axis=1, keepdims=True)
    log_total = tf.math.log(total)
    responsibility = odds * tf.math.divide_no_nan(weight[:, None], total)
    # - r log r, where r = odds / total
    information = tf.reduce_sum(tf.math.multiply_no_nan(relative, responsibility), axis=1)
    entropy = tf.reduce_sum(tf.cast(weight * log_total[:, 0] - information, tf.float64))
    return (largest + log_total)[:, 0], responsibility, entropy
