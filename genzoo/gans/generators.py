"""Generators by name."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from genzoo.core.maths.random import RowNoise
from genzoo.core.traits import is_image
from genzoo.gans.sequential import CONV_SPREAD, Blocks, choose, scales
from genzoo.nets import Dense, OwnDecoder, TransposedConv, make_normalization


class MLPGenerator(Blocks):
    """An MLP: [n, latent_dim] and a context to [n, *event_shape].

    Args:
        latent_dim: Width of the latent vector.
        event_shape: Shape of one example; images end in tanh.
        hidden_units: Widths of the hidden layers.
        context_size: Width of a context that joins the latent vector; 0 for none.
        normalization, dropout: Of the hidden layers, see `Block`.
    """

    def __init__(
        self,
        latent_dim: int,
        event_shape,
        hidden_units: Sequence[int],
        *,
        context_size=0,
        normalization=None,
        dropout=0.0,
        **arguments: Any,
    ):
        super().__init__(**arguments)
        self.event_shape = tuple(event_shape)
        width = latent_dim + context_size
        for units in hidden_units:
            self._add(
                Dense,
                width,
                units,
                normalization=normalization,
                activation="leaky_relu",
                dropout=dropout,
            )
            width = units
        end = "tanh" if is_image(self.event_shape) else None
        self._add(Dense, width, int(np.prod(event_shape)), activation=end)
        self.built = True

    def call(self, inputs, context=None, noise: RowNoise | None = None, training=False):
        x = inputs if context is None else tf.concat([inputs, context], axis=1)
        return tf.reshape(self._run(self.blocks, x, noise, training), [-1, *self.event_shape])


class ConvGenerator(Blocks):
    """A linear layer, then transposed convolutions that double the image at each step.

    Args:
        latent_dim: Width of the latent vector.
        event_shape: (height, width, channels); the end is tanh.
        filters: Channels of the finest hidden scale, doubled at each coarser, at most 8 times.
        context_size: Width of a context that joins the latent vector; 0 for none.
        normalization: Of the hidden layers, see `Block`.

    Reference: Radford, Metz and Chintala, Unsupervised representation learning with deep
    convolutional generative adversarial networks, 2016.
    """

    def __init__(
        self,
        latent_dim: int,
        event_shape,
        filters: int,
        *,
        context_size=0,
        normalization="batch",
        **arguments: Any,
    ):
        super().__init__(**arguments)
        sizes, channels = scales(event_shape, filters)
        self._coarse_shape = (*sizes[-1], channels[-1])
        size = int(np.prod(self._coarse_shape))
        self._add(Dense, latent_dim + context_size, size, spread=CONV_SPREAD)
        self._first = make_normalization(normalization, self._coarse_shape, self.dtype_policy)
        outputs = [event_shape[-1], *channels]
        for i in reversed(range(len(channels))):
            last = i == 0
            self._add(
                TransposedConv,
                channels[i],
                outputs[i],
                sizes[i],
                normalization=None if last else normalization,
                activation="tanh" if last else "relu",
                spread=CONV_SPREAD,
            )
        self.built = True

    def call(self, inputs, context=None, noise: RowNoise | None = None, training=False):
        x = inputs if context is None else tf.concat([inputs, context], axis=1)
        first, *others = self.blocks
        x = tf.reshape(first(x, training=training), [-1, *self._coarse_shape])
        x = x if self._first is None else self._first(x)
        return self._run(others, tf.nn.relu(x), noise, training)


class OwnGenerator(OwnDecoder):
    """A user's Keras network: [n, latent_dim], or a list of that and a context, to events."""

    def call(self, inputs, context=None, noise=None, training=False):
        return super().call(inputs, context)


def make_generator(
    generator: Any,
    event_shape,
    latent_dim,
    *,
    hidden_units,
    filters,
    normalization,
    dropout,
    context_size,
    seed,
    dtype,
):
    """Return the network of a generator's name, or around a user's own."""
    shared = {"context_size": context_size, "seed": seed, "dtype": dtype}
    if not isinstance(generator, str):
        return OwnGenerator(generator, event_shape, latent_dim, **shared)
    kind = choose(generator, "generator", event_shape)
    if normalization == "auto":
        normalization = "batch" if kind == "conv" else None
    if kind == "mlp":
        return MLPGenerator(
            latent_dim,
            event_shape,
            hidden_units,
            normalization=normalization,
            dropout=dropout,
            **shared,
        )
    return ConvGenerator(latent_dim, event_shape, filters, normalization=normalization, **shared)
