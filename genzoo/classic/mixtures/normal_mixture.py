"""NormalMixture: what mixtures of normals share, however they are fitted."""

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from genzoo.classic.em import (
    STARTS,
    EMModel,
    fill_missing,
    moments_of_parts,
    start_responsibilities,
)
from genzoo.classic.gaussians import COVARIANCES, ConditionalMixture, update_normals
from genzoo.classic.mixtures.mixture_law import MixtureLaw
from genzoo.core.checks import check_choice, check_int, check_number
from genzoo.core.errors import InvalidInputError
from genzoo.core.inputs.batches import check_batch_size
from genzoo.core.maths.random import make_seed


class NormalMixture(EMModel):
    """Base of mixtures of normals: components, E step, samples, and what is said of rows.

    The parameters are held in float64, of the model's own numbers; graphs compute in the model's
    float type, from rows less the mixture's mean. A subclass implements `_update`.

    Args:
        num_components, covariance_type, init, n_init, reg_covar, tol: As in `GaussianMixture`.
    """

    default_batch_size = 8192
    default_steps_per_execution = 8
    traits = dataclasses.replace(EMModel.traits, distribution=True, missing_values=True)

    def __init__(
        self,
        event_shape: tuple[int, ...] | int,
        *,
        num_components: int = 10,
        covariance_type: str = "full",
        init: str = "kmeans",
        n_init: int = 1,
        reg_covar: float = 1e-6,
        tol: float = 1e-3,
        **model_arguments: Any,
    ):
        super().__init__(event_shape, n_init=n_init, tol=tol, **model_arguments)
        if self.context_size:
            raise InvalidInputError(
                f"Expected no context: {type(self).__name__} is unconditional. Received: "
                f"num_classes={self.num_classes!r}, context_dim={self.context_dim!r}. "
                "Fit one mixture a class, or use a conditional RealNVP."
            )
        self.num_components = check_int(num_components, "num_components")
        self.covariance_type = check_choice(covariance_type, COVARIANCES, "covariance_type")
        self.init = check_choice(init, STARTS, "init")
        self.reg_covar = check_number(reg_covar, "reg_covar")
        self.law = MixtureLaw(
            self.event_shape,
            num_components=self.num_components,
            covariance_type=self.covariance_type,
            dtype=self.dtype_policy,
        )
        self.built = True

    def _parameter(self, name, shape, dtype=None):
        return self.add_weight(
            shape=shape, dtype=dtype, initializer="zeros", trainable=False, name=name
        )

    # Parameters

    @property
    def weights_(self) -> np.ndarray:
        self._check_fitted("weights_")
        return np.array(self.law.mixing_weights)

    @property
    def means_(self) -> np.ndarray:
        self._check_fitted("means_")
        return np.array(self.law.means) + self._offset()

    @property
    def covariances_(self) -> np.ndarray:
        self._check_fitted("covariances_")
        return np.array(self.law.covariances)

    def _offset(self) -> np.ndarray:
        """Return what data have beyond the model's own numbers, [D]."""
        offset = 0.0 if self.data_spec.offset is None else self.data_spec.offset
        return np.broadcast_to(np.asarray(offset, np.float64), self.event_shape).ravel()

    def _set_parameters(self, weights: Any, means: Any, covariances: Any) -> None:
        """Take these parameters in place of the present ones.

        Args:
            weights: [K], of sum 1.
            means: [K, D], of the model's own numbers.
            covariances: Of the shape of `covariances_`.

        Raises:
            InvalidInputError: For parameters that are not those of a mixture.
        """
        if not self.law.assign(weights, means, covariances):
            raise InvalidInputError(
                "Expected finite parameters. Received: an overflow in the M step. "
                "Standardise the data, or increase reg_covar."
            )

    # Training

    def fit(self, x: Any, context: Any = None, **arguments: Any):
        """Run EM until convergence, or for `epochs` iterations (100 by default).

        The first `fit` runs `n_init` times, from different starts, and keeps the best; its
        history is returned. A later one goes on from the present parameters.

        Args:
            x: As in `GenerativeModel.fit`; NaN is a missing value.
            context: Not taken.
            **arguments: As in `GenerativeModel.fit`: `sample_weight`, `epochs`, `callbacks`, ...

        Returns:
            Keras's `History`.

        Raises:
            InvalidInputError: As in `GenerativeModel.fit`, for fewer rows than components, for
                a column without values, and for components that collapse.
        """
        if self.data_spec is not None:
            return super().fit(x, context, **arguments)
        weights = {name: arguments.pop(name, None) for name in ("sample_weight", "class_weight")}
        batch_size = check_batch_size(arguments.get("batch_size"), self.default_batch_size)
        # what can be read once serves all attempts
        data = self.inputs.read(x, context, batch_size, arguments.get("steps_per_epoch"), **weights)
        try:
            return self._fit_from_starts(lambda: super(NormalMixture, self).fit(data, **arguments))
        finally:
            data.close()

    def _rows_to_start_from(self, batches):
        first_row = 0
        for batch in batches:
            noise = self.row_noise(make_seed(0), first_row)
            x, _ = self.law.to_real(tf.convert_to_tensor(batch["x"]), noise)
            rows = x.numpy().reshape(len(x), -1)
            weights = batch.get("sample_weight", np.ones(len(rows)))
            first_row += len(rows)
            yield len(rows), lambda chosen, rows=rows, weights=weights: (
                rows[chosen], weights[chosen]
            )  # fmt: skip

    def _start(self, attempt):
        rows, weights = self._start_rows
        k = self.num_components
        if np.count_nonzero(weights) < k:
            raise InvalidInputError(
                f"Expected at least num_components={k} rows. "
                f"Received: {len(rows)} rows. Use fewer components."
            )
        rows = fill_missing(rows)
        shares = start_responsibilities(rows, weights, k, self.init, (self.seed or 0) + attempt)
        counts, means, scatter = moments_of_parts(rows, weights[:, None] * shares)
        covariances = self.law.covariance.from_scatter(scatter, counts, self.reg_covar)
        self._begin(counts, means, covariances)

    def _begin(self, counts, means, covariances) -> None:
        """Hook: set the parameters from parts of the rows."""
        self._update(counts, means, covariances)

    def _update(self, counts, means, covariances) -> None:
        """Hook: set the parameters from the counts [K], means and covariances of parts."""
        raise NotImplementedError

    def _maximize(self, statistics):
        counts = statistics["counts"] + 10 * np.finfo(np.float64).eps
        # the normals of the E step: what was rounded to its float type
        factor = self.law.covariance.invert(np.array(self.law.whitening, np.float64))
        means, covariances = update_normals(
            self.law.covariance,
            counts,
            statistics,
            np.array(self.law.means),
            factor,
            self.reg_covar,
        )
        self._update(counts, means, covariances)

    # In graph

    def _expected_log_weights(self) -> tf.Tensor:
        """Hook, in graph: what the E step adds to the log-densities, [K]."""
        return tf.math.log(tf.convert_to_tensor(self.law.mixing_weights))

    def _log_posterior(self, x):
        """Return the log of the posterior of the components, up to a constant a row, [n, K]."""
        return self.law.normals(self._expected_log_weights()).log_joint(self.law.rows(x))

    def statistic_shapes(self):
        k, d = self.num_components, self.event_size
        moments = self.law.covariance.moment_shape(k, d)
        return {"counts": (k,), "sums": (k, d), "moments": moments, "entropy": ()}

    def _expect(self, x, weight=None):
        rows = self.law.rows(x)
        weight = tf.ones(tf.shape(rows)[:1], rows.dtype) if weight is None else weight
        components = self.law.normals(self._expected_log_weights())
        log_prob, sums = components.expect(rows, weight[:, None])
        return log_prob[:, 0], sums

    def distribution(self, context=None):
        """Return the `tfd.MixtureSameFamily` over flattened data, [D].

        It has the parameters of the moment: one that is kept does not follow further training.
        """
        return self.law.flat_distribution(0.0 if self.data_spec is None else self._offset())

    # Outside

    def predict_proba(self, x: Any, *, batch_size: int | None = None, seed: int = 0) -> np.ndarray:
        """Return the posterior probability of each component, [n, K]."""
        data, batch_size = self._read_rows("predict_proba", x, None, batch_size)

        def posterior(x, context, first_row, seed):
            real, _ = self.law.to_real(x, self.row_noise(seed, first_row))
            return tf.nn.softmax(self._log_posterior(real))

        values = self.map_rows("predict_proba", posterior, data, batch_size, make_seed(seed))
        return np.concatenate(list(values))

    def predict(self, x: Any, *, batch_size: int | None = None, seed: int = 0) -> np.ndarray:
        """Return the likeliest component of each row, [n] of int."""
        return self.predict_proba(x, batch_size=batch_size, seed=seed).argmax(axis=1)

    def condition(self, x: Any) -> ConditionalMixture:
        """Return the exact mixture over each row's missing values given its other values.

        Args:
            x: Array [n, *event_shape] of floats, NaN where missing.

        Returns:
            `ConditionalMixture`, with `mean()`, `variance()` and `sample()`.

        Example:

        >>> x = genzoo.data.load("eight_gaussians", seed=0).x_train
        >>> model = genzoo.GaussianMixture((2,), num_components=8, seed=0)
        >>> history = model.fit(x, verbose=0)
        >>> given = model.condition([[x[0, 0], np.nan]])
        >>> given.sample(100, seed=0).shape, given.mean().shape
        ((100, 1, 2), (1, 2))
        """
        data, _ = self._read_rows("condition", x, None, None)
        k, d = self.num_components, self.event_size
        covariances = self.law.covariance.to_full(np.array(self.law.covariances), k, d)
        return ConditionalMixture(
            data.rows["x"], self.weights_, self.means_, covariances, self.sample_dtype
        )

    def impute(self, x: Any) -> np.ndarray:
        """Return `x` with each missing value at its conditional mean.

        Args:
            x: As in `condition`, whose `sample` draws the values in place.
        """
        return self.condition(x).mean()

    def export_signatures(self):
        """As in `GenerativeModel`, with `predict_proba(x)`."""

        def predict_proba(x):
            noise = self.row_noise(make_seed(0), tf.constant(0, tf.int64))
            real, _ = self.law.to_real(self.to_model(x), noise)
            return tf.nn.softmax(self._log_posterior(real))

        signatures = super().export_signatures()
        return {**signatures, "predict_proba": (predict_proba, [self._x_signature()])}
