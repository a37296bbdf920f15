"""Gaussian emissions: a normal a state, or a mixture of them."""

import math

import numpy as np
import tensorflow as tf

from genzoo.classic.gaussians.covariances import COVARIANCES, Full
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

    def _joint(self, weights, densities):
        """Return log p(x, component | state) [N, K, components a state]."""
        return densities[:, :, None]

    def log_prob(self, weights, x, mask):
        densities = self._describe(weights, x, mask)[0]
        return tf.reduce_logsumexp(self._joint(weights, densities), axis=-1)

    def statistic_shapes(self):
        c, d = self.components, self.settings.event_size
        moments = self._covariance.moment_shape(c, d)
        return {"counts": (c,), "sums": (c, d), "moments": moments}

    def statistics(self, weights, x, mask, posterior):
        densities, expected, spread = self._describe(weights, x, mask)
        joint = self._joint(weights, densities)
        share = tf.nn.softmax(joint, axis=-1) * posterior[:, :, None]
        share = tf.reshape(share, [-1, self.components])
        if spread is None:
            return self._complete_statistics(weights, x, share)
        return {
            "counts": tf.reduce_sum(share, axis=0),
            "sums": tf.einsum("nk,nkd->kd", share, expected),
            "moments": self._covariance.moments(share, expected) + spread(share),
        }

    def _complete_statistics(self, weights, x, share):
        """Return the statistics where no value is missing.

        Sums about one center are few products of large matrices; in float64 they lose nothing when
        they are moved to the means of the components afterwards.
        """
        wide = {name: tf.cast(value, tf.float64) for name, value in weights.items()}
        means, factor = self._flat(wide)
        center = tf.reduce_mean(means, axis=0)
        x, share = tf.cast(x, tf.float64) - center, tf.cast(share, tf.float64)
        offset = means - center
        counts = tf.reduce_sum(share, axis=0)
        sums = tf.matmul(share, x, transpose_a=True)
        moved = sums - counts[:, None] * offset
        whiten = self._covariance.whiten
        if issubclass(self._covariance, Full):
            cross = offset[:, :, None] * sums[:, None, :]
            squares = tf.stack([tf.matmul(x * share[:, k, None], x, transpose_a=True)
                                for k in range(self.components)])  # fmt: skip
            squares += counts[:, None, None] * offset[:, :, None] * offset[:, None, :]
            squares -= cross + tf.transpose(cross, [0, 2, 1])
            half = whiten(tf.transpose(squares, [1, 0, 2]), factor)
            moments = tf.transpose(whiten(tf.transpose(half, [2, 1, 0]), factor), [1, 0, 2])
            if len(self._covariance.moment_shape(1, 1)) == 2:
                moments = tf.reduce_sum(moments, axis=0)
        else:
            squares = tf.matmul(share, tf.square(x), transpose_a=True)
            squares += counts[:, None] * tf.square(offset) - 2 * offset * sums
            moments = whiten(whiten(squares[None], factor), factor)[0]
        return {"counts": counts, "sums": whiten(moved[None], factor)[0], "moments": moments}

    def _describe(self, weights, x, mask):
        """Return log densities [N, C] and, where values are missing, expected whitened differences
        [N, C, D] and what the uncertainty about them adds to the moments."""
        means, factor = self._flat(weights)
        d = self.settings.event_size
        if mask.shape.rank == 2:
            describe = _partial_matrix if issubclass(self._covariance, Full) else _partial_diagonal
            return describe(self._covariance, x[:, None] - means, factor, mask)
        log_norm = 0.5 * d * math.log(2 * math.pi) + self._covariance.log_det(factor, d)
        if issubclass(self._covariance, Full):
            # one product of matrices for all components, about a center near all means
            center = tf.reduce_mean(means, axis=0)
            identity = tf.eye(d, batch_shape=[self.components], dtype=x.dtype)
            inverse = self._covariance.whiten(tf.transpose(identity, [1, 0, 2]), factor)
            shift = self._covariance.whiten((means - center)[None], factor)
            flat = tf.reshape(inverse, [d, self.components * d])
            whitened = tf.reshape(tf.matmul(x - center, flat), [-1, self.components, d]) - shift
        else:
            whitened = self._covariance.whiten(x[:, None] - means, factor)
        squares = tf.reduce_sum(tf.square(whitened), axis=-1)
        return -log_norm - 0.5 * squares, None, None

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
            self._covariance = Full

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

    def _joint(self, weights, densities):
        k, m = self.settings.num_states, self.settings.num_components
        return tf.reshape(densities, [-1, k, m]) + tf.math.log(weights["weights"])

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


# Missing values: each pattern of what was observed has a factor of its own


def _partial_diagonal(covariance, difference, factor, mask):
    seen = tf.cast(mask, difference.dtype)
    ones = tf.ones_like(difference[:1])
    log_scale = -tf.math.log(covariance.whiten(ones, factor))[0]  # [C, D]
    whitened = covariance.whiten(difference, factor) * seen[:, None]
    log_norm = tf.matmul(seen, log_scale + 0.5 * math.log(2 * math.pi), transpose_b=True)
    densities = -log_norm - 0.5 * tf.reduce_sum(tf.square(whitened), axis=-1)

    def spread(share):
        missing = tf.broadcast_to(1.0 - seen[:, None], tf.shape(whitened))
        return covariance.moments(share, missing)

    return densities, whitened, spread


def _partial_matrix(covariance, difference, factor, mask):
    c, d = difference.shape[1:]
    patterns, index = tf.raw_ops.UniqueV2(x=tf.cast(mask, tf.int32), axis=[0])
    factor = tf.broadcast_to(factor, [c, d, d])
    seen = tf.cast(patterns, factor.dtype)[:, None]  # [P, 1, D]
    identity = tf.eye(d, dtype=factor.dtype)
    # the covariance of what was observed; what was not stands apart with variance 1
    full = tf.matmul(factor, factor, transpose_b=True)
    own = seen[..., :, None] * seen[..., None, :] * full + (1.0 - seen)[..., None] * identity
    root = tf.linalg.cholesky(own)  # [P, C, D, D]
    inverse = tf.linalg.triangular_solve(root, seen[..., None] * identity + tf.zeros_like(root))
    onto = tf.linalg.triangular_solve(root, seen[..., None] * factor)
    white = tf.einsum("ncde,nce->ncd", tf.gather(inverse, index), difference)
    expected = tf.einsum("nced,nce->ncd", tf.gather(onto, index), white)
    log_norm = tf.reduce_sum(tf.math.log(tf.linalg.diag_part(root)), axis=-1)
    log_norm += 0.5 * math.log(2 * math.pi) * tf.reduce_sum(seen, axis=-1)
    densities = -tf.gather(log_norm, index) - 0.5 * tf.reduce_sum(tf.square(white), axis=-1)

    def spread(share):
        weight = tf.math.unsorted_segment_sum(share, index, tf.shape(patterns)[0])  # [P, C]
        uncertain = identity - tf.matmul(onto, onto, transpose_a=True)
        moments = tf.einsum("pc,pcde->cde", weight, uncertain)
        rank = len(covariance.moment_shape(c, d))
        return moments if rank == 3 else tf.reduce_sum(moments, axis=0)

    return densities, expected, spread
