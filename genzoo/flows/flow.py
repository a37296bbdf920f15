"""Flow: a base distribution carried to the data by a list of steps."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from genzoo.core.checks import check_choice
from genzoo.core.density import DensityModel
from genzoo.core.lazy import lazy_module, tfp
from genzoo.steps import Flatten, FlowStep, Logit, PixelScale, Standardize
from genzoo.steps.base import SharedTraces, run_step

bijectors = lazy_module("genzoo.steps.bijectors")

_PREPROCESSING = ("auto", "standardize", "logit", None)


class Flow(DensityModel):
    """Base of the normalizing flows: exact density and exact sampling.

    A subclass calls `set_steps` at the end of its constructor.

    Args:
        event_shape: Shape of one example.
        preprocessing: Steps at the data end, their log-det included in `log_prob`:
            `"standardize"` (mean 0 and variance 1 by feature), `"logit"` (pixels to the unit
            interval, then the logit with `alpha`), `None`, or `"auto"`: logit for images (rank 3)
            and standardise for all else.
        alpha: Margin of the logit.
        **model_arguments: `levels`, `context_dim`, `num_classes`, `seed`, `name`, `dtype`; see
            `TrainableModel`.

    Reference: Papamakarios et al., Normalizing flows for probabilistic modeling and inference,
    2021.
    """

    def __init__(
        self,
        event_shape: tuple[int, ...] | int,
        *,
        preprocessing: str | None = "auto",
        alpha: float = 0.01,
        **model_arguments: Any,
    ):
        super().__init__(event_shape, **model_arguments)
        self.preprocessing = check_choice(preprocessing, _PREPROCESSING, "preprocessing")
        self.alpha = alpha

    def set_steps(self, steps: Sequence[FlowStep]) -> None:
        """Join and build the steps.

        Args:
            steps: Steps on vectors from the base to the data; the preprocessing comes after them.
        """
        self.steps = [*steps, *self._preprocessing_steps()]
        shape = self.event_shape
        for step in reversed(self.steps):
            step.build((None, *shape))
            shape = step.base_shape
        self.base_shape = shape
        self._traces = SharedTraces(list(self.steps))
        self.built = True

    def _preprocessing_steps(self) -> list[FlowStep]:
        kind = self.preprocessing
        if kind == "auto":
            kind = "logit" if len(self.event_shape) == 3 else "standardize"
        dtype = self.dtype_policy
        steps: list[FlowStep] = [] if len(self.event_shape) == 1 else [Flatten(dtype=dtype)]
        if kind == "standardize":
            steps.append(Standardize(dtype=dtype))
        elif kind == "logit":
            steps += [Logit(self.alpha, dtype=dtype), PixelScale(dtype=dtype)]
        return steps

    def step_seed(self, index: int) -> int | None:
        """Return the seed of step `index`, for its initial weights."""
        return None if self.seed is None else 1000 * self.seed + 10 * index

    def base_distribution(self, temperature: float | tf.Tensor = 1.0):
        """Return the standard normal on [*base_shape], its scale times `temperature`."""
        tfd = tfp.distributions
        zero = tf.zeros([], self.compute_dtype)
        scale = tf.cast(temperature, self.compute_dtype)
        return tfd.Sample(tfd.Normal(zero, scale), self.base_shape)

    def bijector(self, context: tf.Tensor | None = None):
        """Return the `tfb.Bijector` from the base to the data."""
        # XLA inlines functions at a cost that grows exponentially with their number
        run = run_step if self.jit_compile else self._traces.run
        return bijectors.Composition(list(self.steps), run, context, self.compute_dtype)

    def distribution(self, context=None, temperature=1.0):
        """Return the `tfd.TransformedDistribution` over data as real numbers.

        Args:
            context: Encoded context [n, context_size], for conditional flows.
            temperature: Scale of the base.
        """
        base = self.base_distribution(temperature)
        return tfp.distributions.TransformedDistribution(base, self.bijector(context))

    def _adapt_parts(self, batches):
        for index in reversed(range(len(self.steps))):
            step = self.steps[index]
            if step.adapts:
                step.adapt(lambda i=index: self._seen_by(i, batches), self.data_spec)

    def _seen_by(self, index, batches):
        """Yield the data as step `index` sees them, the steps after it inverted."""
        for x, context in self._real_batches(batches()):
            for step in reversed(self.steps[index + 1 :]):
                x, _ = step.inverse_and_log_det(x, context)
            yield x.numpy()

    def _log_weight(self, x, context, seed, first_row):
        return self.distribution(context).log_prob(x)

    def _sample(self, n, context, temperature, seed):
        return self.distribution(context, temperature).sample(n, seed=seed)
