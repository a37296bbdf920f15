"""What a graph is traced for, and functions compiled by XLA that many graphs call."""

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

PURPOSES = ("training", "inference", "export")
_PURPOSE = contextvars.ContextVar("purpose", default="training")


@contextlib.contextmanager
def traced_for(purpose: str) -> Iterator[None]:
    """Say what is traced from here on for: what leaves as NumPy, or to a file, needs no gradient.

    Args:
        purpose: One of `PURPOSES`.
    """
    token = _PURPOSE.set(purpose)
    try:
        yield
    finally:
        _PURPOSE.reset(token)


def purpose() -> str:
    """Return what the graph at hand is traced for; anyone's own graph may be for training."""
    return _PURPOSE.get()


class Compiled:
    """A function of float tensors that XLA compiles once for each shape of its inputs.

    TensorFlow keeps the body of a compiled `tf.function` for good, once for every graph that has
    called it. The operation by which XLA itself launches what it has compiled keeps none, but may
    not stand in a graph that XLA compiles in turn: it is for inference.

    Args:
        function: Of tensors, or lists of them; returns one tensor.
    """

    def __init__(self, function: Callable[..., tf.Tensor]):
        self._function = tf.function(function, jit_compile=True, autograph=False)
        self._body = tf.function(function, autograph=False)

    def __call__(self, *arguments: Any) -> tf.Tensor:
        if purpose() != "inference" or tf.executing_eagerly():
            return self._function(*arguments)
        specs = tf.nest.map_structure(lambda x: tf.TensorSpec(x.shape, x.dtype), arguments)
        return _launch(self._body.get_concrete_function(*specs), tf.nest.flatten(arguments))


def _launch(body: Any, arguments: list[tf.Tensor]) -> tf.Tensor:
    value = tf.compat.v1.AttrValue
    graph = tf.compat.v1.get_default_graph()
    body.add_to_graph(graph)
    (result,) = body.outputs

    def types(tensors):
        enums = [tensor.dtype.as_datatype_enum for tensor in tensors]
        return value(list=value.ListValue(type=enums))

    launched = graph.create_op(
        "XlaLaunch",
        arguments,
        [result.dtype],
        attrs={
            "Tconstants": types([]),
            "Targs": types(arguments),
            "Nresources": value(i=0),
            "Tresults": types([result]),
            "function": value(func=tf.compat.v1.NameAttrList(name=body.name)),
        },
    )
    return tf.ensure_shape(launched.outputs[0], result.shape)
