"""FlowStep: what every step of a flow has in common."""

import functools
import json
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from genzoo.core.checks import check_shape
from genzoo.core.compat.tensorflow import InCheckpoints
from genzoo.core.config import Configured
from genzoo.core.errors import InvalidInputError
from genzoo.core.inputs.spec import DataSpec
from genzoo.core.lazy import lazy_module

bijectors = lazy_module("genzoo.steps.bijectors")


class FlowStep(InCheckpoints, Configured, keras.layers.Layer):
    """A Keras layer that owns weights and yields a fresh TFP bijector.

    Forward runs from the base to the data. A subclass implements `forward_and_log_det` and
    `inverse_and_log_det`; `build_event` where it has weights; `base_shape` where it changes the
    shape. Log-dets are in nats, [n] or a scalar.

    Attributes:
        adapts: Whether `adapt` wants to see all the data.
        starts: Whether `start` sets weights from a first batch.
    """

    adapts = False
    starts = False

    def __init_subclass__(cls, **arguments: Any):
        super().__init_subclass__(**arguments)
        for name, side in (
            ("forward_and_log_det", "base_shape"),
            ("inverse_and_log_det", "event_shape"),
        ):
            if name in vars(cls):
                setattr(cls, name, _of_rows(vars(cls)[name], side))

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weights for data of shape [n, *event_shape]."""
        event_shape = check_shape(tuple(input_shape)[1:], "event_shape")
        if self.built:
            # Keras builds what it loads from a config, and its owner builds it again
            if event_shape != self.event_shape:
                raise self._refuse(f"event_shape={event_shape}", "Make one for each shape.")
            return
        self.event_shape = event_shape
        self.build_event(self.event_shape)
        self.built = True

    def build_event(self, event_shape: tuple[int, ...]) -> None:
        """Hook: make the weights."""

    def add_weight(self, *arguments, **keywords):
        """Add a weight; under mixed precision networks alone cast theirs down."""
        return super().add_weight(*arguments, **{"autocast": False, **keywords})

    @property
    def base_shape(self) -> tuple[int, ...]:
        """Shape of one example on the base side; `event_shape` is that of the data side."""
        return self.event_shape

    @property
    def parts(self) -> list["FlowStep"]:
        """The steps that this one is made of."""
        return []

    def forward_and_log_det(self, x, context=None) -> tuple[tf.Tensor, tf.Tensor]:
        """Map [n, *base_shape] to the data side.

        Args:
            x: Points on the base side.
            context: Encoded context [n, context_size], or `None`.

        Returns:
            The image [n, *event_shape], and log |det J|.
        """
        raise NotImplementedError

    def inverse_and_log_det(self, y, context=None) -> tuple[tf.Tensor, tf.Tensor]:
        """Map [n, *event_shape] to the base side; with log |det J| of the inverse."""
        raise NotImplementedError

    def bijector(self, context: tf.Tensor | None = None):
        """Return the `tfb.Bijector` at the weights' present values.

        Args:
            context: Encoded context [n, context_size], or `None`.
        """
        return bijectors.StepBijector(self, context)

    def adapt(self, batches: Callable[[], Iterator[np.ndarray]], spec: DataSpec) -> None:
        """Hook for steps that see all the data before training (`adapts = True`).

        Args:
            batches: Begins a pass over the data as this step sees them, [m, *event_shape].
            spec: The kind of the data.
        """

    def start(self, y: tf.Tensor, context: tf.Tensor | None = None) -> tf.Tensor:
        """Set weights from a first batch (`starts = True`) and return its image on the base side.

        Args:
            y: [m, *event_shape].
            context: Encoded context [m, context_size], or `None`.
        """
        return self.inverse_and_log_det(y, context)[0]

    def signature(self) -> str:
        """Text that is equal for steps which differ in the values of their weights alone."""
        config = self.get_config()
        for own in ("name", "seed", "trainable"):
            config.pop(own, None)
        shapes = [(v.shape, str(v.dtype)) for v in self.variables]
        parts = [type(self).__qualname__, self.event_shape, shapes, config]
        return json.dumps(parts, sort_keys=True, default=str)

    def _refuse(self, expected: str, remedy: str) -> InvalidInputError:
        return InvalidInputError(
            f"Expected {expected} for {type(self).__name__}. "
            f"Received: event_shape={self.event_shape}. {remedy}"
        )


def _of_rows(method: Callable[..., Any], side: str) -> Callable[..., Any]:
    """Wrap a step's method so that it refuses points that are not rows: their sums would be off."""

    @functools.wraps(method)
    def checked(self, points, context=None):
        shape = getattr(self, side)
        if not tf.TensorShape([None, *shape]).is_compatible_with(points.shape):
            raise InvalidInputError(
                f"Expected points of shape [n{''.join(f', {n}' for n in shape)}] in "
                f"{type(self).__name__}.{method.__name__}. Received: points of shape "
                f"{points.shape}. bijector() takes any leading axes."
            )
        return method(self, points, context)

    return checked


def sum_rows(values: tf.Tensor) -> tf.Tensor:
    """Sum over all axes but the first."""
    return tf.reduce_sum(values, axis=list(range(1, values.shape.rank)))
