"""MarkovChain: where hidden states start, and how they follow each other."""

from typing import Any

import numpy as np

from genzoo.classic.hmm.parts import Part, proportions
from genzoo.core import checks
from genzoo.core.errors import InvalidInputError

TOPOLOGIES = ("ergodic", "left_right", "banded")


class MarkovChain(Part):
    """A chain of K states: probabilities `startprob` [K] and `transmat` [K, K], from row to column.

    Args:
        num_states, topology, band_width, startprob_prior, transmat_prior, sticky: As in
            `HiddenMarkovModel`, checked.
    """

    names = probabilities = ("startprob", "transmat")

    def __init__(
        self,
        num_states: int,
        topology: str,
        band_width: int,
        startprob_prior: Any,
        transmat_prior: Any,
        sticky: float,
    ):
        self.num_states, self.topology, self.band_width = num_states, topology, band_width
        self.startprob_prior = np.asarray(startprob_prior)
        self.transmat_prior = np.asarray(transmat_prior) + sticky * np.eye(num_states)

    def shapes(self):
        return {"startprob": (self.num_states,), "transmat": (self.num_states, self.num_states)}

    def transitions_allowed(self) -> np.ndarray:
        """Return which transitions the topology has, [K, K]."""
        ahead = np.arange(self.num_states) - np.arange(self.num_states)[:, None]
        if self.topology == "ergodic":
            return np.ones_like(ahead, bool)
        low = 0 if self.topology == "left_right" else -self.band_width
        return (low <= ahead) & (ahead <= self.band_width)

    def num_free(self, name):
        if name == "transmat":
            return int(self.transitions_allowed().sum()) - self.num_states
        return super().num_free(name)

    def _check_values(self, name, array, value):
        if name == "transmat" and array[~self.transitions_allowed()].any():
            raise InvalidInputError(
                f"Expected transmat of zeros where topology={self.topology!r} allows no "
                f"transition. Received: transmat={value!r}"
            )

    def start(self, attempt: int, random: np.random.Generator) -> dict[str, np.ndarray]:
        """Return parameters to start from: a first guess of runs of states, uneven from the second
        attempt on.

        Args:
            attempt: Number of the start.
            random: Source of what is drawn.
        """
        k, allowed = self.num_states, self.transitions_allowed()
        start = np.eye(k)[0] if self.topology == "left_right" else np.full(k, 1.0 / k)
        spread = allowed * random.gamma(2.0, size=(k, k)) if attempt else 1.0 * allowed
        transmat = 0.5 * np.eye(k) + 0.5 * spread / spread.sum(axis=1, keepdims=True)
        return {"startprob": start, "transmat": transmat}

    def statistic_shapes(self):
        """Return the shapes of the expected first states and transitions."""
        return {"start": (self.num_states,), "transitions": (self.num_states, self.num_states)}

    def maximize(self, weights, statistics):
        return {
            "startprob": proportions(
                statistics["start"], weights["startprob"], self.startprob_prior
            ),
            "transmat": proportions(
                statistics["transitions"], weights["transmat"], self.transmat_prior
            ),
        }


def check_prior(value: Any, shape: tuple[int, ...], name: str) -> Any:
    """Return the parameter of a Dirichlet prior, one or an array that broadcasts to `shape`."""
    array = checks.check_numbers(value, name)
    try:
        np.broadcast_to(array, shape)
    except ValueError:
        array = np.asarray(np.nan)
    if not np.isfinite(array).all() or (array <= 0).any():
        raise InvalidInputError(
            f"Expected {name} of numbers above 0, one or an array of shape {shape}. "
            f"Received: {name}={value!r}"
        )
    return array.tolist()
