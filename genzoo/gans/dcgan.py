"""GANs of convolutions."""

import dataclasses
from typing import Any

from genzoo.core.registry import register
from genzoo.gans.gan import GAN


@register("dcgan")
class DCGAN(GAN):
    """A GAN of convolutions with batch normalisation, for images of 8 x 8 to 64 x 64 and beyond.

    Args:
        event_shape: (height, width, channels).
        **arguments: As of `GAN`.

    Example:

    >>> x = genzoo.data.load("digits").x_train[:256]
    >>> model = genzoo.DCGAN((8, 8, 1), filters=8, seed=0)
    >>> history = model.fit(x, epochs=1, verbose=0)
    >>> model.sample(5, seed=0).shape
    (5, 8, 8, 1)

    Reference: Radford, Metz and Chintala, Unsupervised representation learning with deep
    convolutional generative adversarial networks, 2016.
    """

    traits = dataclasses.replace(GAN.traits, examples=("image",))

    def __init__(
        self,
        event_shape: tuple[int, ...] | int,
        *,
        latent_dim: int = 100,
        generator: Any = "conv",
        discriminator: Any = "conv",
        generator_normalization: str | None = "batch",
        discriminator_normalization: str | None = "batch",
        discriminator_dropout: float | None = 0.0,
        penalty: str | None = None,
        **arguments: Any,
    ):
        super().__init__(
            event_shape,
            latent_dim=latent_dim,
            generator=generator,
            discriminator=discriminator,
            generator_normalization=generator_normalization,
            discriminator_normalization=discriminator_normalization,
            discriminator_dropout=discriminator_dropout,
            penalty=penalty,
            **arguments,
        )
