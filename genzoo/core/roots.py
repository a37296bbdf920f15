"""Roots of monotone functions of one number, many at a time."""

from collections.abc import Callable

import tensorflow as tf

_MAX_STEPS = 200


def monotone_root(
    gap: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]], low: tf.Tensor, high: tf.Tensor
) -> tf.Tensor:
    """Return the roots of increasing functions to float precision: Newton, kept in the bracket.

    A Newton step that would leave the bracket, or that shrinks it too little, is replaced by
    bisection. No gradient flows through; a caller attaches it by the implicit function theorem.

    Args:
        gap: Maps points [...] to the function's value and slope at them, elementwise.
        low, high: Points [...] on either side of the roots.

    Returns:
        The roots [...].

    Reference: Press et al., Numerical recipes, 2007, section 9.4 (rtsafe).
    """
    tiny = tf.constant(1e-7 if low.dtype == tf.float32 else 1e-15, low.dtype)

    def unfinished(step, point, low, high, moved):
        return (step < _MAX_STEPS) & tf.reduce_any(moved > tiny * (1 + tf.abs(point)))

    def body(step, point, low, high, moved):
        value, slope = gap(point)
        low = tf.where(value <= 0, point, low)
        high = tf.where(value >= 0, point, high)
        newton = point - value / tf.maximum(slope, tiny)
        middle = low + 0.5 * (high - low)
        # Newton must halve the last move, as bisection would
        good = (newton >= low) & (newton <= high) & (tf.abs(newton - point) <= 0.5 * moved)
        following = tf.where(good, newton, middle)
        following = tf.where(value == 0, point, following)
        return step + 1, following, low, high, tf.abs(following - point)

    start = low + 0.5 * (high - low)
    _, root, *_ = tf.while_loop(
        unfinished, body, [tf.constant(0), start, low, high, high - low + 1], parallel_iterations=1
    )
    return tf.stop_gradient(root)
