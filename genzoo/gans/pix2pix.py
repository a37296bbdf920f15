"""Pix2Pix: translation learned from pairs."""

from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from genzoo.core import checks
from genzoo.core.arguments import ModelArguments
from genzoo.core.engine.losses import weigh
from genzoo.core.engine.replicas import replica_share
from genzoo.core.registry import register
from genzoo.gans.translation import Translation, patch_mean
from genzoo.gans.translators import PatchDiscriminator, UNet

if TYPE_CHECKING:
    from typing_extensions import Unpack


@register("pix2pix")
class Pix2Pix(Translation):
    """Turns images x into images y, learned from pairs.

    A U-Net generates; a discriminator that scores patches sees x and y side by side; the mean
    absolute difference from the true y holds the generator to it. `sample(n, context=x)` draws
    with dropout in the generator, the model's only noise; `translate(x)` is without.

    Args:
        event_shape: Shape (height, width, channels) of y.
        source_shape: Shape of x, of the same height and width; `None` for that of y.
        filters: Channels of the finest scale of both networks.
        num_patch_layers: Strided layers of the discriminator; 3 see patches of 70 x 70.
        dropout: Of the generator's coarse half.
        loss: As of `GAN`, the mean over the patches of an image.
        l1_weight: Of the absolute difference, on images in [-1, 1].
        **model_arguments: `levels` (of y), `seed`, `name`, `dtype`; see `GenerativeModel`.

    Example:

    >>> y = genzoo.data.load("digits").x_train[:256]
    >>> x = 16 - y
    >>> model = genzoo.Pix2Pix((8, 8, 1), filters=8, seed=0)
    >>> history = model.fit(x, y, epochs=1, verbose=0)
    >>> model.translate(x[:5]).shape
    (5, 8, 8, 1)

    Reference: Isola et al., Image-to-image translation with conditional adversarial networks, 2017.
    """

    def __init__(
        self,
        event_shape: tuple[int, ...],
        *,
        source_shape: tuple[int, ...] | None = None,
        filters: int = 64,
        num_patch_layers: int = 2,
        dropout: float = 0.5,
        loss: str = "non_saturating",
        l1_weight: float = 100.0,
        **model_arguments: "Unpack[ModelArguments]",
    ):
        super().__init__(event_shape, source_shape=source_shape, loss=loss, **model_arguments)
        self.filters = checks.check_int(filters, "filters")
        self.num_patch_layers = checks.check_int(num_patch_layers, "num_patch_layers")
        self.dropout = checks.check_part(dropout, "dropout")
        self.l1_weight = checks.check_number(l1_weight, "l1_weight")
        *side, channels = self.event_shape
        self.generator_network = UNet(
            self._source, channels, self.filters, dropout=self.dropout, **self._part_arguments(0)
        )
        self.discriminator_network = PatchDiscriminator(
            (*side, channels + self._source[-1]),
            self.filters,
            num_layers=self.num_patch_layers,
            **self._part_arguments(1),
        )
        self._name_metrics("l1")
        self.built = True

    def _generator_side(self):
        return self.generator_network.trainable_variables

    def _discriminator_side(self):
        return self.discriminator_network.trainable_variables

    def _translated(self, x, noise, temperature):
        return self.generator_network(x, noise=noise, temperature=temperature)

    def _make(self, x, y, noise):
        return {"y": self.generator_network(x, noise=noise, training=noise is not None)}

    def _judge(self, x, y):
        return self.discriminator_network(tf.concat([x, y], axis=3))

    def _discriminator_loss(self, x, y, made, noise, weights):
        real, fake = self._judge(x, y), self._judge(x, made["y"])
        losses = self._loss.on_real(real) + self._loss.on_generated(fake)
        # Isola et al. 2017: half the pace of the generator's
        losses = 0.5 * patch_mean(losses)
        own = self._side_losses(self._discriminator_side(), losses)
        scores = patch_mean(real), patch_mean(fake)
        self._record_scores(losses + own, *scores, self._loss.boundary, weights)
        return replica_share(weigh(losses, weights) + own)

    def _generator_loss(self, x, y, made, weights):
        adversarial = patch_mean(self._loss.generator(self._judge(x, made["y"])))
        difference = patch_mean(tf.abs(made["y"] - y))
        losses = adversarial + self.l1_weight * difference
        own = self._side_losses(self._generator_side(), losses)
        self._record(weights, generator_loss=losses + own, l1=difference)
        return replica_share(weigh(losses, weights) + own)

    def discriminate(self, x: Any, y: Any, *, batch_size: int | None = None) -> np.ndarray:
        """Return the mean score of the patches of each y as what x became, [n].

        Args:
            x: Images [n, *source_shape].
            y: Images [n, *event_shape].
            batch_size: Rows at a time on each replica.
        """
        data, batch_size = self._read_rows("discriminate", x, y, batch_size)

        def score(y, x, first_row):
            judged = self._judge(self.source_scaling.to_model(x), self.scaling.to_model(y))
            return patch_mean(judged)

        return np.concatenate(list(self.map_rows("discriminate", score, data, batch_size)))
