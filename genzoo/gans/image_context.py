"""Pairs of images: the context that an image is, unpaired sets, a pool of past images."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from genzoo.core.checks import check_array
from genzoo.core.engine.replicas import first_row, gather_over_replicas
from genzoo.core.errors import InvalidInputError
from genzoo.core.inputs.numbers import refuse_masked
from genzoo.core.inputs.spec import DataSpec


class ImageContext:
    """The images that a model translates; in place of `ContextSpec`.

    Args:
        shape: (height, width, channels).
        dtype: Float type of the model.
    """

    def __init__(self, shape: tuple[int, ...], dtype: str):
        self.shape, self.dtype = shape, dtype
        self.spec: DataSpec | None = None

    @property
    def size(self) -> int:
        """Channels of an image."""
        return self.shape[-1]

    @property
    def row_dtype(self) -> str:
        """Type of a checked image: that of integer data, else the model's own float type."""
        return self.spec.dtype if self.spec.is_integer else self.dtype

    def fitted_state(self) -> None:
        """Return nothing: the model keeps the kind of the images, see `Translation`."""

    def restore_state(self, state: None) -> None:
        """Take back nothing."""

    def encode(self, context: tf.Tensor | None) -> tf.Tensor | None:
        """Return the images as they are; the model scales them."""
        return context

    def signature(self) -> tf.TensorSpec:
        """Return the spec of checked images."""
        return tf.TensorSpec([None, *self.shape], self.row_dtype, name="context")

    def check(self, context: Any, n: int | None, model: str) -> np.ndarray:
        """Return images to translate, checked.

        Args:
            context: Images [n, *shape], or one of them for all rows.
            n: Number of rows; `None` for as many as there are images.
            model: Name of the model, for messages.
        """
        if context is None:
            raise InvalidInputError(
                f"Expected images of shape {self.shape} for {model} to translate. "
                "Received: none. Give them to fit(x, y), translate(x) or sample(n, context=x)."
            )
        refuse_masked(context, "the images to translate")
        images = np.asarray(context)
        if n is not None and images.shape == self.shape:
            images = np.broadcast_to(images, (n, *self.shape))
        images = check_array(images, self.shape, "the images to translate")
        if images.dtype.kind == "f":
            images = images.astype(self.dtype, copy=False)
        if n is not None and len(images) != n:
            raise InvalidInputError(
                f"Expected an image to translate for each of {n} examples. "
                f"Received: {len(images)} images of shape {self.shape}"
            )
        if self.spec is not None:
            self.spec.check(images, "the images to translate", float_dtype=self.dtype)
            images = images.astype(self.row_dtype, copy=False)
        return np.ascontiguousarray(images)


class ImagePool(keras.layers.Layer):
    """Shows a discriminator generated images of the past, too.

    Until the pool is full it takes what comes; then half of the images are exchanged for one of
    the pool. Replicas hold the same pool.

    Args:
        size: Images in the pool; 0 shows what comes.
        image_shape: (height, width, channels).

    Reference: Shrivastava et al., Learning from simulated and unsupervised images through
    adversarial training, 2017.
    """

    def __init__(self, size: int, image_shape: tuple[int, ...], dtype: Any = None):
        super().__init__(dtype=dtype)
        self.size = size
        if size:
            own = {"initializer": "zeros", "trainable": False, "autocast": False}
            self.images = self.add_weight(shape=(size, *image_shape), name="images", **own)
            self.filled = self.add_weight(shape=(), dtype="int32", name="filled", **own)
        self.built = True

    def exchange(self, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Return what to show of this replica's images, and update the pool.

        Args:
            images: Generated images [n, *image_shape].
            seed: int32 [2], the same on all replicas.
        """
        if not self.size:
            return images
        wide = tf.cast(images, self.images.dtype)
        everyone = gather_over_replicas(wide)
        n = tf.shape(everyone)[0]
        rows = tf.range(n)
        filled = tf.convert_to_tensor(self.filled)
        full = filled >= self.size
        # as many different places as there are rows, up to the size of the pool
        coins = tf.random.stateless_uniform([self.size + n], seed)
        places = tf.argsort(coins[: self.size], stable=True)
        places = tf.where(full, tf.gather(places, rows % self.size), filled + rows)
        swapped = full & (coins[self.size :] < 0.5) & (rows < self.size)
        kept = tf.where(full, swapped, places < self.size)
        past = tf.gather(self.images, tf.minimum(places, self.size - 1))
        shown = tf.where(swapped[:, None, None, None], past, everyone)
        at = tf.where(kept)
        pool = tf.tensor_scatter_nd_update(
            self.images, tf.gather_nd(places, at)[:, None], tf.gather_nd(everyone, at)
        )
        self.images.assign(pool)
        self.filled.assign(tf.minimum(filled + n, self.size))
        begin = first_row(images)
        own = shown[begin : begin + tf.shape(images)[0]]
        return tf.cast(own, images.dtype)
