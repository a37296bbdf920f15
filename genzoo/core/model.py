"""GenerativeModel: the shell around a law, and the contract that every model of the zoo keeps."""

import dataclasses
import json
import math
import os
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
    validates_in_fit,
)
from genzoo.core.compat.tensorflow import InCheckpoints, is_watched, retraced_quietly
from genzoo.core.config import Configured
from genzoo.core.engine import fitting
from genzoo.core.engine.adam import Adam
from genzoo.core.engine.functions import CompiledFunctions, sample_in_chunks
from genzoo.core.engine.iterators import IteratorKeeper
from genzoo.core.engine.losses import row_weights, total_loss, weigh
from genzoo.core.engine.replicas import first_row, replica_share
from genzoo.core.engine.saved_model import check_export_arguments, describe, write_saved_model
from genzoo.core.engine.variables import with_repeated_names
from genzoo.core.errors import (
    DataError,
    InvalidInputError,
    NoDensityError,
    NotFittedError,
    OutputExistsError,
)
from genzoo.core.inputs.batches import ArrayData, Batch, StreamData, check_batch_size
from genzoo.core.inputs.context import ContextSpec
from genzoo.core.inputs.schema import Schema
from genzoo.core.inputs.sources import is_stream
from genzoo.core.inputs.spec import DataSpec
from genzoo.core.inputs.units import RunningMoments
from genzoo.core.law import Law
from genzoo.core.likelihood import NO_LIKELIHOOD, Likelihood
from genzoo.core.maths.random import RowNoise, make_seed
from genzoo.core.registry import refuse_unknown
from genzoo.core.traits import Example, Traits, is_image

_STATE = "fitted_state"
_RANDOM_STATE = "random_state"
# where the weights of flows and VAEs stand in a file: in the law
_LAYOUT = "law"
_VALUES_AT_A_TIME = 2**20


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


class _FittedState(tf.train.experimental.PythonState):
    """What a model learned beside its weights, as a part of a `tf.train.Checkpoint` of it."""

    def __init__(self, model: "GenerativeModel"):
        self._model = weakref.ref(model)

    def serialize(self):
        model = self._model()
        return "" if model.data_spec is None else json.dumps(model.fitted_state())

    def deserialize(self, string_value):
        if string_value:
            self._model().restore_state(json.loads(string_value))


class GenerativeModel(TrainerHooks, InCheckpoints, Configured, keras.Model):
    """A `keras.Model` around a law: data, seeds, `fit`, `sample`, `log_prob`, `save`, `export`.

    It checks data, tells the law what they are, trains it, and carries what it computes to NumPy,
    in parts and on all replicas. A subclass makes its `law` in its constructor, and with it all its
    weights; what the law cannot do, or does in another way, it says by its `traits` and by the
    methods marked as hooks.

    Integers are treated as integers: `log_prob` adds noise u on [0, 1) and scores the density at
    x + u, a lower bound (in expectation) on the log of the mass of x.

    Args:
        event_shape: Shape of one example, such as `(43,)` or `(28, 28, 1)`.
        levels: Integer data run from 0 to `levels - 1`. `None`: told by the data at the first
            `fit` (see `DataSpec.of`).
        context_dim: Width of a context vector, for conditional models.
        num_classes: Number of classes, for models conditional on integer labels.
        seed: Fixes initial weights, the order of the data and every random draw.
        name, dtype: As in Keras.

    Example, a model of a law of one's own (see `Law`):

    >>> class Shifted(genzoo.GenerativeModel):
    ...     def __init__(self, event_shape, **model_arguments):
    ...         super().__init__(event_shape, **model_arguments)
    ...         self.law = genzoo.MAF(event_shape, num_transforms=1).law

    Reference: Theis, van den Oord and Bethge, A note on the evaluation of generative models, 2016.
    """

    traits = Traits(likelihood="exact")
    law: Law | None = None
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
        self.functions = CompiledFunctions()
        self.fit_callback = fitting.FitCallback()
        self._iterators = {"train": IteratorKeeper(), "test": IteratorKeeper()}
        self._checkpointed_state = _FittedState(self)

    # Declaration

    @property
    def likelihood(self) -> Likelihood:
        """What `log_prob` of this model is."""
        if not self.traits.has_density:
            return NO_LIKELIHOOD
        integer = self.data_spec is not None and self.data_spec.is_integer
        exact = self.traits.likelihood == "exact" and (self.law is None or self.law.is_exact)
        return Likelihood(
            kind="exact" if exact and not integer else "lower_bound",
            unit="mass" if integer else "density",
        )

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
        allowed = ("callbacks", "verbose", "initial_epoch", "validation_freq")
        self._check_names(keras_arguments, allowed, "fit")
        callbacks = self.fit_callback.callbacks = fitting.as_callbacks(callbacks)
        batch_size = check_batch_size(batch_size, self.default_batch_size)
        checks.check_steps(steps_per_epoch=steps_per_epoch, validation_steps=validation_steps)
        weights = {"sample_weight": sample_weight, "class_weight": class_weight}
        data = self.inputs.read(x, context, batch_size, steps_per_epoch, **weights)
        owned = data is not x
        data, validation = fitting.read_validation(
            self, x, data, validation_data, validation_split, batch_size, validation_steps
        )
        return fitting.fit(
            self,
            data,
            validation,
            epochs=epochs,
            batch_size=batch_size,
            shuffle=shuffle,
            steps_per_epoch=steps_per_epoch,
            validation_steps=validation_steps,
            callbacks=callbacks,
            owned=owned,
            **keras_arguments,
        )

    def adapt(self, x: Any, context: Any = None, *, batch_size: int | None = None) -> None:
        """Show the data to the parts that start from it, such as standardisation.

        The first `fit` does so by itself; call it to see new data, or to score with a model that
        is not trained.

        Args:
            x, context, batch_size: As in `fit`.
        """
        batch_size = check_batch_size(batch_size, self.default_batch_size)
        data = self.inputs.read(x, context, batch_size)
        fitting.adapt(self, data, self._observe(data, batch_size), batch_size)

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
        self._check_fitted("evaluate")
        checks.check_steps(steps=steps)
        batch_size = check_batch_size(batch_size, self.default_batch_size)
        data = self.inputs.read(x, context, batch_size, steps, sample_weight=sample_weight)
        owned = data is not x
        return fitting.evaluate(
            self, data, batch_size=batch_size, steps=steps, owned=owned, **keras_arguments
        )

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
        self._check_fitted("train_on_batch")
        weights = {"sample_weight": sample_weight, "class_weight": class_weight}
        data = self.inputs.read(x, context, **weights)
        batch = fitting.one_batch(self, "train_on_batch", x, data)
        fitting.build_optimizers(self)
        super().train_on_batch(batch)
        return fitting.metric_results(self, return_dict)

    def test_on_batch(
        self, x: Any, context: Any = None, *, sample_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """Return the loss on one batch, and what else `evaluate` shows.

        Args:
            x, context, sample_weight, return_dict: As in `train_on_batch`.
        """
        self._check_fitted("test_on_batch")
        data = self.inputs.read(x, context, sample_weight=sample_weight)
        super().test_on_batch(fitting.one_batch(self, "test_on_batch", x, data))
        return fitting.metric_results(self, return_dict)

    def predict(
        self,
        x: Any,
        context: Any = None,
        *,
        batch_size: int | None = None,
        steps: int | None = None,
        verbose: Any = "auto",
    ) -> Any:
        """Return what the model's `call` makes of each row; Keras's name for it.

        Of models with a likelihood that is the objective of training, for exact ones log p(x); of
        GANs the discriminator's score.

        Args:
            x, context: As in `fit`. A data set is read once.
            batch_size: Rows at a time on each replica.
            steps: Batches to look at, the first ones; `None` for all.
            verbose: Taken as Keras does; nothing is shown.

        Returns:
            Array [n], or a dict of them.

        Raises:
            NotFittedError: Before `fit` or `adapt`.
            InvalidInputError: As in `fit`.
        """
        checks.check_steps(steps=steps)
        data, batch_size = self._read_rows("predict", x, context, batch_size, steps)
        parts = list(self.map_rows("predict", self._predict_rows, data, batch_size))
        return tf.nest.map_structure(lambda *rows: np.concatenate(rows), *parts)

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

    def call(self, inputs, training=False):
        """Return the training objective of each row in nats, [n]: for exact models log p(x).

        Models that show the parts of their objective return a dict of them, each [n], the whole
        under `"objective"`.
        """
        parts = inputs if isinstance(inputs, dict) else {"x": inputs}
        x = self.to_model(parts["x"])
        seed = make_seed(self.seed_generator.next() if training else 0)
        context = self.encode_context(parts.get("context"))
        return self.law.objective(x, context, self.row_noise(seed, first_row(x)))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        objective = y_pred["objective"] if isinstance(y_pred, dict) else y_pred
        losses = weigh(-objective, row_weights(x))
        # a strategy sums gradients over replicas and Keras scales its own losses only
        return replica_share(losses + total_loss(self._layer_losses(), losses.dtype))

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return fitting.step_results(super().compute_metrics(x, y, y_pred, sample_weight))

    # Training, hooks

    def _observe(self, data: ArrayData | StreamData, batch_size: int) -> DataSpec:
        """Hook: the kind of the data, in one pass that also checks streams."""
        return fitting.observe(self, data, batch_size)

    def _spec_of(self, moments: RunningMoments) -> DataSpec:
        """Hook: the kind of data of these moments."""
        if moments.dtype is None:
            raise InvalidInputError("Expected data with at least one row. Received: an empty one.")
        # pixels mean something by their place between the ends of a range
        pooled = is_image(self.event_shape)
        return DataSpec.seen(
            moments, self.levels, self.float_dtype, pooled=pooled, rescale=self.rescales
        )

    def _set_spec(self, spec: DataSpec) -> None:
        """Hook: take data of this kind from now on."""
        if spec == self.data_spec:
            # a callback may restore weights while `fit` runs
            return
        self.data_spec = spec
        if self.law is not None:
            self.law.data_spec = spec
        self._forget_graphs()

    def _forget_graphs(self) -> None:
        """Trace anew: graphs hold what was learned of the data as constants."""
        self.functions.by_name.clear()
        forget_step_functions(self)

    def _adapt_parts(self, batches: Callable[[], Iterator[Batch]]) -> None:
        """Hook: start weights from data; `batches()` begins one pass over it."""

        def encoded():
            for batch in batches():
                yield tf.convert_to_tensor(batch["x"]), self.encode_context(batch.get("context"))

        self.law.adapt(encoded)

    def _batch_dataset(self, data, batch_size, shuffle) -> tf.data.Dataset:
        """Hook: the batches of an epoch."""
        return fitting.batch_dataset(self, data, batch_size, shuffle)

    def _optimized(self) -> list[tuple[keras.optimizers.Optimizer, list[keras.Variable]]]:
        """Hook: each optimiser with the weights that it trains."""
        return [] if self.optimizer is None else [(self.optimizer, self.trainable_variables)]

    def _default_optimizer(self) -> keras.optimizers.Optimizer | None:
        return Adam(self.default_learning_rate)

    def _layer_losses(self) -> list[tf.Tensor]:
        """Hook: losses of layers beside the objective, by `add_loss` and regularisers."""
        return self.losses

    def _check_trained(self, rows: Batch) -> None:
        """Hook: warn if what was learned is unsound, shown some rows of the training data."""

    def _step_function(self, kind, function):
        return self._iterators[kind].watch(retraced_quietly(function))

    # Samples

    def sample(
        self,
        n: int,
        *,
        context: Any = None,
        temperature: float = 1.0,
        seed: int | None = None,
    ) -> np.ndarray:
        """Draw samples in the kind of the data.

        Args:
            n: Number of samples.
            context: [n, context_dim] or labels [n], or one of them for all samples.
            temperature: Scales the noise that samples start from; below 1 for likelier samples.
            seed: The same seed gives the same samples; `None` draws anew at each call.

        Returns:
            Array [n, *event_shape] in the dtype of the data: integers as theirs, real numbers as
            float64 where the data were, else in the model's float type.

        Raises:
            NotFittedError: Before `fit` or `adapt`.
        """
        return self._draw(n, context, temperature, seed)

    def _draw(self, n, context, temperature, seed, **options: Any) -> np.ndarray:
        """Do as `sample`, with options that a model's `_sample` takes beside."""

        def sample(n, context, temperature, seed):
            return self.data_spec.to_data(self._sample(n, context, temperature, seed, **options))

        name = ("sample", *sorted(options.items()))
        return self._draws(name, sample, n, context, temperature, seed)

    def _draws(self, name, function, n, context, temperature, seed) -> np.ndarray:
        """Return what `function(n, context, temperature, seed)` draws, a chunk at a time."""
        n = checks.check_int(n, "n")
        temperature = checks.check_number(temperature, "temperature")
        self._check_outside(name[0])
        seed = self._draw_seed(seed)
        context = self.context_spec.check(context, n, self._class_name())
        return self.functions.draw(self, name, function, n, context, temperature, seed)

    def _sample(self, n, context, temperature, seed, **options: Any) -> tf.Tensor:
        """Hook, in graph: `n` samples as the model's own real numbers, [n, *event_shape]."""
        return self.law.sample(n, context, temperature=temperature, seed=seed, **options)

    def _draw_seed(self, seed: int | None) -> int:
        if seed is not None:
            return checks.check_seed(seed)
        state = np.asarray(self.seed_generator.next(), np.int64)
        return int(state[0] % 2**31 + (state[1] % 2**31) * 2**31)

    def row_noise(self, seed: tf.Tensor, first_row: Any) -> RowNoise:
        """Return the noise of the rows of a batch, in the model's float type."""
        return RowNoise(seed, first_row, self.float_dtype)

    # Likelihood

    def log_prob(
        self,
        x: Any,
        *,
        context: Any = None,
        num_samples: int = 1,
        batch_size: int | None = None,
        seed: int = 0,
    ) -> np.ndarray:
        """Return log p(x) of each row in nats, in data space; see `likelihood` for its kind.

        Args:
            x: Array [n, *event_shape], or a data set as in `fit`, which is read once.
            context: As in `sample`, for conditional models.
            num_samples: For bounds: draws K of the importance-weighted bound (Burda, Grosse and
                Salakhutdinov 2016), which tightens as K grows. Exact models need one.
            batch_size: Rows at a time on each replica; it does not change the result.
            seed: Fixes the noise of dequantisation and of latent draws.

        Returns:
            Array [n], float.

        Raises:
            NoDensityError: For models without a likelihood, with what to use in place.
            NotFittedError: Before `fit` or `adapt`.
            InvalidInputError: For data unlike those of `fit`; in a `tf.function`, or under a tape
                that watches `x`: there call the model itself, or `distribution().log_prob(x)`.
        """
        self._check_density("log_prob")
        num_samples = checks.check_int(num_samples, "num_samples")
        if self.likelihood.kind == "exact":
            num_samples = 1
        data, batch_size = self._read_rows("log_prob", x, context, batch_size)
        seed = make_seed(checks.check_seed(seed))
        values = self.map_rows(
            "log_prob", self._score_rows, data, batch_size, seed, tf.constant(num_samples)
        )
        return np.concatenate(list(values))

    def _check_density(self, method: str) -> None:
        if not self.traits.has_density:
            raise NoDensityError(
                f"{type(self).__name__} has no likelihood, and so no {method}(). Use a model that "
                "has one, for example RealNVP, VAE or GaussianMixture, or estimate the density of "
                "samples with genzoo.metrics.parzen_log_prob(model.sample(10_000), x)."
            )

    def _score_rows(self, x, context, first_row, seed, num_samples) -> tf.Tensor:
        noise = self.row_noise(seed, first_row)
        return self.law.log_prob(x, context, noise, num_samples)

    def _predict_rows(self, x, context, first_row) -> Any:
        """Hook, in graph: what `predict` returns."""
        return self.law.objective(x, context, self.row_noise(make_seed(0), first_row))

    def score_samples(self, x: Any, **arguments: Any) -> np.ndarray:
        """Return `log_prob(x)`; scikit-learn's name for it."""
        return self.log_prob(x, **arguments)

    def score(self, x: Any, **arguments: Any) -> float:
        """Return the mean of `log_prob(x)`, nats an example."""
        return float(np.mean(self.log_prob(x, **arguments), dtype=np.float64))

    def bits_per_dim(self, x: Any, **arguments: Any) -> np.ndarray:
        """Return -log2 p(x) / dimensions for each row of integer data.

        Args:
            x: Integers [n, *event_shape].
            **arguments: As in `log_prob`.

        Returns:
            Array [n]; lower is better, log2(levels) is chance.

        Raises:
            NoDensityError: For real-valued data, whose density depends on their units.
        """
        self._check_density("bits_per_dim")
        self._check_fitted("bits_per_dim")
        if not self.likelihood.comparable_across_models:
            raise NoDensityError(
                "Bits per dimension are meant for integer data; a density of real numbers changes "
                f"with their unit. Received: a {type(self).__name__} fitted to "
                f"{self.data_spec.dtype}. Use score(x), in nats, or fit integers."
            )
        return -self.log_prob(x, **arguments) / (self.count_values(x) * math.log(2.0))

    def count_values(self, x: Any) -> int | np.ndarray:
        """Return the number of values in each example, one for all or [n].

        Args:
            x: Array [n, *event_shape].
        """
        return self.event_size

    def predict_proba(self, x: Any, *, prior: Any = None, **arguments: Any) -> np.ndarray:
        """Return p(class | x) by Bayes' rule, for models of `num_classes`.

        Args:
            x: Array [n, *event_shape].
            prior: Probabilities of the classes [num_classes]; `None` for their shares of the
                data that the model first saw.
            **arguments: Of `log_prob`, such as `num_samples`.

        Returns:
            Array [n, num_classes], rows of sum 1.

        Raises:
            InvalidInputError: For a model that is not conditional on labels.
        """
        self._check_density("predict_proba")
        self._check_fitted("predict_proba")
        if self.num_classes is None:
            raise InvalidInputError(
                "Expected a model conditional on labels in predict_proba(). Received: a "
                f"{type(self).__name__} with num_classes=None. Build it with num_classes=... and "
                "fit(x, labels)."
            )
        if is_stream(x):
            raise InvalidInputError(
                f"Expected an array x in predict_proba(). Received: a {type(x).__name__}. Call it "
                "for each batch."
            )
        if prior is None:
            prior = np.asarray(self.class_counts, np.float64)
        else:
            prior = checks.check_array(np.asarray(prior)[None], (self.num_classes,), "prior")[0]
            if prior.min() < 0 or not prior.sum() > 0:
                raise InvalidInputError(
                    f"Expected a prior of probabilities. Received: prior={prior!r}"
                )
        log_joint = [
            self.log_prob(x, context=np.full(len(x), label), **arguments)
            for label in range(self.num_classes)
        ]
        with np.errstate(divide="ignore"):
            log_joint = np.stack(log_joint, axis=1).astype(np.float64) + np.log(prior / prior.sum())
        odds = np.exp(log_joint - log_joint.max(axis=1, keepdims=True))
        return odds / odds.sum(axis=1, keepdims=True)

    def diagnose(self, x: Any, *, context: Any = None) -> dict[str, Any]:
        """Return what a report should say of this model beside its likelihood, by name.

        Args:
            x: Array [n, *event_shape].
            context: As in `fit`, for conditional models.
        """
        return {}

    def distribution(self, context: tf.Tensor | None = None):
        """Return the `tfd.Distribution` of real numbers in data space, to compose in a graph.

        It holds them in the model's float type. Of data far from zero that says less of them than
        `log_prob` and `sample` do, unless that is float64.

        Args:
            context: Encoded context [n, context_size], for conditional models.
        """
        raise NoDensityError(
            f"{type(self).__name__} has no distribution in closed form; use log_prob and sample."
        )

    # Rows

    def _check_outside(self, method: str, *given: Any) -> None:
        """Refuse what a method that returns NumPy cannot do: stand in a graph, or pass a gradient.

        Args:
            method: Its name.
            *given: The data that it was given.
        """
        self._check_fitted(method)
        where = "a tf.function" if not tf.executing_eagerly() else None
        if where is None and is_watched(*given):
            where = "a tf.GradientTape that watches its input"
        if where is not None:
            raise InvalidInputError(
                f"Expected {method}() outside of graphs and tapes: it returns NumPy arrays, which "
                f"pass no gradient. Received: a call inside {where}. {self._graph_remedy()}"
            )

    def _graph_remedy(self) -> str:
        if not self.traits.has_density:
            return f"Call the model itself there: model(x) is what {type(self).__name__} trains."
        return (
            "Call the model itself there, model(x), which gives the training objective of each row "
            "(for exact models log p(x)), or compose distribution(), for models that have one."
        )

    def _read_rows(
        self, method, x, context, batch_size, steps=None
    ) -> tuple[ArrayData | StreamData, int]:
        self._check_outside(method, x, context)
        # long batches score a vector twice as fast; wide rows fill the memory sooner
        rows = min(max(_VALUES_AT_A_TIME // self.event_size, 256), 8192)
        batch_size = check_batch_size(batch_size, rows)
        data = self.inputs.read(x, context, batch_size, steps)
        if steps is not None and isinstance(data, ArrayData):
            data = data.head(steps * batch_size)
        # a stream's batches as they are read
        fitting.check_kind(self, data, self.data_spec, batches=0)
        fitting.narrow(self, data)
        return data, batch_size

    def map_rows(
        self,
        name: str,
        function: Callable[..., Any],
        data: ArrayData | StreamData,
        batch_size: int,
        *scalars: tf.Tensor,
    ) -> Iterator[Any]:
        """Yield `function(x, context, first_row, *scalars)` as NumPy, a batch at a time.

        Args:
            name: Name of the compiled function.
            function: In graph, of `x` [n, *event_shape] as the model's own numbers, real or
                integer, the encoded context, and the number of the batch's first row.
            data: Checked rows.
            batch_size: Rows a replica at a time.
            *scalars: Further arguments, the same for all batches.
        """
        return self.functions.over_rows(self, name, function, data, batch_size, *scalars)

    def map_latents(
        self,
        name: str,
        function: Callable[..., Any],
        z: Any,
        shape: tuple[int, ...],
        context: Any = None,
    ) -> np.ndarray:
        """Return `function(z, context)`, computed a chunk at a time on all replicas.

        Args:
            name: Name of the compiled function, for messages too.
            function: In graph, of `z` and the encoded context.
            z: Array [n, *shape].
            shape: Shape of a row of z.
            context: As in `sample`, for conditional models.
        """
        self._check_outside(name, z, context)
        z = checks.check_array(z, shape, "z").astype(self.float_dtype)
        context = self.context_spec.check(context, len(z), self._class_name())
        return self.functions.over_latents(self, name, function, z, context)

    def _check_fitted(self, method: str) -> None:
        if self.data_spec is None:
            raise NotFittedError(
                f"{method}() of {type(self).__name__} needs data first: call fit(x) or adapt(x), "
                "or load a saved model. Weights taken over by set_weights() do not tell the kind "
                "of the data: call restore_state(other.fitted_state()) too."
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

    def export(
        self,
        filepath: str | os.PathLike,
        format: str = "tf_saved_model",
        verbose: bool | None = None,
        input_signature: Any = None,
        *,
        overwrite: bool = False,
    ) -> None:
        """Write a TensorFlow SavedModel that loads without genzoo, Keras or TFP.

        A signature takes tensors of the dtype that `export_signatures` gives it (cast others, with
        `tf.cast`; NumPy arrays are cast) and returns a dict of its result under its own name.

        Args:
            filepath: Folder to make.
            format: `"tf_saved_model"`, the only one.
            verbose: Whether to print the signatures.
            input_signature: `None`; Keras's argument, for models of one function.
            overwrite: Whether an existing folder may be replaced.

        Raises:
            InvalidInputError: For another format or an `input_signature`.
            OutputExistsError: If `filepath` exists and `overwrite` is false.
            NotFittedError: Before `fit` or `adapt`.

        Example:

        >>> loaded = tf.saved_model.load("saved_models/digits")          # doctest: +SKIP
        >>> seed = tf.constant(0, tf.int64)                               # doctest: +SKIP
        >>> loaded.signatures["sample"](n=tf.constant(4), seed=seed)["sample"]  # doctest: +SKIP
        >>> loaded.sample(4, 0)                                          # doctest: +SKIP
        """
        check_export_arguments(format, input_signature)
        self._check_fitted("export")
        path = os.fspath(filepath)
        if os.path.exists(path) and not overwrite:
            raise OutputExistsError(
                f"Expected a new folder. Received: filepath={path!r}, which exists. "
                "Choose another, or pass overwrite=True."
            )
        signatures = self.export_signatures()
        write_saved_model(self, signatures, self._input_kinds(), path)
        if verbose:
            print(describe(signatures))

    def _input_kinds(self) -> dict[str, DataSpec]:
        """Hook: what is known of the inputs of `export_signatures`, by name."""
        kinds = {"x": self.data_spec}
        if self.num_classes is not None:
            kinds["context"] = DataSpec("int32", self.num_classes)
        return kinds

    def export_signatures(self) -> dict[str, tuple[Callable[..., Any], list[tf.TensorSpec]]]:
        """Return the functions of the SavedModel and their inputs, by name.

        `log_prob(x[, context])`, for models with a likelihood, x of the data's dtype; `sample(n,
        seed[, context])`: n int32 [], seed int64 []; the same numbers as `sample`.
        """
        context = [self.context_spec.signature()] if self.context_size else []
        n = tf.TensorSpec([], tf.int32, name="n")
        seed = tf.TensorSpec([], tf.int64, name="seed")
        signatures = {"sample": (self._sample_in_chunks, [n, seed, *context])}
        if not self.traits.has_density:
            return signatures

        def log_prob(x, context=None):
            context = self.encode_context(context)
            first_row = tf.constant(0, tf.int64)
            return self._score_rows(self.to_model(x), context, first_row, make_seed(0), 1)

        return {"log_prob": (log_prob, [self._x_signature(), *context]), **signatures}

    def _sample_in_chunks(self, n, seed, context=None):
        """Do as `sample`, in graph, for any n."""
        return sample_in_chunks(self, n, seed, context)

    def _x_signature(self) -> tf.TensorSpec:
        return tf.TensorSpec([None, *self.event_shape], self.input_dtype, name="x")

    def fitted_state(self) -> dict[str, Any]:
        """Return what was learned beside the weights, as JSON; subclasses add to it."""
        return {
            "data_spec": dataclasses.asdict(self.data_spec),
            "class_counts": self.class_counts,
            "context": self.context_spec.fitted_state(),
            "layout": _LAYOUT,
        }

    def restore_state(self, state: dict[str, Any]) -> None:
        """Take back what `fitted_state` returned.

        Raises:
            DataError: For a flow or VAE of version 0.1.
        """
        if state.get("layout") != _LAYOUT and self.law is not None and self.law.variables:
            raise DataError(
                f"Expected a {type(self).__name__} saved by this version of genzoo. Received: one "
                "of version 0.1, whose weights had other places in the file. Load it with that "
                "version, or train the model anew."
            )
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
