"""Numbers in the forms that people have them in: arrays, masked arrays, frames of columns."""

from typing import Any

import numpy as np

from genzoo.core.errors import InvalidInputError

_MISSING = ("NAType", "NaTType", "NoneType")


def is_frame(x: Any) -> bool:
    """Return whether x is a table of named columns, of pandas or polars."""
    return hasattr(x, "columns") and hasattr(x, "to_numpy")


def frame_columns(frame: Any) -> list[tuple[Any, Any]]:
    """Return the name and the values of each column of a frame."""
    if hasattr(frame, "iloc"):
        return [(name, frame.iloc[:, i]) for i, name in enumerate(frame.columns)]
    return [(name, frame[name]) for name in frame.columns]


def as_array(x: Any, name: str = "x") -> np.ndarray:
    """Return numbers as a NumPy array, what is missing as NaN.

    Args:
        x: An array, or anything that NumPy makes one of; a masked array, whose masked values are
            missing; a frame of pandas or polars, read column by column: bool, nullable and decimal
            columns too.
        name: Of x, for messages.

    Raises:
        InvalidInputError: For what is no number, with the name of its column.
        ValueError: For rows of different lengths, as NumPy does.
    """
    if is_frame(x):
        columns = [_column(values, f"column {key!r} of {name}") for key, values in frame_columns(x)]
        return np.column_stack(columns) if columns else np.empty((len(x), 0))
    if isinstance(x, (list, tuple)) and any(isinstance(v, np.ma.MaskedArray) for v in x):
        x = np.ma.stack(x)
    array = np.asanyarray(x)
    if isinstance(array, np.ma.MaskedArray):
        return _fill_masked(array)
    if array.dtype.kind == "O" and array.ndim:
        return _numbers_of_objects(array, name)
    return array if isinstance(array, np.memmap) else as_native(array)


def as_native(array: np.ndarray) -> np.ndarray:
    """Return an array in types that TensorFlow reads: in this machine's order of bytes, which
    files of FITS and netCDF need not have, and of at most 64 bits."""
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        return array.astype(np.float64)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def refuse_masked(x: Any, name: str) -> None:
    """Refuse masked values where nothing may be missing."""
    if np.ma.is_masked(x):
        raise InvalidInputError(
            f"Expected {name} without missing values. Received: a masked array with "
            f"{np.ma.count_masked(x)} masked values. Drop them, or fill them with x.filled(...)."
        )


def _fill_masked(array: np.ma.MaskedArray) -> np.ndarray:
    if not np.ma.is_masked(array):
        return as_native(array.data)
    if array.dtype.kind in "biu":
        array = array.astype(np.float64)
    return as_native(array.filled(np.nan))


def _column(values: Any, name: str) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind in "Mm":
        raise InvalidInputError(
            f"Expected numbers. Received: {name} of dates or times, {array.dtype}. Turn it into a "
            "number first, for example of seconds: "
            "(column - column.min()) / numpy.timedelta64(1, 's')."
        )
    return _numbers_of_objects(array, name) if array.dtype.kind not in "bfiu" else array


def _numbers_of_objects(array: np.ndarray, name: str) -> np.ndarray:
    """Return Python's numbers and decimals as bool, int64 or float64; missing ones as NaN."""
    values, missing = array.ravel().tolist(), False
    for i, value in enumerate(values):
        if type(value).__name__ in _MISSING:
            values[i], missing = np.nan, True
        elif isinstance(value, (str, bytes)) or not hasattr(type(value), "__float__"):
            raise InvalidInputError(
                f"Expected {name} to hold numbers (float, integer or bool). Received: {value!r} "
                f"({type(value).__name__}). Encode text and categories as numbers first, for "
                "example with sklearn.preprocessing.OrdinalEncoder."
            )
    kinds = {np.asarray(value).dtype.kind for value in values}
    if kinds <= set("b"):
        kind: Any = bool
    else:
        kind = np.int64 if kinds <= set("biu") and not missing else np.float64
    return np.array([kind(value) for value in values], kind).reshape(array.shape)
