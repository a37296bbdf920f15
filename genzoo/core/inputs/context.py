"""The context of conditional models: labels or vectors, checked and encoded in one place."""

from typing import Any

import numpy as np
import tensorflow as tf

from genzoo.core.checks import check_array, check_int
from genzoo.core.errors import InvalidInputError
from genzoo.core.inputs.numbers import refuse_masked
from genzoo.core.inputs.units import RunningMoments


class ContextSpec:
    """What a model is conditional on.

    Args:
        context_dim: Width of context vectors, or `None`.
        num_classes: Number of classes of integer labels, or `None`; with neither, no context.
        dtype: Float type of the encoded context.

    Vectors are encoded with mean 0 and variance 1 by column, as `standardize` saw them.
    """

    def __init__(self, context_dim: int | None, num_classes: int | None, dtype: str):
        if context_dim is not None and num_classes is not None:
            raise InvalidInputError(
                "Expected context_dim (vectors) or num_classes (labels), not both. "
                f"Received: context_dim={context_dim!r}, num_classes={num_classes!r}"
            )
        if context_dim is not None:
            check_int(context_dim, "context_dim")
        if num_classes is not None:
            check_int(num_classes, "num_classes", minimum=2)
        self.context_dim, self.num_classes, self.dtype = context_dim, num_classes, dtype
        self.mean: np.ndarray | None = None
        self.scale: np.ndarray | None = None

    @property
    def size(self) -> int:
        """Width of the encoded context; 0 for none."""
        return self.context_dim or self.num_classes or 0

    def standardize(self, moments: RunningMoments) -> None:
        """Take the mean and scale of each column from vectors of context; constants keep scale 1.

        Args:
            moments: Of the vectors.
        """
        self.mean, self.scale = np.asarray(moments.mean, np.float64), moments.scale

    def fitted_state(self) -> dict[str, list[float]] | None:
        """Return what `standardize` learned, as JSON."""
        if self.mean is None:
            return None
        return {"mean": self.mean.tolist(), "scale": self.scale.tolist()}

    def restore_state(self, state: dict[str, list[float]] | None) -> None:
        """Take back what `fitted_state` returned."""
        own = state or {"mean": None, "scale": None}
        self.mean, self.scale = (
            None if own[name] is None else np.asarray(own[name]) for name in ("mean", "scale")
        )

    @property
    def row_dtype(self) -> str:
        """Type of checked vectors: wide where the float type would round what they vary by."""
        if self.mean is None:
            return self.dtype
        rounding = np.finfo(self.dtype).eps * np.abs(self.mean)
        return "float64" if (rounding > 1e-4 * self.scale).any() else self.dtype

    def encode(self, context: tf.Tensor | None) -> tf.Tensor | None:
        """Return float vectors [n, size], in graph; labels as one-hot."""
        if context is None:
            return None
        if self.num_classes is not None:
            return tf.one_hot(context, self.num_classes, dtype=self.dtype)
        if self.mean is None:
            return tf.cast(context, self.dtype)
        return tf.cast((tf.cast(context, tf.float64) - self.mean) / self.scale, self.dtype)

    def signature(self) -> tf.TensorSpec:
        """Return the spec of a checked context."""
        if self.num_classes is not None:
            return tf.TensorSpec([None], tf.int32, name="context")
        return tf.TensorSpec([None, self.context_dim], self.row_dtype, name="context")

    def check(self, context: Any, n: int, model: str) -> np.ndarray | None:
        """Return the context of `n` rows, checked.

        Args:
            context: Labels [n] or vectors [n, context_dim], or one of them for all rows.
            n: Number of rows.
            model: Name of the model, for messages.
        """
        if not self.size:
            if context is not None:
                raise InvalidInputError(
                    f"Expected no context (labels): this {model} is unconditional. "
                    f"Received: context of shape {np.shape(context)}. Leave it out, or build the "
                    "model with num_classes=... (labels) or context_dim=... (vectors)."
                )
            return None
        if context is None:
            wanted = (
                f"labels of shape ({n},) below num_classes={self.num_classes}"
                if self.num_classes
                else f"vectors of shape ({n}, {self.context_dim})"
            )
            raise InvalidInputError(
                f"Expected context, since this {model} is conditional: {wanted}. "
                "Received: context=None"
            )
        if self.num_classes is not None:
            return self._check_labels(context, n)
        one_for_all = np.ndim(context) == 1 and len(context) == self.context_dim
        vectors = check_array([context] if one_for_all else context, (self.context_dim,), "context")
        if one_for_all:
            vectors = np.broadcast_to(vectors, (n, self.context_dim))
        _check_count(vectors, n)
        # what the columns need is known once they are seen
        return np.ascontiguousarray(vectors, np.float64 if self.mean is None else self.row_dtype)

    def _check_labels(self, context: Any, n: int) -> np.ndarray:
        refuse_masked(context, "context")
        labels = np.asarray(context)
        if labels.ndim == 0:
            labels = np.full(n, labels)
        whole = labels.dtype.kind in "iu" and labels.ndim == 1 and labels.size
        if not whole or labels.min() < 0 or labels.max() >= self.num_classes:
            shown = np.array2string(labels.ravel()[:5], threshold=5)
            raise InvalidInputError(
                f"Expected context of integer labels from 0 to {self.num_classes - 1}, shape "
                f"({n},). Received: context of shape {labels.shape}, dtype {labels.dtype}, "
                f"beginning {shown}"
            )
        _check_count(labels, n)
        return labels.astype(np.int32)


def _check_count(context: np.ndarray, n: int) -> None:
    if len(context) != n:
        raise InvalidInputError(
            f"Expected context with a row for each of {n} examples. "
            f"Received: context.shape={context.shape}"
        )
