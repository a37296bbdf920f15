"""What a model knows of its data: dtype and levels, so that samples come back in kind."""

import dataclasses

import numpy as np
import tensorflow as tf

from genzoo.core.errors import InvalidInputError

_FEW_LEVELS = 64


@dataclasses.dataclass(frozen=True)
class DataSpec:
    """The kind of data a model was fitted to.

    Args:
        dtype: NumPy dtype name of the data. Integers come back as this; real numbers in the
            model's own float type.
        levels: Integers run from 0 to `levels - 1`; `None` for real numbers and unbounded integers.
    """

    dtype: str
    levels: int | None = None

    @property
    def is_integer(self) -> bool:
        return np.dtype(self.dtype).kind in "biu"

    @classmethod
    def of(cls, dtype: np.dtype, minimum: float, maximum: float, levels: int | None) -> "DataSpec":
        """Describe data of `dtype` that span [minimum, maximum].

        `levels` given wins. Else `bool` has 2, `uint8` 256 or, when its values stay below 64, one
        more than the largest; other integers are unbounded and floats have none.
        """
        dtype = np.dtype(dtype)
        if dtype.kind == "f":
            if levels is not None:
                raise InvalidInputError(
                    "Expected integer data, since the model was built with levels. "
                    f"Received: x.dtype={dtype}, levels={levels}. Cast x, for example "
                    "x.astype('uint8'), or build the model without levels."
                )
            return cls(dtype.name)
        if levels is None and dtype.kind == "b":
            levels = 2
        if levels is None and dtype == np.uint8:
            levels = int(maximum) + 1 if maximum < _FEW_LEVELS else 256
        if levels is not None:
            check_levels(minimum, maximum, levels)
        return cls(dtype.name, levels)

    def check(self, x: np.ndarray, name: str = "x") -> None:
        """Refuse data of another kind than the fitted one."""
        if self.is_integer and x.dtype.kind == "f":
            raise InvalidInputError(
                f"Expected {name} of integers, as fitted (dtype {self.dtype}). "
                f"Received: {name}.dtype={x.dtype}. Cast it, for example {name}.astype("
                f"'{self.dtype}'), or fit a model on real numbers."
            )
        if self.levels is not None:
            check_levels(x.min(), x.max(), self.levels, name)

    def to_data(self, x: tf.Tensor) -> tf.Tensor:
        """Turn real numbers in data space into the kind of the data."""
        if not self.is_integer:
            return x
        dtype = np.dtype(self.dtype)
        low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
        if self.levels is not None:
            low, high = 0, self.levels - 1
        # the largest float below 2**63 is not the largest int64: clip where the float type can
        limits = np.array([low, high], x.dtype.as_numpy_dtype)
        if limits[1] > high:
            limits[1] = np.nextafter(limits[1], np.array(0, limits.dtype))
        return tf.cast(tf.clip_by_value(tf.floor(x), limits[0], limits[1]), self.dtype)


def check_levels(minimum: float, maximum: float, levels: int, name: str = "x") -> None:
    """Refuse integers outside 0 .. levels - 1."""
    if minimum < 0 or maximum >= levels:
        raise InvalidInputError(
            f"Expected {name} between 0 and levels - 1 = {levels - 1}. "
            f"Received: {name} between {minimum} and {maximum}. "
            f"Build the model with levels={max(int(maximum) + 1, 2)}, or rescale the data."
        )
