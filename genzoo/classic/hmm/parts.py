"""What the two parts of a hidden Markov model share, the chain and the emission."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from genzoo.core import checks
from genzoo.core.errors import InvalidInputError

Arrays = dict[str, np.ndarray]
Tensors = dict[str, tf.Tensor]
Shapes = dict[str, tuple[int, ...]]

# a state with fewer expected steps keeps its parameters
UNVISITED = 1e-10


class Part:
    """Base of the parts: a set of functions on weights that the model owns.

    Its parameters are the same in its user's terms, float64 arrays by name.
    """

    # names of the parameters
    names: tuple[str, ...] = ()
    # those that are probabilities, of sum 1 along the last axis
    probabilities: tuple[str, ...] = ()

    def shapes(self) -> Shapes:
        """Return the shapes of the parameters by name."""
        raise NotImplementedError

    def weight_shapes(self) -> Shapes:
        """Return the shapes of the weights by name."""
        return self.shapes()

    def to_weights(self, parameters: Arrays) -> Arrays:
        """Return weights from parameters.

        Raises:
            InvalidInputError: For parameters without a distribution.
        """
        return parameters

    def to_parameters(self, weights: Arrays) -> Arrays:
        """Return parameters from weights."""
        return weights

    def statistic_shapes(self) -> Shapes:
        """Return the shapes of the sufficient statistics by name."""
        raise NotImplementedError

    def maximize(self, weights: Arrays, statistics: Arrays) -> Arrays:
        """Return the parameters that the statistics, taken under `weights`, make likeliest."""
        raise NotImplementedError

    def num_free(self, name: str) -> int:
        """Return how many numbers of a parameter are free."""
        *lead, last = self.shapes()[name]
        return int(np.prod(lead)) * (last - 1 if name in self.probabilities else last)

    def check(self, name: str, value: Any) -> np.ndarray:
        """Return a parameter set by hand as an array, checked.

        Raises:
            InvalidInputError: For another shape, or numbers that it cannot have.
        """
        array, shape = checks.check_numbers(value, name), self.shapes()[name]
        if array.shape != shape or not np.isfinite(array).all():
            shown = f"={value!r}" if array.shape == shape else f" of shape {array.shape}"
            raise InvalidInputError(
                f"Expected {name} of finite numbers, shape {shape}. Received: {name}{shown}"
            )
        if name in self.probabilities and (array.min() < 0 or abs(array.sum(-1) - 1).max() > 1e-4):
            raise InvalidInputError(
                f"Expected {name} of probabilities that sum to 1 along the last axis. "
                f"Received: {name}={value!r}"
            )
        self._check_values(name, array, value)
        return array

    def _check_values(self, name: str, array: np.ndarray, value: Any) -> None:
        """Hook: refuse numbers that a parameter cannot have; `value` is as the user gave it."""

    def keep_fixed(self, name: str, new: np.ndarray, old: np.ndarray, flags: Any) -> np.ndarray:
        """Return new values of a parameter, but old ones where `flags`; free probabilities share
        what is left."""
        if flags is None:
            return new
        flags = np.asarray(flags)
        flags = flags.reshape(flags.shape + (1,) * (new.ndim - flags.ndim))
        flags = np.broadcast_to(flags, new.shape)
        if name not in self.probabilities:
            return np.where(flags, old, new)
        free = np.where(flags, 0.0, new)
        left = 1.0 - np.where(flags, old, 0.0).sum(axis=-1, keepdims=True)
        total = free.sum(axis=-1, keepdims=True)
        moved = free * left / np.maximum(total, np.finfo(np.float64).tiny)
        return np.where(flags | (total <= 0), old, moved)


def proportions(counts: np.ndarray, old: np.ndarray, prior: float | np.ndarray) -> np.ndarray:
    """Return rows of probabilities from counts under a Dirichlet prior.

    What was impossible stays so; a row without any count keeps its old values.
    """
    weight = np.where(old == 0, 0.0, np.maximum(counts + prior - 1.0, 0.0))
    total = weight.sum(axis=-1, keepdims=True)
    return np.where(total > UNVISITED, weight / np.maximum(total, UNVISITED), old)


def fixed_by_name(fixed: Any) -> dict[str, Any]:
    """Return what is fixed by name: True, or flags."""
    return dict(fixed) if isinstance(fixed, Mapping) else dict.fromkeys(fixed, True)


def check_fixed(fixed: Any, shapes: Shapes) -> Any:
    """Return what is fixed in a form that Keras can save.

    Args:
        fixed: As in `HiddenMarkovModel`.
        shapes: Of all parameters.
    """
    if isinstance(fixed, str):
        fixed = [fixed]
    if not isinstance(fixed, (Mapping, list, tuple, set)):
        raise InvalidInputError(
            "Expected fixed to be names of parameters, or a dict of booleans by name. "
            f"Received: fixed={fixed!r}"
        )
    checked = {}
    for name, flags in fixed_by_name(fixed).items():
        checks.check_name(name, shapes, "parameter of fixed")
        array = np.asarray(flags)
        if array.dtype != bool or array.shape != shapes[name][: array.ndim]:
            raise InvalidInputError(
                f"Expected fixed[{name!r}] to be True or booleans of shape {shapes[name]} or of "
                f"its leading axes. Received: fixed[{name!r}]={flags!r}"
            )
        checked[name] = array.tolist()
    return checked if isinstance(fixed, Mapping) else list(fixed)
