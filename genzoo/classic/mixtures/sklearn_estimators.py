"""Mixtures from and to scikit-learn's estimators."""

from typing import Any

import numpy as np

from genzoo.core.errors import InvalidInputError, NotFittedError

# genzoo's names by scikit-learn's
_SHARED = {
    "n_components": "num_components",
    "covariance_type": "covariance_type",
    "init_params": "init",
    "n_init": "n_init",
    "reg_covar": "reg_covar",
    "tol": "tol",
}
_FITTED = ("converged_", "n_iter_", "lower_bound_")


def check_estimator(estimator: Any, kind: type) -> None:
    """Refuse what is not a fitted estimator of `kind`."""
    if not isinstance(estimator, kind):
        raise InvalidInputError(
            f"Expected a sklearn.mixture.{kind.__name__}. Received: estimator={estimator!r}"
        )
    if not hasattr(estimator, "means_"):
        raise NotFittedError(
            f"Expected a fitted {kind.__name__}. Received: estimator={estimator!r}. "
            "Call its fit(x) first."
        )


def model_arguments(estimator: Any, names: dict[str, str] | None = None) -> dict[str, Any]:
    """Return the constructor arguments of the model that an estimator stands for.

    Args:
        estimator: Of `sklearn.mixture`.
        names: Further arguments, genzoo's names by scikit-learn's.
    """
    named = {**_SHARED, **(names or {})}
    arguments = {ours: getattr(estimator, theirs) for theirs, ours in named.items()}
    seed = estimator.random_state
    arguments["seed"] = int(seed) if isinstance(seed, (int, np.integer)) else None
    return {**arguments, "dtype": estimator.means_.dtype.name}


def copy_fit(estimator: Any, model: Any) -> None:
    """Give a model the record of an estimator's fit."""
    model.converged_ = bool(estimator.converged_)
    model.n_iter_ = int(estimator.n_iter_)
    # an array of one value for tied Bayesian mixtures
    model.lower_bound_ = float(np.squeeze(estimator.lower_bound_))


def make_estimator(kind: type, model: Any, names: dict[str, str] | None = None) -> Any:
    """Return an estimator with a model's arguments, parameters and record.

    Args:
        kind: Class of `sklearn.mixture`.
        model: A fitted mixture.
        names: As in `model_arguments`.
    """
    model._check_fitted("to_sklearn")
    named = {**_SHARED, **(names or {})}
    estimator = kind(
        **{theirs: getattr(model, ours) for theirs, ours in named.items()},
        # scikit-learn takes seeds of 32 bits
        random_state=None if model.seed is None else model.seed % 2**32,
    )
    for name in ("weights_", "means_", "covariances_", *_FITTED):
        setattr(estimator, name, getattr(model, name))
    estimator.lower_bounds_ = [model.lower_bound_]
    estimator.n_features_in_ = model.event_size
    cholesky = _precision_cholesky(estimator.covariances_, model.covariance_type)
    estimator.precisions_cholesky_ = cholesky
    if model.covariance_type in ("full", "tied"):
        estimator.precisions_ = cholesky @ np.swapaxes(cholesky, -1, -2)
    else:
        estimator.precisions_ = cholesky**2
    return estimator


def _precision_cholesky(covariances: np.ndarray, covariance_type: str) -> np.ndarray:
    """Return scikit-learn's upper factors of the precisions."""
    from scipy.linalg import solve_triangular

    if covariance_type in ("diag", "spherical"):
        return 1.0 / np.sqrt(covariances)
    factors = np.linalg.cholesky(covariances)
    identity = np.eye(factors.shape[-1])
    if covariance_type == "tied":
        return solve_triangular(factors, identity, lower=True).T
    return np.stack([solve_triangular(factor, identity, lower=True).T for factor in factors])
