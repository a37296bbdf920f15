"""Estimators whose further arguments are those of a model."""

from typing import Any

from sklearn.base import BaseEstimator


class ModelOptions(BaseEstimator):
    """scikit-learn's `BaseEstimator` with constructor arguments of a model, `**config`, beside.

    A subclass stores `config` in its constructor if there is any.
    """

    config: dict[str, Any] = {}  # noqa: RUF012 (replaced, never changed)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the arguments, those of the model included."""
        return {**super().get_params(deep), **self.config}

    def set_params(self, **params: Any) -> "ModelOptions":
        """Set arguments; names that are not the estimator's own go to the model."""
        own = super().get_params(deep=True)
        config = {name: value for name, value in params.items() if name not in own}
        if config:
            self.config = {**self.config, **config}
        return super().set_params(**{k: v for k, v in params.items() if k in own})
