"""Sequences from outside: lists, padded arrays, concatenated arrays and streams, as padded batches.

A batch is a dict of `x` [b, T, *event_shape], `lengths` [b] and `mask`, true where a step was
observed, [b, T], or, where steps may lack single values, [b, T, *event_shape].
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from genzoo.core.checks import check_array, check_numeric, check_share
from genzoo.core.errors import InvalidInputError
from genzoo.core.inputs.batches import (
    ArrayData,
    Batch,
    StreamData,
    check_class_weight,
    check_weights,
)
from genzoo.core.inputs.passes import epochs
from genzoo.core.inputs.schema import Schema
from genzoo.core.inputs.sources import is_stream
from genzoo.core.maths.random import uniform_rows

_VALUES_A_BATCH = 2**23
_STEPS_A_BATCH = 2**17
_CACHED_BYTES = 2**28
_FEW_STEPS = 2**15
_READ_AT_A_TIME = 4096
_PARTS = ("x", "lengths", "mask")
WEIGHT = "sample_weight"


class SequenceData(ArrayData):
    """Sequences in memory: their steps one after the other, in one array.

    Args:
        steps: [total, *event_shape], without NaN.
        lengths: [n], of sum `total`.
        mask: Whether a step [total], or a value [total, *event_shape], was observed.
        form: `"list"`, `"padded"` or `"concatenated"`: how the user gave them.
        width: Steps of a padded array.
        weights: Of the sequences, float64 [n]; `None` for 1.
    """

    def __init__(self, steps, lengths, mask, form="concatenated", width=0, weights=None):
        super().__init__({"x": steps} if weights is None else {"x": steps, WEIGHT: weights})
        self.lengths = np.asarray(lengths, np.int64)
        self.mask, self.form, self.width = mask, form, width
        self._starts = np.cumsum(self.lengths) - self.lengths

    def __len__(self) -> int:
        return len(self.lengths)

    def with_steps(self, steps: Any) -> "SequenceData":
        """Return the same sequences with other steps in place of theirs."""
        weights = self.rows.get(WEIGHT)
        other = SequenceData(steps, self.lengths, self.mask, self.form, self.width, weights)
        other.steps = self.steps
        return other

    def take(self, i: int) -> "SequenceData":
        """Return sequence i alone."""
        ((start, length),) = self._spans([i])
        own = slice(start, start + length)
        return SequenceData(self.rows["x"][own], [length], self.mask[own])

    def split(self, fraction):
        check_share(fraction, "validation_split")
        at = int(len(self) * (1.0 - fraction))
        if at in (0, len(self)):
            raise InvalidInputError(
                "Expected validation_split to leave sequences on both sides. "
                f"Received: validation_split={fraction!r} of {len(self)} sequences"
            )
        step, steps = self._starts[at], self.rows["x"]
        weights = self.rows.get(WEIGHT)
        first, last = (None, None) if weights is None else (weights[:at], weights[at:])
        head = SequenceData(steps[:step], self.lengths[:at], self.mask[:step], weights=first)
        tail = SequenceData(steps[step:], self.lengths[at:], self.mask[step:], weights=last)
        return head, tail

    def usual_batch_size(self, values: int) -> int:
        """Return the number of sequences of a batch of moderate size.

        Args:
            values: Intermediate values that a model has of each step.
        """
        steps = min(_VALUES_A_BATCH // values, _STEPS_A_BATCH)
        return int(min(max(steps // self.lengths.mean(), 1), 4096))

    def plan(self, batch_size: int, *, exact: bool = False) -> list[tuple[np.ndarray, int]]:
        """Return the batches: numbers of sequences of much the same length, and their width.

        Widths are few, so that few shapes are compiled: four an octave, and one alone where that
        wastes little. Where `exact`, the one of sequences that share it is their longest length.
        """
        widths = _rounded(self.lengths, 3)
        if len(self) * widths.max() <= max(1.25 * self.lengths.sum(), _FEW_STEPS):
            widths[:] = self.lengths.max() if exact else widths.max()
        batches = []
        for width in np.unique(widths):
            members = np.flatnonzero(widths == width)
            for start in range(0, len(members), batch_size):
                batches.append((members[start : start + batch_size], int(width)))
        return batches

    def num_batches(self, batch_size):
        return self.steps or len(self.plan(batch_size, exact=True))

    def batches(self, batch_size) -> Iterator[Batch]:
        for members, width in self.plan(batch_size, exact=True):
            yield self.batch(members, width)

    def batch(self, members: np.ndarray, width: int, rows: int | None = None) -> Batch:
        """Return a padded batch of `members`; of `rows` rows, spare ones are empty."""
        rows = rows or len(members)
        lengths = np.zeros(rows, np.int32)
        lengths[: len(members)] = self.lengths[members]
        x, mask = (
            np.zeros((rows, width, *values.shape[1:]), values.dtype)
            for values in (self.rows["x"], self.mask)
        )
        for row, (start, length) in enumerate(self._spans(members)):
            x[row, :length] = self.rows["x"][start : start + length]
            mask[row, :length] = self.mask[start : start + length]
        batch = {"x": x, "lengths": lengths, "mask": mask}
        if WEIGHT in self.rows:
            batch[WEIGHT] = np.zeros(rows)
            batch[WEIGHT][: len(members)] = self.rows[WEIGHT][members]
        return batch

    def _spans(self, members):
        return zip(self._starts[members].tolist(), self.lengths[members].tolist(), strict=True)

    def dataset(
        self, batch_size, *, shuffle=False, seed=None, num_replicas=1, epoch=None
    ) -> tf.data.Dataset:
        """Return the batches of `plan`, padded as they are read; see `ArrayData`."""
        plan = self.plan(batch_size, exact=True)
        ends = np.cumsum([len(members) for members, _ in plan])
        order = tf.constant(np.concatenate([members for members, _ in plan]))
        starts, lengths = tf.constant(self._starts), tf.constant(self.lengths)
        steps, mask = tf.convert_to_tensor(self.rows["x"]), tf.convert_to_tensor(self.mask)
        last = tf.shape(steps, tf.int64)[0] - 1

        def gather(begin, end, width):
            members = order[begin:end]
            place = tf.range(width)
            own = tf.gather(lengths, members)
            at = tf.minimum(tf.gather(starts, members)[:, None] + place, last)
            inside = tf.reshape(place < own[:, None], [end - begin, width] + [1] * (mask.ndim - 1))
            batch = {
                "x": tf.gather(steps, at),
                "lengths": tf.cast(own, tf.int32),
                "mask": tf.gather(mask, at) & inside,
            }
            if WEIGHT in self.rows:
                batch[WEIGHT] = tf.gather(self.rows[WEIGHT], members)
            return batch

        begins = np.concatenate([[0], ends[:-1]]).astype(np.int64)
        widths = np.array([width for _, width in plan], np.int64)
        table = table_of_pass = tf.data.Dataset.from_tensor_slices(
            (begins, ends.astype(np.int64), widths)
        )
        padded = sum(len(members) * width for members, width in plan)
        values = self.rows["x"][:1].nbytes + self.mask[:1].nbytes
        if self.steps is not None:
            table = epochs(lambda number: table_of_pass, len(plan), self.steps, epoch)
        batches = table.map(gather, num_parallel_calls=2, deterministic=True)
        few = self.steps is None and padded * values <= _CACHED_BYTES
        return batches.cache() if few else batches.prefetch(2)

    # Results

    def join_sequences(self, results: list[np.ndarray], plan) -> np.ndarray:
        """Return results of sequences, batch by batch, in the order of the sequences."""
        joined = np.empty((len(self), *results[0].shape[1:]), results[0].dtype)
        for (members, _), result in zip(plan, results, strict=True):
            joined[members] = result[: len(members)]
        return joined

    def join_steps(self, results: list[np.ndarray], plan, fill: Any) -> Any:
        """Return results of steps [b, T, ...] in the form in which the sequences came."""
        total = int(self.lengths.sum())
        joined = np.empty((total, *results[0].shape[2:]), results[0].dtype)
        for (members, _), result in zip(plan, results, strict=True):
            for row, (start, length) in enumerate(self._spans(members)):
                joined[start : start + length] = result[row, :length]
        if self.form == "concatenated":
            return joined
        if self.form == "list":
            return np.split(joined, self._starts[1:])
        padded = np.full((len(self), self.width, *joined.shape[1:]), fill, joined.dtype)
        padded[np.arange(self.width) < self.lengths[:, None]] = joined
        return padded


class SequenceStream(StreamData):
    """Padded batches of a user's, or one sequence an element; see `StreamData`.

    Elements are `x`, `(x, lengths)`, `(x, lengths, mask)` or dicts of them, which may have a
    `sample_weight` too.

    Args:
        source, event_shape, batch_size, steps: As in `StreamData`.
        counts: Whether floats stand for integers.
    """

    def __init__(self, source, event_shape, batch_size, steps=None, *, counts=False):
        rank = len(event_shape)
        self._open(source, _name_parts, rank, steps)
        spec = self._source.seen.element_spec
        named = _name_parts(spec)
        shape = named["x"].shape
        known = shape.rank is not None and shape.rank - rank in (1, 2)
        if not known or tuple(shape[shape.rank - rank :]) != event_shape:
            raise InvalidInputError(
                f"Expected a data set of sequences of steps of shape {event_shape}, batched and "
                f"padded or one at a time. Received: element_spec={spec}"
            )
        batched = shape.rank - rank == 2

        def prepare(dataset):
            dataset = dataset.map(
                lambda *parts: _complete(
                    _name_parts(parts if len(parts) > 1 else parts[0]), batched
                ),
                num_parallel_calls=2,
                deterministic=True,
            )
            return dataset if batched else dataset.padded_batch(batch_size)

        self._prepare = prepare
        self._dataset = prepare(self._source.seen)
        self._event_shape = event_shape
        kind = named["x"].dtype
        self._counts = counts and kind.is_floating
        self.values_missing, self._seen = False, False
        self.dtype = np.dtype(np.int64 if self._counts else kind.as_numpy_dtype)

    def batches(self, batch_size=None):
        """Yield one epoch as arrays, checked."""
        yield from super().batches()
        self._seen = True

    def in_memory(self) -> SequenceData:
        """Return all of them, as a list of sequences."""
        parts = list(map(self._sequences, self._pass()))
        wide = max((part.mask for part in parts), key=np.ndim)
        masks = [
            part.mask if part.mask.ndim == wide.ndim
            else np.broadcast_to(
                part.mask.reshape(-1, *[1] * (wide.ndim - 1)), (len(part.mask), *wide.shape[1:])
            )
            for part in parts
        ]  # fmt: skip
        self.close()
        return SequenceData(
            np.concatenate([part.rows["x"] for part in parts]),
            np.concatenate([part.lengths for part in parts]),
            np.concatenate(masks),
            "list",
        )

    def _sequences(self, batch):
        data = check_sequences(
            batch["x"], self._event_shape, batch["lengths"], batch["mask"], counts=self._counts
        )
        if WEIGHT in batch:
            data.rows[WEIGHT] = check_weights(batch[WEIGHT], len(data))
        return data

    def _check(self, batch):
        data = self._sequences(batch)
        self.values_missing |= data.mask.ndim > 1
        return data.batch(np.arange(len(data)), data.width)

    def dataset(self, batch_size, *, shuffle=False, seed=None, num_replicas=1, epoch=None):
        if not self._seen:
            # a pass that checks the values and looks for missing ones
            for _ in self.batches():
                pass
        dataset = self._batches_to_train_on(shuffle, seed, epoch)
        return dataset.map(self._pad, num_parallel_calls=2, deterministic=True).prefetch(2)

    def _pad(self, batch):
        x, lengths, mask = (batch[name] for name in _PARTS)
        width = tf.shape(x)[1]
        # as `_rounded` with 3 bits
        unit = 2 ** tf.maximum(_num_bits(width - 1) - 3, 0)
        more = -width % unit
        seen = tf.sequence_mask(lengths, width)
        if x.dtype.is_floating:
            known = ~tf.math.is_nan(x)
            axes = list(range(2, x.shape.rank))
            x = tf.where(known, x, tf.zeros_like(x))
            x = tf.cast(x, self.dtype)
            if not self.values_missing:
                known = tf.reduce_all(known, axis=axes)
            mask &= seen
            mask = known & tf.reshape(
                mask, tf.concat([tf.shape(mask), [1] * (known.shape.rank - 2)], axis=0)
            )
        else:
            mask &= seen
        pad = [[0, 0], [0, more]]
        x = tf.pad(x, pad + [[0, 0]] * (x.shape.rank - 2))
        return {
            **batch,
            "x": x,
            "lengths": lengths,
            "mask": tf.pad(mask, pad + [[0, 0]] * (mask.shape.rank - 2)),
        }


@dataclasses.dataclass(frozen=True)
class SequenceSchema(Schema):
    """Sequences of any lengths, with or without missing steps and weights.

    Args:
        counts: Whether steps are whole numbers, which floats may stand for.
        parts_missing: Whether a step may lack some of its values.
    """

    counts: bool = False
    parts_missing: bool = False

    def read(
        self,
        x: Any,
        lengths: Any = None,
        batch_size: int | None = None,
        steps: int | None = None,
        *,
        mask: Any = None,
        sample_weight: Any = None,
        class_weight: dict[int, float] | None = None,
    ) -> SequenceData | SequenceStream:
        """Return what a user gave as checked sequences; such data as they are.

        Args:
            x: A list of arrays, a padded array, or one array with `lengths`; or a stream of them.
            lengths: Steps of each sequence.
            batch_size, steps, sample_weight, class_weight: As of `Schema.read`, of sequences.
            mask: Which steps, or values, were observed.
        """
        if class_weight is not None:
            check_class_weight(class_weight, self.context.num_classes)
        if isinstance(x, (SequenceData, SequenceStream)):
            return x
        return read_sequences(
            x,
            self.event_shape,
            lengths,
            mask,
            sample_weight,
            batch_size=batch_size or _READ_AT_A_TIME,
            steps=steps,
            counts=self.counts,
            parts_missing=self.parts_missing,
        )


def _name_parts(element: Any) -> Batch:
    if isinstance(element, dict):
        parts = dict(element)
    elif isinstance(element, (tuple, list)):
        parts = dict(zip((*_PARTS, WEIGHT), element, strict=False))
    else:
        parts = {"x": element}
    if "x" not in parts or not set(parts) <= {*_PARTS, WEIGHT}:
        raise InvalidInputError(
            "Expected a data set with x, and perhaps lengths, mask and sample_weight. "
            f"Received: elements with {' and '.join(parts)}."
        )
    return parts


def _complete(parts: Batch, batched: bool) -> Batch:
    shape = tf.shape(parts["x"])
    rows = shape[:1] if batched else shape[:0]
    width = shape[1] if batched else shape[0]
    lengths = tf.cast(parts.get("lengths", tf.fill(rows, width)), tf.int32)
    mask = parts.get("mask", tf.fill(shape[:2] if batched else shape[:1], True))
    weight = {WEIGHT: tf.cast(parts[WEIGHT], tf.float64)} if WEIGHT in parts else {}
    return {"x": parts["x"], "lengths": lengths, "mask": tf.cast(mask, tf.bool), **weight}


def read_sequences(
    x: Any,
    event_shape: tuple[int, ...],
    lengths: Any = None,
    mask: Any = None,
    sample_weight: Any = None,
    *,
    batch_size: int,
    steps: int | None = None,
    counts: bool = False,
    parts_missing: bool = True,
) -> SequenceData | SequenceStream:
    """Return sequences from outside, in memory or a stream, checked.

    Args:
        x: As in `check_sequences` or `SequenceStream`.
        event_shape, lengths, mask, counts, parts_missing: As in `check_sequences`.
        sample_weight: Of the sequences, [n].
        batch_size, steps: Of a stream, as in `StreamData`.

    Raises:
        InvalidInputError: For anything else.
    """
    if is_stream(x):
        if any(given is not None for given in (lengths, mask, sample_weight)):
            raise InvalidInputError(
                "Expected lengths, mask and weights inside the data set, as dicts of x, "
                "lengths, mask and sample_weight. Received: one of them beside a "
                f"{type(x).__name__}"
            )
        return SequenceStream(x, event_shape, batch_size, steps, counts=counts)
    data = check_sequences(
        x, event_shape, lengths, mask, counts=counts, parts_missing=parts_missing
    )
    if sample_weight is not None:
        data.rows[WEIGHT] = check_weights(sample_weight, len(data))
    return data


def observed_steps(x: np.ndarray, mask: np.ndarray, event_shape: tuple[int, ...]) -> np.ndarray:
    """Return the steps [n, *event_shape] of which something was observed, NaN where a value was
    not; one of NaN alone where there are none.

    Args:
        x: [..., *event_shape].
        mask: True where a step, or a value, was observed.
        event_shape: Shape of one step.
    """
    lead = x.ndim - len(event_shape)
    if mask.ndim > lead:
        x = np.where(mask, x, np.nan)
        mask = mask.any(axis=tuple(range(lead, mask.ndim)))
    rows = x[mask]
    return rows if len(rows) else np.full((1, *event_shape), np.nan)


def check_sequences(
    x: Any,
    event_shape: tuple[int, ...],
    lengths: Any = None,
    mask: Any = None,
    *,
    counts: bool = False,
    parts_missing: bool = True,
) -> SequenceData:
    """Return sequences from outside, checked; NaN is a missing value.

    Args:
        x: A list of arrays [T_i, *event_shape]; a padded array [n, T, *event_shape] with `lengths`
            [n] (`None`: all T); or one array [sum of lengths, *event_shape] with `lengths`
            (`None`: one sequence). The rank tells them apart.
        event_shape: Shape of one step.
        lengths: [n].
        mask: Whether a step was observed, shaped as x without `event_shape`.
        counts: Whether floats stand for integers and become such.
        parts_missing: Whether a step may lack some of its values.

    Raises:
        InvalidInputError: For anything else.
    """
    form, width = "concatenated", 0
    of_arrays = isinstance(x, np.ndarray) and x.dtype == object and x.ndim == 1
    if of_arrays or isinstance(x, tf.RaggedTensor):
        x = list(x)
    if isinstance(x, (list, tuple)):
        form = "list"
        if lengths is not None:
            raise InvalidInputError(
                "Expected no lengths with a list of sequences, each an array of its own. "
                f"Received: lengths={lengths!r}"
            )
        steps, lengths = _join(x, event_shape, "x")
        mask = None if mask is None else _join(mask, (), "mask")[0]
    else:
        steps = _as_array(x, "x")
        if steps.ndim == len(event_shape) + 2:
            form, width = "padded", steps.shape[1]
            lengths = _check_lengths(lengths, len(steps), width)
            inside = np.arange(width) < lengths[:, None]
            mask = None if mask is None else _check_mask(mask, steps.shape[:2])[inside]
            whole = inside.all()
            steps = steps.reshape(-1, *steps.shape[2:]) if whole else steps[inside]
        elif lengths is not None:
            lengths = np.asarray(lengths)
            if lengths.ndim != 1 or lengths.dtype.kind not in "iu" or (lengths < 1).any():
                raise InvalidInputError(
                    "Expected lengths of positive integers, shape (n,). "
                    f"Received: lengths={lengths!r}"
                )
            if lengths.sum() != len(np.atleast_1d(steps)):
                raise InvalidInputError(
                    "Expected lengths that sum to the number of steps of x. Received: lengths of "
                    f"sum {lengths.sum()} with x.shape={steps.shape}"
                )
    if steps.shape[1:] != event_shape or steps.ndim == 0:
        one = _shown("steps", *event_shape)
        raise InvalidInputError(
            f"Expected x of shape {_shown('n', 'steps', *event_shape)} or {one}, or a list of "
            f"arrays of shape {one}. Received: x.shape={np.shape(x)}. Reshape the data, or "
            "build the model with the event_shape of one step."
        )
    lengths = [len(steps)] if lengths is None else lengths
    steps, observed = _fill(steps, parts_missing)
    steps = check_array(steps, event_shape)
    if mask is not None:
        mask = _check_mask(mask, steps.shape[:1])
        observed &= mask.reshape(-1, *[1] * (observed.ndim - 1))
    if counts:
        steps = _whole(steps)
    return SequenceData(steps, lengths, observed, form, width)


def _shown(*axes: Any) -> str:
    return str(axes).replace("'", "")


def _as_array(x: Any, name: str) -> np.ndarray:
    array = check_numeric(x, name)
    if array.ndim and array.size == 0:
        raise InvalidInputError(
            f"Expected {name} to have at least one step. Received: {name}.shape={array.shape}. "
            "Leave empty sequences out."
        )
    return array


def _join(sequences: Any, event_shape: tuple[int, ...], name: str):
    if not len(sequences):
        raise InvalidInputError(
            f"Expected {name} to have at least one row. Received: {name}={sequences!r}"
        )
    arrays = []
    for i, sequence in enumerate(sequences):
        array = _as_array(sequence, f"{name}[{i}]")
        if array.ndim != len(event_shape) + 1 or array.shape[1:] != event_shape:
            raise InvalidInputError(
                f"Expected {name} to be a list of arrays of shape {_shown('steps', *event_shape)}. "
                f"Received: {name}[{i}].shape={array.shape}. Pass a single sequence as one array."
            )
        arrays.append(array)
    return np.concatenate(arrays), np.array([len(array) for array in arrays])


def _check_lengths(lengths, n, width) -> np.ndarray:
    if lengths is None:
        return np.full(n, width)
    array = np.asarray(lengths)
    whole = array.shape == (n,) and array.dtype.kind in "iu"
    if not whole or array.min() < 1 or array.max() > width:
        raise InvalidInputError(
            f"Expected lengths of integers from 1 to {width}, shape ({n},), one for each sequence "
            f"of the padded x. Received: lengths={lengths!r}"
        )
    return array


def _check_mask(mask, shape) -> np.ndarray:
    array = np.asarray(mask)
    if array.shape != tuple(shape) or array.dtype.kind not in "bui":
        raise InvalidInputError(
            f"Expected mask of booleans, shape {tuple(shape)}: true where a step was observed. "
            f"Received: mask of shape {array.shape}, dtype {array.dtype}"
        )
    return array.astype(bool)


def _fill(steps, parts_missing) -> tuple[np.ndarray, np.ndarray]:
    """Return the steps with zeros for NaN, and what was observed."""
    observed = np.ones(len(steps), bool)
    # the sum is finite if all values are, and much the faster look
    with np.errstate(over="ignore", invalid="ignore"):
        if steps.dtype.kind != "f" or not np.isnan(steps.sum()):
            return steps, observed
    known = ~np.isnan(steps)
    flat = known.reshape(len(steps), -1)
    if (flat.all(axis=1) == flat.any(axis=1)).all():
        observed = flat.all(axis=1)
    elif parts_missing:
        observed = known
    else:
        row = int(np.argmax(flat.all(axis=1) != flat.any(axis=1)))
        raise InvalidInputError(
            "Expected steps that are missing as a whole, with these emissions. "
            f"Received: x with some values NaN in step {row}. Make the whole step NaN."
        )
    return np.where(known, steps, np.zeros_like(steps)), observed


def _whole(steps) -> np.ndarray:
    if steps.dtype.kind != "f":
        return steps
    whole = np.round(steps)
    if (whole != steps).any():
        raise InvalidInputError(
            "Expected whole numbers with these emissions. Received: x with fractions. "
            "Choose emission='gaussian' for real numbers."
        )
    return whole.astype(np.int64)


def _rounded(numbers, bits: int) -> np.ndarray:
    """Return integers rounded up to so many significant bits, at least 8."""
    numbers = np.maximum(np.asarray(numbers, np.int64), 8)
    unit = 2 ** np.maximum(np.frexp(numbers - 1)[1] - bits, 0)
    return -(-numbers // unit) * unit


def _num_bits(number: tf.Tensor) -> tf.Tensor:
    wide = tf.cast(tf.maximum(number, 1), tf.float64)
    return tf.cast(tf.floor(tf.math.log(wide) / np.log(2.0)), tf.int32) + 1


def dequantized(steps: np.ndarray, seed: tf.Tensor, dtype: str) -> np.ndarray:
    """Return integers [total, ...] plus uniform noise of each step's own."""
    noise = uniform_rows(len(steps), steps.shape[1:], seed, 0, dtype)
    return steps.astype(dtype) + noise.numpy()


def dequantized_batch(x, lengths, seed, first_step, dtype) -> tf.Tensor:
    """Return a padded batch of integers plus noise, in graph: the noise that `dequantized` gives
    sequences that follow each other from step `first_step` on."""
    lengths = tf.cast(lengths, tf.int64)
    noise = uniform_rows(tf.reduce_sum(lengths), tuple(x.shape[2:]), seed, first_step, dtype)
    at = tf.cumsum(lengths, exclusive=True)[:, None] + tf.range(tf.shape(x, tf.int64)[1])
    at = tf.minimum(at, tf.maximum(tf.shape(noise, tf.int64)[0] - 1, 0))
    return tf.cast(x, dtype) + tf.gather(noise, at)


def run_batches(
    data: SequenceData, batch_size: int, run: Callable[[Iterator[list[tf.Tensor]]], Iterator[Any]]
) -> tuple[list[np.ndarray], list[tuple[np.ndarray, int]]]:
    """Return the results of `run` on every batch, and the plan.

    Incomplete batches get empty rows, so that few shapes are compiled.
    """
    plan = data.plan(batch_size)

    def parts():
        for members, width in plan:
            rows = min(int(_rounded(len(members), 4)), batch_size)
            rows = len(members) if len(members) < 8 else max(rows, len(members))
            batch = data.batch(members, width, rows)
            yield [tf.convert_to_tensor(batch[name]) for name in _PARTS]

    return list(run(parts())), plan
