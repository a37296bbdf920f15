"""Functions of a model in graph, compiled once and run in parts on all replicas."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from genzoo.core.engine.replicas import PartFunction
from genzoo.core.inputs.schema import Data
from genzoo.core.maths.random import make_seed

SAMPLES_AT_A_TIME = 1024


class CompiledFunctions:
    """Compiled functions by name; a class of its own so that Keras does not track them.

    A function sees the model's own numbers and the encoded context.
    """

    def __init__(self):
        self.by_name: dict[Any, Callable[..., Any]] = {}

    def get(self, name: Any, make: Callable[[], Callable[..., Any]]) -> Callable[..., Any]:
        """Return the function of a name, made where there is none."""
        if name not in self.by_name:
            self.by_name[name] = make()
        return self.by_name[name]

    def draw(
        self,
        model,
        name: Any,
        function: Callable[..., Any],
        n: int,
        context,
        temperature,
        seed: int,
    ) -> np.ndarray:
        """Return what `function(n, context, temperature, seed)` draws, a chunk at a time."""
        graph = self.get(name, lambda: _draw_graph(model, function))
        temperature = tf.constant(temperature, model.float_dtype)

        def parts():
            for chunk, start in enumerate(range(0, n, SAMPLES_AT_A_TIME)):
                size = min(SAMPLES_AT_A_TIME, n - start)
                part = [tf.constant(size), temperature, make_seed(seed, chunk)]
                if context is not None:
                    part.append(tf.convert_to_tensor(context[start : start + size]))
                yield part

        return np.concatenate(list(graph.run(model.distribute_strategy, parts())))

    def over_rows(
        self,
        model,
        name: str,
        function: Callable[..., Any],
        data: Data,
        batch_size: int,
        *scalars: tf.Tensor,
    ) -> Iterator[Any]:
        """Yield `function(x, context, first_row, *scalars)` as NumPy; see `GenerativeModel`."""
        x_type = tf.as_dtype(data.dtype)

        def make():
            signature = [
                tf.TensorSpec([None, *model.event_shape], x_type),
                tf.TensorSpec([], tf.int64),
            ]
            if model.context_size:
                signature.append(model.context_spec.signature())

                def graph(x, first_row, context, *scalars):
                    context = model.encode_context(context)
                    return function(model.to_model(x), context, first_row, *scalars)
            else:

                def graph(x, first_row, *scalars):
                    return function(model.to_model(x), None, first_row, *scalars)

            signature += [tf.TensorSpec(s.shape, s.dtype) for s in scalars]
            return PartFunction(graph, signature)

        def parts():
            first_row = 0
            for batch in data.batches(batch_size):
                part = [tf.convert_to_tensor(batch["x"]), tf.constant(first_row, tf.int64)]
                first_row += len(batch["x"])
                if model.context_size:
                    part.append(tf.convert_to_tensor(batch["context"]))
                yield [*part, *scalars]
            data.close()

        graph = self.get((name, x_type), make)
        return graph.run(model.distribute_strategy, parts())

    def over_latents(
        self, model, name: str, function: Callable[..., Any], z: np.ndarray, context: Any
    ) -> np.ndarray:
        """Return `function(z, context)` of checked points, a chunk at a time."""
        shape = z.shape[1:]

        def graph(z, context=None):
            return function(z, model.encode_context(context))

        def make():
            signature = [tf.TensorSpec([None, *shape], model.float_dtype)]
            if model.context_size:
                signature.append(model.context_spec.signature())
            return PartFunction(graph, signature)

        def parts():
            for start in range(0, len(z), SAMPLES_AT_A_TIME):
                rows = slice(start, start + SAMPLES_AT_A_TIME)
                part = [tf.convert_to_tensor(z[rows])]
                yield part if context is None else [*part, tf.convert_to_tensor(context[rows])]

        run = self.get(name, make).run
        return np.concatenate(list(run(model.distribute_strategy, parts())))


def _draw_graph(model, function):
    signature = [
        tf.TensorSpec([], tf.int32),
        tf.TensorSpec([], model.float_dtype),
        tf.TensorSpec([2], tf.int32),
    ]

    def draw(n, temperature, seed, context=None):
        return function(n, model.encode_context(context), temperature, seed)

    if model.context_size:
        signature.append(model.context_spec.signature())
    return PartFunction(draw, signature)


def sample_in_chunks(model, n: tf.Tensor, seed: tf.Tensor, context: tf.Tensor | None) -> tf.Tensor:
    """Do as a model's `sample`, in graph, for any n."""
    encoded = model.encode_context(context)
    chunks = (n + SAMPLES_AT_A_TIME - 1) // SAMPLES_AT_A_TIME
    shape = [None, *model.event_shape]
    results = tf.TensorArray(model.sample_dtype, chunks, infer_shape=False, element_shape=shape)

    def body(i, results):
        start = i * SAMPLES_AT_A_TIME
        size = tf.minimum(SAMPLES_AT_A_TIME, n - start)
        rows = None if encoded is None else encoded[start : start + size]
        one = tf.ones([], model.float_dtype)
        x = model._sample(size, rows, one, make_seed(seed, i))
        return i + 1, results.write(i, model.data_spec.to_data(x))

    _, results = tf.while_loop(lambda i, _: i < chunks, body, [0, results])
    return results.concat()
