"""What a graph is traced for, and functions compiled by XLA that many graphs call."""

import contextlib
import contextvars
import functools
import logging
from collections.abc import Callable, Iterator
from typing import Any

import keras
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


def retraced_quietly(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a step's function that may be traced anew for each model without a warning.

    TensorFlow counts the functions that Keras makes for its models as one that is traced too often.
    """

    @functools.wraps(function)
    def quiet(*arguments):
        logger = tf.get_logger()
        logger.addFilter(_is_no_retracing)
        try:
            return function(*arguments)
        finally:
            logger.removeFilter(_is_no_retracing)

    return quiet


def _is_no_retracing(record: logging.LogRecord) -> bool:
    return "triggered tf.function retracing" not in record.getMessage()


def is_watched(*values: Any) -> bool:
    """Return whether a `tf.GradientTape` records what becomes of one of these."""
    try:
        from tensorflow.python.eager import record
    except ImportError:
        # TensorFlow has no public name for it: without it a gradient is None without a word
        return False
    variables = [v for v in values if isinstance(v, (tf.Variable, keras.Variable))]
    # the parts of ragged tensors
    parts = tf.nest.flatten([v for v in values if tf.is_tensor(v)], expand_composites=True)
    tensors = [tf.convert_to_tensor(v) for v in (*variables, *parts)]
    return bool(tensors) and record.should_record_backprop(tensors)


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
        if purpose() != "inference" or tf.executing_eagerly():
            return self._function(*arguments, **named)
        given = arguments, named
        specs, named_specs = tf.nest.map_structure(_spec, given)
        body = self._body.get_concrete_function(*specs, **named_specs)
        results = _launch(body, [x for x in tf.nest.flatten(given) if tf.is_tensor(x)])
        return tf.nest.pack_sequence_as(body.structured_outputs, results)


def _spec(value: Any) -> Any:
    return tf.TensorSpec(value.shape, value.dtype) if tf.is_tensor(value) else value


def _launch(body: Any, arguments: list[tf.Tensor]) -> list[tf.Tensor]:
    value = tf.compat.v1.AttrValue
    graph = tf.compat.v1.get_default_graph()
    body.add_to_graph(graph)

    def types(tensors):
        enums = [tensor.dtype.as_datatype_enum for tensor in tensors]
        return value(list=value.ListValue(type=enums))

    launched = graph.create_op(
        "XlaLaunch",
        arguments,
        [result.dtype for result in body.outputs],
        attrs={
            "Tconstants": types([]),
            "Targs": types(arguments),
            "Nresources": value(i=0),
            "Tresults": types(body.outputs),
            "function": value(func=tf.compat.v1.NameAttrList(name=body.name)),
        },
    )
    return [
        tf.ensure_shape(output, result.shape)
        for output, result in zip(launched.outputs, body.outputs, strict=True)
    ]
