"""Gradients of what was found by search, by the implicit function theorem."""

import functools
from collections.abc import Callable, Sequence

import tensorflow as tf

from genzoo.core.engine.tracing import purpose


def triangular_solution(
    function: Callable[..., tuple[tf.Tensor, tf.Tensor]],
    solution: tf.Tensor,
    inputs: Sequence[tf.Tensor],
) -> tf.Tensor:
    """Return `solution` with its derivatives, of any order, for training.

    A gradient g is pulled back by J^-T, J the function's triangular Jacobian, by Jacobi iteration:
    exact after as many sweeps as there are coordinates, stopped when converged. The derivatives
    of that product are those of a triangular solve with the whole of J.

    Args:
        function: Maps [n, D] and the inputs to what is zero at the solution, coordinate i given
            those up to i, and the logarithm of each coordinate's own slope; both [n, D].
        solution: [n, D].
        inputs: All that `function` depends on; gradients reach it, and nothing else.
    """
    solution = tf.stop_gradient(solution)
    if purpose() != "training":
        return solution

    @tf.custom_gradient
    def with_derivatives(solution, *inputs):
        solution, *inputs = here(solution, *inputs)

        def derivatives(upstream):
            solution_here, *inputs_here = here(solution, *inputs)
            # the same solution, which depends on the inputs in its turn
            y = with_derivatives(solution_here, *inputs_here)
            with tf.GradientTape(persistent=True) as tape:
                tape.watch([y, *inputs_here])
                value, log_slope = function(y, *inputs_here)

            @tf.custom_gradient
            def pulled_back(*given):
                given = here(*given)

                def product(rows):
                    return tape.gradient(value, y, output_gradients=rows)

                def solve(upstream, y, *inputs):
                    return _solve(function, upstream, y, inputs)

                pulled = _jacobi(product, tf.exp(-log_slope), given[0])
                return pulled, functools.partial(_pull_back, solve, given)

            pulled = pulled_back(upstream, y, *inputs_here)
            return [None, *tape.gradient(value, inputs_here, output_gradients=-pulled)]

        return solution, derivatives

    return with_derivatives(solution, *inputs)


def here(*tensors: tf.Tensor) -> list[tf.Tensor]:
    """Return tensors as some of the graph at hand, for what a custom gradient keeps.

    A gradient of the gradient is made in another graph, which does not see those of a third.
    """
    return [tf.identity(tensor) for tensor in tensors]


def _solve(function, upstream, y, inputs) -> tf.Tensor:
    """Return upstream times the inverse of the function's Jacobian at y, [n, D]."""
    with tf.GradientTape() as tape:
        tape.watch(y)
        value, _ = function(y, *inputs)
    jacobian = tape.batch_jacobian(value, y)  # [n, D, D]
    return tf.linalg.triangular_solve(jacobian, upstream[..., None], adjoint=True)[..., 0]


def _pull_back(function, inputs, upstream):
    """Return the gradients of a function, whose value is known otherwise."""
    inputs = here(*inputs)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        value = function(*inputs)
    return tape.gradient(value, inputs, output_gradients=upstream)


def _jacobi(
    product: Callable[[tf.Tensor], tf.Tensor], inverse_slope: tf.Tensor, gradient: tf.Tensor
) -> tf.Tensor:
    """Return x with product(x) = gradient, the product one with a triangular matrix, [n, D]."""
    tolerance = 1e-6 if gradient.dtype == tf.float32 else 1e-13
    tolerance *= tf.reduce_max(tf.abs(gradient))
    sweeps = gradient.shape[1]

    def unfinished(sweep, _, residual):
        return (sweep < sweeps) & (tf.reduce_max(tf.abs(residual)) > tolerance)

    def body(sweep, pulled, residual):
        pulled += residual * inverse_slope
        return sweep + 1, pulled, gradient - product(pulled)

    start = [tf.constant(0), tf.zeros_like(gradient), gradient]
    _, pulled, _ = tf.while_loop(unfinished, body, start, parallel_iterations=1)
    return pulled
