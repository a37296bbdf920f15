"""Emissions of one symbol a step."""

from types import MappingProxyType

import numpy as np
import tensorflow as tf

from genzoo.classic.hmm.emissions.emission import Emission, single_prior
from genzoo.classic.hmm.parts import proportions
from genzoo.core.errors import InvalidInputError

SEEN_BEFOREHAND = (
    "Training never showed it, or zeros were set: fit a model with emission_prior above 1, such as "
    "emission_prior=1.1."
)


class CategoricalEmission(Emission):
    """One of M symbols: probabilities `emissionprob` [K, M]."""

    names = probabilities = ("emissionprob",)
    counts = True
    remedy = SEEN_BEFOREHAND
    hmmlearn_class = "CategoricalHMM"
    hmmlearn_names = MappingProxyType({"emissionprob": ("emissionprob_", "e")})

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

    def log_prob(self, prepared, x, mask):
        table = tf.transpose(tf.math.log(prepared["emissionprob"]))  # [M, K]
        return tf.gather(table, tf.cast(x[:, 0], tf.int32))

    def statistics(self, prepared, x, mask, posterior):
        symbols = tf.cast(x[:, 0], tf.int32)
        table = tf.math.unsorted_segment_sum(posterior, symbols, self.settings.num_symbols)
        return {"emissionprob": tf.transpose(table)}

    def maximize(self, weights, statistics):
        counts, old = statistics["emissionprob"], weights["emissionprob"]
        return {"emissionprob": proportions(counts, old, self.settings.prior)}

    def start(self, rows, times, random):
        shares = np.bincount(rows[:, 0].astype(int), minlength=self.settings.num_symbols)
        base = (shares + 0.1) / (shares + 0.1).sum()
        # none of them impossible
        drawn = base * random.gamma(2.0, size=(self.settings.num_states, len(base)))
        return {"emissionprob": drawn / drawn.sum(axis=1, keepdims=True)}

    def sample(self, weights, states, seed, temperature):
        logits = tf.gather(tf.math.log(weights["emissionprob"]), states)  # [N, M]
        uniform = tf.random.stateless_uniform(tf.shape(logits), seed, dtype=logits.dtype)
        noise = -tf.math.log(-tf.math.log(tf.maximum(uniform, np.finfo(np.float32).tiny)))
        symbols = tf.argmax(logits + temperature * noise, axis=-1)
        return tf.cast(symbols, logits.dtype)[:, None]

    def mean(self, parameters):
        """Return the probabilities of the symbols, [K, M]."""
        return parameters["emissionprob"]

    @classmethod
    def from_hmmlearn(cls, model):
        _, parameters = super().from_hmmlearn(model)
        arguments = {
            "event_shape": (1,),
            "levels": parameters["emissionprob"].shape[1],
            "emission_prior": single_prior(model.emissionprob_prior),
        }
        return arguments, parameters

    def to_hmmlearn(self):
        return {"emissionprob_prior": self.settings.prior}

    @property
    def hmmlearn_width(self):
        return self.settings.num_symbols
