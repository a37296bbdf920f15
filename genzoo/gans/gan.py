"""GAN: a generator and a discriminator trained against each other."""

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from genzoo.core import checks
from genzoo.core.arguments import ModelArguments
from genzoo.core.engine.losses import call_losses, weigh
from genzoo.core.engine.replicas import replica_share
from genzoo.core.errors import InvalidInputError
from genzoo.core.maths.random import make_seed, normal_rows, uniform_rows
from genzoo.core.registry import register
from genzoo.gans.adversarial import AdversarialModel
from genzoo.gans.differentiable_augmentation import AUGMENTATIONS
from genzoo.gans.discriminators import CONDITIONINGS, Judgement, make_discriminator
from genzoo.gans.generators import make_generator
from genzoo.gans.inversion import InvertedModel
from genzoo.gans.penalties import PENALTIES, WEIGHTS
from genzoo.gans.scaling import Scaling
from genzoo.gans.unrolling import unroll
from genzoo.nets import NORMALIZATIONS

if TYPE_CHECKING:
    from typing_extensions import Unpack

_LATENT, _REAL, _FAKE, _DROPOUT, _PENALTY, _GENERATOR = range(10, 16)


class GANArguments(ModelArguments, total=False):
    """Arguments that models built on `GAN` pass on to it."""

    latent_dim: int | None
    generator: str | keras.layers.Layer
    discriminator: str | keras.layers.Layer
    generator_units: Sequence[int] | None
    discriminator_units: Sequence[int] | None
    filters: int
    generator_normalization: str | None
    discriminator_normalization: str | None
    generator_dropout: float | None
    discriminator_dropout: float | None
    loss: str
    penalty: str | None
    penalty_weight: float | None
    discriminator_steps: int
    unrolled_steps: int
    label_smoothing: float
    instance_noise: float
    spectral_normalization: bool
    minibatch_discrimination: bool
    augmentation: Sequence[str]
    conditioning: str
    ema_decay: float


@register("gan")
class GAN(InvertedModel, AdversarialModel):
    """A generative adversarial network.

    The discriminator learns to tell real from generated examples, the generator to pass for real.
    A step is `discriminator_steps` updates of the one, each on its own part of the batch and
    against newly generated examples, and one of the other. `compile(optimizer,
    discriminator_optimizer)` sets both optimisers. There is no likelihood: `log_prob` raises
    `NoDensityError`.

    Args:
        event_shape: Shape of one example.
        latent_dim: Width of the latent vector z, standard normal. `None`: 32 on images, the number
            of features, at most 32, on all else.
        generator, discriminator: `"mlp"`; `"conv"` (images of any size); `"auto"` for `"conv"` on
            images and `"mlp"` on all else; or Keras networks of your own: a generator of
            [n, latent_dim] to [n, *event_shape], for images on [-1, 1], for all else with mean 0
            and variance 1; a discriminator of [n, *event_shape] to any features (a linear layer
            follows). With a context both take a list, [x, context].
        generator_units, discriminator_units: `"mlp"`: widths of the hidden layers. `None`:
            (128, 256, 512) and (512, 256) on images, (128, 128, 128) on all else.
        filters: `"conv"`: channels of the finest scale, doubled at each coarser, at most 8 times.
        generator_normalization, discriminator_normalization: Of the hidden layers: `"batch"`,
            `"layer"`, `"instance"`, `None`, or `"auto"`: none in `"mlp"`, in `"conv"` `"batch"` for
            the generator and `"layer"` for the discriminator.
        generator_dropout, discriminator_dropout: Shares of the hidden values set to zero in
            training (`"mlp"`; the discriminator's also `"conv"`). `None`: 0.1 and 0.3 on images,
            0 on all else.
        loss: `"non_saturating"`, `"minimax"`, `"least_squares"`, `"wasserstein"` or `"hinge"`.
        penalty: On the slope of the discriminator: `"r1"`, `"wgan_gp"`, `"dragan"` or `None`.
        penalty_weight: Its weight in the discriminator's loss; `None`: 0.1 for R1; for the others
            10 on images and 1 on all else.
        discriminator_steps: Updates of the discriminator for each of the generator.
        unrolled_steps: Steps of the discriminator that the generator looks ahead. Without a
            penalty compile the discriminator with a tenth of the generator's rate (Metz et al.
            2017): far ahead, a fast one tells the generator little.
        label_smoothing: One-sided: how far the target of real examples stays below 1.
        instance_noise: Standard deviation of the noise on all that the discriminator sees.
        spectral_normalization: Whether all layers of the discriminator have a norm of 1.
        minibatch_discrimination: Whether the discriminator sees how close examples are.
        augmentation: Images: of what the discriminator sees, any of `"color"`, `"translation"`
            and `"cutout"`.
        conditioning: How the discriminator takes a context: `"projection"`, `"concatenation"` or,
            for labels, `"auxiliary"` (a classifier beside the score). The generator's joins z.
        ema_decay: Of the moving average of the generator's weights that `sample` uses; 0 for the
            weights themselves.
        **model_arguments: `levels`, `context_dim`, `num_classes`, `seed`, `name`, `dtype`; see
            `GenerativeModel`.

    Example:

    >>> x = genzoo.data.toy("eight_gaussians", 512, seed=0)
    >>> model = genzoo.GAN((2,), latent_dim=2, seed=0)
    >>> history = model.fit(x, epochs=1, verbose=0)
    >>> model.sample(5, seed=0).shape
    (5, 2)

    Reference: Goodfellow et al., Generative adversarial networks, 2014.
    """

    def __init__(
        self,
        event_shape: tuple[int, ...] | int,
        *,
        latent_dim: int | None = None,
        generator: str | keras.layers.Layer = "mlp",
        discriminator: str | keras.layers.Layer = "mlp",
        generator_units: Sequence[int] | None = None,
        discriminator_units: Sequence[int] | None = None,
        filters: int = 64,
        generator_normalization: str | None = None,
        discriminator_normalization: str | None = None,
        generator_dropout: float | None = None,
        discriminator_dropout: float | None = None,
        loss: str = "non_saturating",
        penalty: str | None = "r1",
        penalty_weight: float | None = None,
        discriminator_steps: int = 1,
        unrolled_steps: int = 0,
        label_smoothing: float = 0.0,
        instance_noise: float = 0.0,
        spectral_normalization: bool = False,
        minibatch_discrimination: bool = False,
        augmentation: Sequence[str] = (),
        conditioning: str = "projection",
        ema_decay: float = 0.999,
        **model_arguments: "Unpack[ModelArguments]",
    ):
        super().__init__(event_shape, **model_arguments)
        images = self.on_images
        if latent_dim is None:
            latent_dim = 32 if images else min(max(self.event_size, 2), 32)
        if generator_units is None:
            generator_units = (128, 256, 512) if images else (128, 128, 128)
        if discriminator_units is None:
            discriminator_units = (512, 256) if images else (128, 128, 128)
        self.latent_dim = checks.check_int(latent_dim, "latent_dim")
        self.generator, self.discriminator = generator, discriminator
        self.generator_units = checks.check_units(generator_units, "generator_units")
        self.discriminator_units = checks.check_units(discriminator_units, "discriminator_units")
        self.filters = checks.check_int(filters, "filters")
        normalizations = ("auto", *NORMALIZATIONS)
        self.generator_normalization = checks.check_choice(
            generator_normalization, normalizations, "generator_normalization"
        )
        self.discriminator_normalization = checks.check_choice(
            discriminator_normalization, normalizations, "discriminator_normalization"
        )
        self.generator_dropout, self.discriminator_dropout = (
            generator_dropout,
            discriminator_dropout,
        )
        self.penalty = checks.check_choice(penalty, PENALTIES, "penalty")
        self.penalty_weight = penalty_weight
        self._penalty_weight = checks.check_number(
            WEIGHTS[penalty][0 if images else 1] if penalty_weight is None else penalty_weight,
            "penalty_weight",
        )
        self.discriminator_steps = checks.check_int(discriminator_steps, "discriminator_steps")
        self.unrolled_steps = checks.check_int(unrolled_steps, "unrolled_steps", minimum=0)
        self.label_smoothing = checks.check_part(label_smoothing, "label_smoothing")
        self.instance_noise = checks.check_number(instance_noise, "instance_noise")
        self.spectral_normalization = checks.check_choice(
            spectral_normalization, (True, False), "spectral_normalization"
        )
        self.minibatch_discrimination = checks.check_choice(
            minibatch_discrimination, (True, False), "minibatch_discrimination"
        )
        if not isinstance(augmentation, (list, tuple)):
            raise InvalidInputError(
                "Expected augmentation to be a tuple of names, such as ('translation',). "
                f"Received: augmentation={augmentation!r}"
            )
        self.augmentation = tuple(augmentation)
        self.conditioning = checks.check_choice(conditioning, CONDITIONINGS, "conditioning")
        self.ema_decay = checks.check_part(ema_decay, "ema_decay")
        self._set_loss(loss, self.label_smoothing)
        self._check_combination()
        self._make_parts()
        names = ["penalty"] if penalty else []
        self._name_metrics(*names, *(["class_accuracy"] if self._classifies else []))
        self.built = True

    def _check_combination(self):
        for name in self.augmentation:
            checks.check_choice(name, AUGMENTATIONS, "augmentation")
        if self.augmentation and not self.on_images:
            raise InvalidInputError(
                "Expected augmentation with images (height, width, channels) alone. Received: "
                f"augmentation={self.augmentation}, event_shape={self.event_shape}"
            )
        if self.label_smoothing and not self._loss.smooths:
            raise InvalidInputError(
                "Expected label_smoothing with a loss that has labels: 'non_saturating', 'minimax' "
                f"or 'least_squares'. Received: loss={self.loss_name!r}, "
                f"label_smoothing={self.label_smoothing}"
            )
        if self.penalty and self.discriminator_normalization == "batch":
            raise InvalidInputError(
                "Expected discriminator_normalization='layer', 'instance' or None with a penalty: "
                "under batch normalisation a score has no slope of its own. Received: "
                f"penalty={self.penalty!r}, discriminator_normalization='batch'"
            )
        if self.conditioning == "auxiliary" and self.context_dim:
            raise InvalidInputError(
                "Expected labels (num_classes) with conditioning='auxiliary'. Received: "
                f"context_dim={self.context_dim}. Use conditioning='projection'."
            )

    def _make_parts(self):
        shared = {"context_size": self.context_size, "dtype": self.dtype_policy}
        self.scaling = Scaling(self.event_shape, dtype=self.dtype_policy)
        self.generator_network = make_generator(
            self.generator,
            self.event_shape,
            self.latent_dim,
            hidden_units=self.generator_units,
            filters=self.filters,
            normalization=self.generator_normalization,
            dropout=self._dropout("generator", 0.1),
            seed=self._part_seed(0),
            **shared,
        )
        self.discriminator_network = make_discriminator(
            self.discriminator,
            self.event_shape,
            hidden_units=self.discriminator_units,
            filters=self.filters,
            normalization=self.discriminator_normalization,
            dropout=self._dropout("discriminator", 0.3),
            conditioning=self.conditioning,
            minibatch_discrimination=self.minibatch_discrimination,
            bias=self._loss.boundary is not None,
            spectral_normalization=self.spectral_normalization,
            seed=self._part_seed(100),
            **shared,
        )
        self._averaged = list(self.generator_network.variables) if self.ema_decay else []
        self._averages = [
            self.add_weight(
                shape=v.shape, initializer="zeros", trainable=False, autocast=False,
                dtype=v.dtype, name=f"average_{i}",
            )
            for i, v in enumerate(self._averaged)
        ]  # fmt: skip
        for average, variable in zip(self._averages, self._averaged, strict=True):
            average.assign(variable)

    def _dropout(self, side: str, on_images: float) -> float:
        given = getattr(self, f"{side}_dropout")
        if given is None:
            return on_images if self.on_images else 0.0
        return checks.check_part(given, f"{side}_dropout")

    def _generator_side(self):
        return self.generator_network.trainable_variables

    def _discriminator_side(self):
        return self.discriminator_network.trainable_variables

    def _part_seed(self, index: int) -> int | None:
        return None if self.seed is None else 1000 * self.seed + index

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of one z."""
        return (self.latent_dim,)

    @property
    def _classifies(self) -> bool:
        return bool(self.context_size) and self.conditioning == "auxiliary"

    # Training

    def _adapt_parts(self, batches):
        self.scaling.adapt((batch["x"] for batch in batches()), self.data_spec)

    def _batch_dataset(self, data, batch_size, shuffle):
        return super()._batch_dataset(data, batch_size * self.discriminator_steps, shuffle)

    def train_step(self, data):
        """Update the discriminator `discriminator_steps` times and the generator once."""
        rows, context, weights = self._take(data)
        real = self.scaling.to_model(rows)
        seed = make_seed(self.seed_generator.next())
        with tf.GradientTape() as tape:
            for i in range(self.discriminator_steps):
                *part, own = _deal([real, context, weights], i, self.discriminator_steps)
                noise = self._noise(seed, part[0]).part(i)
                last = i == self.discriminator_steps - 1
                with contextlib.nullcontext() if last else tape.stop_recording():
                    fake = self._generate_rows(*part, noise)
                with tape.stop_recording():
                    self._train_discriminator(*part, fake, noise, own)
            loss = self._generator_loss(*part, fake, noise, own)
        self._train(self.optimizer, self._generator_side(), tape, loss)
        self._update_average()
        return self._results()

    def _generate_rows(self, real, context, noise):
        n = tf.shape(real)[0]
        z = noise.part(_LATENT).normal(n, self.latent_shape)
        return self.generator_network(z, context, noise=noise.part(_GENERATOR), training=True)

    def _train_discriminator(self, real, context, fake, noise, weights):
        with tf.GradientTape() as tape:
            loss = self._discriminator_loss(real, context, fake, noise, weights, record=True)
        self._train(self.discriminator_optimizer, self._discriminator_side(), tape, loss)

    def _discriminator_loss(self, real, context, fake, noise, weights, record=False, training=True):
        """Return this replica's share of the loss; `record` it in the metrics."""
        real = self._shown(real, noise.part(_REAL))
        fake = self._shown(fake, noise.part(_FAKE))
        on_real = self._judge(real, context, noise.part(_REAL), training)
        called = call_losses(self.discriminator_network)
        on_fake = self._judge(fake, context, noise.part(_FAKE), training)
        called += call_losses(self.discriminator_network)
        losses = self._loss.on_real(on_real.score) + self._loss.on_generated(on_fake.score)
        parts = {}
        if self._classifies:
            losses += _cross_entropy(on_real, context) + _cross_entropy(on_fake, context)
            right = tf.argmax(on_real.classes, axis=1) == tf.argmax(context, axis=1)
            parts["class_accuracy"] = tf.cast(right, losses.dtype)
        if self.penalty:

            def critic(x):
                return self._judge(x, context, noise.part(_PENALTY), training).score

            parts["penalty"] = PENALTIES[self.penalty](critic, real, fake, noise.part(_PENALTY))
            losses += self._penalty_weight * parts["penalty"]
        own = self._side_losses(self._discriminator_side(), losses, called)
        if record:
            scores = on_real.score, on_fake.score
            self._record_scores(losses + own, *scores, self._loss.boundary, weights)
            self._record(weights, **parts)
        return replica_share(weigh(losses, weights) + own)

    def _generator_loss(self, real, context, fake, noise, weights, training=True):
        ahead = contextlib.nullcontext()
        if self.unrolled_steps and training:
            ahead = keras.StatelessScope(
                unroll(
                    self._discriminator_side(),
                    self.discriminator_optimizer,
                    lambda: self._discriminator_loss(real, context, fake, noise, weights),
                    self.unrolled_steps,
                )
            )
        noise = noise.part(_GENERATOR)
        with ahead:
            judged = self._judge(self._shown(fake, noise), context, noise, training)
        losses = self._loss.generator(judged.score)
        if self._classifies:
            losses += _cross_entropy(judged, context)
        called = call_losses(self.generator_network)
        own = self._side_losses(self._generator_side(), losses, called)
        self._record(weights, generator_loss=losses + own)
        return replica_share(weigh(losses, weights) + own)

    def _shown(self, x, noise):
        """Return what the discriminator is shown of examples."""
        for i, name in enumerate(self.augmentation):
            x = AUGMENTATIONS[name](x, noise.part(20 + i))
        if self.instance_noise:
            own = noise.part(30).normal(tf.shape(x)[0], self.event_shape)
            x += self.instance_noise * tf.cast(own, x.dtype)
        return x

    def _judge(self, x, context, noise, training) -> Judgement:
        return self.discriminator_network(
            x, context=context, noise=noise.part(_DROPOUT), training=training
        )

    def _update_average(self):
        # a short history weighs as much as it is long
        steps = tf.cast(self.optimizer.iterations.value, self.float_dtype)
        decay = tf.minimum(tf.cast(self.ema_decay, steps.dtype), steps / (steps + 10.0))
        for average, variable in zip(self._averages, self._averaged, strict=True):
            average.assign(average + (1.0 - decay) * (variable - average))

    def test_step(self, data):
        """Score held-out rows; nothing is updated."""
        rows, context, weights = self._take(data)
        real, noise = self.scaling.to_model(rows), self._noise(make_seed(0), rows)
        z = noise.part(_LATENT).normal(tf.shape(real)[0], self.latent_shape)
        fake = self._generate(z, context)
        self._discriminator_loss(real, context, fake, noise, weights, record=True, training=False)
        self._generator_loss(real, context, fake, noise, weights, training=False)
        return self._results()

    def call(self, inputs, training=False):
        """Return the discriminator's score of each row, [n]."""
        parts = inputs if isinstance(inputs, dict) else {"x": inputs}
        context = self.encode_context(parts.get("context"))
        return self._score(self.to_model(parts["x"]), context, 0)

    # In graph

    def _generate(self, z, context):
        """Return what the averaged generator makes of z, on the model's side."""
        values = [tf.convert_to_tensor(average.value) for average in self._averages]
        with keras.StatelessScope(list(zip(self._averaged, values, strict=True))):
            return self.generator_network(z, context, training=False)

    def _score(self, x, context, first_row):
        return self.discriminator_network(self.scaling.to_model(x), context=context).score

    def _predict_rows(self, x, context, first_row):
        return self._score(x, context, first_row)

    def _sample(self, n, context, temperature, seed, truncation=None):
        if truncation is None:
            z = self._draw_latent(n, context, temperature, seed)
        else:
            z = _truncated_rows(n, self.latent_shape, seed, truncation, self.float_dtype)
            z *= temperature
        return self.scaling.to_data(self._generate(z, context))

    def _draw_latent(self, n, context, temperature, seed):
        return temperature * normal_rows(n, self.latent_shape, seed, dtype=self.float_dtype)

    def _decode(self, z, context):
        return self.data_spec.to_data(self.scaling.to_data(self._generate(z, context)))

    def export_signatures(self):
        """As in `LatentModel`, with `discriminate(x[, context])`, x of the data's dtype."""
        signature = [tf.TensorSpec([None, *self.event_shape], self.input_dtype, name="x")]
        if self.context_size:
            signature.append(self.context_spec.signature())

        def discriminate(x, context=None):
            first_row = tf.constant(0, tf.int64)
            return self._score(self.to_model(x), self.encode_context(context), first_row)

        return {**super().export_signatures(), "discriminate": (discriminate, signature)}

    # Outside

    def sample(
        self,
        n: int,
        *,
        context: Any = None,
        temperature: float = 1.0,
        truncation: float | None = None,
        seed: int | None = None,
    ) -> np.ndarray:
        """Draw samples in the kind of the data.

        Args:
            n, context, temperature, seed: As in `GenerativeModel`; the temperature scales z.
            truncation: Draw z from the normal cut off at this distance from 0 on each axis:
                samples of higher quality and less variety (Brock et al. 2019).
        """
        options = {}
        if truncation is not None:
            options["truncation"] = checks.check_number(truncation, "truncation", exclusive=True)
        return self._draw(n, context, temperature, seed, **options)

    def discriminate(
        self, x: Any, *, context: Any = None, batch_size: int | None = None
    ) -> np.ndarray:
        """Return the discriminator's score of each row, [n]; higher is more real.

        Under `"non_saturating"` and `"minimax"` the log-odds of real against generated.

        Args:
            x: Array [n, *event_shape].
            context: As in `fit`, for conditional models.
            batch_size: Rows at a time on each replica.
        """
        data, batch_size = self._read_rows("discriminate", x, context, batch_size)
        return np.concatenate(list(self.map_rows("discriminate", self._score, data, batch_size)))


def _deal(values: Sequence[tf.Tensor | None], i: int, parts: int) -> list[tf.Tensor | None]:
    """Return every `parts`-th row from the i-th on; rows come twice where there are too few."""
    n = tf.shape(values[0])[0]
    # a replica may have none
    rows = (tf.range(i, tf.maximum(n, parts), parts) % tf.maximum(n, 1))[:n]
    return [None if value is None else tf.gather(value, rows) for value in values]


def _cross_entropy(judged: Judgement, context: tf.Tensor) -> tf.Tensor:
    return tf.nn.softmax_cross_entropy_with_logits(context, judged.classes)


def _truncated_rows(n, shape, seed, limit, dtype):
    """Return normal noise cut off at `limit` on each axis, by the inverse of its distribution."""
    low = tf.cast(0.5 * tf.math.erfc(limit / np.sqrt(2.0)), dtype)
    share = low + (1.0 - 2.0 * low) * uniform_rows(n, shape, seed, dtype=dtype)
    return tf.clip_by_value(tf.math.ndtri(share), -limit, limit)
