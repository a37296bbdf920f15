"""Private names of TensorFlow."""

import functools
import logging
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf


class InCheckpoints:
    """Mixin, before a Keras layer or model: `tf.train.Checkpoint` finds all its variables."""

    def _trackable_children(
        self, save_type: str = "checkpoint", **arguments: Any
    ) -> dict[str, Any]:
        """Return by name what a checkpoint holds; TensorFlow calls it.

        Private name: `_trackable_children` of all that TensorFlow saves.
        Reason: by itself it finds variables that are attributes, and not those in lists, of layers
            or of variables.
        Upstream: https://github.com/keras-team/keras/issues/18398
        Seen with: TensorFlow 2.18.0 to 2.21.0.
        Without it: a `tf.train.Checkpoint` of a model misses weights; Keras's own files do not.
        """
        children = super()._trackable_children(save_type, **arguments)
        if save_type == "checkpoint":
            children |= {f"variables/{i}": variable for i, variable in enumerate(self.variables)}
        return children


def is_watched(*values: Any) -> bool:
    """Return whether a `tf.GradientTape` records what becomes of one of these.

    Private name: `tensorflow.python.eager.record.should_record_backprop`.
    Reason: what returns NumPy passes no gradient, and a tape would give `None` without a word.
    Upstream: none found.
    Seen with: TensorFlow 2.18.0 to 2.21.0.
    Without it: the answer is no, and gradients are `None` in place of an error.
    """
    try:
        from tensorflow.python.eager import record
    except ImportError:
        return False
    variables = [v for v in values if isinstance(v, (tf.Variable, keras.Variable))]
    # the parts of ragged tensors
    parts = tf.nest.flatten([v for v in values if tf.is_tensor(v)], expand_composites=True)
    tensors = [tf.convert_to_tensor(v) for v in (*variables, *parts)]
    return bool(tensors) and record.should_record_backprop(tensors)


def retraced_quietly(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a step's function that may be traced anew for each model without a warning.

    Private name: the words of a warning of TensorFlow's, "triggered tf.function retracing".
    Reason: it counts the functions that Keras makes for its models as one that is traced too often.
    Upstream: https://github.com/tensorflow/tensorflow/issues/42441
    Seen with: TensorFlow 2.18.0 to 2.21.0.
    Without it: who trains five models reads warnings; nothing else.
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


def not_inlined() -> dict[str, bool]:
    """Return the `experimental_attributes` of a `tf.function` that is called, never inlined.

    Private name: the attribute `_noinline` of functions.
    Reason: a long function inlined at each of its places is optimised there anew.
    Upstream: none found.
    Seen with: TensorFlow 2.18.0 to 2.21.0.
    Without it: first steps of flows of many levels come later; numbers stay.
    """
    return {"_noinline": True}


def launch(body: Any, arguments: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Return what a concrete function gives when XLA compiles it, in the graph at hand.

    Private name: the operation `XlaLaunch`.
    Reason: TensorFlow keeps the body of a `tf.function(jit_compile=True)` for good, once for every
        graph that has called it. This operation keeps none.
    Upstream: https://github.com/tensorflow/tensorflow/issues/64170
    Seen with: TensorFlow 2.18.0 to 2.21.0.
    Without it: `can_launch` says so, and the compiled `tf.function` is called, at a cost in memory.

    Args:
        body: Concrete function of tensors; captures nothing.
        arguments: Its inputs, in order.
    """
    graph = tf.compat.v1.get_default_graph()
    body.add_to_graph(graph)
    launched = _create_launch(graph, body.name, arguments, body.outputs)
    return [
        tf.ensure_shape(output, result.shape)
        for output, result in zip(launched.outputs, body.outputs, strict=True)
    ]


@functools.cache
def can_launch() -> bool:
    """Return whether TensorFlow has the operation of `launch`."""
    with tf.Graph().as_default() as graph:
        try:
            _create_launch(graph, "function", [], [])
        except (RuntimeError, TypeError, ValueError, tf.errors.OpError):
            return False
    return True


def _create_launch(graph, name, inputs, outputs) -> tf.Operation:
    value = tf.compat.v1.AttrValue

    def types(tensors):
        enums = [tensor.dtype.as_datatype_enum for tensor in tensors]
        return value(list=value.ListValue(type=enums))

    return graph.create_op(
        "XlaLaunch",
        list(inputs),
        [result.dtype for result in outputs],
        attrs={
            "Tconstants": types([]),
            "Targs": types(inputs),
            "Nresources": value(i=0),
            "Tresults": types(outputs),
            "function": value(func=tf.compat.v1.NameAttrList(name=name)),
        },
    )
