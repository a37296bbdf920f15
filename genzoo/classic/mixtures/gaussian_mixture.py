"""GaussianMixture: a mixture of normals, by EM."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from genzoo.classic.em import information_criteria
from genzoo.classic.mixtures.component_search import ComponentSearch, search_components
from genzoo.classic.mixtures.normal_mixture import NormalMixture
from genzoo.classic.mixtures.sklearn_estimators import (
    check_estimator,
    copy_fit,
    make_estimator,
    model_arguments,
)
from genzoo.core.checks import check_choice, check_number, check_numbers
from genzoo.core.errors import InvalidInputError
from genzoo.core.inputs.spec import DataSpec
from genzoo.core.registry import register

_PARAMETERS = ("weights", "means", "covariances")


@register("gaussian_mixture")
class GaussianMixture(NormalMixture):
    """A mixture of Gaussians with scikit-learn's parametrisation.

    Args:
        event_shape: Shape of one example; D values in all.
        num_components: Number of components K.
        covariance_type: `"full"`, `"tied"`, `"diag"` or `"spherical"`.
        init: Where EM begins: `"kmeans"`, `"k-means++"`, `"random_from_data"` or `"random"`, over
            up to 20,000 rows (scikit-learn's `init_params`).
        n_init: Starts of the first `fit`, of which the one of the best likelihood is kept.
        reg_covar: Added to the diagonal of the covariances, in squared units of the data.
        tol: `fit` stops when the mean log-likelihood changes by less, in nats an example.
        step_exponent: `None` for full EM, an update an epoch. A number a above 0.5 and up to 1
            for stepwise EM: update t = 0, 1, ... follows each batch, with step size (t + 2)^-a.
        weights_init, means_init, covariances_init: Start from these (shapes as of the
            attributes) in place of what `init` gives.
        **model_arguments: `levels`, `seed`, `name`, `dtype`; see `GenerativeModel`.

    NaN in `x` is a missing value. It is marginalised, exactly, in `fit`, `log_prob` and
    `predict_proba`; see `condition` and `impute`. Values should be missing at random: whether a
    value is missing may depend on what was seen of its row, but not on the value.

    Attributes:
        weights_: [K]. means_: [K, D].
        covariances_: [K, D, D], [D, D], [K, D] or [K] by `covariance_type`.
        converged_, n_iter_, lower_bound_, num_updates_: Of the best start; see `EMModel`.

    Example:

    >>> x = genzoo.data.load("eight_gaussians", seed=0).x_train
    >>> model = genzoo.GaussianMixture((2,), num_components=8, seed=0)
    >>> history = model.fit(x, verbose=0)
    >>> model.means_.shape, model.converged_
    ((8, 2), True)

    Reference: Bishop, Pattern recognition and machine learning, section 9.2, 2006. Cappé and
    Moulines, On-line expectation-maximization algorithm for latent data models, 2009. Liang and
    Klein, Online EM for unsupervised models, 2009 (step sizes).
    """

    def __init__(
        self,
        event_shape: tuple[int, ...] | int,
        *,
        step_exponent: float | None = None,
        weights_init: Any = None,
        means_init: Any = None,
        covariances_init: Any = None,
        **mixture_arguments: Any,
    ):
        super().__init__(event_shape, **mixture_arguments)
        self.step_exponent = _check_exponent(step_exponent)
        if self.step_exponent is not None:
            self.shuffles, self.default_steps_per_execution = True, 1
        k, d = self.num_components, self.event_size
        factor_shape = self.law.covariance.factor_shape(k, d)
        self.weights_init = _check_start(weights_init, (k,), "weights_init")
        self.means_init = _check_start(means_init, (k, d), "means_init")
        self.covariances_init = _check_start(covariances_init, factor_shape, "covariances_init")

    # Training

    def _given(self) -> dict[str, Any]:
        """Return the start values of the constructor, `None` where there are none."""
        given = {name: getattr(self, f"{name}_init") for name in _PARAMETERS}
        if given["means"] is not None:
            given["means"] = np.asarray(given["means"]) - self._offset()
        return given

    def _start(self, attempt):
        given = self._given()
        if any(value is None for value in given.values()):
            super()._start(attempt)
        else:
            self._set_parameters(**given)

    def _begin(self, counts, means, covariances):
        start = {"weights": counts / counts.sum(), "means": means, "covariances": covariances}
        given = {name: value for name, value in self._given().items() if value is not None}
        self._set_parameters(**{**start, **given})

    def _update(self, counts, means, covariances):
        self._set_parameters(counts / counts.sum(), means, covariances)

    def _present_statistics(self):
        whitening, weights = (
            np.array(self.law.whitening, np.float64),
            np.array(self.law.mixing_weights),
        )
        own = self.law.covariance.own_moments(whitening, weights, self.reg_covar, self.event_size)
        return {"counts": weights, "sums": 0.0, "moments": own}

    # scikit-learn

    @classmethod
    def from_sklearn(cls, estimator: Any, **arguments: Any) -> "GaussianMixture":
        """Return the model that a fitted `sklearn.mixture.GaussianMixture` stands for.

        Args:
            estimator: Fitted.
            **arguments: Constructor arguments to set or change; `dtype` is that of the means,
                `seed` the `random_state` where it is an int.

        Raises:
            InvalidInputError: For anything else.
            NotFittedError: Before the estimator's `fit`.

        Example:

        >>> from sklearn.mixture import GaussianMixture
        >>> x = genzoo.data.load("eight_gaussians", seed=0).x_train
        >>> model = genzoo.GaussianMixture.from_sklearn(GaussianMixture(8).fit(x))
        >>> bool((model.to_sklearn().means_ == model.means_).all())
        True
        """
        from sklearn import mixture

        check_estimator(estimator, mixture.GaussianMixture)
        found = {**model_arguments(estimator), **arguments}
        model = cls((estimator.means_.shape[1],), **found)
        model._set_spec(DataSpec(model.float_dtype))
        model._set_parameters(estimator.weights_, estimator.means_, estimator.covariances_)
        copy_fit(estimator, model)
        return model

    def to_sklearn(self):
        """Return this mixture as a fitted `sklearn.mixture.GaussianMixture`, of flattened rows."""
        from sklearn import mixture

        return make_estimator(mixture.GaussianMixture, self)

    # Choosing the number of components

    def bic(self, x: Any, **arguments: Any) -> float:
        """Return the Bayesian information criterion on `x`; lower is better.

        Args:
            x: Rows, complete or not.
            **arguments: As in `log_prob`.
        """
        return self.criteria(x, **arguments)["bic"]

    def aic(self, x: Any, **arguments: Any) -> float:
        """Return Akaike's information criterion on `x`; lower is better.

        Args:
            x: Rows, complete or not.
            **arguments: As in `log_prob`.
        """
        return self.criteria(x, **arguments)["aic"]

    def criteria(self, x: Any, **arguments: Any) -> dict[str, float]:
        """Return `bic`, `aic` and `score` on `x` from one pass.

        Args:
            x: Rows, complete or not.
            **arguments: As in `log_prob`.
        """
        log_prob = self.log_prob(x, **arguments)
        total, count = float(log_prob.sum(dtype=np.float64)), len(log_prob)
        criteria = information_criteria(total, self._num_parameters(), count)
        return {**criteria, "score": total / count}

    @classmethod
    def search(
        cls,
        x: Any,
        num_components: Iterable[int] = range(1, 11),
        *,
        criterion: str = "bic",
        verbose: int = 1,
        fit_arguments: dict[str, Any] | None = None,
        **model_arguments: Any,
    ) -> ComponentSearch:
        """Fit a mixture for each number of components and report which suits `x` best.

        Args:
            x: Array [n, *event_shape].
            num_components: Candidates.
            criterion: `"bic"` or `"aic"`.
            verbose: 0 for no progress bar.
            fit_arguments: Of `fit`, such as `{"epochs": 50}`.
            **model_arguments: Of the constructor, such as `covariance_type` and `n_init`.

        Returns:
            `ComponentSearch`: `table`, and `model`, the best; printed, it is a table.

        Raises:
            InvalidInputError: If no candidate can be fitted to `x`.

        Example:

        >>> x = genzoo.data.load("eight_gaussians", seed=0).x_train[:1000]
        >>> found = genzoo.GaussianMixture.search(
        ...     x, [4, 8, 12], verbose=0, n_init=3, covariance_type="spherical", seed=0
        ... )
        >>> found.model.num_components
        8
        """
        check_choice(criterion, ("bic", "aic"), "criterion")
        event_shape = np.shape(x)[1:]
        return search_components(
            lambda k: cls(event_shape, num_components=k, **model_arguments),
            x,
            num_components,
            criterion,
            verbose,
            fit_arguments or {},
        )

    def _num_parameters(self) -> int:
        k, d = self.num_components, self.event_size
        return k - 1 + k * d + self.law.covariance.num_parameters(k, d)


def _check_exponent(value: Any) -> float | None:
    if value is None:
        return None
    if not 0.5 < check_number(value, "step_exponent") <= 1:
        raise InvalidInputError(
            "Expected step_exponent above 0.5 and at most 1, so that stepwise EM converges, or "
            f"None for full EM. Received: step_exponent={value!r}"
        )
    return float(value)


def _check_start(value: Any, shape: tuple[int, ...], name: str) -> Any:
    """Return a start value as nested lists, which Keras can save."""
    if value is None:
        return None
    array = check_numbers(value, name)
    if array.shape != shape or not np.isfinite(array).all():
        raise InvalidInputError(
            f"Expected {name} of finite numbers, shape {shape}. Received: {name} of shape "
            f"{array.shape}"
        )
    return array.tolist()
