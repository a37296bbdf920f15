"""How much of the data samples cover."""

from typing import Any

import numpy as np

from genzoo.core import checks
from genzoo.core.errors import InvalidInputError


def density_and_coverage(real: Any, generated: Any, *, k: int = 5) -> tuple[float, float]:
    """Return how densely samples lie where the data do, and the share of the data they reach.

    Each real row has a ball to its k-th nearest real neighbour. Density: the number of balls that
    a sample lies in, over k, in the mean (1 in expectation for a perfect model; it can exceed 1).
    Coverage: the share of balls with a sample in them (1 - 2^-k in expectation for a perfect
    model with as many samples as rows, both many).

    Args:
        real: Rows [n, ...] of data or features, n above k.
        generated: Rows [m, ...] of samples.
        k: Neighbours.

    Raises:
        InvalidInputError: For rows of different shapes, or too few.

    Example:

    >>> points = np.random.default_rng(0).normal(size=(500, 2))
    >>> density, coverage = genzoo.metrics.density_and_coverage(points[:250], points[250:])
    >>> coverage > 0.9
    True

    Reference: Naeem et al., Reliable fidelity and diversity metrics for generative models, 2020.
    """
    from sklearn.neighbors import NearestNeighbors

    k = checks.check_int(k, "k")
    real, generated = _pair(real, generated)
    if len(real) <= k:
        raise InvalidInputError(
            f"Expected real of more than k = {k} rows. Received: {len(real)} rows"
        )
    radius = NearestNeighbors(n_neighbors=k + 1).fit(real).kneighbors(real)[0][:, k]
    inside, reached, squares = 0, np.zeros(len(real), bool), np.square(generated).sum(axis=1)
    for start in range(0, len(real), 1024):
        rows = slice(start, start + 1024)
        own = np.square(real[rows]).sum(axis=1)[:, None]
        apart = np.sqrt(np.maximum(own + squares - 2.0 * real[rows] @ generated.T, 0.0))
        within = apart <= radius[rows, None]
        inside += int(within.sum())
        reached[rows] = within.any(axis=1)
    return inside / (k * len(generated)), float(reached.mean())


def precision_and_recall(real: Any, generated: Any, *, k: int = 3) -> tuple[float, float]:
    """Return the share of samples within the data's reach, and of data within the samples'.

    The reach of a set is the union of balls around its rows, each to its k-th nearest neighbour in
    the set. Precision is hurt by samples off the data, recall by data that no sample comes near.
    Both depend on the numbers of rows (more rows, smaller balls) and on outliers, whose balls
    are large: compare figures of equal numbers; see `density_and_coverage` for more robust ones.

    Args:
        real: Rows [n, ...] of data or features, n above k.
        generated: Rows [m, ...] of samples, m above k.
        k: Neighbours.

    Raises:
        InvalidInputError: For rows of different shapes, or too few.

    Example:

    >>> points = np.random.default_rng(0).normal(size=(400, 2))
    >>> precision, recall = genzoo.metrics.precision_and_recall(points[:200], points[200:, :] / 3)
    >>> precision > 0.9, recall < 0.7
    (True, True)

    Reference: Kynkäänniemi et al., Improved precision and recall metric for assessing generative
    models, 2019.
    """
    k = checks.check_int(k, "k")
    real, generated = _pair(real, generated)
    if min(len(real), len(generated)) <= k:
        raise InvalidInputError(
            f"Expected more than k = {k} rows each. Received: {len(real)} and {len(generated)} rows"
        )
    return _share_reached(real, generated, k), _share_reached(generated, real, k)


def _share_reached(centers: np.ndarray, rows: np.ndarray, k: int) -> float:
    """Return the share of rows inside a ball around a centre to its k-th nearest centre."""
    from sklearn.metrics.pairwise import euclidean_distances
    from sklearn.neighbors import NearestNeighbors

    radius = NearestNeighbors(n_neighbors=k).fit(centers).kneighbors()[0][:, -1]
    reached = 0
    for start in range(0, len(rows), 1024):
        apart = euclidean_distances(rows[start : start + 1024], centers)
        reached += int((apart <= radius).any(axis=1).sum())
    return reached / len(rows)


def mode_coverage(samples: Any, modes: Any, radius: float) -> tuple[int, float]:
    """Return how many modes have a sample within `radius`, and the share of samples that have one.

    Args:
        samples: [n, d].
        modes: Their centres, [m, d].
        radius: For Gaussian modes commonly three standard deviations.

    Example:

    >>> genzoo.metrics.mode_coverage([[0.0], [0.1], [5.0]], modes=[[0.0], [1.0]], radius=0.5)
    (1, 0.6666666666666666)

    Reference: Lin et al., PacGAN: the power of two samples in generative adversarial networks,
    2018.
    """
    modes, samples = _pair(modes, samples, ("modes", "samples"))
    checks.check_number(radius, "radius", exclusive=True)
    apart = np.linalg.norm(samples[:, None] - modes[None], axis=2)  # [n, m]
    within = apart <= radius
    return int(within.any(axis=0).sum()), float(within.any(axis=1).mean())


def _pair(real: Any, generated: Any, names: tuple[str, str] = ("real", "generated")) -> Any:
    """Return both as rows [n, values], about the mean of the first: far off it, digits are lost."""
    shape = np.shape(real)[1:]
    first, second = (
        checks.check_array(rows, shape, name).astype(np.float64).reshape(len(rows), -1)
        for rows, name in zip((real, generated), names, strict=True)
    )
    center = first.mean(axis=0)
    return first - center, second - center
