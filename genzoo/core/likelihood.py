"""What a model's `log_prob` is: exact or a bound, a density or a mass."""

import dataclasses
from typing import Literal

from genzoo.core.traits import LikelihoodKind


@dataclasses.dataclass(frozen=True)
class Likelihood:
    """The declaration behind every figure a model reports.

    Args:
        kind: `"exact"`, `"lower_bound"` (in expectation), or `"none"`.
        unit: `"density"` for real-valued data, `"mass"` for integers, `None` without a likelihood.
        binarization: How the data were made binary before they were scored, or `None`. Figures of
            one data set that were binarised differently do not compare.
    """

    kind: LikelihoodKind
    unit: Literal["density", "mass"] | None
    binarization: Literal["threshold", "dynamic"] | None = None

    @property
    def comparable_across_models(self) -> bool:
        """Whether bits per dimension mean the same for any two models of the same data, binarised
        in the same way."""
        return self.unit == "mass"

    def __str__(self) -> str:
        if self.kind == "none":
            return "no likelihood"
        data = f" of data binarised by {self.binarization}" if self.binarization else ""
        return f"{self.kind.replace('_', ' ')} on {self.unit}{data}, nats"


NO_LIKELIHOOD = Likelihood("none", None)
