"""What a model does around Keras's `fit`: data sets, optimisers, callbacks, the kind of data."""

import contextlib
import itertools
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from genzoo.core.compat.keras import forget_step_functions, start_at_epoch
from genzoo.core.engine.replicas import lost_workers_told
from genzoo.core.errors import InvalidInputError
from genzoo.core.inputs.batches import ArrayData, Batch, StreamData, reaches_all
from genzoo.core.inputs.schema import Data
from genzoo.core.inputs.spec import DataSpec
from genzoo.core.inputs.units import RunningMoments

# rows at a time of a pass that looks at the data before training
_LOOKED_AT = 4096


def as_callbacks(given: Any) -> list[keras.callbacks.Callback]:
    """Return what was given to `fit` as a list."""
    if isinstance(given, keras.callbacks.CallbackList):
        raise InvalidInputError(
            "Expected callbacks as a list. Received: a keras.callbacks.CallbackList"
        )
    if given is None:
        return []
    return [given] if isinstance(given, keras.callbacks.Callback) else list(given)


class EpochNumber:
    """The epoch that `fit` is in; an object of its own, since TensorFlow keeps what reads it.

    It counts on from the steps that were made before, so that `fit` in a loop, an epoch a time,
    does not meet the rows in one order again and again.
    """

    number = start = 0

    def read(self) -> int:
        return self.start + self.number


class FitCallback(keras.callbacks.Callback):
    """Last of the callbacks of a `fit`: knows its epoch, and calls those that wait for all others.

    These have `on_fit_ready(callbacks)`, `on_epoch_ready(epoch)` or `on_epoch_over(epoch)`;
    `on_fit_over()` is called when `fit` ends, by an exception too.
    """

    callbacks: Sequence[keras.callbacks.Callback] = ()
    data: StreamData | None = None
    validation: StreamData | None = None

    def __init__(self):
        super().__init__()
        self.epoch = EpochNumber()
        self._steps = 0

    def on_train_begin(self, logs=None):
        self._call("on_fit_ready", self.callbacks)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch.number, self._steps = epoch, 0
        if self.data is not None:
            self.data.tell("on_epoch_begin")
        self._call("on_epoch_ready", epoch)

    def on_train_batch_end(self, batch, logs=None):
        self._steps += 1

    def on_epoch_end(self, epoch, logs=None):
        if not self._steps:
            raise InvalidInputError(
                "Expected data that can be read again in every epoch. Received: a data set that "
                f"was empty in epoch {epoch + 1}. Make it begin anew each time that it is read."
            )
        if self.data is not None:
            self.data.tell("on_epoch_end")
        self._call("on_epoch_over", epoch)

    def on_test_begin(self, logs=None):
        if self.validation is not None:
            self.validation.tell("on_epoch_begin")

    def on_test_end(self, logs=None):
        if self.validation is not None:
            self.validation.tell("on_epoch_end")

    def end(self) -> None:
        self._call("on_fit_over")
        self.callbacks, self.data, self.validation = (), None, None

    def _call(self, hook, *arguments):
        for callback in self.callbacks:
            if hasattr(callback, hook):
                getattr(callback, hook)(*arguments)


def weight_scale(data: ArrayData | StreamData) -> float | None:
    """Return what makes the mean weight of the rows 1; `None` where rows have no weights."""
    if data.mean_weight is None:
        return None
    if not data.mean_weight:
        raise InvalidInputError(
            "Expected a weight above 0. Received: sample_weight of zeros alone."
        )
    return 1.0 / data.mean_weight


# Training


def read_validation(model, x, data, validation_data, validation_split, batch_size, steps):
    """Return the data to train on and those to validate on, `None` for none."""
    if validation_data is not None:
        parts = validation_data if isinstance(validation_data, tuple) else (validation_data,)
        if not 1 <= len(parts) <= 3:
            raise InvalidInputError(
                "Expected validation_data of x, (x, context) or (x, context, sample_weight). "
                f"Received: a tuple of {len(parts)}"
            )
        weights = dict(zip(("sample_weight",), parts[2:], strict=False))
        return data, model.inputs.read(*parts[:2], batch_size=batch_size, steps=steps, **weights)
    if not validation_split:
        return data, None
    if not isinstance(data, ArrayData):
        raise InvalidInputError(
            "Expected an array x with validation_split; give validation_data instead. "
            f"Received: validation_split={validation_split!r} with a {type(x).__name__}"
        )
    return data.split(validation_split)


def fit(
    model: keras.Model,
    data: Data,
    validation: Data | None,
    *,
    epochs: int,
    batch_size: int,
    shuffle: bool,
    steps_per_epoch: int | None,
    validation_steps: int | None,
    callbacks: list[keras.callbacks.Callback],
    owned: bool,
    **keras_arguments: Any,
) -> keras.callbacks.History:
    """Run Keras's `fit` on checked data; arguments as of a model's own.

    Args:
        owned: Whether the data were made for this `fit`, and are let go by it.
    """
    data.steps = steps_per_epoch
    streams = [part for part in (data, validation) if isinstance(part, StreamData)]
    compile_by_default(model, data.num_batches(batch_size))
    end_executions_with_epochs(model, steps_per_epoch if data.goes_on else None)
    spec = model.data_spec or model._observe(data, batch_size)
    if model.data_spec is not None:
        # what a weight is worth takes all of them
        weighted = isinstance(data, StreamData) and data.weighted
        check_kind(model, data, spec, batches=None if weighted else 1)
    check_kind(model, validation, spec, batches=None)
    for stream in streams:
        stream.require_another_pass()
    if model.data_spec is None:
        adapt(model, data, spec, batch_size)
    for part in (data, validation):
        narrow(model, part)
    for stream in streams:
        stream.let_go()
    build_optimizers(model)
    made = model.optimizer is not None and not keras_arguments.get("initial_epoch")
    model.fit_callback.epoch.start = int(model.optimizer.iterations.numpy()) if made else 0
    training_data = dataset(model, data, batch_size, shuffle and model.shuffles)
    steps = None
    if data.goes_on:
        training_data, steps = training_data.repeat(), steps_per_epoch
    with contextlib.ExitStack() as stack:
        stack.enter_context(lost_workers_told(model.distribute_strategy))
        stack.enter_context(warnings.catch_warnings())
        for stream in streams:
            stack.enter_context(stream.failures_told())
        if streams and steps is None:
            # Keras says so at the end of every epoch over a stream of unknown length
            warnings.filterwarnings("ignore", "Your input ran out of data")
        model.fit_callback.data = data if data in streams else None
        model.fit_callback.validation = validation if validation in streams else None
        try:
            history = keras.Model.fit(
                model,
                training_data,
                callbacks=[*callbacks, model.fit_callback],
                epochs=epochs,
                shuffle=False,
                validation_data=None
                if validation is None
                else scored_dataset(model, validation, batch_size, validation_steps),
                steps_per_epoch=steps,
                **keras_arguments,
            )
        finally:
            start_at_epoch(model, None)
            model.fit_callback.end()
            for keeper in model._iterators.values():
                keeper.let_go()
            for stream in streams:
                if owned or stream is validation:
                    stream.close()
    model._check_trained(data.first_batch(batch_size))
    return history


def evaluate(
    model: keras.Model,
    data: Data,
    *,
    batch_size: int,
    steps: int | None,
    owned: bool,
    **keras_arguments: Any,
) -> Any:
    """Run Keras's `evaluate` on checked data; arguments as of `fit`."""
    check_kind(model, data, model.data_spec, batches=None)
    compile_by_default(model, data.num_batches(batch_size))
    if isinstance(data, ArrayData):
        batches = scored_dataset(model, data, batch_size, steps)
        return keras.Model.evaluate(model, batches, **keras_arguments)
    if not data.read_kept():
        data.require_another_pass()
    try:
        with data.failures_told(), warnings.catch_warnings():
            # as of every stream of unknown length
            warnings.filterwarnings("ignore", "Your input ran out of data")
            batches = scored_dataset(model, data, batch_size, steps)
            return keras.Model.evaluate(model, batches, **keras_arguments)
    finally:
        if owned:
            data.close()


def one_batch(model: keras.Model, method: str, x: Any, data: Data) -> Any:
    """Return all of checked data as one batch, dealt out to the replicas."""
    if isinstance(data, StreamData):
        raise InvalidInputError(
            f"Expected an array x in {method}(). Received: a {type(x).__name__}. "
            "Call it for each batch, or use fit or evaluate."
        )
    check_kind(model, data, model.data_spec)
    compile_by_default(model, model.default_steps_per_execution)
    strategy, n = model.distribute_strategy, len(data)
    if strategy.num_replicas_in_sync == 1:
        return _whole_batch(data)
    if not reaches_all(n, strategy.num_replicas_in_sync):
        raise InvalidInputError(
            f"Expected a batch with rows for each of {strategy.num_replicas_in_sync} replicas. "
            f"Received: {n} rows. Give more of them."
        )
    whole = tf.data.Dataset.from_tensor_slices(_whole_batch(data)).batch(n)
    return next(iter(strategy.experimental_distribute_dataset(whole)))


def _whole_batch(data: ArrayData) -> Batch:
    scale = weight_scale(data)
    rows = data.first_batch(len(data))
    batch = {name: tf.convert_to_tensor(part) for name, part in rows.items()}
    if scale is not None:
        batch["sample_weight"] *= scale
    return batch


def metric_results(model: keras.Model, return_dict: bool) -> Any:
    """Return what `fit` shows, as Keras's methods of a batch do."""
    # what a step returns under a strategy is the mean over replicas, not over rows
    logs = {name: float(np.mean(v)) for name, v in model.get_metrics_result().items()}
    values = list(logs.values())
    return logs if return_dict else values[0] if len(values) == 1 else values


# Data sets


def dataset(model: keras.Model, data: Data, batch_size: int, shuffle: bool) -> tf.data.Dataset:
    """Return the batches of an epoch for Keras."""
    batches = model._batch_dataset(data, batch_size, shuffle)
    if model.distribute_strategy.num_replicas_in_sync == 1:
        return batches
    # the end of an epoch would wait for the tuner, see IteratorKeeper; Keras makes and drops
    # more iterators than steps see
    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.with_options(options)


def scored_dataset(
    model: keras.Model, data: Data, batch_size: int, steps: int | None
) -> tf.data.Dataset:
    """Return the batches to validate on, the first `steps` ones."""
    batches = dataset(model, data, batch_size, shuffle=False)
    return batches if steps is None else batches.take(steps)


def batch_dataset(model: keras.Model, data: Data, batch_size: int, shuffle: bool):
    """Return the batches of an epoch, their weights of mean 1 over the data."""
    batches = data.dataset(
        batch_size,
        shuffle=shuffle,
        seed=model.seed,
        num_replicas=model.distribute_strategy.num_replicas_in_sync,
        epoch=model.fit_callback.epoch.read,
    )
    scale = weight_scale(data)
    if scale is None:
        return batches
    return batches.map(
        lambda batch: {**batch, "sample_weight": scale * batch["sample_weight"]}
    ).prefetch(tf.data.AUTOTUNE)


# Optimisers


def compile_by_default(model: keras.Model, num_batches: int) -> None:
    """Compile a model that was not, with an optimiser of its own choice."""
    if not model.compiled:
        steps = min(model.default_steps_per_execution, num_batches)
        with model.distribute_strategy.scope():
            model.compile(optimizer=model._default_optimizer(), steps_per_execution=steps)
    if model.distribute_strategy.num_replicas_in_sync > 1 and model.steps_per_execution > 1:
        # several steps in one loop over replicas fail inside Keras 3 (an unfed placeholder)
        model.steps_per_execution = 1


def end_executions_with_epochs(model: keras.Model, steps_per_epoch: int | None) -> None:
    """Make executions end with the epoch, where Keras is to count `steps_per_epoch`."""
    if model.distribute_strategy.num_replicas_in_sync > 1:
        return
    steps = (model.get_compile_config() or {}).get("steps_per_execution") or 1
    if steps_per_epoch is not None:
        steps = max(k for k in range(1, steps + 1) if steps_per_epoch % k == 0)
    if steps != model.steps_per_execution:
        model.steps_per_execution = steps
        forget_step_functions(model)


def build_optimizers(model: keras.Model) -> None:
    """Make the optimisers' variables: made in the first trace, they would cost a second one."""
    with model.distribute_strategy.scope():
        for optimizer, variables in model._optimized():
            if not optimizer.built:
                optimizer.build(variables)


# The kind of the data


def observe(model: keras.Model, data: Data, batch_size: int) -> DataSpec:
    """Return the kind of the data, in one pass that also checks streams."""
    moments, contexts = RunningMoments(), RunningMoments()
    counts = np.zeros(model.num_classes or 0, np.int64)
    for batch in data.batches(max(batch_size, _LOOKED_AT)):
        moments.update(batch["x"])
        if model.num_classes:
            counts += np.bincount(batch["context"], minlength=model.num_classes)
        elif model.context_dim:
            contexts.update(batch["context"])
    spec = model._spec_of(moments)
    model.class_counts = counts.tolist() if model.num_classes else None
    if model.context_dim:
        model.context_spec.standardize(contexts)
        model._forget_graphs()
    return spec


def adapt(model: keras.Model, data: Data, spec: DataSpec, batch_size: int) -> None:
    """Show data of a kind to the parts that start from them."""
    before = model.data_spec
    model._set_spec(spec)
    try:
        with model.distribute_strategy.scope():
            model._adapt_parts(lambda: _model_batches(model, data, batch_size))
    except BaseException:
        model.data_spec = before
        raise


def _model_batches(model, data, batch_size) -> Iterator[Batch]:
    """Yield the data in order as the numbers that the model computes with."""
    for batch in data.batches(max(batch_size, _LOOKED_AT)):
        yield {**batch, "x": model.to_model(batch["x"]).numpy()}


def check_kind(
    model: keras.Model, data: Data | None, spec: DataSpec, batches: int | None = 1
) -> None:
    """Refuse data of another kind; of streams look at so many batches now, all for `None`."""
    if isinstance(data, ArrayData):
        spec.check(data.rows["x"], float_dtype=model.float_dtype)
    elif isinstance(data, StreamData):

        def inspect(batch):
            spec.check(batch["x"], float_dtype=model.float_dtype)

        data.inspect = inspect
        for _ in itertools.islice(data.batches(), batches):
            pass


def narrow(model: keras.Model, data: Data | None) -> None:
    """Cast floats in memory to the model's type, once, where nothing is taken from them."""
    if isinstance(data, ArrayData) and model.data_spec.offset is None:
        data.cast_floats(model.float_dtype)


def step_results(results: dict[str, Any]) -> dict[str, Any]:
    """Return what a step may return under the strategy at hand."""
    strategy = tf.distribute.get_strategy()
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        # Keras averages these over axis 0, which a scalar lacks (keras issue 20585)
        return tf.nest.map_structure(lambda value: tf.reshape(value, [1]), results)
    return results
