"""The context of conditional models: labels or vectors, checked and encoded in one place."""

from typing import Any

import numpy as np
import tensorflow as tf

from genzoo.core.batches import check_rows
from genzoo.core.checks import check_int
from genzoo.core.errors import InvalidInputError


class ContextSpec:
    """What a model is conditional on.

    Args:
        context_dim: Width of context vectors, or `None`.
        num_classes: Number of classes of integer labels, or `None`; with neither, no context.
        dtype: Float type of the encoded context.
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

    @property
    def size(self) -> int:
        """Width of the encoded context; 0 for none."""
        return self.context_dim or self.num_classes or 0

    def encode(self, context: tf.Tensor | None) -> tf.Tensor | None:
        """Return float vectors [n, size], in graph; labels as one-hot."""
        if context is None:
            return None
        if self.num_classes is not None:
            return tf.one_hot(context, self.num_classes, dtype=self.dtype)
        return tf.cast(context, self.dtype)

    def signature(self) -> tf.TensorSpec:
        """Return the spec of a checked context."""
        if self.num_classes is not None:
            return tf.TensorSpec([None], tf.int32, name="context")
        return tf.TensorSpec([None, self.context_dim], self.dtype, name="context")

    def check(
        self, context: Any, n: int, model: str, *, broadcast: bool = False
    ) -> np.ndarray | None:
        """Return the context of `n` rows, checked.

        Args:
            context: Labels [n] or vectors [n, context_dim].
            n: Number of rows.
            model: Name of the model, for messages.
            broadcast: Whether one label or vector may stand for all rows.
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
            return self._check_labels(context, n, broadcast)
        vectors = np.asarray(context)
        if broadcast and vectors.shape == (self.context_dim,):
            vectors = np.broadcast_to(vectors, (n, self.context_dim))
        vectors = check_rows(vectors, (self.context_dim,), self.dtype, "context")
        _check_count(vectors, n)
        return np.ascontiguousarray(vectors, self.dtype)

    def _check_labels(self, context: Any, n: int, broadcast: bool) -> np.ndarray:
        labels = np.asarray(context)
        if broadcast and labels.ndim == 0:
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
