"""Planar and radial flows."""

from typing import TYPE_CHECKING

from genzoo.core.checks import check_int
from genzoo.core.registry import register
from genzoo.flows.flow import Flow, FlowArguments
from genzoo.steps import Planar, Radial

if TYPE_CHECKING:
    from typing_extensions import Unpack


class _ElementaryFlow(Flow):
    """Base: many steps of a few parameters each."""

    step_class: type
    # the steps have no scale of their own to fit the logit's
    image_preprocessing = "standardize"

    def __init__(
        self,
        event_shape: tuple[int, ...] | int,
        *,
        num_steps: int = 16,
        **flow_arguments: "Unpack[FlowArguments]",
    ):
        super().__init__(event_shape, **flow_arguments)
        self.num_steps = check_int(num_steps, "num_steps")
        steps = [
            self.step_class(
                context_size=self.context_size, seed=self.step_seed(i), dtype=self.dtype_policy
            )
            for i in range(self.num_steps)
        ]
        self.set_steps([*steps, *self.flattening()])


@register("planar")
class PlanarFlow(_ElementaryFlow):
    """Steps that move points along one direction each; density and sampling are both exact.

    Args:
        event_shape: Shape of one example; anything but a vector is flattened.
        num_steps: Number of planar steps.
        **flow_arguments: `base`, `preprocessing`, `alpha`, `dequantization`, `levels`,
            `context_dim`, `num_classes`, `seed`, `name`, `dtype`; see `Flow`.

    Example:

    >>> x = genzoo.data.load("moons", seed=0).x_train
    >>> model = genzoo.PlanarFlow((2,), num_steps=4, seed=0)
    >>> history = model.fit(x, epochs=1, verbose=0)
    >>> model.log_prob(x).shape, model.sample(5, seed=0).shape
    ((1600,), (5, 2))

    Reference: Rezende and Mohamed, Variational inference with normalizing flows, 2015.
    """

    step_class = Planar


@register("radial")
class RadialFlow(_ElementaryFlow):
    """Steps that pull points to or push them from a centre each; density and sampling are exact.

    Args:
        event_shape: Shape of one example; anything but a vector is flattened.
        num_steps: Number of radial steps.
        **flow_arguments: `base`, `preprocessing`, `alpha`, `dequantization`, `levels`,
            `context_dim`, `num_classes`, `seed`, `name`, `dtype`; see `Flow`.

    Example:

    >>> x = genzoo.data.load("moons", seed=0).x_train
    >>> model = genzoo.RadialFlow((2,), num_steps=4, seed=0)
    >>> history = model.fit(x, epochs=1, verbose=0)
    >>> model.log_prob(x).shape, model.sample(5, seed=0).shape
    ((1600,), (5, 2))

    Reference: Rezende and Mohamed, Variational inference with normalizing flows, 2015.
    """

    step_class = Radial
