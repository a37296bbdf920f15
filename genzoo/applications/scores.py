"""How a model judges a row: scores by name, higher for what is more usual."""

from collections.abc import Callable
from typing import Any

import numpy as np

from genzoo.core.errors import InvalidInputError
from genzoo.core.model import GenerativeModel
from genzoo.core.traits import Discriminates, Inverts, Reconstructs

Score = Callable[[GenerativeModel, Any], np.ndarray]


def log_likelihood(model: GenerativeModel, x: Any) -> np.ndarray:
    """Return log p(x) in nats, [n]; of a list of sequences, nats a step."""
    log_prob = np.asarray(model.log_prob(x), np.float64)
    if isinstance(x, list):
        return log_prob / np.array([len(sequence) for sequence in x])
    return log_prob


def reconstruction(model: GenerativeModel, x: Any) -> np.ndarray:
    """Return the mean squared error of the model's reconstruction, negated, [n]."""
    _check_is(model, Reconstructs, "a VAE or a GAN")
    error = np.asarray(model.reconstruct(x), np.float64) - np.asarray(x, np.float64)
    return -np.mean(np.square(error.reshape(len(error), -1)), axis=1)


def inversion(model: GenerativeModel, x: Any) -> np.ndarray:
    """Return how near to x the generator can come, [n] (Schlegl et al. 2017)."""
    _check_is(model, Inverts, "a GAN")
    return -np.asarray(model.anomaly_score(x), np.float64)


def discriminator(model: GenerativeModel, x: Any) -> np.ndarray:
    """Return the discriminator's output, [n]; higher for what it takes for data."""
    _check_is(model, Discriminates, "a GAN")
    return np.asarray(model.discriminate(x), np.float64)


SCORES: dict[str, Score] = {
    "log_likelihood": log_likelihood,
    # its distance from what is typical of the training data: see AnomalyDetector
    "typicality": log_likelihood,
    "reconstruction": reconstruction,
    "inversion": inversion,
    "discriminator": discriminator,
}


def default_score(model: GenerativeModel) -> str:
    """Return the name of the score that fits a model."""
    return "log_likelihood" if model.traits.has_density else "inversion"


def _check_is(model: GenerativeModel, protocol: type, kind: str) -> None:
    if not isinstance(model, protocol):
        raise InvalidInputError(
            f"Expected {kind} for this score. Received: a {type(model).__name__}. "
            "Use score='log_likelihood' or 'typicality'."
        )
