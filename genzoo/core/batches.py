"""Data at the door: arrays and streams, checked, as seeded `tf.data` batches.

A batch is a dict with `x`, for conditional models `context`, and `sample_weight` where given.
"""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from genzoo.core.checks import check_finite, check_int, check_share
from genzoo.core.errors import InvalidInputError
from genzoo.core.numbers import as_native, refuse_masked

Batch = dict[str, Any]


class ArrayData:
    """Rows in memory (or in a memory map).

    Args:
        rows: Arrays of equal length n, by name.
    """

    def __init__(self, rows: dict[str, np.ndarray]):
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows["x"])

    def split(self, fraction: float) -> tuple["ArrayData", "ArrayData"]:
        """Return the first rows and the last `fraction`, as Keras's `validation_split` does."""
        check_share(fraction, "validation_split")
        at = int(len(self) * (1.0 - fraction))
        if at in (0, len(self)):
            raise InvalidInputError(
                "Expected validation_split to leave rows on both sides. "
                f"Received: validation_split={fraction!r} of {len(self)} rows"
            )
        head = {name: rows[:at] for name, rows in self.rows.items()}
        tail = {name: rows[at:] for name, rows in self.rows.items()}
        return ArrayData(head), ArrayData(tail)

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """Yield the rows in order, as arrays."""
        for start in range(0, len(self), batch_size):
            part = slice(start, start + batch_size)
            yield {name: as_native(rows[part]) for name, rows in self.rows.items()}

    def num_batches(self, batch_size: int) -> int:
        return -(-len(self) // batch_size)

    def cast_floats(self, dtype: str) -> None:
        """Hold floats of x as `dtype`; a memory map stays on disk, the graph casts its batches."""
        x = self.rows["x"]
        if x.dtype.kind == "f" and not isinstance(x, np.memmap):
            self.rows["x"] = np.asarray(x, dtype)

    def dataset(
        self,
        batch_size: int,
        *,
        shuffle: bool,
        seed: int | None,
        num_replicas: int = 1,
        epoch: Callable[[], int] | None = None,
    ) -> tf.data.Dataset:
        """Return batches, shuffled anew each epoch; a seed fixes the order of every epoch.

        A last batch that would leave one of the replicas without rows is left out. `epoch` tells
        the number of an epoch as it begins; without it they are counted.
        """
        whole, left = divmod(len(self), batch_size)
        num_batches = whole + reaches_all(left, num_replicas)
        if not shuffle and not self._on_disk():
            return self._slices(batch_size, num_batches)
        order = tf.data.Dataset.range(len(self))
        if shuffle:
            order = shuffled(len(self), seed, epoch)
        order = order.batch(batch_size).take(num_batches)
        if self._on_disk():
            return order.map(self._read, num_parallel_calls=2).prefetch(tf.data.AUTOTUNE)
        tensors = {name: tf.convert_to_tensor(rows) for name, rows in self.rows.items()}
        gathered = order.map(
            lambda index: {name: tf.gather(rows, index) for name, rows in tensors.items()},
            num_parallel_calls=2,
            deterministic=True,
        )
        return gathered.prefetch(tf.data.AUTOTUNE)

    def _on_disk(self) -> bool:
        return any(isinstance(rows, np.memmap) for rows in self.rows.values())

    def _slices(self, batch_size: int, num_batches: int) -> tf.data.Dataset:
        tensors = {name: tf.convert_to_tensor(rows) for name, rows in self.rows.items()}
        sliced = tf.data.Dataset.range(num_batches).map(
            lambda i: {
                name: rows[i * batch_size : (i + 1) * batch_size] for name, rows in tensors.items()
            },
            num_parallel_calls=2,
            deterministic=True,
        )
        return sliced.prefetch(tf.data.AUTOTUNE)

    def _read(self, index: tf.Tensor) -> Batch:
        types = [as_native(rows[:0]).dtype for rows in self.rows.values()]

        def read(i):
            return [
                np.ascontiguousarray(rows[np.sort(i)], kind)
                for rows, kind in zip(self.rows.values(), types, strict=True)
            ]

        values = tf.numpy_function(read, [index], types, stateful=False)
        for value, rows in zip(values, self.rows.values(), strict=True):
            value.set_shape([None, *rows.shape[1:]])
        return dict(zip(self.rows, values, strict=True))


class StreamData:
    """A `tf.data.Dataset` of `x`, `(x, context)` or dicts of them, batched or not.

    Args:
        dataset: The user's data set.
        event_shape: Shape of one example.
        has_context: Whether the model takes a context.
        batch_size: Rows a batch where the data set is not batched yet.
        steps: Batches an epoch, for endless data sets.
        missing: Whether NaN stands for a missing value.
        weighted: Whether rows may have a `sample_weight`.
        context_spec: Checks the context of each batch, where it is given.
    """

    def __init__(
        self,
        dataset,
        event_shape,
        has_context,
        batch_size,
        steps=None,
        *,
        missing=False,
        weighted=False,
        context_spec=None,
    ):
        spec = dataset.element_spec
        named = _name_parts(spec, has_context, weighted)
        shape = named["x"].shape
        batched = shape.rank is None or shape.rank == len(event_shape) + 1
        if shape.rank is not None and tuple(shape[1:] if batched else shape) != event_shape:
            raise InvalidInputError(
                f"Expected a data set of examples of shape {event_shape}, batched or not. "
                f"Received: element_spec={spec}"
            )
        if steps is None and dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
            raise InvalidInputError(
                "Expected steps_per_epoch (or validation_steps) with an endless data set. "
                "Received: a tf.data.Dataset that repeats forever."
            )

        def to_batch(*element):
            return _name_parts(element if len(element) > 1 else element[0], has_context, weighted)

        self._dataset = dataset.map(to_batch, num_parallel_calls=2, deterministic=True)
        if not batched:
            self._dataset = self._dataset.batch(batch_size)
        self.dtype = named["x"].dtype.as_numpy_dtype
        self.steps = steps
        self._missing, self._context_spec = missing, context_spec

    def batches(self, batch_size: int | None = None) -> Iterator[Batch]:
        """Yield one epoch as arrays, in the sizes that the stream has."""
        dataset = self._dataset if self.steps is None else self._dataset.take(self.steps)
        for batch in dataset:
            arrays = {name: value.numpy() for name, value in batch.items()}
            check_finite(arrays["x"], "x", missing=self._missing)
            if self._context_spec is not None and "context" in arrays:
                given = arrays["context"]
                arrays["context"] = self._context_spec.check(given, len(arrays["x"]), "model")
            if "sample_weight" in arrays:
                check_weights(arrays["sample_weight"], len(arrays["x"]))
            yield arrays

    def num_batches(self, batch_size: int) -> int:
        cardinality = int(self._dataset.cardinality())
        return self.steps or max(cardinality, 1)

    def dataset(
        self,
        batch_size: int,
        *,
        shuffle: bool,
        seed: int | None,
        num_replicas: int = 1,
        epoch: Callable[[], int] | None = None,
    ) -> tf.data.Dataset:
        """Return the batches; a stream is shuffled by who makes it.

        Batches that would leave one of the replicas without rows are left out.
        """
        dataset = self._dataset
        if num_replicas > 1:
            dataset = dataset.filter(
                lambda batch: reaches_all(tf.shape(batch["x"])[0], num_replicas)
            )
        return dataset.prefetch(tf.data.AUTOTUNE)


def shuffled(n: int, seed: int | None, epoch: Callable[[], int] | None = None) -> tf.data.Dataset:
    """Return 0 .. n - 1 in an order that depends on the seed and the epoch alone.

    A run that is resumed finds the order of its epoch again, which a shuffle buffer would not.
    TensorFlow never lets go of `epoch`, which should hold no more than it needs.
    """
    entropy = np.random.SeedSequence().entropy if seed is None else seed
    epoch = epoch or itertools.count().__next__

    def draw():
        return np.random.default_rng([entropy, epoch()]).permutation(n).astype(np.int64)

    def numbers(_):
        order = tf.numpy_function(draw, [], tf.int64)
        return tf.data.Dataset.from_tensor_slices(tf.ensure_shape(order, [n]))

    order = tf.data.Dataset.range(1).flat_map(numbers)
    return order.apply(tf.data.experimental.assert_cardinality(n))


def reaches_all(rows: Any, num_replicas: int) -> Any:
    """Return whether a batch of so many rows, an int or a tensor, has some for each replica.

    TensorFlow deals it out in parts of ceil(rows / replicas); convolutions of no rows fail.
    """
    return rows > (num_replicas - 1) * ((rows + num_replicas - 1) // num_replicas)


def _name_parts(element: Any, has_context: bool, weighted: bool = False) -> Batch:
    wanted = ["x", "context"] if has_context else ["x"]
    if isinstance(element, dict):
        parts = dict(element)
    elif isinstance(element, (tuple, list)):
        parts = dict(zip(["x", "context", "sample_weight"], element, strict=False))
    else:
        parts = {"x": element}
    if weighted and isinstance(element, dict) and "sample_weight" in parts:
        wanted.append("sample_weight")
    if sorted(parts) != sorted(wanted):
        remedy = (
            "Give (x, context) pairs."
            if has_context
            else "This model takes no labels: drop them with dataset.map(lambda x, y: x), "
            "or build a conditional model with num_classes or context_dim."
        )
        raise InvalidInputError(
            f"Expected a data set with {' and '.join(wanted)}. "
            f"Received: elements with {' and '.join(parts)}. {remedy}"
        )
    return parts


def check_weights(weights: Any, n: int) -> np.ndarray:
    """Return the weights of n rows as float64."""
    refuse_masked(weights, "sample_weight")
    array = np.asarray(weights)
    sound = array.dtype.kind in "bfiu" and array.shape == (n,)
    if not sound or not np.isfinite(array).all() or (n and array.min() < 0):
        raise InvalidInputError(
            f"Expected sample_weight of shape ({n},), numbers of at least 0. "
            f"Received: sample_weight of shape {array.shape}, dtype {array.dtype}"
        )
    return array.astype(np.float64)


def check_batch_size(batch_size: Any, default: int) -> int:
    """Return a batch size, the default for `None`."""
    return default if batch_size is None else check_int(batch_size, "batch_size")
