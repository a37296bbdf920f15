"""Augmenter: more rows of each class, drawn from generative models."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.neighbors import NearestNeighbors
from sklearn.utils.validation import check_is_fitted

from genzoo.applications.options import ModelOptions
from genzoo.applications.tables import TablePreprocessor
from genzoo.applications.training import make_model, mixture_options, train
from genzoo.core import checks
from genzoo.core.errors import InvalidInputError
from genzoo.core.model import GenerativeModel

_MIXTURE = "gaussian_mixture"
_STRATEGIES = ("auto", "not majority", "minority", "not minority", "all")
_TRIES = 30


class Augmenter(ModelOptions):
    """Adds rows drawn from generative models, by imbalanced-learn's `fit_resample`.

    A sample is kept if it is plausible, not among the least likely of what its model draws, and
    novel, not as near to a training row of its class as copies are. Augmentation helps where the
    model knows something that the classifier does not, and can do harm: compare on held-out rows.

    Args:
        model: A registered name, or an unfitted genzoo model.
        sampling_strategy: As in imbalanced-learn, how many rows each class has in the end:
            `"auto"` or `"not majority"` (all others as many as the largest has), `"minority"` (the
            smallest alone), `"not minority"`, `"all"`; a dict of numbers by class; a float, the
            ratio of the smaller to the larger of two classes; or a function of y that returns a
            dict. Beside these an int: the number for every class.
        per_class: Whether each class has a model of its own; else one model learns all classes
            with `num_classes`. `"auto"`: models of their own for mixtures, and for a model given
            without `num_classes`.
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
            y: Labels [n], of any kind.
        """
        self._check(X, y)
        return self

    def fit_resample(self, X: Any, y: Any) -> tuple[Any, np.ndarray]:
        """Train, draw, filter, and return the rows with the new ones after them.

        Args:
            X: Rows: a table [n, D] of numbers, text and missing values, an array or a data frame;
                or examples [n, *event_shape].
            y: Labels [n], of any kind.

        Returns:
            X and y with samples after the given rows, in the kind of X.

        Raises:
            InvalidInputError: For labels or a strategy that do not fit, or a class of one row.
        """
        rows, labels = self._check(X, y)
        wanted = {c: n for c, n in self.sampling_strategy_.items() if n}
        self.models_, self.report_ = {}, {}
        self._train(rows, labels, wanted)
        new = [self._draw(rows[labels == c], c, n) for c, n in wanted.items()]
        new_labels = [np.full(n, self.classes_[c]) for c, n in wanted.items()]
        names = {c: self.classes_[c].item() for c in range(len(self.classes_))}
        for attribute in ("sampling_strategy_", "report_"):
            values = getattr(self, attribute)
            setattr(self, attribute, {names[c]: value for c, value in values.items()})
        y_all = np.concatenate([np.asarray(y), *new_labels])
        if not new:
            return X, y_all
        data = np.asarray(X)
        kind = data.dtype if data.dtype.kind in "biufO" else object
        if hasattr(X, "columns"):
            drawn = np.concatenate(new).astype(object)
            for j, dtype in enumerate(X.dtypes):
                drawn[:, j] = _in_kind(drawn[:, j], dtype)
            added = type(X)(drawn, columns=X.columns).astype(dict(X.dtypes))
            table = type(X)(np.concatenate([data, added.to_numpy()]), columns=X.columns)
            return table.astype(dict(X.dtypes)), y_all
        added = [_in_kind(part, np.dtype(kind)).astype(kind) for part in new]
        return np.concatenate([data.astype(kind), *added]), y_all

    # Doors

    def _check(self, X: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        checks.check_choice(self.per_class, ("auto", True, False), "per_class")
        checks.check_number(self.novelty, "novelty")
        if checks.check_number(self.likelihood_quantile, "likelihood_quantile") >= 1.0:
            raise InvalidInputError(
                "Expected likelihood_quantile below 1. "
                f"Received: likelihood_quantile={self.likelihood_quantile!r}"
            )
        y = np.asarray(y)
        if y.ndim != 1 or len(y) != len(X):
            raise InvalidInputError(
                f"Expected a label for each of {len(X)} rows. Received: y of shape {y.shape}"
            )
        self.classes_, labels = np.unique(y, return_inverse=True)
        self.sampling_strategy_ = self._missing_rows(np.bincount(labels), y)
        self._is_table = np.asarray(X).ndim == 2
        self.preprocessor_ = None
        if self._is_table:
            self.preprocessor_ = TablePreprocessor(random_state=self.random_state).fit(X)
            return self.preprocessor_.transform(X), labels
        X = np.asarray(X)
        return checks.check_array(X, X.shape[1:], "X"), labels

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
        return self._is_mixture

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
        """Return `wanted` filtered samples of a class, in the kind of the data."""
        model = self.models_.get(c) or self.models_[None]
        context = c if model.context_size else None
        novelty = _Novelty(mine, self.novelty)
        kept, spare = [], []
        report = {"drawn": 0, "implausible": 0, "copies": 0, "kept": 0}
        for i in range(_TRIES):
            left = wanted - report["kept"]
            if left <= 0:
                break
            # enough for a quantile to mean something
            n = max(int(1.2 * left / (1.0 - self.likelihood_quantile)) + 1, 50)
            seed = 1_000_003 * (self.random_state or 0) + 7919 * c + i
            samples = model.sample(n, context=context, seed=seed)
            apart = novelty.distance(samples)
            if model.likelihood.kind == "none":
                score = -apart
            else:
                rows = None if context is None else np.full(n, c)
                score = model.log_prob(samples, context=rows)
            plausible = score >= np.quantile(score, self.likelihood_quantile)
            novel = apart > novelty.threshold
            good = samples[plausible & novel][:left]
            kept.append(good)
            spare.append(samples[novel & ~plausible])
            report["drawn"] += n
            report["implausible"] += int((~plausible).sum())
            report["copies"] += int((plausible & ~novel).sum())
            report["kept"] += len(good)
        short = wanted - report["kept"]
        if short > 0:
            warnings.warn(
                f"Class {self.classes_[c].item()!r}: {short} of {wanted} samples are copies or "
                "implausible: the model draws too few others. Train it on more rows, or with "
                "fewer weights.",
                stacklevel=3,
            )
            rest = np.concatenate([*spare, model.sample(wanted, context=context, seed=c)])
            kept.append(rest[:short])
        self.report_[c] = report
        samples = np.concatenate(kept)
        if self.preprocessor_ is not None:
            return self.preprocessor_.inverse_transform(samples)
        return samples

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


def _in_kind(values: np.ndarray, dtype: Any) -> np.ndarray:
    """Return samples as values of a dtype, NumPy's or pandas's: whole numbers, or true from 1/2."""
    kind = getattr(dtype, "kind", "O")
    if kind == "b":
        return values.astype(np.float64) >= 0.5
    if kind in "iu":
        limits = np.iinfo(getattr(dtype, "numpy_dtype", dtype))
        return np.clip(np.round(values.astype(np.float64)), limits.min, limits.max).astype(
            limits.dtype
        )
    return values
