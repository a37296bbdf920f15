"""Convolutional networks that keep height and width."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from genzoo.core.checks import check_int
from genzoo.core.config import Configured
from genzoo.nets.mlp import check_activation


class _ImageNet(Configured, keras.layers.Layer):
    """Base: images [n, h, w, input_channels] to [n, h, w, output_channels].

    Args:
        input_channels, output_channels: Channels.
        filters: Channels of the hidden layers.
        context_size: Width of a context vector, added to the first hidden layer; 0 for none.
        activation: Name of a Keras activation.
        seed: Fixes the initial weights; the last layer starts at zero.
    """

    def __init__(
        self,
        input_channels: int,
        filters: int,
        output_channels: int,
        *,
        context_size: int = 0,
        activation: str = "relu",
        seed: int | None = None,
        **layer_arguments: Any,
    ):
        super().__init__(**layer_arguments)
        self.input_channels = check_int(input_channels, "input_channels")
        self.filters = check_int(filters, "filters")
        self.output_channels = check_int(output_channels, "output_channels")
        self.context_size = check_int(context_size, "context_size", minimum=0)
        self.activation = activation
        self.seed = seed
        self._activation = check_activation(activation)
        self._count = 0
        self._context_kernel = None
        if context_size:
            self._context_kernel = self.add_weight(
                shape=(context_size, filters), initializer=self._initializer(), name="context"
            )

    def _initializer(self) -> keras.initializers.Initializer:
        self._count += 1
        return keras.initializers.HeNormal(None if self.seed is None else self.seed + self._count)

    def _add_context(self, x, context):
        if self._context_kernel is None:
            return x
        return x + tf.matmul(context, self._context_kernel)[:, None, None, :]


@keras.saving.register_keras_serializable("genzoo")
class ConvNet(_ImageNet):
    """Convolutions of 3 x 3, 1 x 1 and 3 x 3; or one of 3 x 3.

    Args:
        linear: Whether there are no hidden layers, `filters` notwithstanding.

    Reference: Kingma and Dhariwal, Glow, 2018.
    """

    def __init__(self, input_channels, filters, output_channels, *, linear=False, **arguments):
        width = output_channels if linear else filters
        super().__init__(input_channels, width, output_channels, **arguments)
        self.linear = linear
        self._hidden = []
        if not linear:
            self._hidden = [
                self._convolution(3, input_channels, filters, "in"),
                self._convolution(1, filters, filters, "mid"),
            ]
        last = input_channels if linear else filters
        self._last = self._convolution(3, last, output_channels, "out", zeros=True)
        # Adam moves every weight of the zero layer alike, so a step moves the output by the sum
        # over all inputs: held to that of 64 inputs, it does not grow with the width
        self._last_scale = 64 / (9 * last)
        self.built = True

    def _convolution(self, size, fan_in, fan_out, name, zeros=False):
        kernel = self.add_weight(
            shape=(size, size, fan_in, fan_out),
            initializer="zeros" if zeros else self._initializer(),
            name=f"{name}_kernel",
        )
        bias = self.add_weight(shape=(fan_out,), initializer="zeros", name=f"{name}_bias")
        return kernel, bias

    def call(self, inputs, context=None):
        x = inputs
        for i, (kernel, bias) in enumerate([*self._hidden, self._last]):
            if i == len(self._hidden):
                x = x * self._last_scale
            x = tf.nn.bias_add(tf.nn.conv2d(x, kernel, 1, "SAME"), bias)
            if i == 0:
                x = self._add_context(x, context)
            if i < len(self._hidden):
                x = self._activation(x)
        return x


@keras.saving.register_keras_serializable("genzoo")
class ResNet(_ImageNet):
    """Pre-activation residual blocks of two 3 x 3 convolutions, weights normalised.

    Args:
        num_blocks: Residual blocks.

    Reference: He et al., Identity mappings in deep residual networks, 2016; Salimans and Kingma,
    Weight normalization, 2016.
    """

    def __init__(self, input_channels, filters, output_channels, *, num_blocks=2, **arguments):
        super().__init__(input_channels, filters, output_channels, **arguments)
        self.num_blocks = check_int(num_blocks, "num_blocks", minimum=0)
        self._first = self._convolution(3, input_channels, filters, "in")
        self._blocks = [
            [self._convolution(3, filters, filters, f"block_{i}_{j}") for j in range(2)]
            for i in range(num_blocks)
        ]
        self._last = self._convolution(1, filters, output_channels, "out", zeros=True)
        self.built = True

    def _convolution(self, size, fan_in, fan_out, name, zeros=False):
        direction = self.add_weight(
            shape=(size, size, fan_in, fan_out),
            initializer=self._initializer(),
            name=f"{name}_direction",
        )
        # as long as a He-normal kernel is on average
        length = 0.0 if zeros else math.sqrt(2.0)
        gain = self.add_weight(
            shape=(fan_out,), initializer=keras.initializers.Constant(length), name=f"{name}_gain"
        )
        bias = self.add_weight(shape=(fan_out,), initializer="zeros", name=f"{name}_bias")
        return direction, gain, bias

    @staticmethod
    def _convolve(x, weights: Sequence[Any]):
        direction, gain, bias = (tf.convert_to_tensor(w) for w in weights)
        kernel = gain * tf.math.l2_normalize(direction, axis=[0, 1, 2])
        return tf.nn.bias_add(tf.nn.conv2d(x, kernel, 1, "SAME"), bias)

    def call(self, inputs, context=None):
        x = self._add_context(self._convolve(inputs, self._first), context)
        for first, second in self._blocks:
            inner = self._convolve(self._activation(x), first)
            x += self._convolve(self._activation(inner), second)
        return self._convolve(self._activation(x), self._last)
