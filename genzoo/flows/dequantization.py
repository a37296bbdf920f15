"""Variational dequantisation: noise for integers from a conditional flow."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from genzoo.core.inputs.spec import DataSpec
from genzoo.core.maths.random import RowNoise
from genzoo.core.traits import is_image
from genzoo.steps import Chain, Coupling, Flatten, ImageCoupling, Logit, Permutation
from genzoo.steps.base import sum_rows

_NUM_COUPLINGS = 4


class VariationalDequantizer(keras.layers.Layer):
    """Draws u in [0, 1) given integers x, u = sigmoid(flow(noise; x)), with its log-density.
    Starts as uniform noise.

    Images get checkerboard couplings of convolutional networks that see the image; vectors affine
    couplings of MLPs.

    Args:
        event_shape: Shape of one example.
        seed: Fixes the initial weights.

    Reference: Ho, Chen, Srinivas, Duan and Abbeel, Flow++, 2019.
    """

    def __init__(self, event_shape: tuple[int, ...], *, seed: int | None = None, **arguments: Any):
        super().__init__(**arguments)
        self.event_shape = event_shape
        self.is_image = is_image(event_shape)
        size = int(np.prod(event_shape))
        halves = [("first", "second")[i % 2] for i in range(_NUM_COUPLINGS)]
        seeds = [None if seed is None else seed + 20 * i for i in range(_NUM_COUPLINGS)]
        dtype = self.dtype_policy
        steps = []
        for half, own in zip(halves, seeds, strict=True):
            if self.is_image:
                steps.append(
                    ImageCoupling(
                        "checkerboard",
                        half,
                        filters=32,
                        image_context=event_shape[-1],
                        seed=own,
                        dtype=dtype,
                    )
                )
            elif size > 1:
                steps.append(Coupling("affine", half, context_size=size, seed=own, dtype=dtype))
                if half == "second":
                    steps.append(Permutation(seed=own, dtype=dtype))
        steps += [] if self.is_image or len(event_shape) == 1 else [Flatten(dtype=dtype)]
        self.chain = Chain([*steps, Logit(0.0, dtype=dtype)], dtype=dtype)
        self.chain.build((None, *event_shape))
        self.built = True

    def dequantize(
        self, x: tf.Tensor, noise: RowNoise, spec: DataSpec
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return x + u as real numbers and -log q(u | x), [n].

        Args:
            x: Integers [n, *event_shape].
            noise: Of the rows.
            spec: The kind of the data.
        """
        noise = noise.uniform(tf.shape(x)[0], self.chain.base_shape)
        real = tf.cast(x, noise.dtype)
        # the network sees the integers within [-1, 1]
        seen = real / (0.5 * spec.levels) - 1.0 if spec.levels else tf.math.asinh(real)
        if not self.is_image:
            seen = tf.reshape(seen, [tf.shape(x)[0], -1])
        # logistic, so that the untrained flow gives the noise back as it is
        noise = tf.clip_by_value(noise, 1e-6, 1 - 1e-6)
        logistic = tf.math.log(noise) - tf.math.log1p(-noise)
        log_base = sum_rows(tf.math.log(noise) + tf.math.log1p(-noise))
        u, log_det = self.chain.forward_and_log_det(logistic, seen)
        # rounding to 1 would be the next integer
        u = tf.minimum(u, 1 - 1e-6)
        return real + u, log_det - log_base
