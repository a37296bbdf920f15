"""Imputer: missing values drawn from a generative model."""

from typing import Any

import numpy as np
from sklearn.base import OneToOneFeatureMixin, TransformerMixin, clone
from sklearn.utils._set_output import _get_output_config
from sklearn.utils.validation import check_is_fitted

from genzoo.applications.column_kinds import as_array, like_frame, read, to_array
from genzoo.applications.conditional_draws import METHODS, allows, default_method
from genzoo.applications.models import check_examples, make_model, mixture_options, train
from genzoo.applications.options import ModelOptions
from genzoo.applications.table_preprocessor import TablePreprocessor
from genzoo.core import checks
from genzoo.core.errors import InvalidInputError
from genzoo.core.model import GenerativeModel

_MEAN_OF = 20
# types of arrays that hold the values of a kind of columns themselves
_OWN_TYPES = {"number": "f", "integer": "f", "date": "M", "duration": "m"}
_MIXTURE = "gaussian_mixture"


class Imputer(OneToOneFeatureMixin, TransformerMixin, ModelOptions):
    """Fills in missing values of a table by a generative model's conditional distribution.

    The model learns from incomplete rows: one that takes NaN does so itself; for others `fit`
    starts from the means and then, by turns, draws the missing values and trains on (Monte Carlo
    EM). Values should be missing at random: whether one is missing may depend on what was seen of
    its row, but not on the value.

    Args:
        model: A registered name, or an unfitted genzoo model of as many values as columns.
        multiple: Number of completed tables to return, each a draw; `None` for one table with the
            conditional means (categories: the most frequent draw), which has the least error but
            too little variance.
        method: `"exact"`, for models with `condition` (mixtures); `"pseudo_gibbs"`, for VAEs;
            `"mcmc"` (Hamiltonian Monte Carlo) or `"optimize"` (the values of greatest density), for
            models with a `distribution`; `"auto"`: the first that the model allows.
        num_rounds: Rounds of training, where a model does not take NaN.
        preprocessing: A `TablePreprocessor`; `None` for the default one.
        noise: Standard deviation of normal noise on the training rows, in standardised units.
        epochs: Of each round; `None` stops by rows held out.
        batch_size: As in `fit` of the model.
        random_state: Int that fixes weights and draws.
        **config: Constructor arguments of a model given by name.

    Attributes:
        model_: The fitted model, of preprocessed columns.
        preprocessor_: The fitted `TablePreprocessor`.
        method_: What `transform` draws by.

    Example:

    >>> random = np.random.default_rng(0)
    >>> x = random.normal(size=(500, 1)) * [1.0, 2.0] + 0.1 * random.normal(size=(500, 2))
    >>> holes = x.copy()
    >>> holes[:100, 1] = np.nan
    >>> filled = genzoo.applications.Imputer(num_components=1).fit_transform(holes)
    >>> bool(np.abs(filled - x).max() < 1)
    True

    Reference: Rubin, Multiple imputation for nonresponse in surveys, 1987; Wei and Tanner, A Monte
    Carlo implementation of the EM algorithm, 1990.
    """

    def __init__(
        self,
        model: str | GenerativeModel = _MIXTURE,
        *,
        multiple: int | None = None,
        method: str = "auto",
        num_rounds: int = 4,
        preprocessing: TablePreprocessor | None = None,
        noise: float = 0.05,
        epochs: int | None = None,
        batch_size: int | None = None,
        random_state: int | None = 0,
        **config: Any,
    ):
        self.model = model
        self.multiple = multiple
        self.method = method
        self.num_rounds = num_rounds
        self.preprocessing = preprocessing
        self.noise = noise
        self.epochs = epochs
        self.batch_size = batch_size
        self.random_state = random_state
        if config:
            self.config = config

    def fit(self, X: Any, y: Any = None) -> "Imputer":
        """Learn from incomplete rows.

        Args:
            X: Table [n, D] of numbers, dates, text, and NaN or `None` where missing: an array, a
                list of rows, a frame of pandas or Polars, or a dict of columns by name.
            y: Ignored.

        Raises:
            InvalidInputError: For columns without any value, a model without a likelihood, or a
                method that the model does not allow.
        """
        checks.check_choice(self.method, ("auto", *METHODS), "method")
        check_examples(self.model, "row")
        rounds = checks.check_int(self.num_rounds, "num_rounds")
        if self.multiple is not None:
            checks.check_int(self.multiple, "multiple")
        table = self.preprocessing
        if table is None:
            table = TablePreprocessor(random_state=self.random_state)
        elif not isinstance(table, TablePreprocessor):
            raise InvalidInputError(
                "Expected preprocessing of None or a TablePreprocessor. "
                f"Received: preprocessing={table!r}"
            )
        else:
            table = clone(table)
        columns = read(self, X, reset=True)
        table.fit_columns(columns, getattr(self, "feature_names_in_", None))
        self.preprocessor_ = table
        rows = table.encode(columns)
        missing, z = np.isnan(rows), self._prepare(rows)
        if len(z) < 2:
            raise InvalidInputError(f"Expected at least 2 rows. Received: n_samples={len(z)}")
        self.model_ = make_model(self.model, z.shape[1:], self._options(z), self.random_state)
        self.method_ = self._choose_method()
        settings = {"epochs": self.epochs, "batch_size": self.batch_size, "noise": self.noise}
        settings["seed"] = self.random_state
        if self.model_.traits.missing_values:
            train(self.model_, z, **{**settings, "noise": 0.0})
            return self
        filled = np.where(missing, 0.0, z)
        for i in range(rounds if missing.any() else 1):
            if i:
                filled = self._draw(z, filled, 1, i)[0]
            train(self.model_, filled, **settings)
        return self

    def _options(self, z: np.ndarray) -> dict[str, Any]:
        if isinstance(self.model, str) and self.model == _MIXTURE:
            return {**mixture_options(*z.shape), **self.config}
        return self.config

    def _choose_method(self) -> str:
        best = default_method(self.model_)
        if self.method == "auto":
            return best
        if not allows(self.model_, self.method):
            raise InvalidInputError(
                f"Expected a method that {type(self.model_).__name__} allows. "
                f"Received: method={self.method!r}. Use method={best!r}."
            )
        return self.method

    def _prepare(self, rows: np.ndarray) -> np.ndarray:
        """Return real vectors [n, D] of rows as floats, NaN where missing."""
        return np.where(np.isnan(rows), np.nan, self.preprocessor_.transform_rows(rows))

    def _draw(self, z, start, num_draws, salt) -> np.ndarray:
        """Return [num_draws, n, D], drawn for the rows that miss something."""
        holed = np.isnan(z).any(axis=1)
        draws = np.repeat(np.where(np.isnan(z), 0.0, z)[None], num_draws, axis=0)
        if holed.any():
            seed = 1_000_003 * (self.random_state or 0) + 7919 * salt
            draw = METHODS[self.method_]
            draws[:, holed] = draw(self.model_, z[holed], start[holed], num_draws, seed)
        return draws

    def transform(self, X: Any) -> Any:
        """Fill in missing values; what was seen stays as it is.

        A value is of the kind of its column and between those that `fit` saw: a whole number where
        all were whole, and one of them where they were few.

        Args:
            X: Table [n, D].

        Returns:
            [n, D], or [multiple, n, D]: floats, or integers where all columns are, or objects, each
            value of its column's kind. After `set_output` a frame, its columns of the types of
            X's if X is one.
        """
        check_is_fitted(self, "model_")
        columns = read(self, X, reset=False)
        rows = self.preprocessor_.encode(columns)
        missing, z = np.isnan(rows), self._prepare(rows)
        scaling = self.preprocessor_.scaling_
        draws = self._draw(z, np.where(missing, 0.0, z), self.multiple or _MEAN_OF, salt=0)
        tables = np.stack([scaling.inverse(draw) for draw in draws])
        if self.multiple is None:
            tables = _average(tables, missing, self.preprocessor_.categorical_)[None]
        filled = [self._fill(columns, missing, scaling.within_support(table)) for table in tables]
        container = _get_output_config("transform", self)["dense"]
        if self.multiple is None and type(X).__module__.split(".")[0] == container:
            return like_frame(X, filled[0], getattr(X, "index", None))
        arrays = [to_array(self.preprocessor_.columns_, values) for values in filled]
        return arrays[0] if self.multiple is None else np.stack(arrays)

    def _fill(self, columns: list[Any], missing: np.ndarray, rows: np.ndarray) -> list[np.ndarray]:
        """Return the columns of a table with what they miss from rows as floats [n, D]."""
        values = []
        for j, (column, part) in enumerate(zip(self.preprocessor_.columns_, columns, strict=True)):
            given, holes = as_array(part), missing[:, j]
            if holes.any():
                made = column.decode(rows[holes, j])
                # a column that misses all of its text is one of NaN
                same = given.dtype.kind in _OWN_TYPES.get(column.kind, "")
                given = given.copy() if same else given.astype(object)
                given[holes] = np.array(made, given.dtype)
            values.append(given)
        return values

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        return tags


def _average(tables: np.ndarray, missing: np.ndarray, categorical: np.ndarray) -> np.ndarray:
    """Return the mean of draws [m, n, D], and of categories the most frequent, [n, D]."""
    average = tables.mean(axis=0)
    for i, j in np.argwhere(missing & categorical):
        codes, counts = np.unique(tables[:, i, j], return_counts=True)
        average[i, j] = codes[counts.argmax()]
    return average
