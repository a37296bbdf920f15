"""Autoregressive steps: each coordinate is transformed given those before it."""

import functools
import json
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from genzoo.core.checks import check_int, check_units
from genzoo.core.engine.tracing import Compiled
from genzoo.core.maths.gradients import triangular_solution
from genzoo.nets import MADE, made_degrees
from genzoo.steps.base import FlowStep
from genzoo.steps.maps import make_map

_ROW_MULTIPLE = 128


@keras.saving.register_keras_serializable("genzoo")
class MaskedAutoregressive(FlowStep):
    """Transforms each coordinate by a map whose parameters see the coordinates before it.

    From the data to the base it takes one pass of the network. The way back goes coordinate by
    coordinate, and computes each hidden unit once, as soon as what it sees is known: the work of
    one pass in all. Turned round by `Inverse` it is an inverse autoregressive step.

    Args:
        transform: Name of the map: `"affine"`, `"spline"`, `"mixture"` or `"additive"`.
        hidden_units: Widths of the network's hidden layers, at least one.
        activation: Name of a Keras activation.
        transform_arguments: Of the map, such as `{"num_bins": 16}`.
        context_size: Width of the encoded context; 0 for none.
        seed: Fixes the initial weights.

    Reference: Papamakarios, Pavlakou and Murray, Masked autoregressive flow for density
    estimation, 2017.
    """

    def __init__(
        self,
        transform: str = "affine",
        hidden_units: Sequence[int] = (128, 128),
        *,
        activation: str = "relu",
        transform_arguments: dict[str, Any] | None = None,
        context_size: int = 0,
        seed: int | None = None,
        **layer_arguments,
    ):
        super().__init__(**layer_arguments)
        self.map = make_map(transform, transform_arguments)
        self.transform, self.transform_arguments = transform, transform_arguments
        self.hidden_units = check_units(hidden_units)
        self.activation = activation
        self.context_size = check_int(context_size, "context_size", minimum=0)
        self.seed = seed

    def build_event(self, event_shape):
        if len(event_shape) != 1:
            raise self._refuse("vectors", "Put a Flatten after it.")
        self.conditioner = MADE(
            event_shape[0],
            self.hidden_units,
            self.map.num_parameters,
            context_size=self.context_size,
            activation=self.activation,
            # as for couplings
            output_scale=1.0 / max(event_shape[0] - 1, 1),
            seed=self.seed,
            dtype=self.dtype_policy,
        )

    def _towards_base(self, y, context):
        parameters = tf.cast(self.conditioner(y, context), y.dtype)
        return self.map.inverse(y, parameters)

    def inverse_and_log_det(self, y, context=None):
        x, log_slope = self._towards_base(y, context)
        return x, tf.reduce_sum(log_slope, axis=1)

    def _gap(self, y, x, *inputs):
        """Return how far the image of y is from x, and the log-slopes; inputs: context, weights."""
        count = len(inputs) - len(self.variables)
        context = inputs[0] if count else None
        mapping = list(zip(self.variables, inputs[count:], strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            image, log_slope = self._towards_base(y, context)
        return image - x, log_slope

    def forward_and_log_det(self, x, context=None):
        network = self.conditioner
        kernels, biases = network.dense_weights(x.dtype)
        first = tf.cast(network.first_bias(tf.shape(x)[0], context), x.dtype)
        solve = _solver(
            self.event_shape[0],
            self.hidden_units,
            bool(self.context_size),
            self.activation,
            self.transform,
            json.dumps(self.transform_arguments),
        )
        # a tape must not follow the search
        y = solve(*tf.nest.map_structure(tf.stop_gradient, (x, first, kernels, biases)))
        weights = [tf.convert_to_tensor(weight.value) for weight in self.variables]
        given = [x, *([] if context is None else [context]), *weights]
        y = triangular_solution(self._gap, y, given)
        # a pass from y gives the log-det and its gradient
        _, log_slope = self._towards_base(y, context)
        return y, -tf.reduce_sum(log_slope, axis=1)


@functools.lru_cache(maxsize=32)
def _solver(size, hidden_units, has_context, activation, transform, arguments):
    """Return the compiled way from the base to the data, one for all steps of a form."""
    plan = _Plan(size, made_degrees(size, hidden_units, has_context))
    scalar_map = make_map(transform, json.loads(arguments))
    activate = keras.activations.get(activation)

    @Compiled
    def sweep(x, first, kernels, biases):
        return _sweep(plan, scalar_map, activate, x, first, kernels, biases)

    def solve(x, first, kernels, biases):
        # XLA compiles anew for each number of rows: let there be few, and never none
        n = tf.shape(x)[0]
        blocks = tf.maximum((n + _ROW_MULTIPLE - 1) // _ROW_MULTIPLE, 1)
        added = [[0, blocks * _ROW_MULTIPLE - n], [0, 0]]
        return sweep(tf.pad(x, added), tf.pad(first, added), kernels, biases)[:n]

    return solve


class _Plan:
    """The order in which coordinates and hidden units become known, as index tables.

    Coordinates that see the same hidden units are found together, as one group; the units that
    their values complete come with the next group. Groups are padded to equal sizes, and taken in
    blocks: what earlier blocks add to a block is one matrix product.
    """

    def __init__(self, size: int, degrees: Sequence[np.ndarray]):
        starts = np.unique(np.concatenate([[0], *degrees]))
        stops = np.append(starts[1:], size)
        self.block = max(int(np.sqrt(len(starts))), 1)
        groups = -(-len(starts) // self.block) * self.block
        self.num_blocks = groups // self.block
        coordinates = [np.arange(a, b) for a, b in zip(starts, stops, strict=True)]
        self.coordinates = _table(coordinates, groups, size)
        self.units = [
            _table([np.flatnonzero(layer == start) for start in starts], groups, len(layer))
            for layer in degrees
        ]
        # where each coordinate stands in the padded order
        flat = self.coordinates.ravel()
        self.places = np.argsort(np.where(flat < size, flat, size), kind="stable")[:size]


def _table(members: list[np.ndarray], groups: int, padding: int) -> np.ndarray:
    """Return index lists as rows of one table, `padding` in the free places."""
    width = max(len(m) for m in members)
    table = np.full((groups, max(width, 1)), padding)
    for row, m in zip(table, members, strict=False):
        row[: len(m)] = m
    return table


def _take(values: tf.Tensor, axis: int, table: np.ndarray) -> tf.Tensor:
    """Gather along an axis, zeros for the padding index."""
    paddings = np.zeros((values.shape.rank, 2), int)
    paddings[axis, 1] = 1
    return tf.gather(tf.pad(values, paddings), table.ravel(), axis=axis)


def _sweep(
    plan: _Plan, scalar_map, activate: Callable[[tf.Tensor], tf.Tensor], x, first, kernels, biases
) -> tf.Tensor:
    """Find all coordinates in the order of the plan; under XLA. Examples are the last axis."""
    n = tf.shape(x)[0]
    block, num_parameters = plan.block, scalar_map.num_parameters
    tables = [plan.coordinates, *plan.units]
    widths = [table.shape[1] for table in tables]
    # rows of each layer in the padded order, [groups * width, ...]
    layers = []
    for kernel, before, after in zip(kernels[:-1], tables[:-1], tables[1:], strict=True):
        layers.append(tf.transpose(_take(_take(kernel, 0, before), 1, after)))
    adds = [tf.transpose(_take(first, 1, tables[1]))]
    adds += [
        _take(bias, 0, table)[:, None] for bias, table in zip(biases[:-1], tables[2:], strict=True)
    ]
    columns = plan.coordinates.shape[1]
    size = x.shape[1]
    out = tf.reshape(kernels[-1], [kernels[-1].shape[0], size, num_parameters])
    out = _take(_take(out, 0, tables[-1]), 1, plan.coordinates)
    layers.append(tf.transpose(tf.reshape(out, [out.shape[0], -1])))
    bias = _take(tf.reshape(biases[-1], [size, num_parameters]), 0, plan.coordinates)
    adds.append(tf.reshape(bias, [-1, 1]))
    widths.append(num_parameters * columns)
    base = tf.transpose(_take(x, 1, plan.coordinates))  # [groups * columns, n]

    def rows(values, start, count):
        return tf.slice(values, [start, 0], [count, values.shape[1]])

    def put(values, part, start):
        places = start + tf.range(part.shape[0])
        return tf.tensor_scatter_nd_update(values, places[:, None], part)

    def one_block(b, known):
        first_group = b * block
        # what is known of earlier blocks; of this one all is still zero
        pre = [
            tf.matmul(rows(layer, first_group * width, block * width), values)
            + rows(add, first_group * width, block * width)
            if add.shape[1] == 1
            else tf.matmul(rows(layer, first_group * width, block * width), values)
            + tf.slice(add, [first_group * width, 0], [block * width, n])
            for layer, add, width, values in zip(layers, adds, widths[1:], known, strict=True)
        ]
        within = [
            tf.slice(
                layer,
                [first_group * width, first_group * before],
                [block * width, block * before],
            )
            for layer, width, before in zip(layers, widths[1:], widths[:-1], strict=True)
        ]

        def one_group(j, local):
            local = list(local)
            for k in range(len(layers)):
                width = widths[k + 1]
                value = tf.slice(pre[k], [j * width, 0], [width, n]) + tf.matmul(
                    rows(within[k], j * width, width), local[k]
                )
                if k + 1 < len(layers):
                    local[k + 1] = put(local[k + 1], activate(value), j * width)
            points = tf.slice(base, [(first_group + j) * columns, 0], [columns, n])
            parameters = tf.transpose(value)
            found, _ = scalar_map.forward(tf.transpose(points), parameters)
            local[0] = put(local[0], tf.transpose(found), j * columns)
            return j + 1, local

        local = [tf.zeros([block * width, n], x.dtype) for width in widths[:-1]]
        _, local = tf.while_loop(lambda j, _: j < block, one_group, [0, local])
        known = [
            put(values, part, first_group * width)
            for values, part, width in zip(known, local, widths[:-1], strict=True)
        ]
        return b + 1, known

    known = [tf.zeros([table.size, n], x.dtype) for table in tables]
    _, known = tf.while_loop(lambda b, _: b < plan.num_blocks, one_block, [0, known])
    return tf.transpose(tf.gather(known[0], plan.places, axis=0))
