"""Networks from an event to a vector and back, for autoencoders."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from genzoo.core.checks import check_int
from genzoo.core.errors import InvalidInputError
from genzoo.nets.mlp import MLP, check_activation

_SMALLEST_SIDE = 4
_MOST_FILTERS = 256
_DENSE_UNITS = 256


class _EventNet(keras.layers.Layer):
    """Base: what all these networks are made of.

    Args:
        event_shape: Shape of one example.
        vector_dim: Width of the vector: an encoder's output, a decoder's input.
        event_parameters: Decoders: numbers for each value of the event.
        context_size: Width of a context that joins the vector's side; 0 for none.
        activation: Name of a Keras activation.
        seed: Fixes the initial weights.
    """

    def __init__(
        self,
        event_shape: tuple[int, ...],
        vector_dim: int,
        *,
        event_parameters: int = 1,
        context_size: int = 0,
        activation: str = "relu",
        seed: int | None = None,
        **layer_arguments: Any,
    ):
        super().__init__(**layer_arguments)
        self.event_shape = tuple(event_shape)
        self.vector_dim = check_int(vector_dim, "vector_dim")
        self.event_parameters = check_int(event_parameters, "event_parameters")
        self.context_size = check_int(context_size, "context_size", minimum=0)
        self.activation = activation
        self.seed = seed
        self._activation = check_activation(activation)
        self._seeds_used = 0

    @property
    def output_shape_of_events(self) -> tuple[int, ...]:
        """Shape of a decoder's output for one example: the last axis holds the parameters."""
        *rest, last = self.event_shape
        return (*rest, last * self.event_parameters)

    def _next_seed(self):
        self._seeds_used += 10
        return None if self.seed is None else self.seed + self._seeds_used

    def _mlp(self, input_dim, hidden_units, output_dim):
        return MLP(
            input_dim,
            hidden_units,
            output_dim,
            context_size=self.context_size,
            activation=self.activation,
            seed=self._next_seed(),
            dtype=self.dtype_policy,
        )


class MLPEncoder(_EventNet):
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


class MLPDecoder(_EventNet):
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


class _ConvolutionalNet(_EventNet):
    """Base: halves images until a side is 4 or less, twice the filters each time.

    Args:
        filters: Channels of the finest scale, at most 256 on the coarsest.
        num_blocks: Residual blocks a scale; 0 for plain convolutions.
    """

    def __init__(self, event_shape, vector_dim, filters, num_blocks=0, **arguments: Any):
        super().__init__(event_shape, vector_dim, **arguments)
        if len(self.event_shape) != 3:
            raise InvalidInputError(
                "Expected images (height, width, channels) for convolutional networks. Received: "
                f"event_shape={self.event_shape}. Use encoder='mlp' and decoder='mlp' for vectors."
            )
        self.filters = check_int(filters, "filters")
        self.num_blocks = check_int(num_blocks, "num_blocks", minimum=0)
        height, width, _ = self.event_shape
        # sizes from the finest to the coarsest, and the channels of each but the finest
        self._sizes = [(height, width)]
        while min(self._sizes[-1]) > _SMALLEST_SIDE or len(self._sizes) == 1:
            height, width = math.ceil(height / 2), math.ceil(width / 2)
            self._sizes.append((height, width))
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


class OwnEncoder(_EventNet):
    """A user's Keras network, and a linear layer from its output to the vector.

    Args:
        network: Takes [n, *event_shape], or a list of that and the context [n, context_size];
            returns any shape [n, ...].
    """

    def __init__(self, network: keras.layers.Layer, event_shape, vector_dim, **arguments: Any):
        super().__init__(event_shape, vector_dim, **arguments)
        self.network = _check_network(network, "encoder")
        shape = _output_shape(self, self.event_shape)
        self._size = int(np.prod(shape))
        self._head = MLP(
            self._size, (), vector_dim, seed=self._next_seed(), dtype=self.dtype_policy
        )
        self.built = True

    def call(self, inputs, context=None):
        features = _call_network(self.network, inputs, context)
        return self._head(tf.reshape(features, [-1, self._size]))


class OwnDecoder(_EventNet):
    """A user's Keras network.

    Args:
        network: Takes [n, vector_dim], or a list of that and the context [n, context_size];
            returns [n, *event_shape], the last axis times `event_parameters`.
    """

    def __init__(self, network: keras.layers.Layer, event_shape, vector_dim, **arguments: Any):
        super().__init__(event_shape, vector_dim, **arguments)
        self.network = _check_network(network, "decoder")
        shape = _output_shape(self, (vector_dim,))
        if shape != self.output_shape_of_events:
            raise InvalidInputError(
                f"Expected a decoder that returns {('n', *self.output_shape_of_events)}: "
                f"{self.event_parameters} numbers for each value of an event of shape "
                f"{self.event_shape}, on the last axis. Received: {('n', *shape)}"
            )
        self.built = True

    def call(self, inputs, context=None):
        return _call_network(self.network, inputs, context)


def _check_network(network: Any, name: str) -> keras.layers.Layer:
    if not isinstance(network, keras.layers.Layer):
        raise InvalidInputError(
            f"Expected {name} to be a name or a Keras layer or model. Received: {name}={network!r}"
        )
    return network


def _call_network(network, x, context):
    return network(x if context is None else [x, context])


def _output_shape(net, input_shape) -> tuple[int, ...]:
    """Build a user's network and return the shape of its output for one example."""
    context = tf.zeros([1, net.context_size]) if net.context_size else None
    try:
        return tuple(_call_network(net.network, tf.zeros([1, *input_shape]), context).shape[1:])
    except (ValueError, TypeError, tf.errors.InvalidArgumentError) as error:
        taken = ("n", *input_shape)
        wanted = f"[x {taken}, context ('n', {net.context_size})]" if net.context_size else taken
        raise InvalidInputError(
            f"Expected a network that takes {wanted}. Received: {net.network.name!r}, which failed "
            f"on that: {str(error).strip().splitlines()[0][:200]}"
        ) from error
