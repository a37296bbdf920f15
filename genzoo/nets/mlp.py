"""A multi-layer perceptron whose weights exist from the start."""

import itertools
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from genzoo.core.checks import check_int, check_units
from genzoo.core.config import Configured
from genzoo.core.errors import UnknownNameError


@keras.saving.register_keras_serializable("genzoo")
class MLP(Configured, keras.layers.Layer):
    """Dense layers with one activation between them and a linear end.

    Args:
        input_dim: Width of the input; without one and without a context the output is constant.
        hidden_units: Widths of the hidden layers.
        output_dim: Width of the output.
        activation: Name of a Keras activation.
        context_size: Width of a context that joins the input; 0 for none.
        output_scale: Scale of the last layer's initial weights; 0 starts it at zero.
        seed: Fixes the initial weights.

    Shapes: [n, input_dim] and context [n, context_size] to [n, output_dim].
    """

    def __init__(
        self,
        input_dim: int,
        hidden_units: Sequence[int],
        output_dim: int,
        *,
        context_size: int = 0,
        activation: str = "relu",
        output_scale: float = 1.0,
        seed: int | None = None,
        **layer_arguments: Any,
    ):
        super().__init__(**layer_arguments)
        self.input_dim = check_int(input_dim, "input_dim", minimum=0)
        self.hidden_units = check_units(hidden_units)
        self.output_dim = check_int(output_dim, "output_dim")
        self.context_size = check_int(context_size, "context_size", minimum=0)
        self.activation = activation
        self.output_scale = output_scale
        self.seed = seed
        self._activation = check_activation(activation)
        widths = [input_dim + context_size, *self.hidden_units, output_dim]
        self._kernels, self._biases = [], []
        for i, (fan_in, fan_out) in enumerate(itertools.pairwise(widths)):
            last = i == len(widths) - 2
            kernel = None
            if fan_in:
                kernel = self.add_weight(
                    shape=(fan_in, fan_out),
                    initializer=spread(fan_in, seed, i, output_scale if last else 1.0),
                    name=f"kernel_{i}",
                )
            bias = self.add_weight(
                shape=(fan_out,),
                initializer="zeros" if last else spread(fan_in, seed, 50 + i),
                name=f"bias_{i}",
            )
            self._kernels.append(kernel)
            self._biases.append(bias)
        self.built = True

    def call(self, inputs, context=None):
        x = inputs if context is None else tf.concat([inputs, context], axis=1)
        for kernel, bias in zip(self._kernels[:-1], self._biases[:-1], strict=True):
            x = self._activation(self._dense(x, kernel, bias))  # [n, units]
        return self._dense(x, self._kernels[-1], self._biases[-1])

    @staticmethod
    def _dense(x, kernel, bias):
        if kernel is None:
            # of no input there is the bias alone; oneDNN ends the process over empty products
            return tf.broadcast_to(bias, [tf.shape(x)[0], bias.shape[0]])
        return tf.nn.bias_add(tf.matmul(x, kernel), bias)


def check_activation(activation: str):
    try:
        return keras.activations.get(activation)
    except ValueError:
        raise UnknownNameError(
            "Expected activation to be the name of a Keras activation, such as 'relu' or 'silu'. "
            f"Received: activation={activation!r}"
        ) from None


def spread(
    fan_in: int, seed: int | None, salt: int, scale: float = 1.0
) -> keras.initializers.Initializer | str:
    """Return the initializer of a layer's kernel or biases: uniform within scale / sqrt(fan_in).

    With biases of zero all units of the first layer bend at the origin, and a network on one or
    two inputs learns slowly. Kernels a third as large in variance as LeCun's leave flows a better
    likelihood after equal training than Glorot's or He's.

    Args:
        fan_in: Inputs of the layer.
        seed: Of the network.
        salt: Tells the weights of a network apart.
        scale: 0 for zeros.
    """
    if scale == 0.0:
        return "zeros"
    limit = scale * max(fan_in, 1) ** -0.5
    return keras.initializers.RandomUniform(-limit, limit, None if seed is None else seed + salt)
