"""Numbers far from zero: what is subtracted from data before a float type rounds them."""

import warnings
from typing import Any

import numpy as np

from genzoo.core.errors import InvalidInputError, PrecisionWarning

# rounding, as a share of the standard deviation, from which on data are centred
_NOTICED = 1e-5
# and from which on a user is told of what cannot be mended; of integers, in place of 1
_TOLD, _TOLD_WHOLE = 1e-2, 0.25
# the squares of what lies between fit every float type
_SMALL, _LARGE = 1e-12, 1e12
_LIMIT = 1e150
_ROUNDING = 64 * np.finfo(np.float64).eps
_ROWS_AT_A_TIME = 65_536


class RunningMoments:
    """Count, mean, spread and extremes of each value of an example, in float64, batch by batch.

    Integers are taken from the first row on, so that none of their digits is lost. NaN is left out.

    Reference: Chan, Golub and LeVeque, Algorithms for computing the sample variance, 1983.
    """

    def __init__(self):
        self.count: Any = 0
        self.low: Any = None
        self.high: Any = None
        self.dtype: np.dtype | None = None
        # whether all values are 0 or 1
        self.binary = True
        self._origin: Any = 0

    def update(self, x: np.ndarray) -> None:
        """Add rows [n, ...].

        Raises:
            InvalidInputError: For numbers whose squares float64 cannot hold.
        """
        for start in range(0, len(x), _ROWS_AT_A_TIME):
            self._update(x[start : start + _ROWS_AT_A_TIME])

    def _update(self, x: np.ndarray) -> None:
        if self.dtype is None:
            self.dtype = x.dtype
            self._origin = x[0].astype(np.int64) if x.dtype.kind in "iu" else 0.0
            self._mean = np.zeros(x.shape[1:])
            self._squares = np.zeros(x.shape[1:])
        if self.binary:
            self.binary = bool(((x == 0) | (x == 1)).all())
        low, high = x.min(axis=0), x.max(axis=0)
        missing = x.dtype.kind == "f" and bool(np.isnan(low).any())
        if missing:
            with warnings.catch_warnings():
                # a column without any value has no extremes
                warnings.simplefilter("ignore", RuntimeWarning)
                low, high = np.nanmin(x, axis=0), np.nanmax(x, axis=0)
        self.low = low if self.low is None else np.fmin(self.low, low)
        self.high = high if self.high is None else np.fmax(self.high, high)
        if x.dtype.kind == "f":
            largest = max(-np.fmin.reduce(low, axis=None), np.fmax.reduce(high, axis=None))
            if float(largest) > _LIMIT:
                raise InvalidInputError(
                    f"Expected x below {_LIMIT:.0e} in size, whose squares float64 holds. "
                    f"Received: x of {largest:.3g}. Divide the data, or drop such rows."
                )
        if x.dtype in (np.bool_, np.uint8):
            # their range says it all
            return
        if x.dtype.kind in "iu":
            rows = (x.astype(np.int64) - self._origin).astype(np.float64)
        else:
            rows = x.astype(np.float64)
        count = len(rows)
        if missing:
            known = ~np.isnan(rows)
            count = known.sum(axis=0)
            mean = np.where(known, rows, 0.0).sum(axis=0) / np.maximum(count, 1)
            rows = np.where(known, rows, mean)
        else:
            mean = rows.mean(axis=0)
        rows -= mean
        total = self.count + count
        share = count / np.maximum(total, 1)
        shift = mean - self._mean
        self._squares += np.square(rows, out=rows).sum(axis=0)
        self._squares += shift**2 * self.count * share
        self._mean = self._mean + shift * share
        self.count = total

    @property
    def mean(self) -> np.ndarray:
        """Mean of each value."""
        return self._origin + self._mean

    @property
    def whole_mean(self) -> np.ndarray:
        """Mean of each value as the nearest integer, exact."""
        return np.asarray(self._origin, np.int64) + np.rint(self._mean).astype(np.int64)

    @property
    def spread(self) -> np.ndarray:
        """Standard deviation of each value."""
        return np.sqrt(self._squares / np.maximum(self.count, 1))

    @property
    def scale(self) -> np.ndarray:
        """Standard deviation of each value; 1 for constants, whose rounding alone may vary."""
        constant = self.spread <= _ROUNDING * np.abs(self.mean)
        return np.where(constant, 1.0, self.spread)

    def pooled(self) -> "RunningMoments":
        """Return the moments of all values of an example together."""
        together = RunningMoments()
        together.dtype, together.count = self.dtype, np.sum(self.count)
        together.low, together.high = np.nanmin(self.low), np.nanmax(self.high)
        share = self.count / np.maximum(together.count, 1)
        together._origin = np.ravel(self._origin)[0] if np.size(self._origin) else 0.0
        means = self.mean - together._origin
        together._mean = np.asarray(np.sum(share * means))
        within = self._squares + self.count * (means - together._mean) ** 2
        together._squares = np.asarray(np.sum(within))
        return together


def choose_units(
    moments: RunningMoments, float_dtype: str, *, rescale: bool = True, name: str = "x"
) -> tuple[Any, Any]:
    """Return the offset and scale that data need, (None, None) where their own numbers will do.

    Data need them where `float_dtype` would round them by a hundred-thousandth of their standard
    deviation or more, or not hold their squares. Others keep their numbers, which mean something
    to pixels and probabilities.

    Args:
        moments: Of the data.
        float_dtype: Type of the numbers inside the model.
        rescale: Whether real numbers may be divided by a power of two.
        name: Of the data, for warnings.

    Returns:
        Integers or floats and powers of two, as numbers or nested lists. Integers have no scale.
    """
    whole = moments.dtype.kind in "iu"
    precision = np.finfo(float_dtype).eps
    low, high = (np.nan_to_num(np.asarray(v, np.float64)) for v in (moments.low, moments.high))
    largest, spread = np.maximum(np.abs(low), np.abs(high)), moments.spread
    mean = moments.whole_mean if whole else moments.mean
    room = np.maximum(spread, 1.0) if whole else spread
    rounded = precision * largest > _NOTICED * room
    with np.errstate(over="ignore"):
        constant_fits = (spread == 0) & (mean == np.asarray(mean, float_dtype).astype(mean.dtype))
    # what varies by its own rounding is a constant that was computed
    noise = (spread > 0) & (spread <= _ROUNDING * largest) & (not whole)
    shifted = rounded & ~constant_fits & ~noise
    if not whole:
        rounding = np.where(noise, 0.0, np.finfo(moments.dtype).eps * largest)
        _warn_of_rounding(rounding, spread, moments.dtype, _TOLD, name)
    offset = np.where(shifted, mean, np.zeros_like(mean))
    if not whole:
        # the nearest number that JSON and every float64 hold alike
        offset = offset.astype(np.float64)
    left = np.maximum(np.abs(low - offset), np.abs(high - offset))
    if whole:
        _warn_of_rounding(precision * left, room, np.dtype(float_dtype), _TOLD_WHOLE / room, name)
        return (offset.tolist(), None) if shifted.any() else (None, None)
    extreme = (left > _LARGE) | ((spread < _SMALL) & (left > 0))
    extreme &= (spread > 0) & ~noise & rescale
    with np.errstate(divide="ignore"):
        power = np.exp2(np.rint(np.log2(np.where(extreme, spread, 1.0))))
    if not shifted.any() and not extreme.any():
        return None, None
    return offset.tolist(), np.where(extreme, power, 1.0).tolist()


def _warn_of_rounding(rounding, spread, dtype, limit, name) -> None:
    """Say how much of the data's variation is lost to rounding, where it is more than `limit`."""
    with np.errstate(divide="ignore", invalid="ignore"):
        lost = np.where(spread > 0, rounding / spread, 0.0)
    if not (lost > limit).any():
        return
    worst = int(np.argmax(np.where(lost > limit, lost, 0.0)))
    shown = f"value {worst} of each example" if lost.size > 1 else "its values"
    warnings.warn(
        f"{name} is rounded: {dtype} holds {shown} in steps of about "
        f"{np.ravel(rounding)[worst]:.3g}, which is {np.ravel(lost)[worst]:.2g} of their standard "
        f"deviation, {np.ravel(spread)[worst]:.3g}. Give float64 data, take a constant from them "
        "before they are rounded, or build the model with dtype='float64'.",
        PrecisionWarning,
        stacklevel=4,
    )
