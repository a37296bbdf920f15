"""Steps one after the other, and steps inside out."""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from genzoo.core.compat.tensorflow import not_inlined
from genzoo.core.engine.tracing import purpose
from genzoo.core.lazy import lazy_module
from genzoo.steps import checkpointing
from genzoo.steps.base import FlowStep

bijectors = lazy_module("genzoo.steps.bijectors")

_INVERSE = "inverse_and_log_det"


class SharedTraces:
    """Traces a repeated step once: equal steps run one function, with their weights as inputs."""

    def __init__(self, steps: Sequence[FlowStep]):
        signatures = [step.signature() for step in steps]
        self._signatures = {
            id(step): signature
            for step, signature in zip(steps, signatures, strict=True)
            if signatures.count(signature) > 1
        }
        self._functions: dict[Any, Callable[..., Any]] = {}

    def run(
        self,
        made_for: str,
        step: FlowStep,
        method: str,
        x: tf.Tensor,
        context: tf.Tensor | None,
        values: Sequence[tf.Tensor] | None = None,
    ):
        """Return `step.forward_and_log_det(x, context)`, or the method named.

        Args:
            made_for: What the graph is traced for, see `genzoo.core.engine.tracing`.
            step: One of the steps.
            method: Name of its method.
            x: Its input.
            context: Encoded context, or `None`.
            values: Of its weights; `None` for those it has.
        """
        signature = self._signatures.get(id(step))
        if signature is None:
            return run_step(step, method, x, context, values)
        key = (signature, method, made_for)
        if key not in self._functions:
            # a long step inlined at each of its places would be optimised there anew
            own = not_inlined() if isinstance(step, _Composite) else None
            self._functions[key] = tf.function(
                self._with_weights(step, method),
                autograph=False,
                experimental_attributes=own,
            )
        if values is None:
            values = [tf.convert_to_tensor(v.value) for v in step.variables]
        return self._functions[key](list(values), x, context)

    @staticmethod
    def _with_weights(step: FlowStep, method: str) -> Callable[..., Any]:
        return lambda values, x, context: run_step(step, method, x, context, values)


def run_step(
    step: FlowStep, method: str, x: tf.Tensor, context: tf.Tensor | None, values: Any = None
):
    """Return what a step's method does, its weights at `values` where these are given."""
    if values is None:
        return getattr(step, method)(x, context)
    mapping = list(zip(step.variables, values, strict=True))
    with keras.StatelessScope(state_mapping=mapping):
        return getattr(step, method)(x, context)


class _Composite(FlowStep):
    """A step made of steps, which its config holds."""

    @property
    def starts(self):
        return any(step.starts for step in self.steps)

    def signature(self):
        shapes = [step.signature() for step in self.steps]
        return "\n".join([type(self).__qualname__, str(self.event_shape), *shapes])


@keras.saving.register_keras_serializable("genzoo")
class Chain(_Composite):
    """Steps one after the other, first to last from the base to the data.

    Args:
        steps: Flow steps.
    """

    def __init__(self, steps: Sequence[FlowStep], **layer_arguments):
        super().__init__(**layer_arguments)
        self.steps = list(steps)
        self.shares_traces = True
        self.gradient_checkpointing = False

    def build_event(self, event_shape):
        self._base_shape = event_shape
        for step in reversed(self.steps):
            step.build((None, *self._base_shape))
            self._base_shape = step.base_shape
        self._traces = SharedTraces(list(self.steps))

    @property
    def base_shape(self):
        return self._base_shape

    @property
    def parts(self):
        return list(self.steps)

    def chains_within(self) -> list["Chain"]:
        """Return the chains among the steps and inside them."""
        inner = list(self.steps)
        for step in inner:
            inner.extend(step.parts)
        return [step for step in inner if isinstance(step, Chain)]

    def bijector(self, context=None):
        """Return the `tfb.Chain` of the steps' bijectors; see `FlowStep.bijector`."""
        return bijectors.ChainBijector(self, context)

    def _runner(self) -> Callable[..., Any]:
        """Return the function of a step, a method, points and context that one pass runs."""
        return functools.partial(self._traces.run, purpose()) if self.shares_traces else run_step

    def forward_and_log_det(self, x, context=None):
        total, run = tf.zeros([tf.shape(x)[0]], x.dtype), self._runner()
        for step in self.steps:
            x, log_det = run(step, "forward_and_log_det", x, context)
            total += log_det
        return x, total

    def inverse_and_log_det(self, y, context=None):
        total, run = tf.zeros([tf.shape(y)[0]], y.dtype), self._runner()
        if self.gradient_checkpointing:
            parts = self._checkpointed(run)
        else:
            parts = (functools.partial(run, s, _INVERSE) for s in reversed(self.steps))
        for part in parts:
            y, log_det = part(y, context)
            total += log_det
        return y, total

    def _checkpointed(self, run):
        """Yield the inverses one after the other, of whole runs of steps between splits."""
        for splits, group in itertools.groupby(
            reversed(self.steps), lambda step: isinstance(step, FactorOut)
        ):
            if splits:
                # what a level inside keeps is its own chain's to say
                yield from (functools.partial(run, step, _INVERSE) for step in group)
            else:
                steps = list(group)[::-1]
                yield functools.partial(checkpointing.inverse_and_log_det, steps, run)

    def start(self, y, context=None):
        for step in reversed(self.steps):
            y = step.start(y, context)
        return y


@keras.saving.register_keras_serializable("genzoo")
class FactorOut(_Composite):
    """Sends half of the channels to the base at once, and the others through more steps.

    inverse:  y = (kept, out),   x = (chain^-1(kept), out), flat

    A coupling before it that transforms `out` given `kept` is Glow's learned prior.

    Args:
        steps: Steps on the kept half of the channels, from the base to the data.

    Reference: Dinh, Sohl-Dickstein and Bengio, Density estimation using Real NVP, 2017.
    """

    def __init__(self, steps: Sequence[FlowStep], **layer_arguments):
        super().__init__(**layer_arguments)
        self.steps = list(steps)

    def build_event(self, event_shape):
        if event_shape[-1] < 2:
            raise self._refuse("at least 2 channels", "Put a Squeeze before it.")
        *space, channels = event_shape
        self._kept = channels - channels // 2
        self.chain = Chain(self.steps, dtype=self.dtype_policy)
        self.chain.build((None, *space, self._kept))
        self._out_shape = (*space, channels // 2)

    @property
    def parts(self):
        return [self.chain]

    @property
    def base_shape(self):
        size = 1
        for n in self.event_shape:
            size *= n
        return (size,)

    def _halves(self, y):
        return tf.split(y, [self._kept, y.shape[-1] - self._kept], axis=-1)

    @staticmethod
    def _join(x, out):
        n = tf.shape(x)[0]
        return tf.concat([tf.reshape(x, [n, -1]), tf.reshape(out, [n, -1])], axis=1)

    def forward_and_log_det(self, x, context=None):
        size = 1
        for n in self.chain.base_shape:
            size *= n
        inner, out = tf.split(x, [size, x.shape[1] - size], axis=1)
        inner = tf.reshape(inner, [-1, *self.chain.base_shape])
        kept, log_det = self.chain.forward_and_log_det(inner, context)
        out = tf.reshape(out, [-1, *self._out_shape])
        return tf.concat([kept, out], axis=-1), log_det

    def inverse_and_log_det(self, y, context=None):
        kept, out = self._halves(y)
        x, log_det = self.chain.inverse_and_log_det(kept, context)
        return self._join(x, out), log_det

    def start(self, y, context=None):
        kept, out = self._halves(y)
        return self._join(self.chain.start(kept, context), out)


@keras.saving.register_keras_serializable("genzoo")
class Inverse(FlowStep):
    """A step turned round: what was towards the base is towards the data.

    Args:
        step: A flow step that keeps the shape.
    """

    def __init__(self, step: FlowStep, **layer_arguments):
        super().__init__(**layer_arguments)
        self.step = step

    @property
    def parts(self):
        return [self.step]

    def build_event(self, event_shape):
        self.step.build((None, *event_shape))

    def forward_and_log_det(self, x, context=None):
        return self.step.inverse_and_log_det(x, context)

    def inverse_and_log_det(self, y, context=None):
        return self.step.forward_and_log_det(y, context)

    def signature(self):
        return "inverse " + self.step.signature()
