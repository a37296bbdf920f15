"""Distances between sets of features by kernels: the maximum mean discrepancy."""

from typing import Any

import numpy as np
from sklearn.metrics.pairwise import euclidean_distances

from genzoo.core import checks
from genzoo.core.errors import InvalidInputError

_MEDIAN_ROWS = 1_000


def maximum_mean_discrepancy(
    first: Any, second: Any, *, bandwidth: float | None = None, seed: int = 0
) -> float:
    """Return the squared maximum mean discrepancy (MMD) with a Gaussian kernel, without bias.

    E k(x, x') + E k(y, y') - 2 E k(x, y), pairs of a row with itself left out, for
    k(x, y) = exp(-|x - y|^2 / (2 bandwidth^2)): 0 in expectation for equal distributions, and
    negative about every second time then. Distances are of the values as they are, see
    `ValueFeatures` for tables in several units. Time and memory grow with the product of the
    numbers of rows.

    Args:
        first, second: Rows [n, ...] and [m, ...], at least 2 each.
        bandwidth: `None` for the median distance among up to 1,000 rows of both.
        seed: Fixes those rows.

    Example:

    >>> random = np.random.default_rng(0)
    >>> x, y = random.normal(size=(200, 2)), random.normal(size=(200, 2))
    >>> mmd = genzoo.metrics.maximum_mean_discrepancy
    >>> abs(mmd(x, y)) < 0.02, mmd(x, y + 1) > 0.1
    (True, True)

    Reference: Gretton et al., A kernel two-sample test, 2012.
    """
    first, second = _pair(first, second)
    # the kernel sees differences alone, which lose digits far off zero
    center = first.mean(axis=0)
    first, second = first - center, second - center
    if bandwidth is None:
        rows = np.concatenate([first, second])
        if len(rows) > _MEDIAN_ROWS:
            random = np.random.default_rng(checks.check_seed(seed))
            rows = rows[random.permutation(len(rows))[:_MEDIAN_ROWS]]
        apart = euclidean_distances(rows)[np.triu_indices(len(rows), k=1)]
        bandwidth = float(np.median(apart)) or float(apart.max())
        if bandwidth == 0.0:
            raise InvalidInputError(
                "Expected rows that differ, or a bandwidth. Received: equal rows, bandwidth=None"
            )
    checks.check_number(bandwidth, "bandwidth", exclusive=True)

    def kernel(x, y):
        return np.exp(-euclidean_distances(x, y, squared=True) / (2 * bandwidth**2))

    return _unbiased(kernel, first, second)


def kernel_distance(
    first: Any,
    second: Any,
    *,
    subset_size: int = 1000,
    num_subsets: int = 100,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the kernel (Inception) distance of features, and its standard deviation over subsets.

    The unbiased squared MMD with the kernel (x . y / d + 1)^3, the mean over random subsets. Unlike
    the Fréchet distance it has no bias from few rows: with fewer than `subset_size`, subsets are
    as large as the smaller set.

    Args:
        first, second: Features [n, d] and [m, d], at least 2 rows each.
        subset_size: Rows of each set in a subset.
        num_subsets: Number of subsets.
        seed: Fixes the subsets.

    Example:

    >>> random = np.random.default_rng(0)
    >>> x, y = random.normal(size=(300, 5)), random.normal(size=(300, 5))
    >>> distance, _ = genzoo.metrics.kernel_distance(x, y, subset_size=100)
    >>> abs(distance) < 0.05
    True

    Reference: Bińkowski et al., Demystifying MMD GANs, 2018.
    """
    first, second = _pair(first, second)
    checks.check_int(num_subsets, "num_subsets")
    size = min(checks.check_int(subset_size, "subset_size", minimum=2), len(first), len(second))
    random = np.random.default_rng(checks.check_seed(seed))

    def kernel(x, y):
        return (x @ y.T / x.shape[1] + 1.0) ** 3

    distances = [
        _unbiased(
            kernel,
            first[random.choice(len(first), size, replace=False)],
            second[random.choice(len(second), size, replace=False)],
        )
        for _ in range(num_subsets)
    ]
    return float(np.mean(distances)), float(np.std(distances))


def _unbiased(kernel, first, second) -> float:
    n, m = len(first), len(second)
    within = kernel(first, first), kernel(second, second)
    own = (within[0].sum() - np.trace(within[0])) / (n * (n - 1))
    other = (within[1].sum() - np.trace(within[1])) / (m * (m - 1))
    return float(own + other - 2.0 * kernel(first, second).mean())


def _pair(first: Any, second: Any) -> tuple[np.ndarray, np.ndarray]:
    first, second = (
        checks.check_array(rows, np.shape(rows)[1:], name).astype(np.float64)
        for rows, name in ((first, "first"), (second, "second"))
    )
    if first.shape[1:] != second.shape[1:] or min(len(first), len(second)) < 2:
        raise InvalidInputError(
            "Expected at least 2 rows each, of as many values. "
            f"Received: shapes {first.shape} and {second.shape}"
        )
    return first.reshape(len(first), -1), second.reshape(len(second), -1)
