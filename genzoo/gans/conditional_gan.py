"""GANs that generate what a label or a vector asks for."""

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from genzoo.core.errors import InvalidInputError
from genzoo.core.registry import register
from genzoo.gans.gan import GAN


@register("conditional_gan")
class ConditionalGAN(GAN):
    """A GAN conditional on labels or vectors.

    Args:
        event_shape: Shape of one example.
        generator, discriminator: As of `GAN`; `"auto"`: `"conv"` on images, `"mlp"` on all else.
        **arguments: As of `GAN`, among them `conditioning`; `num_classes` or `context_dim` is
            needed.

    Raises:
        InvalidInputError: Without `num_classes` and `context_dim`.

    Example:

    >>> data = genzoo.data.load("digits")
    >>> model = genzoo.ConditionalGAN((8, 8, 1), num_classes=10, filters=8, seed=0)
    >>> history = model.fit(data.x_train[:256], data.y_train[:256], epochs=1, verbose=0)
    >>> model.sample(3, context=7, seed=0).shape
    (3, 8, 8, 1)

    Reference: Mirza and Osindero, Conditional generative adversarial nets, 2014; Miyato and Koyama,
    cGANs with projection discriminator, 2018.
    """

    traits = dataclasses.replace(GAN.traits, context="must")

    def __init__(
        self,
        event_shape: tuple[int, ...] | int,
        *,
        generator: Any = "auto",
        discriminator: Any = "auto",
        generator_normalization: str | None = "auto",
        discriminator_dropout: float | None = 0.0,
        generator_dropout: float | None = 0.0,
        **arguments: Any,
    ):
        super().__init__(
            event_shape,
            generator=generator,
            discriminator=discriminator,
            generator_normalization=generator_normalization,
            discriminator_dropout=discriminator_dropout,
            generator_dropout=generator_dropout,
            **arguments,
        )
        if not self.context_size:
            raise InvalidInputError(
                f"Expected num_classes (labels) or context_dim (vectors) for {type(self).__name__}"
                ". Received: neither. For data without labels use genzoo.GAN or genzoo.DCGAN."
            )


@register("acgan")
class ACGAN(ConditionalGAN):
    """A conditional GAN whose discriminator also tells the class.

    Args:
        event_shape: Shape of one example.
        num_classes: Number of classes.
        **arguments: As of `GAN`.

    Example:

    >>> data = genzoo.data.load("digits")
    >>> model = genzoo.ACGAN((8, 8, 1), num_classes=10, filters=8, seed=0)
    >>> history = model.fit(data.x_train[:256], data.y_train[:256], epochs=1, verbose=0)
    >>> model.predict_proba(data.x_test[:3]).shape
    (3, 10)

    Reference: Odena, Olah and Shlens, Conditional image synthesis with auxiliary classifier GANs,
    2017.
    """

    def __init__(
        self,
        event_shape: tuple[int, ...] | int,
        *,
        conditioning: str = "auxiliary",
        **arguments: Any,
    ):
        super().__init__(event_shape, conditioning=conditioning, **arguments)

    def predict_proba(self, x: Any, *, batch_size: int | None = None) -> np.ndarray:
        """Return the discriminator's p(class | x), [n, num_classes].

        Args:
            x: Array [n, *event_shape].
            batch_size: Rows at a time on each replica.
        """
        context = np.zeros(len(x), int)
        data, batch_size = self._read_rows("predict_proba", x, context, batch_size)

        def classify(x, context, first_row):
            judged = self.discriminator_network(self.scaling.to_model(x), context=context)
            return tf.nn.softmax(judged.classes)

        return np.concatenate(list(self.map_rows("predict_proba", classify, data, batch_size)))
