"""Batches that a user's own code makes: data sets, `keras.utils.PyDataset`s and generators."""

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from genzoo.core.errors import InvalidInputError
from genzoo.core.inputs.passes import epochs, in_order, shuffled

# of a generator without an end in sight
_HELD_BYTES = 2**30

Naming = Callable[[Any], dict[str, Any]]


@dataclasses.dataclass
class Source:
    """Elements of a user's, as `tf.data`; those that Python makes are dicts of their parts.

    Args:
        seen: Data set of the elements to look at before training.
        trained: Returns the data set to train on, of `shuffle`, `seed` and `epoch` (see
            `ArrayData.dataset`).
        lasts: Whether it is known that the elements can be read again.
        goes_on: Whether epochs of so many steps are cut out of it by who reads it.
        holder: Holds the user's object: TensorFlow never lets go of a Python function.
        failures: What the user's code raised, which TensorFlow tells as an error of its own.
    """

    seen: tf.data.Dataset
    trained: Callable[..., tf.data.Dataset]
    lasts: bool = True
    goes_on: bool = True
    holder: list[Any] = dataclasses.field(default_factory=list)
    failures: list[Exception] = dataclasses.field(default_factory=list)

    def tell(self, hook: str) -> None:
        """Call `on_epoch_begin` or `on_epoch_end` of a `keras.utils.PyDataset`."""
        for held in self.holder:
            if isinstance(held, keras.utils.PyDataset):
                getattr(held, hook)()

    def close(self) -> None:
        """Let go of the user's object."""
        self.holder.clear()


def is_stream(x: Any) -> bool:
    """Return whether `x` gives batches rather than rows."""
    return isinstance(x, (tf.data.Dataset, keras.utils.PyDataset, Iterator))


def open_source(x: Any, name_parts: Naming, event_rank: int, steps: int | None) -> Source:
    """Return a user's batches, or examples, as `tf.data`.

    Args:
        x: `tf.data.Dataset`, `keras.utils.PyDataset`, or a generator or other iterator.
        name_parts: Returns the parts of an element by name.
        event_rank: Number of axes of one example.
        steps: Batches an epoch, for what has no end.

    Raises:
        InvalidInputError: For what is empty, or has no end without `steps`.
    """
    if isinstance(x, tf.data.Dataset):
        if steps is None and x.cardinality() == tf.data.INFINITE_CARDINALITY:
            raise _endless("a tf.data.Dataset that repeats forever")
        return Source(x, lambda shuffle, seed, epoch: x, lasts=False)
    if isinstance(x, keras.utils.PyDataset):
        return _open_items(x, name_parts, event_rank, steps)
    return _open_iterator(x, name_parts, event_rank, steps)


def _endless(what: str) -> InvalidInputError:
    return InvalidInputError(
        "Expected steps_per_epoch (or validation_steps, or steps) with an endless data set. "
        f"Received: {what}."
    )


def _open_items(items: keras.utils.PyDataset, name_parts, event_rank, steps) -> Source:
    count = items.num_batches
    if count is None and steps is None:
        raise _endless("a keras.utils.PyDataset without a number of batches")
    if count == 0:
        raise InvalidInputError("Expected data with at least one row. Received: an empty one.")
    holder, failures, workers = [items], [], max(items.workers, 1)
    signature = _signature(_arrays(items[0], name_parts), event_rank)

    def read(i):
        with _kept(failures):
            batch = _fitting(_arrays(holder[0][int(i)], name_parts), signature)
        return [np.ascontiguousarray(part) for part in batch.values()]

    def batch(i):
        values = tf.numpy_function(read, [i], [spec.dtype for spec in signature.values()])
        for value, spec in zip(values, signature.values(), strict=True):
            value.set_shape(spec.shape)
        return dict(zip(signature, values, strict=True))

    def dataset(numbers):
        return numbers.map(batch, num_parallel_calls=workers, deterministic=True)

    if count is None:
        every = dataset(tf.data.Dataset.range(np.iinfo(np.int64).max))
        return Source(every, lambda shuffle, seed, epoch: every, holder=holder, failures=failures)

    def trained(shuffle, seed, epoch):
        order = shuffled(count, seed) if shuffle else in_order(count)
        return dataset(epochs(order, count, steps, epoch))

    seen = dataset(tf.data.Dataset.range(count))
    return Source(seen, trained, goes_on=False, holder=holder, failures=failures)


def _open_iterator(iterator: Iterator[Any], name_parts, event_rank, steps) -> Source:
    held, size = [], 0
    for element in itertools.islice(iterator, steps):
        held.append(_arrays(element, name_parts))
        size += sum(part.nbytes for part in held[-1].values())
        if steps is None and size > _HELD_BYTES:
            raise _endless(
                f"a {type(iterator).__name__} without an end after {size / 2**20:.0f} MB. If it "
                "has one, make it a tf.data.Dataset, with from_generator of a function that "
                "begins it anew"
            )
    if not held:
        raise InvalidInputError(
            f"Expected data with at least one row. Received: a {type(iterator).__name__} that is "
            "empty, or was read before: make a new one for each call."
        )
    signature = _signature(held[0], event_rank)
    held = [_fitting(element, signature) for element in held]
    holder, failures = [held, list(held), iterator], []
    seen = held_dataset(holder, signature)
    if steps is None:
        return Source(seen, lambda shuffle, seed, epoch: seen, holder=holder)

    def go_on():
        _, first, rest = holder
        # those that were looked at, once
        while first:
            yield first.pop(0)
        with _kept(failures):
            for element in rest:
                yield _fitting(_arrays(element, name_parts), signature)
            raise InvalidInputError(
                "Expected a generator of steps_per_epoch batches for every epoch. Received: one "
                "that ended before. Make it endless, or give fewer epochs."
            )

    trained = tf.data.Dataset.from_generator(go_on, output_signature=signature)
    return Source(seen, lambda shuffle, seed, epoch: trained, holder=holder, failures=failures)


def held_dataset(holder: list[Any], signature: Any) -> tf.data.Dataset:
    """Return a data set of the elements that are the first in `holder`, in their order."""
    return tf.data.Dataset.from_generator(lambda: iter(holder[0]), output_signature=signature)


@contextlib.contextmanager
def _kept(failures: list[Exception]) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        failures.append(error)
        raise


def _arrays(element: Any, name_parts: Naming) -> dict[str, np.ndarray]:
    named = name_parts(element)
    return {name: np.asarray(part) for name, part in named.items() if part is not None}


def _signature(first: dict[str, np.ndarray], event_rank: int) -> dict[str, tf.TensorSpec]:
    """Return the specs of elements like the first: axes before those of an example may vary."""
    for name, part in first.items():
        if part.dtype.kind not in "bfiu":
            raise InvalidInputError(
                f"Expected {name} to hold numbers (float, integer or bool). "
                f"Received: {name}.dtype={part.dtype}. Encode text and categories as numbers first."
            )
    free = max(first["x"].ndim - event_rank, 0) if "x" in first else 1
    return {
        name: tf.TensorSpec([None] * min(free, part.ndim) + list(part.shape[free:]), part.dtype)
        for name, part in first.items()
    }


def _fitting(
    element: dict[str, np.ndarray], signature: dict[str, tf.TensorSpec]
) -> dict[str, np.ndarray]:
    """Refuse an element unlike the first."""
    alike = element.keys() == signature.keys() and all(
        signature[name].shape.is_compatible_with(part.shape)
        and np.can_cast(part.dtype, signature[name].dtype.as_numpy_dtype, "same_kind")
        for name, part in element.items()
    )
    if not alike:
        shown = {name: (part.shape, str(part.dtype)) for name, part in element.items()}
        first = {name: (tuple(s.shape), s.dtype.name) for name, s in signature.items()}
        raise InvalidInputError(
            f"Expected batches like the first, {first}. Received: {shown}. Give all of them the "
            "same parts, types and shapes, but for the number of rows."
        )
    return {
        name: np.asarray(element[name], spec.dtype.as_numpy_dtype)
        for name, spec in signature.items()
    }
