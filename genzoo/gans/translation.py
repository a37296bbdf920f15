"""Translation: what models from image to image have in common."""

import dataclasses
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from genzoo.core import checks
from genzoo.core.arguments import ModelArguments
from genzoo.core.errors import InvalidInputError
from genzoo.core.inputs.spec import DataSpec
from genzoo.core.maths.random import make_seed
from genzoo.core.traits import is_image
from genzoo.gans.adversarial import AdversarialModel
from genzoo.gans.image_context import ImageContext
from genzoo.gans.pairs import PairSchema
from genzoo.gans.scaling import Scaling

if TYPE_CHECKING:
    from typing_extensions import Unpack

_SHOWN = 8


class Translation(AdversarialModel):
    """Base of models that learn to turn images x into images y.

    A subclass implements `_translated(x, noise, temperature)`, and of a training step `_make`,
    `_discriminator_loss` and `_generator_loss`.

    Args:
        event_shape: Shape (height, width, channels) of y.
        source_shape: Shape of x, of the same height and width; `None` for that of y.
        loss: As of `GAN`, the mean over the patches of an image.
        **model_arguments: `levels` (of y), `seed`, `name`, `dtype`; see `GenerativeModel`.
    """

    traits = dataclasses.replace(AdversarialModel.traits, examples=("pair",), context="must")
    default_batch_size = 16

    def __init__(
        self,
        event_shape: tuple[int, ...],
        *,
        source_shape: tuple[int, ...] | None = None,
        loss: str = "least_squares",
        **model_arguments: "Unpack[ModelArguments]",
    ):
        super().__init__(event_shape, **model_arguments)
        self.source_shape = None
        if source_shape is not None:
            self.source_shape = checks.check_shape(source_shape, "source_shape")
        self._source = self.source_shape or self.event_shape
        if not is_image(self.event_shape) or self._source[:2] != self.event_shape[:2]:
            raise InvalidInputError(
                "Expected images (height, width, channels), x and y of the same height and width. "
                f"Received: event_shape={self.event_shape}, source_shape={self.source_shape}. "
                "Resize them first, for example with tf.image.resize."
            )
        if self.context_size:
            raise InvalidInputError(
                f"Expected no labels or vectors: {type(self).__name__} is conditional on images. "
                f"Received: num_classes={self.num_classes!r}, context_dim={self.context_dim!r}"
            )
        self.context_spec = ImageContext(self._source, self.float_dtype)
        self._set_loss(loss)
        self.scaling = Scaling(self.event_shape, dtype=self.dtype_policy)
        self.source_scaling = Scaling(self._source, dtype=self.dtype_policy)

    def _part_arguments(self, index: int) -> dict[str, Any]:
        seed = None if self.seed is None else 1000 * self.seed + 100 * index
        return {"seed": seed, "dtype": self.dtype_policy}

    # Doors

    def fit(self, x: Any, y: Any = None, **arguments: Any) -> keras.callbacks.History:
        """Train with Keras's own `fit`.

        Args:
            x: Images to translate [n, *source_shape], or a `tf.data.Dataset` of pairs (x, y).
            y: What they should become [n, *event_shape].
            **arguments: As of `GenerativeModel.fit`; `validation_data` is (x, y) or a data set.

        Returns:
            Keras's `History`.

        Raises:
            InvalidInputError: For images of the wrong shape, dtype or range; before any weight
                changes.
        """
        return super().fit(x, y, **arguments)

    def adapt(self, x: Any, y: Any = None, *, batch_size: int | None = None) -> None:
        """Show the images to the scaling; the first `fit` does so by itself.

        Args:
            x, y, batch_size: As in `fit`.
        """
        super().adapt(x, y, batch_size=batch_size)

    @property
    def inputs(self):
        """What the model takes: inside, y is what is generated and x its context."""
        given = super().inputs
        own = {field.name: getattr(given, field.name) for field in dataclasses.fields(given)}
        return PairSchema(**own, paired=self.traits.paired_context)

    def _observe(self, data, batch_size):
        low, high, dtype = np.inf, -np.inf, None
        for batch in data.batches(max(batch_size, 4096)):
            x = batch["context"]
            low, high, dtype = min(low, x.min()), max(high, x.max()), x.dtype
        spec = super()._observe(data, batch_size)
        self.context_spec.spec = DataSpec.of(dtype, low, high, None)
        return spec

    def _adapt_parts(self, batches):
        self.scaling.adapt((batch["x"] for batch in batches()), self.data_spec)
        sources = (batch["context"] for batch in batches())
        self.source_scaling.adapt(sources, self.context_spec.spec)

    def fitted_state(self):
        """Return what was learned beside the weights, as JSON."""
        spec = self.context_spec.spec
        own = {"dtype": spec.dtype, "levels": spec.levels}
        return {**super().fitted_state(), "source_spec": own}

    def restore_state(self, state):
        """Take back what `fitted_state` returned."""
        super().restore_state(state)
        self.context_spec.spec = DataSpec(**state["source_spec"])

    # A step

    def train_step(self, data):
        """Update both sides once."""
        y, x, weights = self._take(data)
        noise = self._noise(make_seed(self.seed_generator.next()), y)
        y, x = self.scaling.to_model(y), self.source_scaling.to_model(x)
        with tf.GradientTape() as tape:
            made = self._make(x, y, noise)
            with tape.stop_recording(), tf.GradientTape() as other:
                loss = self._discriminator_loss(x, y, made, noise, weights)
            with tape.stop_recording():
                variables = self._discriminator_side()
                self._train(self.discriminator_optimizer, variables, other, loss)
            loss = self._generator_loss(x, y, made, weights)
        self._train(self.optimizer, self._generator_side(), tape, loss)
        return self._results()

    def test_step(self, data):
        """Score held-out images; nothing is updated."""
        y, x, weights = self._take(data)
        y, x = self.scaling.to_model(y), self.source_scaling.to_model(x)
        made = self._make(x, y, None)
        self._discriminator_loss(x, y, made, None, weights)
        self._generator_loss(x, y, made, weights)
        return self._results()

    def call(self, inputs, training=False):
        """Return what images become, on the model's side."""
        x = inputs["context"] if isinstance(inputs, dict) else inputs
        return self._translated(self.source_scaling.to_model(x), None, 0.0)

    def _predict_rows(self, x, context, first_row):
        return self._translated(self.source_scaling.to_model(context), None, 0.0)

    def _make(self, x, y, noise) -> dict[str, tf.Tensor]:
        """Hook: the images that a step generates; without noise, those of a test."""
        raise NotImplementedError

    def _discriminator_loss(self, x, y, made, noise, weights) -> tf.Tensor:
        """Hook: this replica's share of the discriminators' loss, recorded."""
        raise NotImplementedError

    def _generator_loss(self, x, y, made, weights) -> tf.Tensor:
        """Hook: this replica's share of the generators' loss, recorded."""
        raise NotImplementedError

    def _translated(self, x, noise, temperature) -> tf.Tensor:
        """Hook: what x become, both on the model's side."""
        raise NotImplementedError

    # Use

    def _sample(self, n, context, temperature, seed):
        x = self.source_scaling.to_model(context)
        noise = self._noise(seed, x)
        return self.scaling.to_data(self._translated(x, noise, temperature))

    def translate(self, x: Any) -> np.ndarray:
        """Return what images become, without noise, in the kind of y.

        Args:
            x: Images [n, *source_shape].

        Returns:
            Array [n, *event_shape].

        Raises:
            NotFittedError: Before `fit` or `adapt`.
        """
        self._check_fitted("translate")
        x = self.context_spec.check(x, None, self._class_name())
        return self._draw(len(x), x, 0.0, 0)

    def _input_kinds(self):
        source = self.context_spec.spec
        return {"x": source, "context": source, "y": self.data_spec}

    def export_signatures(self):
        """As in `GenerativeModel`, with `translate(x)`, x of the dtype of the images of `fit`."""
        signature = tf.TensorSpec([None, *self._source], self.context_spec.row_dtype, name="x")

        def translate(x):
            made = self._translated(self.source_scaling.to_model(x), None, 0.0)
            return self.data_spec.to_data(self.scaling.to_data(made))

        return {"translate": (translate, [signature]), **super().export_signatures()}


def patch_mean(losses: tf.Tensor) -> tf.Tensor:
    """Return the mean over each example's patches, values or pixels, [n]."""
    return tf.reduce_mean(losses, axis=list(range(1, len(losses.shape))))
