"""Estimators whose further arguments are those of a model."""

import os
from pathlib import Path
from typing import Any, TypeVar

from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from genzoo.applications import saving
from genzoo.core.errors import OutputExistsError
from genzoo.core.files import replaced_folder

_Estimator = TypeVar("_Estimator", bound="ModelOptions")


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

    def save(self, folder: str | os.PathLike, *, overwrite: bool = False) -> None:
        """Write the fitted estimator as a folder, whole or not at all, which `load` reads.

        It holds JSON, arrays and `.keras` files, and no pickle: reading one runs no code of its
        own.

        Args:
            folder: To write.
            overwrite: Whether to replace a folder that exists.

        Raises:
            OutputExistsError: For a folder that exists.
            InvalidInputError: For an estimator with parts of other packages.
        """
        check_is_fitted(self)
        folder = Path(folder).absolute()
        if folder.exists() and not overwrite:
            raise OutputExistsError(
                f"Expected a new folder. Received: {folder}, which exists. Choose another, or pass "
                "overwrite=True."
            )
        with replaced_folder(folder) as partial:
            saving.write(self, partial)

    @classmethod
    def load(cls: type[_Estimator], folder: str | os.PathLike) -> _Estimator:
        """Return the estimator that `save` wrote.

        Raises:
            DataError: For a folder that holds none of this class, or is damaged.
        """
        return saving.read(Path(folder), cls)
