"""Emissions of a hidden Markov model: what a state says of a step.

K states, N steps of D values. An emission is a set of functions on weights that the model owns.
Its parameters are the same in its user's terms, float64 arrays by name.
"""

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from genzoo.classic.em.starts import kmeans
from genzoo.core.errors import InvalidInputError
from genzoo.core.tracing import Compiled

Arrays = dict[str, np.ndarray]
Tensors = dict[str, tf.Tensor]

# a state with fewer expected steps keeps its parameters
UNVISITED = 1e-10


@dataclasses.dataclass(frozen=True)
class Settings:
    """What emissions need to know of their model; see `HiddenMarkovModel`."""

    num_states: int
    event_size: int
    num_components: int = 1
    covariance_type: str = "full"
    reg_covar: float = 1e-6
    prior: float = 1.0
    num_symbols: int | None = None
    num_trials: int | None = None


class Emission:
    """Base of emissions.

    Args:
        settings: See `Settings`.
    """

    # whether data are symbols or counts, which have a mass
    counts = False
    # whether single values of a step may be missing
    parts_missing = False
    # what to do about a step that no state emits
    remedy: str

    def __init__(self, settings: Settings):
        self.settings = settings
        self._compiled_log_prob = Compiled(self.log_prob)
        self._compiled_statistics = Compiled(self.statistics)

    @property
    def values_a_step(self) -> int:
        """Number of intermediate values that a step takes."""
        settings = self.settings
        return settings.num_states * settings.num_components * settings.event_size

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the parameters by name."""
        raise NotImplementedError

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the weights by name."""
        return self.shapes()

    def to_weights(self, parameters: Arrays) -> Arrays:
        """Return weights from parameters.

        Raises:
            InvalidInputError: For parameters without a distribution.
        """
        return parameters

    def to_parameters(self, weights: Arrays) -> Arrays:
        """Return parameters from weights."""
        return weights

    def log_prob(self, weights: Tensors, x: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Return log p(x | state), [N, K], in graph.

        Args:
            weights: By name.
            x: [N, D].
            mask: [N], of no meaning here, or, where values are missing, what was observed [N, D].
        """
        raise NotImplementedError

    def statistic_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the sufficient statistics by name."""
        raise NotImplementedError

    def statistics(self, weights, x, mask, posterior) -> Tensors:
        """Return sums of sufficient statistics, in graph; `posterior` of the states is [N, K]."""
        raise NotImplementedError

    def maximize(self, weights: Arrays, statistics: Arrays) -> Arrays:
        """Return the parameters that the statistics, taken under `weights`, make likeliest."""
        raise NotImplementedError

    def start(self, rows: np.ndarray, times: np.ndarray, random: np.random.Generator) -> Arrays:
        """Return parameters to start from.

        Args:
            rows: Steps of the data [n, D], float64.
            times: Where in its sequence each lies, between 0 and 1.
            random: Source of what is drawn.
        """
        raise NotImplementedError

    def sample(self, weights, states, seed, temperature) -> tf.Tensor:
        """Return a step for each of states [N], as real numbers [N, D], in graph."""
        raise NotImplementedError

    def mean(self, parameters: Arrays) -> np.ndarray:
        """Return the expected value of a step in each state, [K, ...]."""
        raise NotImplementedError

    def run_log_prob(self, weights, x, mask):
        """Do as `log_prob`, compiled where that can be."""
        run = self.log_prob if self._by_pattern(mask) else self._compiled_log_prob
        return run(self.prepare(weights), x, mask)

    def run_statistics(self, weights, x, mask, posterior):
        """Do as `statistics`, compiled where that can be."""
        run = self.statistics if self._by_pattern(mask) else self._compiled_statistics
        return run(self.prepare(weights), x, mask, posterior)

    def prepare(self, weights: Tensors) -> Any:
        """Hook, in graph: what `log_prob` and `statistics` take, made of the weights once and not
        in the loops over rows that XLA makes of them."""
        return weights

    def _by_pattern(self, mask) -> bool:
        """Hook: whether rows are told apart by what they miss, which XLA cannot do."""
        return False


_SEEN_BEFOREHAND = (
    "Training never showed it, or zeros were set: fit a model with emission_prior above 1, such as "
    "emission_prior=1.1."
)


class Categorical(Emission):
    """One of M symbols: probabilities `emissionprob` [K, M]."""

    counts = True
    remedy = _SEEN_BEFOREHAND

    def __init__(self, settings):
        super().__init__(settings)
        if settings.event_size != 1 or settings.num_symbols is None:
            raise InvalidInputError(
                "Expected levels, the number of symbols, and one symbol a step with "
                f"emission='categorical'. Received: levels={settings.num_symbols!r}, "
                f"{settings.event_size} values a step. Give levels=..., event_shape=() or (1,); "
                "for counts of symbols choose emission='multinomial'."
            )

    def shapes(self):
        return {"emissionprob": (self.settings.num_states, self.settings.num_symbols)}

    statistic_shapes = shapes

    def log_prob(self, weights, x, mask):
        table = tf.transpose(tf.math.log(weights["emissionprob"]))  # [M, K]
        return tf.gather(table, tf.cast(x[:, 0], tf.int32))

    def statistics(self, weights, x, mask, posterior):
        symbols = tf.cast(x[:, 0], tf.int32)
        table = tf.math.unsorted_segment_sum(posterior, symbols, self.settings.num_symbols)
        return {"emissionprob": tf.transpose(table)}

    def maximize(self, weights, statistics):
        return {
            name: proportions(statistics[name], weights[name], self.settings.prior)
            for name in self.shapes()
        }

    def start(self, rows, times, random):
        shares = np.bincount(rows[:, 0].astype(int), minlength=self.settings.num_symbols)
        return {"emissionprob": _spread(shares, self.settings.num_states, random)}

    def sample(self, weights, states, seed, temperature):
        logits = tf.gather(tf.math.log(weights["emissionprob"]), states)  # [N, M]
        uniform = tf.random.stateless_uniform(tf.shape(logits), seed, dtype=logits.dtype)
        noise = -tf.math.log(-tf.math.log(tf.maximum(uniform, np.finfo(np.float32).tiny)))
        symbols = tf.argmax(logits + temperature * noise, axis=-1)
        return tf.cast(symbols, logits.dtype)[:, None]

    def mean(self, parameters):
        """Return the probabilities of the symbols, [K, M]."""
        return parameters["emissionprob"]


class Multinomial(Emission):
    """Counts of D symbols in a number of trials: probabilities `emissionprob` [K, D]."""

    counts = True
    remedy = _SEEN_BEFOREHAND

    def shapes(self):
        return {"emissionprob": (self.settings.num_states, self.settings.event_size)}

    statistic_shapes = shapes
    maximize = Categorical.maximize

    def log_prob(self, weights, x, mask):
        probability = weights["emissionprob"]
        x = tf.cast(x, probability.dtype)
        ways = tf.math.lgamma(tf.reduce_sum(x, axis=-1) + 1)
        ways -= tf.reduce_sum(tf.math.lgamma(x + 1), axis=-1)
        # no trial of an impossible symbol is no evidence against a state
        impossible = tf.matmul(x, tf.cast(probability == 0, x.dtype), transpose_b=True) > 0
        logits = tf.math.log(tf.where(probability == 0, tf.ones_like(probability), probability))
        seen = tf.matmul(x, logits, transpose_b=True)
        return tf.where(impossible, x.dtype.as_numpy_dtype(-np.inf), ways[:, None] + seen)

    def statistics(self, weights, x, mask, posterior):
        return {"emissionprob": tf.matmul(posterior, tf.cast(x, posterior.dtype), transpose_a=True)}

    def start(self, rows, times, random):
        labels, _ = clusters(_shares(rows), times, self.settings.num_states, random)
        total = np.stack([rows[labels == k].sum(axis=0) for k in range(self.settings.num_states)])
        # no symbol is impossible at the start
        total += 0.1 * rows.sum(axis=0) + 1e-3
        return {"emissionprob": total / total.sum(axis=1, keepdims=True)}

    def sample(self, weights, states, seed, temperature):
        logits = tf.math.log(weights["emissionprob"])
        logits /= tf.maximum(temperature, 1e-3)
        rows = tf.gather(tf.nn.softmax(logits), states)  # [N, D]
        left = tf.fill(tf.shape(rows)[:1], tf.cast(self.settings.num_trials, rows.dtype))
        rest = tf.ones_like(left)
        counts = []
        for d in range(self.settings.event_size - 1):
            share = tf.clip_by_value(rows[:, d] / tf.maximum(rest, 1e-30), 0.0, 1.0)
            own = tf.random.experimental.stateless_fold_in(seed, d)
            drawn = tf.random.stateless_binomial(
                tf.shape(left), own, left, share, output_dtype=rows.dtype
            )
            counts.append(drawn)
            left, rest = left - drawn, rest - rows[:, d]
        return tf.stack([*counts, left], axis=1)

    def mean(self, parameters):
        return parameters["emissionprob"] * self.settings.num_trials


class Poisson(Emission):
    """Independent counts: `rates` [K, D]."""

    counts = True
    parts_missing = True
    remedy = "Its rates are 0 in every state: set rates above 0 by set_parameters."

    def shapes(self):
        return {"rates": (self.settings.num_states, self.settings.event_size)}

    def log_prob(self, weights, x, mask):
        rates = weights["rates"]
        x = tf.cast(x, rates.dtype)[:, None]  # [N, 1, D]
        terms = tf.math.xlogy(x, rates) - rates - tf.math.lgamma(x + 1)
        if mask.shape.rank == 2:
            terms = tf.where(mask[:, None], terms, tf.zeros_like(terms))
        return tf.reduce_sum(terms, axis=-1)

    def statistic_shapes(self):
        shape = self.shapes()["rates"]
        return {"steps": shape, "sums": shape}

    def statistics(self, weights, x, mask, posterior):
        x = tf.cast(x, posterior.dtype)
        seen = tf.cast(mask, x.dtype) if mask.shape.rank == 2 else tf.ones_like(x)
        return {
            "steps": tf.matmul(posterior, seen, transpose_a=True),
            "sums": tf.matmul(posterior, x * seen, transpose_a=True),
        }

    def maximize(self, weights, statistics):
        steps = statistics["steps"]
        rates = statistics["sums"] / np.maximum(steps, UNVISITED)
        return {"rates": np.where(steps > UNVISITED, rates, weights["rates"])}

    def start(self, rows, times, random):
        k = self.settings.num_states
        labels, _ = clusters(np.sqrt(rows), times, k, random)
        # a state that starts without any count could never see one
        floor = 0.1 * rows.mean(axis=0) + 1e-3
        return {"rates": 0.9 * group_means(rows, labels, k) + floor}

    def sample(self, weights, states, seed, temperature):
        rates = tf.gather(weights["rates"], states)
        drawn = tf.random.stateless_poisson(tf.shape(rates), seed, rates, rates.dtype)
        return tf.round(rates + temperature * (drawn - rates))

    def mean(self, parameters):
        return parameters["rates"]


def proportions(counts: np.ndarray, old: np.ndarray, prior: float | np.ndarray) -> np.ndarray:
    """Return rows of probabilities from counts under a Dirichlet prior.

    What was impossible stays so; a row without any count keeps its old values.
    """
    weight = np.where(old == 0, 0.0, np.maximum(counts + prior - 1.0, 0.0))
    total = weight.sum(axis=-1, keepdims=True)
    return np.where(total > UNVISITED, weight / np.maximum(total, UNVISITED), old)


def clusters(
    rows: np.ndarray, times: np.ndarray, k: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return k-means labels and centers, in the order in which sequences come by them."""
    labels, centers = kmeans(rows, k, int(random.integers(2**31)))
    order = np.argsort(group_means(times[:, None], labels, k)[:, 0], kind="stable")
    return np.argsort(order)[labels], centers[order]


def group_means(rows: np.ndarray, labels: np.ndarray, k: int) -> np.ndarray:
    """Return the means of rows by label, [k, ...]; of all rows for a label without any."""
    counts = np.bincount(labels, minlength=k)
    sums = np.zeros((k, rows.shape[1]))
    np.add.at(sums, labels, rows)
    means = sums / np.maximum(counts, 1)[:, None]
    return np.where(counts[:, None] > 0, means, rows.mean(axis=0))


def _shares(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(rows.sum(axis=1, keepdims=True), 1)


def _spread(shares: np.ndarray, k: int, random: np.random.Generator) -> np.ndarray:
    """Return k random distributions about given shares, none of them impossible."""
    base = (shares + 0.1) / (shares + 0.1).sum()
    drawn = base * random.gamma(2.0, size=(k, len(base)))
    return drawn / drawn.sum(axis=1, keepdims=True)
