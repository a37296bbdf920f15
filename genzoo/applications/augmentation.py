"""Augmenter: more rows of each class, drawn from generative models."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.neighbors import NearestNeighbors
from sklearn.utils.validation import check_is_fitted

from genzoo.applications.column_kinds import (
    append,
    as_array,
    columns_of,
    is_dict,
    is_frame,
    is_missing,
    num_rows,
    read,
    to_array,
)
from genzoo.applications.models import check_examples, make_model, mixture_options, train
from genzoo.applications.options import ModelOptions
from genzoo.applications.table_preprocessor import Scaling, TablePreprocessor
from genzoo.core import checks
from genzoo.core.errors import InvalidInputError
from genzoo.core.maths.random import generator
from genzoo.core.model import GenerativeModel
from genzoo.core.registry import traits_of

_MIXTURE = "gaussian_mixture"
_STRATEGIES = ("auto", "not majority", "minority", "not minority", "all")
_TRIES = 30
# samples for each that is wanted
_SPARE = 4


class Augmenter(ModelOptions):
    """Adds rows drawn from generative models, by imbalanced-learn's `fit_resample`.

    A sample is kept if it is plausible, not among the least likely of what its model draws, and
    novel, not as near to a training row of its class as copies are. New rows of tables hold what
    rows of their class can: its categories, numbers between those seen (whole where all were
    whole, and one of them where they were few). Augmentation helps where the model knows something
    that the classifier does not, and can do harm: compare on held-out rows.

    Args:
        model: A registered name, or an unfitted genzoo model.
        sampling_strategy: As in imbalanced-learn, how many rows each class has in the end:
            `"auto"` or `"not majority"` (all others as many as the largest has), `"minority"` (the
            smallest alone), `"not minority"`, `"all"`; a dict of numbers by class; a float, the
            ratio of the smaller to the larger of two classes; or a function of y that returns a
            dict. Beside these an int: the number for every class.
        per_class: Whether each class has a model of its own; else one model learns all classes
            with `num_classes`. `"auto"`: models of their own where the model cannot be
            conditional, such as mixtures, or is given without `num_classes`.
        likelihood_quantile: Share of the samples, the least likely, that is dropped. Of a model
            without a likelihood, the farthest from their nearest training row.
        novelty: A sample nearer to a training row of its class than this share of the median
            distance between training rows and their nearest neighbours is a copy and dropped.
        noise: Standard deviation of normal noise on the training rows of tables, in standardised
            units.
        epochs, batch_size: As in `fit` of the model.
        random_state: Int that fixes weights and draws.
        **config: Constructor arguments of a model given by name.

    Attributes:
        sampling_strategy_: Number of rows to add, by class.
        models_: The fitted models by class, or one under `None`.
        report_: By class: samples drawn, dropped as implausible, dropped as copies, kept.

    Example:

    >>> x = np.random.default_rng(0).normal(size=(120, 2))
    >>> y = np.repeat(["common", "rare"], [100, 20])
    >>> augmenter = genzoo.applications.Augmenter(num_components=1)
    >>> x_more, y_more = augmenter.fit_resample(x, y)
    >>> x_more.shape, int((y_more == "rare").sum())
    ((200, 2), 100)

    Reference: Lemaitre, Nogueira and Aridas, Imbalanced-learn, 2017; Antoniou, Storkey and
    Edwards, Data augmentation generative adversarial networks, 2017.
    """

    def __init__(
        self,
        model: str | GenerativeModel = _MIXTURE,
        *,
        sampling_strategy: str | float | int | dict | Callable = "auto",
        per_class: bool | str = "auto",
        likelihood_quantile: float = 0.1,
        novelty: float = 0.25,
        noise: float = 0.05,
        epochs: int | None = None,
        batch_size: int | None = None,
        random_state: int | None = 0,
        **config: Any,
    ):
        self.model = model
        self.sampling_strategy = sampling_strategy
        self.per_class = per_class
        self.likelihood_quantile = likelihood_quantile
        self.novelty = novelty
        self.noise = noise
        self.epochs = epochs
        self.batch_size = batch_size
        self.random_state = random_state
        if config:
            self.config = config

    def fit(self, X: Any, y: Any) -> "Augmenter":
        """Check the data and find how many rows each class lacks.

        Args:
            X: Rows: a table [n, D] or examples [n, *event_shape].
            y: Labels, as in `fit_resample`.
        """
        self._check(X, y)
        return self

    def fit_resample(self, X: Any, y: Any) -> tuple[Any, Any]:
        """Train, draw, filter, and return the rows with the new ones after them.

        Args:
            X: Rows: a table [n, D] of numbers, dates, text and missing values (an array, a list of
                rows, a frame of pandas or Polars, or a dict of columns by name); or examples
                [n, *event_shape].
            y: Labels [n] of any kind, in an array, list, series or frame of one column; or one-hot
                [n, K].

        Returns:
            X and y with samples after the given rows, in the kinds of X and y.

        Raises:
            InvalidInputError: For labels or a strategy that do not fit, or a class of one row.
        """
        rows, labels = self._check(X, y)
        wanted = {c: n for c, n in self.sampling_strategy_.items() if n}
        self.models_, self.report_ = {}, {}
        z = self._scale(rows, labels)
        self._train(z, labels, wanted)
        new = [self._draw(z[labels == c], c, n) for c, n in wanted.items()]
        names = self.classes_.tolist()
        for attribute in ("sampling_strategy_", "report_"):
            values = getattr(self, attribute)
            setattr(self, attribute, {names[c]: value for c, value in values.items()})
        first = [np.full(n, np.flatnonzero(labels == c)[0]) for c, n in wanted.items()]
        y = _take(y, np.concatenate([np.arange(len(labels)), *first]).astype(int))
        return (self._append(X, np.concatenate(new)) if new else X), y

    def _append(self, X: Any, rows: np.ndarray) -> Any:
        """Return X with new rows after its own; those of a table as floats."""
        if not self._is_table:
            data = np.asarray(X)
            return np.concatenate([data, rows.astype(data.dtype)])
        columns = self.preprocessor_.decode(rows)
        if is_frame(X):
            return append(X, columns)
        table = to_array(self.preprocessor_.columns_, columns)
        if isinstance(X, (list, tuple)):
            return [*X, *table.tolist()]
        kind = X.dtype if X.dtype.kind in "biufMmO" else object
        return np.concatenate([X.astype(kind), table.astype(kind)])

    # Doors

    def _check(self, X: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return rows, those of a table as floats, and the classes' numbers [n]."""
        check_examples(self.model, "row", "image")
        checks.check_choice(self.per_class, ("auto", True, False), "per_class")
        checks.check_number(self.novelty, "novelty")
        if checks.check_number(self.likelihood_quantile, "likelihood_quantile") >= 1.0:
            raise InvalidInputError(
                "Expected likelihood_quantile below 1. "
                f"Received: likelihood_quantile={self.likelihood_quantile!r}"
            )
        y = _one_label_each(y)
        if len(y) != num_rows(X):
            raise InvalidInputError(
                f"Expected a label for each of {num_rows(X)} rows. Received: y of shape {y.shape}"
            )
        self.classes_, labels = _classes(y)
        self.sampling_strategy_ = self._missing_rows(np.bincount(labels), y)
        self._is_table = is_frame(X) or np.ndim(X) == 2
        self.preprocessor_ = None
        if self._is_table:
            self.preprocessor_ = TablePreprocessor(random_state=self.random_state)
            columns = read(self.preprocessor_, X, reset=True)
            self.preprocessor_.fit_columns(
                columns, getattr(self.preprocessor_, "feature_names_in_", None)
            )
            return self.preprocessor_.encode(columns), labels
        X = np.asarray(X)
        return checks.check_array(X, X.shape[1:], "X"), labels

    def _scale(self, rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Return the rows of tables as real vectors, each class on scales of its own."""
        if not self._is_table:
            return rows
        table, self.scalings_ = self.preprocessor_, []
        uniform = generator(self.random_state).random(rows.shape)
        z = np.zeros(rows.shape)
        for c in range(len(self.classes_)):
            mine = labels == c
            self.scalings_.append(Scaling(table.numeric, table.categorical_).fit(rows[mine]))
            z[mine] = self.scalings_[c].transform(rows[mine], uniform[mine])[0]
        return z

    def _missing_rows(self, counts: np.ndarray, y: np.ndarray) -> dict[int, int]:
        """Return how many rows each class, by its number, is to get."""
        strategy, largest = self.sampling_strategy, int(counts.max())
        if callable(strategy):
            strategy = strategy(y)
        if isinstance(strategy, dict):
            return {self._class_number(c): self._surplus(n, counts, c) for c, n in strategy.items()}
        if isinstance(strategy, str):
            checks.check_choice(strategy, _STRATEGIES, "sampling_strategy")
            chosen = np.ones(len(counts), bool)
            if strategy in ("auto", "not majority"):
                chosen[counts.argmax()] = False
            elif strategy == "minority":
                chosen = np.arange(len(counts)) == counts.argmin()
            elif strategy == "not minority":
                chosen[counts.argmin()] = False
            return {c: largest - int(counts[c]) for c in np.flatnonzero(chosen).tolist()}
        if isinstance(strategy, (int, np.integer)) and not isinstance(strategy, bool):
            names = self.classes_.tolist()
            return {i: self._surplus(strategy, counts, c) for i, c in enumerate(names)}
        ratio = checks.check_number(strategy, "sampling_strategy", exclusive=True)
        few = int(counts.argmin())
        if len(counts) != 2 or ratio > 1 or int(ratio * largest) < counts[few]:
            raise InvalidInputError(
                "Expected a ratio, at most 1 and above the present one, for two classes alone. "
                f"Received: sampling_strategy={strategy!r} for counts {counts.tolist()}"
            )
        return {few: int(ratio * largest) - int(counts[few])}

    def _class_number(self, name: Any) -> int:
        found = np.flatnonzero(self.classes_ == name)
        if not len(found):
            raise InvalidInputError(
                f"Expected classes of y in sampling_strategy: {self.classes_.tolist()}. "
                f"Received: {name!r}"
            )
        return int(found[0])

    def _surplus(self, total: Any, counts: np.ndarray, name: Any) -> int:
        present = int(counts[self._class_number(name)])
        total = checks.check_int(total, "sampling_strategy", minimum=0)
        if total < present:
            raise InvalidInputError(
                f"Expected at least the {present} rows that class {name!r} has. "
                f"Received: sampling_strategy={total}. Augmentation takes no rows away."
            )
        return total - present

    # Learning

    @property
    def _is_mixture(self) -> bool:
        return isinstance(self.model, str) and self.model == _MIXTURE

    def _has_own_models(self) -> bool:
        if self.per_class != "auto":
            return self.per_class
        if isinstance(self.model, GenerativeModel):
            return not self.model.context_size
        return traits_of(self.model).context == "no"

    def _train(self, rows, labels, wanted) -> None:
        for c in wanted:
            if (labels == c).sum() < 2:
                raise InvalidInputError(
                    "Expected at least 2 rows of each class to add to. Received: one of class "
                    f"{self.classes_[c]!r}"
                )
        settings = {
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "noise": self.noise if self._is_table else 0.0,
            "seed": self.random_state,
        }
        shape = rows.shape[1:]
        if not self._has_own_models():
            config = self.config
            if isinstance(self.model, str):
                config = {"num_classes": max(len(self.classes_), 2), **config}
            model = make_model(self.model, shape, config, self.random_state)
            self.models_[None] = train(model, rows, labels, **settings)
            return
        for c in wanted:
            mine = rows[labels == c]
            config = self.config
            if self._is_mixture:
                config = {**mixture_options(len(mine), int(np.prod(shape))), **config}
            model = make_model(self.model, shape, config, self.random_state)
            self.models_[c] = train(model, mine, **settings)

    def _draw(self, mine: np.ndarray, c: int, wanted: int) -> np.ndarray:
        """Return `wanted` filtered samples of a class; of tables, rows as floats."""
        model = self.models_.get(c) or self.models_[None]
        context = c if model.context_size else None
        novelty = _Novelty(mine, self.novelty)
        kept, spare = [], []
        report = {"drawn": 0, "implausible": 0, "copies": 0, "kept": 0}
        for i in range(_TRIES):
            left = wanted - report["kept"]
            if left <= 0:
                break
            # enough for a quantile to mean something, and to do without what cannot be
            n = max(int(_SPARE * left / (1.0 - self.likelihood_quantile)) + 1, 50)
            seed = 1_000_003 * (self.random_state or 0) + 7919 * c + i
            samples = model.sample(n, context=context, seed=seed)
            apart = novelty.distance(samples)
            if model.traits.has_density:
                rows = None if context is None else np.full(n, c)
                score = model.log_prob(samples, context=rows)
            else:
                score = -apart
            plausible = score >= np.quantile(score, self.likelihood_quantile)
            novel = apart > novelty.threshold
            good = samples[plausible & novel]
            good = good[self._nearest_to_support(good, c)][:left]
            kept.append(good)
            spare.append(samples[novel & ~plausible])
            report["drawn"] += n
            report["implausible"] += int((~plausible).sum())
            report["copies"] += int((plausible & ~novel).sum())
            report["kept"] += len(good)
        short = wanted - report["kept"]
        if short > 0:
            warnings.warn(
                f"Class {self.classes_.tolist()[c]!r}: {short} of {wanted} samples are copies or "
                "implausible: the model draws too few others. Train it on more rows, or with "
                "fewer weights.",
                stacklevel=3,
            )
            rest = np.concatenate([*spare, model.sample(wanted, context=context, seed=c)])
            kept.append(rest[:short])
        self.report_[c] = report
        samples = np.concatenate(kept)
        if not self._is_table:
            return samples
        return self.scalings_[c].within_support(self.scalings_[c].inverse(samples))

    def _nearest_to_support(self, samples: np.ndarray, c: int) -> np.ndarray:
        """Return the order of samples, first those that can be of class c as they are."""
        if not self._is_table:
            return np.arange(len(samples))
        scaling = self.scalings_[c]
        distance = scaling.distance_to_support(scaling.inverse(samples))
        return np.argsort(distance, kind="stable")

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "sampling_strategy_")

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the columns, which stay as they are."""
        check_is_fitted(self)
        return self.preprocessor_.get_feature_names_out(input_features)


class _Novelty:
    """The distance of samples to the nearest training row, and what is too near.

    Args:
        rows: Training rows of a class.
        share: Of the median distance from a row to its nearest neighbour.
    """

    def __init__(self, rows: np.ndarray, share: float):
        flat = rows.reshape(len(rows), -1).astype(np.float64)
        self.center, self.scale = flat.mean(axis=0), flat.std(axis=0)
        self.scale[self.scale == 0] = 1.0
        self.index = NearestNeighbors(n_neighbors=1).fit((flat - self.center) / self.scale)
        self.threshold = share * float(np.median(self.index.kneighbors()[0]))

    def distance(self, rows: np.ndarray) -> np.ndarray:
        flat = rows.reshape(len(rows), -1).astype(np.float64)
        return self.index.kneighbors((flat - self.center) / self.scale)[0][:, 0]


def _one_label_each(y: Any) -> np.ndarray:
    """Return labels [n] of an array, a series, or a frame of one column or one-hot."""
    if is_frame(y):
        columns = [as_array(column) for column in columns_of(y)]
        y = columns[0] if len(columns) == 1 else np.stack(columns, axis=1)
    y = np.asarray(y) if isinstance(y, (list, tuple)) else as_array(y)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim == 2 and np.isin(y, [0, 1]).all() and (y.sum(axis=1) == 1).all():
        y = y.argmax(axis=1)
    if y.ndim != 1 or (y.dtype.kind != "U" and is_missing(y).any()):
        raise InvalidInputError(
            "Expected a label for each row, or one-hot labels. Received: y of shape "
            f"{y.shape}{' with missing labels' if y.ndim == 1 else ''}"
        )
    return y


def _classes(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the classes in order, and the number of each label [n]."""
    try:
        return np.unique(y, return_inverse=True)
    except TypeError:
        names = sorted(set(y.tolist()), key=str)
    number = {name: i for i, name in enumerate(names)}
    return np.fromiter(names, object), np.array([number[name] for name in y.tolist()])


def _take(y: Any, index: np.ndarray) -> Any:
    """Return labels by their place, in the kind of y."""
    if isinstance(y, (list, tuple)):
        return [y[i] for i in index]
    if is_dict(y):
        return {name: _take(column, index) for name, column in y.items()}
    return y.iloc[index].reset_index(drop=True) if hasattr(y, "iloc") else y[index]
