"""How much of the data samples cover."""

from typing import Any

import numpy as np

from genzoo.core import checks
from genzoo.core.errors import InvalidInputError

_ROWS_AT_A_TIME = 1024
_ROUNDING = 1e-12


def density_and_coverage(real: Any, generated: Any, *, k: int = 5) -> tuple[float, float]:
    """Return how densely samples lie where the data do, and the share of the data they reach.

    Each real row has a ball to its k-th nearest real neighbour. Density: the number of balls that
    a sample lies in, over k, in the mean (1 in expectation for a perfect model; it can exceed 1);
    where rows are equally far, as of discrete data, a ball counts for k over the rows it holds.
    Coverage: the share of balls with a sample in them (1 - 2^-k in expectation for a perfect
    model with as many samples as rows, both many).

    Distances are of the values as they are: features in small units do not count beside large
    ones, and pixels tell blurs from sharp images badly. See `ValueFeatures` for tables and
    `ClassifierFeatures` for images.

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
    k = checks.check_int(k, "k")
    real, generated = _pair(real, generated)
    if len(real) <= k:
        raise InvalidInputError(
            f"Expected real of more than k = {k} rows. Received: {len(real)} rows"
        )
    radius, held = _balls(real, k)
    density, reached = 0.0, 0
    for rows, apart, slack in _squares_apart(real, generated):
        within = apart <= radius[rows, None] + slack
        density += float((within.sum(axis=1) / held[rows]).sum())
        reached += int(within.any(axis=1).sum())
    return density / len(generated), reached / len(real)


def precision_and_recall(real: Any, generated: Any, *, k: int = 3) -> tuple[float, float]:
    """Return the share of samples within the data's reach, and of data within the samples'.

    The reach of a set is the union of balls around its rows, each to its k-th nearest neighbour in
    the set. Precision is hurt by samples off the data, recall by data that no sample comes near.
    Both depend on the numbers of rows (more rows, smaller balls) and on outliers, whose balls
    are large: compare figures of equal numbers; see `density_and_coverage` for more robust ones
    and for what to compare rows by.

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
    radius, _ = _balls(centers, k)
    reached = sum(
        int((apart <= radius + slack).any(axis=1).sum())
        for _, apart, slack in _squares_apart(rows, centers)
    )
    return reached / len(rows)


def _balls(centers: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the squared distance of each centre to the k-th nearest other, and how many it holds.

    These are k, or more where some are equally far.
    """
    radius, held = np.zeros(len(centers)), np.zeros(len(centers))
    for rows, apart, slack in _squares_apart(centers, centers):
        # a centre is the nearest to itself
        radius[rows] = np.partition(apart, k, axis=1)[:, k]
        held[rows] = (apart <= radius[rows, None] + slack).sum(axis=1) - 1
    return radius, held


def _squares_apart(rows: np.ndarray, others: np.ndarray) -> Any:
    """Yield slices of rows, squared distances to the others [m, n], and the rounding of these.

    Without the last the distance between equal rows is sometimes above 0 and sometimes not.
    """
    squares = np.square(others).sum(axis=1)
    for start in range(0, len(rows), _ROWS_AT_A_TIME):
        part = slice(start, start + _ROWS_AT_A_TIME)
        both = np.square(rows[part]).sum(axis=1)[:, None] + squares
        yield part, np.maximum(both - 2.0 * rows[part] @ others.T, 0.0), _ROUNDING * both


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
