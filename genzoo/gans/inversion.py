"""The latent vector that a generator needs for an example, by optimisation."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from genzoo.core import checks
from genzoo.core.latent_model import LatentModel
from genzoo.core.maths.random import make_seed, normal_rows

_INVERSION_STEPS = 200
# Schlegl et al. 2017: the share of the discriminator's features in the anomaly score
_FEATURE_SHARE = 0.1
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


class InvertedModel(LatentModel):
    """Mixin of GANs: the way from examples to latent vectors, and what it says of an example.

    A subclass has `scaling`, `discriminator_network`, `latent_dim` and `_generate(z, context)`.
    """

    def _encode(self, x, context, first_row):
        return self._invert(x, context, first_row, tf.constant(_INVERSION_STEPS))[:, :-1]

    def _invert(self, x, context, first_row, num_steps):
        """Return z and the distance that is left, [n, latent_dim + 1]."""
        seen = self.scaling.to_model(x)

        def features(x):
            return self.discriminator_network(x, context=context).features

        wanted = features(seen)

        def distance(made):
            apart = tf.reduce_mean(tf.abs(made - seen), axis=list(range(1, len(seen.shape))))
            judged = tf.reduce_mean(tf.abs(features(made) - wanted), axis=1)
            return (1 - _FEATURE_SHARE) * apart + _FEATURE_SHARE * judged

        z, left = invert(
            self._generate,
            distance,
            context,
            tf.shape(x)[0],
            self.latent_dim,
            num_steps,
            self.float_dtype,
        )
        return tf.concat([z, left[:, None]], axis=1)

    def encode(
        self,
        x: Any,
        *,
        context: Any = None,
        num_steps: int = _INVERSION_STEPS,
        batch_size: int | None = None,
    ) -> np.ndarray:
        """Return a z for each row whose image under the generator is close to it.

        Found by optimisation, as `anomaly_score` says; no inverse of the generator.

        Args:
            x: Array [n, *event_shape].
            context: As in `fit`, for conditional models.
            num_steps: Steps of Adam from the best of 16 starts.
            batch_size: Rows at a time on each replica.

        Returns:
            Array [n, latent_dim].
        """
        return self._inverted("encode", x, context, num_steps, batch_size)[:, :-1]

    def anomaly_score(
        self,
        x: Any,
        *,
        context: Any = None,
        num_steps: int = _INVERSION_STEPS,
        batch_size: int | None = None,
    ) -> np.ndarray:
        """Return how far each row stays from what the generator can make, [n]; higher is stranger.

        0.9 times the mean absolute difference from the nearest example that the generator was
        found to make, and 0.1 times that of the discriminator's features.

        Args:
            x, context, num_steps, batch_size: As in `encode`.

        Reference: Schlegl et al., Unsupervised anomaly detection with generative adversarial
        networks to guide marker discovery, 2017.
        """
        return self._inverted("anomaly_score", x, context, num_steps, batch_size)[:, -1]

    def _inverted(self, method, x, context, num_steps, batch_size):
        num_steps = tf.constant(checks.check_int(num_steps, "num_steps"))
        data, batch_size = self._read_rows(method, x, context, batch_size or 256)
        return np.concatenate(
            list(self.map_rows("invert", self._invert, data, batch_size, num_steps))
        )

    def reconstruct(self, x: Any, *, context: Any = None) -> np.ndarray:
        """Return the nearest example that the generator was found to make, in the kind of x."""
        return self.decode(self.encode(x, context=context), context=context)
