"""The density of samples by a window around each."""

from typing import Any

import numpy as np
from scipy.special import logsumexp

from genzoo.core import checks
from genzoo.core.errors import InvalidInputError

_ROWS_AT_A_TIME = 256


def parzen_log_prob(samples: Any, x: Any, *, bandwidth: float | None = None) -> np.ndarray:
    """Return the log-density at x of a mixture of equal normals, one at each sample, in nats.

    For models without a likelihood. The figure depends on the bandwidth and on the number of
    samples, falls far short of the truth in many dimensions, and can prefer worse models (Theis et
    al. 2016): compare only figures made alike, and none with a model's own `log_prob`.

    Args:
        samples: [m, *event_shape], drawn from the model.
        x: [n, *event_shape].
        bandwidth: Standard deviation of each normal; `None` for Scott's rule,
            m^(-1 / (d + 4)) times the mean standard deviation of the values.

    Returns:
        Array [n], float64.

    Raises:
        InvalidInputError: For shapes that do not match, or samples that are all equal.

    Example:

    >>> samples = np.random.default_rng(0).normal(size=(5000, 1))
    >>> log_prob = genzoo.metrics.parzen_log_prob(samples, np.zeros((1, 1)))
    >>> bool(abs(log_prob[0] - -0.919) < 0.1)
    True

    Reference: Parzen, On estimation of a probability density function and mode, 1962; Breuleux,
    Bengio and Vincent, Quickly generating representative samples from an RBM-derived process, 2011.
    """
    samples, x = (checks.check_array(a, np.shape(samples)[1:], n) for a, n in
                  ((samples, "samples"), (x, "x")))  # fmt: skip
    size = int(np.prod(samples.shape[1:]))
    samples = samples.reshape(-1, size).astype(np.float64)
    x = x.reshape(-1, size).astype(np.float64)
    # squares of values far off zero would lose the digits of the differences
    center = samples.mean(axis=0)
    samples, x = samples - center, x - center
    if bandwidth is None:
        bandwidth = samples.std(axis=0).mean() * len(samples) ** (-1.0 / (size + 4))
        if bandwidth == 0.0:
            raise InvalidInputError(
                "Expected samples that differ, or a bandwidth. "
                f"Received: {len(samples)} equal samples, bandwidth=None"
            )
    checks.check_number(bandwidth, "bandwidth", exclusive=True)
    squares = np.square(samples).sum(axis=1)
    parts = []
    for start in range(0, len(x), _ROWS_AT_A_TIME):
        rows = x[start : start + _ROWS_AT_A_TIME]
        apart = np.square(rows).sum(axis=1)[:, None] + squares - 2.0 * rows @ samples.T
        parts.append(logsumexp(-np.maximum(apart, 0.0) / (2 * bandwidth**2), axis=1))
    constant = np.log(len(samples)) + 0.5 * size * np.log(2 * np.pi * bandwidth**2)
    return np.concatenate(parts) - constant
