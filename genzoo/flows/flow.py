"""Flow: a base distribution carried to the data by a list of steps."""

import dataclasses
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from genzoo.core import checks
from genzoo.core.arguments import ModelArguments
from genzoo.core.errors import InvalidInputError
from genzoo.core.latent_model import LatentModel
from genzoo.core.model import GenerativeModel
from genzoo.core.registry import models
from genzoo.flows.bases import BASES
from genzoo.flows.dequantization import VariationalDequantizer
from genzoo.flows.preprocessing import PREPROCESSING, preprocessing_steps
from genzoo.flows.transformed import TransformedLaw
from genzoo.steps import BijectorStep, Flatten, FlowStep
from genzoo.steps.stock import is_bijector

if TYPE_CHECKING:
    from typing_extensions import Unpack

_DEQUANTIZATION = ("uniform", "variational")
_CHECKED_ROWS = 64
_INVERSION_TOLERANCE = 1e-4


class FlowArguments(ModelArguments, total=False):
    """Arguments that models built on `Flow` pass on to it."""

    base: Any
    preprocessing: str | None
    alpha: float
    dequantization: str
    gradient_checkpointing: bool


@keras.saving.register_keras_serializable("genzoo")
class Flow(LatentModel, GenerativeModel):
    """A normalizing flow of steps of one's own, and the base of all flows: exact both ways.

    A subclass makes its steps and calls `set_steps` at the end of its constructor.

    Args:
        event_shape: Shape of one example.
        steps: Steps of `genzoo.steps`, bijectors of TFP's, or functions that make a bijector (of
            the encoded context, if they take an argument), from the base to the data; the
            preprocessing follows. Those of `genzoo.steps` are of the model's dtype, and made for
            `context_size` numbers where they see a context. Subclasses make their own.
        base: Distribution on the base side: `"normal"`, `"logistic"`, `"student_t"` (heavy tails,
            learned degrees of freedom), `"mixture"` (of diagonal Gaussians, learned), a function of
            the base shape that returns a `tfd.Distribution`, or a model or law with a density,
            which is trained along.
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
            `GenerativeModel`.

    Example:

    >>> import tensorflow_probability as tfp
    >>> x = genzoo.data.load("moons", seed=0).x_train
    >>> half = {"hidden_units": (32,), "seed": 0}
    >>> steps = [genzoo.steps.Coupling("spline", side, **half) for side in ("first", "second")]
    >>> steps += [tfp.bijectors.SinhArcsinh(skewness=0.5), genzoo.steps.LULinear(seed=0)]
    >>> model = genzoo.Flow((2,), steps=steps)
    >>> history = model.fit(x, epochs=1, verbose=0)
    >>> model.log_prob(x).shape, model.sample(5, seed=0).shape
    ((1600,), (5, 2))

    Reference: Papamakarios et al., Normalizing flows for probabilistic modeling and inference,
    2021.
    """

    traits = dataclasses.replace(GenerativeModel.traits, distribution=True)
    image_preprocessing = "logit"
    registered_name = "flow"

    def __init__(
        self,
        event_shape: tuple[int, ...] | int,
        *,
        steps: Sequence[Any] | None = None,
        base: Any = "normal",
        preprocessing: str | None = "auto",
        alpha: float = 0.01,
        dequantization: str = "uniform",
        gradient_checkpointing: bool = False,
        **model_arguments: "Unpack[ModelArguments]",
    ):
        super().__init__(event_shape, **model_arguments)
        self.gradient_checkpointing = checks.check_choice(
            gradient_checkpointing, (True, False), "gradient_checkpointing"
        )
        if not callable(base):
            checks.check_choice(base, BASES, "base")
        self.base = base
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
        made = []
        for i, step in enumerate(steps):
            if not isinstance(step, FlowStep):
                if not is_bijector(step) and not callable(step):
                    raise InvalidInputError(
                        "Expected steps of genzoo.steps, bijectors of TFP's or functions that make "
                        f"one. Received: steps[{i}] of type {type(step).__name__}"
                    )
                step = BijectorStep(step, context_size=self.context_size, dtype=self.dtype_policy)
            made.append(step)
            if step.variable_dtype != self.float_dtype:
                raise InvalidInputError(
                    f"Expected steps of the model's dtype, {self.float_dtype}. Received: "
                    f"steps[{i}], a {type(step).__name__} of dtype {step.variable_dtype}. Give "
                    "both the same dtype=..."
                )
        return made

    def get_config(self):
        config = super().get_config()
        if config.get("steps") is not None:
            # bijectors among them as steps, which Keras can save
            own = self.steps[: len(config["steps"])]
            config["steps"] = [keras.saving.serialize_keras_object(step) for step in own]
        return config

    def set_steps(self, steps: Sequence[FlowStep]) -> None:
        """Make the law of the steps.

        Args:
            steps: Steps from the base to the data; the preprocessing comes after them.
        """
        ends = preprocessing_steps(
            self.preprocessing,
            self.event_shape,
            images=self.image_preprocessing,
            alpha=self.alpha,
            dtype=self.dtype_policy,
        )
        dequantizer = None
        if self.dequantization == "variational":
            dequantizer = VariationalDequantizer(
                self.event_shape, seed=self.step_seed(500), dtype=self.dtype_policy
            )
        self.law = TransformedLaw(
            self.event_shape,
            [*steps, *ends],
            base=self.base,
            dequantizer=dequantizer,
            gradient_checkpointing=self.gradient_checkpointing,
            seed=self.seed,
            context_size=self.context_size,
            dtype=self.dtype_policy,
        )
        self.built = True

    @property
    def steps(self) -> list[FlowStep]:
        """The steps from the base to the data."""
        return self.law.steps

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of one z: that of an example on the base side."""
        return self.law.base.event_shape

    def flattening(self) -> list[FlowStep]:
        """Return the step that makes vectors of events that are not, if there is need of it."""
        return [] if len(self.event_shape) == 1 else [Flatten(dtype=self.dtype_policy)]

    def step_seed(self, index: int) -> int | None:
        """Return the seed of step `index`, for its initial weights."""
        return None if self.seed is None else 1000 * self.seed + 10 * index

    # In graph

    def bijector(self, context: tf.Tensor | None = None):
        """Return the `tfb.Chain` of the steps' bijectors, from the base to the data.

        Args:
            context: For conditional flows, from `encode_context`, [n, context_size]; a batch of n.
        """
        return self.law.data_bijector(context)

    def distribution(self, context=None, temperature=1.0):
        """Return the `tfd.TransformedDistribution` over data as real numbers.

        It takes [sample, batch, event] shapes as all of TFP does, and reads the weights at each
        call: one that is kept follows further training.

        Args:
            context: For conditional flows, from `encode_context`, [n, context_size]. It is a
                batch of n distributions: `sample(k)` has shape [k, n, *event_shape].
            temperature: Scale of the base.
        """
        return self.law.data_distribution(context, temperature)

    def make_train_function(self, force: bool = False) -> None:
        # XLA inlines functions at a cost that grows exponentially with their number
        self.law.share_traces(not self.jit_compile)
        super().make_train_function(force)

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
        data, _ = self._read_rows("inversion_error", x, context, None)
        return self._inversion_error(data.rows["x"], data.rows.get("context"))

    def diagnose(self, x: Any, *, context: Any = None) -> dict[str, Any]:
        """Return the inversion error on up to 64 rows, for reports."""
        rows = slice(_CHECKED_ROWS)
        context = None if context is None else context[rows]
        return {"inversion_error": self.inversion_error(x[rows], context=context)}

    def _inversion_error(self, x, context):
        if context is not None:
            context = self.encode_context(context[: len(x)])
        return self.law.inversion_error(self.to_model(x), context)
