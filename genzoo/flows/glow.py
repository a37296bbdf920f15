"""Glow: actnorm, invertible 1 x 1 convolutions and couplings."""

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from genzoo.core.checks import check_choice, check_int, check_units
from genzoo.core.registry import register
from genzoo.core.traits import is_image
from genzoo.flows.flow import Flow, FlowArguments
from genzoo.flows.stacks import check_levels, glow_step, refuse_one_feature
from genzoo.steps import (
    FactorOut,
    Flatten,
    ImageCoupling,
    Squeeze,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack

# so many couplings, each free to scale up, threw a test image of MNIST to 1e8 bits/dim; the paper's
# sigmoid, which scales up nowhere, is slow to learn
_EXPANSION_BOUND = math.log(2.0)


@register("glow")
class Glow(Flow):
    """Steps of actnorm, an invertible 1 x 1 convolution and a coupling, on several scales.

    Each level squeezes 2 x 2 pixels into channels and takes `num_steps` steps; then half of the
    channels leave for the base, whose mean and scale are predicted from the other half. On
    vectors there is one level, with matrices for convolutions and MLPs for networks.

    Args:
        event_shape: Shape of one example, such as `(32, 32, 3)` or `(43,)`.
        num_levels: Images: levels; `None` for as many as the size allows, up to 3.
        num_steps: Steps a level.
        coupling: `"affine"` or `"additive"`.
        filters: Images: channels of the couplings' networks.
        hidden_units: Vectors: widths of the couplings' networks.
        activation: Name of a Keras activation.
        **flow_arguments: `base`, `preprocessing` (the paper's for images), `alpha`,
            `dequantization`, `levels`, `context_dim`, `num_classes`, `seed`, `name`, `dtype`; see
            `Flow`.

    Raises:
        InvalidInputError: For images whose height and width do not halve as often as there are
            levels.

    Example:

    >>> x = genzoo.data.load("digits").x_train
    >>> model = genzoo.Glow((8, 8, 1), num_steps=1, filters=4, seed=0)
    >>> history = model.fit(x[:256], epochs=1, verbose=0)
    >>> model.bits_per_dim(x[:3]).shape, model.sample(5, seed=0).shape
    ((3,), (5, 8, 8, 1))

    Reference: Kingma and Dhariwal, Glow: generative flow with invertible 1x1 convolutions, 2018.
    """

    traits = dataclasses.replace(Flow.traits, mixed_precision=True)
    image_preprocessing = "glow"

    def __init__(
        self,
        event_shape: tuple[int, ...] | int,
        *,
        num_levels: int | None = None,
        num_steps: int = 8,
        coupling: str = "affine",
        filters: int = 64,
        hidden_units: Sequence[int] = (128, 128),
        activation: str = "relu",
        **flow_arguments: "Unpack[FlowArguments]",
    ):
        super().__init__(event_shape, **flow_arguments)
        self.num_levels = None if num_levels is None else check_int(num_levels, "num_levels")
        self.num_steps = check_int(num_steps, "num_steps")
        self.coupling = check_choice(coupling, ("affine", "additive"), "coupling")
        self.filters = check_int(filters, "filters")
        self.hidden_units = check_units(hidden_units)
        self.activation = activation
        if is_image(self.event_shape):
            # convolutions take long enough for a step at a time
            self.default_steps_per_execution = 1
            levels = check_levels(self.event_shape, self.num_levels, least_side=2, squeezes=1)
            self.set_steps(self._level(0, levels))
        else:
            if self.event_size == 1:
                raise refuse_one_feature(self)
            steps = [self._step(i, images=False) for i in range(self.num_steps)]
            self.set_steps([*steps, *self.flattening()])

    def _level(self, level, num_levels):
        dtype = self.dtype_policy
        first = (self.num_steps + 1) * level
        steps = [self._step(first + i, images=True) for i in range(self.num_steps)]
        if level == num_levels - 1:
            deeper = [Flatten(dtype=dtype)]
        else:
            prior = ImageCoupling(
                "channel",
                "second",
                network="linear",
                context_size=self.context_size,
                seed=self.step_seed(first + self.num_steps),
                dtype=dtype,
            )
            deeper = [FactorOut(self._level(level + 1, num_levels), dtype=dtype), prior]
        return [*deeper, *steps, Squeeze(dtype=dtype)]

    def _step(self, index, images):
        bounded = {"expansion_bound": _EXPANSION_BOUND} if self.coupling == "affine" else None
        return glow_step(
            images,
            transform=self.coupling,
            transform_arguments=bounded,
            filters=self.filters,
            hidden_units=self.hidden_units,
            activation=self.activation,
            context_size=self.context_size,
            seed=self.step_seed(index),
            dtype=self.dtype_policy,
        )
