"""Expectation-maximisation as Keras `fit`: batches add statistics, the epoch ends in an M step."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from genzoo.classic.em.starts import RowSample
from genzoo.core.checks import check_int, check_number
from genzoo.core.engine.fitting import as_callbacks
from genzoo.core.engine.losses import row_weights
from genzoo.core.errors import InvalidInputError
from genzoo.core.inputs.batches import Batch
from genzoo.core.maths.random import make_seed
from genzoo.core.model import GenerativeModel

_FITTED = ("converged_", "n_iter_", "lower_bound_")
_START_ROWS = 20_000


class _Sums:
    """Float64 sums over the batches and replicas of an epoch; no part of the model's state."""

    def __init__(self, shapes: dict[str, tuple[int, ...]]):
        # TensorFlow's own: Keras's assign_add would sum the running totals of the replicas
        self.variables = {
            name: tf.Variable(
                tf.zeros(shape, tf.float64),
                trainable=False,
                aggregation=tf.VariableAggregation.SUM,
                synchronization=tf.VariableSynchronization.ON_READ,
                name=name,
            )
            for name, shape in shapes.items()
        }
        # what updates within the epoch were made of
        self.spent: dict[str, float] = {}

    def add(self, values: dict[str, tf.Tensor]) -> None:
        for name, variable in self.variables.items():
            variable.assign_add(tf.cast(values[name], tf.float64))

    def reset(self) -> None:
        for variable in self.variables.values():
            variable.assign(tf.zeros(variable.shape, tf.float64))

    def read(self) -> dict[str, np.ndarray]:
        return {
            name: tf.convert_to_tensor(variable.read_value()).numpy()
            for name, variable in self.variables.items()
        }


class _MaximizationStep(keras.callbacks.Callback):
    """Resets the sums before an epoch; updates the parameters and tests convergence after it."""

    def on_train_begin(self, logs=None):
        self.previous = -np.inf
        self.model.converged_ = False
        self.model.n_iter_ = 0

    def get_state(self):
        """Return what a checkpoint keeps."""
        return {"previous": self.previous}

    def set_state(self, state):
        """Take back what `get_state` returned."""
        self.previous = state["previous"]

    def on_epoch_begin(self, epoch, logs=None):
        self.model.reset_statistics()

    def on_train_batch_end(self, batch, logs=None):
        self.model.end_batch()

    def on_epoch_end(self, epoch, logs=None):
        bound = self.model.maximize()
        self.model.lower_bound_ = bound
        self.model.n_iter_ += 1
        if abs(bound - self.previous) < self.model.tol:
            self.model.converged_ = True
            self.model.stop_training = True
        self.previous = bound


class EMModel(GenerativeModel):
    """Base of models fitted by EM.

    One epoch is one iteration over all the data, in float64 sums over batches, replicas and
    workers, so it does not depend on the batch size. A subclass implements `_rows_to_start_from`
    and `_start`, for where EM begins, and `statistic_shapes`, `_expect` and `_maximize`. Stepwise
    EM, which updates the parameters after each batch, takes `_present_statistics` too.

    Args:
        n_init: Starts of the first `fit`, of which the one of the best likelihood is kept.
        tol: `fit` stops when the mean log-likelihood changes by less, in nats an example.

    Attributes:
        converged_: Whether the last `fit` stopped by `tol`.
        n_iter_: Iterations of the last `fit`.
        lower_bound_: Mean log-likelihood before the last M step, nats an example.
        num_updates_: Updates of stepwise EM so far.

    Reference: Dempster, Laird and Rubin, Maximum likelihood from incomplete data via the EM
    algorithm, 1977. Cappé and Moulines, On-line expectation-maximization algorithm for latent data
    models, 2009.
    """

    traits = dataclasses.replace(GenerativeModel.traits, training="em", context="no")
    default_epochs = 100
    default_batch_size = 4096
    default_steps_per_execution = 1
    shuffles = False
    # spherical covariances have no place for scales of their own
    rescales = False
    # the sums of an iteration are no part of the model
    saves_within_epochs = False
    # the number a of stepwise EM, whose update t = 0, 1, ... has the step size (t + 2)^-a
    step_exponent: float | None = None

    def __init__(self, event_shape, *, n_init: int = 1, tol: float = 1e-3, **model_arguments: Any):
        super().__init__(event_shape, **model_arguments)
        self.n_init = check_int(n_init, "n_init")
        self.tol = check_number(tol, "tol")
        self.converged_ = False
        self.n_iter_ = 0
        self.lower_bound_ = -np.inf
        self.num_updates_ = 0
        self._sums: _Sums | None = None
        # up to 20,000 rows, and a number beside each, while starts may need them
        self._start_rows: tuple[np.ndarray, np.ndarray] | None = None
        self._keeps_start_rows = False

    # Where it begins

    def _adapt_parts(self, batches):
        sample = RowSample(_START_ROWS, self.event_size, 0 if self.seed is None else self.seed)
        for count, take in self._rows_to_start_from(batches()):
            sample.offer(count, take)
        self._start_rows = sample.rows()
        self._start(0)
        if not self._keeps_start_rows:
            self._start_rows = None

    def _rows_to_start_from(
        self, batches: Iterator[Batch]
    ) -> Iterator[tuple[int, Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]]]:
        """Hook: yield of each batch how many rows [D] it has, and a function of the numbers of
        those wanted that returns them and a number beside each, which `_start` finds again."""
        raise NotImplementedError

    def _start(self, attempt: int) -> None:
        """Hook: set the parameters from `_start_rows`, in another way for each attempt."""
        raise NotImplementedError

    def _fit_from_starts(self, fit: Callable[[], keras.callbacks.History]):
        """Return the history of the likeliest of `n_init` fits, whose parameters are kept."""
        best = None
        self._keeps_start_rows = self.n_init > 1
        try:
            for attempt in range(self.n_init):
                if attempt:
                    with self.distribute_strategy.scope():
                        self._start(attempt)
                history = fit()
                if best is None or self.lower_bound_ > best[0]["lower_bound_"]:
                    best = self.fitted_state(), self.get_weights(), history
        finally:
            self._keeps_start_rows, self._start_rows = False, None
        state, weights, history = best
        if self.n_init > 1:
            self.set_weights(weights)
            self.restore_state(state)
        return history

    # The two steps

    def statistic_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the sufficient statistics by name."""
        raise NotImplementedError

    def _expect_batch(
        self, inputs: Batch, *weight: tf.Tensor
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """Hook, in graph: as `_expect`, of a batch as the data set has it."""
        noise = self.row_noise(make_seed(0), 0)
        return self._expect(self.law.to_real(self.to_model(inputs["x"]), noise)[0], *weight)

    def _expect(self, x: tf.Tensor, *weight: tf.Tensor) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """Hook, in graph: log p(x) [n] and the batch's sums of sufficient statistics.

        It may get the rows' weights [n] beside.
        """
        raise NotImplementedError

    def _maximize(self, statistics: dict[str, np.ndarray]) -> None:
        """Hook: set the parameters from the sums over all the data."""
        raise NotImplementedError

    def reset_statistics(self) -> None:
        """Begin an iteration."""
        if self._sums is None:
            with self.distribute_strategy.scope():
                own = {"count": (), "log_prob": ()}
                self._sums = _Sums({**own, **self.statistic_shapes()})
        with self.distribute_strategy.scope():
            self._sums.reset()
        self._sums.spent = {"count": 0.0, "log_prob": 0.0}

    def end_batch(self) -> None:
        """Update the parameters after a batch, in stepwise EM.

        The running statistics are those that would give the present parameters, so that they
        need no place of their own.
        """
        if self.step_exponent is None:
            return
        sums = self._sums.read()
        if not sums["count"]:
            return
        step = (self.num_updates_ + 2) ** -self.step_exponent
        blended = {
            name: (1 - step) * value + step * sums[name] / sums["count"]
            for name, value in self._present_statistics().items()
        }
        with self.distribute_strategy.scope():
            self._sums.reset()
            self._maximize(blended)
        self.num_updates_ += 1
        for name in self._sums.spent:
            self._sums.spent[name] += float(sums[name])

    def _present_statistics(self) -> dict[str, Any]:
        """Hook: statistics of one example that leave the parameters as they are."""
        raise NotImplementedError

    def maximize(self) -> float:
        """Update the parameters; return the mean log-likelihood before that, in nats."""
        if self.step_exponent is not None:
            return self._sums.spent["log_prob"] / max(self._sums.spent["count"], 1e-300)
        sums = self._sums.read()
        with self.distribute_strategy.scope():
            self._maximize(sums)
        return float(sums["log_prob"] / sums["count"])

    def train_step(self, data):
        """Add a batch's statistics; the parameters stay."""
        inputs = data[0] if isinstance(data, tuple) else data
        weights = row_weights(inputs)
        given = [] if weights is None else [tf.cast(weights, self.float_dtype)]
        log_prob, statistics = self._expect_batch(inputs, *given)
        if weights is None:
            weights = tf.ones(tf.shape(log_prob), tf.float64)
        total = tf.reduce_sum(weights * tf.cast(log_prob, tf.float64))
        self._sums.add({**statistics, "count": tf.reduce_sum(weights), "log_prob": total})
        return self._show(inputs, log_prob, weights)

    def test_step(self, data):
        """Score held-out rows."""
        inputs = data[0] if isinstance(data, tuple) else data
        log_prob = self(inputs, training=False)
        weights = row_weights(inputs)
        return self._show(inputs, log_prob, tf.ones_like(log_prob) if weights is None else weights)

    def _show(self, inputs, log_prob, weights):
        # a replica may have no rows
        (loss,) = (metric for metric in self.metrics if metric.name == "loss")
        loss.update_state(-log_prob, sample_weight=weights)
        return self.compute_metrics(inputs, None, log_prob)

    def fit(self, x: Any, context: Any = None, *, callbacks: Any = None, **arguments: Any):
        """Run EM until convergence, or for `epochs` iterations (100 by default).

        Goes on from the present parameters; the first `fit` (or `adapt`) starts them from data.
        Arguments, returns and errors as in `GenerativeModel.fit`; rows are not shuffled.
        """
        callbacks = as_callbacks(callbacks)
        # last, so that other callbacks see the parameters that gave the logged loss
        return super().fit(x, context, callbacks=[*callbacks, _MaximizationStep()], **arguments)

    def train_on_batch(self, x: Any, context: Any = None, **arguments: Any):
        """Refuse: an iteration of EM is over all the data.

        Raises:
            InvalidInputError: Always.
        """
        raise InvalidInputError(
            f"Expected fit(): an iteration of EM is over all the data, which {type(self).__name__} "
            "reads in batches. Received: train_on_batch(). Call fit(x, epochs=1) for one iteration."
        )

    def fitted_state(self):
        own = {name: getattr(self, name) for name in _FITTED}
        return {**super().fitted_state(), **own, "num_updates_": self.num_updates_}

    def restore_state(self, state):
        super().restore_state(state)
        for name in _FITTED:
            setattr(self, name, state[name])
        # only mixtures of version 0.1 count them
        self.num_updates_ = state.get("num_updates_", 0)

    def _default_optimizer(self):
        return None

    def compile_from_config(self, config):
        self.compile(optimizer=None, steps_per_execution=config.get("steps_per_execution", 1))

    def _batch_dataset(self, data, batch_size, shuffle):
        """Dequantise integers once and for all: EM on fresh noise would not be monotone.

        Sums over the data need every row; a replica without any adds nothing.
        """
        epoch = self.fit_callback.epoch.read
        dataset = data.dataset(batch_size, shuffle=shuffle, seed=self.seed, epoch=epoch)
        if not self.data_spec.is_integer:
            return dataset

        def dequantize(first_row, batch):
            noise = self.row_noise(make_seed(0), first_row)
            real, _ = self.law.to_real(self.to_model(batch["x"]), noise)
            return first_row + tf.shape(real, tf.int64)[0], {**batch, "x": real}

        start = tf.constant(0, tf.int64)
        return dataset.scan(start, dequantize).prefetch(tf.data.AUTOTUNE)
