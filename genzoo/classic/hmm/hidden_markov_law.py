"""HiddenMarkovLaw: a chain and an emission, and what they say of batches of sequences."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from genzoo.classic.hmm import recursions
from genzoo.classic.hmm.emissions import Emission
from genzoo.classic.hmm.markov_chain import MarkovChain
from genzoo.classic.hmm.parts import Arrays, Part, Shapes, Tensors
from genzoo.core import checks
from genzoo.core.errors import InvalidInputError


class HiddenMarkovLaw:
    """A chain and an emission: their parameters, and what they say of sequences.

    Methods in graph take batches of `x` [b, T, *event_shape], numbers that the model computes with;
    `lengths` [b]; and `mask`, true where a step was observed, [b, T], or, where steps may lack
    single values, [b, T, *event_shape]. An impossible sequence has no states: NaN, or -1 of a path,
    says so.

    Args:
        chain: Of K states.
        emission: What each of them emits.
        variables: The weights of both by name, which the model owns.
    """

    def __init__(self, chain: MarkovChain, emission: Emission, variables: dict[str, Any]):
        self.chain, self.emission, self.variables = chain, emission, variables

    @property
    def parts(self) -> tuple[Part, Part]:
        """The chain and the emission."""
        return self.chain, self.emission

    # Parameters, outside of graphs

    def shapes(self) -> Shapes:
        """Return the shapes of all parameters by name."""
        return {name: shape for part in self.parts for name, shape in part.shapes().items()}

    def weight_shapes(self) -> Shapes:
        """Return the shapes of all weights by name."""
        return {name: shape for part in self.parts for name, shape in part.weight_shapes().items()}

    def statistic_shapes(self) -> Shapes:
        """Return the shapes of all sufficient statistics by name."""
        return {
            name: shape for part in self.parts for name, shape in part.statistic_shapes().items()
        }

    def num_free(self) -> int:
        """Return how many numbers of the parameters are free."""
        return sum(part.num_free(name) for part in self.parts for name in part.shapes())

    def check_parameters(self, given: Mapping[str, Any] | None, source: str) -> dict[str, Any]:
        """Return parameters set by hand as nested lists, which Keras can save.

        Args:
            given: By name.
            source: Where they were given, for messages.

        Raises:
            InvalidInputError: For others than those of the parts.
        """
        if given is not None and not isinstance(given, Mapping):
            raise InvalidInputError(
                f"Expected {source} to be a dict of parameters by name. "
                f"Received: {source}={given!r}"
            )
        checked = {}
        for name, value in (given or {}).items():
            checks.check_name(name, self.shapes(), f"parameter of {source}")
            part = next(part for part in self.parts if name in part.shapes())
            checked[name] = part.check(name, value).tolist()
        return checked

    def parameters(self) -> Arrays:
        """Return the parameters by name."""
        found = {}
        for part in self.parts:
            found.update(part.to_parameters(self._arrays(part)))
        return found

    def assign(self, parameters: Mapping[str, Any]) -> None:
        """Take parameters, all of them.

        Raises:
            InvalidInputError: For parameters without a distribution.
        """
        weights = {}
        for part in self.parts:
            own = {name: np.asarray(parameters[name], np.float64) for name in part.shapes()}
            weights.update(part.to_weights(own))
        for name, value in weights.items():
            if not np.isfinite(value).all():
                raise InvalidInputError(
                    f"Expected finite parameters. Received: an overflow of {name} in the M step. "
                    "Standardise the data, or increase reg_covar."
                )
        for name, value in weights.items():
            self.variables[name].assign(value.astype(self._dtype))

    def maximize(self, statistics: Arrays, fixed: dict[str, Any]) -> None:
        """Take the parameters that the statistics make likeliest.

        Args:
            statistics: Sums of `expect` by name.
            fixed: What stays, by name.
        """
        new = {}
        for part in self.parts:
            weights = {name: value.astype(np.float64) for name, value in self._arrays(part).items()}
            old = part.to_parameters(weights)
            for name, value in part.maximize(weights, statistics).items():
                new[name] = part.keep_fixed(name, value, old[name], fixed.get(name))
        self.assign(new)

    def _arrays(self, part: Part) -> Arrays:
        return {name: np.asarray(self.variables[name]) for name in part.weight_shapes()}

    # In graph

    def weights(self, part: Part) -> Tensors:
        """Return the weights of the chain or of the emission."""
        return {name: tf.convert_to_tensor(self.variables[name]) for name in part.weight_shapes()}

    def log_prob(self, x, lengths, mask) -> tf.Tensor:
        """Return log p(x), [b]."""
        return tf.cast(recursions.log_probs(*self._inputs(x, lengths, mask)[0]), self._dtype)

    def step_log_prob(self, x, lengths, mask) -> tf.Tensor:
        """Return log p(x_t | x_1, ..., x_t-1), [b, T]."""
        return recursions.step_log_probs(*self._inputs(x, lengths, mask)[0])

    def state_proba(self, x, lengths, mask) -> tf.Tensor:
        """Return the posteriors of the states, [b, T, K]."""
        log_prob, posterior, _ = recursions.expectations(*self._inputs(x, lengths, mask)[0])
        possible = tf.math.is_finite(log_prob)[:, None, None]
        return tf.where(possible, posterior, posterior.dtype.as_numpy_dtype(np.nan))

    def path(self, x, lengths, mask) -> tf.Tensor:
        """Return the likeliest states, int32 [b, T]."""
        path, log_prob = recursions.viterbi(*self._inputs(x, lengths, mask)[0])
        return tf.where(tf.math.is_finite(log_prob)[:, None], path, -1)

    def path_log_prob(self, x, lengths, mask) -> tf.Tensor:
        """Return log p(x, path) of the likeliest states, [b]."""
        return tf.cast(recursions.viterbi(*self._inputs(x, lengths, mask)[0])[1], self._dtype)

    def last_state_proba(self, x, lengths, mask) -> tf.Tensor:
        """Return the probabilities of the last states given all steps, [b, K]."""
        last = recursions.last_filtered(*self._inputs(x, lengths, mask)[0])
        possible = tf.reduce_sum(last, axis=-1, keepdims=True) > 0.5
        return tf.where(possible, last, last.dtype.as_numpy_dtype(np.nan))

    def expect(self, x, lengths, mask, sequence_weights=None) -> tuple[tf.Tensor, Tensors]:
        """Return log p(x) [b] and the sums of the sufficient statistics of both parts.

        Args:
            x, lengths, mask: See the class.
            sequence_weights: [b]; `None` for ones.
        """
        inputs, rows, row_mask = self._inputs(x, lengths, mask)
        observed = inputs[3]
        log_prob, posterior, transitions = recursions.expectations(
            *inputs, weights=sequence_weights
        )
        if sequence_weights is not None:
            posterior *= tf.cast(sequence_weights, posterior.dtype)[:, None, None]
        # a missing step says nothing of its emission
        known = posterior * tf.cast(observed, posterior.dtype)[:, :, None]
        known = tf.reshape(known, [-1, self.chain.num_states])
        emitted = self.emission.run_statistics(self.weights(self.emission), rows, row_mask, known)
        first = tf.reduce_sum(posterior[:, 0], axis=0)
        sums = {"start": first, "transitions": transitions, **emitted}
        return tf.cast(log_prob, self._dtype), sums

    def sample_states(self, start, length, seed) -> tf.Tensor:
        """Return paths of the chain from the probabilities of first states [n, K], [n, length]."""
        state_seed, _ = tf.unstack(tf.random.split(seed))
        shape = [tf.shape(start)[0], length]
        uniform = tf.random.stateless_uniform(shape, state_seed, dtype=self._dtype)
        return recursions.state_paths(start, self.weights(self.chain)["transmat"], uniform)

    def sample(self, start, length, temperature, seed) -> tf.Tensor:
        """Return steps drawn on the paths of `sample_states`, [n length, D]."""
        states = tf.reshape(self.sample_states(start, length, seed), [-1])
        _, step_seed = tf.unstack(tf.random.split(seed))
        return self.emission.sample(self.weights(self.emission), states, step_seed, temperature)

    @property
    def _dtype(self) -> str:
        return self.variables["startprob"].dtype

    def _inputs(self, x, lengths, mask):
        """Return what all recursions take; the steps [b T, D], and what was observed of them."""
        shape, width = tf.shape(x)[:2], self.emission.settings.event_size
        rows = tf.reshape(x, [-1, width])
        if mask.shape.rank == 2:
            row_mask, observed = tf.reshape(mask, [-1]), mask
        else:
            row_mask = tf.reshape(mask, [-1, width])
            observed = tf.reshape(tf.reduce_any(row_mask, axis=-1), shape)
        log_emission = self.emission.run_log_prob(self.weights(self.emission), rows, row_mask)
        log_emission = tf.reshape(log_emission, [shape[0], shape[1], self.chain.num_states])
        chain = self.weights(self.chain)
        inputs = chain["startprob"], chain["transmat"], log_emission, observed, lengths
        return inputs, rows, row_mask
