"""Data at the door: arrays and streams, checked, as seeded `tf.data` batches.

A batch is a dict with `x`, for conditional models `context`, and `sample_weight` where given.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from genzoo.core.checks import check_finite, check_int, check_share
from genzoo.core.errors import InvalidInputError
from genzoo.core.inputs.numbers import as_native, refuse_masked
from genzoo.core.inputs.passes import epochs, in_order, shuffled
from genzoo.core.inputs.sources import held_dataset, open_source

Batch = dict[str, Any]
# of a stream, to be read once by all that looks at it
_KEPT_BYTES = 2**28


class ArrayData:
    """Rows in memory (or in a memory map).

    Args:
        rows: Arrays of equal length n, by name.

    Attributes:
        steps: Batches an epoch; `None` for those of one pass.
    """

    # whether epochs of `steps` batches are cut out of the data set by who reads it
    goes_on = False

    def __init__(self, rows: dict[str, np.ndarray]):
        self.rows, self.steps = rows, None

    def __len__(self) -> int:
        return len(self.rows["x"])

    @property
    def dtype(self) -> np.dtype:
        """Type of x, in the order of bytes of this machine."""
        return as_native(self.rows["x"][:0]).dtype

    @property
    def mean_weight(self) -> float | None:
        """Mean weight of the rows, where they have any."""
        weights = self.rows.get("sample_weight")
        return None if weights is None else float(weights.mean())

    def split(self, fraction: float) -> tuple["ArrayData", "ArrayData"]:
        """Return the first rows and the last `fraction`, as Keras's `validation_split` does."""
        check_share(fraction, "validation_split")
        at = int(len(self) * (1.0 - fraction))
        if at in (0, len(self)):
            raise InvalidInputError(
                "Expected validation_split to leave rows on both sides. "
                f"Received: validation_split={fraction!r} of {len(self)} rows"
            )
        tail = {name: rows[at:] for name, rows in self.rows.items()}
        return self.head(at), ArrayData(tail)

    def head(self, n: int) -> "ArrayData":
        """Return the first `n` rows."""
        return ArrayData({name: rows[:n] for name, rows in self.rows.items()})

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """Yield the rows in order, as arrays."""
        for start in range(0, len(self), batch_size):
            part = slice(start, start + batch_size)
            yield {name: as_native(rows[part]) for name, rows in self.rows.items()}

    def first_batch(self, batch_size: int) -> Batch:
        """Return the first batch, as arrays."""
        return next(self.batches(batch_size))

    def close(self) -> None:
        """Let go of nothing: rows are no user's code."""

    def num_batches(self, batch_size: int) -> int:
        """Return the batches of an epoch."""
        return self.steps or -(-len(self) // batch_size)

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
        """Return batches, shuffled anew each pass; a seed fixes the order of every epoch.

        A last batch that would leave one of the replicas without rows is left out. `epoch` tells
        the number of an epoch as it begins; without it they are counted. An epoch is a pass, or
        `steps` batches from where the last one ended.
        """
        whole, left = divmod(len(self), batch_size)
        num_batches = whole + reaches_all(left, num_replicas)
        if not shuffle and self.steps is None and not self._on_disk():
            return self._slices(batch_size, num_batches)
        rows = shuffled(len(self), seed) if shuffle else in_order(len(self))
        order = epochs(
            lambda number: rows(number).batch(batch_size).take(num_batches),
            num_batches,
            self.steps,
            epoch,
        )
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
    """Batches of a user's: see `open_source`. Elements are `x`, `(x, context)`,
    `(x, context, sample_weight)` or dicts of them, batched or not.

    What is read in a first pass is kept where it fits in memory, so that all that looks at the
    data before training reads them once.

    Args:
        source: The user's `tf.data.Dataset`, `keras.utils.PyDataset`, or generator.
        event_shape: Shape of one example.
        has_context: Whether the model takes a context.
        batch_size: Rows a batch where there are no batches yet.
        steps: Batches an epoch, for what has no end.
        missing: Whether NaN stands for a missing value.
        weighted: Whether rows may have a `sample_weight`.
        context_spec: Checks the context of each batch, where it is given.
        class_weight: Weight of a row by its label.
        names: What the parts of a tuple are.
    """

    def __init__(
        self,
        source,
        event_shape,
        has_context,
        batch_size,
        steps=None,
        *,
        missing=False,
        weighted=False,
        context_spec=None,
        class_weight=None,
        names=("x", "context", "sample_weight"),
    ):
        def name_parts(element):
            return _name_parts(element, names, has_context, weighted)

        self._open(source, name_parts, len(event_shape), steps)
        spec = self._source.seen.element_spec
        named = name_parts(spec)
        shape = named["x"].shape
        batched = shape.rank is None or shape.rank == len(event_shape) + 1
        if shape.rank is not None and tuple(shape[1:] if batched else shape) != event_shape:
            raise InvalidInputError(
                f"Expected a data set of examples of shape {event_shape}, batched or not. "
                f"Received: element_spec={spec}"
            )

        if class_weight is not None and "sample_weight" in named:
            raise InvalidInputError(
                "Expected class_weight or weights of rows, not both. Received: class_weight with a "
                "data set that has sample_weight"
            )
        last_class = 0 if class_weight is None else len(class_weight) - 1

        def to_batch(*element):
            parts = name_parts(element if len(element) > 1 else element[0])
            if class_weight is not None:
                labels = tf.clip_by_value(tf.cast(parts["context"], tf.int32), 0, last_class)
                parts["sample_weight"] = tf.gather(class_weight, labels)
            elif "sample_weight" in parts:
                parts["sample_weight"] = tf.cast(parts["sample_weight"], tf.float64)
            return parts

        def prepare(dataset):
            dataset = dataset.map(to_batch, num_parallel_calls=2, deterministic=True)
            return dataset if batched else dataset.batch(batch_size)

        self._prepare = prepare
        self._dataset = prepare(self._source.seen)
        self.dtype = np.dtype(self._dataset.element_spec["x"].dtype.as_numpy_dtype)
        self._missing, self._context_spec = missing, context_spec

    def _open(self, source, name_parts, event_rank, steps) -> None:
        self._source = open_source(source, name_parts, event_rank, steps)
        self.goes_on = self._source.goes_on and steps is not None
        self.steps = steps
        self.mean_weight: float | None = None
        # what each batch is shown as it is read
        self.inspect: Callable[[Batch], None] = lambda batch: None
        self._first: Batch | None = None
        # whether a whole pass was made
        self._passed = False
        # of a whole pass; read in place of the source when that can be read once
        self._kept: list[Batch] | None = None
        self._reads_kept = False

    def batches(self, batch_size: int | None = None) -> Iterator[Batch]:
        """Yield one epoch as arrays, in the sizes that the stream has."""
        rows, weight = 0, 0.0
        for batch in map(self._check, self._pass()):
            self._first = self._first or batch
            rows += len(batch["x"])
            weight += float(batch["sample_weight"].sum()) if "sample_weight" in batch else 0.0
            self.inspect(batch)
            yield batch
        if not rows:
            raise InvalidInputError(
                "Expected data with at least one row. Received: a data set that is empty, or was "
                "read before and cannot be read again."
            )
        self._passed = True
        if self.weighted:
            self.mean_weight = weight / rows

    @property
    def weighted(self) -> bool:
        """Whether the rows have weights."""
        return "sample_weight" in self._dataset.element_spec

    def _check(self, batch: Batch) -> Batch:
        check_finite(batch["x"], "x", missing=self._missing)
        if self._context_spec is not None and "context" in batch:
            given = batch["context"]
            batch = {**batch, "context": self._context_spec.check(given, len(given), "model")}
        if "sample_weight" in batch:
            check_weights(batch["sample_weight"], len(batch["x"]))
        return batch

    def _pass(self) -> Iterator[Batch]:
        if self._kept is not None:
            yield from self._kept
            return
        dataset = self._dataset if self.steps is None else self._dataset.take(self.steps)
        kept, room = [], _KEPT_BYTES
        with self.failures_told():
            for batch in dataset.as_numpy_iterator():
                room -= sum(part.nbytes for part in batch.values())
                if room >= 0:
                    kept.append(batch)
                yield batch
        if kept and room >= 0:
            self._kept = kept

    @property
    def rows(self) -> Batch:
        """All of it, as arrays in memory."""
        batches = list(self.batches())
        return {name: np.concatenate([b[name] for b in batches]) for name in batches[0]}

    def first_batch(self, batch_size: int) -> Batch:
        """Return the first batch that was read, as arrays."""
        return self._first or next(self.batches())

    def require_another_pass(self) -> None:
        """See that what was read as a whole can be read again; if not, read what was kept.

        Raises:
            InvalidInputError: For what can be read once, and is too large to keep.
        """
        if self._source.lasts or self._reads_kept or not self._passed:
            return
        if next(iter(self._source.seen.take(1)), None) is None and not self.read_kept():
            raise InvalidInputError(
                "Expected a data set that can be read again and again. Received: a "
                "tf.data.Dataset that was empty when it was read the second time, as one made "
                "with from_generator(lambda: generator) of a generator that exists already. Give "
                "from_generator a function that begins a new one."
            )

    def read_kept(self) -> bool:
        """Read what was kept from now on, if all of a pass was; return whether it was."""
        self._reads_kept = self._kept is not None
        return self._reads_kept

    def let_go(self) -> None:
        """Keep no more than will be read."""
        if not self._reads_kept:
            self._kept = None

    def close(self) -> None:
        """Let go of the user's object."""
        self._source.close()

    def tell(self, hook: str) -> None:
        """Call `on_epoch_begin` or `on_epoch_end` of a `keras.utils.PyDataset`."""
        self._source.tell(hook)

    @contextlib.contextmanager
    def failures_told(self) -> Iterator[None]:
        """Raise what the user's code raised in place of TensorFlow's error that tells of it."""
        try:
            yield
        except tf.errors.OpError:
            if self._source.failures:
                raise self._source.failures.pop() from None
            raise

    def num_batches(self, batch_size: int) -> int:
        """Return the batches of an epoch; 1 where that is not known."""
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
        """Return the batches; a stream is shuffled by who makes it, but for a `PyDataset`.

        Batches that would leave one of the replicas without rows are left out.
        """
        dataset = self._batches_to_train_on(shuffle, seed, epoch)
        if num_replicas > 1:
            dataset = dataset.filter(
                lambda batch: reaches_all(tf.shape(batch["x"])[0], num_replicas)
            )
        return dataset.prefetch(tf.data.AUTOTUNE)

    def _batches_to_train_on(self, shuffle, seed, epoch) -> tf.data.Dataset:
        if self._reads_kept:
            return held_dataset([self._kept], self._dataset.element_spec)
        return self._prepare(self._source.trained(shuffle, seed, epoch))


def reaches_all(rows: Any, num_replicas: int) -> Any:
    """Return whether a batch of so many rows, an int or a tensor, has some for each replica.

    TensorFlow deals it out in parts of ceil(rows / replicas); convolutions of no rows fail.
    """
    return rows > (num_replicas - 1) * ((rows + num_replicas - 1) // num_replicas)


def _name_parts(element: Any, names: Sequence[str], has_context: bool, weighted: bool) -> Batch:
    wanted = {"x", "context"} if has_context else {"x"}
    if isinstance(element, dict):
        parts = dict(element)
    elif isinstance(element, (tuple, list)):
        extra = [f"part {i + 1}" for i in range(len(names), len(element))]
        parts = dict(zip([*names, *extra], element, strict=False))
    else:
        parts = {"x": element}
    parts = {name: part for name, part in parts.items() if part is not None}
    if set(parts) - ({"sample_weight"} if weighted else set()) != wanted:
        remedy = (
            "Give (x, context) pairs."
            if has_context
            else "This model takes no labels: drop them with dataset.map(lambda x, y: x), "
            "or build a conditional model with num_classes or context_dim."
        )
        raise InvalidInputError(
            f"Expected a data set with {' and '.join(sorted(wanted, reverse=True))}. "
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


def check_class_weight(class_weight: Any, num_classes: int | None) -> np.ndarray:
    """Return the weight of each class, float64 [num_classes]; 1 for those not named, as in Keras.

    Args:
        class_weight: Dict of weights by label.
        num_classes: Of the model, `None` for one without labels.
    """
    if num_classes is None:
        raise InvalidInputError(
            "Expected class_weight with a model of labels (num_classes). Received: class_weight "
            "without labels. Give the weight of each row as sample_weight."
        )
    weights = np.ones(num_classes)
    try:
        for label, weight in dict(class_weight).items():
            weights[check_int(label, "class_weight's label", minimum=0)] = weight
    except (TypeError, ValueError, IndexError):
        raise InvalidInputError(
            f"Expected class_weight to be a dict of labels from 0 to {num_classes - 1} and their "
            f"weights. Received: class_weight={class_weight!r}"
        ) from None
    return check_weights(weights, num_classes)


def check_batch_size(batch_size: Any, default: int) -> int:
    """Return a batch size, the default for `None`."""
    return default if batch_size is None else check_int(batch_size, "batch_size")
