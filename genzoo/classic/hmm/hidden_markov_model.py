"""HiddenMarkovModel: sequences of steps that depend on a hidden state, by Baum-Welch."""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from genzoo.classic.em import EMModel, fill_missing, information_criteria
from genzoo.classic.gaussians import COVARIANCES
from genzoo.classic.hmm import hmmlearn_models, sequence_data
from genzoo.classic.hmm.emissions import EMISSIONS, Settings, make_emission
from genzoo.classic.hmm.hidden_markov_law import HiddenMarkovLaw
from genzoo.classic.hmm.markov_chain import TOPOLOGIES, MarkovChain, check_prior
from genzoo.classic.hmm.parts import check_fixed, fixed_by_name
from genzoo.classic.hmm.sequence_data import SequenceData, SequenceSchema, SequenceStream
from genzoo.core import checks
from genzoo.core.compat.keras import validates_in_fit
from genzoo.core.engine import fitting
from genzoo.core.engine.replicas import PartFunction
from genzoo.core.errors import (
    ImpossibleDataError,
    InvalidInputError,
    NoDensityError,
    NotFittedError,
)
from genzoo.core.inputs.batches import check_batch_size
from genzoo.core.inputs.spec import DataSpec
from genzoo.core.inputs.units import RunningMoments
from genzoo.core.likelihood import Likelihood
from genzoo.core.maths.random import make_seed
from genzoo.core.registry import register

_STEPS_AT_A_TIME = 2**20
_SEQUENCES_AT_A_TIME = 1024
_OBSERVE_AT_A_TIME = 4096
_FEWER_ZEROS = (
    "Fit a model with transmat_prior, startprob_prior and emission_prior above 1, such as 1.1, of "
    "another topology, or from parameters_init with fewer zeros."
)


class Forecast(NamedTuple):
    """What `HiddenMarkovModel.forecast` says of the next steps of n sequences.

    Attributes:
        state_proba: Probabilities of the states, [n, steps, K].
        mean: Expected values, [n, steps, *event_shape]; of categorical emissions the
            probabilities of the symbols, [n, steps, M].
        samples: Drawn continuations, [n, num_samples, steps, *event_shape], or `None`.
    """

    state_proba: np.ndarray
    mean: np.ndarray
    samples: np.ndarray | None


@register("hidden_markov_model")
class HiddenMarkovModel(EMModel):
    """A hidden Markov model.

    Sequences are given as a list of arrays [T_i, *event_shape]; as one padded array
    [n, T, *event_shape], with `lengths` [n] where some are shorter; or as one array
    [sum of lengths, *event_shape] with `lengths` [n], `None` for a single sequence. The rank of
    the array tells the last two apart. Results of steps come back in the same form, padding filled
    with NaN or -1. A step that is NaN, or false in `mask`, is missing; Gaussian and Poisson
    emissions also take steps of which some values are NaN. What is missing is marginalised.

    Args:
        event_shape: Shape of one step, D values; `()` for scalars.
        num_states: Number of states K.
        emission: `"gaussian"`, `"gaussian_mixture"`, or, of integers, `"categorical"` (symbols 0 to
            `levels - 1`), `"poisson"` or `"multinomial"` (counts).
        num_components: Components M of a state's mixture, with `"gaussian_mixture"`.
        covariance_type: `"full"`, `"tied"`, `"diag"` or `"spherical"`. The states share a tied
            covariance; with mixtures, the components of a state do.
        reg_covar: Added to the diagonal of the covariances, in squared units of the data.
        num_trials: Trials of a multinomial sample; `None` for the mean number of the data.
        topology: Transitions that may be: `"ergodic"`, all; `"left_right"`, from the first state
            on, to the same or one of the next `band_width` states; `"banded"`, to states no
            further than `band_width` away.
        band_width: See `topology`.
        startprob_prior, transmat_prior: Parameters of Dirichlet priors, broadcast to [K] and
            [K, K]; 1 is flat.
        sticky: Added to the diagonal of `transmat_prior`: transitions to the same state that
            were seen beforehand, so to say.
        emission_prior: Parameter of the Dirichlet prior of symbols and mixture weights.
        parameters_init: Parameters to start from, by name without the underscore, such as
            `{"transmat": ...}`; others start from k-means clusters of up to 20,000 steps.
            A probability of zero remains zero. A model that has all of them needs no `fit`.
        fixed: Parameters that `fit` leaves alone: names, or a dict of names and booleans, true
            where a parameter is fixed (an array of its shape, or of its leading axes).
        n_init: Starts of the first `fit`, of which the likeliest result is kept.
        tol: `fit` stops when the mean log-likelihood changes by less, in nats a sequence.
        **model_arguments: `levels`, `seed`, `name`, `dtype`; see `GenerativeModel`.

    Attributes:
        startprob_: [K]. transmat_: [K, K], from row to column.
        means_, covariances_: Of Gaussian emissions, [K, D], and [K, D, D], [D, D], [K, D] or [K] by
            `covariance_type`; of mixtures [K, M, D], and [K, M, D, D], [K, D, D], [K, M, D] or
            [K, M].
        weights_: Of mixtures, [K, M].
        emissionprob_: Of categorical and multinomial emissions, [K, M].
        rates_: Of Poisson emissions, [K, D].
        converged_, n_iter_, lower_bound_: see `EMModel`.

    Example:

    >>> walk = np.cumsum(np.random.default_rng(0).normal(size=(20, 50, 1)), axis=1)
    >>> model = genzoo.HiddenMarkovModel((1,), num_states=3, seed=0)
    >>> history = model.fit(walk, epochs=10, verbose=0)
    >>> model.log_prob(walk).shape, model.decode(walk).shape, model.sample(4, length=7).shape
    ((20,), (20, 50), (4, 7, 1))

    Reference: Rabiner, A tutorial on hidden Markov models and selected applications in speech
    recognition, 1989.
    """

    traits = dataclasses.replace(EMModel.traits, examples=("sequence",), missing_values=True)

    def __init__(
        self,
        event_shape: tuple[int, ...] | int,
        *,
        num_states: int = 4,
        emission: str = "gaussian",
        num_components: int = 1,
        covariance_type: str = "full",
        reg_covar: float = 1e-6,
        num_trials: int | None = None,
        topology: str = "ergodic",
        band_width: int = 1,
        startprob_prior: Any = 1.0,
        transmat_prior: Any = 1.0,
        sticky: float = 0.0,
        emission_prior: float = 1.0,
        parameters_init: Mapping[str, Any] | None = None,
        fixed: Any = (),
        n_init: int = 1,
        tol: float = 1e-3,
        **model_arguments: Any,
    ):
        super().__init__(event_shape, n_init=n_init, tol=tol, **model_arguments)
        # the emission compiles for itself, and not everything
        self.supports_jit = False
        if self.context_size:
            raise InvalidInputError(
                "Expected no context: HiddenMarkovModel is unconditional. Received: "
                f"num_classes={self.num_classes!r}, context_dim={self.context_dim!r}. "
                "Fit one model a class."
            )
        self.num_states = k = checks.check_int(num_states, "num_states")
        self.emission = checks.check_choice(emission, EMISSIONS, "emission")
        self.num_components = checks.check_int(num_components, "num_components")
        self.covariance_type = checks.check_choice(covariance_type, COVARIANCES, "covariance_type")
        self.reg_covar = checks.check_number(reg_covar, "reg_covar")
        self.num_trials = None if num_trials is None else checks.check_int(num_trials, "num_trials")
        self.topology = checks.check_choice(topology, TOPOLOGIES, "topology")
        self.band_width = checks.check_int(band_width, "band_width")
        self.sticky = checks.check_number(sticky, "sticky")
        self.emission_prior = checks.check_number(emission_prior, "emission_prior", exclusive=True)
        self.startprob_prior = check_prior(startprob_prior, (k,), "startprob_prior")
        self.transmat_prior = check_prior(transmat_prior, (k, k), "transmat_prior")
        self.sequence_length_: int | None = None
        chain = MarkovChain(
            k, self.topology, self.band_width, self.startprob_prior, self.transmat_prior,
            self.sticky,
        )  # fmt: skip
        self._law = HiddenMarkovLaw(chain, self._make_emission(self.num_trials), {})
        self.parameters_init = self._law.check_parameters(parameters_init, "parameters_init")
        self.fixed = check_fixed(fixed, self._law.shapes())
        for name, shape in self._law.weight_shapes().items():
            self._law.variables[name] = self.add_weight(
                shape=shape, initializer="zeros", trainable=False, name=name
            )
        self.built = True

    def _make_emission(self, num_trials: int | None):
        settings = Settings(
            self.num_states, self.event_size, self.num_components, self.covariance_type,
            self.reg_covar, self.emission_prior, self.levels, num_trials,
        )  # fmt: skip
        return make_emission(self.emission, settings)

    @property
    def _emission(self):
        return self._law.emission

    # Declaration

    @property
    def likelihood(self) -> Likelihood:
        return Likelihood("exact", "mass") if self._emission.counts else super().likelihood

    @property
    def num_trials_(self) -> int | None:
        """Trials of a multinomial sample, given or learned."""
        return self._emission.settings.num_trials

    def fitted_state(self):
        own = {"sequence_length_": self.sequence_length_, "num_trials_": self.num_trials_}
        return {**super().fitted_state(), **own}

    def restore_state(self, state):
        super().restore_state(state)
        self.sequence_length_ = state["sequence_length_"]
        self._law.emission = self._make_emission(state["num_trials_"])

    # Parameters

    def _check_fitted(self, method):
        if self.data_spec is None and set(self.parameters_init) == set(self._law.shapes()):
            self.set_parameters()
        super()._check_fitted(method)

    def _get_parameter(self, name: str) -> np.ndarray:
        self._check_fitted(f"{name}_")
        if name not in self._law.shapes():
            raise AttributeError(f"Emission {self.emission!r} has no {name}_.")
        return self.parameters()[name]

    def parameters(self) -> dict[str, np.ndarray]:
        """Return all parameters by name, without the underscore."""
        self._check_fitted("parameters")
        return self._moved(self._law.parameters(), 1.0)

    def _moved(self, parameters: Mapping[str, Any], sign: float) -> dict[str, Any]:
        """Return parameters with the means moved by the data's offset: 1 for those of the data, -1
        for those of the model's own numbers."""
        if self.data_spec.offset is None or "means" not in parameters:
            return dict(parameters)
        offset = np.broadcast_to(self.data_spec.offset, self.event_shape).ravel()
        means = np.asarray(parameters["means"], np.float64) + sign * offset
        return {**parameters, "means": means}

    def set_parameters(self, **parameters: Any) -> None:
        """Set parameters by name, without the underscore; those left out stay.

        A model whose parameters are all set needs no `fit`.

        Args:
            **parameters: Of the shapes of the attributes.

        Raises:
            InvalidInputError: For wrong shapes, probabilities that do not sum to 1, or covariances
                that are not positive definite.
            NotFittedError: If some are left out before `fit`.

        Example:

        >>> coin = genzoo.HiddenMarkovModel((), num_states=2, emission="categorical", levels=2)
        >>> coin.set_parameters(startprob=[1, 0], transmat=[[0.9, 0.1], [0.1, 0.9]],
        ...                     emissionprob=[[0.5, 0.5], [0.1, 0.9]])
        >>> print(coin.log_prob([[0, 0, 0]]).round(4))
        [-2.2614]
        """
        given = self._law.check_parameters(parameters, "set_parameters()")
        if self.data_spec is None:
            given = {**self.parameters_init, **given}
            missing = sorted(set(self._law.shapes()) - set(given))
            if missing:
                raise NotFittedError(
                    f"Expected all parameters of a model that is not fitted. Received: none for "
                    f"{', '.join(missing)}."
                )
        else:
            given = {**self._law.parameters(), **self._moved(given, -1.0)}
        with self.distribute_strategy.scope():
            self._law.assign(given)
        if self.data_spec is None:
            counts = self._emission.counts
            self._set_spec(DataSpec("int64" if counts else self.float_dtype, self.levels))

    # Expectation-maximisation

    def _rows_to_start_from(self, batches):
        """As in `EMModel`: observed steps, NaN where a value is missing, and beside each where in
        its sequence it lies, between 0 and 1."""
        for batch in batches:
            mask, lengths = batch["mask"], batch["lengths"]
            known = mask.reshape(*mask.shape[:2], -1).any(axis=-1)
            where = np.argwhere(known)

            def take(chosen, batch=batch, where=where, mask=mask, lengths=lengths):
                at = tuple(where[chosen].T)
                rows = batch["x"][at].reshape(len(chosen), self.event_size).astype(np.float64)
                if mask.ndim > 2:
                    rows = np.where(mask[at].reshape(rows.shape), rows, np.nan)
                return rows, (at[1] + 0.5) / lengths[at[0]]

            yield len(where), take

    def _start(self, attempt):
        rows, times = self._start_rows
        rows = fill_missing(rows)
        needed = self.num_states * self.num_components
        if len(rows) < needed:
            raise InvalidInputError(
                f"Expected at least {needed} observed steps for num_states={self.num_states}. "
                f"Received: {len(rows)} steps. Use fewer states."
            )
        random = np.random.default_rng([attempt, 0 if self.seed is None else self.seed])
        given = self._law.chain.start(attempt, random)
        wanted = set(self._emission.shapes()) - set(self.parameters_init)
        if wanted:
            given.update(self._emission.start(rows, times, random))
        given.update(self._moved(self.parameters_init, -1.0))
        self._law.assign(given)

    def statistic_shapes(self):
        return self._law.statistic_shapes()

    def _expect_batch(self, inputs, weights=None):
        x, lengths, mask = (inputs[name] for name in ("x", "lengths", "mask"))
        return self._law.expect(self.to_model(x), lengths, mask, weights)

    def _maximize(self, statistics):
        if not np.isfinite(statistics["log_prob"]):
            raise ImpossibleDataError(
                "Expected sequences that are possible under the model. Received: a likelihood of "
                f"zero. {_FEWER_ZEROS}"
            )
        self._law.maximize(statistics, fixed_by_name(self.fixed))

    # In graph

    def call(self, inputs, training=False):
        if isinstance(inputs, dict):
            return self._of_data(
                self._law.log_prob, *(inputs[name] for name in ("x", "lengths", "mask"))
            )
        return self._of_raw(self._law.log_prob, inputs)

    def _of_data(self, function, x, lengths, mask):
        """Apply a function of the law's to checked data."""
        return function(self.to_model(x), lengths, mask)

    def _of_raw(self, function, x, lengths=None):
        """Apply a function of the law's to raw data of a user's."""
        function = partial(self._of_data, function)
        shape = tf.shape(x)[:2]
        lengths = tf.fill(shape[:1], shape[1]) if lengths is None else tf.cast(lengths, tf.int32)
        inside = tf.sequence_mask(lengths, shape[1])
        if not x.dtype.is_floating:
            if not self._emission.counts and self.data_spec.is_integer:
                x = self.to_model(x)
                x = sequence_data.dequantized_batch(
                    x, lengths, noise_seed(0, 0), 0, self.float_dtype
                )
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

    # Data

    @property
    def inputs(self) -> SequenceSchema:
        """What the model takes, and the reader of it."""
        given = super().inputs
        return SequenceSchema(
            **{field.name: getattr(given, field.name) for field in dataclasses.fields(given)},
            counts=self._emission.counts,
            parts_missing=self._emission.parts_missing,
        )

    def _observe(self, data, batch_size):
        moments = RunningMoments()
        observer = self._emission.observer()
        count, steps = 0, 0
        if isinstance(data, SequenceData):
            batches = [{**data.rows, "lengths": data.lengths, "mask": data.mask}]
        else:
            batches = data.batches(_OBSERVE_AT_A_TIME)
        for batch in batches:
            x = batch["x"]
            moments.update(sequence_data.observed_steps(x, batch["mask"], self.event_shape))
            count, steps = count + len(batch["lengths"]), steps + int(batch["lengths"].sum())
            if observer is not None:
                observer.update(x, batch["mask"])
        spec = self._spec_of(moments)
        self.sequence_length_ = max(round(steps / count), 1)
        self._learn(observer)
        return spec

    def _learn(self, observer: Any) -> None:
        """Take what an observer of the emission's saw in the data."""
        if observer is not None:
            self._law.emission = self._make_emission(**observer.settings())

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
        return data.with_steps(sequence_data.dequantized(own, seed, self.float_dtype))

    def _batch_dataset(self, data, batch_size, shuffle):
        seed = noise_seed(0, 0)
        if isinstance(data, SequenceData):
            epoch = self.fit_callback.epoch.read
            return self._to_floats(data, seed).dataset(batch_size, epoch=epoch)
        dataset = data.dataset(batch_size)
        if self._emission.counts or not self.data_spec.is_integer:
            return dataset

        def dequantize(first_step, batch):
            x, lengths = self.to_model(batch["x"]), batch["lengths"]
            real = sequence_data.dequantized_batch(x, lengths, seed, first_step, self.float_dtype)
            after = first_step + tf.reduce_sum(tf.cast(lengths, tf.int64))
            return after, {**batch, "x": real}

        return dataset.scan(tf.constant(0, tf.int64), dequantize).prefetch(2)

    def _real_sequences(self, method, x, lengths, mask, batch_size, context=None):
        """Check data from outside for a method that reads them."""
        self._check_outside(method, x)
        self.context_spec.check(context, 0, self._class_name())
        data = self.inputs.read(x, lengths, mask=mask)
        if isinstance(data, SequenceStream):
            data = data.in_memory()
        fitting.check_kind(self, data, self.data_spec)
        fitting.narrow(self, data)
        return data, check_batch_size(
            batch_size, data.usual_batch_size(self._emission.values_a_step)
        )

    def _map(self, name: str, function: Callable[..., tf.Tensor], data: SequenceData, batch_size):
        """Return the results of a function of the law's, batch by batch, and the plan."""
        x_type = tf.as_dtype(data.rows["x"].dtype)
        mask_shape = [None, None, *data.mask.shape[1:]]

        def make():
            signature = [
                tf.TensorSpec([None, None, *self.event_shape], x_type),
                tf.TensorSpec([None], tf.int32),
                tf.TensorSpec(mask_shape, tf.bool),
            ]
            return PartFunction(partial(self._of_data, function), signature)

        graph = self.functions.get((name, x_type, len(mask_shape)), make)
        return sequence_data.run_batches(
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
        (log_probs,), _ = self._map("step_log_prob", self._law.step_log_prob, sequence, 1)
        step = int(np.argmin(np.isfinite(log_probs[0])))
        x, mask = sequence.rows["x"][[step]], sequence.mask[[step]]
        flat = mask.reshape(1, -1) if mask.ndim > 1 else mask
        emitted = self._emission.run_log_prob(
            self._law.weights(self._emission), tf.constant(x.reshape(1, -1)), tf.constant(flat)
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
        data = self.inputs.read(
            x, lengths, batch_size, steps_per_epoch, mask=mask, sample_weight=sample_weight
        )
        if batch_size is None and isinstance(data, SequenceData):
            batch_size = data.usual_batch_size(self._emission.values_a_step)
        if self.sequence_length_ is None and isinstance(data, SequenceData):
            self.sequence_length_ = max(round(data.lengths.mean()), 1)
            observer = self._emission.observer()
            if observer is not None:
                observer.update(data.rows["x"], data.mask)
            self._learn(observer)
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
                self._check_possible(real, *self._map("log_prob", self._law.log_prob, real, size))
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
        data = self.inputs.read(x, lengths, batch_size, mask=mask)
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
        data = self.inputs.read(
            x, lengths, batch_size, arguments.get("steps"), mask=mask, sample_weight=sample_weight
        )
        if batch_size is None and isinstance(data, SequenceData):
            batch_size = data.usual_batch_size(self._emission.values_a_step)
        return super().evaluate(data, batch_size=batch_size, **arguments)

    # Outside

    def log_prob(
        self,
        x: Any,
        lengths: Any = None,
        *,
        mask: Any = None,
        per_step: bool = False,
        num_samples: int = 1,
        batch_size: int | None = None,
        seed: int = 0,
        context: Any = None,
    ) -> Any:
        """Return log p(x) of each sequence in nats; see `likelihood` for its kind.

        It is -inf where a sequence is impossible, as with a symbol that training never showed.

        Args:
            x, lengths, mask: Sequences; see the class.
            per_step: Whether to return log p(x_t | x_1, ..., x_t-1) of each step instead; they
                sum to log p(x), and are -inf from the first impossible step on.
            num_samples: Draws of the noise that integers get where they stand for real numbers;
                see `GenerativeModel.log_prob`. With `per_step` there is one.
            batch_size: Sequences at a time on each replica; it does not change the result.
            seed: Fixes that noise.
            context: Refused: the model is unconditional.

        Returns:
            Array [n]; with `per_step` numbers of steps in the form of x.

        Raises:
            NotFittedError: Before `fit` or `adapt`.
            InvalidInputError: For data unlike those of `fit`.
        """
        num_samples = checks.check_int(num_samples, "num_samples")
        seed = checks.check_seed(seed)
        data, batch_size = self._real_sequences("log_prob", x, lengths, mask, batch_size, context)
        if per_step:
            data = self._to_floats(data, noise_seed(seed, 0))
            parts = self._map("step_log_prob", self._law.step_log_prob, data, batch_size)
            return data.join_steps(*parts, np.nan)
        if self.likelihood.kind == "exact":
            num_samples = 1
        draws = []
        for k in range(num_samples):
            real = self._to_floats(data, noise_seed(seed, k))
            parts = self._map("log_prob", self._law.log_prob, real, batch_size)
            draws.append(real.join_sequences(*parts))
        if num_samples == 1:
            return draws[0]
        return np.logaddexp.reduce(draws, axis=0) - np.log(num_samples).astype(draws[0].dtype)

    def bits_per_dim(self, x: Any, lengths: Any = None, **arguments: Any) -> np.ndarray:
        """Return -log2 p(x) / values of each sequence of integers.

        Args:
            x, lengths: Sequences; see the class.
            **arguments: As in `log_prob`.

        Returns:
            Array [n].

        Raises:
            NoDensityError: For real-valued data, whose density depends on their units.
        """
        self._check_fitted("bits_per_dim")
        if not self.likelihood.comparable_across_models:
            raise NoDensityError(
                "Bits per dimension are meant for integer data; a density of real numbers changes "
                f"with their unit. Received: a {type(self).__name__} fitted to "
                f"{self.data_spec.dtype}. Use score(x), in nats, or fit integers."
            )
        values = self.count_values(x, lengths) * np.log(2.0)
        return (-self.log_prob(x, lengths, **arguments) / values).astype(self.float_dtype)

    def count_values(self, x: Any, lengths: Any = None) -> np.ndarray:
        """Return the number of values in each sequence, [n].

        Args:
            x, lengths: Sequences; see the class.
        """
        return self.inputs.read(x, lengths).lengths * self.event_size

    def score(self, x: Any, lengths: Any = None, **arguments: Any) -> float:
        """Return the mean of `log_prob`, nats a sequence."""
        return float(np.mean(self.log_prob(x, lengths, **arguments), dtype=np.float64))

    def score_samples(self, x: Any, lengths: Any = None, **arguments: Any) -> np.ndarray:
        """Return `log_prob`; scikit-learn's name for it."""
        return self.log_prob(x, lengths, **arguments)

    def aic(self, x: Any, lengths: Any = None, **arguments: Any) -> float:
        """Return Akaike's information criterion on `x`; lower is better.

        Args:
            x, lengths: Sequences; see the class.
            **arguments: As in `log_prob`.
        """
        return self.criteria(x, lengths, **arguments)["aic"]

    def bic(self, x: Any, lengths: Any = None, **arguments: Any) -> float:
        """Return the Bayesian information criterion on `x`; lower is better.

        Args:
            x, lengths: Sequences; see the class.
            **arguments: As in `log_prob`.
        """
        return self.criteria(x, lengths, **arguments)["bic"]

    def criteria(self, x: Any, lengths: Any = None, **arguments: Any) -> dict[str, float]:
        """Return `bic`, `aic` and `score` on `x` from one pass.

        Free parameters and observations, which are steps, are counted as hmmlearn does, but for
        mixtures, where each state has weights of its own, and for transitions that the topology
        lacks.

        Args:
            x, lengths: Sequences; see the class.
            **arguments: As in `log_prob`.

        Example:

        >>> walk = np.cumsum(np.random.default_rng(0).normal(size=(20, 50, 1)), axis=1)
        >>> models = [genzoo.HiddenMarkovModel((1,), num_states=k, seed=0) for k in (1, 3)]
        >>> bic = [model.fit(walk, verbose=0) and model.bic(walk) for model in models]
        >>> bic[1] < bic[0]
        True
        """
        log_prob = self.log_prob(x, lengths, **arguments)
        total = float(log_prob.sum(dtype=np.float64))
        steps = int(np.sum(self.count_values(x, lengths))) // self.event_size
        criteria = information_criteria(total, self._law.num_free(), steps)
        return {**criteria, "score": total / len(log_prob)}

    def predict_proba(
        self,
        x: Any,
        lengths: Any = None,
        *,
        mask: Any = None,
        batch_size: int | None = None,
        seed: int = 0,
    ) -> Any:
        """Return the posterior probabilities of the states at each step, given the whole sequence.

        Args:
            x, lengths, mask, batch_size, seed: As in `log_prob`.

        Returns:
            In the form of x, K values a step.

        Raises:
            InvalidInputError: As `log_prob`, and for a sequence that is impossible.
        """
        data, batch_size = self._real_sequences("predict_proba", x, lengths, mask, batch_size)
        data = self._to_floats(data, noise_seed(seed, 0))
        parts = self._map("predict_proba", self._law.state_proba, data, batch_size)
        self._check_possible(data, *parts)
        return data.join_steps(*parts, np.nan)

    def decode(
        self,
        x: Any,
        lengths: Any = None,
        *,
        mask: Any = None,
        return_log_prob: bool = False,
        batch_size: int | None = None,
        seed: int = 0,
    ) -> Any:
        """Return the likeliest path of states of each sequence (Viterbi).

        Args:
            x, lengths, mask, batch_size, seed: As in `log_prob`.
            return_log_prob: Whether to return log p(x, path) [n] too, in nats.

        Returns:
            States, int32, in the form of x; with `return_log_prob` a pair.

        Raises:
            InvalidInputError: As `log_prob`, and for a sequence that is impossible.

        Reference: Viterbi, Error bounds for convolutional codes, 1967.
        """
        data, batch_size = self._real_sequences("decode", x, lengths, mask, batch_size)
        data = self._to_floats(data, noise_seed(seed, 0))
        parts = self._map("decode", self._law.path, data, batch_size)
        self._check_possible(data, *parts)
        states = data.join_steps(*parts, -1)
        if not return_log_prob:
            return states
        parts = self._map("decode_log_prob", self._law.path_log_prob, data, batch_size)
        return states, data.join_sequences(*parts)

    def predict(self, x: Any, lengths: Any = None, **arguments: Any) -> Any:
        """Return the states of `decode`; scikit-learn's name for it."""
        return self.decode(x, lengths, **arguments)

    def forecast(
        self,
        x: Any,
        steps: int,
        *,
        lengths: Any = None,
        mask: Any = None,
        num_samples: int = 0,
        temperature: float = 1.0,
        seed: int | None = None,
        batch_size: int | None = None,
    ) -> Forecast:
        """Return what comes after each sequence.

        Args:
            x, lengths, mask, batch_size: As in `log_prob`.
            steps: Number of steps ahead.
            num_samples: Continuations to draw for each sequence.
            temperature, seed: As in `sample`.

        Raises:
            InvalidInputError: As `log_prob`, and for a sequence that is impossible.
        """
        steps = checks.check_int(steps, "steps")
        num_samples = checks.check_int(num_samples, "num_samples", minimum=0)
        self._check_can_sample()
        data, batch_size = self._real_sequences("forecast", x, lengths, mask, batch_size)
        data = self._to_floats(data, noise_seed(0, 0))
        parts = self._map("filter", self._law.last_state_proba, data, batch_size)
        self._check_possible(data, *parts)
        last = data.join_sequences(*parts).astype(np.float64)
        values = {name: np.asarray(v, np.float64) for name, v in self.parameters().items()}
        state_proba = np.empty((len(data), steps, self.num_states))
        for step in range(steps):
            last = last @ values["transmat"]
            last /= last.sum(axis=1, keepdims=True)
            state_proba[:, step] = last
        each = self._emission.mean(values)
        mean = state_proba @ each
        if each.shape[1:] == (self.event_size,):
            mean = mean.reshape(len(data), steps, *self.event_shape)
        samples = None
        if num_samples:
            start = np.repeat(state_proba[:, 0], num_samples, axis=0)
            drawn, _ = self._draw_sequences(len(start), steps, temperature, seed, start)
            samples = drawn.reshape(len(data), num_samples, *drawn.shape[1:])
        return Forecast(
            state_proba.astype(self.float_dtype), mean.astype(self._mean_dtype()), samples
        )

    def _mean_dtype(self) -> str:
        """Type of means: those of integers are real numbers."""
        if self.data_spec.is_integer:
            return self.float_dtype if self.data_spec.offset is None else "float64"
        return self.sample_dtype

    def sample(
        self,
        n: int,
        *,
        length: int | None = None,
        return_states: bool = False,
        temperature: float = 1.0,
        seed: int | None = None,
        context: Any = None,
    ) -> Any:
        """Draw sequences in the kind of the data.

        Args:
            n: Number of sequences.
            length: Steps of each; `None` for the mean length of those that the model first saw.
            return_states: Whether to return the states [n, length] too.
            temperature: Scales the noise about what a state emits; states are drawn as they are.
            seed: The same seed gives the same samples; `None` draws anew at each call.
            context: Refused: the model is unconditional.

        Returns:
            Array [n, length, *event_shape] of the data's dtype; with `return_states` a pair.
        """
        n = checks.check_int(n, "n")
        self._check_outside("sample")
        self.context_spec.check(context, n, self._class_name())
        if length is None and self.sequence_length_ is None:
            raise InvalidInputError(
                "Expected a length in sample() of a model that has seen no data. "
                "Received: length=None"
            )
        length = self.sequence_length_ if length is None else checks.check_int(length, "length")
        x, states = self._draw_sequences(n, length, temperature, seed)
        return (x, states) if return_states else x

    def _draw_sequences(self, n, length, temperature, seed, start=None):
        """Draw sequences, from the chain's start or from given probabilities [n, K]."""
        temperature = checks.check_number(temperature, "temperature")
        self._check_can_sample()
        seed = self._draw_seed(seed)
        if start is None:
            start = np.broadcast_to(self.parameters()["startprob"], (n, self.num_states))
        size = _chunk_size(length)

        def parts():
            for chunk, first in enumerate(range(0, n, size)):
                rows = start[first : first + size].astype(self.float_dtype)
                yield [
                    tf.convert_to_tensor(rows),
                    tf.constant(length),
                    tf.constant(temperature, self.float_dtype),
                    make_seed(seed, chunk),
                ]

        signature = [
            tf.TensorSpec([None, self.num_states], self.float_dtype),
            tf.TensorSpec([], tf.int32),
            tf.TensorSpec([], self.float_dtype),
            tf.TensorSpec([2], tf.int32),
        ]
        results = []
        for name, of in (("states", self._sample_states), ("steps", self._sample_steps)):
            graph = self.functions.get(("sample", name), lambda of=of: PartFunction(of, signature))
            results.append(np.concatenate(list(graph.run(self.distribute_strategy, parts()))))
        return results[1], results[0]

    def _check_can_sample(self):
        unknown = self._emission.unknown
        if unknown is not None:
            raise InvalidInputError(
                f"Expected {unknown} of a {self.emission} model that has seen no data. "
                f"Received: {unknown}=None"
            )

    def _sample_states(self, start, length, temperature, seed):
        return self._law.sample_states(start, length, seed)

    def _sample_steps(self, start, length, temperature, seed):
        x = self._law.sample(start, length, temperature, seed)
        x = tf.reshape(x, [tf.shape(start)[0], length, *self.event_shape])
        return self.data_spec.to_data(x)

    # hmmlearn

    @classmethod
    def from_hmmlearn(cls, model: Any, **arguments: Any) -> "HiddenMarkovModel":
        """Return the model that a fitted object of hmmlearn stands for, in float64.

        Args:
            model: A `GaussianHMM`, `GMMHMM`, `CategoricalHMM`, `PoissonHMM` or `MultinomialHMM`.
                Its priors of means, covariances and rates are left behind.
            **arguments: Of the constructor, in place of those that `model` has.

        Raises:
            InvalidInputError: For anything else.
            NotFittedError: If it has no parameters yet.

        Example:

        >>> from hmmlearn.hmm import PoissonHMM
        >>> x = np.random.default_rng(0).poisson([[3], [9]] * 50)
        >>> theirs = PoissonHMM(2, random_state=0).fit(x)
        >>> ours = genzoo.HiddenMarkovModel.from_hmmlearn(theirs)
        >>> bool(np.isclose(ours.score(x), theirs.score(x)))
        True
        """
        own, parameters = hmmlearn_models.arguments_of(model)
        made = cls(**{"dtype": "float64", **own, **arguments})
        made.set_parameters(**parameters)
        return made

    def to_hmmlearn(self) -> Any:
        """Return the fitted object of hmmlearn with the same parameters.

        Its `fit` goes on from them. `reg_covar` and topologies have no name there; zeros of the
        transition matrix remain zeros as they do here.

        Raises:
            NotFittedError: Before `fit`.
            InvalidInputError: If parts of a parameter are fixed.
        """
        self._check_fitted("to_hmmlearn")
        return hmmlearn_models.make_hmmlearn(
            self._emission,
            self.parameters(),
            fixed_by_name(self.fixed),
            startprob_prior=self._law.chain.startprob_prior,
            transmat_prior=self._law.chain.transmat_prior,
            random_state=self.seed,
            n_iter=self.default_epochs,
            tol=self.tol,
        )

    # Export

    def export_signatures(self):
        """Return the functions of the SavedModel and their inputs, by name.

        `log_prob(x)`, `predict_proba(x)` and `decode(x)` of padded sequences [n, T, *event_shape];
        `..._with_lengths(x, lengths)`, lengths int32 [n]; `sample(n, seed)` of the usual length and
        `sample_with_length(n, seed, length)`. Posteriors of an impossible sequence are NaN, its
        path is -1.
        """
        x = tf.TensorSpec([None, None, *self.event_shape], self.input_dtype, name="x")
        lengths = tf.TensorSpec([None], tf.int32, name="lengths")
        number = {
            name: tf.TensorSpec([], dtype, name=name)
            for name, dtype in (("n", tf.int32), ("seed", tf.int64), ("length", tf.int32))
        }
        signatures = {}
        for name, function in (
            ("log_prob", self._law.log_prob),
            ("predict_proba", self._law.state_proba),
            ("decode", self._law.path),
        ):
            signatures[name] = (partial(self._of_raw, function), [x])
            signatures[f"{name}_with_lengths"] = (partial(self._of_raw, function), [x, lengths])
        if self._emission.unknown is None:

            def sample_with_length(n, seed, length):
                return self._sample_in_chunks(n, seed, length)

            signatures["sample_with_length"] = (sample_with_length, list(number.values()))
            if self.sequence_length_ is not None:

                def sample(n, seed):
                    return self._sample_in_chunks(n, seed, tf.constant(self.sequence_length_))

                signatures["sample"] = (sample, [number["n"], number["seed"]])
        return signatures

    def _sample_in_chunks(self, n, seed, length):
        size = _chunk_size(length)
        chunks = (n + size - 1) // size
        shape = [None, None, *self.event_shape]
        results = tf.TensorArray(self.sample_dtype, chunks, infer_shape=False, element_shape=shape)
        start = tf.convert_to_tensor(self._law.variables["startprob"])

        def body(i, results):
            rows = tf.minimum(size, n - i * size)
            own = tf.broadcast_to(start, [rows, self.num_states])
            one = tf.ones([], self.float_dtype)
            return i + 1, results.write(i, self._sample_steps(own, length, one, make_seed(seed, i)))

        _, results = tf.while_loop(lambda i, _: i < chunks, body, [0, results])
        return results.concat()


def _fitted(name: str) -> property:
    return property(
        lambda model: model._get_parameter(name), doc=f"The fitted {name}; see the class."
    )


for _name in {name for kind in (MarkovChain, *EMISSIONS.values()) for name in kind.names}:
    setattr(HiddenMarkovModel, f"{_name}_", _fitted(_name))


def _chunk_size(length: Any) -> Any:
    """Return the number of sequences to draw at a time, for a length or a tensor of it."""
    if isinstance(length, tf.Tensor):
        return tf.clip_by_value(_STEPS_AT_A_TIME // length, 1, _SEQUENCES_AT_A_TIME)
    return min(max(_STEPS_AT_A_TIME // length, 1), _SEQUENCES_AT_A_TIME)


def noise_seed(seed: int, draw: int) -> tf.Tensor:
    """Return the seed of the noise of a draw of dequantised steps."""
    return make_seed(make_seed(seed), draw)
