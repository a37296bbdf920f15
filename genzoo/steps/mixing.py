"""Steps that mix the coordinates."""

import keras
import numpy as np

from genzoo.core.checks import check_choice
from genzoo.steps.base import FlowStep, bijectors


@keras.saving.register_keras_serializable("genzoo")
class Permutation(FlowStep):
    """Reorders a vector by a fixed permutation, which is saved with the weights.

    Args:
        kind: `"random"` or `"reverse"`.
        seed: Fixes a random permutation.
    """

    def __init__(self, kind: str = "random", *, seed: int | None = None, **layer_arguments):
        super().__init__(**layer_arguments)
        self.kind = check_choice(kind, ("random", "reverse"), "kind")
        self.seed = seed

    def build_event(self, event_shape):
        (size,) = event_shape
        order = np.arange(size)[::-1]
        if self.kind == "random":
            order = np.random.default_rng(self.seed).permutation(size)
        self.order = self.add_weight(
            shape=(size,),
            dtype="int32",
            initializer=lambda shape, dtype: keras.ops.convert_to_tensor(order, dtype),
            trainable=False,
            name="order",
        )

    def bijector(self, context=None):
        return bijectors.Permutation(self.order.value, self.compute_dtype)
