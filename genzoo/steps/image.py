"""Steps that reshape images."""

import keras
import numpy as np

from genzoo.core.lazy import tfp
from genzoo.steps.base import FlowStep


@keras.saving.register_keras_serializable("genzoo")
class Flatten(FlowStep):
    """A vector on the base side, an array of any shape on the data side."""

    @property
    def base_shape(self):
        return (int(np.prod(self.event_shape)),)

    def bijector(self, context=None):
        return tfp.bijectors.Reshape(
            event_shape_out=self.event_shape, event_shape_in=self.base_shape
        )
