"""Emissions of independent counts."""

from types import MappingProxyType

import numpy as np
import tensorflow as tf

from genzoo.classic.hmm.emissions.emission import Emission, clusters, group_means
from genzoo.classic.hmm.parts import UNVISITED
from genzoo.core.errors import InvalidInputError


class PoissonEmission(Emission):
    """Independent counts: `rates` [K, D]."""

    names = ("rates",)
    counts = True
    parts_missing = True
    remedy = "Its rates are 0 in every state: set rates above 0 by set_parameters."
    hmmlearn_class = "PoissonHMM"
    hmmlearn_names = MappingProxyType({"rates": ("lambdas_", "l")})

    def shapes(self):
        return {"rates": (self.settings.num_states, self.settings.event_size)}

    def _check_values(self, name, array, value):
        if array.min() < 0:
            raise InvalidInputError(f"Expected rates of at least 0. Received: {name}={value!r}")

    def log_prob(self, prepared, x, mask):
        rates = prepared["rates"]
        x = tf.cast(x, rates.dtype)[:, None]  # [N, 1, D]
        terms = tf.math.xlogy(x, rates) - rates - tf.math.lgamma(x + 1)
        if mask.shape.rank == 2:
            terms = tf.where(mask[:, None], terms, tf.zeros_like(terms))
        return tf.reduce_sum(terms, axis=-1)

    def statistic_shapes(self):
        shape = self.shapes()["rates"]
        return {"steps": shape, "sums": shape}

    def statistics(self, prepared, x, mask, posterior):
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

    @classmethod
    def from_hmmlearn(cls, model):
        _, parameters = super().from_hmmlearn(model)
        return {"event_shape": (parameters["rates"].shape[1],)}, parameters
