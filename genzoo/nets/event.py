"""What networks between an event and a vector are made of."""

from typing import Any

import keras

from genzoo.core.checks import check_int
from genzoo.nets.mlp import MLP, check_activation


class EventNet(keras.layers.Layer):
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
