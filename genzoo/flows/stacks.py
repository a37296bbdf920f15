"""How the flows stack their steps."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

from genzoo.core.checks import check_choice
from genzoo.core.errors import InvalidInputError
from genzoo.steps import (
    ActNorm,
    Chain,
    Coupling,
    FlowStep,
    ImageCoupling,
    LULinear,
    Permutation,
)

# maps that scale and shift
LINEAR = ("additive", "affine")
SINGLE_PEAKED = ("normal", "logistic", "student_t")
PERMUTATIONS = ("random", "reverse", "lu", None)


def mixed(
    flow,
    make: Callable[[int], FlowStep],
    count: int,
    permutation: str | None,
    *,
    every: int = 1,
) -> list[FlowStep]:
    """Return `count` steps on vectors with a mixing of the features between them.

    Args:
        flow: The flow, whose seeds and dtype the mixings take.
        make: Makes step i.
        count: Number of steps.
        permutation: `"random"` (drawn from the seed, saved with the weights), `"reverse"`,
            `"lu"` (a learned matrix), or `None`.
        every: Steps between two mixings.
    """
    check_choice(permutation, PERMUTATIONS, "permutation")
    steps: list[FlowStep] = []
    for i in range(count):
        if i and i % every == 0 and permutation is not None:
            seed = flow.step_seed(i - 1)
            if permutation == "lu":
                steps.append(LULinear(seed=seed, dtype=flow.dtype_policy))
            else:
                steps.append(Permutation(permutation, seed=seed, dtype=flow.dtype_policy))
        steps.append(make(i))
    return steps


def half(i: int) -> str:
    """Return which half coupling `i` of a stack transforms: they take turns."""
    return ("first", "second")[i % 2]


def coupling_stack(
    flow, transform: str, count: int, transform_arguments: dict[str, Any] | None = None
) -> list[FlowStep]:
    """Return couplings that take turns, the features mixed after each pair.

    With three features or fewer the turns alone mix better, and there is no mixing. One feature
    they transform by the same map everywhere, or given the context.

    Args:
        flow: The flow, whose `hidden_units`, `activation` and `permutation` they take.
        transform: Name of the map.
        count: Number of couplings.
        transform_arguments: Of the map.
    """
    permutation = flow.permutation
    check_choice(permutation, PERMUTATIONS, "permutation")
    one_feature = flow.event_size == 1
    if one_feature and transform in LINEAR:
        raise refuse_one_feature(flow)

    def make(i):
        return Coupling(
            transform,
            # of one feature there is nothing to see: all transform it
            "second" if one_feature else half(i),
            flow.hidden_units,
            activation=flow.activation,
            transform_arguments=transform_arguments,
            context_size=flow.context_size,
            seed=flow.step_seed(i),
            dtype=flow.dtype_policy,
        )

    kind = permutation if flow.event_size > 3 else None
    return mixed(flow, make, count, kind, every=2)


def refuse_one_feature(flow) -> InvalidInputError:
    """Return the error for one feature where each step scales and shifts alone."""
    return InvalidInputError(
        f"Expected at least 2 features: of one, {type(flow).__name__} could only scale and shift "
        f"the base. Received: event_shape={flow.event_shape}. For one feature use "
        "NeuralSplineFlow, PlanarFlow, MAF with conditionals='mixture', or GaussianMixture."
    )


def warn_of_one_feature(flow) -> None:
    """Say what an affine flow cannot do with one feature, unless its base can."""
    if flow.event_size == 1 and flow.base in SINGLE_PEAKED:
        warnings.warn(
            f"{type(flow).__name__} on one feature scales and shifts its base, {flow.base!r}, and "
            "nothing more: it cannot learn several peaks or skewness. NeuralSplineFlow, MAF with "
            "conditionals='mixture', base='mixture' and GaussianMixture can.",
            stacklevel=4,
        )


def glow_step(
    is_image: bool,
    *,
    filters: int,
    hidden_units: Sequence[int],
    seed: int | None,
    dtype: Any,
    **coupling_arguments: Any,
) -> Chain:
    """Return a step of Glow: from the base, a coupling, a learned matrix and actnorm.

    Args:
        is_image: Whether the coupling's network is convolutional.
        filters: Images: its channels.
        hidden_units: Vectors: its widths.
        seed: Fixes the initial weights.
        dtype: Of the steps.
        **coupling_arguments: Of `ImageCoupling` or `Coupling`.
    """
    shared = {"half": "second", "seed": seed, "dtype": dtype, **coupling_arguments}
    if is_image:
        coupling = ImageCoupling("channel", filters=filters, **shared)
    else:
        coupling = Coupling(hidden_units=hidden_units, **shared)
    return Chain([coupling, LULinear(seed=seed, dtype=dtype), ActNorm(dtype=dtype)], dtype=dtype)


def check_levels(
    event_shape: Sequence[int], num_levels: int | None, *, least_side: int, squeezes: int
) -> int:
    """Return the number of levels of a multi-scale flow, as many as fit up to 3 by default.

    Args:
        event_shape: (height, width, channels).
        num_levels: As asked for; `None` for the default.
        least_side: Height and width below which the default squeezes no further.
        squeezes: Squeezes of a flow of one level.
    """
    height, width = event_shape[:2]
    fits = 0
    while height % 2 == 0 and width % 2 == 0:
        height, width = height // 2, width // 2
        fits += 1
        if num_levels is None and min(height, width) < least_side:
            fits -= 1
            break
    largest = fits + 1 - squeezes
    if num_levels is None:
        num_levels = min(max(largest, 1), 3)
    if num_levels > largest:
        raise InvalidInputError(
            f"Expected height and width that halve {num_levels - 1 + squeezes} times without "
            f"remainder for num_levels={num_levels}. Received: event_shape={tuple(event_shape)}. "
            "Pad or crop the images, for example np.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0))) "
            "from 28 to 32, or reshape them to vectors, x.reshape(len(x), -1)."
        )
    return num_levels
