"""TrainableModel: the half of the contract that takes data in."""

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
from genzoo.core.adam import Adam
from genzoo.core.batches import (
    ArrayData,
    Batch,
    StreamData,
    check_batch_size,
    check_weights,
)
from genzoo.core.config import Configured
from genzoo.core.context import ContextSpec
from genzoo.core.errors import InvalidInputError, NotFittedError
from genzoo.core.iterators import IteratorKeeper
from genzoo.core.likelihood import NO_LIKELIHOOD, Likelihood
from genzoo.core.registry import refuse_unknown
from genzoo.core.replicas import lost_workers_told, replica_share
from genzoo.core.spec import DataSpec
from genzoo.core.tracing import retraced_quietly
from genzoo.core.units import RunningMoments
from genzoo.core.variables import (
    InCheckpoints,
    remember_saved_attributes,
    with_repeated_names,
)

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


class _EpochNumber:
    """The epoch that `fit` is in; an object of its own, since TensorFlow keeps what reads it."""

    number = 0

    def read(self) -> int:
        return self.number


class _Conductor(keras.callbacks.Callback):
    """Last of the callbacks of a `fit`: knows its epoch, and calls those that wait for all others.

    These have `on_fit_ready(callbacks)`, `on_epoch_ready(epoch)` or `on_epoch_over(epoch)`;
    `on_fit_over()` is called when `fit` ends, by an exception too.
    """

    callbacks: Sequence[keras.callbacks.Callback] = ()

    def __init__(self):
        super().__init__()
        self.epoch = _EpochNumber()

    def on_train_begin(self, logs=None):
        self._call("on_fit_ready", self.callbacks)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch.number = epoch
        self._call("on_epoch_ready", epoch)

    def on_epoch_end(self, epoch, logs=None):
        self._call("on_epoch_over", epoch)

    def end(self) -> None:
        self._call("on_fit_over")
        self.callbacks = ()

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


class TrainableModel(InCheckpoints, Configured, keras.Model):
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

    default_epochs = 1
    default_batch_size = 128
    default_learning_rate = 1e-3
    default_steps_per_execution = 8
    shuffles = True
    mixed_precision = False
    # whether a step leaves nothing beside variables, so that a checkpoint may follow it
    saves_within_epochs = True
    # whether NaN in x stands for a missing value
    takes_missing = False
    takes_sample_weight = False
    # whether each row has a context of its own, not a set of rows another set
    pairs_context = True
    # whether an example may be a single number, event_shape=()
    takes_scalars = False
    # whether an example is a sequence of steps, event_shape the shape of one
    takes_sequences = False
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
        mixed = ("mixed_bfloat16", "mixed_float16") if self.mixed_precision else ()
        policy = self.dtype_policy.name
        checks.check_choice(policy, ("float32", "float64", *mixed), "dtype")
        scalar = self.takes_scalars and isinstance(event_shape, tuple) and not event_shape
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
        callbacks: Any = None,
        **keras_arguments: Any,
    ) -> keras.callbacks.History:
        """Train with Keras's own `fit`.

        Args:
            x: Array [n, *event_shape] of floats or integers, or a `tf.data.Dataset` of `x`
                (or `(x, context)` pairs), batched or not.
            context: Array [n, context_dim], or labels [n], for conditional models.
            batch_size: Rows a step over all replicas; `None` for the model's default.
            epochs: Passes over the data; `None` for the model's default.
            validation_split: Share of the rows, at the end, to validate on.
            validation_data: `x`, `(x, context)` or a data set to validate on.
            validation_steps, steps_per_epoch: Batches an epoch, for endless data sets.
            shuffle: Whether to shuffle arrays each epoch (seeded by the model's `seed`).
            sample_weight: Weights of the rows [n], for models that take them. Data sets give
                dicts of `x` and `sample_weight`.
            callbacks: A Keras callback or a list of them.
            **keras_arguments: `verbose`, `initial_epoch`, `validation_freq`.

        Several replicas leave out a batch that is too small to give each of them a row.

        Returns:
            Keras's `History`; `loss` is the mean over the epoch, in nats an example.

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
        if sample_weight is not None and not self.takes_sample_weight:
            raise InvalidInputError(
                f"Expected no sample_weight: {type(self).__name__} weighs all rows alike. "
                f"Received: sample_weight of shape {np.shape(sample_weight)}. Leave it out."
            )
        weights = {} if sample_weight is None else {"sample_weight": sample_weight}
        data = self._door(x, context, batch_size, steps_per_epoch, **weights)
        validation = None
        if validation_data is not None:
            parts = validation_data if isinstance(validation_data, tuple) else (validation_data,)
            if not 1 <= len(parts) <= 2:
                raise InvalidInputError(
                    "Expected validation_data of x, or of (x, context). "
                    f"Received: a tuple of {len(parts)}"
                )
            validation = self._door(*parts, batch_size=batch_size, steps=validation_steps)
        elif validation_split:
            if not isinstance(data, ArrayData):
                raise InvalidInputError(
                    "Expected an array x with validation_split; give validation_data instead. "
                    f"Received: validation_split={validation_split!r} with a tf.data.Dataset"
                )
            data, validation = data.split(validation_split)
        self._compile_by_default(data.num_batches(batch_size))
        spec = self.data_spec or self._observe(data, batch_size)
        self._check_kind(data, spec)
        self._check_kind(validation, spec, batches=None)
        if self.data_spec is None:
            self._adapt(data, spec, batch_size)
        for part in (data, validation):
            self._narrow(part)
        with self.distribute_strategy.scope():
            for optimizer, variables in self._optimized():
                if not optimizer.built:
                    optimizer.build(variables)
        training_data = self._training_dataset(data, batch_size, shuffle and self.shuffles)
        with lost_workers_told(self.distribute_strategy), warnings.catch_warnings():
            if isinstance(data, StreamData) and steps_per_epoch is None:
                # Keras says so at the end of every epoch over a stream of unknown length
                warnings.filterwarnings("ignore", "Your input ran out of data")
            try:
                history = super().fit(
                    training_data,
                    callbacks=[*callbacks, self._conductor],
                    epochs=epochs,
                    shuffle=False,
                    validation_data=None
                    if validation is None
                    else self._training_dataset(validation, batch_size, shuffle=False),
                    validation_steps=validation_steps,
                    steps_per_epoch=steps_per_epoch,
                    **keras_arguments,
                )
            finally:
                self._initial_epoch = None
                self._conductor.end()
                for keeper in self._iterators.values():
                    keeper.let_go()
        self._check_trained(next(data.batches(batch_size)))
        return history

    def _check_trained(self, rows: Batch) -> None:
        """Hook: warn if what was learned is unsound, shown some rows of the training data."""

    def make_train_function(self, force: bool = False) -> None:
        """Make the function of a training step; Keras calls it."""
        if self.train_function is None or force:
            super().make_train_function(force)
            step = retraced_quietly(self.train_function)
            self.train_function = self._iterators["train"].watch(step)

    def make_test_function(self, force: bool = False) -> None:
        """Make the function of a validation step; Keras calls it."""
        if self.test_function is None or force:
            super().make_test_function(force)
            step = retraced_quietly(self.test_function)
            self.test_function = self._iterators["test"].watch(step)

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
        data = self._door(x, context, batch_size)
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
        pooled = len(self.event_shape) == 3
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
        self.train_function = self.test_function = self.predict_function = None

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
        return data.dataset(
            batch_size,
            shuffle=shuffle,
            seed=self.seed,
            num_replicas=replicas,
            epoch=self._conductor.epoch.read,
        )

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        # a strategy sums gradients over replicas and Keras scales its own losses only
        objective = y_pred["objective"] if isinstance(y_pred, dict) else y_pred
        return replica_share(-objective)

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

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        # the constructor has built everything; Keras would reduce a batch over workers first
        return

    # Doors

    def _door(
        self, x, context=None, batch_size=None, steps=None, sample_weight=None
    ) -> ArrayData | StreamData:
        """Check data from outside."""
        if isinstance(x, tf.data.Dataset):
            if sample_weight is not None:
                raise InvalidInputError(
                    "Expected the weights inside the data set, as dicts of x and sample_weight. "
                    f"Received: sample_weight of shape {np.shape(sample_weight)} beside a "
                    "tf.data.Dataset"
                )
            if context is not None:
                raise InvalidInputError(
                    "Expected the context inside the data set, as (x, context) pairs. "
                    f"Received: context of shape {np.shape(context)} beside a tf.data.Dataset"
                )
            return StreamData(
                x,
                self.event_shape,
                bool(self.context_size),
                batch_size,
                steps,
                context_spec=self.context_spec,
                missing=self.takes_missing,
                weighted=self.takes_sample_weight,
            )
        if isinstance(x, (Iterator, keras.utils.PyDataset)):
            raise InvalidInputError(
                "Expected an array x, or a tf.data.Dataset. Received: a "
                f"{type(x).__name__}. Make it a tf.data.Dataset, with its from_generator."
            )
        rows = {"x": checks.check_array(x, self.event_shape, missing=self.takes_missing)}
        encoded = self.context_spec.check(context, len(rows["x"]), self._class_name())
        if encoded is not None:
            rows["context"] = encoded
        if sample_weight is not None:
            rows["sample_weight"] = check_weights(sample_weight, len(rows["x"]))
        return ArrayData(rows)

    def _check_kind(
        self, data: ArrayData | StreamData | None, spec: DataSpec, batches: int | None = 1
    ) -> None:
        """Refuse data of another kind; of streams see so many batches, all for `None`."""
        if isinstance(data, ArrayData):
            spec.check(data.rows["x"], float_dtype=self.float_dtype)
        elif isinstance(data, StreamData):
            for batch in itertools.islice(data.batches(), batches):
                spec.check(batch["x"], float_dtype=self.float_dtype)

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

    @staticmethod
    def _refuse_unknown(keras_arguments: dict[str, Any]) -> None:
        valid = ("callbacks", "verbose", "initial_epoch", "validation_freq")
        for name in keras_arguments:
            if name == "y":
                raise InvalidInputError(
                    "Expected no labels y: generative models learn x alone. "
                    "Received: y. Pass them as context to a model built with num_classes."
                )
            checks.check_name(name, valid, "fit argument")

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
