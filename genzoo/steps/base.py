"""FlowStep: what every step of a flow has in common."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from genzoo.core.checks import check_shape
from genzoo.core.lazy import lazy_module
from genzoo.core.registry import constructor_arguments
from genzoo.core.spec import DataSpec

bijectors = lazy_module("genzoo.steps.bijectors")


class FlowStep(keras.layers.Layer):
    """A Keras layer that owns weights and yields a fresh TFP bijector.

    Forward runs from the base to the data. A subclass implements `bijector`, and `build_event`
    where it has weights; `base_shape` where it changes the shape.
    """

    adapts = False

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weights for data of shape [n, *event_shape]."""
        self.event_shape = check_shape(tuple(input_shape)[1:], "event_shape")
        self.build_event(self.event_shape)
        self.built = True

    def build_event(self, event_shape: tuple[int, ...]) -> None:
        """Hook: make the weights."""

    @property
    def base_shape(self) -> tuple[int, ...]:
        """Shape of one example on the base side; `event_shape` is that of the data side."""
        return self.event_shape

    def bijector(self, context: tf.Tensor | None = None):
        """Return the `tfb.Bijector` at the weights' present values.

        Args:
            context: Encoded context [n, context_size], or `None`.
        """
        raise NotImplementedError

    def adapt(self, batches: Callable[[], Iterator[np.ndarray]], spec: DataSpec) -> None:
        """Hook for steps that start from data (`adapts = True`).

        Args:
            batches: Begins a pass over the data as this step sees them, [m, *event_shape].
            spec: The kind of the data.
        """

    def forward_and_log_det(self, x, context=None) -> tuple[tf.Tensor, tf.Tensor]:
        """Map [n, *base_shape] to the data side; log |det J| in nats, [n] or a scalar."""
        return bijectors.forward_and_log_det(self.bijector(context), x)

    def inverse_and_log_det(self, y, context=None) -> tuple[tf.Tensor, tf.Tensor]:
        """Map [n, *event_shape] to the base side; log |det J| of the inverse."""
        return bijectors.inverse_and_log_det(self.bijector(context), y)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        own = {name: getattr(self, name) for name in constructor_arguments(type(self))}
        return {**super().get_config(), **own}

    def signature(self) -> str:
        """Text that is equal for steps which differ in the values of their weights alone."""
        config = self.get_config()
        for own in ("name", "seed", "trainable"):
            config.pop(own, None)
        shapes = [(v.shape, str(v.dtype)) for v in self.variables]
        parts = [type(self).__qualname__, self.event_shape, shapes, config]
        return json.dumps(parts, sort_keys=True, default=str)


def run_step(step: FlowStep, method: str, x: tf.Tensor, context: tf.Tensor | None):
    """Return `step.forward_and_log_det(x, context)`, or the method named."""
    return getattr(step, method)(x, context)


class SharedTraces:
    """Traces a repeated step once: equal steps run one function, with their weights as inputs."""

    def __init__(self, steps: list[FlowStep]):
        signatures = [step.signature() for step in steps]
        self._signatures = {
            id(step): signature
            for step, signature in zip(steps, signatures, strict=True)
            if signatures.count(signature) > 1
        }
        self._functions: dict[tuple[str, str], Callable[..., Any]] = {}

    def run(self, step: FlowStep, method: str, x: tf.Tensor, context: tf.Tensor | None):
        """Do as `run_step`."""
        signature = self._signatures.get(id(step))
        if signature is None:
            return run_step(step, method, x, context)
        key = (signature, method)
        if key not in self._functions:
            self._functions[key] = tf.function(self._with_weights(step, method), autograph=False)
        values = [tf.convert_to_tensor(v.value) for v in step.variables]
        return self._functions[key](values, x, context)

    @staticmethod
    def _with_weights(step: FlowStep, method: str) -> Callable[..., Any]:
        def run(values, x, context):
            mapping = list(zip(step.variables, values, strict=True))
            with keras.StatelessScope(state_mapping=mapping):
                return run_step(step, method, x, context)

        return run
