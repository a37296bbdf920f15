"""TrainableModel: the half of the contract that takes data in."""

import contextlib
import dataclasses
import itertools
import json
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from genzoo.core import checks
from genzoo.core.compat.keras import (
    TrainerHooks,
    forget_step_functions,
    remember_saved_attributes,
    start_at_epoch,
    validates_in_fit,
)
from genzoo.core.compat.tensorflow import InCheckpoints, retraced_quietly
from genzoo.core.config import Configured
from genzoo.core.engine.adam import Adam
from genzoo.core.engine.iterators import IteratorKeeper
from genzoo.core.engine.losses import row_weights, total_loss, weigh
from genzoo.core.engine.replicas import lost_workers_told, replica_share
from genzoo.core.engine.variables import with_repeated_names
from genzoo.core.errors import InvalidInputError, NotFittedError
from genzoo.core.inputs.batches import (
    ArrayData,
    Batch,
    StreamData,
    check_batch_size,
    reaches_all,
)
from genzoo.core.inputs.context import ContextSpec
from genzoo.core.inputs.schema import Schema
from genzoo.core.inputs.spec import DataSpec
from genzoo.core.inputs.units import RunningMoments
from genzoo.core.likelihood import NO_LIKELIHOOD, Likelihood
from genzoo.core.registry import refuse_unknown
from genzoo.core.traits import Example, Traits, is_image

_STATE = "fitted_state"
_RANDOM_STATE = "random_state"


class _Graphs:
    """Compiled functions by name; a class of its own so that Keras does not track them."""

    def __init__(self):
        self.by_name: dict[Any, Callable[..., Any]] = {}

    def get(self, name: Any, make: Callable[[], Callable[..., Any]]) -> Callable[..., Any]:
        if name not in self.by_name:
            self.by_name[name] = make()
        return self.by_name[name]


def as_callbacks(given: Any) -> list[keras.callbacks.Callback]:
    """Return what was given to `fit` as a list."""
    if isinstance(given, keras.callbacks.CallbackList):
        raise InvalidInputError(
            "Expected callbacks as a list. Received: a keras.callbacks.CallbackList"
        )
    if given is None:
        return []
    return [given] if isinstance(given, keras.callbacks.Callback) else list(given)


def _check_keras_arguments(name: Any, dtype: Any) -> None:
    if name is not None and (not isinstance(name, str) or not name or "/" in name):
        raise InvalidInputError(f"Expected name to be a word without '/'. Received: name={name!r}")
    try:
        keras.dtype_policies.get(dtype)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            "Expected dtype to be a Keras dtype policy, such as 'float32'. "
            f"Received: dtype={dtype!r}"
        ) from error


def _weight_scale(data: ArrayData | StreamData) -> float | None:
    """Return what makes the mean weight of the rows 1; `None` where rows have no weights."""
    if data.mean_weight is None:
        return None
    if not data.mean_weight:
        raise InvalidInputError(
            "Expected a weight above 0. Received: sample_weight of zeros alone."
        )
    return 1.0 / data.mean_weight


class _EpochNumber:
    """The epoch that `fit` is in; an object of its own, since TensorFlow keeps what reads it.

    It counts on from the steps that were made before, so that `fit` in a loop, an epoch a time,
    does not meet the rows in one order again and again.
    """

    number = start = 0

    def read(self) -> int:
        return self.start + self.number


class _Conductor(keras.callbacks.Callback):
    """Last of the callbacks of a `fit`: knows its epoch, and calls those that wait for all others.

    These have `on_fit_ready(callbacks)`, `on_epoch_ready(epoch)` or `on_epoch_over(epoch)`;
    `on_fit_over()` is called when `fit` ends, by an exception too.
    """

    callbacks: Sequence[keras.callbacks.Callback] = ()
    data: StreamData | None = None
    validation: StreamData | None = None

    def __init__(self):
        super().__init__()
        self.epoch = _EpochNumber()
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


class _FittedState(tf.train.experimental.PythonState):
    """What a model learned beside its weights, as a part of a `tf.train.Checkpoint` of it."""

    def __init__(self, model: "TrainableModel"):
        self._model = weakref.ref(model)

    def serialize(self):
        model = self._model()
        return "" if model.data_spec is None else json.dumps(model.fitted_state())

    def deserialize(self, string_value):
        if string_value:
            self._model().restore_state(json.loads(string_value))


class TrainableModel(TrainerHooks, InCheckpoints, Configured, keras.Model):
    """A `keras.Model` that checks its data, adapts to them, trains and is saved.

    A subclass makes all its weights in its constructor.

    Args:
        event_shape: Shape of one example, such as `(43,)` or `(28, 28, 1)`.
        levels: Integer data run from 0 to `levels - 1`. `None`: told by the data at the first
            `fit` (see `DataSpec.of`).
        context_dim: Width of a context vector, for conditional models.
        num_classes: Number of classes, for models conditional on integer labels.
        seed: Fixes initial weights, the order of the data and every random draw.
        name, dtype: As in Keras.
    """

    traits = Traits()
    default_epochs = 1
    default_batch_size = 128
    default_learning_rate = 1e-3
    default_steps_per_execution = 8
    shuffles = True
    # whether a step leaves nothing beside variables, so that a checkpoint may follow it
    saves_within_epochs = True
    # whether numbers of extreme size may be divided by a power of two before they are rounded
    rescales = True

    def __init_subclass__(cls, **arguments: Any):
        super().__init_subclass__(**arguments)
        if "__init__" in vars(cls):
            cls.__init__ = with_repeated_names(cls.__init__)

    def __init__(
        self,
        event_shape: tuple[int, ...] | int,
        *,
        levels: int | None = None,
        context_dim: int | None = None,
        num_classes: int | None = None,
        seed: int | None = None,
        name: str | None = None,
        dtype: Any = None,
        **unknown: Any,
    ):
        refuse_unknown(unknown, type(self))
        _check_keras_arguments(name, dtype)
        # Keras would cast the data to a mixed policy's compute type, not only inside networks
        super().__init__(name=name, dtype=dtype, autocast=False)
        mixed = ("mixed_bfloat16", "mixed_float16") if self.traits.mixed_precision else ()
        policy = self.dtype_policy.name
        checks.check_choice(policy, ("float32", "float64", *mixed), "dtype")
        scalar = isinstance(event_shape, tuple) and not event_shape
        scalar = scalar and "sequence" in self.traits.examples
        self.event_shape = () if scalar else checks.check_shape(event_shape, "event_shape")
        self.levels = None if levels is None else checks.check_int(levels, "levels", minimum=2)
        self.context_dim = context_dim
        self.num_classes = num_classes
        self.context_spec = ContextSpec(context_dim, num_classes, self.float_dtype)
        self.seed = None if seed is None else checks.check_seed(seed)
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.data_spec: DataSpec | None = None
        self.class_counts: list[int] | None = None
        self._graphs = _Graphs()
        self._conductor = _Conductor()
        self._iterators = {"train": IteratorKeeper(), "test": IteratorKeeper()}
        self._checkpointed_state = _FittedState(self)

    # Declaration

    @property
    def likelihood(self) -> Likelihood:
        """What `log_prob` of this model is."""
        return NO_LIKELIHOOD

    @property
    def example_kind(self) -> Example:
        """What an example is: `"row"`, `"image"`, `"sequence"`, `"text"` or `"pair"`."""
        return self.traits.example(self.event_shape)

    @property
    def on_images(self) -> bool:
        """Whether what the model learns and draws are images."""
        return self.example_kind in ("image", "pair")

    @property
    def context_size(self) -> int:
        """Width of the encoded context; 0 for an unconditional model."""
        return self.context_spec.size

    def encode_context(self, context: tf.Tensor | None) -> tf.Tensor | None:
        """Return the context as float vectors [n, context_size], in graph; labels as one-hot."""
        return self.context_spec.encode(context)

    @property
    def float_dtype(self) -> str:
        """Type of real data, weights and log-probabilities; under mixed precision float32."""
        return self.variable_dtype

    @property
    def event_size(self) -> int:
        """Number of values in one example."""
        return int(np.prod(self.event_shape))

    @property
    def sample_dtype(self) -> str:
        """Type of the samples: that of integer and float64 data, else the model's float type."""
        return self.data_spec.sample_dtype or self.float_dtype

    @property
    def input_dtype(self) -> str:
        """Type of data in exported functions."""
        return self.data_spec.input_dtype(self.float_dtype)

    def to_model(self, x: tf.Tensor) -> tf.Tensor:
        """Return data as the numbers that the model computes with, in graph; see `DataSpec`."""
        x = tf.convert_to_tensor(x)
        return x if self.data_spec is None else self.data_spec.to_model(x, self.float_dtype)

    def _class_name(self) -> str:
        return type(self).__name__

    # Training

    @with_repeated_names
    def fit(
        self,
        x: Any,
        context: Any = None,
        *,
        batch_size: int | None = None,
        epochs: int | None = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        validation_steps: int | None = None,
        steps_per_epoch: int | None = None,
        shuffle: bool = True,
        sample_weight: Any = None,
        class_weight: dict[int, float] | None = None,
        callbacks: Any = None,
        **keras_arguments: Any,
    ) -> keras.callbacks.History:
        """Train with Keras's own `fit`.

        Args:
            x: Array [n, *event_shape] of floats or integers; or batches, or single examples, from
                a `tf.data.Dataset`, a `keras.utils.PyDataset` or a generator: `x`,
                `(x, context)`, `(x, context, sample_weight)` or dicts of these names.
            context: Array [n, context_dim], or labels [n], for conditional models.
            batch_size: Rows a step over all replicas; `None` for the model's default.
            epochs: Passes over the data; `None` for the model's default.
            validation_split: Share of the rows, at the end, to validate on.
            validation_data: `x`, `(x, context)`, `(x, context, sample_weight)` or a data set to
                validate on.
            steps_per_epoch: Batches an epoch, each of which goes on where the last one ended and
                begins the data anew where they end.
            validation_steps: Batches to validate on, the first ones.
            shuffle: Whether to shuffle arrays each epoch, and the batches of a `PyDataset` (seeded
                by the model's `seed`).
            sample_weight: Weights of the rows [n]: one of w counts as w rows alike. They are
                divided by their mean over the data; the loss of a batch is then the sum of weight
                times loss over its number of rows, as in Keras. What starts from the data before
                training, such as standardisation, sees all rows alike.
            class_weight: Weight of a row by its label, for models of `num_classes`; 1 for labels
                not named.
            callbacks: A Keras callback or a list of them.
            **keras_arguments: `verbose`, `initial_epoch`, `validation_freq`.

        A data set is read once by the first `fit`, for the kind and spread of its data, is begun
        once more, to see that it can be, and is then read once an epoch. Of one above 256 MB each
        part of the model that starts from the data reads another pass (standardisation; ActNorm
        the first rows). Of a later `fit` the first batch is read before training, or all, if rows
        have weights. What can be read once is trained on from memory, and refused above 256 MB.
        Validation data are read once and then once each time. A generator is read to its end, into
        memory; with `steps_per_epoch` one epoch of it is, and the next epochs go on from there.

        Several replicas leave out a batch that is too small to give each of them a row.

        Returns:
            Keras's `History`; `loss` is the mean over the epoch, in nats an example, and the
            losses of layers beside it (regularisers and `add_loss`).

        Raises:
            InvalidInputError: For data of the wrong shape, dtype or range, with NaN or infinity,
                or a context that is missing or not expected; before any weight changes.
            WorkerLostError: If another worker of a cluster is gone.
        """
        epochs = checks.check_int(
            self.default_epochs if epochs is None else epochs, "epochs", minimum=0
        )
        self._refuse_unknown(keras_arguments)
        callbacks = as_callbacks(callbacks)
        self._conductor.callbacks = callbacks
        batch_size = check_batch_size(batch_size, self.default_batch_size)
        for name, steps in (
            ("steps_per_epoch", steps_per_epoch),
            ("validation_steps", validation_steps),
        ):
            if steps is not None:
                checks.check_int(steps, name)
        weights = {"sample_weight": sample_weight, "class_weight": class_weight}
        data = self.inputs.read(x, context, batch_size, steps_per_epoch, **weights)
        validation = None
        if validation_data is not None:
            validation = self._validation(validation_data, batch_size, validation_steps)
        elif validation_split:
            if not isinstance(data, ArrayData):
                raise InvalidInputError(
                    "Expected an array x with validation_split; give validation_data instead. "
                    f"Received: validation_split={validation_split!r} with a {type(x).__name__}"
                )
            data, validation = data.split(validation_split)
        data.steps = steps_per_epoch
        streams = [part for part in (data, validation) if isinstance(part, StreamData)]
        self._compile_by_default(data.num_batches(batch_size))
        self._set_steps_per_execution(steps_per_epoch if data.goes_on else None)
        spec = self.data_spec or self._observe(data, batch_size)
        if self.data_spec is not None:
            # what a weight is worth takes all of them
            weighted = isinstance(data, StreamData) and data.weighted
            self._check_kind(data, spec, batches=None if weighted else 1)
        self._check_kind(validation, spec, batches=None)
        for stream in streams:
            stream.require_another_pass()
        if self.data_spec is None:
            self._adapt(data, spec, batch_size)
        for part in (data, validation):
            self._narrow(part)
        for stream in streams:
            stream.let_go()
        with self.distribute_strategy.scope():
            for optimizer, variables in self._optimized():
                if not optimizer.built:
                    optimizer.build(variables)
        made = self.optimizer is not None and not keras_arguments.get("initial_epoch")
        self._conductor.epoch.start = int(self.optimizer.iterations.numpy()) if made else 0
        training_data = self._training_dataset(data, batch_size, shuffle and self.shuffles)
        steps = None
        if data.goes_on:
            training_data, steps = training_data.repeat(), steps_per_epoch
        with contextlib.ExitStack() as stack:
            stack.enter_context(lost_workers_told(self.distribute_strategy))
            stack.enter_context(warnings.catch_warnings())
            for stream in streams:
                stack.enter_context(stream.failures_told())
            if streams and steps is None:
                # Keras says so at the end of every epoch over a stream of unknown length
                warnings.filterwarnings("ignore", "Your input ran out of data")
            self._conductor.data = data if data in streams else None
            self._conductor.validation = validation if validation in streams else None
            try:
                history = super().fit(
                    training_data,
                    callbacks=[*callbacks, self._conductor],
                    epochs=epochs,
                    shuffle=False,
                    validation_data=None
                    if validation is None
                    else self._scored_dataset(validation, batch_size, validation_steps),
                    steps_per_epoch=steps,
                    **keras_arguments,
                )
            finally:
                start_at_epoch(self, None)
                self._conductor.end()
                for keeper in self._iterators.values():
                    keeper.let_go()
                for stream in streams:
                    if stream is not x:
                        stream.close()
        self._check_trained(data.first_batch(batch_size))
        return history

    def _validation(self, given, batch_size, steps) -> ArrayData | StreamData:
        parts = given if isinstance(given, tuple) else (given,)
        if not 1 <= len(parts) <= 3:
            raise InvalidInputError(
                "Expected validation_data of x, (x, context) or (x, context, sample_weight). "
                f"Received: a tuple of {len(parts)}"
            )
        weights = dict(zip(("sample_weight",), parts[2:], strict=False))
        return self.inputs.read(*parts[:2], batch_size=batch_size, steps=steps, **weights)

    # Keras's other methods

    @with_repeated_names
    @validates_in_fit
    def evaluate(
        self,
        x: Any,
        context: Any = None,
        *,
        batch_size: int | None = None,
        sample_weight: Any = None,
        steps: int | None = None,
        **keras_arguments: Any,
    ) -> Any:
        """Return the loss on data, and what else `fit` shows, as Keras's `evaluate` does.

        Args:
            x, context, batch_size, sample_weight: As in `fit`. A data set is read once, above
                256 MB twice.
            steps: Batches to look at, the first ones; `None` for all.
            **keras_arguments: `verbose`, `callbacks`, `return_dict`.

        Returns:
            The loss, or a list of it and the metrics; with `return_dict` a dict by name.

        Raises:
            NotFittedError: Before `fit` or `adapt`.
            InvalidInputError: As in `fit`.
        """
        self._check_names(keras_arguments, ("verbose", "callbacks", "return_dict"), "evaluate")
        weights = {"sample_weight": sample_weight}
        self._check_fitted("evaluate")
        if steps is not None:
            checks.check_int(steps, "steps")
        batch_size = check_batch_size(batch_size, self.default_batch_size)
        data = self.inputs.read(x, context, batch_size, steps, **weights)
        self._check_kind(data, self.data_spec, batches=None)
        self._compile_by_default(data.num_batches(batch_size))
        if isinstance(data, ArrayData):
            dataset = self._scored_dataset(data, batch_size, steps)
            return super().evaluate(dataset, **keras_arguments)
        if not data.read_kept():
            data.require_another_pass()
        try:
            with data.failures_told(), warnings.catch_warnings():
                # as of every stream of unknown length
                warnings.filterwarnings("ignore", "Your input ran out of data")
                dataset = self._scored_dataset(data, batch_size, steps)
                return super().evaluate(dataset, **keras_arguments)
        finally:
            if data is not x:
                data.close()

    def _scored_dataset(self, data, batch_size, steps) -> tf.data.Dataset:
        dataset = self._training_dataset(data, batch_size, shuffle=False)
        return dataset if steps is None else dataset.take(steps)

    def train_on_batch(
        self,
        x: Any,
        context: Any = None,
        *,
        sample_weight: Any = None,
        class_weight: dict[int, float] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """Make one step of training, for loops of one's own.

        Args:
            x: Array [n, *event_shape].
            context, sample_weight, class_weight: As in `fit`.
            return_dict: Whether to return a dict by name.

        Returns:
            The loss of the batch, or a list of it and the metrics.

        Raises:
            NotFittedError: Before `adapt` or `fit`.
            InvalidInputError: As in `fit`.
        """
        weights = {"sample_weight": sample_weight, "class_weight": class_weight}
        batch = self._one_batch("train_on_batch", x, context, **weights)
        with self.distribute_strategy.scope():
            for optimizer, variables in self._optimized():
                if not optimizer.built:
                    optimizer.build(variables)
        super().train_on_batch(batch)
        return self._metric_results(return_dict)

    def test_on_batch(
        self, x: Any, context: Any = None, *, sample_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """Return the loss on one batch, and what else `evaluate` shows.

        Args:
            x, context, sample_weight, return_dict: As in `train_on_batch`.
        """
        weights = {"sample_weight": sample_weight}
        batch = self._one_batch("test_on_batch", x, context, **weights)
        super().test_on_batch(batch)
        return self._metric_results(return_dict)

    def _metric_results(self, return_dict: bool) -> Any:
        # what a step returns under a strategy is the mean over replicas, not over rows
        logs = {name: float(np.mean(v)) for name, v in self.get_metrics_result().items()}
        values = list(logs.values())
        return logs if return_dict else values[0] if len(values) == 1 else values

    def _one_batch(self, method, x, context, **weights) -> Any:
        """Check a batch from outside, and deal it out to the replicas."""
        self._check_fitted(method)
        data = self.inputs.read(x, context, **weights)
        if isinstance(data, StreamData):
            raise InvalidInputError(
                f"Expected an array x in {method}(). Received: a {type(x).__name__}. "
                "Call it for each batch, or use fit or evaluate."
            )
        self._check_kind(data, self.data_spec)
        self._compile_by_default(self.default_steps_per_execution)
        strategy, n = self.distribute_strategy, len(data)
        if strategy.num_replicas_in_sync == 1:
            return self._whole_batch(data)
        if not reaches_all(n, strategy.num_replicas_in_sync):
            raise InvalidInputError(
                f"Expected a batch with rows for each of {strategy.num_replicas_in_sync} replicas. "
                f"Received: {n} rows. Give more of them."
            )
        dataset = tf.data.Dataset.from_tensor_slices(self._whole_batch(data)).batch(n)
        return next(iter(strategy.experimental_distribute_dataset(dataset)))

    def _whole_batch(self, data: ArrayData) -> Batch:
        scale = _weight_scale(data)
        rows = data.first_batch(len(data))
        batch = {name: tf.convert_to_tensor(part) for name, part in rows.items()}
        if scale is not None:
            batch["sample_weight"] *= scale
        return batch

    def _check_trained(self, rows: Batch) -> None:
        """Hook: warn if what was learned is unsound, shown some rows of the training data."""

    def _step_function(self, kind, function):
        return self._iterators[kind].watch(retraced_quietly(function))

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        **arguments: Any,
    ) -> None:
        """Set the optimiser, as in Keras; `fit` does so by itself where it was not called.

        Args:
            optimizer: A Keras optimiser or its name.
            loss, loss_weights, metrics, weighted_metrics: `None`: a model has its own.
            **arguments: As in Keras, such as `steps_per_execution`.

        Raises:
            InvalidInputError: For a loss or metrics.
        """
        own = {
            "loss": loss,
            "loss_weights": loss_weights,
            "metrics": metrics,
            "weighted_metrics": weighted_metrics,
        }
        for name, value in own.items():
            if value is not None:
                raise InvalidInputError(
                    f"Expected compile() without {name}: {type(self).__name__} has its own. "
                    f"Received: {name}={value!r}"
                )
        super().compile(optimizer=optimizer, **arguments)

    def _compile_by_default(self, num_batches: int) -> None:
        if not self.compiled:
            steps = min(self.default_steps_per_execution, num_batches)
            with self.distribute_strategy.scope():
                self.compile(optimizer=self._default_optimizer(), steps_per_execution=steps)
        if self.distribute_strategy.num_replicas_in_sync > 1 and self.steps_per_execution > 1:
            # several steps in one loop over replicas fail inside Keras 3 (an unfed placeholder)
            self.steps_per_execution = 1

    def _set_steps_per_execution(self, steps_per_epoch: int | None) -> None:
        """Make executions end with the epoch, where Keras is to count `steps_per_epoch`."""
        if self.distribute_strategy.num_replicas_in_sync > 1:
            return
        steps = (self.get_compile_config() or {}).get("steps_per_execution") or 1
        if steps_per_epoch is not None:
            steps = max(k for k in range(1, steps + 1) if steps_per_epoch % k == 0)
        if steps != self.steps_per_execution:
            self.steps_per_execution = steps
            forget_step_functions(self)

    def _optimized(self) -> list[tuple[keras.optimizers.Optimizer, list[keras.Variable]]]:
        """Hook: each optimiser with the weights that it trains."""
        return [] if self.optimizer is None else [(self.optimizer, self.trainable_variables)]

    def _default_optimizer(self) -> keras.optimizers.Optimizer | None:
        return Adam(self.default_learning_rate)

    def adapt(self, x: Any, context: Any = None, *, batch_size: int | None = None) -> None:
        """Show the data to the parts that start from it, such as standardisation.

        The first `fit` does so by itself; call it to see new data, or to score with a model that
        is not trained.

        Args:
            x, context, batch_size: As in `fit`.
        """
        batch_size = check_batch_size(batch_size, self.default_batch_size)
        data = self.inputs.read(x, context, batch_size)
        self._adapt(data, self._observe(data, batch_size), batch_size)

    def _observe(self, data: ArrayData | StreamData, batch_size: int) -> DataSpec:
        """Return the kind of the data, in one pass that also checks streams."""
        moments, contexts = RunningMoments(), RunningMoments()
        counts = np.zeros(self.num_classes or 0, np.int64)
        for batch in data.batches(max(batch_size, 4096)):
            moments.update(batch["x"])
            if self.num_classes:
                counts += np.bincount(batch["context"], minlength=self.num_classes)
            elif self.context_dim:
                contexts.update(batch["context"])
        spec = self._spec_of(moments)
        self.class_counts = counts.tolist() if self.num_classes else None
        if self.context_dim:
            self.context_spec.standardize(contexts)
            self._forget_graphs()
        return spec

    def _spec_of(self, moments: RunningMoments) -> DataSpec:
        if moments.dtype is None:
            raise InvalidInputError("Expected data with at least one row. Received: an empty one.")
        # pixels mean something by their place between the ends of a range
        pooled = is_image(self.event_shape)
        return DataSpec.seen(
            moments, self.levels, self.float_dtype, pooled=pooled, rescale=self.rescales
        )

    def _adapt(self, data: ArrayData | StreamData, spec: DataSpec, batch_size: int) -> None:
        before = self.data_spec
        self._set_spec(spec)
        try:
            with self.distribute_strategy.scope():
                self._adapt_parts(lambda: self._model_batches(data, batch_size))
        except BaseException:
            self.data_spec = before
            raise

    def _model_batches(self, data, batch_size) -> Iterator[Batch]:
        """Yield the data in order as the numbers that the model computes with."""
        for batch in data.batches(max(batch_size, 4096)):
            yield {**batch, "x": self.to_model(batch["x"]).numpy()}

    def _adapt_parts(self, batches: Callable[[], Iterator[Batch]]) -> None:
        """Hook: start weights from data; `batches()` begins one pass over it."""

    def _set_spec(self, spec: DataSpec) -> None:
        if spec == self.data_spec:
            # a callback may restore weights while `fit` runs
            return
        self.data_spec = spec
        self._forget_graphs()

    def _forget_graphs(self) -> None:
        """Trace anew: graphs hold what was learned of the data as constants."""
        self._graphs.by_name.clear()
        forget_step_functions(self)

    def _training_dataset(self, data, batch_size, shuffle) -> tf.data.Dataset:
        dataset = self._batch_dataset(data, batch_size, shuffle)
        if self.distribute_strategy.num_replicas_in_sync == 1:
            return dataset
        # the end of an epoch would wait for the tuner, see IteratorKeeper; Keras makes and drops
        # more iterators than steps see
        options = tf.data.Options()
        options.autotune.enabled = False
        return dataset.with_options(options)

    def _batch_dataset(self, data, batch_size, shuffle) -> tf.data.Dataset:
        """Hook: the batches of an epoch."""
        replicas = self.distribute_strategy.num_replicas_in_sync
        dataset = data.dataset(
            batch_size,
            shuffle=shuffle,
            seed=self.seed,
            num_replicas=replicas,
            epoch=self._conductor.epoch.read,
        )
        scale = _weight_scale(data)
        if scale is None:
            return dataset
        return dataset.map(
            lambda batch: {**batch, "sample_weight": scale * batch["sample_weight"]}
        ).prefetch(tf.data.AUTOTUNE)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        objective = y_pred["objective"] if isinstance(y_pred, dict) else y_pred
        losses = weigh(-objective, row_weights(x))
        # a strategy sums gradients over replicas and Keras scales its own losses only
        return replica_share(losses + total_loss(self._layer_losses(), losses.dtype))

    def _layer_losses(self) -> list[tf.Tensor]:
        """Hook: losses of layers beside the objective, by `add_loss` and regularisers."""
        return self.losses

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return self._step_results(super().compute_metrics(x, y, y_pred, sample_weight))

    @staticmethod
    def _step_results(results: dict[str, Any]) -> dict[str, Any]:
        """Return what a step may return under the strategy at hand."""
        strategy = tf.distribute.get_strategy()
        if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
            # Keras averages these over axis 0, which a scalar lacks (keras issue 20585)
            return tf.nest.map_structure(lambda value: tf.reshape(value, [1]), results)
        return results

    # Data

    @property
    def inputs(self) -> Schema:
        """What the model takes, and the reader of it."""
        return Schema(
            self._class_name(),
            self.event_shape,
            self.context_spec,
            missing_values=self.traits.missing_values,
            sample_weight=self.traits.sample_weight,
            batch_size=self.default_batch_size,
        )

    def _check_kind(
        self, data: ArrayData | StreamData | None, spec: DataSpec, batches: int | None = 1
    ) -> None:
        """Refuse data of another kind; of streams look at so many batches now, all for `None`."""
        if isinstance(data, ArrayData):
            spec.check(data.rows["x"], float_dtype=self.float_dtype)
        elif isinstance(data, StreamData):

            def inspect(batch):
                spec.check(batch["x"], float_dtype=self.float_dtype)

            data.inspect = inspect
            for _ in itertools.islice(data.batches(), batches):
                pass

    def _narrow(self, data: ArrayData | StreamData | None) -> None:
        """Cast floats in memory to the model's type, once, where nothing is taken from them."""
        if isinstance(data, ArrayData) and self.data_spec.offset is None:
            data.cast_floats(self.float_dtype)

    def _check_fitted(self, method: str) -> None:
        if self.data_spec is None:
            raise NotFittedError(
                f"{method}() of {type(self).__name__} needs data first: call fit(x) or adapt(x), "
                "or load a saved model. Weights taken over by set_weights() do not tell the kind "
                "of the data: call restore_state(other.fitted_state()) too."
            )

    @classmethod
    def _refuse_unknown(cls, keras_arguments: dict[str, Any]) -> None:
        cls._check_names(
            keras_arguments, ("callbacks", "verbose", "initial_epoch", "validation_freq"), "fit"
        )

    @staticmethod
    def _check_names(keras_arguments: dict[str, Any], valid: Sequence[str], method: str) -> None:
        for name in keras_arguments:
            if name == "y":
                raise InvalidInputError(
                    "Expected no labels y: generative models learn x alone. "
                    "Received: y. Pass them as context to a model built with num_classes."
                )
            checks.check_name(name, valid, f"{method} argument")

    # Saving

    def fitted_state(self) -> dict[str, Any]:
        """Return what was learned beside the weights, as JSON; subclasses add to it."""
        return {
            "data_spec": dataclasses.asdict(self.data_spec),
            "class_counts": self.class_counts,
            "context": self.context_spec.fitted_state(),
        }

    def restore_state(self, state: dict[str, Any]) -> None:
        """Take back what `fitted_state` returned."""
        # models of version 0.1 saw contexts in their own units
        context = state.get("context")
        if context != self.context_spec.fitted_state():
            self.context_spec.restore_state(context)
            self._forget_graphs()
        self._set_spec(DataSpec(**state["data_spec"]))
        self.class_counts = state["class_counts"]

    def save_own_variables(self, store: Any) -> None:
        remember_saved_attributes()
        super().save_own_variables(store)
        # Keras leaves it out: training that is resumed would draw the first noise again
        store[_RANDOM_STATE] = np.asarray(self.seed_generator.state.value)
        if self.data_spec is not None:
            store[_STATE] = np.frombuffer(json.dumps(self.fitted_state()).encode(), np.uint8)

    @with_repeated_names
    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile as saved, the optimisers ready for their saved state; Keras calls it."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        for optimizer, variables in self._optimized():
            optimizer.build(variables)

    def load_own_variables(self, store: Any) -> None:
        remember_saved_attributes()
        own = {name: store[name] for name in store.keys()}  # noqa: SIM118 (not a dict)
        random_state, state = own.pop(_RANDOM_STATE, None), own.pop(_STATE, None)
        super().load_own_variables(own)
        if random_state is not None:
            self.seed_generator.state.assign(np.asarray(random_state))
        if state is not None:
            self.restore_state(json.loads(np.asarray(state).tobytes()))
