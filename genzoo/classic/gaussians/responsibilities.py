"""Bayes' rule over the components of mixtures."""

import tensorflow as tf


def posterior(joint: tf.Tensor, weight: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return what G mixtures of M components say of n rows.

    Args:
        joint: log p(x, component) of each mixture in turn, [n, G M].
        weight: Of each row for each mixture, [n, G].

    Returns:
        log p(x) [n, G]; the responsibilities of the components times the weight [n, G M]; the sum
        over rows of their entropy times the weight, float64.
    """
    grouped = tf.reshape(joint, [-1, weight.shape[1], joint.shape[1] // weight.shape[1]])
    largest = tf.reduce_max(grouped, axis=2, keepdims=True)
    largest = tf.where(tf.math.is_finite(largest), largest, tf.zeros_like(largest))
    relative = grouped - largest
    odds = tf.exp(relative)
    total = tf.reduce_sum(odds, axis=2, keepdims=True)
    log_total = tf.math.log(total)
    responsibility = odds * tf.math.divide_no_nan(weight[:, :, None], total)
    # - r log r, where r = odds / total
    information = tf.reduce_sum(tf.math.multiply_no_nan(relative, responsibility), axis=2)
    entropy = tf.reduce_sum(tf.cast(weight * log_total[:, :, 0] - information, tf.float64))
    flat = tf.reshape(responsibility, tf.shape(joint))
    return (largest + log_total)[:, :, 0], flat, entropy
