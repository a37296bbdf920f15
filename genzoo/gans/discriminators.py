"""Discriminators by name."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from genzoo.core.errors import InvalidInputError
from genzoo.core.maths.random import RowNoise
from genzoo.gans.sequential import CONV_SPREAD, Blocks, choose, scales
from genzoo.nets import Conv, Dense, MinibatchDiscrimination, OwnFeatures

CONDITIONINGS = ("projection", "concatenation", "auxiliary")


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


class MLPFeatures(Blocks):
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


class ConvFeatures(Blocks):
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
        sizes, channels = scales(event_shape, filters)
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
                spread=CONV_SPREAD if normalization and i else None,
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
    else:
        kind = choose(discriminator, "discriminator", event_shape)
        if normalization == "auto":
            normalization = "layer" if kind == "conv" else None
        kept["normalization"] = normalization
        if kind == "mlp":
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
