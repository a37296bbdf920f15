"""Generators and discriminators by name."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from genzoo.core.checks import check_choice
from genzoo.core.errors import InvalidInputError
from genzoo.core.random import RowNoise
from genzoo.nets import (
    Block,
    Conv,
    Dense,
    MinibatchDiscrimination,
    OwnDecoder,
    OwnFeatures,
    TransposedConv,
    halved_sizes,
    make_normalization,
)

NETWORKS = ("mlp", "conv", "auto")
CONDITIONINGS = ("projection", "concatenation", "auxiliary")
_MOST_CHANNELS = 8
# Radford et al. 2016; under normalisation small weights learn at a higher pace
_CONV_SPREAD = 0.02


class Judgement(NamedTuple):
    """What a discriminator says of rows.

    Args:
        score: [n]; higher is more real.
        features: [n, features], its last hidden layer.
        classes: Logits [n, classes] of an auxiliary classifier, or `None`.
    """

    score: tf.Tensor
    features: tf.Tensor
    classes: tf.Tensor | None


class _Sequential(keras.layers.Layer):
    """Base: blocks one after another; seeds and dropout told apart by their number."""

    def __init__(self, *, seed: int | None = None, dtype: Any = None):
        super().__init__(dtype=dtype)
        self.seed = seed
        self.blocks: list[Block] = []

    def _add(self, affine: type, *shape: Any, **arguments: Any) -> None:
        number = len(self.blocks)
        seed = None if self.seed is None else self.seed + number
        block = Block(affine, *shape, seed=seed, salt=number, dtype=self.dtype_policy, **arguments)
        self.blocks.append(block)

    @staticmethod
    def _run(blocks, x, noise, training):
        for block in blocks:
            x = block(x, noise=noise, training=training)
        return x


class MLPGenerator(_Sequential):
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
        end = "tanh" if len(self.event_shape) == 3 else None
        self._add(Dense, width, int(np.prod(event_shape)), activation=end)
        self.built = True

    def call(self, inputs, context=None, noise: RowNoise | None = None, training=False):
        x = inputs if context is None else tf.concat([inputs, context], axis=1)
        return tf.reshape(self._run(self.blocks, x, noise, training), [-1, *self.event_shape])


class ConvGenerator(_Sequential):
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
        sizes, channels = _scales(event_shape, filters)
        self._coarse_shape = (*sizes[-1], channels[-1])
        size = int(np.prod(self._coarse_shape))
        self._add(Dense, latent_dim + context_size, size, spread=_CONV_SPREAD)
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
                spread=_CONV_SPREAD,
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


class MLPFeatures(_Sequential):
    """An MLP on the flat event: [n, *event_shape] and a context to [n, features].

    Args:
        event_shape: Shape of one example.
        hidden_units: Widths of the hidden layers, the last that of the features.
        context_size, normalization, dropout: As of `MLPGenerator`.
        spectral_normalization: Of all layers.
    """

    def __init__(
        self,
        event_shape,
        hidden_units: Sequence[int],
        *,
        context_size=0,
        normalization=None,
        dropout=0.0,
        spectral_normalization=False,
        **arguments: Any,
    ):
        super().__init__(**arguments)
        self._size = int(np.prod(event_shape))
        width = self._size + context_size
        for units in hidden_units:
            self._add(
                Dense,
                width,
                units,
                normalization=normalization,
                activation="leaky_relu",
                dropout=dropout,
                spectral_normalization=spectral_normalization,
            )
            width = units
        self.num_features = width
        self.built = True

    def call(self, inputs, context=None, noise: RowNoise | None = None, training=False):
        x = tf.reshape(inputs, [-1, self._size])
        x = x if context is None else tf.concat([x, context], axis=1)
        return self._run(self.blocks, x, noise, training)


class ConvFeatures(_Sequential):
    """Strided convolutions that halve the image at each step, to [n, features].

    A context joins as planes of its values.

    Args:
        event_shape: (height, width, channels).
        filters: Channels of the finest scale, doubled at each coarser, at most 8 times.
        context_size, dropout, spectral_normalization: As of `MLPFeatures`.
        normalization: Of all layers but the first, see `Block`.

    Reference: Radford, Metz and Chintala, Unsupervised representation learning with deep
    convolutional generative adversarial networks, 2016.
    """

    def __init__(
        self,
        event_shape,
        filters: int,
        *,
        context_size=0,
        normalization="batch",
        dropout=0.0,
        spectral_normalization=False,
        **arguments: Any,
    ):
        super().__init__(**arguments)
        sizes, channels = _scales(event_shape, filters)
        width = event_shape[-1] + context_size
        for i, units in enumerate(channels):
            self._add(
                Conv,
                width,
                units,
                4,
                2,
                normalization=normalization if i else None,
                activation="leaky_relu",
                dropout=dropout,
                spectral_normalization=spectral_normalization,
                spread=_CONV_SPREAD if normalization and i else None,
            )
            width = units
        self.num_features = width * int(np.prod(sizes[-1]))
        self.built = True

    def call(self, inputs, context=None, noise: RowNoise | None = None, training=False):
        x = inputs
        if context is not None:
            planes = tf.cast(context[:, None, None, :], x.dtype)
            shape = [tf.shape(x)[0], *x.shape[1:3], context.shape[1]]
            x = tf.concat([x, tf.broadcast_to(planes, shape)], axis=3)
        x = self._run(self.blocks, x, noise, training)
        return tf.reshape(x, [-1, self.num_features])


class Discriminator(keras.layers.Layer):
    """Features, and on them a score; with a context, what it says of the row too.

    Args:
        body: Network to features.
        context_size: Width of the context; 0 for none.
        conditioning: `"projection"`: the score gains the product of the features with a linear
            map of the context; `"concatenation"`: the context joins the input; `"auxiliary"`: a
            classifier beside the score.
        minibatch_discrimination: Whether the score sees how close a row is to the others.
        bias: Whether the score has one; a loss of differences of scores teaches it nothing.
        spectral_normalization: Of all layers.
        seed: Fixes the initial weights.

    Reference: Miyato and Koyama, cGANs with projection discriminator, 2018; Mirza and Osindero,
    Conditional generative adversarial nets, 2014; Odena, Olah and Shlens, Conditional image
    synthesis with auxiliary classifier GANs, 2017.
    """

    def __init__(
        self,
        body: keras.layers.Layer,
        *,
        context_size=0,
        conditioning="projection",
        minibatch_discrimination=False,
        bias=True,
        spectral_normalization=False,
        seed=None,
        dtype=None,
    ):
        super().__init__(dtype=dtype)
        self.body = body
        self.conditioning = conditioning if context_size else None
        width = body.num_features

        def affine(fan_in, units, salt, **arguments):
            return Dense(
                fan_in,
                units,
                spectral_normalization=spectral_normalization,
                seed=None if seed is None else seed + salt,
                dtype=dtype,
                **arguments,
            )

        self.projection = self.classifier = self.minibatch = None
        if self.conditioning == "projection":
            self.projection = affine(context_size, width, 90, bias=False)
        if self.conditioning == "auxiliary":
            self.classifier = affine(width, context_size, 91)
        if minibatch_discrimination:
            self.minibatch = MinibatchDiscrimination(
                width, seed=None if seed is None else seed + 92, dtype=dtype
            )
            width += self.minibatch.num_kernels
        self.score = affine(width, 1, 93, bias=bias)
        self.built = True

    def call(self, inputs, context=None, noise: RowNoise | None = None, training=False):
        joins = context if self.conditioning == "concatenation" else None
        features = self.body(inputs, context=joins, noise=noise, training=training)
        judged = features
        if self.minibatch is not None:
            judged = self.minibatch(features, training=training)
        score = self.score(judged, training=training)[:, 0]
        if self.projection is not None:
            score += tf.reduce_sum(features * self.projection(context, training=training), axis=1)
        classes = None
        if self.classifier is not None:
            classes = self.classifier(features, training=training)
        return Judgement(score, features, classes)


def _scales(event_shape, filters):
    sizes = halved_sizes(*event_shape[:2])
    return sizes, [filters * min(2**i, _MOST_CHANNELS) for i in range(len(sizes) - 1)]


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
    if _choose(generator, "generator", event_shape) == "mlp":
        return MLPGenerator(
            latent_dim,
            event_shape,
            hidden_units,
            normalization=normalization,
            dropout=dropout,
            **shared,
        )
    return ConvGenerator(latent_dim, event_shape, filters, normalization=normalization, **shared)


def make_discriminator(
    discriminator: Any,
    event_shape,
    *,
    hidden_units,
    filters,
    normalization,
    dropout,
    context_size,
    conditioning,
    minibatch_discrimination,
    bias,
    spectral_normalization,
    seed,
    dtype,
):
    """Return a discriminator with the body of a name, or a user's own."""
    shared = {
        "context_size": context_size if conditioning == "concatenation" else 0,
        "seed": seed,
        "dtype": dtype,
    }
    kept = {
        "normalization": normalization,
        "dropout": dropout,
        "spectral_normalization": spectral_normalization,
    }
    if not isinstance(discriminator, str):
        if spectral_normalization:
            raise InvalidInputError(
                "Expected spectral_normalization with a discriminator of genzoo's. Received: "
                "spectral_normalization=True with a network of your own. Wrap its layers in "
                "keras.layers.SpectralNormalization."
            )
        body = OwnFeatures(discriminator, event_shape, **shared)
    elif _choose(discriminator, "discriminator", event_shape) == "mlp":
        body = MLPFeatures(event_shape, hidden_units, **kept, **shared)
    else:
        body = ConvFeatures(event_shape, filters, **kept, **shared)
    return Discriminator(
        body,
        context_size=context_size,
        conditioning=conditioning,
        minibatch_discrimination=minibatch_discrimination,
        bias=bias,
        spectral_normalization=spectral_normalization,
        seed=seed,
        dtype=dtype,
    )


def _choose(network, name, event_shape):
    if check_choice(network, NETWORKS, name) == "auto":
        return "conv" if len(event_shape) == 3 else "mlp"
    if network == "conv" and len(event_shape) != 3:
        raise InvalidInputError(
            "Expected images (height, width, channels) for convolutional networks. Received: "
            f"event_shape={event_shape}, {name}='conv'. Use {name}='mlp' for vectors."
        )
    return network
