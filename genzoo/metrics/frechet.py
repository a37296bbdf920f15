"""Fréchet distance between images in the features of a small classifier."""

from typing import Any

import keras
import numpy as np

from genzoo.core import checks
from genzoo.core.errors import InvalidInputError

_ROWS_AT_A_TIME = 1024


def frechet_distance(first: Any, second: Any) -> float:
    """Return the Fréchet distance of the normals fitted to two sets of features.

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)). Distances of different features, or of different
    numbers of rows, do not compare.

    Args:
        first, second: Features [n, d] and [m, d], at least 2 rows each.

    Raises:
        InvalidInputError: For features of different widths.

    Example:

    >>> points = np.random.default_rng(0).normal(size=(500, 3))
    >>> round(genzoo.metrics.frechet_distance(points, points + [3.0, 0.0, 0.0]), 6)
    9.0

    Reference: Heusel et al., GANs trained by a two time-scale update rule converge to a local Nash
    equilibrium, 2017.
    """
    first, second = (np.asarray(part, np.float64) for part in (first, second))
    shapes = f"Received: shapes {first.shape} and {second.shape}"
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1]:
        raise InvalidInputError(f"Expected features [n, d] and [m, d]. {shapes}")
    if min(len(first), len(second)) < 2:
        raise InvalidInputError(f"Expected at least 2 rows of features each. {shapes}")
    means = [part.mean(axis=0) for part in (first, second)]
    covariances = [np.atleast_2d(np.cov(part.T)) for part in (first, second)]
    values, vectors = np.linalg.eigh(covariances[0])
    root = vectors * np.sqrt(np.maximum(values, 0.0)) @ vectors.T
    # the eigenvalues of C1 C2 are those of the symmetric C1^(1/2) C2 C1^(1/2)
    cross = np.linalg.eigvalsh(root @ covariances[1] @ root)
    distance = np.sum((means[0] - means[1]) ** 2) + np.trace(covariances[0] + covariances[1])
    return float(max(distance - 2.0 * np.sqrt(np.maximum(cross, 0.0)).sum(), 0.0))


class ClassifierFeatures:
    """Features of images: the last hidden layer of a small classifier trained on their labels.

    Args:
        x: Images [n, height, width, channels], integers or floats, height and width of 8 or more.
        y: Labels [n], integers from 0.
        epochs: Passes over the data.
        width: Number of features.
        seed: Fixes weights, order and dropout.
        verbose: As in Keras's `fit`.

    Attributes:
        accuracy: Of the classifier on its training data in the last epoch.

    Example:

    >>> digits = genzoo.data.load("digits")
    >>> features = genzoo.metrics.ClassifierFeatures(digits.x_train, digits.y_train, epochs=1)
    >>> features(digits.x_test).shape
    (360, 64)
    """

    def __init__(
        self,
        x: Any,
        y: Any,
        *,
        epochs: int = 3,
        width: int = 64,
        seed: int = 0,
        verbose: Any = 0,
    ):
        x, y = np.asarray(x), np.asarray(y)
        if (
            x.ndim != 4
            or min(x.shape[1:3]) < 8
            or y.shape != x.shape[:1]
            or y.dtype.kind not in "iu"
        ):
            raise InvalidInputError(
                "Expected images (n, height, width, channels) of 8 x 8 pixels or more and integer "
                f"labels (n,). Received: x.shape={x.shape}, y of {y.dtype} and shape {y.shape}"
            )
        checks.check_int(epochs, "epochs")
        self._low, self._high = float(x.min()), float(x.max())
        seeds = iter(range(checks.check_seed(seed), seed + 10))

        def start():
            return keras.initializers.GlorotUniform(next(seeds))

        layers = keras.layers
        image = keras.Input(x.shape[1:])
        hidden = image
        for filters in (32, 64):
            hidden = layers.Conv2D(
                filters, 3, padding="same", activation="relu", kernel_initializer=start()
            )(hidden)
            hidden = layers.MaxPooling2D()(hidden)
        hidden = layers.Flatten()(hidden)
        features = layers.Dense(width, activation="relu", kernel_initializer=start())(hidden)
        dropped = layers.Dropout(0.3, seed=next(seeds))(features)
        logits = layers.Dense(int(y.max()) + 1, kernel_initializer=start())(dropped)
        classifier = keras.Model(image, logits)
        classifier.compile(
            keras.optimizers.Adam(1e-3),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        order = np.random.default_rng(seed)
        for _ in range(epochs):
            rows = order.permutation(len(x))
            history = classifier.fit(
                self._scale(x[rows]), y[rows], batch_size=128, shuffle=False, verbose=verbose
            )
        self.accuracy = float(history.history["accuracy"][-1])
        self._network = keras.Model(image, features)
        self._event_shape = x.shape[1:]

    def _scale(self, x):
        return (np.asarray(x, np.float32) - self._low) / max(self._high - self._low, 1e-12)

    def __call__(self, x: Any) -> np.ndarray:
        """Return the features of images, [n, width].

        Args:
            x: Images of the shape and range of those that it was trained on.
        """
        x = checks.check_array(x, self._event_shape)
        parts = [
            self._network.predict_on_batch(self._scale(x[start : start + _ROWS_AT_A_TIME]))
            for start in range(0, len(x), _ROWS_AT_A_TIME)
        ]
        return np.concatenate(parts)

    def distance(self, first: Any, second: Any) -> float:
        """Return the Fréchet distance of two sets of images in these features."""
        return frechet_distance(self(first), self(second))
