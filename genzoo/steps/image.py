"""Steps that reshape images."""

import keras
import numpy as np
import tensorflow as tf

from genzoo.core.traits import is_image
from genzoo.steps.base import FlowStep


@keras.saving.register_keras_serializable("genzoo")
class Flatten(FlowStep):
    """A vector on the base side, an array of any shape on the data side."""

    @property
    def base_shape(self):
        return (int(np.prod(self.event_shape)),)

    def forward_and_log_det(self, x, context=None):
        return tf.reshape(x, [-1, *self.event_shape]), tf.zeros([], x.dtype)

    def inverse_and_log_det(self, y, context=None):
        return tf.reshape(y, [-1, *self.base_shape]), tf.zeros([], y.dtype)


@keras.saving.register_keras_serializable("genzoo")
class Squeeze(FlowStep):
    """Blocks of 2 x 2 pixels on the data side are channels on the base side.

    Reference: Dinh, Sohl-Dickstein and Bengio, Density estimation using Real NVP, 2017.
    """

    def build_event(self, event_shape):
        if not is_image(event_shape) or event_shape[0] % 2 or event_shape[1] % 2:
            raise self._refuse(
                "images (height, width, channels) of even height and width",
                "Pad or crop the images, for example np.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0))).",
            )

    @property
    def base_shape(self):
        height, width, channels = self.event_shape
        return (height // 2, width // 2, 4 * channels)

    def forward_and_log_det(self, x, context=None):
        height, width, channels = self.event_shape
        x = tf.reshape(x, [-1, height // 2, width // 2, 2, 2, channels])
        x = tf.transpose(x, [0, 1, 3, 2, 4, 5])
        return tf.reshape(x, [-1, height, width, channels]), tf.zeros([], x.dtype)

    def inverse_and_log_det(self, y, context=None):
        height, width, channels = self.event_shape
        y = tf.reshape(y, [-1, height // 2, 2, width // 2, 2, channels])
        y = tf.transpose(y, [0, 1, 3, 2, 4, 5])
        return tf.reshape(y, [-1, *self.base_shape]), tf.zeros([], y.dtype)
