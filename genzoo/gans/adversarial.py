"""AdversarialModel: what models of a generator and a discriminator have in common."""

import dataclasses
from typing import Any

import keras
import tensorflow as tf

from genzoo.core.checks import check_choice
from genzoo.core.engine import fitting
from genzoo.core.engine.adam import Adam
from genzoo.core.engine.losses import row_weights, total_loss, weight_losses
from genzoo.core.engine.replicas import first_row, mean_over_replicas
from genzoo.core.maths.random import RowNoise
from genzoo.core.model import GenerativeModel
from genzoo.gans.adversarial_losses import LOSSES


class AdversarialModel(GenerativeModel):
    """Base of models that train two sides against each other, each with its own optimiser.

    A subclass makes its networks in its constructor, where it calls `_set_loss` and
    `_name_metrics`, and implements `_generator_side` and `_discriminator_side`.
    """

    traits = dataclasses.replace(GenerativeModel.traits, training="adversarial", likelihood="none")
    default_betas = (0.5, 0.999)

    def _set_loss(self, loss: str, label_smoothing: float = 0.0) -> None:
        # `loss` itself belongs to Keras
        self.loss_name = check_choice(loss, LOSSES, "loss")
        self._loss = LOSSES[loss](label_smoothing)

    def _name_metrics(self, *names: str) -> None:
        common = ("generator_loss", "discriminator_loss", "accuracy_real", "accuracy_generated")
        self._means = {name: keras.metrics.Mean(name) for name in (*common, *names)}
        self.discriminator_optimizer = None

    def _generator_side(self) -> list[keras.Variable]:
        """Hook: weights that `compile`'s first optimiser trains."""
        raise NotImplementedError

    def _discriminator_side(self) -> list[keras.Variable]:
        """Hook: weights that its second one trains."""
        raise NotImplementedError

    # Compiling

    @property
    def default_learning_rate(self) -> float:
        # the rate for images finds the modes of a table in no reasonable time
        return 2e-4 if self.on_images else 1e-3

    @property
    def default_steps_per_execution(self) -> int:
        # a loop over steps slows convolutions
        return 1 if self.on_images else 8

    def _default_optimizer(self):
        beta_1, beta_2 = self.default_betas
        return Adam(self.default_learning_rate, beta_1=beta_1, beta_2=beta_2)

    def compile(
        self,
        optimizer: Any = "adam",
        discriminator_optimizer: Any = None,
        **arguments: Any,
    ) -> None:
        """Set the optimisers.

        Args:
            optimizer: Of the generator, a Keras optimiser or its name.
            discriminator_optimizer: Of the discriminator; `None` for another like the generator's.
            **arguments: As in Keras, such as `steps_per_execution`.
        """
        super().compile(optimizer=optimizer, **arguments)
        if discriminator_optimizer is None:
            discriminator_optimizer = type(self.optimizer).from_config(self.optimizer.get_config())
        self.discriminator_optimizer = keras.optimizers.get(discriminator_optimizer)
        self.jit_compile = False

    def get_compile_config(self) -> dict[str, Any]:
        """Return the arguments of `compile`."""
        if self.discriminator_optimizer is None:
            return {}
        own = keras.saving.serialize_keras_object(self.discriminator_optimizer)
        return {**super().get_compile_config(), "discriminator_optimizer": own}

    def _optimized(self):
        return [
            (self.optimizer, self._generator_side()),
            (self.discriminator_optimizer, self._discriminator_side()),
        ]

    # A step

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Both losses, the discriminator's accuracy on real and generated data, and the like."""
        return list(self._means.values())

    def _take(self, data):
        """Return a batch's x, its encoded context and the weights of its rows, or `None`."""
        parts = data[0] if isinstance(data, tuple) else data
        context = self.encode_context(parts.get("context"))
        return self.to_model(parts["x"]), context, row_weights(parts)

    def _noise(self, seed, rows) -> RowNoise:
        return RowNoise(seed, first_row(rows), self.float_dtype)

    def _train(self, optimizer, variables, tape, loss) -> None:
        optimizer.apply(tape.gradient(loss, variables), variables)

    def _side_losses(self, variables, losses, called=()) -> tf.Tensor:
        """Return the losses of the layers of one side.

        Args:
            variables: Of the side.
            losses: Of the rows, [n].
            called: What `add_loss` and activity regularisers gave as its networks were called.
        """
        return total_loss([*called, *weight_losses(variables)], losses.dtype)

    def _record(self, weights: tf.Tensor | None = None, **parts: tf.Tensor) -> None:
        for name, values in parts.items():
            self._means[name].update_state(values, sample_weight=weights)

    def _record_scores(
        self, losses, on_real, on_generated, boundary: float | None, weights=None
    ) -> None:
        """Add the discriminator's losses and how often it was right."""
        if boundary is None:
            boundary = mean_over_replicas((on_real + on_generated) / 2)
        self._record(
            weights,
            discriminator_loss=losses,
            accuracy_real=tf.cast(on_real > boundary, losses.dtype),
            accuracy_generated=tf.cast(on_generated <= boundary, losses.dtype),
        )

    def _results(self) -> dict[str, tf.Tensor]:
        return fitting.step_results({name: mean.result() for name, mean in self._means.items()})
