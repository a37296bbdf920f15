"""DensityEnsemble: the density of a table's rows by three estimates, joined by their tails."""

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import QuantileTransformer

from genzoo.applications.models import mixture_options
from genzoo.classic import GaussianMixture
from genzoo.core import checks
from genzoo.core.maths.random import generator

_NEIGHBOR_ROWS = 20_000
_MIXTURE_ROWS = 5_000
_QUANTILES = 1_000
_TAIL = 0.1
# of the standardised data: rows that coincide have a density too
_SMALLEST_DISTANCE = 1e-3
_FARTHEST = 1e6


class DensityEnsemble(BaseEstimator):
    """Nearest neighbours on two scales and a Gaussian mixture, joined by their tails.

    Each member judges a row by how improbable its score is among scores of the training rows that
    were made without those rows (neighbours leave a row itself out; the mixture is fitted to each
    half and scores the other). The tail beyond the worst tenth is taken to be exponential, so
    that rows stranger than all of the training data are told apart. A row's score is the mean of
    the log-probabilities of its tails. Members that agree on different scales of the data keep
    each other from their worst mistakes: neighbours of standardised values see distance, those of
    normal scores see rank, and the mixture sees dependence.

    Args:
        num_neighbors: k of the distance to the k nearest rows (root mean square).
        num_components: Of the mixture, at most; fewer where rows are few for their width.
        random_state: Int that fixes what is drawn.

    Attributes:
        num_rows_: Number of training rows.
        training_rows_: Indices of those that members know: all, or where there are very many a
            random part.
        training_scores_: Score of each of these by members that did not see it.

    Example:

    >>> x = np.random.default_rng(0).normal(size=(300, 4))
    >>> ensemble = genzoo.applications.DensityEnsemble().fit(x)
    >>> scores = ensemble.score_samples(np.array([[0.0] * 4, [4.0] * 4]))
    >>> bool(scores[0] > scores[1])
    True

    Reference: Ramaswamy, Rastogi and Shim, Efficient algorithms for mining outliers from large data
    sets, 2000 (neighbours); Pickands, Statistical inference using extreme order statistics, 1975
    (tails).
    """

    def __init__(
        self, num_neighbors: int = 5, num_components: int = 10, random_state: int | None = 0
    ):
        self.num_neighbors = num_neighbors
        self.num_components = num_components
        self.random_state = random_state

    def fit(self, x: Any, y: Any = None) -> "DensityEnsemble":
        """Fit the members.

        Args:
            x: Standardised real vectors [n, D], n at least 2.
            y: Ignored.
        """
        checks.check_int(self.num_neighbors, "num_neighbors")
        checks.check_int(self.num_components, "num_components")
        x = np.asarray(x, np.float64)
        random = generator(self.random_state)
        self.num_rows_, self.training_rows_ = len(x), np.arange(len(x))
        if len(x) > _NEIGHBOR_ROWS:
            self.training_rows_ = random.permutation(len(x))[:_NEIGHBOR_ROWS]
            x = x[self.training_rows_]
        self.quantiles_ = QuantileTransformer(
            n_quantiles=min(_QUANTILES, len(x)), output_distribution="normal", subsample=None
        ).fit(x)
        members = (
            (_Neighbors(self.num_neighbors), x),
            (_Neighbors(self.num_neighbors), self.quantiles_.transform(x)),
            (_Mixture(self.num_components, random), x),
        )
        self.members_ = [member for member, _ in members]
        self.tails_, tails = [], []
        for member, rows in members:
            own = member.fit(rows)
            self.tails_.append(_Tail(own[np.isfinite(own)]))
            tails.append(np.where(np.isnan(own), np.nan, self.tails_[-1](own)))
        self.training_scores_ = np.nanmean(tails, axis=0)
        return self

    def score_samples(self, x: Any) -> np.ndarray:
        """Return the mean log-probability of the tails, [n]; lower is stranger.

        Args:
            x: Real vectors [n, D], on the scale of those of `fit`.
        """
        x = np.asarray(x, np.float64)
        views = (x, self.quantiles_.transform(x), x)
        scores = [
            tail(member.score(view))
            for member, tail, view in zip(self.members_, self.tails_, views, strict=True)
        ]
        return np.mean(scores, axis=0)


class _Tail:
    """The log-probability that a score is as low or lower: empirical, then exponential."""

    def __init__(self, scores: np.ndarray):
        self.scores = np.sort(scores)
        self.start = np.quantile(scores, _TAIL)
        excess = self.start - self.scores[self.scores <= self.start]
        self.scale = max(float(excess.mean()), 1e-9)

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        rank = np.searchsorted(self.scores, scores, side="right") / (len(self.scores) + 1)
        body = np.log(np.maximum(rank, _TAIL))
        return np.where(
            scores < self.start, np.log(_TAIL) - (self.start - scores) / self.scale, body
        )


class _Neighbors:
    """The log-density, up to constants and the dimension, by the distance to k neighbours."""

    def __init__(self, num_neighbors: int):
        self.num_neighbors = num_neighbors

    def fit(self, x: np.ndarray) -> np.ndarray:
        """Return the scores of the rows, each left out, [n]."""
        self.smallest = _SMALLEST_DISTANCE * np.sqrt(x.shape[1])
        self.index = NearestNeighbors(n_neighbors=min(self.num_neighbors, len(x) - 1)).fit(x)
        return self._score(self.index.kneighbors()[0])

    def score(self, x: np.ndarray) -> np.ndarray:
        return self._score(self.index.kneighbors(x)[0])

    def _score(self, distance: np.ndarray) -> np.ndarray:
        return -np.log(np.sqrt(np.mean(distance**2, axis=1)) + self.smallest)


class _Mixture:
    """A Gaussian mixture with as many full covariances as the rows can bear."""

    def __init__(self, num_components: int, random: np.random.Generator):
        self.num_components, self.random = num_components, random

    def _build(self, num_rows: int, width: int) -> GaussianMixture:
        options = mixture_options(num_rows, width, self.num_components)
        return GaussianMixture((width,), seed=int(self.random.integers(2**31)), **options)

    def fit(self, x: np.ndarray) -> np.ndarray:
        """Return the scores of the rows by a mixture of the other half, [n]; NaN where unused."""
        scores, order = np.full(len(x), np.nan), self.random.permutation(len(x))[:_MIXTURE_ROWS]
        half = self._build(len(order) // 2, x.shape[1])
        parts = order[: len(order) // 2], order[len(order) // 2 :]
        for seen, scored in (parts, parts[::-1]):
            _expectation_maximization(half, x[seen])
            scores[scored] = half.log_prob(x[scored])
        self.model = self._build(len(order), x.shape[1])
        _expectation_maximization(self.model, x[order])
        return scores

    def score(self, x: np.ndarray) -> np.ndarray:
        # the squares of what lies farther would overflow
        return self.model.log_prob(np.clip(x, -_FARTHEST, _FARTHEST)).astype(np.float64)


def _expectation_maximization(model: GaussianMixture, x: np.ndarray) -> None:
    # one start for each data set: the model may have learned another before
    model.adapt(x)
    model.fit(x, epochs=20, verbose=0)
