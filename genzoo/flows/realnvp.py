"""RealNVP: affine couplings."""

from collections.abc import Sequence
from typing import Any

from genzoo.core.checks import check_choice, check_int, check_units
from genzoo.core.registry import register
from genzoo.flows.flow import Flow
from genzoo.steps import AffineCoupling, Permutation


@register("realnvp")
class RealNVP(Flow):
    """Affine couplings on vectors; images are flattened.

    Args:
        event_shape: Shape of one example, such as `(43,)` or `(8, 8, 1)`; at least two values.
        num_couplings: Number of couplings; they transform the two halves by turns.
        hidden_units: Widths of each coupling's network.
        activation: Name of a Keras activation.
        permutation: Reordering after each pair of couplings: `"random"` (drawn from `seed`,
            saved with the weights), `"reverse"`, or `None`. With three features or fewer the
            turns alone mix better, and there is none.
        **flow_arguments: `preprocessing`, `alpha`, `levels`, `context_dim`, `num_classes`,
            `seed`, `name`, `dtype`; see `Flow`.

    Example:

    >>> x = genzoo.data.load("moons", seed=0).x_train
    >>> model = genzoo.RealNVP((2,), num_couplings=4, hidden_units=(32,), seed=0)
    >>> history = model.fit(x, epochs=1, verbose=0)
    >>> model.log_prob(x).shape, model.sample(5, seed=0).shape
    ((1600,), (5, 2))

    Reference: Dinh, Sohl-Dickstein and Bengio, Density estimation using Real NVP, 2017.
    """

    def __init__(
        self,
        event_shape: tuple[int, ...] | int,
        *,
        num_couplings: int = 8,
        hidden_units: Sequence[int] = (128, 128),
        activation: str = "relu",
        permutation: str | None = "random",
        **flow_arguments: Any,
    ):
        super().__init__(event_shape, **flow_arguments)
        self.num_couplings = check_int(num_couplings, "num_couplings")
        self.hidden_units = check_units(hidden_units)
        self.activation = activation
        self.permutation = check_choice(permutation, ("random", "reverse", None), "permutation")
        steps = []
        for i in range(num_couplings):
            if i and i % 2 == 0 and permutation is not None and self.event_size > 3:
                seed = self.step_seed(i - 1)
                steps.append(Permutation(permutation, seed=seed, dtype=self.dtype_policy))
            coupling = AffineCoupling(
                half=("first", "second")[i % 2],
                hidden_units=self.hidden_units,
                activation=activation,
                context_size=self.context_size,
                seed=self.step_seed(i),
                dtype=self.dtype_policy,
            )
            steps.append(coupling)
        self.set_steps(steps)
