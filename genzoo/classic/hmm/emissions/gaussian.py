"""Emissions of a normal a state."""

from functools import partial
from types import MappingProxyType

import numpy as np
import tensorflow as tf

from genzoo.classic.gaussians import COVARIANCES, Normals, make_normals, update_normals
from genzoo.classic.hmm.emissions.emission import Emission, clusters, read_hmmlearn
from genzoo.classic.hmm.parts import UNVISITED
from genzoo.core.errors import InvalidInputError


class GaussianEmission(Emission):
    """A normal a state: `means` [K, D], `covariances` as in `GaussianMixture`.

    Statistics are those of C components, here the states, on whitened differences.
    """

    names = ("means", "covariances")
    parts_missing = True
    remedy = "It is too far from all means to have a density: look for errors in the data."
    hmmlearn_class = "GaussianHMM"
    hmmlearn_names = MappingProxyType({"means": ("means_", "m"), "covariances": ("covars_", "c")})

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

    def _check_values(self, name, array, value):
        if name == "covariances" and self.settings.covariance_type in ("full", "tied"):
            other = np.swapaxes(array, -1, -2)
            if not np.allclose(array, other, rtol=1e-5, atol=1e-7 * np.abs(array).max()):
                raise InvalidInputError(
                    f"Expected covariances that are symmetric. Received: {name}={value!r}"
                )

    def num_free(self, name):
        if name == "covariances" and self.settings.covariance_type in ("full", "tied"):
            *lead, d, _ = self.shapes()[name]
            return int(np.prod(lead)) * d * (d + 1) // 2
        return super().num_free(name)

    # Of components: those of a mixture are grouped by state

    def _flat(self, weights):
        """Return means [C, D] and factors of all components, of tensors or arrays."""
        return weights["means"], weights["factor"]

    def prepare(self, weights):
        means, factor = self._flat(weights)
        wide = tf.cast(means, tf.float64)
        components = make_normals(
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
            fused=self.compiles(mask),
        )

    def _log_weights(self, weights):
        return 0.0

    def log_prob(self, prepared, x, mask):
        tensors = prepared["narrow" if self.compiles(mask) else "wide"]
        return self._normals(tensors, mask).log_prob(_with_missing(x, mask))

    def statistic_shapes(self):
        c, d = self.components, self.settings.event_size
        moments = self._covariance.moment_shape(c, d)
        return {"counts": (c,), "sums": (c, d), "moments": moments}

    def statistics(self, prepared, x, mask, posterior):
        components = self._normals(prepared["wide"], mask)
        if not self.compiles(mask):
            return components.expect(_with_missing(x, mask), posterior)[1]
        joint = partial(self._normals(prepared["narrow"], mask).log_joint, x)
        return components.sum_complete(x, self._shares(joint, posterior))

    def compiles(self, mask):
        # XLA cannot tell rows apart by what they miss
        return mask.shape.rank == 1

    def _shares(self, joint, posterior):
        """Return the responsibilities of the components, [N, C], of which `joint()` is
        log p(x, component | state)."""
        return posterior

    def maximize(self, weights, statistics):
        means, covariances = self._update(weights, statistics)
        if self.settings.covariance_type != "tied":
            seen = statistics["counts"] > UNVISITED
            old = self.to_parameters(weights)["covariances"]
            covariances = np.where(like(seen, old), covariances, old)
        return {"means": means, "covariances": covariances}

    def _update(self, weights, statistics):
        """Return means [C, D] and covariances of all components."""
        means, factor = self._flat(weights)
        counts = statistics["counts"]
        sums = np.where((counts > UNVISITED)[:, None], statistics["sums"], 0.0)
        return update_normals(
            self._covariance,
            np.maximum(counts, UNVISITED),
            {**statistics, "sums": sums},
            means,
            factor,
            self.settings.reg_covar,
        )

    def start(self, rows, times, random):
        k = self.settings.num_states
        labels, means = clusters(rows, times, k, random)
        scatter = within(rows, means[labels])
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

    @classmethod
    def from_hmmlearn(cls, model):
        # as set: the property makes them matrices, and fails where no fit counted the columns
        parameters = read_hmmlearn(model, {"means": "means_", "covariances": "_covars_"})
        covariances = parameters["covariances"]
        if model.covariance_type == "spherical" and covariances.ndim == 2:
            parameters["covariances"] = covariances[:, 0]
        arguments = {
            "covariance_type": model.covariance_type,
            "event_shape": parameters["means"].shape[-1:],
        }
        return arguments, parameters

    def to_hmmlearn(self):
        # without the prior that it has by default
        return {"covariance_type": self.settings.covariance_type, "covars_prior": 0.0}


def like(flags: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return flags of the leading axes of values, with axes for the others."""
    return flags.reshape(flags.shape + (1,) * (values.ndim - flags.ndim))


def within(rows: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """Return the sum of squares of rows about their centers, [D, D]."""
    difference = rows - centers
    return difference.T @ difference


def _with_missing(x: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Return rows with NaN for what the mask says is missing."""
    if mask.shape.rank == 1:
        return x
    return tf.where(mask, x, x.dtype.as_numpy_dtype(np.nan))
