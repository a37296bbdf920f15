"""NICE: additive couplings and a diagonal scale."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from genzoo.core.checks import check_int, check_units
from genzoo.core.registry import register
from genzoo.flows.flow import Flow
from genzoo.flows.stacks import coupling_stack
from genzoo.steps import DiagonalScale


@register("nice")
class NICE(Flow):
    """Additive couplings, which keep volume, and one learned scale a feature.

    Args:
        event_shape: Shape of one example; anything but a vector is flattened.
        num_couplings: Number of couplings; they transform the two halves by turns.
        hidden_units: Widths of each coupling's network.
        activation: Name of a Keras activation.
        permutation: Mixing of the features after each pair of couplings: `"random"`,
            `"reverse"`, `"lu"` (a learned matrix) or `None`.
        base: As in `Flow`; the paper's is `"logistic"`.
        **flow_arguments: `preprocessing`, `alpha`, `dequantization`, `levels`, `context_dim`,
            `num_classes`, `seed`, `name`, `dtype`; see `Flow`.

    Example:

    >>> x = genzoo.data.load("moons", seed=0).x_train
    >>> model = genzoo.NICE((2,), num_couplings=2, hidden_units=(32,), seed=0)
    >>> history = model.fit(x, epochs=1, verbose=0)
    >>> model.log_prob(x).shape, model.sample(5, seed=0).shape
    ((1600,), (5, 2))

    Reference: Dinh, Krueger and Bengio, NICE: non-linear independent components estimation, 2015.
    """

    traits = dataclasses.replace(Flow.traits, mixed_precision=True)

    def __init__(
        self,
        event_shape: tuple[int, ...] | int,
        *,
        num_couplings: int = 6,
        hidden_units: Sequence[int] = (128, 128),
        activation: str = "relu",
        permutation: str | None = "random",
        base: Any = "logistic",
        **flow_arguments: Any,
    ):
        super().__init__(event_shape, base=base, **flow_arguments)
        self.num_couplings = check_int(num_couplings, "num_couplings")
        self.hidden_units = check_units(hidden_units)
        self.activation = activation
        self.permutation = permutation

        steps = coupling_stack(self, "additive", self.num_couplings)
        scale = DiagonalScale(dtype=self.dtype_policy)
        self.set_steps([scale, *steps, *self.flattening()])
