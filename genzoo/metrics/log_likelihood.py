"""Likelihood figures that say what they are."""

import math
from typing import Any

import numpy as np

from genzoo.core.model import GenerativeModel


def perplexity(model: GenerativeModel, x: Any, **arguments: Any) -> float:
    """Return exp(-log p(x) / values) over all rows: how many equally likely levels a value has.

    For integer data; 2 to the power of the mean bits per dimension. For a model with a bound, an
    upper bound.

    Args:
        model: A fitted model of integers.
        x: Integers [n, *event_shape].
        **arguments: As in `log_prob`.

    Raises:
        NoDensityError: For real-valued data, as `bits_per_dim`.

    Example:

    >>> x = np.random.default_rng(0).integers(0, 4, (2000, 1)).astype("uint8")
    >>> model = genzoo.GaussianMixture((1,), num_components=1)
    >>> history = model.fit(x, verbose=0)
    >>> 4 <= genzoo.metrics.perplexity(model, x) < 5
    True
    """
    return float(2.0 ** np.mean(model.bits_per_dim(x, **arguments), dtype=np.float64))


def likelihood_report(model: GenerativeModel, x: Any, **arguments: Any) -> dict[str, Any]:
    """Score data and declare the figure.

    Args:
        model: A fitted model with a likelihood.
        x: Examples [n, *event_shape].
        **arguments: As in `log_prob`: `context`, `num_samples`, `batch_size`, `seed`.

    Returns:
        `likelihood_kind`, `likelihood_unit`, `binarization` (figures of differently binarised data
        do not compare), `rows`, `nll_nats` (mean over the rows),
        `nll_standard_error` (of that mean, over rows), and `bits_per_dim` where it means
        something, else `None`; and what the model's `diagnose` adds, such as the active units of
        a VAE.

    Example:

    >>> model = genzoo.GaussianMixture((2,), num_components=1)
    >>> history = model.fit(genzoo.data.toy("moons", seed=0), verbose=0)
    >>> report = genzoo.metrics.likelihood_report(model, genzoo.data.toy("moons", seed=1))
    >>> report["likelihood_kind"], report["likelihood_unit"], report["bits_per_dim"]
    ('exact', 'density', None)
    """
    log_prob = np.asarray(model.log_prob(x, **arguments), np.float64)
    n = len(log_prob)
    nll = float(-log_prob.mean())
    bits = None
    if model.likelihood.comparable_across_models:
        lengths = {name: arguments[name] for name in ("lengths",) if name in arguments}
        bits = float(np.mean(-log_prob / model.count_values(x, **lengths))) / math.log(2.0)
    return {
        "likelihood_kind": model.likelihood.kind,
        "likelihood_unit": model.likelihood.unit,
        "binarization": model.likelihood.binarization,
        "rows": n,
        "nll_nats": nll,
        "nll_standard_error": float(log_prob.std(ddof=1) / math.sqrt(n)) if n > 1 else None,
        "bits_per_dim": bits,
        **model.diagnose(x, context=arguments.get("context")),
    }
