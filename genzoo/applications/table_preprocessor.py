"""Tables of numbers, dates, categories and missing values as real vectors, with the Jacobian."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri
from scipy.stats import norm
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.preprocessing import PowerTransformer
from sklearn.utils.validation import check_is_fitted

from genzoo.applications.column_kinds import learn_column, read, to_array
from genzoo.core import checks
from genzoo.core.errors import InvalidInputError
from genzoo.core.maths.random import generator

_NUMERIC = ("standard", "robust", "power")
_EDGE = 1e-12
_DECIMALS = range(5)
# a column of so few numbers, with so many rows for each, holds no others
_MOST_POINTS = 20
_ROWS_A_POINT = 5


class TablePreprocessor(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """An invertible map of a table's rows to real vectors of the same width, for density models.

    Numbers are scaled; dates and durations are numbers of seconds. A category owns a stretch of
    the unit interval as long as its share of the rows (one that was never seen, the stretches of
    those seen once and that of one row); a point of the stretch is drawn and taken through the
    normal quantile function. A missing value draws from the whole interval. Then

        log p(row) >= E[log p(z) + log_det]

    over the draws: a density in the numbers, a mass in the categories, with what is missing
    integrated out. The pattern of what is missing is not modelled.

    Args:
        numeric: `"standard"` (mean 0, variance 1), `"robust"` (median 0, the quartiles of a
            standard normal; values that are mostly equal fall back to the standard deviation) or
            `"power"` (Yeo-Johnson, then standard).
        categorical_features: `"auto"` (text, unless all of it reads as dates; truths; what a frame
            declares as categories), or indices, names (of a frame's columns) or a mask; `None` for
            none.
        random_state: Int that fixes the draws.

    Attributes:
        kinds_: What each column was taken for: `"number"`, `"integer"`, `"category"`, `"date"` or
            `"duration"`, [D].
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
        """Learn what the columns hold, their scales and shares.

        Args:
            X: Rows [n, D]: an array, a list of rows, a frame of pandas or Polars, or a dict of
                columns by name.
            y: Ignored.

        Raises:
            InvalidInputError: For an unknown option or column, or a column without any value, of
                mixed kinds or with infinity.
        """
        self.fit_columns(read(self, X, reset=True), getattr(self, "feature_names_in_", None))
        return self

    def fit_columns(self, columns: list[Any], names: np.ndarray | None = None) -> None:
        """Fit to the columns [D] of a table that an estimator has read.

        Args:
            columns: Arrays [n], or columns of a frame.
            names: Of the columns, [D].
        """
        checks.check_choice(self.numeric, _NUMERIC, "numeric")
        self.n_features_in_ = len(columns)
        if names is not None:
            self.feature_names_in_ = names
        labels = range(len(columns)) if names is None else names
        chosen = self._find_categorical(len(columns))
        self.columns_ = [
            learn_column(values, f"column {name!r}", category)
            for values, name, category in zip(columns, labels, chosen, strict=True)
        ]
        self.kinds_ = [column.kind for column in self.columns_]
        self.categorical_ = np.array([kind == "category" for kind in self.kinds_], bool)
        self.fit_rows(self.encode(columns))

    def fit_rows(self, rows: np.ndarray) -> None:
        """Learn scales and shares anew, from rows as floats [n, D]."""
        self.scaling_ = Scaling(self.numeric, self.categorical_).fit(rows)

    def encode(self, columns: list[Any]) -> np.ndarray:
        """Return columns [D] as floats [n, D]: categories by number, NaN where missing."""
        parts = [
            column.encode(values) for column, values in zip(self.columns_, columns, strict=True)
        ]
        return np.stack(parts, axis=1)

    def decode(self, rows: np.ndarray) -> list[list[Any]]:
        """Return rows as floats [n, D] as columns of values, each of its kind."""
        return [column.decode(rows[:, j]) for j, column in enumerate(self.columns_)]

    @property
    def categories_(self) -> dict[int, list[Any]]:
        """Categories by the number of their column, the most frequent first."""
        return {j: c.names for j, c in enumerate(self.columns_) if c.kind == "category"}

    @property
    def center_(self) -> np.ndarray:
        """Of the numbers, [D]; 0 elsewhere."""
        return self.scaling_.center

    @property
    def scale_(self) -> np.ndarray:
        """Of the numbers, [D]; 1 elsewhere."""
        return self.scaling_.scale

    def transform(self, X: Any) -> np.ndarray:
        """Return real vectors [n, D], float64; each row has draws of its own."""
        check_is_fitted(self)
        return self.transform_rows(self.encode(read(self, X, reset=False)))

    def transform_rows(self, rows: np.ndarray) -> np.ndarray:
        """Return real vectors [n, D] of rows as floats, each with draws of its own."""
        return self.scaling_.transform(rows, self._uniform(len(rows)))[0]

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
        rows = self.encode(read(self, X, reset=False))
        return self.scaling_.transform(rows, self._uniform(1)[0] if uniform is None else uniform)

    def inverse_transform(self, z: Any) -> np.ndarray:
        """Return rows [n, D]: integers, floats, or objects of each column's kind.

        Args:
            z: Real vectors [n, D].
        """
        check_is_fitted(self)
        z = checks.check_array(z, (self.n_features_in_,), "z").astype(np.float64)
        return to_array(self.columns_, self.decode(self.scaling_.inverse(z)))

    def _uniform(self, n: int) -> np.ndarray:
        return generator(self.random_state).random((n, self.n_features_in_))

    def _find_categorical(self, width: int) -> list[bool | None]:
        """Return for each column whether it is a category; `None` where it is to be found out."""
        chosen = self.categorical_features
        if chosen is None:
            return [False] * width
        if isinstance(chosen, str):
            checks.check_choice(chosen, ("auto",), "categorical_features")
            return [None] * width
        chosen = list(chosen) if isinstance(chosen, Sequence) else np.asarray(chosen).tolist()
        if len(chosen) == width and all(isinstance(c, bool) for c in chosen):
            return chosen
        mask = [False] * width
        names = list(getattr(self, "feature_names_in_", []))
        for column in chosen:
            if isinstance(column, str) and column in names:
                mask[names.index(column)] = True
            elif not isinstance(column, str) and -width <= column < width:
                mask[int(column)] = True
            else:
                raise InvalidInputError(
                    f"Expected categorical_features of {width} columns by index, name or mask. "
                    f"Received: {column!r}"
                )
        return mask

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        return tags


class Scaling:
    """An invertible map of a table's rows, as floats, to real vectors; and what the rows can be.

    Args:
        numeric: As in `TablePreprocessor`.
        categorical: Mask of the columns whose floats number categories, [D].

    Attributes:
        center, scale: Of the numbers, [D]; 0 and 1 elsewhere.
        order: Numbers of the categories by column, the most frequent first.
        edges: Of their stretches of the unit interval, and of the stretch of all others.
        support: Of each column, [D].
    """

    def __init__(self, numeric: str, categorical: np.ndarray):
        self.numeric, self.categorical = numeric, categorical

    def fit(self, rows: np.ndarray) -> "Scaling":
        """Learn from rows [n, D]; a column may be missing throughout."""
        self.center, self.scale = np.zeros(rows.shape[1]), np.ones(rows.shape[1])
        self.support = [Support(column) for column in rows.T]
        self.order, self.edges = {}, {}
        for j in np.flatnonzero(self.categorical).tolist():
            self._fit_categories(rows[:, j], j)
        self.numbers = ~self.categorical & ~np.isnan(rows).all(axis=0)
        values = rows[:, self.numbers]
        center, scale = _center_and_scale(values, self.numeric)
        self.power = None
        if self.numeric == "power" and values.shape[1]:
            self.power = PowerTransformer(standardize=True).fit((values - center) / scale)
        self.center[self.numbers], self.scale[self.numbers] = center, scale
        return self

    def _fit_categories(self, column: np.ndarray, j: int) -> None:
        present = column[~np.isnan(column)]
        names, counts = np.unique(present, return_counts=True)
        # rare categories lie in the tail, the unknown at its end
        order = np.argsort(-counts, kind="stable")
        self.order[j] = names[order].astype(int)
        shares = np.append(counts[order], 1.0) / (len(present) + 1)
        self.edges[j] = np.append(0.0, np.cumsum(shares))
        self.edges[j][-1] = 1.0

    def _stretches(self, column: np.ndarray, j: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the ends of the stretches of a column of categories, [n]."""
        order, edges = self.order[j], self.edges[j]
        place = np.full(order.max(initial=0) + 2, len(order))
        place[order] = np.arange(len(order))
        code = place[np.clip(np.nan_to_num(column), 0, len(place) - 1).astype(int)]
        # an unknown one is of a kind with those that were seen once (Good and Turing)
        once = np.searchsorted(-np.diff(edges), -1.5 * (edges[-1] - edges[-2]))
        return np.where(code == len(order), edges[once], edges[code]), edges[code + 1]

    def transform(self, rows: np.ndarray, uniform: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return real vectors [n, D] and what to add to their log-density, [n].

        Args:
            rows: Floats [n, D], NaN where missing.
            uniform: As in `TablePreprocessor.transform_with_log_det`.
        """
        uniform = np.broadcast_to(np.clip(uniform, _EDGE, 1 - _EDGE), rows.shape)
        missing = np.isnan(rows)
        z = (rows - self.center) / self.scale
        slope = np.broadcast_to(-np.log(self.scale), rows.shape).copy()
        if self.power is not None:
            values, scaler = z[:, self.numbers], self.power._scaler.scale_
            log_slope = (self.power.lambdas_ - 1) * np.sign(values) * np.log1p(np.abs(values))
            slope[:, self.numbers] += log_slope - np.log(scaler)
            z[:, self.numbers] = self.power.transform(values)
        for j in self.order:
            low, high = self._stretches(rows[:, j], j)
            z[:, j] = ndtri(np.clip(low + uniform[:, j] * (high - low), _EDGE, 1 - _EDGE))
            slope[:, j] = np.log(high - low) - norm.logpdf(z[:, j])
        z = np.where(missing, ndtri(uniform), z)
        return z, np.where(missing, -norm.logpdf(z), slope).sum(axis=1)

    def inverse(self, z: np.ndarray) -> np.ndarray:
        """Return rows as floats [n, D]; NaN in columns that were missing throughout."""
        rows = z.copy()
        if self.power is not None:
            values = self.power.inverse_transform(z[:, self.numbers])
            # the power maps onto a part of the line, and beyond it there is no way back
            low, high = self._range()
            beyond = np.where(z[:, self.numbers] > 0, high, low)
            rows[:, self.numbers] = np.where(np.isnan(values), beyond, values)
        rows = rows * self.scale + self.center
        for j, order in self.order.items():
            place = np.searchsorted(self.edges[j], ndtr(z[:, j]), side="right") - 1
            place = np.clip(place, 0, len(order) - 1)
            rows[:, j] = order[place] if len(order) else np.nan
        rows[:, ~self.categorical & ~self.numbers] = np.nan
        return rows

    def _range(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the least and greatest numbers that were seen, centred and scaled."""
        ends = np.array([[s.low, s.high] for s in self.support]).T
        low, high = ((ends - self.center) / self.scale)[:, self.numbers]
        return low, high

    def is_random(self, rows: np.ndarray) -> bool:
        """Return whether categories, or values that these rows miss, make the map random."""
        return bool(self.order) or bool(np.isnan(rows).any())

    def within_support(self, rows: np.ndarray) -> np.ndarray:
        """Return rows as floats [n, D] with each number the nearest that its column can be."""
        rows = rows.copy()
        for j in np.flatnonzero(self.numbers):
            rows[:, j] = self.support[j].nearest(rows[:, j])
        return rows

    def distance_to_support(self, rows: np.ndarray) -> np.ndarray:
        """Return how far numbers are beyond the ends of their columns, in all, [n]."""
        low, high = self._range()
        z = ((rows - self.center) / self.scale)[:, self.numbers]
        return np.abs(z - np.clip(z, low, high)).sum(axis=1)


class Support:
    """The numbers that a column can be: between those seen, as whole or round, or these alone.

    Args:
        column: Floats [n], NaN where missing.
    """

    def __init__(self, column: np.ndarray):
        present = column[~np.isnan(column)]
        points = np.unique(present)
        self.low, self.high = (points[0], points[-1]) if len(points) else (np.nan, np.nan)
        self.decimals = next(
            (k for k in _DECIMALS if np.array_equal(np.round(points, k), points)), None
        )
        few = len(points) <= _MOST_POINTS and len(present) >= _ROWS_A_POINT * len(points)
        self.points = points if few else None

    def nearest(self, values: np.ndarray) -> np.ndarray:
        """Return the nearest possible numbers, [n]."""
        values = np.clip(values, self.low, self.high)
        if self.points is not None and len(self.points):
            between = (self.points[1:] + self.points[:-1]) / 2
            nearest = self.points[np.searchsorted(between, np.nan_to_num(values))]
            return np.where(np.isnan(values), values, nearest)
        return values if self.decimals is None else np.round(values, self.decimals)


def _center_and_scale(values: np.ndarray, numeric: str) -> tuple[np.ndarray, np.ndarray]:
    center, scale = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
    # a rounding error of equal values is no spread
    scale = np.where(scale > 1e-12 * np.maximum(np.abs(center), 1e-300), scale, 0.0)
    if numeric == "robust":
        low, center, high = np.nanpercentile(values, [25, 50, 75], axis=0)
        quartiles = (high - low) / (2 * norm.ppf(0.75))
        scale = np.where(quartiles > 0, quartiles, scale)
    return center, np.where(scale > 0, scale, 1.0)
