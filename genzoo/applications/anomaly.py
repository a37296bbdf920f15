"""AnomalyDetector: any model of the zoo behind scikit-learn's outlier interface."""

from typing import Any

import numpy as np
from scipy.special import logsumexp
from sklearn.base import OutlierMixin, clone
from sklearn.utils.validation import check_is_fitted

from genzoo.applications.column_kinds import is_frame, num_rows, read
from genzoo.applications.ensemble import DensityEnsemble
from genzoo.applications.models import make_model, train
from genzoo.applications.options import ModelOptions
from genzoo.applications.scores import SCORES, default_score
from genzoo.applications.table_preprocessor import TablePreprocessor
from genzoo.core import checks
from genzoo.core.errors import InvalidInputError
from genzoo.core.maths.random import generator
from genzoo.core.model import GenerativeModel
from genzoo.core.registry import traits_of

_DEFAULT = "default"
_DRAWS = 8
_REFERENCE = 16


class AnomalyDetector(OutlierMixin, ModelOptions):
    """Tells rows unlike those of `fit`, by a generative model of these.

    The default model is `DensityEnsemble`, for tables: it has no settings to tune. Any other is a
    registered name or a genzoo model; a model that is already fitted is used as it is, and `fit`
    only learns the threshold. Tables [n, D] pass through a `TablePreprocessor`, whose Jacobian
    enters the score; images and other shapes go to the model as they are. To a model of sequences
    each element of a list, or of an array [n, T] or [n, T, D], is a sequence.

    The threshold and the p-values rest on rows that the model has not seen: the default scores
    each training row by members that left it out; for other models `fit` holds out
    `calibration_size` of the rows. So `predict` flags a share `contamination` of new rows like
    those of `fit`, and fewer of the training rows themselves.

    Args:
        model: `"default"`, a registered name such as `"realnvp"`, or a genzoo model.
        score: `"log_likelihood"`; `"typicality"`: minus the distance of the log-likelihood from
            its mean over the held-out rows, so that rows that are too likely are strange too
            (Nalisnick et al. 2019); `"reconstruction"`, minus the squared error of a VAE;
            `"inversion"`, minus the distance from what a GAN can make, or `"discriminator"`, its
            output; `"auto"`: the log-likelihood where there is one, else the inversion.
            Sequences are scored by nats a step.
        contamination: Share of rows like the training rows to be flagged, at most 0.5.
        preprocessing: `"auto"`: a `TablePreprocessor` for tables; one of your own; `None`.
        calibration_size: Share of the rows held out, unless the model is the default.
        noise: Standard deviation of normal noise on the training rows of tables, in units of the
            preprocessed columns: it keeps densities finite on constant and integer columns.
        epochs, batch_size: As in `fit` of the model; `epochs=None` stops by rows held out.
        random_state: Int that fixes weights, noise and the rows held out.
        **config: Constructor arguments of a model given by name; of `DensityEnsemble` for the
            default.

    Attributes:
        model_: The fitted model.
        preprocessor_: The fitted `TablePreprocessor`, or `None`.
        calibration_scores_: Scores of rows that the model has not seen, ascending.
        offset_: `decision_function` is `score_samples` minus this. It follows `contamination`,
            also after `fit`.
        n_features_in_, feature_names_in_: As in scikit-learn, for tables.

    Example:

    >>> x = genzoo.data.toy("moons", 500, seed=0)
    >>> detector = genzoo.applications.AnomalyDetector(contamination=0.05).fit(x)
    >>> detector.predict(np.array([[0.0, 1.0], [3.0, 3.0]])).tolist()
    [1, -1]

    Reference: Nalisnick et al., Detecting out-of-distribution inputs to deep generative models
    using typicality, 2019; Bates et al., Testing for outliers with conformal p-values, 2023.
    """

    def __init__(
        self,
        model: str | GenerativeModel = _DEFAULT,
        *,
        score: str = "auto",
        contamination: float = 0.05,
        preprocessing: Any = "auto",
        calibration_size: float = 0.2,
        noise: float = 0.05,
        epochs: int | None = None,
        batch_size: int | None = None,
        random_state: int | None = 0,
        **config: Any,
    ):
        self.model = model
        self.score = score
        self.contamination = contamination
        self.preprocessing = preprocessing
        self.calibration_size = calibration_size
        self.noise = noise
        self.epochs = epochs
        self.batch_size = batch_size
        self.random_state = random_state
        if config:
            self.config = config

    # Learning

    def fit(self, X: Any, y: Any = None) -> "AnomalyDetector":
        """Learn what is usual.

        Args:
            X: Rows: a table [n, D] of numbers, dates, text and missing values (an array, a list of
                rows, a frame of pandas or Polars, or a dict of columns by name); an array
                [n, *event_shape]; or sequences, as a list or an array.
            y: Ignored.

        Raises:
            InvalidInputError: For data or arguments that do not fit the model.
        """
        self._check_arguments()
        self._adopt(X)
        X = self._read(X, reset=True)
        if self._is_default:
            self._fit_default(X)
        else:
            self._fit_model(X)
        self.calibration_scores_ = np.sort(self.calibration_scores_)
        self.reference_ = [] if isinstance(X, list) else self._reference(X)
        return self

    @property
    def offset_(self) -> float:
        """The score below which a share `contamination` of usual rows lies."""
        check_is_fitted(self, "calibration_scores_")
        self._check_contamination()
        return float(np.quantile(self.calibration_scores_, self.contamination))

    @property
    def _is_default(self) -> bool:
        return isinstance(self.model, str) and self.model == _DEFAULT

    def _check_arguments(self) -> None:
        checks.check_choice(self.score, ("auto", *SCORES), "score")
        self._check_contamination()
        checks.check_share(self.calibration_size, "calibration_size")
        checks.check_number(self.noise, "noise")
        if self._is_default and self.score != "auto":
            raise InvalidInputError(
                "Expected score='auto' with the default model, which has a score of its own. "
                f"Received: score={self.score!r}. Name a model, such as 'gaussian_mixture'."
            )

    def _check_contamination(self) -> None:
        if not 0.0 < checks.check_number(self.contamination, "contamination") <= 0.5:
            raise InvalidInputError(
                "Expected contamination above 0 and at most 0.5. "
                f"Received: contamination={self.contamination!r}"
            )

    def _adopt(self, X: Any) -> None:
        """Decide what comes between the rows and the model."""
        self._is_sequential = False
        if not self._is_default:
            self._is_sequential = "sequence" in traits_of(self.model).examples
        self._is_table = not self._is_sequential and (is_frame(X) or _rank(X) <= 2)
        fitted = isinstance(self.model, GenerativeModel) and self.model.data_spec is not None
        preprocessing = self.preprocessing
        if isinstance(preprocessing, str):
            checks.check_choice(preprocessing, ("auto",), "preprocessing")
            preprocessing = None
            if self._is_table and not fitted:
                preprocessing = TablePreprocessor(random_state=self.random_state)
        elif preprocessing is not None and not isinstance(preprocessing, TablePreprocessor):
            raise InvalidInputError(
                "Expected preprocessing of 'auto', None or a TablePreprocessor. "
                f"Received: preprocessing={preprocessing!r}. Put other transformers before the "
                "detector, in a pipeline."
            )
        self.preprocessor_ = None if preprocessing is None else clone(preprocessing)
        # the same door, for models that see the rows as they are
        plain = TablePreprocessor(categorical_features=None)
        self._table = plain if preprocessing is None else self.preprocessor_
        if self._is_default and not self._is_table:
            raise InvalidInputError(
                f"Expected a table [n, D] with the default model. Received: X of shape "
                f"{np.shape(X)}. Name a model, such as 'realnvp' or 'vae_cnn' for images or "
                "'hidden_markov_model' for sequences, or flatten the rows."
            )

    def _read(self, X: Any, reset: bool) -> Any:
        """Return rows as floats, by the kinds of their columns in tables; or sequences."""
        if self._is_sequential:
            return [checks.check_numeric(sequence, f"X[{i}]") for i, sequence in enumerate(X)]
        if not self._is_table:
            return checks.check_array(X, np.shape(X)[1:] if reset else self._event_shape, "X")
        columns = read(self, X, reset)
        if reset and len(columns[0]) < 2:
            raise InvalidInputError(
                f"Expected at least 2 rows. Received: n_samples={len(columns[0])}"
            )
        if reset:
            self._table.fit_columns(columns, getattr(self, "feature_names_in_", None))
        return self._table.encode(columns)

    def _fit_default(self, X: np.ndarray) -> None:
        self.model_ = DensityEnsemble(**{"random_state": self.random_state, **self.config})
        table = self.preprocessor_
        self.model_.fit(X if table is None else table.scaling_.transform(X, _MIDDLE)[0])
        self.calibration_scores_ = self.model_.training_scores_

    def _fit_model(self, X: Any) -> None:
        n = len(X)
        held_out = int(np.ceil(n * self.calibration_size))
        fitted = isinstance(self.model, GenerativeModel) and self.model.data_spec is not None
        if fitted:
            held_out = n
        elif held_out >= n:
            raise InvalidInputError(
                f"Expected rows to train on beside calibration_size={self.calibration_size}. "
                f"Received: {n} rows"
            )
        order = generator(self.random_state).permutation(n)
        calibration, training = _take(X, order[:held_out]), _take(X, order[held_out:])
        if self.preprocessor_ is not None:
            self.preprocessor_.fit_rows(calibration if fitted else training)
        if fitted:
            self.model_ = self.model
        else:
            rows = training
            if self.preprocessor_ is not None:
                rows = self.preprocessor_.transform_rows(training)
            shape = np.shape(rows[0])[1:] if isinstance(rows, list) else rows.shape[1:]
            self.model_ = make_model(self.model, shape, self.config, self.random_state)
            if self.model_.context_size:
                raise InvalidInputError(
                    "Expected an unconditional model. Received: a "
                    f"{type(self.model_).__name__} with a context. Fit a detector a class."
                )
            train(
                self.model_,
                rows,
                epochs=self.epochs,
                batch_size=self.batch_size,
                noise=self.noise if self._is_table else 0.0,
                seed=self.random_state,
            )
        self._event_shape = self.model_.event_shape
        self.score_ = default_score(self.model_) if self.score == "auto" else self.score
        raw = self._raw_scores(calibration)
        self.typical_ = float(raw.mean())
        self.calibration_scores_ = self._judge(raw)

    # Judging

    def score_samples(self, X: Any) -> np.ndarray:
        """Return the score of each row, [n]; lower is stranger.

        Args:
            X: As in `fit`.
        """
        check_is_fitted(self, "calibration_scores_")
        return self._score(self._read(X, reset=False))

    def _score(self, X: Any) -> np.ndarray:
        if self._is_default:
            table = self.preprocessor_
            return self.model_.score_samples(
                X if table is None else table.scaling_.transform(X, _MIDDLE)[0]
            )
        return self._judge(self._raw_scores(X))

    def _judge(self, raw: np.ndarray) -> np.ndarray:
        return -np.abs(raw - self.typical_) if self.score_ == "typicality" else raw

    def _raw_scores(self, X: Any) -> np.ndarray:
        score, table = SCORES[self.score_], self.preprocessor_
        if table is None:
            return score(self.model_, X)
        is_density = self.score_ in ("log_likelihood", "typicality")
        draws = []
        random = generator(self.random_state)
        for _ in range(_DRAWS if table.scaling_.is_random(X) else 1):
            z, log_det = table.scaling_.transform(X, random.random(X.shape[1]))
            value = score(self.model_, z)
            draws.append(value + log_det if is_density else value)
        if is_density:
            return logsumexp(draws, axis=0) - np.log(len(draws))
        return np.mean(draws, axis=0)

    def decision_function(self, X: Any) -> np.ndarray:
        """Return the score above the threshold, [n]; negative for anomalies."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """Return 1 for usual rows and -1 for anomalies, [n]."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def fit_predict(self, X: Any, y: Any = None) -> np.ndarray:
        """Fit and return 1 or -1 for each training row.

        The default model judges each row by members that left it out.
        """
        return np.where(self.fit(X, y).training_scores(X) < self.offset_, -1, 1)

    def training_scores(self, X: Any) -> np.ndarray:
        """Return the scores of the rows that `fit` saw, in order, [n]: out of sample, if it can.

        Args:
            X: The array of `fit`.
        """
        check_is_fitted(self, "calibration_scores_")
        if not self._is_default or self.model_.num_rows_ != num_rows(X):
            return self.score_samples(X)
        rows, scores = self.model_.training_rows_, self.model_.training_scores_
        if len(rows) == self.model_.num_rows_:
            return scores.copy()
        # rows that the members do not know are judged as new ones are
        all_scores = self.score_samples(X)
        all_scores[rows] = scores
        return all_scores

    def p_values(self, X: Any) -> np.ndarray:
        """Return the share of unseen usual rows that score as low as each row, on (0, 1], [n].

        Conformal: of usual rows no more than a share p (in expectation over calibration sets) have
        a value of p or less. Exact where `fit` holds rows out; the default model's, whose members
        leave rows out by turns, hold nearly.

        Args:
            X: As in `fit`.
        """
        scores, calibration = self.score_samples(X), self.calibration_scores_
        return (1 + np.searchsorted(calibration, scores, side="right")) / (len(calibration) + 1)

    def explain(self, X: Any) -> np.ndarray:
        """Return how far each column, alone, makes its row strange, [n, *event_shape].

        The gain in score if the column took the value of 16 (evenly ranked, or the most frequent
        categories, of the training rows) that suits the row best, and 0 if none does better.

        Args:
            X: As in `fit`; not for sequences.
        """
        check_is_fitted(self, "calibration_scores_")
        X = self._read(X, reset=False)
        if isinstance(X, list):
            raise InvalidInputError("Expected rows of equal shape in explain(). Received: a list")
        base = self._score(X)
        flat = X.reshape(len(X), -1)
        gains = np.zeros(flat.shape)
        for j, values in enumerate(self.reference_):
            changed = np.repeat(flat, len(values), axis=0)
            changed[:, j] = np.tile(values, len(flat))
            scores = self._score(changed.reshape(-1, *X.shape[1:]))
            gains[:, j] = scores.reshape(len(flat), -1).max(axis=1) - base
        return np.maximum(gains, 0.0).reshape(X.shape)

    def _reference(self, X: np.ndarray) -> list[np.ndarray]:
        """Return values of each column: evenly ranked ones, or the most frequent categories."""
        shares = (np.arange(_REFERENCE) + 0.5) / _REFERENCE
        columns = []
        for j, column in enumerate(X.reshape(len(X), -1).T):
            if self._is_table and self._table.categorical_[j]:
                columns.append(np.arange(min(_REFERENCE, len(self._table.categories_[j]))) + 0.0)
            else:
                present = column[~np.isnan(column)]
                columns.append(np.quantile(present, shares, method="nearest"))
        return columns

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


# the middle of each category's stretch: distances then mean something
_MIDDLE = np.array(0.5)


def _rank(X: Any) -> int:
    try:
        return np.asarray(X).ndim
    except ValueError:
        raise InvalidInputError(
            "Expected rows of one shape. Received: X, a list of arrays of different shapes. "
            "Sequences need a model of sequences, such as 'hidden_markov_model'."
        ) from None


def _take(X: Any, rows: np.ndarray) -> Any:
    return [X[i] for i in rows] if isinstance(X, list) else X[rows]
