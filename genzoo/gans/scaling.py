"""The way between the data and what the networks see."""

from collections.abc import Iterable

import keras
import numpy as np
import tensorflow as tf

from genzoo.core.inputs.spec import DataSpec
from genzoo.core.inputs.units import RunningMoments
from genzoo.core.traits import is_image


class Scaling(keras.layers.Layer):
    """Carries images to [-1, 1] by their range and all else to mean 0 and variance 1.

    Args:
        event_shape: Shape of one example; with three axes an image.
    """

    def __init__(self, event_shape: tuple[int, ...], **layer_arguments):
        super().__init__(**layer_arguments)
        self.bounded = is_image(event_shape)
        shape = () if self.bounded else event_shape
        self.center, self.spread = (
            self.add_weight(
                shape=shape, initializer=start, trainable=False, autocast=False, name=name
            )
            for name, start in (("center", "zeros"), ("spread", "ones"))
        )
        self.built = True

    def adapt(self, arrays: Iterable[np.ndarray], spec: DataSpec) -> None:
        """Start from data, or for images of known levels from those.

        Args:
            arrays: One pass over the data.
            spec: Kind of the data.
        """
        if self.bounded and spec.levels is not None:
            low, high = 0.0, float(spec.levels)
        else:
            moments = RunningMoments()
            for x in arrays:
                moments.update(x.astype(np.float64) + 0.5 * spec.is_integer)
        if self.bounded:
            if spec.levels is None:
                low, high = moments.low.min(), moments.high.max()
            center, spread = (low + high) / 2, np.asarray((high - low) / 2)
        else:
            center, spread = moments.mean, moments.spread
        self.center.assign(center)
        # a constant keeps its size
        self.spread.assign(np.where(spread > 1e-10 * np.abs(center), spread, 1.0))

    def to_model(self, x: tf.Tensor) -> tf.Tensor:
        """Return what the networks see of data, integers by the middle of their bins."""
        middle = 0.5 if x.dtype.is_integer or x.dtype.is_bool else 0.0
        return (tf.cast(x, self.variable_dtype) + middle - self.center) / self.spread

    def to_data(self, y: tf.Tensor) -> tf.Tensor:
        """Return real numbers in data space."""
        return tf.cast(y, self.variable_dtype) * self.spread + self.center
