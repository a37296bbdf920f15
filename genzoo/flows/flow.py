"""Flow: a base distribution carried to the data by a list of steps."""

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from genzoo.core import checks
from genzoo.core.compat.keras import layers_within
from genzoo.core.density import DensityModel
from genzoo.core.errors import InvalidInputError
from genzoo.core.latent import LatentModel
from genzoo.core.lazy import lazy_module, tfp
from genzoo.core.random import uniform_rows
from genzoo.core.registry import models
from genzoo.flows.bases import BASES, make_base
from genzoo.flows.dequantization import VariationalDequantizer
from genzoo.flows.preprocessing import PREPROCESSING, preprocessing_steps
from genzoo.steps import Chain, Flatten, FlowStep

bijectors = lazy_module("genzoo.steps.bijectors")

_DEQUANTIZATION = ("uniform", "variational")
_START_ROWS = 512
_CHECKED_ROWS = 64
_INVERSION_TOLERANCE = 1e-4


@keras.saving.register_keras_serializable("genzoo")
class Flow(LatentModel, DensityModel):
    """A normalizing flow of steps of one's own, and the base of all flows: exact both ways.

    A subclass makes its steps and calls `set_steps` at the end of its constructor.

    Args:
        event_shape: Shape of one example.
        steps: Steps of `genzoo.steps` from the base to the data, which the preprocessing follows,
            of the model's dtype. Those that see a context are made for `context_size` numbers.
            Subclasses make their own.
        base: Distribution on the base side: `"normal"`, `"logistic"`, `"student_t"` (heavy tails,
            learned degrees of freedom), `"mixture"` (of diagonal Gaussians, learned), or a
            function of the base shape that returns a `tfd.Distribution`.
        preprocessing: Steps at the data end, their log-det included in `log_prob`:
            `"standardize"` (mean 0 and variance 1 by feature); `"logit"` (pixels to the unit
            interval, then the logit with margin `alpha`); `None`; `"auto"`: `image_preprocessing`
            for images (rank 3), for most flows the logit, and standardise for all else. Published
            protocols by name: `"maf"` (logit with margin 1e-6, Papamakarios et al. 2017),
            `"realnvp"` (logit with margin 0.05, Dinh et al. 2017), `"glow"` (pixels to
            [-1/2, 1/2], Kingma and Dhariwal 2018).
        alpha: Margin of `"logit"`.
        dequantization: Noise that makes integers real: `"uniform"`, or `"variational"`: drawn by
            a conditional flow that is trained along, for a tighter bound (Ho et al. 2019).
        gradient_checkpointing: Whether the gradient computes what steps did anew, from their
            results: memory then hardly grows with their number, and a training step takes one
            and a half to twice as long. For steps that are fast both ways (Gomez et al. 2017).
        **model_arguments: `levels`, `context_dim`, `num_classes`, `seed`, `name`, `dtype`; see
            `TrainableModel`.

    Example:

    >>> x = genzoo.data.load("moons", seed=0).x_train
    >>> half = {"hidden_units": (32,), "seed": 0}
    >>> steps = [genzoo.steps.Coupling("spline", side, **half) for side in ("first", "second")]
    >>> model = genzoo.Flow((2,), steps=[*steps, genzoo.steps.LULinear(seed=0)])
    >>> history = model.fit(x, epochs=1, verbose=0)
    >>> model.log_prob(x).shape, model.sample(5, seed=0).shape
    ((1600,), (5, 2))

    Reference: Papamakarios et al., Normalizing flows for probabilistic modeling and inference,
    2021.
    """

    traits = dataclasses.replace(DensityModel.traits, distribution=True)
    image_preprocessing = "logit"
    registered_name = "flow"

    def __init__(
        self,
        event_shape: tuple[int, ...] | int,
        *,
        steps: Sequence[FlowStep] | None = None,
        base: str | Callable[[tuple[int, ...]], Any] = "normal",
        preprocessing: str | None = "auto",
        alpha: float = 0.01,
        dequantization: str = "uniform",
        gradient_checkpointing: bool = False,
        **model_arguments: Any,
    ):
        super().__init__(event_shape, **model_arguments)
        self.gradient_checkpointing = checks.check_choice(
            gradient_checkpointing, (True, False), "gradient_checkpointing"
        )
        self.base = base if callable(base) else checks.check_choice(base, BASES, "base")
        self.preprocessing = checks.check_choice(preprocessing, PREPROCESSING, "preprocessing")
        self.alpha = checks.check_number(alpha, "alpha")
        self.dequantization = checks.check_choice(dequantization, _DEQUANTIZATION, "dequantization")
        if steps is not None or type(self) is Flow:
            self.set_steps(self._check_steps(steps))

    def _check_steps(self, steps: Any) -> list[FlowStep]:
        """Return the user's steps."""
        if type(self) is not Flow:
            raise InvalidInputError(
                f"Expected no steps: {type(self).__name__} makes its own. Received: steps of type "
                f"{type(steps).__name__}. Use genzoo.Flow for steps of your own."
            )
        if not isinstance(steps, (list, tuple)) or not steps:
            raise InvalidInputError(
                "Expected a list of steps of genzoo.steps, from the base to the data. "
                f"Received: steps={steps!r}. Models that make their own: {', '.join(models())}."
            )
        for i, step in enumerate(steps):
            if not isinstance(step, FlowStep):
                raise InvalidInputError(
                    f"Expected steps of genzoo.steps. Received: steps[{i}] of type "
                    f"{type(step).__name__}"
                )
            if step.variable_dtype != self.float_dtype:
                raise InvalidInputError(
                    f"Expected steps of the model's dtype, {self.float_dtype}. Received: "
                    f"steps[{i}], a {type(step).__name__} of dtype {step.variable_dtype}. Give "
                    "both the same dtype=..."
                )
        return list(steps)

    def set_steps(self, steps: Sequence[FlowStep]) -> None:
        """Join and build the steps.

        Args:
            steps: Steps from the base to the data; the preprocessing comes after them.
        """
        dtype = self.dtype_policy
        ends = preprocessing_steps(
            self.preprocessing,
            self.event_shape,
            images=self.image_preprocessing,
            alpha=self.alpha,
            dtype=dtype,
        )
        self.chain = Chain([*steps, *ends], dtype=dtype)
        self.chain.build((None, *self.event_shape))
        for chain in self._chains():
            # a chain within is one step of it
            within = any(chain in other.steps for other in self._chains())
            chain.gradient_checkpointing = self.gradient_checkpointing and not within
        self.base_layer = make_base(self.base, self.base_shape, self.seed, self.dtype_policy)
        self.dequantizer = None
        if self.dequantization == "variational":
            self.dequantizer = VariationalDequantizer(
                self.event_shape, seed=self.step_seed(500), dtype=self.dtype_policy
            )
        self.built = True

    @property
    def steps(self) -> list[FlowStep]:
        """The steps from the base to the data."""
        return list(self.chain.steps)

    @property
    def base_shape(self) -> tuple[int, ...]:
        """Shape of one example on the base side."""
        return self.chain.base_shape

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of one z: that of an example on the base side."""
        return self.base_shape

    def flattening(self) -> list[FlowStep]:
        """Return the step that makes vectors of events that are not, if there is need of it."""
        return [] if len(self.event_shape) == 1 else [Flatten(dtype=self.dtype_policy)]

    def step_seed(self, index: int) -> int | None:
        """Return the seed of step `index`, for its initial weights."""
        return None if self.seed is None else 1000 * self.seed + 10 * index

    # In graph

    def base_distribution(self, temperature: Any = 1.0):
        """Return the `tfd.Distribution` on [*base_shape], its scale times `temperature`."""
        return self.base_layer.distribution(temperature)

    def bijector(self, context: tf.Tensor | None = None):
        """Return the `tfb.Bijector` from the base to the data.

        Args:
            context: For conditional flows, from `encode_context`, [n, context_size]; a batch of n.
        """
        bijector = self._own_bijector(context)
        if self.data_spec is None or self.data_spec.offset is None:
            return bijector
        return bijectors.UncachedChain([self.data_spec.bijector(self.float_dtype), bijector])

    def _own_bijector(self, context):
        """Return the bijector from the base to the numbers that the model computes with."""
        # XLA inlines functions at a cost that grows exponentially with their number
        self._share_traces(not self.jit_compile)
        return self.chain.bijector(context)

    def _share_traces(self, shared: bool) -> None:
        for chain in self._chains():
            chain.shares_traces = shared

    def _chains(self) -> list[Chain]:
        return [layer for layer in layers_within(self.chain) if isinstance(layer, Chain)]

    def distribution(self, context=None, temperature=1.0):
        """Return the `tfd.TransformedDistribution` over data as real numbers.

        It takes [sample, batch, event] shapes as all of TFP does, and reads the weights at each
        call: one that is kept follows further training.

        Args:
            context: For conditional flows, from `encode_context`, [n, context_size]. It is a
                batch of n distributions: `sample(k)` has shape [k, n, *event_shape].
            temperature: Scale of the base.
        """
        own = self._own_distribution(context, temperature)
        if self.data_spec is None or self.data_spec.offset is None:
            return own
        units = self.data_spec.bijector(self.float_dtype)
        return tfp.distributions.TransformedDistribution(own, units)

    def _own_distribution(self, context, temperature=1.0):
        """Return the distribution of the numbers that the model computes with."""
        base = self.base_distribution(temperature)
        return bijectors.FlowDistribution(base, self._own_bijector(context))

    def _dequantize(self, x, seed, first_row):
        if self.dequantizer is None:
            return super()._dequantize(x, seed, first_row)
        noise = uniform_rows(
            tf.shape(x)[0], self.dequantizer.base_shape, seed, first_row, self.float_dtype
        )
        return self.dequantizer.dequantize(x, noise, self.data_spec)

    def _log_weight(self, x, context, seed, first_row):
        return self._own_distribution(context).log_prob(x)

    def _sample(self, n, context, temperature, seed):
        noise = self.base_distribution(temperature).sample(n, seed=seed)
        return self._own_bijector(context).forward(noise)

    def _draw_latent(self, n, context, temperature, seed):
        return self.base_distribution(temperature).sample(n, seed=seed)

    def _encode(self, x, context, first_row):
        # integers by the middle of their bins, so that floor() leads back to them
        real = tf.cast(x, self.float_dtype) + (0.5 if self.data_spec.is_integer else 0.0)
        return self._own_bijector(context).inverse(real)

    def _decode(self, z, context):
        return self.data_spec.to_data(self._own_bijector(context).forward(z))

    # Data-dependent start

    def _adapt_parts(self, batches):
        for index in reversed(range(len(self.steps))):
            step = self.steps[index]
            if step.adapts:
                step.adapt(lambda i=index: self._seen_by(i, batches), self.data_spec)
        if self.chain.starts:
            self.chain.start(*self._first_rows(batches))

    def _first_rows(self, batches):
        rows, contexts, count = [], [], 0
        for x, context in self._real_batches(batches()):
            rows.append(x)
            contexts.append(context)
            count += len(x)
            if count >= _START_ROWS:
                break
        context = None if contexts[0] is None else tf.concat(contexts, 0)[:_START_ROWS]
        return tf.concat(rows, 0)[:_START_ROWS], context

    def _seen_by(self, index, batches):
        """Yield the data as step `index` sees them, the steps after it inverted."""
        for x, context in self._real_batches(batches()):
            for step in reversed(self.steps[index + 1 :]):
                x, _ = step.inverse_and_log_det(x, context)
            yield x.numpy()

    # Outside

    def _check_trained(self, rows):
        error = self._inversion_error(rows["x"][:_CHECKED_ROWS], rows.get("context"))
        if not error <= _INVERSION_TOLERANCE:
            warnings.warn(
                f"{type(self).__name__} does not invert its training data: the way to the base and "
                f"back ends {error:.1e} of their size away (expected {_INVERSION_TOLERANCE:.0e}). "
                "Its samples may be off. Use dtype='float64', a smaller learning rate or fewer "
                "steps.",
                stacklevel=3,
            )

    def inversion_error(self, x: Any, *, context: Any = None) -> float:
        """Return how far the way to the base and back ends from where it began.

        The largest of |x' - x| / |x| over the rows, in the Euclidean norm.

        Args:
            x: Array [n, *event_shape].
            context: As in `fit`, for conditional flows.
        """
        data, _ = self._door_rows("inversion_error", x, context, None)
        return self._inversion_error(data.rows["x"], data.rows.get("context"))

    def diagnose(self, x: Any, *, context: Any = None) -> dict[str, Any]:
        """Return the inversion error on up to 64 rows, for reports."""
        rows = slice(_CHECKED_ROWS)
        context = None if context is None else context[rows]
        return {"inversion_error": self.inversion_error(x[rows], context=context)}

    def _inversion_error(self, x, context):
        real = tf.cast(self.to_model(x), self.float_dtype)
        real += 0.5 if self.data_spec.is_integer else 0.0
        if context is not None:
            context = self.encode_context(context[: len(x)])
        # op by op: there is nothing to gain from new traces
        self._share_traces(False)
        z, _ = self.chain.inverse_and_log_det(real, context)
        back, _ = self.chain.forward_and_log_det(tf.identity(z), context)
        flat = real.numpy().reshape(len(real), -1)
        moved = np.linalg.norm(back.numpy().reshape(flat.shape) - flat, axis=1)
        return float(np.max(moved / (np.linalg.norm(flat, axis=1) + 1e-12)))
