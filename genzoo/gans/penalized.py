"""GANs that a gradient penalty holds stable."""

from typing import Any

from genzoo.core.registry import register
from genzoo.gans.gan import GAN


@register("wgan_gp")
class WGANGP(GAN):
    """A GAN on the Wasserstein distance, its critic held to slopes of 1.

    Five updates of the critic for each of the generator.

    Args:
        event_shape: Shape of one example.
        generator, discriminator: As of `GAN`; `"auto"`: `"conv"` on images, `"mlp"` on all else.
        **arguments: As of `GAN`.

    Example:

    >>> x = genzoo.data.toy("moons", 640, seed=0)
    >>> model = genzoo.WGANGP((2,), latent_dim=2, seed=0)
    >>> history = model.fit(x, epochs=1, verbose=0)
    >>> model.discriminate(x[:3]).shape
    (3,)

    Reference: Gulrajani et al., Improved training of Wasserstein GANs, 2017.
    """

    default_betas = (0.0, 0.9)

    def __init__(
        self,
        event_shape: tuple[int, ...] | int,
        *,
        generator: Any = "auto",
        discriminator: Any = "auto",
        generator_normalization: str | None = "auto",
        discriminator_normalization: str | None = "auto",
        generator_dropout: float | None = 0.0,
        discriminator_dropout: float | None = 0.0,
        loss: str = "wasserstein",
        penalty: str | None = "wgan_gp",
        discriminator_steps: int = 5,
        **arguments: Any,
    ):
        super().__init__(
            event_shape,
            generator=generator,
            discriminator=discriminator,
            generator_normalization=generator_normalization,
            discriminator_normalization=discriminator_normalization,
            generator_dropout=generator_dropout,
            discriminator_dropout=discriminator_dropout,
            loss=loss,
            penalty=penalty,
            discriminator_steps=discriminator_steps,
            **arguments,
        )

    @property
    def default_learning_rate(self) -> float:
        # the paper's on images
        return 1e-4 if self.on_images else super().default_learning_rate


@register("dragan")
class DRAGAN(GAN):
    """A GAN whose discriminator has slopes of 1 around the data.

    Args:
        event_shape: Shape of one example.
        generator, discriminator: As of `GAN`; `"auto"`: `"conv"` on images, `"mlp"` on all else.
        **arguments: As of `GAN`.

    Example:

    >>> x = genzoo.data.toy("moons", 512, seed=0)
    >>> model = genzoo.DRAGAN((2,), latent_dim=2, seed=0)
    >>> history = model.fit(x, epochs=1, verbose=0)
    >>> sorted(history.history)[:2]
    ['accuracy_generated', 'accuracy_real']

    Reference: Kodali et al., On convergence and stability of GANs, 2017.
    """

    def __init__(
        self,
        event_shape: tuple[int, ...] | int,
        *,
        generator: Any = "auto",
        discriminator: Any = "auto",
        generator_normalization: str | None = "auto",
        discriminator_normalization: str | None = "auto",
        generator_dropout: float | None = 0.0,
        discriminator_dropout: float | None = 0.0,
        penalty: str | None = "dragan",
        **arguments: Any,
    ):
        super().__init__(
            event_shape,
            generator=generator,
            discriminator=discriminator,
            generator_normalization=generator_normalization,
            discriminator_normalization=discriminator_normalization,
            generator_dropout=generator_dropout,
            discriminator_dropout=discriminator_dropout,
            penalty=penalty,
            **arguments,
        )
