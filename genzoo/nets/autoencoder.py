"""Networks from an event to a vector and back, for autoencoders."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from genzoo.core.checks import check_int
from genzoo.core.errors import InvalidInputError
from genzoo.core.traits import is_image
from genzoo.nets.event import EventNet

_SMALLEST_SIDE = 4
_MOST_FILTERS = 256
_DENSE_UNITS = 256


class MLPEncoder(EventNet):
    """An MLP on the flat event: [n, *event_shape] to [n, vector_dim].

    Args:
        hidden_units: Widths of the hidden layers.
    """

    def __init__(self, event_shape, vector_dim, hidden_units: Sequence[int], **arguments: Any):
        super().__init__(event_shape, vector_dim, **arguments)
        self._net = self._mlp(int(np.prod(event_shape)), hidden_units, vector_dim)
        self.built = True

    def call(self, inputs, context=None):
        size = int(np.prod(self.event_shape))
        return self._net(tf.reshape(inputs, [-1, size]), context)


class MLPDecoder(EventNet):
    """An MLP: [n, vector_dim] to [n, *event_shape], the last axis times `event_parameters`.

    Args:
        hidden_units: Widths of the hidden layers.
    """

    def __init__(self, event_shape, vector_dim, hidden_units: Sequence[int], **arguments: Any):
        super().__init__(event_shape, vector_dim, **arguments)
        size = int(np.prod(self.output_shape_of_events))
        self._net = self._mlp(vector_dim, hidden_units, size)
        self.built = True

    def call(self, inputs, context=None):
        return tf.reshape(self._net(inputs, context), [-1, *self.output_shape_of_events])


def halved_sizes(height: int, width: int) -> list[tuple[int, int]]:
    """Return sizes from the finest to the coarsest, the first with a side of 4 or less."""
    sizes = [(height, width)]
    while min(sizes[-1]) > _SMALLEST_SIDE or len(sizes) == 1:
        height, width = math.ceil(height / 2), math.ceil(width / 2)
        sizes.append((height, width))
    return sizes


class _ConvolutionalNet(EventNet):
    """Base: halves images until a side is 4 or less, twice the filters each time.

    Args:
        filters: Channels of the finest scale, at most 256 on the coarsest.
        num_blocks: Residual blocks a scale; 0 for plain convolutions.
    """

    def __init__(self, event_shape, vector_dim, filters, num_blocks=0, **arguments: Any):
        super().__init__(event_shape, vector_dim, **arguments)
        if not is_image(self.event_shape):
            raise InvalidInputError(
                "Expected images (height, width, channels) for convolutional networks. Received: "
                f"event_shape={self.event_shape}. Use encoder='mlp' and decoder='mlp' for vectors."
            )
        self.filters = check_int(filters, "filters")
        self.num_blocks = check_int(num_blocks, "num_blocks", minimum=0)
        self._sizes = halved_sizes(*self.event_shape[:2])
        # of each size but the finest
        self._channels = [min(filters * 2**i, _MOST_FILTERS) for i in range(len(self._sizes) - 1)]

    @property
    def _coarse_shape(self) -> tuple[int, int, int]:
        return (*self._sizes[-1], self._channels[-1])

    def _weights(self, name, size, fan_in, fan_out, zeros=False):
        kernel = self.add_weight(
            shape=(size, size, fan_in, fan_out),
            initializer="zeros" if zeros else keras.initializers.HeNormal(self._next_seed()),
            name=f"{name}_kernel",
        )
        return kernel, self.add_weight(shape=(fan_out,), initializer="zeros", name=f"{name}_bias")

    def _blocks(self, name, channels):
        return [
            (
                self._weights(f"{name}_block_{i}_0", 3, channels, channels),
                # a block begins as the identity, which stands in for batch normalisation
                self._weights(f"{name}_block_{i}_1", 3, channels, channels, zeros=True),
            )
            for i in range(self.num_blocks)
        ]

    @staticmethod
    def _convolve(x, weights, stride=1):
        kernel, bias = weights
        return tf.nn.bias_add(tf.nn.conv2d(x, kernel, stride, "SAME"), bias)

    def _residual(self, x, blocks):
        for first, second in blocks:
            inner = self._convolve(self._activation(x), first)
            x += self._convolve(self._activation(inner), second)
        return x


class ConvEncoder(_ConvolutionalNet):
    """Strided convolutions, residual blocks at each scale, and an MLP at the end.

    [n, height, width, channels] to [n, vector_dim].

    Args:
        filters: Channels of the finest scale, at most 256 on the coarsest.
        num_blocks: Residual blocks a scale; 0 for plain convolutions.

    Reference: Dai and Wipf, Diagnosing and enhancing VAE models, 2019 (residual blocks; here
    they begin as the identity in place of batch normalisation).
    """

    def __init__(self, event_shape, vector_dim, filters=32, num_blocks=0, **arguments: Any):
        super().__init__(event_shape, vector_dim, filters, num_blocks, **arguments)
        fan_in, self._scales = self.event_shape[-1], []
        for i, channels in enumerate(self._channels):
            down = self._weights(f"down_{i}", 4, fan_in, channels)
            self._scales.append((down, self._blocks(f"scale_{i}", channels)))
            fan_in = channels
        self._end = self._mlp(int(np.prod(self._coarse_shape)), (_DENSE_UNITS,), vector_dim)
        self.built = True

    def call(self, inputs, context=None):
        x = inputs
        for i, (down, blocks) in enumerate(self._scales):
            x = self._convolve(self._activation(x) if i else x, down, stride=2)
            x = self._residual(x, blocks)
        flat = tf.reshape(self._activation(x), [-1, int(np.prod(self._coarse_shape))])
        return self._end(flat, context)


class ConvDecoder(_ConvolutionalNet):
    """An MLP, then transposed convolutions and residual blocks at each scale.

    [n, vector_dim] to [n, height, width, channels x event_parameters].

    Args:
        filters: Channels of the finest scale, at most 256 on the coarsest.
        num_blocks: Residual blocks a scale; 0 for plain convolutions.

    Reference: Dai and Wipf, Diagnosing and enhancing VAE models, 2019.
    """

    def __init__(self, event_shape, vector_dim, filters=32, num_blocks=0, **arguments: Any):
        super().__init__(event_shape, vector_dim, filters, num_blocks, **arguments)
        size = int(np.prod(self._coarse_shape))
        self._start = self._mlp(vector_dim, (_DENSE_UNITS,), size)
        self._scales = []
        for i in reversed(range(len(self._channels))):
            fan_in, fan_out = self._channels[i], self._channels[max(i - 1, 0)]
            blocks = self._blocks(f"scale_{i}", fan_in)
            # a transposed convolution's kernel is stored as [h, w, out, in]
            kernel = self.add_weight(
                shape=(4, 4, fan_out, fan_in),
                initializer=keras.initializers.VarianceScaling(
                    2.0 * 4, mode="fan_out", seed=self._next_seed()
                ),
                name=f"up_{i}_kernel",
            )
            bias = self.add_weight(shape=(fan_out,), initializer="zeros", name=f"up_{i}_bias")
            self._scales.append((blocks, kernel, bias, self._sizes[i]))
        self._last = self._weights("out", 3, self._channels[0], self.output_shape_of_events[-1])
        self.built = True

    def call(self, inputs, context=None):
        x = tf.reshape(self._start(inputs, context), [-1, *self._coarse_shape])
        for blocks, kernel, bias, size in self._scales:
            x = self._activation(self._residual(x, blocks))
            shape = [tf.shape(x)[0], *size, bias.shape[0]]
            x = tf.nn.bias_add(tf.nn.conv2d_transpose(x, kernel, shape, 2, "SAME"), bias)
        return self._convolve(self._activation(x), self._last)
