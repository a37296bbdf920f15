"""MAF and IAF: autoregressive flows."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from genzoo.core.checks import check_choice, check_int, check_units
from genzoo.core.registry import register
from genzoo.flows.flow import Flow, FlowArguments
from genzoo.flows.stacks import mixed, warn_of_one_feature
from genzoo.steps import Inverse, MaskedAutoregressive

if TYPE_CHECKING:
    from typing_extensions import Unpack


@register("maf")
class MAF(Flow):
    """Masked autoregressive flow: density in one pass, sampling coordinate by coordinate.

    Sampling computes each hidden unit once, as soon as what it sees is known: the work of one
    pass, and no approximation. One feature it can only scale and shift, unless its conditionals or
    its base are mixtures; `NeuralSplineFlow` can learn any shape.

    Args:
        event_shape: Shape of one example; anything but a vector is flattened.
        num_transforms: Number of masked autoregressive steps.
        hidden_units: Widths of each network's hidden layers, at least one.
        activation: Name of a Keras activation.
        permutation: Mixing of the features between steps: `"reverse"`, `"random"`, `"lu"` (a
            learned matrix) or `None`.
        conditionals: Of the step at the base: `"gaussian"`, or `"mixture"` (of Gaussians).
        num_components: Components of `"mixture"`.
        **flow_arguments: `base`, `preprocessing`, `alpha`, `dequantization`, `levels`,
            `context_dim`, `num_classes`, `seed`, `name`, `dtype`; see `Flow`.

    Example:

    >>> x = genzoo.data.load("moons", seed=0).x_train
    >>> model = genzoo.MAF((2,), num_transforms=2, hidden_units=(32,), seed=0)
    >>> history = model.fit(x, epochs=1, verbose=0)
    >>> model.log_prob(x).shape, model.sample(5, seed=0).shape
    ((1600,), (5, 2))

    Reference: Papamakarios, Pavlakou and Murray, Masked autoregressive flow for density
    estimation, 2017.
    """

    def __init__(
        self,
        event_shape: tuple[int, ...] | int,
        *,
        num_transforms: int = 5,
        hidden_units: Sequence[int] = (128, 128),
        activation: str = "relu",
        permutation: str | None = "reverse",
        conditionals: str = "gaussian",
        num_components: int = 10,
        **flow_arguments: "Unpack[FlowArguments]",
    ):
        super().__init__(event_shape, **flow_arguments)
        self.num_transforms = check_int(num_transforms, "num_transforms")
        self.hidden_units = check_units(hidden_units)
        self.activation = activation
        self.permutation = permutation
        self.conditionals = check_choice(conditionals, ("gaussian", "mixture"), "conditionals")
        self.num_components = check_int(num_components, "num_components")
        if conditionals == "gaussian":
            warn_of_one_feature(self)

        def make(i):
            if i == 0 and conditionals == "mixture":
                map_arguments = {"num_components": self.num_components}
                return autoregressive(self, i, "mixture", map_arguments)
            return autoregressive(self, i, "affine")

        steps = mixed(self, make, self.num_transforms, permutation)
        self.set_steps([*steps, *self.flattening()])


@register("iaf")
class IAF(Flow):
    """Inverse autoregressive flow, MAF turned round: sampling in one pass.

    Scoring goes coordinate by coordinate, with the work of one pass. Its gradient in training is
    implicit, so `fit` is slower than MAF's; IAF is for where samples are drawn often. One feature
    it can only scale and shift.

    Args:
        event_shape: Shape of one example; anything but a vector is flattened.
        num_transforms: Number of inverse autoregressive steps.
        hidden_units: Widths of each network's hidden layers, at least one.
        activation: Name of a Keras activation.
        permutation: Mixing of the features between steps: `"reverse"`, `"random"`, `"lu"` (a
            learned matrix) or `None`.
        **flow_arguments: `base`, `preprocessing`, `alpha`, `dequantization`, `levels`,
            `context_dim`, `num_classes`, `seed`, `name`, `dtype`; see `Flow`.

    Example:

    >>> x = genzoo.data.load("moons", seed=0).x_train
    >>> model = genzoo.IAF((2,), num_transforms=2, hidden_units=(32,), seed=0)
    >>> history = model.fit(x, epochs=1, verbose=0)
    >>> model.log_prob(x).shape, model.sample(5, seed=0).shape
    ((1600,), (5, 2))

    Reference: Kingma et al., Improved variational inference with inverse autoregressive flow,
    2016.
    """

    def __init__(
        self,
        event_shape: tuple[int, ...] | int,
        *,
        num_transforms: int = 5,
        hidden_units: Sequence[int] = (128, 128),
        activation: str = "relu",
        permutation: str | None = "reverse",
        **flow_arguments: "Unpack[FlowArguments]",
    ):
        super().__init__(event_shape, **flow_arguments)
        self.num_transforms = check_int(num_transforms, "num_transforms")
        self.hidden_units = check_units(hidden_units)
        self.activation = activation
        self.permutation = permutation
        warn_of_one_feature(self)

        def make(i):
            return Inverse(autoregressive(self, i, "affine"), dtype=self.dtype_policy)

        steps = mixed(self, make, self.num_transforms, permutation)
        self.set_steps([*steps, *self.flattening()])


def autoregressive(flow, index, transform, transform_arguments=None) -> MaskedAutoregressive:
    """Return a masked autoregressive step with the network that the flow asks for."""
    return MaskedAutoregressive(
        transform,
        flow.hidden_units,
        activation=flow.activation,
        transform_arguments=transform_arguments,
        context_size=flow.context_size,
        seed=flow.step_seed(index),
        dtype=flow.dtype_policy,
    )
