"""Gradient penalties, [n], of a critic that scores data on the model's side, [n]."""

from collections.abc import Callable

import tensorflow as tf

from genzoo.core.engine.replicas import mean_over_replicas
from genzoo.core.maths.random import RowNoise

Critic = Callable[[tf.Tensor], tf.Tensor]


def _squared_slope(critic: Critic, x: tf.Tensor) -> tf.Tensor:
    """Return the squared norm of the critic's gradient at each x, [n]."""
    with tf.GradientTape() as tape:
        tape.watch(x)
        score = critic(x)
    gradient = tape.gradient(score, x)
    return tf.reduce_sum(tf.square(gradient), axis=list(range(1, len(x.shape))))


def _off_one(critic: Critic, x: tf.Tensor) -> tf.Tensor:
    # the root has no slope at 0
    return tf.square(tf.sqrt(_squared_slope(critic, x) + 1e-12) - 1.0)


def _share(x: tf.Tensor, noise: RowNoise) -> tf.Tensor:
    return tf.cast(noise.uniform(tf.shape(x)[0], (1,) * (len(x.shape) - 1)), x.dtype)


def wgan_gp(critic: Critic, real: tf.Tensor, fake: tf.Tensor, noise: RowNoise) -> tf.Tensor:
    """Draw slopes to 1 on the lines between real and generated examples.

    Reference: Gulrajani et al., Improved training of Wasserstein GANs, 2017.
    """
    share = _share(real, noise)
    return _off_one(critic, share * real + (1.0 - share) * fake)


def dragan(critic: Critic, real: tf.Tensor, fake: tf.Tensor, noise: RowNoise) -> tf.Tensor:
    """Draw slopes to 1 around the real examples.

    Reference: Kodali et al., On convergence and stability of GANs, 2017.
    """
    mean = tf.reduce_mean(mean_over_replicas(real))
    spread = tf.sqrt(tf.reduce_mean(mean_over_replicas(tf.square(real - mean))))
    moved = noise.part(1).uniform(tf.shape(real)[0], real.shape[1:])
    return _off_one(critic, real + _share(real, noise) * 0.5 * spread * tf.cast(moved, real.dtype))


def r1(critic: Critic, real: tf.Tensor, fake: tf.Tensor, noise: RowNoise) -> tf.Tensor:
    """Half the squared slope at the real examples.

    Reference: Mescheder, Geiger and Nowozin, Which training methods for GANs do actually
    converge?, 2018.
    """
    return 0.5 * _squared_slope(critic, real)


PENALTIES = {"wgan_gp": wgan_gp, "dragan": dragan, "r1": r1, None: None}
# (on images, on all else): the papers' 10 on images; the rest by the modes found on a ring and a
# grid of Gaussians, of which 10 loses half
WEIGHTS = {"wgan_gp": (10.0, 1.0), "dragan": (10.0, 1.0), "r1": (0.1, 0.1), None: (0.0, 0.0)}
