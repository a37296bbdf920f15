"""Differentiable augmentation of what the discriminator sees.

Reference: Zhao et al., Differentiable augmentation for data-efficient GAN training, 2020.
"""

import tensorflow as tf

from genzoo.core.maths.random import RowNoise

_REACH = 1 / 8  # of a shift, in sides
_HOLE = 1 / 2  # side of the cut, in sides


def _factors(x: tf.Tensor, noise: RowNoise) -> tf.Tensor:
    return tf.cast(noise.uniform(tf.shape(x)[0], (1, 1, 1)), x.dtype)


def color(x: tf.Tensor, noise: RowNoise) -> tf.Tensor:
    """Change brightness, saturation and contrast of images on [-1, 1]."""
    x = x + 2.0 * (_factors(x, noise.part(0)) - 0.5)
    gray = tf.reduce_mean(x, axis=3, keepdims=True)
    x = (x - gray) * 2.0 * _factors(x, noise.part(1)) + gray
    mean = tf.reduce_mean(x, axis=[1, 2, 3], keepdims=True)
    return (x - mean) * (_factors(x, noise.part(2)) + 0.5) + mean


def translation(x: tf.Tensor, noise: RowNoise) -> tf.Tensor:
    """Shift images by up to an eighth of their sides; zeros come in."""
    for axis in (1, 2):
        size = x.shape[axis]
        reach = max(round(size * _REACH), 1)
        pads = [[0, 0]] * 4
        pads[axis] = [reach, reach]
        share = noise.part(axis).uniform(tf.shape(x)[0])
        start = tf.cast(tf.floor(share * (2 * reach + 1)), tf.int32)
        rows = start[:, None] + tf.range(size)
        x = tf.gather(tf.pad(x, pads), rows, axis=axis, batch_dims=1)
    return x


def cutout(x: tf.Tensor, noise: RowNoise) -> tf.Tensor:
    """Set a rectangle of half the sides to zero, its centre anywhere on the image."""
    kept = 0.0
    for axis in (1, 2):
        size = x.shape[axis]
        share = noise.part(axis).uniform(tf.shape(x)[0])
        start = tf.floor(share * (size + 1)) - round(size * _HOLE) // 2
        at = tf.cast(tf.range(size), start.dtype) - start[:, None]
        outside = tf.logical_or(at < 0, at >= round(size * _HOLE))
        shape = [-1, size, 1, 1] if axis == 1 else [-1, 1, size, 1]
        kept = tf.maximum(kept, tf.reshape(tf.cast(outside, x.dtype), shape))
    return x * kept


AUGMENTATIONS = {"color": color, "translation": translation, "cutout": cutout}
