"""Noise by rows: each row owns a stretch of one random stream.

The draw of a row depends on the seed and the row's number alone, so results do not change with
the batch size or the number of replicas (Salmon et al. 2011, counter-based generators).
"""

import dataclasses
import random
from typing import Any

import numpy as np
import tensorflow as tf

_PHILOX = 1


def fresh_seed() -> int:
    """Return another seed at each call; `keras.utils.set_random_seed` repeats them, as Keras's."""
    return random.randrange(2**31)


def generator(seed: int | None) -> np.random.Generator:
    """Return NumPy's generator of a seed; `None` for a fresh one."""
    return np.random.default_rng(fresh_seed() if seed is None else seed)


def make_seed(seed: int | tf.Tensor, salt: int = 0) -> tf.Tensor:
    """Return the stateless seed, int32 [2], that an int, a pair and a salt stand for."""
    seed = tf.cast(
        tf.convert_to_tensor(seed, tf.int64 if isinstance(seed, int) else None), tf.int64
    )
    if seed.shape.rank == 0:
        seed = tf.stack([seed % 2**31, seed // 2**31 % 2**31])
    else:
        seed = seed % 2**31
    return tf.random.experimental.stateless_fold_in(tf.cast(seed, tf.int32), salt)


def _rows(operation, num_rows, event_shape, seed, first_row, dtype) -> tf.Tensor:
    size = 1
    for n in event_shape:
        size *= n
    # a Philox block is 128 bits
    values_per_block = 16 // max(tf.as_dtype(dtype).size, 4)
    blocks = -(-size // values_per_block)
    key, counter = tf.raw_ops.StatelessRandomGetKeyCounter(seed=seed)
    skipped = tf.cast(first_row, tf.uint64) * tf.constant(blocks, tf.uint64)
    noise = operation(
        shape=tf.stack([num_rows, blocks * values_per_block]),
        key=key,
        counter=counter + tf.stack([skipped, tf.zeros_like(skipped)]),
        alg=_PHILOX,
        dtype=dtype,
    )
    return tf.reshape(noise[:, :size], [num_rows, *event_shape])  # [n, *event_shape]


def uniform_rows(num_rows, event_shape, seed, first_row=0, dtype=tf.float32) -> tf.Tensor:
    """Return uniform noise on [0, 1) for rows first_row, first_row + 1, ...

    Args:
        num_rows: Number of rows n, an int or a scalar tensor.
        event_shape: Static shape of a row.
        seed: int32 [2], from `make_seed`.
        first_row: Number of the first row, below 2**63.
        dtype: `float32` or `float64`.

    Returns:
        Tensor [n, *event_shape].
    """
    operation = tf.raw_ops.StatelessRandomUniformV2
    return _rows(operation, num_rows, event_shape, seed, first_row, dtype)


def normal_rows(num_rows, event_shape, seed, first_row=0, dtype=tf.float32) -> tf.Tensor:
    """Return standard normal noise by rows; arguments as for `uniform_rows`."""
    operation = tf.raw_ops.StatelessRandomNormalV2
    return _rows(operation, num_rows, event_shape, seed, first_row, dtype)


@dataclasses.dataclass(frozen=True, eq=False)
class RowNoise:
    """The noise of the rows of a batch, to hand to the parts of a model.

    Args:
        seed: int32 [2], from `make_seed`.
        first_row: Number of the batch's first row.
        dtype: `float32` or `float64`.
    """

    seed: tf.Tensor
    first_row: Any
    dtype: str = "float32"

    def part(self, salt: int) -> "RowNoise":
        """Return independent noise for one of several uses."""
        seed = tf.random.experimental.stateless_fold_in(self.seed, salt)
        return dataclasses.replace(self, seed=seed)

    def uniform(self, num_rows, event_shape=()) -> tf.Tensor:
        """Return uniform noise on [0, 1), [num_rows, *event_shape]."""
        return uniform_rows(num_rows, event_shape, self.seed, self.first_row, self.dtype)

    def normal(self, num_rows, event_shape=()) -> tf.Tensor:
        """Return standard normal noise, [num_rows, *event_shape]."""
        return normal_rows(num_rows, event_shape, self.seed, self.first_row, self.dtype)
