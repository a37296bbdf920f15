"""Neural spline flows: rational-quadratic splines."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from genzoo.core.checks import check_choice, check_int, check_number, check_units
from genzoo.core.registry import register
from genzoo.flows.flow import Flow, FlowArguments
from genzoo.flows.maf import autoregressive
from genzoo.flows.stacks import coupling_stack, mixed

if TYPE_CHECKING:
    from typing_extensions import Unpack


@register("neural_spline")
class NeuralSplineFlow(Flow):
    """Monotone rational-quadratic splines, in couplings or autoregressive.

    With one feature each is one spline of it, given the context if there is one.

    Args:
        event_shape: Shape of one example; anything but a vector is flattened.
        num_transforms: Number of steps.
        kind: `"coupling"`, or `"autoregressive"` (sharper, slower to sample).
        num_bins: Bins of each spline.
        bound: The splines act on [-bound, bound]; outside they are the identity.
        hidden_units: Widths of each network's hidden layers.
        activation: Name of a Keras activation.
        permutation: Mixing of the features between steps: `"random"`, `"reverse"`, `"lu"` (a
            learned matrix) or `None`.
        **flow_arguments: `base`, `preprocessing`, `alpha`, `dequantization`, `levels`,
            `context_dim`, `num_classes`, `seed`, `name`, `dtype`; see `Flow`.

    Example:

    >>> x = genzoo.data.load("moons", seed=0).x_train
    >>> model = genzoo.NeuralSplineFlow((2,), num_transforms=2, hidden_units=(32,), seed=0)
    >>> history = model.fit(x, epochs=1, verbose=0)
    >>> model.log_prob(x).shape, model.sample(5, seed=0).shape
    ((1600,), (5, 2))

    Reference: Durkan, Bekasov, Murray and Papamakarios, Neural spline flows, 2019.
    """

    def __init__(
        self,
        event_shape: tuple[int, ...] | int,
        *,
        num_transforms: int = 5,
        kind: str = "coupling",
        num_bins: int = 8,
        bound: float = 5.0,
        hidden_units: Sequence[int] = (128, 128),
        activation: str = "relu",
        permutation: str | None = "random",
        **flow_arguments: "Unpack[FlowArguments]",
    ):
        super().__init__(event_shape, **flow_arguments)
        self.num_transforms = check_int(num_transforms, "num_transforms")
        self.kind = check_choice(kind, ("coupling", "autoregressive"), "kind")
        self.num_bins = check_int(num_bins, "num_bins", minimum=2)
        self.bound = check_number(bound, "bound", exclusive=True)
        self.hidden_units = check_units(hidden_units)
        self.activation = activation
        self.permutation = permutation
        map_arguments = {"num_bins": self.num_bins, "bound": self.bound}

        def make_autoregressive(i):
            return autoregressive(self, i, "spline", map_arguments)

        if kind == "coupling":
            steps = coupling_stack(self, "spline", self.num_transforms, map_arguments)
        else:
            steps = mixed(self, make_autoregressive, self.num_transforms, permutation)
        self.set_steps([*steps, *self.flattening()])
