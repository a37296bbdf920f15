"""Tables of numbers, categories and missing values as real vectors, with the Jacobian."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri
from scipy.stats import norm
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.preprocessing import PowerTransformer
from sklearn.utils.validation import check_is_fitted, validate_data

from genzoo.core import checks
from genzoo.core.errors import InvalidInputError

_NUMERIC = ("standard", "robust", "power")
_EDGE = 1e-12


class TablePreprocessor(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """An invertible map of a table's rows to real vectors of the same width, for density models.

    Numbers are scaled. A category owns a stretch of the unit interval as long as its share of the
    rows (one that was never seen, a stretch of one row); a point of the stretch is drawn and taken
    through the normal quantile function. A missing value draws from the whole interval. Then

        log p(row) >= E[log p(z) + log_det]

    over the draws: a density in the numbers, a mass in the categories, with what is missing
    integrated out. The pattern of what is missing is not modelled.

    Args:
        numeric: `"standard"` (mean 0, variance 1), `"robust"` (median 0, the quartiles of a
            standard normal; values that are mostly equal fall back to the standard deviation) or
            `"power"` (Yeo-Johnson, then standard).
        categorical_features: `"auto"` (columns with values that are not numbers), or indices,
            names (of a data frame's columns) or a mask; `None` for none.
        random_state: Int that fixes the draws.

    Attributes:
        categorical_: Mask of the categorical columns, [D].
        categories_: Their categories by column index, the most frequent first.
        center_, scale_: Of the numbers, [D]; 0 and 1 elsewhere.
        n_features_in_, feature_names_in_: As in scikit-learn.

    Example:

    >>> rows = np.array([[1.5, "red"], [2.5, "blue"], [None, "red"]], dtype=object)
    >>> table = genzoo.applications.TablePreprocessor().fit(rows)
    >>> z = table.transform(rows)
    >>> z.shape, table.inverse_transform(z[:2]).tolist()
    ((3, 2), [[1.5, 'red'], [2.5, 'blue']])

    Reference: Yeo and Johnson, A new family of power transformations to improve normality or
    symmetry, 2000; Theis, van den Oord and Bethge, A note on the evaluation of generative models,
    2016 (dequantisation).
    """

    def __init__(
        self,
        numeric: str = "standard",
        categorical_features: Any = "auto",
        random_state: int | None = 0,
    ):
        self.numeric = numeric
        self.categorical_features = categorical_features
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> "TablePreprocessor":
        """Learn scales and shares.

        Args:
            X: Rows [n, D]: numbers, text, `None` and NaN; an array or a data frame.
            y: Ignored.

        Raises:
            InvalidInputError: For an unknown option or column, or a column without any value.
        """
        checks.check_choice(self.numeric, _NUMERIC, "numeric")
        X = self._validate(X, reset=True)
        self.categorical_ = self._find_categorical(X)
        self.categories_, self.edges_ = {}, {}
        for j in np.flatnonzero(self.categorical_):
            self._fit_categories(X[:, j], int(j))
        numbers = ~self.categorical_
        values = _as_numbers(X[:, numbers])
        if np.isnan(values).all(axis=0).any():
            column = np.flatnonzero(numbers)[np.isnan(values).all(axis=0)][0]
            raise InvalidInputError(
                f"Expected a value in each column. Received: column {column} with none. Drop it."
            )
        self.center_, self.scale_ = np.zeros(X.shape[1]), np.ones(X.shape[1])
        center, scale = _center_and_scale(values, self.numeric)
        self.power_ = None
        if self.numeric == "power" and values.shape[1]:
            scaled = (values - center) / scale
            self.power_ = PowerTransformer(standardize=True).fit(scaled)
        self.center_[numbers], self.scale_[numbers] = center, scale
        return self

    def _fit_categories(self, column: np.ndarray, j: int) -> None:
        present = column[~is_missing(column)]
        if not len(present):
            raise InvalidInputError(
                f"Expected a value in each column. Received: column {j} with none. Drop it."
            )
        counts: dict[Any, int] = {}
        for value in present.tolist():
            if not isinstance(value, (str, bytes, int, float, bool)):
                raise TypeError(
                    f"argument must be a string or a number, not {value!r} in column {j}"
                )
            counts[value] = counts.get(value, 0) + 1
        # rare categories lie in the tail, the unknown at its end
        names = sorted(counts, key=lambda value: (-counts[value], str(value)))
        shares = np.array([counts[name] for name in names] + [1.0]) / (len(present) + 1)
        self.categories_[j] = names
        self.edges_[j] = np.concatenate([[0.0], np.cumsum(shares)])
        self.edges_[j][-1] = 1.0

    def transform(self, X: Any) -> np.ndarray:
        """Return real vectors [n, D], float64; each row has draws of its own."""
        check_is_fitted(self)
        X = self._validate(X, reset=False)
        return self._transform(X, self._uniform(len(X)))[0]

    def transform_with_log_det(
        self, X: Any, *, uniform: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return real vectors [n, D] and what to add to their log-density, [n], in nats.

        Args:
            X: Rows [n, D].
            uniform: Where in its stretch each category or missing value is put, on (0, 1), [n, D]
                or [D] for all rows alike; `None` for draws of `random_state` alike for all rows.
        """
        check_is_fitted(self)
        X = self._validate(X, reset=False)
        return self._transform(X, self._uniform(1)[0] if uniform is None else uniform)

    def _transform(self, X: np.ndarray, uniform: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        uniform = np.broadcast_to(np.clip(uniform, _EDGE, 1 - _EDGE), X.shape)
        missing = is_missing(X)
        z, log_det = np.zeros(X.shape), np.zeros(len(X))
        numbers = ~self.categorical_
        values = (_as_numbers(X[:, numbers]) - self.center_[numbers]) / self.scale_[numbers]
        slope = np.broadcast_to(-np.log(self.scale_[numbers]), values.shape)
        if self.power_ is not None:
            lambdas, scaler = self.power_.lambdas_, self.power_._scaler.scale_
            slope = slope + (lambdas - 1) * np.sign(values) * np.log1p(np.abs(values))
            slope = slope - np.log(scaler)
            values = self.power_.transform(values)
        z[:, numbers] = values
        log_det += np.where(missing[:, numbers], 0.0, slope).sum(axis=1)
        for j, names in self.categories_.items():
            index = {name: i for i, name in enumerate(names)}
            code = np.array([index.get(value, len(names)) for value in X[:, j].tolist()])
            low, high = self.edges_[j][code], self.edges_[j][code + 1]
            z[:, j] = ndtri(np.clip(low + uniform[:, j] * (high - low), _EDGE, 1 - _EDGE))
            mass = np.log(high - low) - norm.logpdf(z[:, j])
            log_det += np.where(missing[:, j], 0.0, mass)
        z[missing] = ndtri(uniform[missing])
        log_det -= np.where(missing, norm.logpdf(z), 0.0).sum(axis=1)
        return z, log_det

    def inverse_transform(self, z: Any) -> np.ndarray:
        """Return rows [n, D]: floats, or objects where there are categories.

        Args:
            z: Real vectors [n, D].
        """
        check_is_fitted(self)
        z = checks.check_array(z, (self.n_features_in_,), "z").astype(np.float64)
        numbers = ~self.categorical_
        values = z[:, numbers]
        if self.power_ is not None:
            # beyond the range of the power there is no way back
            values = np.nan_to_num(self.power_.inverse_transform(values), nan=0.0)
        values = values * self.scale_[numbers] + self.center_[numbers]
        if not self.categories_:
            return values
        rows = np.empty(z.shape, object)
        rows[:, numbers] = values
        for j, names in self.categories_.items():
            code = np.searchsorted(self.edges_[j], ndtr(z[:, j]), side="right") - 1
            code = np.clip(code, 0, len(names) - 1)
            rows[:, j] = np.array([*names, None], object)[code]
        return rows

    def is_random(self, X: Any) -> bool:
        """Return whether categories, or values that these rows miss, make the map random."""
        return bool(self.categories_) or bool(is_missing(np.asarray(X)).any())

    def _uniform(self, n: int) -> np.ndarray:
        return np.random.default_rng(self.random_state).random((n, self.n_features_in_))

    def _validate(self, X: Any, reset: bool) -> np.ndarray:
        X = validate_data(
            self,
            _with_plain_numbers(X),
            reset=reset,
            dtype=None,
            ensure_all_finite="allow-nan",
            accept_sparse=False,
        )
        return X if X.dtype.kind in "Of" else X.astype(object if X.dtype.kind in "US" else float)

    def _find_categorical(self, X: np.ndarray) -> np.ndarray:
        mask = np.zeros(X.shape[1], bool)
        chosen = self.categorical_features
        if chosen is None:
            return mask
        if isinstance(chosen, str):
            checks.check_choice(chosen, ("auto",), "categorical_features")
            return np.array([not _all_numbers(X[:, j]) for j in range(X.shape[1])], bool)
        chosen = list(chosen) if isinstance(chosen, Sequence) else np.asarray(chosen).tolist()
        if len(chosen) == len(mask) and all(isinstance(c, bool) for c in chosen):
            return np.array(chosen, bool)
        names = list(getattr(self, "feature_names_in_", []))
        for column in chosen:
            if isinstance(column, str) and column in names:
                mask[names.index(column)] = True
            elif not isinstance(column, str) and -len(mask) <= column < len(mask):
                mask[int(column)] = True
            else:
                raise InvalidInputError(
                    f"Expected categorical_features of {len(mask)} columns by index, name or mask. "
                    f"Received: {column!r}"
                )
        return mask

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        return tags


def _with_plain_numbers(X: Any) -> Any:
    """Return a data frame with floats for truths and pandas's nullable numbers; else X as it is.

    Where it finds these, scikit-learn casts all columns to floats, categories too.
    """
    columns = getattr(getattr(X, "dtypes", None), "items", dict)()
    special = [
        name
        for name, dtype in columns
        if dtype.kind == "b" or (dtype.kind in "iuf" and hasattr(dtype, "numpy_dtype"))
    ]
    return X.astype(dict.fromkeys(special, "float64")) if special else X


def is_missing(values: np.ndarray) -> np.ndarray:
    """Return where an array holds NaN or `None`."""
    if values.dtype.kind == "f":
        return np.isnan(values)
    return np.frompyfunc(lambda v: v is None or v != v, 1, 1)(values).astype(bool)


def _all_numbers(column: np.ndarray) -> bool:
    try:
        _as_numbers(column)
    except (TypeError, ValueError):
        return False
    return True


def _as_numbers(values: np.ndarray) -> np.ndarray:
    """Return floats, missing ones as NaN."""
    return np.asarray(values, np.float64)


def _center_and_scale(values: np.ndarray, numeric: str) -> tuple[np.ndarray, np.ndarray]:
    center, scale = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
    # a rounding error of equal values is no spread
    scale = np.where(scale > 1e-12 * np.maximum(np.abs(center), 1e-300), scale, 0.0)
    if numeric == "robust":
        low, center, high = np.nanpercentile(values, [25, 50, 75], axis=0)
        quartiles = (high - low) / (2 * norm.ppf(0.75))
        scale = np.where(quartiles > 0, quartiles, scale)
    return center, np.where(scale > 0, scale, 1.0)
