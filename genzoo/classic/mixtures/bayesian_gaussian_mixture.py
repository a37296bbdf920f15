"""BayesianGaussianMixture: a mixture of normals with priors, by variational inference."""

from typing import Any

import numpy as np
import tensorflow as tf

from genzoo.classic.em import fill_missing
from genzoo.classic.mixtures.normal_mixture import NormalMixture
from genzoo.classic.mixtures.sklearn_estimators import (
    check_estimator,
    copy_fit,
    make_estimator,
    model_arguments,
)
from genzoo.core.checks import check_array, check_choice, check_number, check_numbers
from genzoo.core.errors import InvalidInputError
from genzoo.core.inputs.spec import DataSpec
from genzoo.core.registry import register

# the same names in scikit-learn
_PRIOR_ARGUMENTS = (
    "weight_concentration_prior_type",
    "weight_concentration_prior",
    "mean_precision_prior",
    "mean_prior",
    "degrees_of_freedom_prior",
    "covariance_prior",
)
_PRIORS = ("dirichlet_process", "dirichlet_distribution")


@register("bayesian_gaussian_mixture")
class BayesianGaussianMixture(NormalMixture):
    """A mixture of Gaussians with a Dirichlet or Dirichlet process prior, as scikit-learn's.

    It gives almost no weight to components that it does not need, so `num_components` is an upper
    bound. `fit` alternates between the responsibilities and the posteriors of the weights
    (Dirichlet, or stick-breaking betas), the means and the precisions (normal-Wishart).

    `log_prob`, `sample` and `condition` are those of the mixture at the posterior means;
    `predict_proba` and the training loss use the expectations over the posterior.

    Args:
        event_shape: Shape of one example; D values in all.
        num_components, covariance_type, init, n_init, reg_covar, tol: As in `GaussianMixture`.
        weight_concentration_prior_type: `"dirichlet_process"` or `"dirichlet_distribution"`.
        weight_concentration_prior: Above 0, small for few components; `None` for 1 / K.
        mean_precision_prior: How many rows the prior mean counts for; `None` for 1.
        mean_prior: [D]; `None` for the mean of the data.
        degrees_of_freedom_prior: Above D - 1; `None` for D.
        covariance_prior: [D, D], [D, D], [D] or a number by `covariance_type`; `None` for that of
            the data (of up to 20,000 rows, as the mean).
        **model_arguments: `levels`, `seed`, `name`, `dtype`; see `GenerativeModel`.

    NaN in `x` is a missing value, as in `GaussianMixture`.

    Attributes:
        weights_, means_, covariances_: Posterior means; for the covariances, inverses of the mean
            precisions. Shapes as in `GaussianMixture`.
        weight_concentration_: [K], or [2, K] for the process.
        mean_precision_: [K]. degrees_of_freedom_: [K], or a number for tied covariances.
        mean_prior_, covariance_prior_: The priors in use.
        converged_, n_iter_: See `EMModel`.
        lower_bound_: The evidence lower bound, nats an example, up to a constant.

    Example:

    >>> x = genzoo.data.load("eight_gaussians", seed=0).x_train
    >>> model = genzoo.BayesianGaussianMixture((2,), num_components=20, n_init=3, seed=0)
    >>> history = model.fit(x, verbose=0)
    >>> bool(model.weights_.min() < 0.01)
    True

    Reference: Blei and Jordan, Variational inference for Dirichlet process mixtures, 2006. Bishop,
    Pattern recognition and machine learning, section 10.2, 2006.
    """

    def __init__(
        self,
        event_shape: tuple[int, ...] | int,
        *,
        weight_concentration_prior_type: str = "dirichlet_process",
        weight_concentration_prior: float | None = None,
        mean_precision_prior: float | None = None,
        mean_prior: Any = None,
        degrees_of_freedom_prior: float | None = None,
        covariance_prior: Any = None,
        **mixture_arguments: Any,
    ):
        super().__init__(event_shape, **mixture_arguments)
        self.weight_concentration_prior_type = check_choice(
            weight_concentration_prior_type, _PRIORS, "weight_concentration_prior_type"
        )
        self.weight_concentration_prior = _check_above(
            weight_concentration_prior, 0.0, "weight_concentration_prior"
        )
        self.mean_precision_prior = _check_above(mean_precision_prior, 0.0, "mean_precision_prior")
        k, d = self.num_components, self.event_size
        self.degrees_of_freedom_prior = _check_above(
            degrees_of_freedom_prior, d - 1.0, "degrees_of_freedom_prior"
        )
        prior_shape = {"full": (d, d), "tied": (d, d), "diag": (d,), "spherical": ()}[
            self.covariance_type
        ]
        self.mean_prior = _check_prior(mean_prior, (d,), "mean_prior")
        self.covariance_prior = _check_prior(covariance_prior, prior_shape, "covariance_prior")
        sticks = (2, k) if self._is_process else (k,)
        freedom = () if self.covariance_type == "tied" else (k,)
        self._concentration = self._parameter("weight_concentration", sticks, "float64")
        self._precision = self._parameter("mean_precision", (k,), "float64")
        self._freedom = self._parameter("degrees_of_freedom", freedom, "float64")
        self._mean_prior = self._parameter("mean_prior", (d,), "float64")
        self._covariance_prior = self._parameter("covariance_prior", prior_shape, "float64")
        self._expected = self._parameter("expected_log_weights", (k,), "float64")

    @property
    def _is_process(self) -> bool:
        return self.weight_concentration_prior_type == "dirichlet_process"

    # Parameters

    @property
    def weight_concentration_(self) -> np.ndarray:
        return self._fitted("weight_concentration_", self._concentration)

    @property
    def mean_precision_(self) -> np.ndarray:
        return self._fitted("mean_precision_", self._precision)

    @property
    def degrees_of_freedom_(self) -> np.ndarray:
        return self._fitted("degrees_of_freedom_", self._freedom)

    @property
    def mean_prior_(self) -> np.ndarray:
        return self._fitted("mean_prior_", self._mean_prior) + self._offset()

    @property
    def covariance_prior_(self) -> np.ndarray:
        return self._fitted("covariance_prior_", self._covariance_prior)

    def _fitted(self, name, variable) -> np.ndarray:
        self._check_fitted(name)
        return np.array(variable)

    # Training

    def _start(self, attempt):
        rows, weights = self._start_rows
        self._set_priors(fill_missing(rows), weights)
        super()._start(attempt)

    def _set_priors(self, rows, weights) -> None:
        mean, covariance = self.mean_prior, self.covariance_prior
        if mean is None:
            mean = np.average(rows, axis=0, weights=weights)
        else:
            mean = np.asarray(mean) - self._offset()
        if covariance is None:
            if len(rows) < 2:
                raise InvalidInputError(
                    "Expected at least 2 rows for the prior covariance. "
                    f"Received: {len(rows)} rows. Give covariance_prior."
                )
            spread = np.atleast_2d(np.cov(rows.T, aweights=weights))
            covariance = {
                "full": spread,
                "tied": spread,
                "diag": np.diag(spread),
                "spherical": np.diag(spread).mean(),
            }[self.covariance_type]
        self._mean_prior.assign(mean)
        self._covariance_prior.assign(covariance)

    def _update(self, counts, means, covariances):
        k, d = self.num_components, self.event_size
        prior, spread = np.array(self._mean_prior), np.array(self._covariance_prior)
        own = 1.0 if self.mean_precision_prior is None else self.mean_precision_prior
        freedom = d if self.degrees_of_freedom_prior is None else self.degrees_of_freedom_prior
        precision = own + counts
        difference = means - prior
        # the share of the prior mean in the scatter of each component
        pull = counts * own / precision
        if self.covariance_type == "full":
            freedom = freedom + counts
            scatter = counts[:, None, None] * covariances
            scatter += pull[:, None, None] * difference[:, :, None] * difference[:, None, :]
            posterior = (spread + scatter) / freedom[:, None, None]
        elif self.covariance_type == "tied":
            freedom = freedom + counts.sum() / k
            scatter = covariances * counts.sum() + (pull * difference.T) @ difference
            posterior = (spread + scatter / k) / freedom
        elif self.covariance_type == "diag":
            freedom = freedom + counts
            scatter = counts[:, None] * covariances + pull[:, None] * difference**2
            posterior = (spread + scatter) / freedom[:, None]
        else:
            freedom = freedom + counts
            scatter = counts * covariances + pull * (difference**2).mean(axis=1)
            posterior = (spread + scatter) / freedom
        mean = (own * prior + counts[:, None] * means) / precision[:, None]
        self._set_posterior(self._concentrations(counts), precision, freedom, mean, posterior)

    def _concentrations(self, counts):
        prior = self.weight_concentration_prior
        prior = 1.0 / self.num_components if prior is None else prior
        if not self._is_process:
            return prior + counts
        # a stick is broken off what the components after it are left with
        after = np.append(np.cumsum(counts[::-1])[-2::-1], 0.0)
        return np.stack([1.0 + counts, prior + after])

    def _set_posterior(self, concentration, precision, freedom, means, covariances) -> None:
        from scipy.special import digamma

        d = self.event_size
        if self._is_process:
            total = concentration.sum(axis=0)
            rest = np.append(1.0, np.cumprod(concentration[1] / total)[:-1])
            weights = concentration[0] / total * rest
            log_rest = np.append(0.0, np.cumsum(digamma(concentration[1]) - digamma(total))[:-1])
            log_weights = digamma(concentration[0]) - digamma(total) + log_rest
        else:
            weights = concentration
            log_weights = digamma(concentration) - digamma(concentration.sum())
        self._set_parameters(weights / weights.sum(), means, covariances)
        self._concentration.assign(concentration)
        self._precision.assign(precision)
        self._freedom.assign(freedom)
        # the precisions are expected as Wishart variables, the means with their own variance
        log_precision = digamma(0.5 * (freedom - np.arange(d)[:, None])).sum(axis=0)
        log_precision += d * (np.log(2.0) - np.log(freedom))
        self._expected.assign(log_weights + 0.5 * (log_precision - d / precision))

    def _expected_log_weights(self):
        return tf.convert_to_tensor(self._expected)

    def maximize(self):
        super().maximize()
        return self._bound

    def _maximize(self, statistics):
        super()._maximize(statistics)
        self._bound = float((statistics["entropy"] - self._divergence()) / statistics["count"])

    def _divergence(self) -> float:
        """Return how far the posterior of the parameters is from the prior, up to a constant."""
        from scipy.special import betaln, gammaln

        d, freedom = self.event_size, np.array(self._freedom)
        log_det = self.law.covariance.log_det(self._inverse_factor(), d).numpy() - 0.5 * d * np.log(
            freedom
        )
        gammas = gammaln(0.5 * (freedom - np.arange(d)[:, None])).sum(axis=0)
        wishart = -(freedom * (log_det + 0.5 * d * np.log(2.0)) + gammas)
        copies = self.num_components if self.covariance_type == "tied" else 1
        concentration = np.array(self._concentration)
        if self._is_process:
            weights = -betaln(concentration[0], concentration[1]).sum()
        else:
            weights = gammaln(concentration.sum()) - gammaln(concentration).sum()
        precision = 0.5 * d * np.log(np.array(self._precision)).sum()
        return float(copies * np.sum(wishart) + weights + precision)

    def _inverse_factor(self) -> np.ndarray:
        return self.law.covariance.invert(
            self.law.covariance.to_factor(np.array(self.law.covariances))
        )

    # scikit-learn

    @classmethod
    def from_sklearn(cls, estimator: Any, **arguments: Any) -> "BayesianGaussianMixture":
        """Return the model that a fitted `sklearn.mixture.BayesianGaussianMixture` stands for.

        Args:
            estimator: Fitted.
            **arguments: Constructor arguments to set or change, as in
                `GaussianMixture.from_sklearn`.

        Raises:
            InvalidInputError: For anything else.
            NotFittedError: Before the estimator's `fit`.
        """
        from sklearn import mixture

        check_estimator(estimator, mixture.BayesianGaussianMixture)
        names = {name: name for name in _PRIOR_ARGUMENTS}
        found = {**model_arguments(estimator, names), **arguments}
        model = cls((estimator.means_.shape[1],), **found)
        model._set_spec(DataSpec(model.float_dtype))
        model._mean_prior.assign(estimator.mean_prior_)
        model._covariance_prior.assign(estimator.covariance_prior_)
        model._set_posterior(
            np.asarray(estimator.weight_concentration_),
            estimator.mean_precision_,
            estimator.degrees_of_freedom_,
            estimator.means_,
            estimator.covariances_,
        )
        copy_fit(estimator, model)
        return model

    def to_sklearn(self):
        """Return this mixture as a fitted `sklearn.mixture.BayesianGaussianMixture`."""
        from sklearn import mixture

        names = {name: name for name in _PRIOR_ARGUMENTS}
        estimator = make_estimator(mixture.BayesianGaussianMixture, self, names)
        concentration = self.weight_concentration_
        estimator.weight_concentration_ = (
            tuple(concentration) if self._is_process else concentration
        )
        prior = self.weight_concentration_prior
        estimator.weight_concentration_prior_ = (
            1.0 / self.num_components if prior is None else prior
        )
        own = self.mean_precision_prior
        estimator.mean_precision_prior_ = 1.0 if own is None else own
        freedom = self.degrees_of_freedom_prior
        estimator.degrees_of_freedom_prior_ = self.event_size if freedom is None else freedom
        for name in (
            "mean_precision_",
            "degrees_of_freedom_",
            "mean_prior_",
            "covariance_prior_",
        ):
            setattr(estimator, name, getattr(self, name))
        return estimator


def _check_above(value: Any, minimum: float, name: str) -> float | None:
    return None if value is None else check_number(value, name, minimum, exclusive=True)


def _check_prior(value: Any, shape: tuple[int, ...], name: str) -> Any:
    """Return a prior as nested lists, which Keras can save."""
    if value is None:
        return None
    array = check_array(check_numbers(value, name)[None], shape, name)[0]
    return array.tolist()
