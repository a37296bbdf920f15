"""Networks of a user's own."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from genzoo.core.errors import InvalidInputError
from genzoo.nets.event import EventNet
from genzoo.nets.mlp import MLP


class OwnEncoder(EventNet):
    """A user's Keras network, and a linear layer from its output to the vector.

    Args:
        network: Takes [n, *event_shape], or a list of that and the context [n, context_size];
            returns any shape [n, ...].
    """

    def __init__(self, network: keras.layers.Layer, event_shape, vector_dim, **arguments: Any):
        super().__init__(event_shape, vector_dim, **arguments)
        self.network = check_network(network, "encoder")
        shape = network_output_shape(self, self.event_shape)
        self._size = int(np.prod(shape))
        self._head = MLP(
            self._size, (), vector_dim, seed=self._next_seed(), dtype=self.dtype_policy
        )
        self.built = True

    def call(self, inputs, context=None):
        features = call_network(self.network, inputs, context)
        return self._head(tf.reshape(features, [-1, self._size]))


class OwnDecoder(EventNet):
    """A user's Keras network.

    Args:
        network: Takes [n, vector_dim], or a list of that and the context [n, context_size];
            returns [n, *event_shape], the last axis times `event_parameters`.
    """

    def __init__(self, network: keras.layers.Layer, event_shape, vector_dim, **arguments: Any):
        super().__init__(event_shape, vector_dim, **arguments)
        self.network = check_network(network, "decoder")
        shape = network_output_shape(self, (vector_dim,))
        if shape != self.output_shape_of_events:
            raise InvalidInputError(
                f"Expected a decoder that returns {('n', *self.output_shape_of_events)}: "
                f"{self.event_parameters} numbers for each value of an event of shape "
                f"{self.event_shape}, on the last axis. Received: {('n', *shape)}"
            )
        self.built = True

    def call(self, inputs, context=None):
        return call_network(self.network, inputs, context)


class OwnFeatures(EventNet):
    """A user's Keras network to features: [n, *event_shape] and a context to [n, features].

    Args:
        network: As of `OwnEncoder`.
    """

    def __init__(self, network: keras.layers.Layer, event_shape, **arguments: Any):
        super().__init__(event_shape, 1, **arguments)
        self.network = check_network(network, "discriminator")
        self.num_features = int(np.prod(network_output_shape(self, self.event_shape)))
        self.built = True

    def call(self, inputs, context=None, noise=None, training=False):
        features = call_network(self.network, inputs, context)
        return tf.reshape(features, [-1, self.num_features])


def check_network(network: Any, name: str) -> keras.layers.Layer:
    """Refuse what is no Keras network."""
    if not isinstance(network, keras.layers.Layer):
        raise InvalidInputError(
            f"Expected {name} to be a name or a Keras layer or model. Received: {name}={network!r}"
        )
    return network


def call_network(network, x, context):
    """Call a user's network, with [x, context] where there is a context."""
    return network(x if context is None else [x, context])


def network_output_shape(net, input_shape) -> tuple[int, ...]:
    """Build a user's network and return the shape of its output for one example."""
    context = tf.zeros([1, net.context_size]) if net.context_size else None
    try:
        return tuple(call_network(net.network, tf.zeros([1, *input_shape]), context).shape[1:])
    except (ValueError, TypeError, tf.errors.InvalidArgumentError) as error:
        taken = ("n", *input_shape)
        wanted = f"[x {taken}, context ('n', {net.context_size})]" if net.context_size else taken
        raise InvalidInputError(
            f"Expected a network that takes {wanted}. Received: {net.network.name!r}, which failed "
            f"on that: {str(error).strip().splitlines()[0][:200]}"
        ) from error
