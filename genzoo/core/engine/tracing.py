"""What a graph is traced for, and functions compiled by XLA that many graphs call."""

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from genzoo.core.compat.tensorflow import can_launch, launch

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
    """A function of tensors that XLA compiles once for each shape of its inputs.

    TensorFlow keeps the body of a compiled `tf.function` for good, once for every graph that has
    called it. The operation by which XLA itself launches what it has compiled keeps none, but may
    not stand in a graph that XLA compiles in turn: it is for inference.

    Args:
        function: Of tensors, lists of them and Python's own values; returns tensors.
    """

    def __init__(self, function: Callable[..., Any]):
        self._function = tf.function(function, jit_compile=True, autograph=False)
        self._body = tf.function(function, autograph=False)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        if purpose() != "inference" or tf.executing_eagerly() or not can_launch():
            return self._function(*arguments, **named)
        given = arguments, named
        specs, named_specs = tf.nest.map_structure(_spec, given)
        body = self._body.get_concrete_function(*specs, **named_specs)
        results = launch(body, [x for x in tf.nest.flatten(given) if tf.is_tensor(x)])
        return tf.nest.pack_sequence_as(body.structured_outputs, results)


def _spec(value: Any) -> Any:
    return tf.TensorSpec(value.shape, value.dtype) if tf.is_tensor(value) else value
