"""The Fréchet distance between sets of features."""

from typing import Any

import numpy as np

from genzoo.core import checks
from genzoo.core.errors import InvalidInputError
from genzoo.metrics.moments import Moments


def frechet_distance(first: Any, second: Any) -> float:
    """Return the Fréchet distance of the normals fitted to two sets of features.

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), in float64. Distances of different features do not
    compare, nor do those of different numbers of rows: few rows make the distance too large, by
    about a constant over their number, which depends on the model too;
    `extrapolated_frechet_distance` takes that off.

    Args:
        first, second: Features [n, d] and [m, d], at least 2 rows each, or `Moments` of them.

    Raises:
        InvalidInputError: For features of different widths.

    Example:

    >>> points = np.random.default_rng(0).normal(size=(500, 3))
    >>> round(genzoo.metrics.frechet_distance(points, points + [3.0, 0.0, 0.0]), 6)
    9.0

    Reference: Heusel et al., GANs trained by a two time-scale update rule converge to a local Nash
    equilibrium, 2017.
    """
    first, second = (_moments(part) for part in (first, second))
    if len(first.mean) != len(second.mean):
        raise InvalidInputError(
            "Expected features [n, d] and [m, d]. "
            f"Received: {len(first.mean)} and {len(second.mean)} features"
        )
    covariances = first.covariance, second.covariance
    values, vectors = np.linalg.eigh(covariances[0])
    root = vectors * np.sqrt(np.maximum(values, 0.0)) @ vectors.T
    # the eigenvalues of C1 C2 are those of the symmetric C1^(1/2) C2 C1^(1/2)
    cross = np.linalg.eigvalsh(root @ covariances[1] @ root)
    distance = np.sum((first.mean - second.mean) ** 2) + np.trace(covariances[0] + covariances[1])
    return float(max(distance - 2.0 * np.sqrt(np.maximum(cross, 0.0)).sum(), 0.0))


def extrapolated_frechet_distance(
    real: Any, generated: Any, *, num_points: int = 15, seed: int = 0
) -> float:
    """Return the Fréchet distance that endless samples would have.

    The distance of N samples is too large by about c / N. A line in 1 / N is fitted to the
    distances of parts of the samples, of a tenth of them up to all; its end at 1 / N = 0 is
    returned. It can be slightly negative for a perfect model. The bias from few rows of real data,
    the same for all models, remains.

    Args:
        real: Features [n, d], or `Moments` of them.
        generated: Features of samples [m, d], m at least 20 and better above 10 d.
        num_points: Parts to fit.
        seed: Fixes the parts.

    Example:

    >>> random = np.random.default_rng(0)
    >>> real, generated = random.normal(size=(20000, 10)), random.normal(size=(500, 10))
    >>> genzoo.metrics.frechet_distance(real, generated) > 0.05
    True
    >>> abs(genzoo.metrics.extrapolated_frechet_distance(real, generated)) < 0.05
    True

    Reference: Chong and Forsyth, Effectively unbiased FID and Inception score and where to find
    them, 2020.
    """
    checks.check_int(num_points, "num_points", minimum=2)
    generated = np.asarray(generated, np.float64)
    if generated.ndim != 2 or len(generated) < 20:
        raise InvalidInputError(
            f"Expected features of at least 20 samples, [m, d]. Received: shape {generated.shape}"
        )
    random = np.random.default_rng(checks.check_seed(seed))
    real = _moments(real)
    sizes = np.linspace(max(len(generated) // 10, 2), len(generated), num_points).astype(int)
    distances = [
        frechet_distance(real, generated[random.permutation(len(generated))[:size]])
        for size in sizes
    ]
    _, intercept = np.polyfit(1.0 / sizes, distances, deg=1)
    return float(intercept)


def _moments(features: Any) -> Moments:
    if isinstance(features, Moments):
        moments = features
    else:
        features = np.asarray(features, np.float64)
        if features.ndim != 2:
            raise InvalidInputError(
                f"Expected features [n, d] and [m, d]. Received: shape {features.shape}"
            )
        moments = Moments()
        moments.update(features)
    if moments.count < 2:
        raise InvalidInputError(
            f"Expected at least 2 rows of features each. Received: {moments.count} rows"
        )
    return moments
