"""What a kind of model can do: declared once by its class, and asked by all others.

Methods that every model has and some refuse (`log_prob`, `distribution`, `fit` with a context or
with missing values) are declared by fields of `Traits`. Methods that only those models have which
can do it are protocols, so that `isinstance(model, Reconstructs)` is the question.

Nothing but the standard library is imported here: `genzoo list` reads this file alone.
"""

import dataclasses
import typing
from typing import Any, Literal, Protocol, runtime_checkable

Training = Literal["gradient", "em", "adversarial"]
Example = Literal["row", "image", "sequence", "text", "pair"]
LikelihoodKind = Literal["exact", "lower_bound", "none"]
Context = Literal["no", "may", "must"]

# an image has a height, a width and channels
_IMAGE_RANK = 3


def is_image(event_shape: tuple[int, ...]) -> bool:
    """Return whether examples of this shape are images, (height, width, channels)."""
    return len(event_shape) == _IMAGE_RANK


def is_picture(event_shape: tuple[int, ...]) -> bool:
    """Return whether examples of this shape are images that can be shown, grey or in colour."""
    return is_image(event_shape) and event_shape[-1] in (1, 3)


@dataclasses.dataclass(frozen=True)
class Traits:
    """The declaration of a class of models; a subclass replaces what is different.

    Args:
        training: `"gradient"`; `"em"`, an epoch is an iteration over all the data and `fit` stops
            by itself; `"adversarial"`, two sides whose losses do not say how good the model is.
        examples: What an example may be, by its `event_shape` where there are several: `"row"` (an
            array of any shape), `"image"`, `"sequence"` (`event_shape` is that of a step, `()` for
            single numbers), `"text"`, or `"pair"` (an image and what it should become).
        likelihood: What `log_prob` of real numbers is; see `Likelihood`, of a model and its data.
        distribution: Whether `distribution()` returns the `tfd.Distribution` of real numbers.
        context: Whether a model cannot, may or must be conditional.
        paired_context: Whether each row has a context of its own; else the contexts are another
            set, of any length.
        missing_values: Whether NaN in x stands for a missing value.
        sample_weight: Whether rows may have weights.
        mixed_precision: Whether the dtypes `mixed_bfloat16` and `mixed_float16` are taken.

    Raises:
        InvalidInputError: For a value that is none of those named.

    Example:

    >>> genzoo.GaussianMixture.traits.training, genzoo.GaussianMixture.traits.context
    ('em', 'no')
    >>> class OfImages(genzoo.GAN):
    ...     traits = dataclasses.replace(genzoo.GAN.traits, examples=("image",))
    """

    training: Training = "gradient"
    examples: tuple[Example, ...] = ("row", "image")
    likelihood: LikelihoodKind = "none"
    distribution: bool = False
    context: Context = "may"
    paired_context: bool = True
    missing_values: bool = False
    sample_weight: bool = True
    mixed_precision: bool = False

    def __post_init__(self):
        for name, kinds in (
            ("training", Training),
            ("likelihood", LikelihoodKind),
            ("context", Context),
        ):
            _check(name, getattr(self, name), kinds)
        if not isinstance(self.examples, tuple) or not self.examples:
            _check("examples", self.examples, Example)
        for kind in self.examples:
            _check("examples", kind, Example)

    @property
    def has_density(self) -> bool:
        """Whether there is a likelihood, exact or bounded: `log_prob`, `score`, `predict_proba`."""
        return self.likelihood != "none"

    def example(self, event_shape: tuple[int, ...]) -> Example:
        """Return what an example is, of those it may be.

        Args:
            event_shape: Of the model.
        """
        if {"row", "image"} & set(self.examples):
            return "image" if is_image(event_shape) else "row"
        return self.examples[0]


def _check(name: str, value: Any, kinds: Any) -> None:
    valid = typing.get_args(kinds)
    if value not in valid:
        from genzoo.core.errors import InvalidInputError

        raise InvalidInputError(
            f"Expected traits with {name} of {', '.join(map(repr, valid))}. "
            f"Received: {name}={value!r}"
        )


@runtime_checkable
class Reconstructs(Protocol):
    """Models that say what they make of an example: VAEs by their code, GANs by inversion."""

    def reconstruct(self, x: Any, *, context: Any = None) -> Any:
        """Return what the model makes of each example, in the kind of x."""


@runtime_checkable
class Conditions(Protocol):
    """Models with the exact distribution of missing values given those that were seen."""

    def condition(self, x: Any) -> Any:
        """Return that distribution for each row, NaN where it misses a value."""


@runtime_checkable
class Inverts(Protocol):
    """Models that search for the latent vector of an example, and say how near they came."""

    def anomaly_score(self, x: Any, *, context: Any = None) -> Any:
        """Return the distance of each example from what the model can make, [n]."""


@runtime_checkable
class Discriminates(Protocol):
    """Models with a discriminator, which says how real examples look to it."""

    def discriminate(self, x: Any) -> Any:
        """Return its score of each example; higher is more real."""


@runtime_checkable
class HasLatentSpace(Protocol):
    """Models with a way from the data to latent points and a way back."""

    latent_shape: tuple[int, ...]

    def encode(self, x: Any, *, context: Any = None) -> Any:
        """Return the latent point of each example, [n, *latent_shape]."""

    def decode(self, z: Any, *, context: Any = None) -> Any:
        """Return the data that latent points lead to, [n, *event_shape]."""

    def sample_latent(self, n: int, *, context: Any = None, seed: int | None = None) -> Any:
        """Return points of the latent space where samples come from."""


@runtime_checkable
class WeighsDivergence(Protocol):
    """Models whose objective has a KL divergence from a prior, with a weight: VAEs."""

    kl_weight: Any


@runtime_checkable
class HasStates(Protocol):
    """Models of sequences whose steps come from hidden states."""

    num_states: int

    def decode(self, x: Any, lengths: Any = None) -> Any:
        """Return the likeliest states of the steps."""

    def forecast(self, x: Any, steps: int, *, lengths: Any = None) -> Any:
        """Return what is to be expected of the next steps."""
