"""What losses are made of beside the objective: weights of rows, and losses of layers."""

from collections.abc import Iterable
from typing import Any

import keras
import tensorflow as tf


def row_weights(batch: Any) -> tf.Tensor | None:
    """Return the weights of a batch's rows, where it has any."""
    return batch.get("sample_weight") if isinstance(batch, dict) else None


def weigh(losses: tf.Tensor, weights: tf.Tensor | None) -> tf.Tensor:
    """Return losses of rows [n] times their weights, if there are any."""
    return losses if weights is None else losses * tf.cast(weights, losses.dtype)


def total_loss(losses: Iterable[tf.Tensor], dtype: Any) -> Any:
    """Return the sum of losses of layers, a scalar of a float type; 0.0 where there are none."""
    return sum((tf.reduce_sum(tf.cast(loss, dtype)) for loss in losses), 0.0)


def weight_losses(variables: Iterable[keras.Variable]) -> list[tf.Tensor]:
    """Return the losses of the regularisers of variables."""
    return [v.regularizer(v) for v in variables if getattr(v, "regularizer", None) is not None]


def call_losses(layer: keras.layers.Layer) -> list[tf.Tensor]:
    """Return the losses that the last call of a layer made, those of `weight_losses` left out."""
    losses = layer.losses
    return losses[: len(losses) - len(weight_losses(layer.trainable_variables))]
