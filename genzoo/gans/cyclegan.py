"""CycleGAN: translation learned without pairs."""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from genzoo.core import checks
from genzoo.core.arguments import ModelArguments
from genzoo.core.checks import check_array
from genzoo.core.engine.replicas import PartFunction, replica_share
from genzoo.core.errors import InvalidInputError
from genzoo.core.registry import register
from genzoo.gans.image_context import ImagePool
from genzoo.gans.translation import Translation, patch_mean
from genzoo.gans.translators import PatchDiscriminator, ResNetGenerator

if TYPE_CHECKING:
    from typing_extensions import Unpack

_POOL_X, _POOL_Y = 40, 41


@register("cyclegan")
class CycleGAN(Translation):
    """Turns images x into images y and back, learned from two sets without pairs.

    Two generators, one each way, and a discriminator on each side; there and back again must lead
    to the image at the start. The sets may differ in length. The translation has no noise:
    `sample(n, context=x)` is `translate(x)`.

    Args:
        event_shape: Shape (height, width, channels) of y.
        source_shape: Shape of x, of the same height and width; `None` for that of y.
        filters: Channels of the finest scale of all networks.
        num_blocks: Residual blocks of a generator.
        num_patch_layers: Strided layers of a discriminator; 3 see patches of 70 x 70.
        loss: As of `GAN`, the mean over the patches of an image.
        cycle_weight: Of the mean absolute difference after there and back, on images in [-1, 1].
        identity_weight: Of that between y and what y itself becomes, and the like of x; x and y
            need as many channels then. `None`: half of `cycle_weight`, or 0 where they have not.
        pool_size: Past images that a discriminator is shown, too; 0 for none.
        **model_arguments: `levels` (of y), `seed`, `name`, `dtype`; see `GenerativeModel`.

    Example:

    >>> y = genzoo.data.load("digits").x_train
    >>> x = 16 - y[:200]
    >>> model = genzoo.CycleGAN((8, 8, 1), filters=4, num_blocks=1, seed=0)
    >>> history = model.fit(x, y[200:400], epochs=1, verbose=0)
    >>> model.translate(x[:5]).shape, model.translate(y[:5], backward=True).shape
    ((5, 8, 8, 1), (5, 8, 8, 1))

    Reference: Zhu et al., Unpaired image-to-image translation using cycle-consistent adversarial
    networks, 2017.
    """

    # a weight would be of which of the two sets?
    traits = dataclasses.replace(Translation.traits, paired_context=False, sample_weight=False)

    def __init__(
        self,
        event_shape: tuple[int, ...],
        *,
        source_shape: tuple[int, ...] | None = None,
        filters: int = 64,
        num_blocks: int = 6,
        num_patch_layers: int = 2,
        loss: str = "least_squares",
        cycle_weight: float = 10.0,
        identity_weight: float | None = None,
        pool_size: int = 50,
        **model_arguments: "Unpack[ModelArguments]",
    ):
        super().__init__(event_shape, source_shape=source_shape, loss=loss, **model_arguments)
        self.filters = checks.check_int(filters, "filters")
        self.num_blocks = checks.check_int(num_blocks, "num_blocks", minimum=0)
        self.num_patch_layers = checks.check_int(num_patch_layers, "num_patch_layers")
        self.cycle_weight = checks.check_number(cycle_weight, "cycle_weight")
        self.identity_weight = identity_weight
        self.pool_size = checks.check_int(pool_size, "pool_size", minimum=0)
        self._identity_weight = self._check_identity_weight()
        shapes = {"x": self._source, "y": self.event_shape}
        others = {"x": self.event_shape, "y": self._source}
        # by what they make
        self.generators = {
            side: ResNetGenerator(
                others[side],
                shapes[side][-1],
                self.filters,
                num_blocks=self.num_blocks,
                **self._part_arguments(i),
            )
            for i, side in enumerate("xy")
        }
        self.discriminators = {
            side: PatchDiscriminator(
                shapes[side],
                self.filters,
                num_layers=self.num_patch_layers,
                **self._part_arguments(2 + i),
            )
            for i, side in enumerate("xy")
        }
        self.pools = {
            side: ImagePool(self.pool_size, shapes[side], dtype=self.dtype_policy) for side in "xy"
        }
        self._name_metrics("cycle", *(["identity"] if self._identity_weight else []))
        self.built = True

    def _check_identity_weight(self) -> float:
        same = self._source[-1] == self.event_shape[-1]
        if self.identity_weight is None:
            return 0.5 * self.cycle_weight if same else 0.0
        weight = checks.check_number(self.identity_weight, "identity_weight")
        if weight and not same:
            raise InvalidInputError(
                "Expected identity_weight=0 (or None) where x and y differ in channels. Received: "
                f"identity_weight={self.identity_weight!r}, event_shape={self.event_shape}, "
                f"source_shape={self.source_shape}"
            )
        return weight

    def _generator_side(self):
        return [v for side in "xy" for v in self.generators[side].trainable_variables]

    def _discriminator_side(self):
        return [v for side in "xy" for v in self.discriminators[side].trainable_variables]

    def _translated(self, x, noise, temperature):
        return self.generators["y"](x)

    def _make(self, x, y, noise):
        return {"y": self.generators["y"](x), "x": self.generators["x"](y)}

    def _discriminator_loss(self, x, y, made, noise, weights):
        scores, losses = [], 0.0
        for side, real, salt in (("x", x, _POOL_X), ("y", y, _POOL_Y)):
            fake = made[side]
            if noise is not None:
                fake = self.pools[side].exchange(fake, noise.part(salt).seed)
            judge = self.discriminators[side]
            on_real, on_fake = judge(real), judge(fake)
            scores.append((patch_mean(on_real), patch_mean(on_fake)))
            # Zhu et al. 2017: half the pace of the generators'
            losses += 0.5 * patch_mean(
                self._loss.on_real(on_real) + self._loss.on_generated(on_fake)
            )
        on_real, on_fake = (tf.concat(both, axis=0) for both in zip(*scores, strict=True))
        losses += self._side_losses(self._discriminator_side(), losses)
        self._record_scores(losses, on_real, on_fake, self._loss.boundary)
        return replica_share(losses)

    def _generator_loss(self, x, y, made, weights):
        losses, cycle, identity = 0.0, 0.0, 0.0
        for side, other, real in (("x", "y", x), ("y", "x", y)):
            losses += patch_mean(self._loss.generator(self.discriminators[side](made[side])))
            back = self.generators[side](made[other])
            cycle += patch_mean(tf.abs(back - real))
            if self._identity_weight:
                identity += patch_mean(tf.abs(self.generators[side](real) - real))
        losses += self.cycle_weight * cycle
        if self._identity_weight:
            losses += self._identity_weight * identity
            self._record(identity=identity)
        losses += self._side_losses(self._generator_side(), losses)
        self._record(generator_loss=losses, cycle=cycle)
        return replica_share(losses)

    # Use

    def translate(self, x: Any, *, backward: bool = False) -> np.ndarray:
        """Return what images x become, in the kind of y.

        Args:
            x: Images [n, *source_shape].
            backward: Whether `x` are images like y, [n, *event_shape], to be turned into such as x.

        Returns:
            Array [n, *event_shape]; backward [n, *source_shape].

        Raises:
            NotFittedError: Before `fit` or `adapt`.
        """
        if not backward:
            return super().translate(x)
        self._check_fitted("translate")
        y = check_array(x, self.event_shape, "the images to translate")
        self.data_spec.check(y, "the images to translate", float_dtype=self.float_dtype)
        y = y.astype(self.input_dtype, copy=False)
        signature = [self._y_signature()]
        graph = self.functions.get("backward", lambda: PartFunction(self._backward, signature))
        parts = ([part] for part in map(tf.convert_to_tensor, np.array_split(y, -(-len(y) // 256))))
        return np.concatenate(list(graph.run(self.distribute_strategy, parts)))

    def _y_signature(self) -> tf.TensorSpec:
        return tf.TensorSpec([None, *self.event_shape], self.input_dtype, name="y")

    def _backward(self, y):
        made = self.generators["x"](self.scaling.to_model(self.to_model(y)))
        return self.context_spec.spec.to_data(self.source_scaling.to_data(made))

    def discriminate(self, y: Any, *, batch_size: int | None = None) -> np.ndarray:
        """Return the mean score of the patches of each y, [n]; higher is more real.

        Args:
            y: Images [n, *event_shape].
            batch_size: Rows at a time on each replica.
        """
        self._check_fitted("discriminate")
        # the scores do not look at x
        x = np.zeros((1, *self._source), self.context_spec.row_dtype)
        data, batch_size = self._read_rows("discriminate", x, y, batch_size)

        def score(y, x, first_row):
            return patch_mean(self.discriminators["y"](self.scaling.to_model(y)))

        return np.concatenate(list(self.map_rows("discriminate", score, data, batch_size)))

    def export_signatures(self):
        """As in `Translation`, with `translate_back(y)`."""
        back = (self._backward, [self._y_signature()])
        return {**super().export_signatures(), "translate_back": back}
