"""The columns of a table: what each holds, as floats and back."""

import dataclasses
import datetime
import numbers
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from genzoo.core.errors import InvalidInputError

KINDS = ("number", "integer", "category", "date", "duration")

_FAMILIES = (
    ("truth", (bool, np.bool_)),
    ("date", (datetime.date, np.datetime64)),
    # NumPy counts its durations among the integers
    ("duration", (datetime.timedelta, np.timedelta64)),
    ("integer", (numbers.Integral,)),
    ("number", (numbers.Real, Decimal)),
    ("text", (str,)),
    ("bytes", (bytes,)),
)
_ARRAY_FAMILIES = {
    "b": "truth", "M": "date", "m": "duration", "i": "integer", "u": "integer", "f": "number",
    "U": "text", "S": "bytes",
}  # fmt: skip
_EPOCH = datetime.datetime(1970, 1, 1)
_UTC = datetime.timezone.utc
_DAY = 86400.0
# a date or duration keeps the coarsest of these that all values of its column keep
_STEPS = (_DAY, 3600.0, 60.0, 1.0, 1e-3, 1e-6)
_ISO = re.compile(
    r"\d{4}-\d\d-\d\d"
    r"(?:(?P<separator>[T ])\d\d:\d\d(?P<second>:\d\d(?P<fraction>\.\d{1,9})?)?"
    r"(?P<zone>Z|[+-]\d\d:\d\d)?)?"
)
_WRITTEN = re.compile(r"(\d{1,4}[/.]\d{1,2}[/.]\d{1,4})( \d{1,2}:\d\d(:\d\d)?)?")
_DAYS = ("%m/%d/%Y", "%d/%m/%Y", "%Y/%m/%d", "%d.%m.%Y", "%Y.%m.%d")
_TIMES = ("", " %H:%M", " %H:%M:%S")


def is_missing(values: np.ndarray) -> np.ndarray:
    """Return where an array holds NaN, `None`, pandas's NA or NaT, or NumPy's text for these."""
    if values.dtype.kind == "f":
        return np.isnan(values)
    if values.dtype.kind in "Mm":
        return np.isnat(values)
    if values.dtype.kind == "U":
        return np.isin(values, ["nan", "None", ""])
    if values.dtype.kind != "O":
        return np.zeros(values.shape, bool)
    return np.frompyfunc(_is_missing_value, 1, 1)(values).astype(bool)


def _is_missing_value(value: Any) -> bool:
    try:
        return value is None or bool(value != value)
    except TypeError:
        # whether NA differs from itself is NA
        return True
    except ValueError:
        return False


def as_array(values: Any) -> np.ndarray:
    """Return a column [n] as an array: of NumPy's own type where it has one, else of objects."""
    if isinstance(values, np.ndarray):
        return values
    if isinstance(getattr(values, "dtype", None), np.dtype):
        return np.asarray(values)
    values = values.to_list() if hasattr(values, "to_list") else list(values)
    return np.fromiter(values, object, len(values))


def learn_column(values: Any, label: str, category: bool | None = None) -> "Column":
    """Return what a column holds.

    Text and truths are categories, and so is what pandas and Polars declare as categories.
    Text that reads as dates throughout is dates. In an array of text alone, as NumPy makes of
    rows with any text, text that reads as numbers is numbers.

    Args:
        values: A column [n]: of an array, or of pandas or Polars.
        label: How errors name it.
        category: Whether it is a category; `None` to find out.

    Raises:
        InvalidInputError: For a column without any value, or of what is not to be told apart.
        TypeError: For values that are neither numbers, nor text, nor times.
    """
    declared = str(getattr(values, "dtype", "")).startswith(("category", "Categorical", "Enum"))
    values = as_array(values)
    present = values[~is_missing(values)]
    if not len(present):
        raise InvalidInputError(
            f"Expected a value in each column. Received: {label} with none. Drop it."
        )
    families = _families(present, label)
    if category or (category is None and declared):
        return _learn_category(present, label)
    if families <= {"integer"}:
        return Column(label, "integer")
    if families <= {"number", "integer", "truth"} and (families != {"truth"} or category is False):
        return Column(label, "number")
    untyped = values.dtype.kind == "U" or category is False
    if families == {"text"} and untyped and _reads_as_numbers(present):
        return Column(label, "number")
    if families == {"duration"}:
        return Column(label, "duration").with_step(present)
    form = _date_form(present.tolist(), label) if families <= {"date", "text"} else None
    if form is not None:
        return Column(label, "date", form=form).with_step(present)
    if families & {"date", "duration"}:
        raise InvalidInputError(
            f"Expected values of one kind in a column. Received: {label} with "
            f"{' and '.join(sorted(families))}. Make them all dates, or all text."
        )
    if category is False:
        raise InvalidInputError(
            f"Expected numbers or dates in {label}. Received: {present[0]!r}. Let it be a "
            "category, by categorical_features='auto' of a TablePreprocessor."
        )
    return _learn_category(present, label)


def _learn_category(present: np.ndarray, label: str) -> "Column":
    counts: dict[Any, int] = {}
    for value in present.tolist():
        counts[value] = counts.get(value, 0) + 1
    names = sorted(counts, key=lambda value: (-counts[value], str(value)))
    return Column(label, "category", names=names)


def _families(present: np.ndarray, label: str) -> set[str]:
    if present.dtype.kind in _ARRAY_FAMILIES:
        return {_ARRAY_FAMILIES[present.dtype.kind]}
    families = set()
    for kind in set(map(type, present.tolist())):
        found = [name for name, types in _FAMILIES if issubclass(kind, types)]
        if not found:
            raise TypeError(
                "argument must be a string or a number (or a truth, date or duration), not "
                f"{kind.__name__}. Received: {label}. Convert it, or leave the column out."
            )
        families.add(found[0])
    return families


def _reads_as_numbers(values: np.ndarray) -> bool:
    try:
        np.asarray(values, np.float64)
    except (TypeError, ValueError):
        return False
    return True


@dataclasses.dataclass
class Column:
    """What a column holds: how its values become floats, and floats its values.

    Args:
        label: How errors name it.
        kind: One of `KINDS`. Dates are seconds since 1970 and durations seconds; a category is
            its place among `names`, and one past their end if it is none of them.
        names: Categories, the most frequent first.
        form: How a date is written.
        step: What dates and durations are multiples of, in seconds.
    """

    label: str
    kind: str
    names: list[Any] = dataclasses.field(default_factory=list)
    form: "DateForm | None" = None
    step: float = 1e-6

    def with_step(self, present: np.ndarray) -> "Column":
        """Return the column with the step of its values."""
        seconds = self.encode(present)
        kept = [step for step in _STEPS if np.all(np.abs(seconds / step % 1.0) < 1e-9)]
        self.step = kept[0] if kept else _STEPS[-1]
        return self

    def encode(self, values: Any) -> np.ndarray:
        """Return a column [n] as float64, NaN where it is missing.

        Raises:
            InvalidInputError: For values that the column cannot hold.
        """
        values = as_array(values)
        missing = is_missing(values)
        encoded = np.full(len(values), np.nan)
        present = values[~missing]
        if self.kind == "category":
            _families(present, self.label)
            # text where NumPy has made text of all columns
            place = {str(name): i for i, name in enumerate(self.names)}
            place |= {name: i for i, name in enumerate(self.names)}
            encoded[~missing] = [place.get(value, len(self.names)) for value in present.tolist()]
            return encoded
        try:
            encoded[~missing] = self._measure(present)
        except (TypeError, ValueError, OverflowError):
            wrong = next((v for v in present.tolist() if not self._fits(v)), present[0])
            raise InvalidInputError(
                f"Expected {self.kind}s in {self.label}. Received: {wrong!r}. Convert it, or give "
                "None where the value is missing."
            ) from None
        if np.isinf(encoded).any():
            raise InvalidInputError(
                f"Expected finite numbers in {self.label}. Received: infinity. Give NaN where the "
                "value is missing."
            )
        return encoded

    def _fits(self, value: Any) -> bool:
        try:
            self._measure(np.fromiter([value], object, 1))
        except (TypeError, ValueError, OverflowError):
            return False
        return True

    def _measure(self, present: np.ndarray) -> Any:
        family = _ARRAY_FAMILIES.get(present.dtype.kind, "object")
        if self.kind == "date":
            if family == "date":
                return present.astype("datetime64[us]").astype(np.int64) / 1e6
            return [self.form.seconds(value) for value in present.tolist()]
        if self.kind == "duration":
            if family == "duration":
                return present.astype("timedelta64[us]").astype(np.int64) / 1e6
            return [_as_duration(value).total_seconds() for value in present.tolist()]
        if family in ("date", "duration"):
            raise TypeError
        return np.asarray(present, np.float64)

    def decode(self, encoded: np.ndarray) -> list[Any]:
        """Return the values of floats [n]; `None` for an unknown category or a missing time."""
        if self.kind == "number":
            return encoded.tolist()
        missing = np.isnan(encoded)
        known = np.where(missing, 0.0, encoded)
        if self.kind == "category":
            names = [*self.names, None]
            values = [names[i] for i in np.clip(known, 0, len(self.names)).astype(int)]
        elif self.kind == "integer":
            values = [int(value) for value in np.round(known)]
        else:
            seconds = np.round(known / self.step) * self.step
            write = self.form.write if self.kind == "date" else _duration
            values = [write(value) for value in seconds.tolist()]
        absent = np.nan if self.kind == "integer" else None
        return [absent if gone else v for v, gone in zip(values, missing.tolist(), strict=True)]


def _duration(seconds: float) -> datetime.timedelta:
    return datetime.timedelta(seconds=seconds)


def _as_duration(value: Any) -> datetime.timedelta:
    if isinstance(value, np.timedelta64):
        return value.astype("timedelta64[us]").item()
    if not isinstance(value, datetime.timedelta):
        raise TypeError
    return value


@dataclasses.dataclass
class DateForm:
    """How a column's dates are written.

    Args:
        zone: Of times that have one.
        only_day: Whether they are days without a time.
        text: For text, a format of `strftime`, or `"iso"`; `None` for dates as objects.
        separator, timespec: Of ISO 8601's text, as in `datetime.isoformat`.
        zulu: Whether it says UTC by a Z.
    """

    zone: datetime.tzinfo | None = None
    only_day: bool = False
    text: str | None = None
    separator: str = " "
    timespec: str = "seconds"
    zulu: bool = False

    def seconds(self, value: Any) -> float:
        """Return the seconds since 1970 of a date in any form."""
        if isinstance(value, str):
            if self.text in (None, "iso"):
                value = _from_iso(value)
            else:
                value = datetime.datetime.strptime(value, self.text)
        elif isinstance(value, np.datetime64):
            value = value.astype("datetime64[us]").item()
        if not isinstance(value, datetime.date):
            raise TypeError
        if not isinstance(value, datetime.datetime):
            value = datetime.datetime(value.year, value.month, value.day)
        return value.timestamp() if value.tzinfo else (value - _EPOCH).total_seconds()

    def write(self, seconds: float) -> Any:
        """Return the date of seconds since 1970."""
        value = _EPOCH + datetime.timedelta(seconds=seconds)
        if self.zone is not None:
            value = value.replace(tzinfo=_UTC).astimezone(self.zone)
        if self.text not in (None, "iso"):
            return value.strftime(self.text)
        if self.only_day:
            return value.date() if self.text is None else value.date().isoformat()
        if self.text is None:
            return value
        text = value.isoformat(self.separator, self.timespec)
        return text.replace("+00:00", "Z") if self.zulu else text


def _date_form(values: list[Any], label: str) -> DateForm | None:
    """Return the form of dates, or of text that reads as dates throughout; else `None`.

    Raises:
        InvalidInputError: For text that reads as other dates where the month comes first.
    """
    texts = [value for value in values if isinstance(value, str)]
    if not texts:
        times = [value for value in values if isinstance(value, datetime.datetime)]
        zones = [value.tzinfo for value in times if value.tzinfo is not None]
        days = not times and not any(isinstance(value, np.datetime64) for value in values)
        return DateForm(zone=zones[0] if zones else None, only_day=days)
    matches = [_ISO.fullmatch(text) for text in texts]
    if all(matches):
        forms = [_iso_form(match) for match in matches]
    elif all(_WRITTEN.fullmatch(text) for text in texts):
        forms = [DateForm(text=day + time) for day in _DAYS for time in _TIMES]
    else:
        return None
    fullest = max(forms, key=lambda form: (not form.only_day, len(form.timespec)))
    fitting: list[tuple[DateForm, list[float]]] = []
    for form in forms if forms[0].text != "iso" else [fullest]:
        try:
            fitting.append((form, [form.seconds(value) for value in values]))
        except (TypeError, ValueError):
            continue
    if not fitting:
        return None
    form, seconds = fitting[0]
    for other, read in fitting[1:]:
        if read != seconds:
            i = next(i for i in range(len(read)) if read[i] != seconds[i])
            raise InvalidInputError(
                f"Expected dates that read in one way. Received: {label} with {values[i]!r}, which "
                f"may be {form.text} or {other.text}. Make them dates first, for example by "
                "pandas.to_datetime(column, dayfirst=True)."
            )
    return form


def _from_iso(text: str) -> datetime.datetime:
    match = _ISO.fullmatch(text)
    if match is None:
        raise ValueError
    fraction = match["fraction"] or ""
    # as Python 3.10 reads it: of six digits, and without a Z
    text = text.replace(fraction, fraction[:7].ljust(7, "0")) if fraction else text
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def _iso_form(match: re.Match) -> DateForm:
    separator, zone = match["separator"], match["zone"]
    timespec = "microseconds" if match["fraction"] else "seconds" if match["second"] else "minutes"
    return DateForm(
        zone=_from_iso(match[0]).tzinfo,
        only_day=separator is None,
        text="iso",
        separator=separator or " ",
        timespec=timespec,
        zulu=zone == "Z",
    )


# Whole tables


def is_frame(X: Any) -> bool:
    """Return whether X has named columns: a frame of pandas or Polars, or a dict of columns."""
    return is_dict(X) or (hasattr(X, "columns") and hasattr(X, "shape"))


def is_dict(X: Any) -> bool:
    """Return whether X is a dict of columns; SciPy has sparse arrays that are dicts, too."""
    return isinstance(X, dict) and not hasattr(X, "shape")


def num_rows(X: Any) -> int:
    """Return how many rows a table has."""
    if is_dict(X):
        return len(next(iter(X.values()), ()))
    return len(X) if hasattr(X, "__len__") else len(np.asarray(X))


def columns_of(X: Any) -> list[Any]:
    """Return the columns of a frame or of an array [n, D]."""
    if is_dict(X):
        return list(X.values())
    by_place = getattr(X, "iloc", X)
    return [by_place[:, j] for j in range(X.shape[1])]


def read(estimator: BaseEstimator, X: Any, reset: bool) -> list[Any]:
    """Return the columns of a table, and set or check an estimator's number and names of them.

    Args:
        estimator: Has `n_features_in_`, and `feature_names_in_` where the columns have names.
        X: An array [n, D], a list of rows, a frame, or a dict of columns by name.
        reset: Whether the estimator is being fitted.

    Raises:
        InvalidInputError, ValueError: For columns that are not those of `fit`, or no rows.
    """
    if is_dict(X):
        return _read_dict(estimator, X, reset)
    if is_frame(X):
        validate_data(estimator, X, reset=reset, skip_check_array=True)
        _check_rows(num_rows(X))
        return columns_of(X)
    if isinstance(X, (list, tuple)):
        # NumPy would make text of all where some is
        X = np.array(X, dtype=object)
    options = {"dtype": None, "ensure_all_finite": False, "accept_sparse": False}
    return columns_of(validate_data(estimator, X, reset=reset, **options))


def _read_dict(estimator: BaseEstimator, X: dict, reset: bool) -> list[Any]:
    if reset:
        estimator.n_features_in_ = len(X)
        estimator.feature_names_in_ = np.array(list(X), dtype=object)
    names = list(getattr(estimator, "feature_names_in_", X))
    if set(names) != set(X) or len(names) != estimator.n_features_in_:
        raise InvalidInputError(f"Expected the columns of fit, {names}. Received: {list(X)}")
    columns = [as_array(X[name]) for name in names]
    _check_rows(*map(len, columns))
    # the text of a column is its own, not what NumPy made of a table
    return [column.astype(object) if column.dtype.kind == "U" else column for column in columns]


def _check_rows(*lengths: int) -> None:
    if len(set(lengths)) != 1 or not lengths[0]:
        raise InvalidInputError(
            f"Expected columns of one length, at least 1. Received: {sorted(set(lengths))}"
        )


def to_array(columns: Sequence[Column], values: Sequence[Any]) -> np.ndarray:
    """Return columns of values as an array [n, D]: integers, floats, or objects of each kind."""
    kinds = {column.kind for column in columns}
    if kinds <= {"number", "integer"}:
        table = np.stack([np.asarray(part, np.float64) for part in values], axis=1)
        exact = kinds == {"integer"} and np.all(np.abs(table) < 2**53)
        return table.astype(np.int64) if exact else table
    table = np.empty((len(values[0]), len(values)), object)
    for j, (column, part) in enumerate(zip(columns, values, strict=True)):
        if isinstance(part, np.ndarray) and part.dtype.kind in "Mm":
            # NumPy would make whole numbers of them
            part = column.decode(column.encode(part))
        table[:, j] = np.fromiter(part, object, len(part)) if isinstance(part, list) else part
    return table


def like_frame(X: Any, values: Sequence[Any], index: Any = None) -> Any:
    """Return columns of values as a frame of the type of X, its columns of the types of X's."""
    if is_dict(X):
        return dict(zip(X, values, strict=True))
    if not hasattr(X, "iloc"):
        # Polars finds no types in arrays of objects
        values = [part.tolist() if hasattr(part, "tolist") else part for part in values]
        return type(X)(dict(zip(X.columns, values, strict=True)), schema=X.schema)
    parts = [
        _in_dtype(type(old)(new, index=index, dtype=object), old.dtype)
        for old, new in zip(columns_of(X), values, strict=True)
    ]
    return type(X)(dict(zip(X.columns, parts, strict=True)), index=index)


def _in_dtype(part: Any, dtype: Any) -> Any:
    try:
        return part.astype(dtype)
    except (TypeError, ValueError):
        # pandas takes text that is missing throughout for floats
        return part.infer_objects()


def append(X: Any, values: Sequence[list[Any]]) -> Any:
    """Return a frame with columns of values below its own."""
    added = like_frame(X, values)
    if is_dict(X):
        return {name: [*column, *added[name]] for name, column in X.items()}
    if hasattr(X, "vstack"):
        return X.vstack(added)
    import pandas

    return pandas.concat([X, added], ignore_index=True)
