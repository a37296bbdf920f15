"""MADE: a network whose outputs for a coordinate see the coordinates before it."""

import itertools
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from genzoo.core.checks import check_int, check_units
from genzoo.core.config import Configured
from genzoo.core.errors import InvalidInputError
from genzoo.nets.mlp import check_activation, spread

_NUM_BLOCKS = 2
# below this width the multiplications saved do not pay for the operations added
_LEAST_UNITS_IN_BLOCKS = 256


def made_degrees(
    input_dim: int, hidden_units: Sequence[int], has_context: bool
) -> list[np.ndarray]:
    """Return the degrees of the hidden units of each layer, ascending and evenly spread.

    A unit of degree m sees the first m coordinates; 0 is of use where there is a context.
    """
    lowest = 0 if has_context or input_dim == 1 else 1
    return [np.linspace(lowest, input_dim - 1, units).round().astype(int) for units in hidden_units]


class _MaskedKernel:
    """A masked kernel in blocks of columns; of each, the rows that its mask leaves open.

    Degrees ascend. A block of columns is those with degrees up to a limit and above the one
    before; it sees the blocks of rows up to its own. What lies beyond is neither stored nor
    multiplied: of a large network nearly half.

    Args:
        layer: Keras layer that owns the weights.
        rows, columns: Degrees; a column sees the rows whose degree is not above its own.
        limits: Largest degree of each block.
        copies: Each column comes in this many copies, side by side.
        seed: Fixes the initial weights.
        scale: Of the initial weights.
    """

    def __init__(self, layer, name, rows, columns, limits, *, copies=1, seed=None, scale=1.0):
        self._num_rows = len(rows)
        edges = [0, *np.searchsorted(columns, limits, side="right")]
        self.widths = [copies * int(b - a) for a, b in itertools.pairwise(edges)]
        self._blocks = []
        for i, (start, stop) in enumerate(itertools.pairwise(edges)):
            seen = int(np.searchsorted(rows, limits[i], side="right"))
            mask = rows[:seen, None] <= columns[None, start:stop]
            mask = np.repeat(mask, copies, axis=1).astype("float32")
            kernel = None
            if mask.any():
                kernel = layer.add_weight(
                    shape=mask.shape,
                    initializer=spread(mask.sum(0).mean(), seed, i, scale),
                    name=f"{name}_{i}",
                )
            self._blocks.append((kernel, mask))

    def multiply(self, x: list[tf.Tensor]) -> list[tf.Tensor]:
        """Return the product with the masked kernel, both in blocks, [n, width] each."""
        products = []
        for i, (kernel, mask) in enumerate(self._blocks):
            if kernel is None:
                products.append(tf.zeros([tf.shape(x[0])[0], self.widths[i]], x[0].dtype))
            else:
                seen = tf.concat(x[: i + 1], axis=1) if i else x[0]
                products.append(tf.matmul(seen, kernel * tf.cast(mask, seen.dtype)))
        return products

    def dense(self, dtype: str) -> tf.Tensor:
        """Return the whole masked kernel, [rows, columns * copies]."""
        parts = []
        for kernel, mask in self._blocks:
            missing = self._num_rows - mask.shape[0]
            if kernel is None:
                parts.append(tf.zeros([self._num_rows, mask.shape[1]], dtype))
            else:
                weights = tf.cast(kernel, dtype) * tf.cast(mask, dtype)
                parts.append(tf.pad(weights, [[0, missing], [0, 0]]))
        return tf.concat(parts, axis=1)


@keras.saving.register_keras_serializable("genzoo")
class MADE(Configured, keras.layers.Layer):
    """A masked autoencoder: the parameters of coordinate i see coordinates 0 .. i - 1 alone.

    Args:
        input_dim: Number of coordinates D.
        hidden_units: Widths of the hidden layers, at least one.
        num_parameters: Parameters P of a coordinate.
        context_size: Width of a context that all coordinates see; 0 for none.
        activation: Name of a Keras activation.
        output_scale: Scale of the last layer's initial weights.
        seed: Fixes the initial weights.

    Shapes: [n, D] and context [n, context_size] to [n, D * P], coordinate by coordinate.

    Reference: Germain, Gregor, Murray and Larochelle, MADE, 2015.
    """

    def __init__(
        self,
        input_dim: int,
        hidden_units: Sequence[int],
        num_parameters: int,
        *,
        context_size: int = 0,
        activation: str = "relu",
        output_scale: float = 1.0,
        seed: int | None = None,
        **layer_arguments: Any,
    ):
        super().__init__(**layer_arguments)
        self.input_dim = check_int(input_dim, "input_dim")
        self.hidden_units = check_units(hidden_units)
        if not self.hidden_units:
            raise InvalidInputError(
                "Expected hidden_units of at least one layer for a masked network. "
                f"Received: hidden_units={hidden_units!r}"
            )
        self.num_parameters = check_int(num_parameters, "num_parameters")
        self.context_size = check_int(context_size, "context_size", minimum=0)
        self.activation = activation
        self.output_scale = output_scale
        self.seed = seed
        self._activation = check_activation(activation)
        blocks = 1
        if min(self.hidden_units) >= _LEAST_UNITS_IN_BLOCKS:
            blocks = min(_NUM_BLOCKS, input_dim)
        limits = np.linspace(0, input_dim - 1, blocks + 1).round().astype(int)[1:]
        # the last coordinate, which none sees, has a degree of its own
        self._limits = [*limits[:-1], input_dim]
        seen = np.arange(1, input_dim + 1)
        self._input_widths = np.diff([0, *np.searchsorted(seen, self._limits, "right")]).tolist()
        self._kernels, self._biases = [], []
        all_degrees = made_degrees(input_dim, self.hidden_units, bool(context_size))
        for i, degrees in enumerate(all_degrees):
            self._add(f"kernel_{i}", seen, degrees, i)
            seen = degrees
        self._add("kernel_out", seen, np.arange(input_dim), None, num_parameters)
        self._context_kernel = None
        if context_size:
            self._context_kernel = self.add_weight(
                shape=(context_size, self.hidden_units[0]),
                initializer=keras.initializers.GlorotUniform(seed),
                name="context_kernel",
            )
        self.built = True

    def _add(self, name, rows, columns, index, copies=1):
        last = index is None
        seed = None if self.seed is None else self.seed + (1000 if last else 100 * index)
        kernel = _MaskedKernel(
            self,
            name,
            rows,
            columns,
            self._limits,
            copies=copies,
            seed=seed,
            scale=self.output_scale if last else 1.0,
        )
        self._kernels.append(kernel)
        self._biases.append(
            self.add_weight(
                shape=(copies * len(columns),),
                initializer="zeros" if last else spread(len(rows), self.seed, 50 + index),
                name=name.replace("kernel", "bias"),
            )
        )

    def first_bias(self, n: tf.Tensor, context: tf.Tensor | None) -> tf.Tensor:
        """Return what the first hidden layer adds to its product with x, [n, hidden_units[0]]."""
        bias = tf.convert_to_tensor(self._biases[0])
        if self._context_kernel is None:
            return tf.broadcast_to(bias, [n, self.hidden_units[0]])
        return tf.matmul(tf.cast(context, bias.dtype), self._context_kernel) + bias

    def dense_weights(self, dtype: str) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        """Return the masked kernels, and the biases after the first layer's."""
        kernels = [kernel.dense(dtype) for kernel in self._kernels]
        return kernels, [tf.cast(bias, dtype) for bias in self._biases[1:]]

    def call(self, inputs, context=None):
        x = tf.split(inputs, self._input_widths, axis=1)
        for i, (kernel, bias) in enumerate(zip(self._kernels, self._biases, strict=True)):
            if i:
                x = [self._activation(block) for block in x]
            products = kernel.multiply(x)
            biases = tf.split(tf.convert_to_tensor(bias), kernel.widths)
            x = [tf.nn.bias_add(*pair) for pair in zip(products, biases, strict=True)]
            if i == 0 and self._context_kernel is not None:
                added = tf.split(tf.matmul(context, self._context_kernel), kernel.widths, axis=1)
                x = [block + own for block, own in zip(x, added, strict=True)]
        return tf.concat(x, axis=1)
