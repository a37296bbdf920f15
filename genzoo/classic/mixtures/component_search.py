"""Choosing the number of components by an information criterion."""

import dataclasses
import time
from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np

from genzoo.core.checks import check_int
from genzoo.core.errors import InvalidInputError


@dataclasses.dataclass(frozen=True)
class ComponentSearch:
    """What a search over `num_components` found.

    Args:
        table: A dict a candidate: `num_components`, `bic`, `aic`, `score` (mean log-likelihood,
            nats), `converged`, `n_iter`, `seconds`, and `error`, the reason where it failed.
        model: The model of the lowest criterion.
        criterion: `"bic"` or `"aic"`.
    """

    table: list[dict[str, Any]]
    model: Any
    criterion: str

    def __str__(self) -> str:
        lines = [f"{'components':>10}{'BIC':>16}{'AIC':>16}{'score':>12}{'iterations':>12}"]
        for row in self.table:
            line = f"{row['num_components']:>10}"
            if row["error"]:
                lines.append(f"{line}  {row['error']}")
                continue
            line += f"{row['bic']:>16.2f}{row['aic']:>16.2f}{row['score']:>12.4f}"
            best = "  *" if row["num_components"] == self.model.num_components else ""
            lines.append(f"{line}{row['n_iter']:>12}{best}")
        return "\n".join(lines)


def search_components(
    build: Callable[[int], Any],
    x: np.ndarray,
    num_components: Iterable[int],
    criterion: str,
    verbose: int,
    fit_arguments: dict[str, Any],
) -> ComponentSearch:
    """Fit a model for each number of components; see `GaussianMixture.search`."""
    candidates = [check_int(k, "num_components") for k in num_components]
    if not candidates:
        raise InvalidInputError(
            "Expected some candidates. Received: num_components, an empty one. Give for example "
            "range(1, 11)."
        )
    progress = keras.utils.Progbar(
        len(candidates), verbose=verbose, unit_name="model",
        stateful_metrics=["components", criterion],
    )  # fmt: skip
    table, best, lowest, reason = [], None, np.inf, None
    for k in candidates:
        row = {"num_components": k, "bic": np.inf, "aic": np.inf, "score": -np.inf, "error": ""}
        began = time.perf_counter()
        try:
            model = build(k)
            model.fit(x, verbose=0, **fit_arguments)
        except InvalidInputError as error:
            # another number of components may do; if none does, this is raised
            reason = error
            row["error"] = str(error).split(". ")[0]
        else:
            row.update(model.criteria(x), converged=model.converged_, n_iter=model.n_iter_)
            if row[criterion] < lowest:
                best, lowest = model, row[criterion]
        table.append({**row, "seconds": time.perf_counter() - began})
        progress.add(1, [("components", k), (criterion, row[criterion])])
    if best is None:
        raise reason
    return ComponentSearch(table, best, criterion)
