"""RealNVP: affine couplings."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from genzoo.core.checks import check_choice, check_int, check_units
from genzoo.core.registry import register
from genzoo.core.traits import is_image
from genzoo.flows.flow import Flow, FlowArguments
from genzoo.flows.stacks import PERMUTATIONS, check_levels, coupling_stack, half
from genzoo.steps import FactorOut, Flatten, ImageCoupling, Squeeze

if TYPE_CHECKING:
    from typing_extensions import Unpack


@register("realnvp")
class RealNVP(Flow):
    """Affine couplings: on vectors by MLPs, on images multi-scale by residual networks.

    On images (rank 3) each level has couplings under checkerboard masks, a squeeze of 2 x 2
    pixels into channels and couplings of channel halves; then half of the channels leave for the
    base. The last level has checkerboard masks alone.

    Args:
        event_shape: Shape of one example, such as `(43,)` or `(28, 28, 1)`; at least two values.
        num_couplings: Vectors: number of couplings; they transform the two halves by turns.
        hidden_units: Vectors: widths of each coupling's network.
        permutation: Vectors: mixing of the features after each pair of couplings: `"random"`
            (drawn from `seed`, saved with the weights), `"reverse"`, `"lu"` (a learned matrix) or
            `None`. With three features or fewer there is none.
        num_levels: Images: levels; `None` for as many as the size allows, up to 3.
        couplings_per_level: Images: couplings under each kind of mask; one more in the last level.
        filters: Images: channels of the residual networks in the first level, doubled in each.
        num_blocks: Images: residual blocks of each network.
        activation: Name of a Keras activation.
        **flow_arguments: `base`, `preprocessing`, `alpha`, `dequantization`, `levels`,
            `context_dim`, `num_classes`, `seed`, `name`, `dtype`; see `Flow`.

    Raises:
        InvalidInputError: For images whose height and width do not halve as often as there are
            levels less one.

    Example:

    >>> x = genzoo.data.load("moons", seed=0).x_train
    >>> model = genzoo.RealNVP((2,), num_couplings=4, hidden_units=(32,), seed=0)
    >>> history = model.fit(x, epochs=1, verbose=0)
    >>> model.log_prob(x).shape, model.sample(5, seed=0).shape
    ((1600,), (5, 2))

    Reference: Dinh, Sohl-Dickstein and Bengio, Density estimation using Real NVP, 2017.
    """

    traits = dataclasses.replace(Flow.traits, mixed_precision=True)

    def __init__(
        self,
        event_shape: tuple[int, ...] | int,
        *,
        num_couplings: int = 8,
        hidden_units: Sequence[int] = (128, 128),
        permutation: str | None = "random",
        num_levels: int | None = None,
        couplings_per_level: int = 3,
        filters: int = 16,
        num_blocks: int = 1,
        activation: str = "relu",
        **flow_arguments: "Unpack[FlowArguments]",
    ):
        super().__init__(event_shape, **flow_arguments)
        self.num_couplings = check_int(num_couplings, "num_couplings")
        self.hidden_units = check_units(hidden_units)
        self.permutation = check_choice(permutation, PERMUTATIONS, "permutation")
        self.num_levels = None if num_levels is None else check_int(num_levels, "num_levels")
        self.couplings_per_level = check_int(couplings_per_level, "couplings_per_level")
        self.filters = check_int(filters, "filters")
        self.num_blocks = check_int(num_blocks, "num_blocks", minimum=0)
        self.activation = activation
        if is_image(self.event_shape):
            # convolutions take long enough for a step at a time
            self.default_steps_per_execution = 1
            levels = check_levels(self.event_shape, self.num_levels, least_side=4, squeezes=0)
            self.set_steps(self._level(0, levels))
            return

        steps = coupling_stack(self, "affine", self.num_couplings)
        self.set_steps([*steps, *self.flattening()])

    def _level(self, level, num_levels):
        """Return the steps of a level and of those it sends half of the channels to."""
        dtype = self.dtype_policy
        last = level == num_levels - 1
        checkerboard = [
            self._coupling("checkerboard", level, i) for i in range(self.couplings_per_level + last)
        ]
        if last:
            return [Flatten(dtype=dtype), *checkerboard]
        channel = [
            self._coupling("channel", level, 20 + i) for i in range(self.couplings_per_level)
        ]
        further = FactorOut(self._level(level + 1, num_levels), dtype=dtype)
        return [further, *channel, Squeeze(dtype=dtype), *checkerboard]

    def _coupling(self, mask, level, index):
        return ImageCoupling(
            mask,
            half(index),
            network="resnet",
            filters=self.filters * 2**level,
            num_blocks=self.num_blocks,
            activation=self.activation,
            context_size=self.context_size,
            seed=self.step_seed(50 * level + index),
            dtype=self.dtype_policy,
        )
