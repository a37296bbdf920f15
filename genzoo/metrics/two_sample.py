"""The classifier two-sample test."""

from typing import Any

import numpy as np
from scipy.stats import norm
from sklearn.base import ClassifierMixin, clone
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from genzoo.core import checks
from genzoo.core.errors import InvalidInputError


def classifier_two_sample_test(
    first: Any,
    second: Any,
    *,
    classifier: ClassifierMixin | None = None,
    seed: int = 0,
) -> tuple[float, float]:
    """Return how well a classifier tells two sets apart on held-out rows, and the p-value.

    It learns on a random half and is tested on the other. For equal distributions the accuracy is
    1/2 in expectation, with variance 1 / (4 n) over n test rows, which gives the one-sided
    p-value. With few rows, or a classifier too weak, different distributions pass too: a
    high p-value is no proof of equality.

    Args:
        first, second: Rows [n, ...] and [m, ...]; of the larger set as many as the smaller has are
            drawn.
        classifier: scikit-learn's; `None` for nearest neighbours (their number the square root of
            the training rows, as in the paper) on standardised values.
        seed: Fixes the halves.

    Example:

    >>> random = np.random.default_rng(0)
    >>> x, y = random.normal(size=(400, 2)), random.normal(size=(400, 2))
    >>> accuracy, p_value = genzoo.metrics.classifier_two_sample_test(x, y + 1.0)
    >>> accuracy > 0.6, p_value < 0.01
    (True, True)

    Reference: Lopez-Paz and Oquab, Revisiting classifier two-sample tests, 2017.
    """
    first, second = (
        checks.check_array(rows, np.shape(rows)[1:], name)
        for rows, name in ((first, "first"), (second, "second"))
    )
    n = min(len(first), len(second))
    if first.shape[1:] != second.shape[1:] or n < 4:
        raise InvalidInputError(
            "Expected at least 4 rows each, of as many values. "
            f"Received: shapes {first.shape} and {second.shape}"
        )
    random = np.random.default_rng(checks.check_seed(seed))
    parts = [rows.reshape(len(rows), -1)[random.permutation(len(rows))[:n]] for rows in
             (first, second)]  # fmt: skip
    half = n // 2
    x_train = np.concatenate([part[:half] for part in parts])
    x_test = np.concatenate([part[half:] for part in parts])
    y_train, y_test = np.repeat([0, 1], half), np.repeat([0, 1], n - half)
    if classifier is None:
        neighbors = KNeighborsClassifier(max(int(np.sqrt(len(x_train))), 1))
        classifier = make_pipeline(StandardScaler(), neighbors)
    accuracy = float(clone(classifier).fit(x_train, y_train).score(x_test, y_test))
    p_value = norm.sf(accuracy, loc=0.5, scale=np.sqrt(0.25 / len(x_test)))
    return accuracy, float(p_value)
