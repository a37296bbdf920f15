"""What a model knows of its data: dtype, levels and units, so that samples come back in kind."""

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from genzoo.core.errors import InvalidInputError
from genzoo.core.inputs.units import RunningMoments, choose_units
from genzoo.core.lazy import tfp

_FEW_LEVELS = 64


@dataclasses.dataclass(frozen=True)
class DataSpec:
    """The kind of data a model was fitted to.

    Args:
        dtype: NumPy dtype name of the data. Integers and float64 come back as this; other real
            numbers in the model's own float type.
        levels: Integers, of whatever type, run from 0 to `levels - 1`; `None` for real numbers and
            unbounded integers.
        offset, scale: A model computes with (x - offset) / scale, where a float type would round
            x too much; see `choose_units`. Numbers, or nested lists of the shape of an example.
    """

    dtype: str
    levels: int | None = None
    offset: Any = None
    scale: Any = None

    @property
    def is_integer(self) -> bool:
        return np.dtype(self.dtype).kind in "biu"

    @classmethod
    def of(cls, dtype: np.dtype, minimum: float, maximum: float, levels: int | None) -> "DataSpec":
        """Describe data of `dtype` that span [minimum, maximum], in their own units.

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

    @classmethod
    def seen(
        cls,
        moments: RunningMoments,
        levels: int | None,
        float_dtype: str,
        *,
        pooled: bool = False,
        rescale: bool = True,
    ) -> "DataSpec":
        """Describe data by what was seen of them.

        Args:
            moments: Of the data.
            levels: As in `of`.
            float_dtype: Type of the model's own numbers.
            pooled: Whether all values of an example share an offset and scale, as pixels do.
            rescale: As in `choose_units`.
        """
        low = np.fmin.reduce(moments.low, axis=None)
        high = np.fmax.reduce(moments.high, axis=None)
        spec = cls.of(moments.dtype, low, high, levels)
        if spec.levels is not None or moments.dtype.kind == "b":
            return spec
        moments = moments.pooled() if pooled else moments
        offset, scale = choose_units(moments, float_dtype, rescale=rescale)
        return dataclasses.replace(spec, offset=offset, scale=scale)

    def check(self, x: np.ndarray, name: str = "x", *, float_dtype: str) -> None:
        """Refuse data of another kind than the fitted one, and what `float_dtype` cannot hold."""
        if self.is_integer and x.dtype.kind == "f":
            raise InvalidInputError(
                f"Expected {name} of integers, as fitted (dtype {self.dtype}). "
                f"Received: {name}.dtype={x.dtype}. Cast it, for example {name}.astype("
                f"'{self.dtype}'), or fit a model on real numbers."
            )
        if self.levels is not None:
            check_levels(x.min(), x.max(), self.levels, name)
            if x.dtype.kind == "f" and (x != np.floor(x)).any():
                raise InvalidInputError(
                    f"Expected {name} of whole numbers, as fitted. Received: {name} with "
                    f"{x[x != np.floor(x)][0]}. Round it, for example by {name} > 0.5."
                )
        if x.dtype.kind == "f" and x.dtype.itemsize > np.dtype(float_dtype).itemsize:
            self._check_range(x, name, float_dtype)

    def _check_range(self, x, name, float_dtype) -> None:
        limit = float(np.finfo(float_dtype).max)
        offset, scale = (0.0, 1.0) if self.offset is None else (self.offset, self.scale)
        low, high = np.fmin.reduce(x, axis=0), np.fmax.reduce(x, axis=0)
        with np.errstate(over="ignore"):
            ends = np.abs((np.stack([low, high]) - offset) / scale)
        if np.fmax.reduce(ends, axis=None) > limit:
            raise InvalidInputError(
                f"Expected {name} within the range of {float_dtype}, as fitted. Received: {name} "
                f"between {np.fmin.reduce(low, axis=None)} and {np.fmax.reduce(high, axis=None)}. "
                "Drop such rows, divide the data, or build the model with dtype='float64'."
            )

    @property
    def sample_dtype(self) -> str | None:
        """Type in which samples come back; `None` for the model's own float type."""
        return self.dtype if self.is_integer or self.dtype == "float64" else None

    def input_dtype(self, float_dtype: str) -> str:
        """Return the type of the data that a compiled function takes."""
        if self.is_integer:
            return self.dtype
        return float_dtype if self.offset is None else "float64"

    def to_model(self, x: tf.Tensor, float_dtype: str) -> tf.Tensor:
        """Turn data into the numbers that a model computes with, in graph.

        Integers stay integers where the model was fitted to some. Floats beside them are taken
        for integers that have their noise already.
        """
        if self.is_integer:
            if x.dtype.is_floating:
                return tf.cast(x, float_dtype)
            return x if self.offset is None else tf.cast(x, tf.int64) - self.offset
        if self.offset is None:
            return tf.cast(x, float_dtype)
        return tf.cast((tf.cast(x, tf.float64) - self.offset) / self.scale, float_dtype)

    def log_scale(self, event_shape: tuple[int, ...]) -> float:
        """Return the sum of log(scale) over the values of an example: nats by which log p(x) is
        below that of the model's own numbers."""
        if self.scale is None:
            return 0.0
        return float(np.log(np.broadcast_to(self.scale, event_shape)).sum())

    def bijector(self, dtype: Any) -> Any:
        """Return the `tfb.Bijector` from the model's own numbers to the data."""
        tfb = tfp.bijectors
        scale = 1.0 if self.scale is None else self.scale
        shift = tfb.Shift(tf.constant(self.offset, dtype))
        return tfb.Chain([shift, tfb.Scale(tf.constant(scale, dtype))])

    def check_in_graph(self, x: tf.Tensor) -> None:
        """Refuse, in graph, integers that are no levels of the data."""
        if self.levels is not None and x.dtype.is_integer:
            told = f"Expected values between 0 and levels - 1 = {self.levels - 1}."
            for value in (tf.reduce_min(x), tf.reduce_max(x)):
                known = tf.cast(value, tf.int64)
                inside = (known >= 0) & (known < self.levels)
                tf.debugging.Assert(inside, [told, "Received:", value])

    def to_data(self, x: tf.Tensor) -> tf.Tensor:
        """Turn the real numbers that a model makes into data of their kind, in graph."""
        if not self.is_integer:
            kind = self.sample_dtype or x.dtype
            if self.offset is not None:
                x = tf.cast(x, tf.float64) * self.scale + self.offset
            return tf.cast(x, kind)
        if self.offset is not None:
            return self._to_far_integers(x)
        dtype = np.dtype(self.dtype)
        low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
        if self.levels is not None:
            low, high = 0, self.levels - 1
        # the largest float below 2**63 is not the largest int64: clip where the float type can
        limits = np.array([low, high], x.dtype.as_numpy_dtype)
        if limits[1] > high:
            limits[1] = np.nextafter(limits[1], np.array(0, limits.dtype))
        return tf.cast(tf.clip_by_value(tf.floor(x), limits[0], limits[1]), self.dtype)

    def _to_far_integers(self, x: tf.Tensor) -> tf.Tensor:
        limits = np.iinfo(self.dtype)
        near = tf.clip_by_value(tf.floor(x), -(2.0**62), 2.0**62)
        far = tf.cast(near, tf.int64) + self.offset
        high = min(limits.max, np.iinfo(np.int64).max)
        return tf.cast(tf.clip_by_value(far, limits.min, high), self.dtype)


def check_levels(minimum: float, maximum: float, levels: int, name: str = "x") -> None:
    """Refuse integers outside 0 .. levels - 1."""
    if minimum < 0 or maximum >= levels:
        raise InvalidInputError(
            f"Expected {name} between 0 and levels - 1 = {levels - 1}. "
            f"Received: {name} between {minimum} and {maximum}. "
            f"Build the model with levels={max(int(maximum) + 1, 2)}, or rescale the data."
        )
