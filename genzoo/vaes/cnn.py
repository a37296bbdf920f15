"""VAECNN: the VAE with convolutional networks."""

from typing import Any

import keras

from genzoo.core.registry import register
from genzoo.vaes.vae import VAE


@register("vae_cnn")
class VAECNN(VAE):
    """A VAE on images whose encoder and decoder are convolutional; on vectors they are MLPs.

    Args:
        event_shape: Shape of one example, such as `(28, 28, 1)`, of any size.
        encoder, decoder: As for `VAE`, which see.
        **vae_arguments: As for `VAE`.

    Example:

    >>> x = genzoo.data.load("digits").x_train
    >>> model = genzoo.VAECNN((8, 8, 1), latent_dim=2, filters=4, seed=0)
    >>> history = model.fit(x[:256], epochs=1, verbose=0)
    >>> model.reconstruct(x[:3]).shape
    (3, 8, 8, 1)

    Reference: Kingma and Welling, Auto-encoding variational Bayes, 2014; Dai and Wipf, Diagnosing
    and enhancing VAE models, 2019 (the residual networks).
    """

    default_steps_per_execution = 1

    def __init__(
        self,
        event_shape: tuple[int, ...] | int,
        *,
        encoder: str | keras.layers.Layer = "auto",
        decoder: str | keras.layers.Layer = "auto",
        **vae_arguments: Any,
    ):
        super().__init__(event_shape, encoder=encoder, decoder=decoder, **vae_arguments)
