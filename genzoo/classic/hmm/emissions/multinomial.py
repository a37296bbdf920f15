"""Emissions of counts of symbols in a number of trials."""

from types import MappingProxyType

import numpy as np
import tensorflow as tf

from genzoo.classic.hmm.emissions.categorical import SEEN_BEFOREHAND, CategoricalEmission
from genzoo.classic.hmm.emissions.emission import Emission, clusters


class MultinomialEmission(Emission):
    """Counts of D symbols in a number of trials: probabilities `emissionprob` [K, D]."""

    names = probabilities = ("emissionprob",)
    counts = True
    remedy = SEEN_BEFOREHAND
    hmmlearn_class = "MultinomialHMM"
    hmmlearn_names = MappingProxyType({"emissionprob": ("emissionprob_", "e")})

    def shapes(self):
        return {"emissionprob": (self.settings.num_states, self.settings.event_size)}

    statistic_shapes = shapes
    maximize = CategoricalEmission.maximize

    def log_prob(self, prepared, x, mask):
        probability = prepared["emissionprob"]
        x = tf.cast(x, probability.dtype)
        ways = tf.math.lgamma(tf.reduce_sum(x, axis=-1) + 1)
        ways -= tf.reduce_sum(tf.math.lgamma(x + 1), axis=-1)
        # no trial of an impossible symbol is no evidence against a state
        impossible = tf.matmul(x, tf.cast(probability == 0, x.dtype), transpose_b=True) > 0
        logits = tf.math.log(tf.where(probability == 0, tf.ones_like(probability), probability))
        seen = tf.matmul(x, logits, transpose_b=True)
        return tf.where(impossible, x.dtype.as_numpy_dtype(-np.inf), ways[:, None] + seen)

    def statistics(self, prepared, x, mask, posterior):
        return {"emissionprob": tf.matmul(posterior, tf.cast(x, posterior.dtype), transpose_a=True)}

    def start(self, rows, times, random):
        shares = rows / np.maximum(rows.sum(axis=1, keepdims=True), 1)
        labels, _ = clusters(shares, times, self.settings.num_states, random)
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

    def observer(self):
        return _MeanTrials() if self.settings.num_trials is None else None

    @property
    def unknown(self):
        return "num_trials" if self.settings.num_trials is None else None

    @classmethod
    def from_hmmlearn(cls, model):
        _, parameters = super().from_hmmlearn(model)
        trials = np.unique([] if model.n_trials is None else model.n_trials)
        arguments = {
            "event_shape": (parameters["emissionprob"].shape[1],),
            "num_trials": int(trials[0]) if len(trials) == 1 else None,
        }
        return arguments, parameters

    def to_hmmlearn(self):
        return {"n_trials": self.settings.num_trials}


class _MeanTrials:
    """The mean number of trials of a step."""

    def __init__(self):
        self._trials, self._steps = 0.0, 0

    def update(self, x, mask):
        self._trials += float(x.sum())
        self._steps += int(mask.sum())

    def settings(self):
        return {"num_trials": max(round(self._trials / max(self._steps, 1)), 1)}
