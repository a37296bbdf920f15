"""Features of images: what distances between sets of images are measured in."""

import os
import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from genzoo.core import checks
from genzoo.core.errors import DataError, InvalidInputError
from genzoo.metrics.frechet import frechet_distance

_ROWS_AT_A_TIME = 1024
_INCEPTION_ROWS = 32
_INCEPTION_SIZE = (299, 299)
_EIGHT_BITS = (0.0, 255.0)
# what images of 8 bits exceed, unless they are nearly black
_DARK = 64
# fewer images may all be dark or all be bright
_LEAST_ROWS = 10


class ValueFeatures:
    """The values of examples as features, where no network is at hand.

    Of tables and sequences in units of their standard deviations, so that no unit outweighs the
    others. Pixels of images share their unit and keep it: distances between them tell blurred
    images from sharp ones badly, for which see `ClassifierFeatures`.

    Args:
        x: Examples [n, *event_shape] that tell the standard deviations, the data of training.

    Attributes:
        compared_by: What rows are compared by, in words.

    Example:

    >>> x = np.random.default_rng(0).normal(size=(100, 2)) * [1.0, 1000.0]
    >>> features = genzoo.metrics.ValueFeatures(x)
    >>> features(x).std(axis=0).round(6).tolist()
    [1.0, 1.0]
    """

    def __init__(self, x: Any):
        x = np.asarray(x)
        self.compared_by, self._center, self._spread = "pixel values", 0.0, 1.0
        if x.ndim < 4:
            x = x.reshape(-1, *x.shape[-1:]).astype(np.float64)
            self.compared_by = "standardised values"
            self._center, spread = np.nanmean(x, axis=0), np.nanstd(x, axis=0)
            self._spread = np.where(spread > 0, spread, 1.0)

    def __call__(self, x: Any) -> np.ndarray:
        """Return the values of examples, [n, values], float64."""
        x = (np.asarray(x, np.float64) - self._center) / self._spread
        return x.reshape(len(x), -1)


class KerasFeatures:
    """The output of any Keras network as features, a batch at a time.

    Args:
        network: Of images (or other examples) to features [n, ...], which are flattened.
        preprocess: Of a float32 batch to what the network takes; `None` for nothing.
        batch_size: Rows at a time.

    Example:

    >>> import keras
    >>> network = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.AveragePooling2D(4)])
    >>> features = genzoo.metrics.KerasFeatures(network, preprocess=lambda x: x / 16)
    >>> features(genzoo.data.load("digits").x_test).shape
    (360, 4)
    """

    def __init__(
        self,
        network: keras.Model,
        *,
        preprocess: Callable[[np.ndarray], Any] | None = None,
        batch_size: int = _ROWS_AT_A_TIME,
    ):
        self._network, self._preprocess = network, preprocess
        self._batch_size = checks.check_int(batch_size, "batch_size")

    @property
    def event_shape(self) -> tuple[int | None, ...]:
        """Shape of one example; `None` where any length will do."""
        return tuple(self._network.input_shape[1:])

    def __call__(self, x: Any) -> np.ndarray:
        """Return the features of examples, [n, d].

        Args:
            x: [n, *event_shape].
        """
        given = np.shape(x)[1:]
        fits = len(given) == len(self.event_shape) and all(
            wanted in (None, n) for wanted, n in zip(self.event_shape, given, strict=True)
        )
        x = checks.check_array(x, given if fits else self.event_shape)
        parts = []
        for start in range(0, len(x), self._batch_size):
            rows = np.asarray(x[start : start + self._batch_size], np.float32)
            rows = rows if self._preprocess is None else self._preprocess(rows)
            parts.append(np.asarray(self._network.predict_on_batch(rows)))
        features = np.concatenate(parts)
        return features.reshape(len(features), -1)

    def distance(self, first: Any, second: Any) -> float:
        """Return the Fréchet distance of two sets of examples in these features."""
        return frechet_distance(self(first), self(second))


class InceptionFeatures(KerasFeatures):
    """The 2,048 pooled features, or the class probabilities, of Keras's InceptionV3.

    Images of any size, grey or in colour, are resized to 299 x 299, large ones by the mean over
    what becomes a pixel. The network is not the one that published Fréchet distances and
    Inception scores were made with: figures compare with others made by this class.

    Args:
        weights: `"imagenet"` (downloaded by Keras, once), or a file of weights for
            `keras.applications.InceptionV3`; `None` for random ones.
        probabilities: Whether to return the 1,000 class probabilities, for `inception_score`.
        data_range: Values of black and white, such as `(0, 1)`, `(-1, 1)` or `(0, 65535)`;
            `None` for `(0, 255)`, and images that are plainly of another range are refused.
        batch_size: Images at a time.

    Raises:
        DataError: Where the weights cannot be had.

    Reference: Szegedy et al., Rethinking the Inception architecture for computer vision, 2016.
    """

    def __init__(
        self,
        weights: str | None = "imagenet",
        *,
        probabilities: bool = False,
        data_range: tuple[float, float] | None = None,
        batch_size: int = _INCEPTION_ROWS,
    ):
        if data_range is not None:
            low, high = checks.check_array([data_range], (2,), "data_range")[0]
            if not low < high:
                raise InvalidInputError(
                    "Expected data_range=(black, white), black below white. "
                    f"Received: data_range={data_range!r}"
                )
        self.data_range = data_range
        try:
            network = keras.applications.InceptionV3(
                include_top=probabilities,
                weights=weights,
                pooling=None if probabilities else "avg",
                input_shape=(*_INCEPTION_SIZE, 3),
            )
        except Exception as error:
            raise DataError(
                "Expected the weights of InceptionV3. "
                f"Received: weights={weights!r} ({str(error)[:200]}). Give a file of weights, or "
                "use ClassifierFeatures, which trains on labelled images at hand."
            ) from None

        low, high = data_range or _EIGHT_BITS

        def preprocess(images):
            if images.shape[-1] == 1:
                images = np.repeat(images, 3, axis=-1)
            resized = keras.ops.image.resize(
                images, _INCEPTION_SIZE, interpolation="bilinear", antialias=True
            )
            return (resized - low) / ((high - low) / 2) - 1.0

        super().__init__(network, preprocess=preprocess, batch_size=batch_size)

    @property
    def event_shape(self):
        return (None, None, None)

    def __call__(self, x: Any) -> np.ndarray:
        """Return the features of images, [n, 2048], or their class probabilities [n, 1000].

        Args:
            x: [n, height, width, 1 or 3].

        Raises:
            InvalidInputError: For images of other channels, or outside `data_range`.
        """
        shape = np.shape(x)
        if len(shape) != 4 or shape[3] not in (1, 3):
            raise InvalidInputError(
                "Expected images (n, height, width, channels) of 1 channel (grey) or 3 (colour). "
                f"Received: shape {shape}. Leave a fourth channel out with x[..., :3]; give grey "
                "images one with x[..., None]."
            )
        x = checks.check_array(x, shape[1:])
        if self.data_range is None:
            _check_eight_bits(x)
        _check_range(x, *(self.data_range or _EIGHT_BITS), slack=0.01)
        return super().__call__(x)


class ClassifierFeatures(KerasFeatures):
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
        checks.check_finite(x, "x")
        low, high = float(x.min()), float(x.max())
        scale = 1.0 / max(high - low, 1e-12)
        seeds = iter(range(checks.check_seed(seed), seed + 10))

        def start():
            return keras.initializers.GlorotUniform(next(seeds))

        layers = keras.layers
        image = keras.Input(x.shape[1:], dtype=x.dtype.name)
        hidden = layers.Rescaling(scale, offset=-low * scale)(image)
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
                x[rows].astype(np.float32), y[rows], batch_size=128, shuffle=False, verbose=verbose
            )
        self.accuracy = float(history.history["accuracy"][-1])
        self._join(keras.Model(image, [features, layers.Softmax()(logits)]))

    def _join(self, both: keras.Model) -> None:
        self._both = both
        features, probabilities = (keras.Model(both.input, output) for output in both.outputs)
        super().__init__(features)
        self._probabilities = KerasFeatures(probabilities)

    def __call__(self, x: Any) -> np.ndarray:
        """Return the features of images, [n, width].

        Args:
            x: [n, height, width, channels], of the kind and range of the images of training.

        Raises:
            InvalidInputError: For images of another shape, kind or range.
        """
        self._check_images(x)
        return super().__call__(x)

    def _check_images(self, x):
        """Refuse what the classifier has not learned to see."""
        x = checks.check_array(x, np.shape(x)[1:])
        if np.dtype(self._both.input.dtype).kind != "f" and x.dtype.kind == "f":
            raise InvalidInputError(
                "Expected integers, such as the images that the classifier was trained on. "
                f"Received: x.dtype={x.dtype}. Cast x to them, in their range."
            )
        (scaling,) = (n for n in self._both.layers if isinstance(n, keras.layers.Rescaling))
        low = -scaling.offset / scaling.scale
        _check_range(x, low, low + 1 / scaling.scale, slack=0.5)

    def probabilities(self, x: Any) -> np.ndarray:
        """Return the classifier's probabilities, [n, classes], for `inception_score`."""
        self._check_images(x)
        return self._probabilities(x)

    def save(self, filepath: str | os.PathLike) -> None:
        """Write the classifier as a `.keras` file, which `ClassifierFeatures.load` reads."""
        self._both.save(filepath)

    @classmethod
    def load(cls, filepath: str | os.PathLike) -> "ClassifierFeatures":
        """Return the features that `save` wrote; their `accuracy` is `None`."""
        try:
            both = keras.models.load_model(filepath)
            if len(getattr(both, "outputs", ())) != 2:
                raise ValueError(f"a {type(both).__name__} of another kind")
        except (ValueError, OSError) as error:
            raise DataError(
                "Expected a file that ClassifierFeatures.save wrote. "
                f"Received: {os.fspath(filepath)} ({error})"
            ) from None
        features = cls.__new__(cls)
        features.accuracy = None
        features._join(both)
        return features


def _check_eight_bits(x: np.ndarray) -> None:
    """Refuse images that are plainly not of 0 to 255."""
    low, high = float(x.min()), float(x.max())
    if x.dtype == np.uint8 or (low >= 0 and _DARK <= high <= _EIGHT_BITS[1]):
        return
    told = (0, 1) if low >= 0 else (-1, 1)
    if max(high, -low) > 1:
        told = (0, 65535) if low >= 0 and _EIGHT_BITS[1] < high <= 65535 else "(black, white)"
    raise InvalidInputError(
        f"Expected images from 0 to 255, or to know their range. Received: {x.dtype} images "
        f"between {low:g} and {high:g}. Say what black and white are, with data_range={told}."
    )


def _check_range(x: np.ndarray, low: float, high: float, *, slack: float) -> None:
    """Refuse images outside [low, high]; warn of those that may be of another range.

    Args:
        x: Images.
        low, high: Black and white.
        slack: Share of the range that they may exceed it by, on each side.
    """
    found, size = (float(x.min()), float(x.max())), high - low
    if found[0] < low - slack * size or found[1] > high + slack * size:
        raise InvalidInputError(
            f"Expected images between {low:g} and {high:g}. Received: {x.dtype} images between "
            f"{found[0]:g} and {found[1]:g}. Bring them to that range, or give the right one."
        )
    middle = (low + high) / 2
    if len(x) >= _LEAST_ROWS and (found[1] <= middle or found[0] >= middle):
        warnings.warn(
            f"All of {len(x)} images lie between {found[0]:g} and {found[1]:g}, where {low:g} is "
            f"black and {high:g} white: are they of another range?",
            stacklevel=4,
        )
