"""Gaussian emissions: a normal a state, or a mixture of them."""

from functools import partial

import numpy as np
import tensorflow as tf

from genzoo.classic.gaussians.covariances import COVARIANCES, Full
from genzoo.classic.gaussians.normals import Normals, normals
from genzoo.classic.gaussians.responsibilities import posterior as responsibilities
from genzoo.classic.hmm.emissions import UNVISITED, Emission, clusters, proportions


class Gaussian(Emission):
    """A normal a state: `means` [K, D], `covariances` as in `GaussianMixture`.

    Statistics are those of C components, here the states, on whitened differences.
    """

    parts_missing = True
    remedy = "It is too far from all means to have a density: look for errors in the data."

    def __init__(self, settings):
        super().__init__(settings)
        self.components = settings.num_states
        self._covariance_type = settings.covariance_type
        self._covariance = COVARIANCES[settings.covariance_type]

    def shapes(self):
        k, d = self.settings.num_states, self.settings.event_size
        return {"means": (k, d), "covariances": self._covariance.factor_shape(k, d)}

    def weight_shapes(self):
        shapes = self.shapes()
        return {"means": shapes["means"], "factor": shapes["covariances"]}

    def to_weights(self, parameters):
        factor = self._covariance.to_factor(parameters["covariances"])
        return {"means": parameters["means"], "factor": factor}

    def to_parameters(self, weights):
        covariances = self._covariance.to_covariance(weights["factor"])
        return {"means": weights["means"], "covariances": covariances}

    # Of components: those of a mixture are grouped by state

    def _flat(self, weights):
        """Return means [C, D] and factors of all components, of tensors or arrays."""
        return weights["means"], weights["factor"]

    def prepare(self, weights):
        means, factor = self._flat(weights)
        wide = tf.cast(means, tf.float64)
        components = normals(
            self._covariance_type,
            self._log_weights(weights),
            wide,
            self._covariance.whitening(tf.cast(factor, tf.float64)),
            tf.reduce_mean(wide, axis=0),
            means.dtype,
        )
        return {"wide": components.tensors, "narrow": components.cast(means.dtype).tensors}

    def _normals(self, tensors, mask):
        return Normals(
            self._covariance_type,
            **tensors,
            num_mixtures=self.settings.num_states,
            has_missing=mask.shape.rank == 2,
            fused=not self._by_pattern(mask),
        )

    def _log_weights(self, weights):
        return 0.0

    def log_prob(self, prepared, x, mask):
        tensors = prepared["wide" if self._by_pattern(mask) else "narrow"]
        return self._normals(tensors, mask).log_prob(_with_missing(x, mask))

    def statistic_shapes(self):
        c, d = self.components, self.settings.event_size
        moments = self._covariance.moment_shape(c, d)
        return {"counts": (c,), "sums": (c, d), "moments": moments}

    def statistics(self, prepared, x, mask, posterior):
        components = self._normals(prepared["wide"], mask)
        if self._by_pattern(mask):
            return components.expect(_with_missing(x, mask), posterior)[1]
        joint = partial(self._normals(prepared["narrow"], mask).log_joint, x)
        return components.sum_complete(x, self._shares(joint, posterior))

    def _by_pattern(self, mask):
        return mask.shape.rank == 2

    def _shares(self, joint, posterior):
        """Return the responsibilities of the components, [N, C], of which `joint()` is
        log p(x, component | state)."""
        return posterior

    def maximize(self, weights, statistics):
        means, covariances = self._update(weights, statistics)
        if self.settings.covariance_type != "tied":
            seen = statistics["counts"] > UNVISITED
            old = self.to_parameters(weights)["covariances"]
            covariances = np.where(_like(seen, old), covariances, old)
        return {"means": means, "covariances": covariances}

    def _update(self, weights, statistics):
        """Return means [C, D] and covariances of all components."""
        means, factor = self._flat(weights)
        counts = np.maximum(statistics["counts"], UNVISITED)
        seen = (statistics["counts"] > UNVISITED)[:, None]
        shift = np.where(seen, statistics["sums"] / counts[:, None], 0.0)
        covariances = self._covariance.update(
            statistics["moments"], shift, counts, factor, self.settings.reg_covar
        )
        return means + self._covariance.to_shift(shift, factor), covariances

    def start(self, rows, times, random):
        k = self.settings.num_states
        labels, means = clusters(rows, times, k, random)
        scatter = _within(rows, means[labels])
        # all states start from the covariance within clusters: a small one has none of its own
        scatter = np.broadcast_to(scatter, (k, *scatter.shape))
        counts = np.full(k, float(len(rows)))
        covariance = COVARIANCES[self.settings.covariance_type]
        covariances = covariance.from_scatter(scatter, counts, self.settings.reg_covar)
        return {"means": means, "covariances": covariances}

    def sample(self, weights, states, seed, temperature):
        component_seed, noise_seed = tf.unstack(tf.random.split(seed))
        means, factor = self._flat(weights)
        component = self._component(weights, states, component_seed)
        shape = [tf.shape(states)[0], self.settings.event_size]
        noise = tf.random.stateless_normal(shape, noise_seed, dtype=means.dtype)
        colored = self._covariance.color(noise, component, factor, self.components)
        return tf.gather(means, component) + temperature * colored

    def _component(self, weights, states, seed):
        return states

    def mean(self, parameters):
        return parameters["means"]


class GaussianMixture(Gaussian):
    """A mixture of M normals a state: `weights` [K, M], `means` [K, M, D], and `covariances`
    [K, M, D, D], [K, D, D] (tied within a state), [K, M, D] or [K, M]."""

    def __init__(self, settings):
        super().__init__(settings)
        self.components = settings.num_states * settings.num_components
        self._tied = settings.covariance_type == "tied"
        if self._tied:
            self._covariance_type, self._covariance = "full", Full

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
            "covariances": np.where(_like(seen, covariances), covariances, old["covariances"]),
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
        scatter = _within(rows, means[labels, nearest])
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


def _like(flags: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return flags of the leading axes of values, with axes for the others."""
    return flags.reshape(flags.shape + (1,) * (values.ndim - flags.ndim))


def _squares(rows: np.ndarray, centers: np.ndarray) -> np.ndarray:
    return np.square(rows - centers).sum(axis=1)


def _within(rows: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """Return the sum of squares of rows about their centers, [D, D]."""
    difference = rows - centers
    return difference.T @ difference


def _with_missing(x: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Return rows with NaN for what the mask says is missing."""
    if mask.shape.rank == 1:
        return x
    return tf.where(mask, x, x.dtype.as_numpy_dtype(np.nan))
