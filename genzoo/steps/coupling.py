"""Coupling steps: one part of the coordinates is transformed given the other."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from genzoo.core.checks import check_choice, check_int, check_units
from genzoo.core.traits import is_image
from genzoo.nets import MLP, ConvNet, ResNet
from genzoo.steps.base import FlowStep, sum_rows
from genzoo.steps.maps import make_map

NETWORKS = ("conv", "resnet", "linear")


class _Coupling(FlowStep):
    """Base: transforms a part of the last axis given the rest.

    forward:  y_t = map(x_t; network(x_rest, context)),   y_rest = x_rest

    A subclass makes `self.conditioner` in `build_event`.
    """

    def _split(self, x):
        """Return the part that is transformed and what the network sees."""
        middle = x.shape[-1] // 2
        # tf.split, whose gradient is a concatenation, is several times faster than slices
        first, second = tf.split(x, [middle, x.shape[-1] - middle], axis=-1)
        return (first, second) if self.half == "first" else (second, first)

    def _join(self, part, rest):
        return tf.concat([part, rest] if self.half == "first" else [rest, part], axis=-1)

    def _log_det(self, log_slope):
        return sum_rows(log_slope)

    def _count_transformed(self, size):
        return size // 2 if self.half == "first" else size - size // 2

    def _parameters(self, rest, context):
        return tf.cast(self.conditioner(rest, context), rest.dtype)

    def forward_and_log_det(self, x, context=None):
        part, rest = self._split(x)
        part, log_slope = self.map.forward(part, self._parameters(rest, context))
        return self._join(part, rest), self._log_det(log_slope)

    def inverse_and_log_det(self, y, context=None):
        part, rest = self._split(y)
        part, log_slope = self.map.inverse(part, self._parameters(rest, context))
        return self._join(part, rest), self._log_det(log_slope)


@keras.saving.register_keras_serializable("genzoo")
class Coupling(_Coupling):
    """Transforms one half of a vector by a map whose parameters an MLP gives from the other.

    Args:
        transform: Name of the map: `"affine"`, `"additive"`, `"spline"` or `"mixture"`.
        half: Which half is transformed, `"first"` or `"second"`.
        hidden_units: Widths of the network's hidden layers.
        activation: Name of a Keras activation.
        transform_arguments: Of the map, such as `{"num_bins": 16}`; see `genzoo.steps.maps`.
        context_size: Width of the encoded context; 0 for none.
        seed: Fixes the initial weights.

    Starts near the identity. Of one feature the second half is the whole, which it transforms by
    the same map everywhere, or given the context.

    Reference: Dinh, Sohl-Dickstein and Bengio, Density estimation using Real NVP, 2017.
    """

    def __init__(
        self,
        transform: str = "affine",
        half: str = "first",
        hidden_units: Sequence[int] = (128, 128),
        *,
        activation: str = "relu",
        transform_arguments: dict[str, Any] | None = None,
        context_size: int = 0,
        seed: int | None = None,
        **layer_arguments,
    ):
        super().__init__(**layer_arguments)
        self.map = make_map(transform, transform_arguments)
        self.transform, self.transform_arguments = transform, transform_arguments
        self.half = check_choice(half, ("first", "second"), "half")
        self.hidden_units = check_units(hidden_units)
        self.activation = activation
        self.context_size = check_int(context_size, "context_size", minimum=0)
        self.seed = seed

    def build_event(self, event_shape):
        if len(event_shape) != 1:
            raise self._refuse("vectors", "Put a Flatten after it.")
        transformed = self._count_transformed(event_shape[0])
        if not transformed:
            raise self._refuse("at least 2 features", "For one feature use half='second'.")
        seen = event_shape[0] - transformed
        self.conditioner = MLP(
            seen,
            self.hidden_units if seen + self.context_size else (),
            self.map.num_parameters * transformed,
            context_size=self.context_size,
            activation=self.activation,
            # nearly the identity for many features; on a plane a random start learns faster
            output_scale=1.0 / transformed,
            seed=self.seed,
            dtype=self.dtype_policy,
        )


@keras.saving.register_keras_serializable("genzoo")
class ImageCoupling(_Coupling):
    """Transforms a part of an image by a map whose parameters a convolutional network gives.

    Args:
        mask: `"checkerboard"` (every other pixel, the network at full resolution) or `"channel"`
            (half of the channels).
        half: Which part is transformed, `"first"` or `"second"`.
        transform: Name of the map, `"affine"`, `"additive"`, `"spline"` or `"mixture"`.
        network: `"resnet"` (residual blocks, weights normalised), `"conv"` (3 x 3, 1 x 1, 3 x 3)
            or `"linear"` (3 x 3).
        filters: Channels of its hidden layers.
        num_blocks: Residual blocks of `"resnet"`.
        activation: Name of a Keras activation.
        transform_arguments: Of the map.
        context_size: Width of the encoded context; 0 for none.
        image_context: Channels of a context image of the same height and width, for flows
            conditional on images; 0 for none.
        seed: Fixes the initial weights.

    Reference: Dinh, Sohl-Dickstein and Bengio, Density estimation using Real NVP, 2017; Kingma
    and Dhariwal, Glow, 2018.
    """

    def __init__(
        self,
        mask: str = "channel",
        half: str = "first",
        *,
        transform: str = "affine",
        network: str = "conv",
        filters: int = 64,
        num_blocks: int = 2,
        activation: str = "relu",
        transform_arguments: dict[str, Any] | None = None,
        context_size: int = 0,
        image_context: int = 0,
        seed: int | None = None,
        **layer_arguments,
    ):
        super().__init__(**layer_arguments)
        self.mask = check_choice(mask, ("checkerboard", "channel"), "mask")
        self.half = check_choice(half, ("first", "second"), "half")
        self.map = make_map(transform, transform_arguments)
        self.transform, self.transform_arguments = transform, transform_arguments
        self.network = check_choice(network, NETWORKS, "network")
        self.filters = check_int(filters, "filters")
        self.num_blocks = check_int(num_blocks, "num_blocks", minimum=0)
        self.activation = activation
        self.context_size = check_int(context_size, "context_size", minimum=0)
        self.image_context = check_int(image_context, "image_context", minimum=0)
        self.seed = seed

    def build_event(self, event_shape):
        if not is_image(event_shape):
            raise self._refuse("images (height, width, channels)", "Use Coupling for vectors.")
        height, width, channels = event_shape
        if self.mask == "checkerboard":
            seen, transformed = channels, channels
            board = np.indices((height, width)).sum(axis=0) % 2
            board = board if self.half == "second" else 1 - board
            self._board = board[..., None].astype(self.variable_dtype)
        else:
            if channels < 2:
                raise self._refuse("at least 2 channels", "Put a Squeeze after it.")
            transformed = self._count_transformed(channels)
            seen = channels - transformed
        cls, extra = ConvNet, {"linear": self.network == "linear"}
        if self.network == "resnet":
            cls, extra = ResNet, {"num_blocks": self.num_blocks}
        self.conditioner = cls(
            seen + self.image_context,
            self.filters,
            self.map.num_parameters * transformed,
            context_size=self.context_size,
            activation=self.activation,
            seed=self.seed,
            dtype=self.dtype_policy,
            **extra,
        )

    def _split(self, x):
        if self.mask == "channel":
            return super()._split(x)
        return x, x * (1 - self._board)

    def _join(self, part, rest):
        if self.mask == "channel":
            return super()._join(part, rest)
        return part * self._board + rest

    def _log_det(self, log_slope):
        if self.mask == "checkerboard":
            log_slope *= self._board
        return sum_rows(log_slope)

    def _parameters(self, rest, context):
        if not self.image_context:
            return super()._parameters(rest, context)
        return tf.cast(self.conditioner(tf.concat([rest, context], axis=-1)), rest.dtype)
