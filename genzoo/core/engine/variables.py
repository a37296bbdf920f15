"""The names that TensorFlow knows variables by, and what they hold."""

import functools
import inspect
import re
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf


def _create(next_creator: Callable[..., tf.Variable], **arguments: Any) -> tf.Variable:
    if not (arguments.get("name") and tf.executing_eagerly()):
        return next_creator(**arguments)
    arguments["name"] = re.sub(r"_\d+", "", arguments["name"])
    # out of the scopes of numbered layers
    with tf.name_scope(""):
        return next_creator(**arguments)


def with_repeated_names(method: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a method that makes variables, so that TensorFlow's names for them hold no numbers.

    TensorFlow keeps a kernel, some 30 KB, for good for each name that a variable has ever had, and
    Keras numbers layers on from model to model. A variable's Keras path is not changed.
    """

    @functools.wraps(method)
    def wrapped(self, *args: Any, **kwargs: Any) -> Any:
        with tf.variable_creator_scope(_create):
            return method(self, *args, **kwargs)

    # Keras reads the names of a constructor's arguments without looking behind a wrapper
    wrapped.__signature__ = inspect.signature(method)
    return wrapped


def still_zeros(*weights: keras.Variable) -> bool:
    """Return whether weights are the zeros they were made as: neither trained nor restored."""
    return not any(np.any(weight) for weight in weights)
