"""The latent vector that a generator needs for an example, by optimisation."""

from collections.abc import Callable

import tensorflow as tf

from genzoo.core.random import make_seed, normal_rows

_STARTS = 16
_RATE = 0.1
_BETAS = (0.9, 0.999)


def invert(
    generate: Callable[[tf.Tensor, tf.Tensor | None], tf.Tensor],
    distance: Callable[[tf.Tensor], tf.Tensor],
    context: tf.Tensor | None,
    num_rows: tf.Tensor,
    latent_dim: int,
    num_steps: tf.Tensor,
    dtype: str,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return z [n, latent_dim] of the least distance found, and that distance [n].

    The best of 16 starts for each row, the same for all rows, then Adam, on each row alone.

    Args:
        generate: Of z and a context, in graph.
        distance: Of what was generated for each row, [n].
        context: Encoded context [n, context_size], or `None`.
        num_rows: n.
        latent_dim: Width of z.
        num_steps: Steps of Adam.
        dtype: Float type.
    """
    starts = normal_rows(_STARTS, (latent_dim,), make_seed(0), dtype=dtype)

    def loss(z):
        return tf.cast(distance(generate(z, context)), dtype)

    def try_start(i, best, best_loss):
        z = tf.broadcast_to(starts[i], [num_rows, latent_dim])
        return i + 1, *_better(z, loss(z), best, best_loss)

    zeros = tf.zeros([num_rows, latent_dim], dtype)
    _, z, z_loss = tf.while_loop(
        lambda i, *_: i < _STARTS, try_start, [tf.constant(0), zeros, loss(zeros)]
    )

    def descend(i, z, first, second, best, best_loss):
        with tf.GradientTape() as tape:
            tape.watch(z)
            value = loss(z)
        gradient = tape.gradient(value, z)
        best, best_loss = _better(z, value, best, best_loss)
        first = _BETAS[0] * first + (1 - _BETAS[0]) * gradient
        second = _BETAS[1] * second + (1 - _BETAS[1]) * tf.square(gradient)
        power = tf.cast(i + 1, dtype)
        step = first / (1 - _BETAS[0] ** power)
        step /= tf.sqrt(second / (1 - _BETAS[1] ** power)) + 1e-8
        share = tf.cast(i, dtype) / tf.cast(num_steps, dtype)
        return i + 1, z - _RATE * (1 - share) * step, first, second, best, best_loss

    _, last, _, _, z, z_loss = tf.while_loop(
        lambda i, *_: i < num_steps, descend, [tf.constant(0), z, zeros, zeros, z, z_loss]
    )
    return _better(last, loss(last), z, z_loss)


def _better(z, value, best, best_value):
    return tf.where((value < best_value)[:, None], z, best), tf.minimum(value, best_value)
