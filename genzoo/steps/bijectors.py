"""TFP's side of a step and of a flow: value and log-det from one pass."""

from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from genzoo.core.compat.tfp import Uncached, of_any_parts
from genzoo.core.errors import InvalidInputError


class StepBijector(Uncached, tfp.bijectors.Bijector):
    """A flow step as a `tfb.Bijector`, for points of any leading axes.

    It reads the weights at each call. TFP asks for a point's image and its log-det one after the
    other: in a graph one pass answers both. Eager results are not remembered, since weights may
    change, and tapes begin, between two calls.

    Two of them are equal where one is the copy of the other. Those of two calls of `bijector()`
    differ: TFP caches what a chain of equal bijectors gave, whatever became of the weights since.

    Args:
        step: A built `FlowStep`.
        context: Encoded context [..., context_size], whose leading axes are the batch shape, or
            `None`.
        name: As in TFP.
        identity: What equal ones share; `None` for one of its own.
    """

    def __init__(self, step, context=None, name: str | None = None, identity: Any = None):
        dtype = tf.as_dtype(step.variable_dtype)
        if context is not None:
            context = tf.convert_to_tensor(context, dtype)
        self._step, self._context = step, context
        # where TFP looks for the variables that it lists
        self._weights = tuple(variable.value for variable in step.trainable_variables)
        self._passes: dict[tuple[str, int], _Pass] = {}
        super().__init__(
            forward_min_event_ndims=len(step.base_shape),
            inverse_min_event_ndims=len(step.event_shape),
            dtype=dtype,
            validate_args=False,
            parameters={
                "step": step,
                "context": context,
                "name": name,
                "identity": object() if identity is None else identity,
            },
            name=name or step.name,
        )

    @classmethod
    def _parameter_properties(cls, dtype):
        return {"context": tfp.util.ParameterProperties(event_ndims=1)}

    def forward_and_log_det(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the image of `x` [..., *base_shape] and log |det J|."""
        return self._map("forward", tf.convert_to_tensor(x, self.dtype))

    def inverse_and_log_det(self, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the pre-image of `y` [..., *event_shape] and the log |det J| of the inverse."""
        return self._map("inverse", tf.convert_to_tensor(y, self.dtype))

    def _map(self, direction, point):
        shapes = self._step.base_shape, self._step.event_shape
        start, end = shapes if direction == "forward" else shapes[::-1]
        method = getattr(self._step, f"{direction}_and_log_det")
        leading = point.shape[: -len(start)]
        _check_event(point.shape, start)
        if self._context is None and leading.rank == 1:
            return method(point, None)
        leading, context = _leading(leading, tf.shape(point)[: -len(start)]), self._context
        if context is not None:
            batch = _leading(context.shape[:-1], tf.shape(context)[:-1])
            leading = _broadcast_shape(leading, batch)
            context = _rows(context, leading, context.shape[-1:])
        image, log_det = method(_rows(point, leading, start), context)
        image = tf.reshape(image, _joined(leading, end))
        # where the slope is the same everywhere, the log-det is one number
        return image, log_det if log_det.shape.rank == 0 else tf.reshape(log_det, leading)

    def _answer(self, question, direction, point):
        if tf.executing_eagerly():
            return getattr(_Pass(point, *self._map(direction, point)), question)
        made = self._passes.get((direction, id(point)))
        # an id may be used again after its tensor is gone
        if made is None or made.point is not point or question in made.answered:
            made = _Pass(point, *self._map(direction, point))
            opposite = "inverse" if direction == "forward" else "forward"
            back = _Pass(made.image, point, -made.log_det, is_way_back=True)
            self._passes[direction, id(point)] = made
            self._passes[opposite, id(made.image)] = back
        if not made.is_way_back:
            made.answered.add(question)
        return getattr(made, question)

    def _forward(self, x):
        return self._answer("image", "forward", x)

    def _forward_log_det_jacobian(self, x):
        return self._answer("log_det", "forward", x)

    def _inverse(self, y):
        return self._answer("image", "inverse", y)

    def _inverse_log_det_jacobian(self, y):
        return self._answer("log_det", "inverse", y)

    def _forward_event_shape(self, input_shape):
        return _other_side(input_shape, self._step.base_shape, self._step.event_shape)

    def _inverse_event_shape(self, output_shape):
        return _other_side(output_shape, self._step.event_shape, self._step.base_shape)

    def _forward_event_shape_tensor(self, input_shape):
        leading = input_shape[: -len(self._step.base_shape)]
        return tf.concat([leading, self._step.event_shape], axis=0)

    def _inverse_event_shape_tensor(self, output_shape):
        leading = output_shape[: -len(self._step.event_shape)]
        return tf.concat([leading, self._step.base_shape], axis=0)


class FlowDistribution(of_any_parts(tfp.distributions.TransformedDistribution)):
    """A base distribution carried by a `StepBijector`: one pass for a log-probability."""

    def _log_prob(self, value):
        x, log_det = self.bijector.inverse_and_log_det(value)
        return self.distribution.log_prob(x) + log_det


class UncachedChain(Uncached, of_any_parts(tfp.bijectors.Chain)):
    """A `tfb.Chain` that remembers nothing from call to call, as the steps in it."""


class ChainBijector(UncachedChain):
    """The `tfb.Chain` of the bijectors of a chain's steps: one pass through all answers for all.

    Args:
        chain: A built `Chain`.
        context, name, identity: As of `StepBijector`.
    """

    def __init__(self, chain, context=None, name: str | None = None, identity: Any = None):
        whole = StepBijector(chain, context, name, identity)
        own = {"chain": chain, **{k: v for k, v in whole.parameters.items() if k != "step"}}
        self._whole = whole
        # of no steps it would have to be the identity of numbers
        parts = [step.bijector(context) for step in reversed(chain.steps)] or [whole]
        super().__init__(parts, parameters=own, name=whole.name)

    @classmethod
    def _parameter_properties(cls, dtype):
        return StepBijector._parameter_properties(dtype)

    @property
    def dtype(self):
        return self._whole.dtype

    def forward_and_log_det(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """As of `StepBijector`."""
        return self._whole.forward_and_log_det(x)

    def inverse_and_log_det(self, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """As of `StepBijector`."""
        return self._whole.inverse_and_log_det(y)

    def _forward(self, x):
        return self._whole.forward(x)

    def _inverse(self, y):
        return self._whole.inverse(y)

    def _forward_log_det_jacobian(self, x, event_ndims):
        return self._whole.forward_log_det_jacobian(x, event_ndims)

    def _inverse_log_det_jacobian(self, y, event_ndims):
        return self._whole.inverse_log_det_jacobian(y, event_ndims)


class _Pass:
    """What a pass found for a point, and which of TFP's questions it has answered."""

    def __init__(self, point, image, log_det, is_way_back=False):
        self.point, self.image, self.log_det = point, image, log_det
        self.is_way_back, self.answered = is_way_back, set()


def _check_event(shape: tf.TensorShape, event_shape: tuple[int, ...]) -> None:
    """Refuse points whose last axes are not an event."""
    if shape.rank is not None and shape.rank < len(event_shape):
        fits = False
    else:
        fits = shape[-len(event_shape) :].is_compatible_with(event_shape)
    if not fits:
        wanted = ", ".join(str(n) for n in ("...", *event_shape))
        raise InvalidInputError(
            f"Expected points of shape [{wanted}]: any leading axes, then those of one example. "
            f"Received: points of shape {shape}"
        )


def _leading(static: tf.TensorShape, dynamic: tf.Tensor):
    """Return leading axes as ints where they are known."""
    return static.as_list() if static.is_fully_defined() else dynamic


def _broadcast_shape(first, second):
    if isinstance(first, list) and isinstance(second, list):
        try:
            return tf.broadcast_static_shape(*map(tf.TensorShape, (first, second))).as_list()
        except ValueError:
            raise InvalidInputError(
                "Expected the leading axes of the points to go with those of the context. "
                f"Received: points of leading axes {first}, a context of leading axes {second}"
            ) from None
    return tf.broadcast_dynamic_shape(*(tf.convert_to_tensor(s, tf.int32) for s in (first, second)))


def _joined(leading, event_shape):
    if isinstance(leading, list):
        return [*leading, *event_shape]
    return tf.concat([leading, event_shape], axis=0)


def _rows(values, leading, event_shape):
    """Return values as rows, [n, *event_shape], one for each place of the leading axes."""
    wide = tf.broadcast_to(values, _joined(leading, event_shape))
    return tf.reshape(wide, [-1, *event_shape])


def _other_side(shape, here, there):
    if shape.rank is None:
        return tf.TensorShape(None)
    _check_event(shape, here)
    return shape[: -len(here)].concatenate(there)
