"""HiddenMarkovModel: sequences of steps that depend on a hidden state, by Baum-Welch."""

import dataclasses
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from genzoo.classic.hmm import hmmlearn_models, recursions
from genzoo.classic.hmm.hidden_chain import as_dict
from genzoo.classic.hmm.trainable_chain import TrainableChain, noise_seed
from genzoo.core import checks
from genzoo.core.errors import InvalidInputError, NoDensityError
from genzoo.core.random import make_seed
from genzoo.core.registry import register
from genzoo.core.replicas import PartFunction

_STEPS_AT_A_TIME = 2**20
_SEQUENCES_AT_A_TIME = 1024


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
class HiddenMarkovModel(TrainableChain):
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

    traits = dataclasses.replace(TrainableChain.traits, examples=("sequence",), missing_values=True)

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
            data = self._to_floats(data, noise_seed(seed, 0))
            parts = self._map("step_log_prob", self._step_log_probs, data, batch_size)
            return data.join_steps(*parts, np.nan)
        if self.likelihood.kind == "exact":
            num_samples = 1
        draws = []
        for k in range(num_samples):
            real = self._to_floats(data, noise_seed(seed, k))
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

        Raises:
            InvalidInputError: As `log_prob`, and for a sequence that is impossible.
        """
        data, batch_size = self._real_sequences("predict_proba", x, lengths, mask, batch_size)
        data = self._to_floats(data, noise_seed(seed, 0))
        parts = self._map("predict_proba", self._posteriors, data, batch_size)
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
        parts = self._map("decode", self._paths, data, batch_size)
        self._check_possible(data, *parts)
        states = data.join_steps(*parts, -1)
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

        Raises:
            InvalidInputError: As `log_prob`, and for a sequence that is impossible.
        """
        steps = checks.check_int(steps, "steps")
        num_samples = checks.check_int(num_samples, "num_samples", minimum=0)
        self._check_trials()
        data, batch_size = self._real_sequences("forecast", x, lengths, mask, batch_size)
        data = self._to_floats(data, noise_seed(0, 0))
        parts = self._map("filter", self._last_filtered, data, batch_size)
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
                "Expected num_trials of a multinomial model that has seen no data. "
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
        told, parameters = hmmlearn_models.arguments_of(model)
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
        return hmmlearn_models.to_hmmlearn(self, self.parameters(), as_dict(self.fixed))

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


def _chunk_size(length: Any) -> Any:
    """Return the number of sequences to draw at a time, for a length or a tensor of it."""
    if isinstance(length, tf.Tensor):
        return tf.clip_by_value(_STEPS_AT_A_TIME // length, 1, _SEQUENCES_AT_A_TIME)
    return min(max(_STEPS_AT_A_TIME // length, 1), _SEQUENCES_AT_A_TIME)
