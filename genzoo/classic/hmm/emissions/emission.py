"""What a state of a hidden Markov model says of a step."""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import tensorflow as tf

from genzoo.classic.em import kmeans
from genzoo.classic.hmm.parts import Arrays, Part, Tensors
from genzoo.core.engine.tracing import Compiled
from genzoo.core.errors import InvalidInputError, NotFittedError


@dataclasses.dataclass(frozen=True)
class Settings:
    """What emissions need to know of their model; see `HiddenMarkovModel`."""

    num_states: int
    event_size: int
    num_components: int = 1
    covariance_type: str = "full"
    reg_covar: float = 1e-6
    prior: float = 1.0
    num_symbols: int | None = None
    num_trials: int | None = None


class Emission(Part):
    """Base of emissions: K states, N steps of D values.

    Args:
        settings: See `Settings`.
    """

    # whether data are symbols or counts, which have a mass
    counts = False
    # whether single values of a step may be missing
    parts_missing = False
    # what to do about a step that no state emits
    remedy: str
    # hmmlearn's class; its attribute and its letter in `params`, by name of the parameter
    hmmlearn_class: str | None = None
    hmmlearn_names: Mapping[str, tuple[str, str]] = MappingProxyType({})

    def __init__(self, settings: Settings):
        self.settings = settings
        self._compiled_log_prob = Compiled(self.log_prob)
        self._compiled_statistics = Compiled(self.statistics)

    @property
    def values_a_step(self) -> int:
        """Number of intermediate values that a step takes."""
        settings = self.settings
        return settings.num_states * settings.num_components * settings.event_size

    # In graph

    def prepare(self, weights: Tensors) -> Any:
        """Return what `log_prob` and `statistics` take, made of the weights once and not in the
        loops over rows that XLA makes of them."""
        return weights

    def log_prob(self, prepared: Any, x: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Return log p(x | state), [N, K].

        Args:
            prepared: What `prepare` returned.
            x: [N, D].
            mask: [N], of no meaning here, or, where values are missing, what was observed [N, D].
        """
        raise NotImplementedError

    def statistics(self, prepared: Any, x: tf.Tensor, mask: tf.Tensor, posterior) -> Tensors:
        """Return sums of sufficient statistics; `posterior` of the states is [N, K]."""
        raise NotImplementedError

    def run_log_prob(self, weights: Tensors, x, mask) -> tf.Tensor:
        """Do as `log_prob`, compiled where that can be."""
        run = self._compiled_log_prob if self.compiles(mask) else self.log_prob
        return run(self.prepare(weights), x, mask)

    def run_statistics(self, weights: Tensors, x, mask, posterior) -> Tensors:
        """Do as `statistics`, compiled where that can be."""
        run = self._compiled_statistics if self.compiles(mask) else self.statistics
        return run(self.prepare(weights), x, mask, posterior)

    def compiles(self, mask: tf.Tensor) -> bool:
        """Return whether XLA can compile the functions for such a mask."""
        return True

    def sample(self, weights: Tensors, states, seed, temperature) -> tf.Tensor:
        """Return a step for each of states [N], as real numbers [N, D]."""
        raise NotImplementedError

    # Outside

    def start(self, rows: np.ndarray, times: np.ndarray, random: np.random.Generator) -> Arrays:
        """Return parameters to start from.

        Args:
            rows: Steps of the data [n, D], float64.
            times: Where in its sequence each lies, between 0 and 1.
            random: Source of what is drawn.
        """
        raise NotImplementedError

    def mean(self, parameters: Arrays) -> np.ndarray:
        """Return the expected value of a step in each state, [K, ...]."""
        raise NotImplementedError

    def observer(self) -> Any:
        """Return what learns settings that were left to the data, or `None`.

        It has `update(x, mask)`, of a batch of sequences, and `settings()`, a dict.
        """
        return None

    @property
    def unknown(self) -> str | None:
        """The setting that `sample` and `mean` take and that is not known yet, if there is one."""
        return None

    # hmmlearn

    @classmethod
    def from_hmmlearn(cls, model: Any) -> tuple[dict[str, Any], Arrays]:
        """Return the constructor arguments and parameters of the emissions of hmmlearn's model.

        Raises:
            NotFittedError: For a model without parameters.
        """
        return {}, read_hmmlearn(model, {n: names[0] for n, names in cls.hmmlearn_names.items()})

    def to_hmmlearn(self) -> dict[str, Any]:
        """Return what hmmlearn's constructor is to know of the emission."""
        return {}

    @property
    def hmmlearn_width(self) -> int:
        """Number of features as hmmlearn counts them."""
        return self.settings.event_size


def read_hmmlearn(model: Any, attributes: dict[str, str]) -> Arrays:
    """Return attributes of a model of hmmlearn, by the names of parameters.

    Raises:
        NotFittedError: Where it lacks one.
    """
    missing = [name.lstrip("_") for name in attributes.values() if not hasattr(model, name)]
    if missing:
        raise NotFittedError(
            f"Expected a {type(model).__name__} with parameters. Received: one without "
            f"{', '.join(missing)}. Call its fit, or set them."
        )
    return {n: np.asarray(getattr(model, name), np.float64) for n, name in attributes.items()}


def single_prior(prior: Any) -> float:
    """Return the one number of a prior of hmmlearn's."""
    values = np.unique(prior)
    if len(values) != 1:
        raise InvalidInputError(
            f"Expected one prior for all symbols or components. Received: {prior!r}"
        )
    return float(values[0])


def clusters(
    rows: np.ndarray, times: np.ndarray, k: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return k-means labels and centers, in the order in which sequences come by them."""
    labels, centers = kmeans(rows, k, int(random.integers(2**31)))
    order = np.argsort(group_means(times[:, None], labels, k)[:, 0], kind="stable")
    return np.argsort(order)[labels], centers[order]


def group_means(rows: np.ndarray, labels: np.ndarray, k: int) -> np.ndarray:
    """Return the means of rows by label, [k, ...]; of all rows for a label without any."""
    counts = np.bincount(labels, minlength=k)
    sums = np.zeros((k, rows.shape[1]))
    np.add.at(sums, labels, rows)
    means = sums / np.maximum(counts, 1)[:, None]
    return np.where(counts[:, None] > 0, means, rows.mean(axis=0))
