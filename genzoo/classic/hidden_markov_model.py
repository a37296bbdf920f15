"""HiddenMarkovModel: sequences of steps that depend on a hidden state, by Baum-Welch."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from genzoo.classic import hmmlearn_bridge, recursions, sequences
from genzoo.classic.em import EMModel
from genzoo.classic.emissions import Categorical, Multinomial, Poisson, Settings, proportions
from genzoo.classic.gaussian_emissions import Gaussian, GaussianMixture
from genzoo.classic.sequences import SequenceData, SequenceStream
from genzoo.core import checks
from genzoo.core.batches import Batch, check_batch_size
from genzoo.core.errors import InvalidInputError, NoDensityError, NotFittedError
from genzoo.core.likelihood import Likelihood
from genzoo.core.random import make_seed
from genzoo.core.registry import register
from genzoo.core.replicas import PartFunction
from genzoo.core.spec import DataSpec

EMISSIONS = {
    "gaussian": Gaussian,
    "gaussian_mixture": GaussianMixture,
    "categorical": Categorical,
    "poisson": Poisson,
    "multinomial": Multinomial,
}
_CHAIN = ("startprob", "transmat")
_SIMPLEX = (*_CHAIN, "weights", "emissionprob")
_START_ROWS = 20_000
_STEPS_AT_A_TIME = 2**20
_SEQUENCES_AT_A_TIME = 1024
_OBSERVE_AT_A_TIME = 4096


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
            A probability of zero remains zero.
        fixed: Parameters that `fit` leaves alone: names, or a dict of names and booleans, true
            where a parameter is fixed (an array of its shape, or of its leading axes).
        n_init: Starts of the first `fit`, of which the likeliest result is kept.
        tol: `fit` stops when the mean log-likelihood changes by less, in nats a sequence.
        **model_arguments: `levels`, `seed`, `name`, `dtype`; see `TrainableModel`.

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

    takes_missing = True
    takes_scalars = True

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
        super().__init__(event_shape, tol=tol, **model_arguments)
        # the emission compiles for itself, and not everything
        self.supports_jit = False
        if self.context_size:
            raise InvalidInputError(
                "Expected no context: HiddenMarkovModel is unconditional. Received: "
                f"num_classes={self.num_classes!r}, context_dim={self.context_dim!r}. "
                "Fit one model a class."
            )
        self.num_states = checks.check_int(num_states, "num_states")
        self.emission = checks.check_choice(emission, EMISSIONS, "emission")
        self.num_components = checks.check_int(num_components, "num_components")
        self.covariance_type = checks.check_choice(
            covariance_type, ("full", "tied", "diag", "spherical"), "covariance_type"
        )
        self.reg_covar = checks.check_number(reg_covar, "reg_covar")
        self.num_trials = None if num_trials is None else checks.check_int(num_trials, "num_trials")
        self.topology = checks.check_choice(
            topology, ("ergodic", "left_right", "banded"), "topology"
        )
        self.band_width = checks.check_int(band_width, "band_width")
        self.sticky = checks.check_number(sticky, "sticky")
        self.emission_prior = checks.check_number(emission_prior, "emission_prior", exclusive=True)
        self.n_init = checks.check_int(n_init, "n_init")
        k = self.num_states
        self.startprob_prior = _check_prior(startprob_prior, (k,), "startprob_prior")
        self.transmat_prior = _check_prior(transmat_prior, (k, k), "transmat_prior")
        self.sequence_length_: int | None = None
        self.num_trials_ = self.num_trials
        self._restart = 0
        self._make_emission()
        shapes = self._shapes()
        self.parameters_init = self._check_parameters(parameters_init, "parameters_init")
        self.fixed = _check_fixed(fixed, shapes)
        weight_shapes = {
            "startprob": (k,), "transmat": (k, k), **self._emission.weight_shapes()
        }  # fmt: skip
        self._parameters = _Parameters(
            {
                name: self.add_weight(shape=shape, initializer="zeros", trainable=False, name=name)
                for name, shape in weight_shapes.items()
            }
        )
        self.built = True

    def _make_emission(self) -> None:
        settings = Settings(
            self.num_states, self.event_size, self.num_components, self.covariance_type,
            self.reg_covar, self.emission_prior, self.levels, self.num_trials_,
        )  # fmt: skip
        self._emission = EMISSIONS[self.emission](settings)

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        k = self.num_states
        return {"startprob": (k,), "transmat": (k, k), **self._emission.shapes()}

    # Declaration

    @property
    def likelihood(self) -> Likelihood:
        return Likelihood("exact", "mass") if self._emission.counts else super().likelihood

    def fitted_state(self):
        own = {"sequence_length_": self.sequence_length_, "num_trials_": self.num_trials_}
        return {**super().fitted_state(), **own}

    def restore_state(self, state):
        super().restore_state(state)
        self.sequence_length_ = state["sequence_length_"]
        self.num_trials_ = state["num_trials_"]
        self._make_emission()

    # Parameters

    @property
    def startprob_(self) -> np.ndarray:
        return self._get_parameter("startprob")

    @property
    def transmat_(self) -> np.ndarray:
        return self._get_parameter("transmat")

    @property
    def means_(self) -> np.ndarray:
        return self._get_parameter("means")

    @property
    def covariances_(self) -> np.ndarray:
        return self._get_parameter("covariances")

    @property
    def weights_(self) -> np.ndarray:
        return self._get_parameter("weights")

    @property
    def emissionprob_(self) -> np.ndarray:
        return self._get_parameter("emissionprob")

    @property
    def rates_(self) -> np.ndarray:
        return self._get_parameter("rates")

    def _get_parameter(self, name: str) -> np.ndarray:
        self._check_fitted(f"{name}_")
        if name not in self._shapes():
            raise AttributeError(f"Emission {self.emission!r} has no {name}_.")
        return self.parameters()[name]

    def parameters(self) -> dict[str, np.ndarray]:
        """Return all parameters by name, without the underscore."""
        self._check_fitted("parameters")
        weights = {name: np.asarray(value) for name, value in self._parameters.values.items()}
        chain = {name: weights.pop(name) for name in _CHAIN}
        return {**chain, **self._emission.to_parameters(weights)}

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
        given = self._check_parameters(parameters, "set_parameters()")
        if self.data_spec is None:
            missing = sorted(set(self._shapes()) - set(given))
            if missing:
                raise NotFittedError(
                    f"Expected all parameters of a model that is not fitted. Received: none for "
                    f"{', '.join(missing)}."
                )
        else:
            given = {**self.parameters(), **given}
        with self.distribute_strategy.scope():
            self._assign(given)
        if self.data_spec is None:
            counts = self._emission.counts
            self._set_spec(DataSpec("int64" if counts else self.float_dtype, self.levels))

    def _check_parameters(self, given: Mapping[str, Any] | None, source: str) -> dict[str, Any]:
        """Return parameters as nested lists, which Keras can save."""
        checked = {}
        if given is not None and not isinstance(given, Mapping):
            raise InvalidInputError(
                f"Expected {source} to be a dict of parameters by name. "
                f"Received: {source}={given!r}"
            )
        for name, value in (given or {}).items():
            shapes = self._shapes()
            checks.check_name(name, shapes, f"parameter of {source}")
            array = checks.check_numbers(value, name)
            if array.shape != shapes[name] or not np.isfinite(array).all():
                raise InvalidInputError(
                    f"Expected {name} of finite numbers, shape {shapes[name]}. Received: {name} of "
                    f"shape {array.shape}"
                )
            if name in _SIMPLEX and (array.min() < 0 or abs(array.sum(-1) - 1).max() > 1e-4):
                raise InvalidInputError(
                    f"Expected {name} of probabilities that sum to 1 along the last axis. "
                    f"Received: {name}={value!r}"
                )
            if name == "rates" and array.min() < 0:
                raise InvalidInputError(f"Expected rates of at least 0. Received: {name}={value!r}")
            checked[name] = array.tolist()
        return checked

    def _assign(self, parameters: Mapping[str, Any]) -> None:
        arrays = {name: np.asarray(value, np.float64) for name, value in parameters.items()}
        chain = {name: arrays.pop(name) for name in _CHAIN}
        weights = {**chain, **self._emission.to_weights(arrays)}
        for name, value in weights.items():
            if not np.isfinite(value).all():
                raise InvalidInputError(
                    f"Expected finite parameters. Received: an overflow of {name} in the M step. "
                    "Standardise the data, or increase reg_covar."
                )
        for name, value in weights.items():
            self._parameters.values[name].assign(value.astype(self.dtype))

    def _transitions_allowed(self) -> np.ndarray:
        ahead = np.arange(self.num_states) - np.arange(self.num_states)[:, None]
        if self.topology == "ergodic":
            return np.ones_like(ahead, bool)
        low = 0 if self.topology == "left_right" else -self.band_width
        return (low <= ahead) & (ahead <= self.band_width)

    def _adapt_parts(self, batches):
        rows, times = self._start_rows(batches)
        k = self.num_states
        needed = k * self.num_components
        if len(rows) < needed:
            raise InvalidInputError(
                f"Expected at least {needed} observed steps for num_states={k}. "
                f"Received: {len(rows)} steps. Use fewer states."
            )
        random = np.random.default_rng([self._restart, 0 if self.seed is None else self.seed])
        allowed = self._transitions_allowed()
        start = np.full(k, 1.0 / k)
        if self.topology == "left_right":
            start = np.eye(k)[0]
        # a first guess of runs of states, uneven from the second start on
        spread = allowed * random.gamma(2.0, size=(k, k)) if self._restart else 1.0 * allowed
        transmat = 0.5 * np.eye(k) + 0.5 * spread / spread.sum(axis=1, keepdims=True)
        given = {"startprob": start, "transmat": transmat}
        wanted = set(self._emission.shapes()) - set(self.parameters_init)
        if wanted:
            given.update(self._emission.start(rows, times, random))
        given.update(self.parameters_init)
        if (np.asarray(given["transmat"])[~allowed] > 0).any():
            raise InvalidInputError(
                f"Expected transmat of zeros where topology={self.topology!r} allows no "
                f"transition. Received: transmat={given['transmat']!r}"
            )
        self._assign(given)

    def _start_rows(self, batches: Callable[[], Iterator[Batch]]) -> tuple[np.ndarray, np.ndarray]:
        """Return up to 20,000 observed steps [n, D] in float64 and where in its sequence each lies.

        They are drawn evenly from data of any length; missing values become the column's mean.
        """
        random = np.random.default_rng(0 if self.seed is None else self.seed)
        rows, times, keys = np.empty((0, self.event_size)), np.empty(0), np.empty(0)
        for batch in batches():
            mask, lengths = batch["mask"], batch["lengths"]
            known = mask.reshape(*mask.shape[:2], -1).any(axis=-1)
            where = np.argwhere(known)
            key = random.random(len(where))
            if len(key) > _START_ROWS:
                chosen = np.sort(np.argpartition(key, _START_ROWS)[:_START_ROWS])
                where, key = where[chosen], key[chosen]
            at = tuple(where.T)
            own = batch["x"][at].reshape(len(where), -1).astype(np.float64)
            if mask.ndim > 2:
                own = np.where(mask[at].reshape(own.shape), own, np.nan)
            rows, keys = np.concatenate([rows, own]), np.append(keys, key)
            times = np.append(times, (at[1] + 0.5) / lengths[at[0]])
            if len(keys) > _START_ROWS:
                chosen = np.sort(np.argpartition(keys, _START_ROWS)[:_START_ROWS])
                rows, times, keys = rows[chosen], times[chosen], keys[chosen]
        if np.isnan(rows).any():
            known = ~np.isnan(rows)
            means = np.where(known, rows, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
            rows = np.where(known, rows, means)
        return rows, times

    # In graph

    def _chain(self) -> tuple[tf.Tensor, tf.Tensor]:
        values = self._parameters.values
        return tuple(tf.convert_to_tensor(values[name]) for name in _CHAIN)

    def _emission_weights(self) -> dict[str, tf.Tensor]:
        values = self._parameters.values
        return {name: tf.convert_to_tensor(values[name]) for name in self._emission.weight_shapes()}

    def _inputs(self, x, lengths, mask):
        """Return what all recursions take, of a batch [b, T, *event_shape]."""
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

    def _posteriors(self, x, lengths, mask):
        return recursions.expectations(*self._inputs(x, lengths, mask)[0])[1]

    def _paths(self, x, lengths, mask):
        return recursions.viterbi(*self._inputs(x, lengths, mask)[0])

    def _path_log_probs(self, x, lengths, mask):
        inputs, _, _ = self._inputs(x, lengths, mask)
        path = recursions.viterbi(*inputs)
        return tf.cast(recursions.path_log_probs(*inputs, path), self.float_dtype)

    def _last_filtered(self, x, lengths, mask):
        return recursions.last_filtered(*self._inputs(x, lengths, mask)[0])

    def _of_raw(self, function, x, lengths=None):
        """Apply a function of `x, lengths, mask` to raw data of a user's, in graph."""
        shape = tf.shape(x)[:2]
        lengths = tf.fill(shape[:1], shape[1]) if lengths is None else tf.cast(lengths, tf.int32)
        inside = tf.sequence_mask(lengths, shape[1])
        if not x.dtype.is_floating:
            if not self._emission.counts:
                x = sequences.dequantized_batch(x, lengths, _noise_seed(0, 0), 0, self.float_dtype)
            return function(x, lengths, inside)
        known = ~tf.math.is_nan(x)
        x = tf.where(known, tf.cast(x, self.float_dtype), tf.zeros([], self.float_dtype))
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

    def _expect_batch(self, inputs):
        x, lengths, mask = (inputs[name] for name in ("x", "lengths", "mask"))
        inputs, rows, flat = self._inputs(x, lengths, mask)
        log_prob, posterior, transitions = recursions.expectations(*inputs)
        # a missing step says nothing of its emission
        known = posterior * tf.cast(inputs[3], posterior.dtype)[:, :, None]
        known = tf.reshape(known, [-1, self.num_states])
        weights = self._emission_weights()
        return tf.cast(log_prob, self.float_dtype), {
            "start": tf.reduce_sum(posterior[:, 0], axis=0),
            "transitions": transitions,
            **self._emission.run_statistics(weights, rows, flat, known),
        }

    def _maximize(self, statistics):
        if not np.isfinite(statistics["log_prob"]):
            raise InvalidInputError(
                "Expected sequences that are possible under the model. Received: a likelihood of "
                "zero. Start from parameters_init with fewer zeros, choose another topology, or "
                "raise emission_prior above 1."
            )
        old = {name: np.asarray(value, np.float64) for name, value in self.parameters().items()}
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
        fixed = _as_dict(self.fixed)
        self._assign(
            {name: _keep(value, old[name], fixed.get(name), name) for name, value in new.items()}
        )

    # Data

    def _door(self, x, lengths=None, batch_size=None, steps=None, mask=None):
        if isinstance(x, (SequenceData, SequenceStream)):
            return x
        if isinstance(x, tf.data.Dataset):
            if lengths is not None or mask is not None:
                raise InvalidInputError(
                    "Expected lengths and mask inside the data set, as (x, lengths, mask). "
                    "Received: lengths or mask beside a tf.data.Dataset"
                )
            return SequenceStream(
                x, self.event_shape, self.float_dtype, batch_size or _OBSERVE_AT_A_TIME, steps,
                counts=self._emission.counts,
            )  # fmt: skip
        return sequences.door(
            x, self.event_shape, self.float_dtype, lengths, mask,
            counts=self._emission.counts, parts_missing=self._emission.parts_missing,
        )  # fmt: skip

    def _observe(self, data, batch_size):
        low, high, dtype = np.inf, -np.inf, None
        count, steps, trials, observed = 0, 0, 0.0, 0
        if isinstance(data, SequenceData):
            batches = [{**data.rows, "lengths": data.lengths, "mask": data.mask}]
        else:
            batches = data.batches(_OBSERVE_AT_A_TIME)
        for batch in batches:
            x, dtype = batch["x"], batch["x"].dtype
            low, high = min(low, x.min()), max(high, x.max())
            count, steps = count + len(batch["lengths"]), steps + int(batch["lengths"].sum())
            if self.emission == "multinomial":
                trials, observed = trials + float(x.sum()), observed + int(batch["mask"].sum())
        if dtype is None:
            raise InvalidInputError("Expected data with at least one row. Received: an empty one.")
        if self._emission.counts and low < 0:
            raise InvalidInputError(
                f"Expected symbols or counts of at least 0. Received: x with {low}."
            )
        spec = DataSpec.of(dtype, low, high, self.levels)
        self.sequence_length_ = max(round(steps / count), 1)
        if self.num_trials is None and self.emission == "multinomial":
            self.num_trials_ = max(round(trials / max(observed, 1)), 1)
            self._make_emission()
        return spec

    def _to_floats(self, data: SequenceData, seed: tf.Tensor) -> SequenceData:
        """Return the data with noise added to integers that stand for real numbers."""
        steps = data.rows["x"]
        if steps.dtype.kind == "f" or self._emission.counts:
            return data
        return data.with_steps(sequences.dequantized(steps, seed, self.float_dtype))

    def _training_dataset(self, data, batch_size, shuffle):
        seed = _noise_seed(0, 0)
        if isinstance(data, SequenceData):
            return self._to_floats(data, seed).dataset(batch_size)
        dataset = data.dataset(batch_size)
        if self._emission.counts or not self.data_spec.is_integer:
            return dataset

        def dequantize(first_step, batch):
            x, lengths = batch["x"], batch["lengths"]
            real = sequences.dequantized_batch(x, lengths, seed, first_step, self.float_dtype)
            after = first_step + tf.reduce_sum(tf.cast(lengths, tf.int64))
            return after, {**batch, "x": real}

        return dataset.scan(tf.constant(0, tf.int64), dequantize).prefetch(2)

    def _real_sequences(self, method, x, lengths, mask, batch_size, context=None):
        """Check data from outside for a method that reads them."""
        self._check_fitted(method)
        if isinstance(x, tf.data.Dataset):
            raise InvalidInputError(
                f"Expected arrays x in {method}(). Received: a tf.data.Dataset. "
                "Call it for each batch, or use evaluate(dataset)."
            )
        self.context_spec.check(context, 0, self._class_name())
        data = self._door(x, lengths, mask=mask)
        self._check_kind(data, self.data_spec)
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
        **arguments: Any,
    ):
        """Run Baum-Welch until convergence, or for `epochs` iterations (100 by default).

        Goes on from the present parameters; the first `fit` (or `adapt`) starts them from data,
        `n_init` times.

        Args:
            x: Sequences; see the class. Or a `tf.data.Dataset` of padded batches, or of one
                sequence an element: `x`, `(x, lengths)`, `(x, lengths, mask)` or dicts of them.
            lengths: [n].
            mask: Whether a step was observed, shaped as x without `event_shape`.
            context: Refused: the model is unconditional.
            batch_size: Sequences a step; `None` for as many as make some 100,000 steps. It does not
                change the result.
            validation_data: x, `(x, lengths)` or a data set.
            steps_per_epoch: Batches an epoch, for endless data sets.
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
        data = self._door(x, lengths, batch_size, steps_per_epoch, mask)
        if batch_size is None and isinstance(data, SequenceData):
            batch_size = data.usual_batch_size(self._emission.values_a_step)
        if self.sequence_length_ is None and isinstance(data, SequenceData):
            self.sequence_length_ = max(round(data.lengths.mean()), 1)
        arguments.update(batch_size=batch_size, steps_per_epoch=steps_per_epoch)
        if self.data_spec is not None:
            return super().fit(data, validation_data=validation_data, **arguments)
        best = None
        for restart in range(self.n_init):
            self._restart = restart
            if restart:
                with self.distribute_strategy.scope():
                    self._adapt(data, self.data_spec, batch_size or _OBSERVE_AT_A_TIME)
            history = super().fit(data, validation_data=validation_data, **arguments)
            if best is None or self.lower_bound_ > best["lower_bound_"]:
                best = {
                    "weights": self.get_weights(),
                    "history": history,
                    "lower_bound_": self.lower_bound_,
                    "converged_": self.converged_,
                    "n_iter_": self.n_iter_,
                }
        self._restart = 0
        if self.n_init > 1:
            self.set_weights(best["weights"])
            for name in ("lower_bound_", "converged_", "n_iter_"):
                setattr(self, name, best[name])
        return best["history"]

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

    def evaluate(
        self,
        x: Any,
        lengths: Any = None,
        *,
        mask: Any = None,
        batch_size: int | None = None,
        **arguments: Any,
    ):
        """Return the loss, the mean of -log p(x) over sequences, as Keras's `evaluate` does.

        Args:
            x, lengths, mask, batch_size: As in `fit`.
            **arguments: Keras's own: `verbose`, `return_dict`, `callbacks`, `steps`.
        """
        if "_use_cached_eval_dataset" in arguments:
            # from `fit`, which validates on what it has made ready
            return super().evaluate(x, batch_size=batch_size, **arguments)
        self._check_fitted("evaluate")
        data = self._door(x, lengths, batch_size, arguments.get("steps"), mask)
        self._check_kind(data, self.data_spec)
        if isinstance(data, SequenceData):
            batch_size = check_batch_size(
                batch_size, data.usual_batch_size(self._emission.values_a_step)
            )
        self._compile_by_default(1)
        return super().evaluate(self._training_dataset(data, batch_size, False), **arguments)

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

        Args:
            x, lengths, mask: Sequences; see the class.
            per_step: Whether to return log p(x_t | x_1, ..., x_t-1) of each step instead; they
                sum to log p(x).
            num_samples: Draws of the noise that integers get where they stand for real numbers;
                see `DensityModel.log_prob`. With `per_step` there is one.
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
            data = self._to_floats(data, _noise_seed(seed, 0))
            parts = self._map("step_log_prob", self._step_log_probs, data, batch_size)
            return data.join_steps(*parts, np.nan)
        if self.likelihood.kind == "exact":
            num_samples = 1
        draws = []
        for k in range(num_samples):
            real = self._to_floats(data, _noise_seed(seed, k))
            parts = self._map("log_prob", self._log_probs, real, batch_size)
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
        return self._door(x, lengths).lengths * self.event_size

    def score(self, x: Any, lengths: Any = None, **arguments: Any) -> float:
        """Return the mean of `log_prob`, nats a sequence."""
        return float(np.mean(self.log_prob(x, lengths, **arguments), dtype=np.float64))

    def score_samples(self, x: Any, lengths: Any = None, **arguments: Any) -> np.ndarray:
        """Return `log_prob`; scikit-learn's name for it."""
        return self.log_prob(x, lengths, **arguments)

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
        """
        data, batch_size = self._real_sequences("predict_proba", x, lengths, mask, batch_size)
        data = self._to_floats(data, _noise_seed(seed, 0))
        return data.join_steps(
            *self._map("predict_proba", self._posteriors, data, batch_size), np.nan
        )

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

        Reference: Viterbi, Error bounds for convolutional codes, 1967.
        """
        data, batch_size = self._real_sequences("decode", x, lengths, mask, batch_size)
        data = self._to_floats(data, _noise_seed(seed, 0))
        states = data.join_steps(*self._map("decode", self._paths, data, batch_size), -1)
        if not return_log_prob:
            return states
        parts = self._map("decode_log_prob", self._path_log_probs, data, batch_size)
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
        """
        steps = checks.check_int(steps, "steps")
        num_samples = checks.check_int(num_samples, "num_samples", minimum=0)
        data, batch_size = self._real_sequences("forecast", x, lengths, mask, batch_size)
        data = self._to_floats(data, _noise_seed(0, 0))
        parts = self._map("filter", self._last_filtered, data, batch_size)
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
            state_proba.astype(self.float_dtype), mean.astype(self.float_dtype), samples
        )

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
        self._check_fitted("sample")
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
        self._check_trials()
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
            graph = self._graphs.get(("sample", name), lambda of=of: PartFunction(of, signature))
            results.append(np.concatenate(list(graph.run(self.distribute_strategy, parts()))))
        return results[1], results[0]

    def _check_trials(self):
        if self.emission == "multinomial" and self.num_trials_ is None:
            raise InvalidInputError(
                "Expected num_trials to sample from a multinomial model that has seen no data. "
                "Received: num_trials=None"
            )

    def _sample_states(self, start, length, temperature, seed):
        state_seed, _ = tf.unstack(tf.random.split(seed))
        shape = [tf.shape(start)[0], length]
        uniform = tf.random.stateless_uniform(shape, state_seed, dtype=self.float_dtype)
        return recursions.state_paths(start, self._chain()[1], uniform)

    def _sample_steps(self, start, length, temperature, seed):
        states = tf.reshape(self._sample_states(start, length, temperature, seed), [-1])
        _, step_seed = tf.unstack(tf.random.split(seed))
        x = self._emission.sample(self._emission_weights(), states, step_seed, temperature)
        x = tf.reshape(x, [tf.shape(start)[0], length, *self.event_shape])
        return self.data_spec.to_data(x)

    # hmmlearn

    @classmethod
    def from_hmmlearn(cls, model: Any, **arguments: Any) -> "HiddenMarkovModel":
        """Return the model that a fitted object of hmmlearn stands for, in float64.

        Args:
            model: A `GaussianHMM`, `GMMHMM`, `CategoricalHMM`, `PoissonHMM` or `MultinomialHMM`.
                Its priors of means, covariances and rates are left behind.
            **arguments: Of the constructor, in place of those that `model` tells.

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
        told, parameters = hmmlearn_bridge.arguments_of(model)
        made = cls(**{"dtype": "float64", **told, **arguments})
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
        return hmmlearn_bridge.to_hmmlearn(self, self.parameters(), _as_dict(self.fixed))

    # Export

    def export_signatures(self):
        """Return the functions of the SavedModel and their inputs, by name.

        `log_prob(x)`, `predict_proba(x)` and `decode(x)` of padded sequences [n, T, *event_shape];
        `..._with_lengths(x, lengths)`, lengths int32 [n]; `sample(n, seed)` of the usual length and
        `sample_with_length(n, seed, length)`.
        """
        x = tf.TensorSpec([None, None, *self.event_shape], self.sample_dtype, name="x")
        lengths = tf.TensorSpec([None], tf.int32, name="lengths")
        number = {
            name: tf.TensorSpec([], dtype, name=name)
            for name, dtype in (("n", tf.int32), ("seed", tf.int64), ("length", tf.int32))
        }
        signatures = {}
        for name, function in (
            ("log_prob", self._log_probs),
            ("predict_proba", self._posteriors),
            ("decode", self._paths),
        ):
            signatures[name] = (partial(self._of_raw, function), [x])
            signatures[f"{name}_with_lengths"] = (partial(self._of_raw, function), [x, lengths])
        if self.emission != "multinomial" or self.num_trials_ is not None:

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
        start = self._chain()[0]

        def body(i, results):
            rows = tf.minimum(size, n - i * size)
            own = tf.broadcast_to(start, [rows, self.num_states])
            one = tf.ones([], self.float_dtype)
            return i + 1, results.write(i, self._sample_steps(own, length, one, make_seed(seed, i)))

        _, results = tf.while_loop(lambda i, _: i < chunks, body, [0, results])
        return results.concat()


@dataclasses.dataclass(frozen=True)
class _Parameters:
    """Weights by name; a class of its own so that Keras tracks them once, as the model's."""

    values: dict[str, Any]


def _chunk_size(length: Any) -> Any:
    """Return the number of sequences to draw at a time, for a length or a tensor of it."""
    if isinstance(length, tf.Tensor):
        return tf.clip_by_value(_STEPS_AT_A_TIME // length, 1, _SEQUENCES_AT_A_TIME)
    return min(max(_STEPS_AT_A_TIME // length, 1), _SEQUENCES_AT_A_TIME)


def _noise_seed(seed: int, draw: int) -> tf.Tensor:
    return make_seed(make_seed(seed), draw)


def _check_prior(value: Any, shape: tuple[int, ...], name: str) -> Any:
    array = checks.check_numbers(value, name)
    try:
        np.broadcast_to(array, shape)
    except ValueError:
        array = np.asarray(np.nan)
    if not np.isfinite(array).all() or (array <= 0).any():
        raise InvalidInputError(
            f"Expected {name} of numbers above 0, one or an array of shape {shape}. "
            f"Received: {name}={value!r}"
        )
    return array.tolist()


def _as_dict(fixed: Any) -> dict[str, Any]:
    return dict(fixed) if isinstance(fixed, Mapping) else dict.fromkeys(fixed, True)


def _check_fixed(fixed: Any, shapes: dict[str, tuple[int, ...]]) -> Any:
    """Return what is fixed in a form that Keras can save."""
    if isinstance(fixed, str):
        fixed = [fixed]
    if not isinstance(fixed, (Mapping, list, tuple, set)):
        raise InvalidInputError(
            "Expected fixed to be names of parameters, or a dict of booleans by name. "
            f"Received: fixed={fixed!r}"
        )
    checked = {}
    for name, flags in _as_dict(fixed).items():
        checks.check_name(name, shapes, "parameter of fixed")
        array = np.asarray(flags)
        if array.dtype != bool or array.shape != shapes[name][: array.ndim]:
            raise InvalidInputError(
                f"Expected fixed[{name!r}] to be True or booleans of shape {shapes[name]} or of "
                f"its leading axes. Received: fixed[{name!r}]={flags!r}"
            )
        checked[name] = array.tolist()
    return checked if isinstance(fixed, Mapping) else list(fixed)


def _keep(new: np.ndarray, old: np.ndarray, flags: Any, name: str) -> np.ndarray:
    """Return new values, but old ones where `flags`; free probabilities share what is left."""
    if flags is None:
        return new
    flags = np.asarray(flags)
    flags = np.broadcast_to(flags.reshape(flags.shape + (1,) * (new.ndim - flags.ndim)), new.shape)
    if name not in _SIMPLEX:
        return np.where(flags, old, new)
    free = np.where(flags, 0.0, new)
    left = 1.0 - np.where(flags, old, 0.0).sum(axis=-1, keepdims=True)
    total = free.sum(axis=-1, keepdims=True)
    moved = free * left / np.maximum(total, np.finfo(np.float64).tiny)
    return np.where(flags | (total <= 0), old, moved)
