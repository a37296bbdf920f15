"""Bijectors of TFP's own, or of a user's, as steps of a flow."""

import inspect
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from genzoo.core.errors import InvalidInputError
from genzoo.core.lazy import tfp
from genzoo.steps.base import FlowStep

_BIJECTOR, _VARIABLE, _DEFERRED = "bijector", "variable", "deferred"
_ARRAY, _TENSOR = "array", "tensor"


@keras.saving.register_keras_serializable("genzoo")
class BijectorStep(FlowStep):
    """A `tfb.Bijector` as a step: `genzoo.Flow` makes one of each bijector in its list of steps.

    Args:
        bijector: A `tfb.Bijector` from the base side to the data side, without a batch shape. Its
            variables become weights of the step, which start at the values they have. Or a function
            that makes a bijector anew at each call, and takes the encoded context
            [n, context_size], if it takes an argument: its batch shape may then be [n]. What such a
            function closes over is not trained.
        context_size: Width of the encoded context, for a function that takes it.

    Raises:
        InvalidInputError: For what is no bijector, and for one that does not fit the data: of
            another dtype or shape, or not one to one.

    Example:

    >>> import tensorflow_probability as tfp
    >>> step = genzoo.steps.BijectorStep(tfp.bijectors.SinhArcsinh(skewness=0.5))
    >>> step.build((None, 3))
    >>> y, log_det = step.forward_and_log_det(tf.zeros([5, 3]))
    >>> y.shape, log_det.shape
    (TensorShape([5, 3]), TensorShape([5]))
    """

    starts = True

    def __init__(self, bijector: Any, *, context_size: int = 0, **layer_arguments: Any):
        super().__init__(**layer_arguments)
        self.context_size = context_size
        if not is_bijector(bijector) and not callable(bijector):
            raise InvalidInputError(
                "Expected a tfb.Bijector, or a function that makes one. "
                f"Received: bijector={bijector!r} of type {type(bijector).__name__}"
            )
        # Keras would look for layers in it
        self._given = _Held(bijector)

    @property
    def bijector_or_function(self) -> Any:
        """What the step was made of."""
        return self._given.value

    def get_config(self):
        given = self.bijector_or_function
        if is_bijector(given):
            described = _describe(given, self._weight_values())
        else:
            described = keras.saving.serialize_keras_object(given)
        return {
            "bijector": described,
            "context_size": self.context_size,
            "name": self.name,
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        described = config["bijector"]
        if isinstance(described, dict) and described.get("kind") == _BIJECTOR:
            made = _restore(described)
        else:
            made = keras.saving.deserialize_keras_object(described, custom_objects=custom_objects)
        return cls(**{**config, "bijector": made})

    def build_event(self, event_shape):
        self._values = []
        if is_bijector(self.bijector_or_function):
            for i, variable in enumerate(_variables(self.bijector_or_function)):
                start = variable.numpy()
                self._values.append(
                    self.add_weight(
                        shape=variable.shape,
                        dtype=variable.dtype.name,
                        initializer=lambda shape, dtype, start=start: tf.constant(start, dtype),
                        trainable=variable.trainable,
                        name=f"value_{i}",
                    )
                )
        context = tf.zeros([1, self.context_size], self.variable_dtype)
        made = self._make(context if self.context_size else None)
        self._base_shape = self._check(made, event_shape)

    @property
    def base_shape(self):
        return self._base_shape

    def _weight_values(self) -> list[np.ndarray] | None:
        return [np.asarray(weight) for weight in self._values] if self.built else None

    def _make(self, context: tf.Tensor | None) -> Any:
        """Return a bijector at the weights' present values."""
        given = self.bijector_or_function
        if is_bijector(given):
            # another one at each call: TFP remembers the results of one
            return _with_variables(given, iter([tf.convert_to_tensor(w) for w in self._values]))
        made = given(context) if _takes_context(given) else given()
        if not is_bijector(made):
            raise InvalidInputError(
                "Expected a function that returns a tfb.Bijector. Received: one that returned "
                f"{made!r} of type {type(made).__name__}"
            )
        if made.trainable_variables:
            raise InvalidInputError(
                "Expected a function that makes a bijector of numbers and of its context. "
                f"Received: one that returned a {_name(made)} with variables, which would not be "
                "trained. Give the bijector itself, whose variables become weights of the step."
            )
        return made

    def _check(self, made, event_shape) -> tuple[int, ...]:
        """Refuse a bijector that does not fit the data, and return the shape on the base side."""
        name, rank = _name(made), len(event_shape)
        if made.dtype is not None and tf.as_dtype(made.dtype) != tf.as_dtype(self.variable_dtype):
            raise InvalidInputError(
                f"Expected a bijector of the model's dtype, {self.variable_dtype}. Received: a "
                f"{name} of dtype {tf.as_dtype(made.dtype).name}. Make its parameters of that "
                "dtype, for example with tf.constant(..., dtype)."
            )
        if made.inverse_min_event_ndims > rank:
            raise InvalidInputError(
                f"Expected a bijector of examples of shape {event_shape}. Received: a {name}, "
                f"whose examples have at least {made.inverse_min_event_ndims} axes."
            )
        try:
            base = made.inverse_event_shape(tf.TensorShape(event_shape))
            back = made.forward_event_shape(base)
            batch = _batch_shape(made, rank)
        except ValueError as error:
            raise self._misfit(name, event_shape) from error
        if not base.is_fully_defined() or not back.is_compatible_with(event_shape):
            raise self._misfit(name, event_shape)
        if batch and is_bijector(self.bijector_or_function):
            raise InvalidInputError(
                f"Expected a bijector for one example of shape {event_shape}. Received: a {name} "
                f"of batch shape {tuple(batch)} beside it. Drop the leading axes of its parameters."
            )
        try:
            image = made.forward(tf.zeros([1, *base], self.variable_dtype))
        except (ValueError, tf.errors.InvalidArgumentError) as error:
            raise self._misfit(name, event_shape) from error
        if image.shape != (1, *event_shape):
            raise self._misfit(name, event_shape)
        return tuple(base)

    @staticmethod
    def _misfit(name, event_shape) -> InvalidInputError:
        return InvalidInputError(
            f"Expected a bijector that leads to examples of shape {event_shape}. Received: a "
            f"{name}, which leads to others."
        )

    def forward_and_log_det(self, x, context=None):
        made, x = self._make(context), tf.identity(x)
        y = made.forward(x)
        return y, made.forward_log_det_jacobian(x, event_ndims=len(self.base_shape))

    def inverse_and_log_det(self, y, context=None):
        made, y = self._make(context), tf.identity(y)
        x = made.inverse(y)
        if isinstance(x, tuple):
            raise InvalidInputError(
                "Expected a bijector, which is one to one. Received: a "
                f"{_name(made)}, which leads {len(x)} points to the same."
            )
        return x, made.inverse_log_det_jacobian(y, event_ndims=len(self.event_shape))

    def start(self, y, context=None):
        x, _ = self.inverse_and_log_det(y, context)
        wrong = ~np.isfinite(x.numpy()).reshape(len(x), -1).all(axis=1)
        if wrong.any():
            raise InvalidInputError(
                f"Expected data within the range of the bijector {_name(self._make(context))}. "
                f"Received: {wrong.sum()} of {len(wrong)} rows outside, the first "
                f"{y[int(np.argmax(wrong))].numpy().tolist()} as it reaches this step. Choose a "
                "preprocessing of the flow that keeps data within it, for example "
                "preprocessing=None."
            )
        return x


class _Held:
    """Holds a value where Keras and TensorFlow do not look for parts in it."""

    def __init__(self, value: Any):
        self.value = value


def is_bijector(value: Any) -> bool:
    """Return whether a value is a `tfb.Bijector`."""
    return isinstance(value, tfp.bijectors.Bijector)


def _name(bijector: Any) -> str:
    return type(bijector).__name__.lstrip("_")


def _batch_shape(bijector: Any, rank: int) -> tuple[int, ...]:
    """Return the batch shape, () where a user's own class does not tell."""
    try:
        return tuple(bijector.experimental_batch_shape(y_event_ndims=rank))
    except NotImplementedError:
        return ()


def _takes_context(function: Callable[..., Any]) -> bool:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return any(p.kind in kinds for p in inspect.signature(function).parameters.values())


def _is_deferred(value: Any) -> bool:
    return isinstance(value, tfp.util.DeferredTensor)


def _variables(value: Any) -> list[tf.Variable]:
    """Return the variables in the parameters of a bijector, in their order."""
    if isinstance(value, tf.Variable):
        return [value]
    if _is_deferred(value):
        return _variables(value.pretransformed_input)
    if is_bijector(value):
        value = value.parameters
    if isinstance(value, dict):
        value = list(value.values())
    parts = value if isinstance(value, (list, tuple)) else ()
    return [variable for part in parts for variable in _variables(part)]


def _with_variables(value: Any, values: Any) -> Any:
    """Return a copy of a bijector, or of a parameter of one, with these values for its variables.

    Args:
        value: The bijector, or the parameter.
        values: Iterator of tensors, in the order of `_variables`.
    """
    if isinstance(value, tf.Variable):
        return next(values)
    if _is_deferred(value):
        return value.transform_fn(_with_variables(value.pretransformed_input, values))
    if is_bijector(value):
        return value.copy(**{k: _with_variables(v, values) for k, v in value.parameters.items()})
    if isinstance(value, dict):
        return {name: _with_variables(part, values) for name, part in value.items()}
    if isinstance(value, (list, tuple)) and _variables(value):
        return type(value)([_with_variables(part, values) for part in value])
    return value


def _describe(value: Any, weights: list[np.ndarray] | None) -> Any:
    """Return a bijector, or a parameter of one, as JSON; its variables at these values."""
    values = iter(_variables(value) if weights is None else weights)
    return _described(value, values)


def _described(value: Any, values: Any) -> Any:
    if isinstance(value, tf.Variable):
        return {
            "kind": _VARIABLE,
            "trainable": value.trainable,
            **_array(np.asarray(next(values))),
        }
    if _is_deferred(value):
        return {
            "kind": _DEFERRED,
            "value": _described(value.pretransformed_input, values),
            "transform": _described_function(value.transform_fn),
        }
    if is_bijector(value):
        parameters = {k: _described(v, values) for k, v in value.parameters.items()}
        return {"kind": _BIJECTOR, "class": _class_name(type(value)), "parameters": parameters}
    if isinstance(value, (list, tuple)):
        return [_described(part, values) for part in value]
    if isinstance(value, dict):
        return {name: _described(part, values) for name, part in value.items()}
    if isinstance(value, tf.DType):
        return {"kind": "dtype", "name": value.name}
    if tf.is_tensor(value) or isinstance(value, (np.ndarray, np.generic)):
        kind = _TENSOR if tf.is_tensor(value) else _ARRAY
        return {"kind": kind, **_array(np.asarray(value))}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return _described_function(value)


def _described_function(function: Callable[..., Any]) -> dict[str, Any]:
    owner = getattr(function, "__self__", None)
    if is_bijector(owner):
        own = _described(owner, iter(_variables(owner)))
        return {"kind": "method", "owner": own, "name": function.__name__}
    return {"kind": "function", "function": keras.saving.serialize_keras_object(function)}


def _array(array: np.ndarray) -> dict[str, Any]:
    return {"dtype": array.dtype.name, "values": array.tolist()}


def _class_name(cls: type) -> str:
    name = cls.__name__.lstrip("_")
    if getattr(tfp.bijectors, name, None) in (cls, *cls.__subclasses__()):
        return name
    registered = keras.saving.get_registered_name(cls)
    if keras.saving.get_registered_object(registered) is not cls:
        raise InvalidInputError(
            "Expected a bijector of tfp.bijectors, or of a class that Keras knows, to save it. "
            f"Received: a {cls.__name__}. Give a function that makes it in its place, decorated "
            "with @keras.saving.register_keras_serializable()."
        )
    return registered


def _restore(described: Any) -> Any:
    if isinstance(described, list):
        return [_restore(part) for part in described]
    if not isinstance(described, dict):
        return described
    kind = described.get("kind")
    if kind == _BIJECTOR:
        name = described["class"]
        cls = keras.saving.get_registered_object(name) or getattr(tfp.bijectors, name)
        return cls(**{k: _restore(v) for k, v in described["parameters"].items()})
    if kind == _DEFERRED:
        return tfp.util.DeferredTensor(
            _restore(described["value"]), _restore(described["transform"])
        )
    if kind == _VARIABLE:
        start = tf.constant(described["values"], described["dtype"])
        return tf.Variable(start, trainable=described["trainable"])
    if kind == _ARRAY:
        return np.asarray(described["values"], described["dtype"])
    if kind == _TENSOR:
        return tf.constant(described["values"], described["dtype"])
    if kind == "dtype":
        return tf.as_dtype(described["name"])
    if kind == "method":
        return getattr(_restore(described["owner"]), described["name"])
    if kind == "function":
        return keras.saving.deserialize_keras_object(described["function"])
    return {name: _restore(part) for name, part in described.items()}
