"""Emissions of a mixture of normals a state."""

from types import MappingProxyType

import numpy as np
import tensorflow as tf

from genzoo.classic.gaussians import COVARIANCES
from genzoo.classic.gaussians import posterior as responsibilities
from genzoo.classic.hmm.emissions.emission import clusters, read_hmmlearn, single_prior
from genzoo.classic.hmm.emissions.gaussian import GaussianEmission, like, within
from genzoo.classic.hmm.parts import UNVISITED, proportions


class GaussianMixtureEmission(GaussianEmission):
    """A mixture of M normals a state: `weights` [K, M], `means` [K, M, D], and `covariances`
    [K, M, D, D], [K, D, D] (tied within a state), [K, M, D] or [K, M]."""

    names = ("weights", "means", "covariances")
    probabilities = ("weights",)
    hmmlearn_class = "GMMHMM"
    hmmlearn_names = MappingProxyType(
        {**GaussianEmission.hmmlearn_names, "weights": ("weights_", "w")}
    )

    def __init__(self, settings):
        super().__init__(settings)
        self.components = settings.num_states * settings.num_components
        self._tied = settings.covariance_type == "tied"
        if self._tied:
            self._covariance_type, self._covariance = "full", COVARIANCES["full"]

    def shapes(self):
        k, m, d = (
            self.settings.num_states, self.settings.num_components, self.settings.event_size
        )  # fmt: skip
        own = (k, *self._covariance.factor_shape(m, d)[1:])
        covariances = own if self._tied else (k, m, *own[1:])
        return {"weights": (k, m), "means": (k, m, d), "covariances": covariances}

    def weight_shapes(self):
        shapes = self.shapes()
        return {
            "weights": shapes["weights"],
            "means": shapes["means"],
            "factor": shapes["covariances"],
        }

    def to_weights(self, parameters):
        return {"weights": parameters["weights"], **super().to_weights(parameters)}

    def to_parameters(self, weights):
        return {"weights": weights["weights"], **super().to_parameters(weights)}

    def _flat(self, weights):
        c, m = self.components, self.settings.num_components
        means, factor = weights["means"], weights["factor"]
        ops = np if isinstance(means, np.ndarray) else tf
        if self._tied:
            factor = ops.repeat(factor, m, axis=0)
        return (
            ops.reshape(means, [c, means.shape[-1]]),
            ops.reshape(factor, [c, *self._covariance.factor_shape(c, means.shape[-1])[1:]]),
        )

    def _log_weights(self, weights):
        return tf.reshape(tf.math.log(tf.cast(weights["weights"], tf.float64)), [-1])

    def _shares(self, joint, posterior):
        return responsibilities(joint(), posterior)[1]

    def maximize(self, weights, statistics):
        shapes = self.shapes()
        old = self.to_parameters(weights)
        counts = statistics["counts"].reshape(shapes["weights"])
        means, covariances = self._update(weights, statistics)
        if self._tied:
            share = counts / np.maximum(counts.sum(axis=1, keepdims=True), UNVISITED)
            each = covariances.reshape(*counts.shape, *covariances.shape[1:])
            covariances = np.einsum("km,kmde->kde", share, each)
            seen = counts.sum(axis=1) > UNVISITED
        else:
            covariances, seen = covariances.reshape(shapes["covariances"]), counts > UNVISITED
        return {
            "weights": proportions(counts, old["weights"], self.settings.prior),
            "means": means.reshape(shapes["means"]),
            "covariances": np.where(like(seen, covariances), covariances, old["covariances"]),
        }

    def start(self, rows, times, random):
        k, m = self.settings.num_states, self.settings.num_components
        shapes = self.shapes()
        labels, _ = clusters(rows, times, k, random)
        means = np.empty(shapes["means"])
        for state in range(k):
            own = labels == state
            # too few rows of its own: those of all states
            own = own if own.sum() >= m else np.ones_like(own)
            means[state] = clusters(rows[own], times[own], m, random)[1]
        nearest = np.stack([_squares(rows, means[labels, i]) for i in range(m)]).argmin(axis=0)
        scatter = within(rows, means[labels, nearest])
        c = self.components
        covariances = self._covariance.from_scatter(
            np.broadcast_to(scatter, (c, *scatter.shape)),
            np.full(c, float(len(rows))),
            self.settings.reg_covar,
        )
        covariances = covariances[::m] if self._tied else covariances
        return {
            "weights": np.full((k, m), 1.0 / m),
            "means": means,
            "covariances": covariances.reshape(shapes["covariances"]),
        }

    def _component(self, weights, states, seed):
        m = self.settings.num_components
        logits = tf.gather(tf.math.log(weights["weights"]), states)
        drawn = tf.random.stateless_categorical(logits, 1, seed, dtype=tf.int32)[:, 0]
        return states * m + drawn

    def mean(self, parameters):
        return np.einsum("km,kmd->kd", parameters["weights"], parameters["means"])

    @classmethod
    def from_hmmlearn(cls, model):
        attributes = {name: attribute for name, (attribute, _) in cls.hmmlearn_names.items()}
        parameters = read_hmmlearn(model, attributes)
        arguments = {
            "covariance_type": model.covariance_type,
            "event_shape": parameters["means"].shape[-1:],
            "num_components": model.n_mix,
            "emission_prior": single_prior(model.weights_prior),
        }
        return arguments, parameters

    def to_hmmlearn(self):
        return {
            "covariance_type": self.settings.covariance_type,
            "n_mix": self.settings.num_components,
            "weights_prior": self.settings.prior,
        }


def _squares(rows: np.ndarray, centers: np.ndarray) -> np.ndarray:
    return np.square(rows - centers).sum(axis=1)
