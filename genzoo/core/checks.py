"""Checks of what comes from outside, in one place. Each names the argument."""

import difflib
from collections.abc import Iterable
from typing import Any

import numpy as np

from genzoo.core.errors import InvalidInputError, UnknownNameError
from genzoo.core.inputs.numbers import as_array, refuse_masked

_ROWS_AT_A_TIME = 65_536


def nearest(name: str, valid: Iterable[str]) -> str:
    """Return a sentence with the closest valid names, or all of them when none is close."""
    valid = sorted(valid)
    close = difflib.get_close_matches(name.lower(), valid, n=3, cutoff=0.5)
    if close:
        return f"Did you mean {' or '.join(repr(c) for c in close)}? "
    return f"Valid names: {', '.join(valid)}. "


def check_name(name: Any, valid: Iterable[str], kind: str) -> str:
    """Return `name` if it is one of `valid`; `kind` is what the name stands for."""
    valid = list(valid)
    if isinstance(name, str) and name in valid:
        return name
    raise UnknownNameError(f"Unknown {kind}. {nearest(str(name), valid)}Received: {kind}={name!r}")


def check_choice(value: Any, choices: Iterable[Any], name: str) -> Any:
    """Return `value` if it is one of `choices`."""
    choices = list(choices)
    # arrays have no one truth when compared
    if not isinstance(value, (str, bool, int, type(None))) or value not in choices:
        shown = ", ".join(repr(c) for c in choices)
        raise InvalidInputError(f"Expected {name} to be one of {shown}. Received: {name}={value!r}")
    return value


def check_int(value: Any, name: str, minimum: int = 1) -> int:
    """Return `value` as an `int` of at least `minimum`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < minimum:
        raise InvalidInputError(
            f"Expected {name} to be an integer of at least {minimum}. Received: {name}={value!r}"
        )
    return int(value)


def check_number(value: Any, name: str, minimum: float = 0.0, *, exclusive: bool = False) -> float:
    """Return `value` as a finite `float` not below (or, `exclusive`, above) `minimum`."""
    number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if not number or not np.isfinite(value) or value < minimum or (exclusive and value == minimum):
        bound = f"above {minimum}" if exclusive else f"of at least {minimum}"
        raise InvalidInputError(
            f"Expected {name} to be a finite number {bound}. Received: {name}={value!r}"
        )
    return float(value)


def check_share(value: Any, name: str) -> float:
    """Return `value` as a float between 0 and 1, ends excluded."""
    if not 0.0 < check_number(value, name) < 1.0:
        raise InvalidInputError(f"Expected {name} between 0 and 1. Received: {name}={value!r}")
    return float(value)


def check_part(value: Any, name: str) -> float:
    """Return a number of at least 0 and below 1."""
    if check_number(value, name) >= 1.0:
        raise InvalidInputError(
            f"Expected {name} to be at least 0 and below 1. Received: {name}={value!r}"
        )
    return float(value)


def check_seed(seed: Any) -> int:
    """Return `seed` as an `int` below 2**62."""
    seed = check_int(seed, "seed", minimum=0)
    if seed >= 2**62:
        raise InvalidInputError(f"Expected seed below 2**62. Received: seed={seed!r}")
    return seed


def check_shape(shape: Any, name: str) -> tuple[int, ...]:
    """Return `shape` as a tuple of positive ints; one int is a vector's length."""
    if isinstance(shape, (int, np.integer)) and not isinstance(shape, bool):
        shape = (shape,)
    try:
        if isinstance(shape, (str, bytes)):
            raise TypeError
        return tuple(check_int(n, name) for n in shape) or check_int(0, name)
    except (TypeError, InvalidInputError):
        raise InvalidInputError(
            f"Expected {name} to be a tuple of positive integers such as (43,) or (28, 28, 1). "
            f"Received: {name}={shape!r}"
        ) from None


def check_numbers(value: Any, name: str) -> np.ndarray:
    """Return numbers as a float64 array of any shape."""
    refuse_masked(value, name)
    try:
        return np.asarray(value, np.float64)
    except (TypeError, ValueError):
        raise InvalidInputError(f"Expected {name} of numbers. Received: {name}={value!r}") from None


def check_units(units: Any, name: str = "hidden_units") -> tuple[int, ...]:
    """Return layer widths as a tuple; an empty one is a linear network."""
    if isinstance(units, (int, np.integer)):
        units = (units,)
    if not isinstance(units, Iterable) or isinstance(units, str):
        raise InvalidInputError(
            f"Expected {name} to be a tuple of layer widths such as (128, 128). "
            f"Received: {name}={units!r}"
        )
    return tuple(check_int(n, name) for n in units)


def check_finite(x: np.ndarray, name: str, *, missing: bool = False) -> None:
    """Refuse infinity and, unless it stands for a `missing` value, NaN; name the first such row."""
    if x.dtype.kind != "f":
        return
    for start in range(0, len(x), _ROWS_AT_A_TIME):
        rows = x[start : start + _ROWS_AT_A_TIME]
        finite = ~np.isinf(rows) if missing else np.isfinite(rows)
        if not finite.all():
            bad = ~finite.reshape(len(rows), -1).all(axis=1)
            first = start + int(np.argmax(bad))
            kind = "infinity" if missing or not np.isnan(x[first]).any() else "NaN"
            raise InvalidInputError(
                f"Expected {name} to be finite. Received: {name} with {kind} in row {first}. "
                "Drop or impute such rows first, for example with sklearn.impute.SimpleImputer."
            )


def check_numeric(x: Any, name: str) -> np.ndarray:
    """Return `x` as an array of numbers (float, integer or bool) of any shape."""
    try:
        array = as_array(x, name)
    except InvalidInputError:
        raise
    except ValueError as error:
        raise InvalidInputError(
            f"Expected {name} to be one array. Received: rows of different lengths ({error})."
        ) from None
    if array.dtype.kind not in "bfiu":
        raise InvalidInputError(
            f"Expected {name} to hold numbers (float, integer or bool). Received: {name}.dtype="
            f"{array.dtype}. Encode text and categories as numbers first, for example by "
            "np.unique(values, return_inverse=True)."
        )
    return array


def check_array(
    x: Any, event_shape: tuple[int, ...], name: str = "x", *, missing: bool = False
) -> np.ndarray:
    """Return `x` as a finite numeric array of shape [n, *event_shape], n at least 1.

    With `missing`, NaN stands for a missing value and passes; so do masked values.
    """
    if not missing:
        refuse_masked(x, name)
    array = check_numeric(x, name)
    if array.ndim and len(array) == 0:
        raise InvalidInputError(
            f"Expected {name} to have at least one row. Received: {name}.shape={array.shape}"
        )
    if array.shape[1:] != tuple(event_shape) or array.ndim == 0:
        raise InvalidInputError(
            f"Expected {name} of shape (n, {_shown(event_shape)}). "
            f"Received: {name}.shape={array.shape}. {_shape_remedy(array.shape, event_shape)}"
        )
    check_finite(array, name, missing=missing)
    return array


def _shown(shape: tuple[int, ...]) -> str:
    return ", ".join(str(n) for n in shape)


def _shape_remedy(shape: tuple[int, ...], event_shape: tuple[int, ...]) -> str:
    if shape == tuple(event_shape):
        return "For a single example, pass x[None]."
    if int(np.prod(shape[1:])) == int(np.prod(event_shape)) and shape:
        return f"Reshape it with x.reshape(-1, {_shown(event_shape)})."
    return f"Reshape the data, or build the model with event_shape={tuple(shape[1:])}."


def check_steps(**steps: int | None) -> None:
    """Refuse numbers of steps, by name, that are neither `None` nor at least 1."""
    for name, value in steps.items():
        if value is not None:
            check_int(value, name)
