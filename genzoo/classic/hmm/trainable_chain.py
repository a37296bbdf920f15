"""TrainableChain: the recursions on batches of sequences, and Baum-Welch by them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from genzoo.classic.hmm import recursions
from genzoo.classic.hmm import sequence_data as sequences
from genzoo.classic.hmm.emissions import proportions
from genzoo.classic.hmm.hidden_chain import HiddenChain, as_dict, keep
from genzoo.classic.hmm.sequence_data import SequenceData, SequenceStream
from genzoo.core import checks
from genzoo.core.batches import check_batch_size, check_class_weight, check_weights
from genzoo.core.compat.keras import validates_in_fit
from genzoo.core.errors import ImpossibleDataError, InvalidInputError
from genzoo.core.random import make_seed
from genzoo.core.replicas import PartFunction
from genzoo.core.sources import is_stream
from genzoo.core.spec import DataSpec
from genzoo.core.units import RunningMoments

_CHAIN = ("startprob", "transmat")
_FEWER_ZEROS = (
    "Fit a model with transmat_prior, startprob_prior and emission_prior above 1, such as 1.1, of "
    "another topology, or from parameters_init with fewer zeros."
)
_OBSERVE_AT_A_TIME = 4096


class TrainableChain(HiddenChain):
    """Base of `HiddenMarkovModel`: in graph, at the door, and in training."""

    # In graph

    def _chain(self) -> tuple[tf.Tensor, tf.Tensor]:
        values = self._parameters.values
        return tuple(tf.convert_to_tensor(values[name]) for name in _CHAIN)

    def _emission_weights(self) -> dict[str, tf.Tensor]:
        values = self._parameters.values
        return {name: tf.convert_to_tensor(values[name]) for name in self._emission.weight_shapes()}

    def _inputs(self, x, lengths, mask):
        """Return what all recursions take, of a batch [b, T, *event_shape]."""
        x = self.to_model(x)
        shape = tf.shape(x)[:2]
        rows = tf.reshape(x, [-1, self.event_size])
        if mask.shape.rank == 2:
            flat, observed = tf.reshape(mask, [-1]), mask
        else:
            flat = tf.reshape(mask, [-1, self.event_size])
            observed = tf.reshape(tf.reduce_any(flat, axis=-1), shape)
        log_emission = self._emission.run_log_prob(self._emission_weights(), rows, flat)
        log_emission = tf.reshape(log_emission, [shape[0], shape[1], self.num_states])
        return (*self._chain(), log_emission, observed, lengths), rows, flat

    def _log_probs(self, x, lengths, mask):
        inputs, _, _ = self._inputs(x, lengths, mask)
        return tf.cast(recursions.log_probs(*inputs), self.float_dtype)

    def _step_log_probs(self, x, lengths, mask):
        return recursions.step_log_probs(*self._inputs(x, lengths, mask)[0])

    # an impossible sequence has no states: NaN, or -1 of a path, says so

    def _posteriors(self, x, lengths, mask):
        inputs, _, _ = self._inputs(x, lengths, mask)
        log_prob, posterior, _ = recursions.expectations(*inputs)
        possible = tf.math.is_finite(log_prob)[:, None, None]
        return tf.where(possible, posterior, posterior.dtype.as_numpy_dtype(np.nan))

    def _paths(self, x, lengths, mask):
        path, log_prob = recursions.viterbi(*self._inputs(x, lengths, mask)[0])
        return tf.where(tf.math.is_finite(log_prob)[:, None], path, -1)

    def _path_log_probs(self, x, lengths, mask):
        log_prob = recursions.viterbi(*self._inputs(x, lengths, mask)[0])[1]
        return tf.cast(log_prob, self.float_dtype)

    def _last_filtered(self, x, lengths, mask):
        last = recursions.last_filtered(*self._inputs(x, lengths, mask)[0])
        possible = tf.reduce_sum(last, axis=-1, keepdims=True) > 0.5
        return tf.where(possible, last, last.dtype.as_numpy_dtype(np.nan))

    def _of_raw(self, function, x, lengths=None):
        """Apply a function of `x, lengths, mask` to raw data of a user's, in graph."""
        shape = tf.shape(x)[:2]
        lengths = tf.fill(shape[:1], shape[1]) if lengths is None else tf.cast(lengths, tf.int32)
        inside = tf.sequence_mask(lengths, shape[1])
        if not x.dtype.is_floating:
            if not self._emission.counts and self.data_spec.is_integer:
                x = self.to_model(x)
                x = sequences.dequantized_batch(x, lengths, noise_seed(0, 0), 0, self.float_dtype)
            return function(x, lengths, inside)
        known = ~tf.math.is_nan(x)
        x = tf.where(known, x, tf.zeros([], x.dtype))
        axes = list(range(2, x.shape.rank))
        whole, some = tf.reduce_all(known, axis=axes), tf.reduce_any(known, axis=axes)
        if not self._emission.parts_missing or not axes:
            return function(x, lengths, inside & whole)
        wide = tf.reshape(inside, tf.concat([shape, [1] * len(axes)], axis=0))
        return tf.cond(
            tf.reduce_all(tf.equal(whole, some)),
            lambda: function(x, lengths, inside & whole),
            lambda: function(x, lengths, wide & known),
        )

    def call(self, inputs, training=False):
        if isinstance(inputs, dict):
            return self._log_probs(*(inputs[name] for name in ("x", "lengths", "mask")))
        return self._of_raw(self._log_probs, inputs)

    def statistic_shapes(self):
        k = self.num_states
        return {"start": (k,), "transitions": (k, k), **self._emission.statistic_shapes()}

    def _expect_batch(self, inputs, weights=None):
        x, lengths, mask = (inputs[name] for name in ("x", "lengths", "mask"))
        inputs, rows, flat = self._inputs(x, lengths, mask)
        log_prob, posterior, transitions = recursions.expectations(*inputs, weights=weights)
        if weights is not None:
            posterior *= tf.cast(weights, posterior.dtype)[:, None, None]
        # a missing step says nothing of its emission
        known = posterior * tf.cast(inputs[3], posterior.dtype)[:, :, None]
        known = tf.reshape(known, [-1, self.num_states])
        own = self._emission_weights()
        return tf.cast(log_prob, self.float_dtype), {
            "start": tf.reduce_sum(posterior[:, 0], axis=0),
            "transitions": transitions,
            **self._emission.run_statistics(own, rows, flat, known),
        }

    def _maximize(self, statistics):
        if not np.isfinite(statistics["log_prob"]):
            raise ImpossibleDataError(
                "Expected sequences that are possible under the model. Received: a likelihood of "
                f"zero. {_FEWER_ZEROS}"
            )
        old = {name: np.asarray(value, np.float64) for name, value in self._own().items()}
        sticky = self.sticky * np.eye(self.num_states)
        weights = {
            name: np.asarray(value, np.float64)
            for name, value in self._parameters.values.items()
            if name not in _CHAIN
        }
        new = {
            "startprob": proportions(
                statistics["start"], old["startprob"], np.asarray(self.startprob_prior)
            ),
            "transmat": proportions(
                statistics["transitions"],
                old["transmat"],
                np.asarray(self.transmat_prior) + sticky,
            ),
            **self._emission.maximize(weights, statistics),
        }
        fixed = as_dict(self.fixed)
        self._assign(
            {name: keep(value, old[name], fixed.get(name), name) for name, value in new.items()}
        )

    # Data

    def _door(
        self,
        x,
        lengths=None,
        batch_size=None,
        steps=None,
        mask=None,
        sample_weight=None,
        class_weight=None,
    ):
        if class_weight is not None:
            check_class_weight(class_weight, self.num_classes)
        if isinstance(x, (SequenceData, SequenceStream)):
            return x
        if is_stream(x):
            if any(given is not None for given in (lengths, mask, sample_weight)):
                raise InvalidInputError(
                    "Expected lengths, mask and weights inside the data set, as dicts of x, "
                    "lengths, mask and sample_weight. Received: one of them beside a "
                    f"{type(x).__name__}"
                )
            return SequenceStream(
                x, self.event_shape, batch_size or _OBSERVE_AT_A_TIME, steps,
                counts=self._emission.counts,
            )  # fmt: skip
        data = sequences.door(
            x, self.event_shape, lengths, mask,
            counts=self._emission.counts, parts_missing=self._emission.parts_missing,
        )  # fmt: skip
        if sample_weight is not None:
            data.rows[sequences.WEIGHT] = check_weights(sample_weight, len(data))
        return data

    def _observe(self, data, batch_size):
        moments = RunningMoments()
        count, steps, trials, observed = 0, 0, 0.0, 0
        if isinstance(data, SequenceData):
            batches = [{**data.rows, "lengths": data.lengths, "mask": data.mask}]
        else:
            batches = data.batches(_OBSERVE_AT_A_TIME)
        for batch in batches:
            x = batch["x"]
            self._count_observed(moments, x, batch["mask"])
            count, steps = count + len(batch["lengths"]), steps + int(batch["lengths"].sum())
            if self.emission == "multinomial":
                trials, observed = trials + float(x.sum()), observed + int(batch["mask"].sum())
        spec = self._spec_of(moments)
        self.sequence_length_ = max(round(steps / count), 1)
        self._learn_trials(trials, observed)
        return spec

    def _learn_trials(self, trials: float, observed: int) -> None:
        """Take the mean number of trials of a step, where none was given."""
        if self.num_trials is None and self.emission == "multinomial":
            self.num_trials_ = max(round(trials / max(observed, 1)), 1)
            self._make_emission()

    def _count_observed(self, moments, x, mask) -> None:
        lead = x.ndim - len(self.event_shape)
        if mask.ndim > lead:
            x = np.where(mask, x, np.nan)
            mask = mask.any(axis=tuple(range(lead, mask.ndim)))
        rows = x[mask]
        moments.update(rows if len(rows) else np.full((1, *self.event_shape), np.nan))

    def _spec_of(self, moments):
        if moments.dtype is None or not self._emission.counts:
            return super()._spec_of(moments)
        low, high = np.min(moments.low), np.max(moments.high)
        if low < 0:
            raise InvalidInputError(
                f"Expected symbols or counts of at least 0. Received: x with {low}."
            )
        return DataSpec.of(moments.dtype, low, high, self.levels)

    def _to_floats(self, data: SequenceData, seed: tf.Tensor) -> SequenceData:
        """Return the data with noise added to integers that stand for real numbers."""
        steps = data.rows["x"]
        floats = steps.dtype.kind == "f" or not self.data_spec.is_integer
        if floats or self._emission.counts:
            return data
        own = self.to_model(steps).numpy()
        return data.with_steps(sequences.dequantized(own, seed, self.float_dtype))

    def _batch_dataset(self, data, batch_size, shuffle):
        seed = noise_seed(0, 0)
        if isinstance(data, SequenceData):
            epoch = self._conductor.epoch.read
            return self._to_floats(data, seed).dataset(batch_size, epoch=epoch)
        dataset = data.dataset(batch_size)
        if self._emission.counts or not self.data_spec.is_integer:
            return dataset

        def dequantize(first_step, batch):
            x, lengths = self.to_model(batch["x"]), batch["lengths"]
            real = sequences.dequantized_batch(x, lengths, seed, first_step, self.float_dtype)
            after = first_step + tf.reduce_sum(tf.cast(lengths, tf.int64))
            return after, {**batch, "x": real}

        return dataset.scan(tf.constant(0, tf.int64), dequantize).prefetch(2)

    def _real_sequences(self, method, x, lengths, mask, batch_size, context=None):
        """Check data from outside for a method that reads them."""
        self._check_outside(method, x)
        self.context_spec.check(context, 0, self._class_name())
        data = self._door(x, lengths, mask=mask)
        if isinstance(data, SequenceStream):
            data = data.in_memory()
        self._check_kind(data, self.data_spec)
        self._narrow(data)
        return data, check_batch_size(
            batch_size, data.usual_batch_size(self._emission.values_a_step)
        )

    def _map(self, name: str, function: Callable[..., tf.Tensor], data: SequenceData, batch_size):
        """Return the results of a function of `x, lengths, mask`, batch by batch, and the plan."""
        x_type = tf.as_dtype(data.rows["x"].dtype)
        mask_shape = [None, None, *data.mask.shape[1:]]

        def make():
            signature = [
                tf.TensorSpec([None, None, *self.event_shape], x_type),
                tf.TensorSpec([None], tf.int32),
                tf.TensorSpec(mask_shape, tf.bool),
            ]
            return PartFunction(function, signature)

        graph = self._graphs.get((name, x_type, len(mask_shape)), make)
        return sequences.run_batches(
            data, batch_size, lambda parts: graph.run(self.distribute_strategy, parts)
        )

    def _check_possible(self, data: SequenceData, results: list[np.ndarray], plan) -> None:
        """Refuse a sequence whose results begin with NaN, -inf or -1: it is impossible."""
        firsts = [result.reshape(len(result), -1)[:, 0] for result in results]
        found = data.join_sequences(firsts, plan)
        impossible = ~np.isfinite(found) if found.dtype.kind == "f" else found < 0
        if not impossible.any():
            return
        i = int(np.argmax(impossible))
        sequence = data.take(i)
        (log_probs,), _ = self._map("step_log_prob", self._step_log_probs, sequence, 1)
        step = int(np.argmin(np.isfinite(log_probs[0])))
        x, mask = sequence.rows["x"][[step]], sequence.mask[[step]]
        flat = mask.reshape(1, -1) if mask.ndim > 1 else mask
        emitted = self._emission.run_log_prob(
            self._emission_weights(), tf.constant(x.reshape(1, -1)), tf.constant(flat)
        )
        somewhere = np.isfinite(emitted).any()
        raise ImpossibleDataError(
            "Expected sequences that are possible under the model. Received: sequence "
            f"{i} with {x[0].tolist()} at step {step}, which no state "
            f"{'that may come there ' if somewhere else ''}emits. "
            f"{_FEWER_ZEROS if somewhere else self._emission.remedy}"
        )

    # Training

    def fit(
        self,
        x: Any,
        lengths: Any = None,
        *,
        mask: Any = None,
        context: Any = None,
        batch_size: int | None = None,
        validation_data: Any = None,
        steps_per_epoch: int | None = None,
        sample_weight: Any = None,
        **arguments: Any,
    ):
        """Run Baum-Welch until convergence, or for `epochs` iterations (100 by default).

        Goes on from the present parameters; the first `fit` (or `adapt`) starts them from data,
        `n_init` times.

        Args:
            x: Sequences; see the class. Or a `tf.data.Dataset` of padded batches, or of one
                sequence an element: `x`, `(x, lengths)`, `(x, lengths, mask)` or dicts of them.
                Dicts may have a `sample_weight` too.
            lengths: [n].
            mask: Whether a step was observed, shaped as x without `event_shape`.
            context: Refused: the model is unconditional.
            batch_size: Sequences a step; `None` for as many as make some 100,000 steps. It does not
                change the result.
            validation_data: x, `(x, lengths)` or a data set.
            steps_per_epoch: Batches an epoch, for endless data sets.
            sample_weight: Weights of the sequences [n]: one of w counts as w sequences alike. The
                start of the parameters sees all alike.
            **arguments: `epochs`, `validation_split`, `callbacks`, `verbose` and others of
                `GenerativeModel.fit`.

        Returns:
            Keras's `History`, of the start that was kept.

        Raises:
            InvalidInputError: As in `GenerativeModel.fit`; also when a sequence turns out to be
                impossible under the model.
        """
        self.context_spec.check(context, 0, self._class_name())
        if batch_size is not None:
            checks.check_int(batch_size, "batch_size")
        if steps_per_epoch is not None:
            checks.check_int(steps_per_epoch, "steps_per_epoch")
        data = self._door(x, lengths, batch_size, steps_per_epoch, mask, sample_weight)
        if batch_size is None and isinstance(data, SequenceData):
            batch_size = data.usual_batch_size(self._emission.values_a_step)
        if self.sequence_length_ is None and isinstance(data, SequenceData):
            self.sequence_length_ = max(round(data.lengths.mean()), 1)
            self._learn_trials(float(data.rows["x"].sum()), int(data.mask.sum()))
        arguments.update(batch_size=batch_size, steps_per_epoch=steps_per_epoch)
        try:
            if self.data_spec is not None:
                return self._run(data, validation_data=validation_data, **arguments)
            return self._fit_from_starts(
                lambda: self._run(data, validation_data=validation_data, **arguments)
            )
        finally:
            data.close()

    def _run(self, data, **arguments):
        """Run EM on data that passed the door."""
        try:
            return super().fit(data, **arguments)
        except ImpossibleDataError:
            if isinstance(data, SequenceData):
                real = self._to_floats(data, noise_seed(0, 0))
                size = data.usual_batch_size(self._emission.values_a_step)
                self._check_possible(real, *self._map("log_prob", self._log_probs, real, size))
            raise

    def adapt(
        self,
        x: Any,
        lengths: Any = None,
        *,
        mask: Any = None,
        context: Any = None,
        batch_size: int | None = None,
    ) -> None:
        """Start the parameters from data.

        Args:
            x, lengths, mask, context, batch_size: As in `fit`.
        """
        self.context_spec.check(context, 0, self._class_name())
        data = self._door(x, lengths, batch_size, mask=mask)
        super().adapt(data)

    @validates_in_fit
    def evaluate(
        self,
        x: Any,
        lengths: Any = None,
        *,
        mask: Any = None,
        batch_size: int | None = None,
        sample_weight: Any = None,
        **arguments: Any,
    ):
        """Return the loss, the mean of -log p(x) over sequences, as Keras's `evaluate` does.

        Args:
            x, lengths, mask, batch_size, sample_weight: As in `fit`.
            **arguments: Keras's own: `verbose`, `return_dict`, `callbacks`, `steps`.
        """
        self._check_fitted("evaluate")
        data = self._door(x, lengths, batch_size, arguments.get("steps"), mask, sample_weight)
        if batch_size is None and isinstance(data, SequenceData):
            batch_size = data.usual_batch_size(self._emission.values_a_step)
        return super().evaluate(data, batch_size=batch_size, **arguments)


def noise_seed(seed: int, draw: int) -> tf.Tensor:
    """Return the seed of the noise of a draw of dequantised steps."""
    return make_seed(make_seed(seed), draw)
