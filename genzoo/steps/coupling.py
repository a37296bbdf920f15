"""Coupling steps: one part of a vector is transformed given the other."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from genzoo.core.checks import check_choice, check_int, check_number, check_units
from genzoo.core.errors import InvalidInputError
from genzoo.nets import MLP
from genzoo.steps.base import FlowStep, bijectors


@keras.saving.register_keras_serializable("genzoo")
class AffineCoupling(FlowStep):
    """Scales and shifts one half of a vector by a network of the other half.

    forward:  y_t = x_t exp(s) + t,   s, t = MLP(x_rest, context),   |s| < scale_bound

    Args:
        half: Which half is transformed, `"first"` or `"second"`.
        hidden_units: Widths of the network's hidden layers.
        activation: Name of a Keras activation.
        scale_bound: Bound on the log-scale, by a smooth clip.
        context_size: Width of the encoded context; 0 for none.
        seed: Fixes the initial weights.

    Starts as the identity.

    Reference: Dinh, Sohl-Dickstein and Bengio, Density estimation using Real NVP, 2017.
    """

    def __init__(
        self,
        half: str = "first",
        hidden_units: Sequence[int] = (128, 128),
        *,
        activation: str = "relu",
        scale_bound: float = 3.0,
        context_size: int = 0,
        seed: int | None = None,
        **layer_arguments,
    ):
        super().__init__(**layer_arguments)
        self.half = check_choice(half, ("first", "second"), "half")
        self.hidden_units = check_units(hidden_units)
        self.activation = activation
        self.scale_bound = check_number(scale_bound, "scale_bound", exclusive=True)
        self.context_size = check_int(context_size, "context_size", minimum=0)
        self.seed = seed

    def build_event(self, event_shape):
        if len(event_shape) != 1 or event_shape[0] < 2:
            raise InvalidInputError(
                "Expected vectors of at least 2 features for a coupling. "
                f"Received: event_shape={event_shape}. For one feature use GaussianMixture."
            )
        size = event_shape[0]
        middle = size // 2
        self._part = (0, middle) if self.half == "first" else (middle, size)
        transformed = self._part[1] - self._part[0]
        self.network = MLP(
            size - transformed + self.context_size,
            self.hidden_units,
            2 * transformed,
            activation=self.activation,
            output_scale=0.0,
            seed=self.seed,
            dtype=self.dtype_policy,
        )

    def bijector(self, context=None):
        def conditioner(rest):
            inputs = rest if context is None else tf.concat([rest, context], axis=1)
            log_scale, shift = tf.split(self.network(inputs), 2, axis=1)  # [n, D / 2] each
            return self.scale_bound * tf.tanh(log_scale / self.scale_bound), shift

        return bijectors.AffineCoupling(conditioner, *self._part, dtype=self.compute_dtype)
