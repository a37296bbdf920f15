"""Parts of adversarial networks: an affine map, then normalisation, activation and dropout."""

from typing import Any

import keras
import tensorflow as tf

from genzoo.core.checks import check_choice
from genzoo.core.maths.random import RowNoise
from genzoo.nets.spectral import SpectralNormalization

NORMALIZATIONS = ("batch", "layer", "instance", None)
ACTIVATIONS = ("relu", "leaky_relu", "tanh", None)
_SLOPE = 0.2
_MOMENTUM = 0.9


class _Affine(keras.layers.Layer):
    """Base: a linear map with a bias, its kernel divided by its spectral norm where asked for.

    Args:
        kernel_shape: Shape of the kernel.
        fan_in: Inputs that reach one output.
        units: Outputs.
        bias: Whether to add one.
        spectral_normalization: Whether the map's largest singular value is held at 1.
        spread: Standard deviation of the initial kernel; `None` for fan_in^-1/2.
        seed: Fixes the initial kernel.
    """

    def __init__(
        self,
        kernel_shape,
        fan_in,
        units,
        *,
        bias=True,
        spectral_normalization=False,
        spread=None,
        seed=None,
        **layer_arguments: Any,
    ):
        super().__init__(**layer_arguments)
        self.units = units
        spread = fan_in**-0.5 if spread is None else spread
        start = keras.initializers.RandomNormal(stddev=spread, seed=seed)
        self.kernel = self.add_weight(shape=kernel_shape, initializer=start, name="kernel")
        self.bias = None
        if bias:
            self.bias = self.add_weight(shape=(units,), initializer="zeros", name="bias")
        self.spectral = None
        if spectral_normalization:
            self.spectral = SpectralNormalization(kernel_shape, seed=seed, dtype=self.dtype_policy)
        self.built = True

    def _map(self, x, kernel):
        raise NotImplementedError

    def call(self, inputs, training=False):
        kernel = tf.convert_to_tensor(self.kernel)
        if self.spectral is not None:
            kernel = self.spectral(kernel, training=training)
        x = self._map(inputs, kernel)
        return x if self.bias is None else tf.nn.bias_add(x, self.bias)


class Dense(_Affine):
    """[n, fan_in] to [n, units]."""

    def __init__(self, fan_in: int, units: int, **arguments: Any):
        super().__init__((fan_in, units), fan_in, units, **arguments)

    def _map(self, x, kernel):
        return tf.matmul(x, kernel)


class Conv(_Affine):
    """Images [n, h, w, fan_in] to [n, ceil(h / stride), ceil(w / stride), units].

    Args:
        channels: Of the images.
        units: Channels of the output.
        size: Side of the kernel.
        stride: Step of the kernel.
    """

    def __init__(self, channels: int, units: int, size: int, stride: int = 1, **arguments: Any):
        super().__init__((size, size, channels, units), size * size * channels, units, **arguments)
        self.stride = stride

    def _map(self, x, kernel):
        return tf.nn.conv2d(x, kernel, self.stride, "SAME")


class TransposedConv(_Affine):
    """Images [n, ceil(h / 2), ceil(w / 2), channels] to [n, h, w, units].

    Args:
        channels: Of the images.
        units: Channels of the output.
        output_size: (h, w).
        size: Side of the kernel.
    """

    def __init__(self, channels: int, units: int, output_size, size: int = 4, **arguments: Any):
        # a stride of 2 lets a quarter of the kernel reach one output
        fan_in = max(size * size * channels // 4, 1)
        super().__init__((size, size, units, channels), fan_in, units, **arguments)
        self.output_size = tuple(output_size)

    def _map(self, x, kernel):
        shape = [tf.shape(x)[0], *self.output_size, self.units]
        return tf.nn.conv2d_transpose(x, kernel, shape, 2, "SAME")


def make_normalization(
    kind: str | None, shape: tuple[int | None, ...], dtype: Any
) -> keras.layers.Layer | None:
    """Return a built layer that normalises [n, *shape], or `None`.

    Args:
        kind: One of `NORMALIZATIONS`.
        shape: Shape of a row, the last axis known.
        dtype: Of the layer.
    """
    if check_choice(kind, NORMALIZATIONS, "normalization") is None:
        return None
    if kind == "batch":
        layer = keras.layers.BatchNormalization(
            momentum=_MOMENTUM, epsilon=1e-5, synchronized=True, dtype=dtype
        )
    else:
        groups = 1 if kind == "layer" else -1
        layer = keras.layers.GroupNormalization(groups, epsilon=1e-5, dtype=dtype)
    layer.build((None, *shape))
    return layer


class Block(keras.layers.Layer):
    """An affine map, then normalisation, activation and dropout.

    Args:
        affine: Class of the affine map.
        *shape: Its positional arguments.
        normalization: `"batch"`, over the whole batch of all replicas; `"layer"` or `"instance"`,
            over an example's values or those of each channel; or `None`.
        activation: `"relu"`, `"leaky_relu"` (slope 0.2), `"tanh"` or `None`.
        dropout: Share of values set to zero in training.
        salt: Tells the dropout of a network's blocks apart.
        **arguments: Of the affine map.
    """

    def __init__(
        self,
        affine: type,
        *shape: Any,
        normalization: str | None = None,
        activation: str | None = None,
        dropout: float = 0.0,
        salt: int = 0,
        dtype: Any = None,
        **arguments: Any,
    ):
        super().__init__(dtype=dtype)
        self.activation = check_choice(activation, ACTIVATIONS, "activation")
        self.dropout, self.salt = dropout, salt
        # the normalisation shifts too
        self.affine = affine(*shape, bias=normalization is None, dtype=dtype, **arguments)
        is_image = affine is not Dense
        self.normalization = make_normalization(
            normalization,
            (None, None, self.affine.units) if is_image else (self.affine.units,),
            dtype,
        )
        self.built = True

    def call(self, inputs, noise: RowNoise | None = None, training=False):
        x = self.affine(inputs, training=training)
        if self.normalization is not None:
            x = self.normalization(x)
        if self.activation == "relu":
            x = tf.nn.relu(x)
        elif self.activation == "leaky_relu":
            x = tf.nn.leaky_relu(x, _SLOPE)
        elif self.activation == "tanh":
            x = tf.tanh(x)
        if training and self.dropout and noise is not None:
            kept = noise.part(self.salt).uniform(tf.shape(x)[0], x.shape[1:]) >= self.dropout
            x = x * tf.cast(kept, x.dtype) / (1.0 - self.dropout)
        return x
