"""Gradients of what was found by search, by the implicit function theorem."""

from collections.abc import Callable

import tensorflow as tf

from genzoo.core.tracing import purpose


def triangular_solution(
    function: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]],
    solution: tf.Tensor,
    target: tf.Tensor,
) -> tf.Tensor:
    """Return `solution`, where function(solution) = target, with its gradient for training.

    A gradient g is pulled back by J^-T, J the function's triangular Jacobian, by Jacobi iteration:
    exact after as many sweeps as there are coordinates, stopped when converged.

    Args:
        function: Maps [n, D] to its image, coordinate i given those up to i, and the logarithm of
            each coordinate's own slope; both [n, D].
        solution: [n, D].
        target: [n, D]; gradients reach it and whatever `function` depends on.
    """
    solution = tf.stop_gradient(solution)
    if purpose() != "training":
        return solution
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(solution)
        image, log_slope = function(solution)
    inverse_slope = tf.exp(-tf.stop_gradient(log_slope))
    sweeps = solution.shape[1]

    def pull_back(gradient):
        tolerance = 1e-6 if gradient.dtype == tf.float32 else 1e-13
        tolerance *= tf.reduce_max(tf.abs(gradient))

        def unfinished(sweep, _, residual):
            return (sweep < sweeps) & (tf.reduce_max(tf.abs(residual)) > tolerance)

        def body(sweep, pulled, residual):
            pulled += residual * inverse_slope
            through = tape.gradient(image, solution, output_gradients=pulled)
            return sweep + 1, pulled, gradient - through

        start = [tf.constant(0), tf.zeros_like(gradient), gradient]
        _, pulled, _ = tf.while_loop(unfinished, body, start, parallel_iterations=1)
        return pulled

    @tf.custom_gradient
    def correction(residual):
        return tf.zeros_like(residual), pull_back

    return solution - correction(image - target)
