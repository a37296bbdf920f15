"""Roots of monotone functions of one number, many at a time."""

from collections.abc import Callable, Sequence

import tensorflow as tf

_MAX_STEPS = 200
# exact to the seventh derivative
_NEWTON_STEPS = 3

Gap = Callable[..., tuple[tf.Tensor, tf.Tensor]]


def monotone_root(
    gap: Gap, low: tf.Tensor, high: tf.Tensor, inputs: Sequence[tf.Tensor]
) -> tf.Tensor:
    """Return the roots of increasing functions to float precision: Newton, kept in the bracket.

    A Newton step that would leave the bracket, or that shrinks it too little, is replaced by
    bisection.

    Args:
        gap: Maps points [...] and the inputs to the function's value and slope, elementwise.
        low, high: Points [...] on either side of the roots.
        inputs: What the function depends on; gradients reach it.

    Returns:
        The roots [...].

    Reference: Press et al., Numerical recipes, 2007, section 9.4 (rtsafe).
    """
    low, high, *fixed = map(tf.stop_gradient, (low, high, *inputs))
    tiny = tf.constant(1e-7 if low.dtype == tf.float32 else 1e-15, low.dtype)

    def unfinished(step, point, low, high, moved):
        return (step < _MAX_STEPS) & tf.reduce_any(moved > tiny * (1 + tf.abs(point)))

    def body(step, point, low, high, moved):
        value, slope = gap(point, *fixed)
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
    return with_derivatives(gap, root, inputs)


def with_derivatives(gap: Gap, root: tf.Tensor, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
    """Return `root` with its derivatives by the implicit function theorem.

    They are those of Newton steps from the root, through which gradients flow: a first one is
    right in the first derivative, and each further one in twice as many and one more.

    Args:
        gap: As of `monotone_root`.
        root: Where its value is zero.
        inputs: As of `monotone_root`.
    """
    root = tf.stop_gradient(root)
    for _ in range(_NEWTON_STEPS):
        value, slope = gap(root, *inputs)
        # zero, of which the derivatives alone count: what is left of the value is rounding
        root -= (value - tf.stop_gradient(value)) / slope
    return root
