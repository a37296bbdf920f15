"""Unrolled training steps, differentiable in all that the loss depends on."""

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from genzoo.core.compat.keras import moments
from genzoo.core.engine.replicas import sum_over_replicas


def unroll(
    variables: Sequence[keras.Variable],
    optimizer: keras.optimizers.Optimizer,
    loss: Callable[[], tf.Tensor],
    num_steps: int,
) -> list[tuple[keras.Variable, tf.Tensor]]:
    """Return what `num_steps` of training would make of the variables, which stay as they are.

    With Adam the steps are Adam's, from its moments at this time; else gradient descent.

    Args:
        variables: What is trained.
        optimizer: Whose learning rate and moments are used.
        loss: Evaluated with the values of each step; each replica's share of it.
        num_steps: Steps.

    Returns:
        Pairs for `keras.StatelessScope`.

    Reference: Metz et al., Unrolled generative adversarial networks, 2017.
    """
    values = [tf.convert_to_tensor(v.value) for v in variables]
    step = _Adam(optimizer, variables) if isinstance(optimizer, keras.optimizers.Adam) else None
    rate = optimizer.learning_rate
    for _ in range(num_steps):
        with tf.GradientTape() as tape:
            tape.watch(values)
            with keras.StatelessScope(list(zip(variables, values, strict=True))):
                value = loss()
        gradients = [
            sum_over_replicas(gradient)
            for gradient in tape.gradient(value, values, unconnected_gradients="zero")
        ]
        directions = gradients if step is None else step(gradients)
        values = [v - tf.cast(rate, v.dtype) * d for v, d in zip(values, directions, strict=True)]
    return list(zip(variables, values, strict=True))


class _Adam:
    """Directions of Adam, in tensors."""

    def __init__(self, optimizer, variables):
        self.optimizer = optimizer
        means = zip(*(moments(optimizer, variable) for variable in variables), strict=True)
        self.first, self.second = ([tf.convert_to_tensor(m.value) for m in kind] for kind in means)
        self.iteration = tf.cast(optimizer.iterations.value, self.first[0].dtype)

    def __call__(self, gradients):
        beta_1, beta_2 = self.optimizer.beta_1, self.optimizer.beta_2
        epsilon = self.optimizer.epsilon
        self.iteration += 1.0
        self.first, self.second = (
            [beta * m + (1.0 - beta) * g**power for m, g in zip(moments, gradients, strict=True)]
            for beta, moments, power in ((beta_1, self.first, 1), (beta_2, self.second, 2))
        )
        scale = [1.0 - beta**self.iteration for beta in (beta_1, beta_2)]
        # the root is taken off 0, where its slope is infinite
        return [
            m / scale[0] / (tf.sqrt(v / scale[1] + epsilon**2) + epsilon)
            for m, v in zip(self.first, self.second, strict=True)
        ]
