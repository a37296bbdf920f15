"""Law: a distribution of examples, as a Keras layer that computes in graph."""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from genzoo.core.compat.tensorflow import InCheckpoints
from genzoo.core.config import Configured
from genzoo.core.errors import InvalidInputError, NoDensityError
from genzoo.core.inputs.spec import DataSpec
from genzoo.core.maths.random import RowNoise, make_seed

_DEQUANTIZE = 1

Batches = Callable[[], Iterator[tuple[tf.Tensor, tf.Tensor | None]]]


class Law(InCheckpoints, Configured, keras.layers.Layer):
    """p(x | context): weights, and what is computed with them in graph.

    A law checks nothing that a user gives, writes no files and knows no strategy: a
    `GenerativeModel` is the shell that does all that around its law. Laws are made of laws: a flow
    carries a base to the data, and the prior of a VAE is any law with a density.

    A subclass makes its weights in its constructor. It implements `log_weight` if it has a density
    (and `prepare`, if several draws of the weight share a part), and `sample`; `objective` where
    training raises something else than log p(x), and `adapt` where weights start from data.

    Args:
        event_shape: Shape of one example.
        context_size: Width of the encoded context; 0 for a law without.
        **layer_arguments: As in Keras.

    Attributes:
        is_exact: Whether the density of real numbers is exact, not estimated.
        has_density: Whether there is one.
        is_standard_normal: Whether it is N(0, I), from which others know divergences.
        data_spec: What is known of the data; `None` for a law of the numbers themselves, such as a
            prior.
        dequantizer: Layer that draws the noise which makes integers real; `None` for uniform noise.

    Example:

    >>> law = genzoo.RealNVP((2,), num_couplings=2, hidden_units=(8,), seed=0).law
    >>> z = law.sample(5, seed=tf.constant([0, 1]))
    >>> z.shape, law.log_prob(z).shape
    (TensorShape([5, 2]), TensorShape([5]))
    """

    is_exact = True
    has_density = True
    is_standard_normal = False

    def __init__(
        self, event_shape: tuple[int, ...], *, context_size: int = 0, **layer_arguments: Any
    ):
        super().__init__(**layer_arguments)
        self.event_shape = tuple(event_shape)
        self.context_size = context_size
        self.data_spec: DataSpec | None = None
        self.dequantizer: keras.layers.Layer | None = None

    def add_weight(self, *arguments, **keywords):
        """Add a weight; under mixed precision networks alone cast theirs down."""
        return super().add_weight(*arguments, **{"autocast": False, **keywords})

    # Density

    def log_prob(
        self,
        x: tf.Tensor,
        context: tf.Tensor | None = None,
        noise: RowNoise | None = None,
        num_samples: Any = 1,
    ) -> tf.Tensor:
        """Return log p(x) in nats, [n]; of integers, and of laws that estimate, a bound.

        Args:
            x: [n, *event_shape]. Integers of a law of integers get dequantisation noise.
            context: Encoded context [n, context_size], or `None`.
            noise: Of the rows; `None` for that of seed 0.
            num_samples: Draws of the importance-weighted bound, an int or a scalar tensor.

        Reference: Burda, Grosse and Salakhutdinov, Importance weighted autoencoders, 2016.
        """
        noise = self._noise(noise)
        prepared = self.prepare(x, context, noise)
        if self.is_exact and self._is_real(x):
            return self.log_weight(prepared, context, noise)

        def draw(k):
            return self.log_weight(prepared, context, noise.part(k))

        if isinstance(num_samples, int) and num_samples == 1:
            # a loop would hold the graph of a draw twice
            return draw(0)
        _, total = tf.while_loop(
            lambda k, _: k < num_samples,
            lambda k, total: (k + 1, tf.reduce_logsumexp([total, draw(k)], axis=0)),
            [tf.constant(1), draw(0)],
            parallel_iterations=1,
        )
        return total - tf.math.log(tf.cast(num_samples, total.dtype))

    def prepare(self, x: tf.Tensor, context: tf.Tensor | None, noise: RowNoise) -> Any:
        """Hook: what all draws of the weight share; x itself by default."""
        return x

    def log_weight(self, prepared: Any, context: tf.Tensor | None, noise: RowNoise) -> tf.Tensor:
        """Hook: log p(x), or a draw whose exponential has mean p(x), [n]."""
        raise NoDensityError(f"{type(self).__name__} has no density.")

    def objective(
        self, x: tf.Tensor, context: tf.Tensor | None = None, noise: RowNoise | None = None
    ) -> tf.Tensor | dict[str, tf.Tensor]:
        """Return what training raises, [n], or a dict of its parts with the whole under
        `"objective"`; by default a draw of log p(x).

        Args:
            x, context, noise: As of `log_prob`.
        """
        noise = self._noise(noise)
        return self.log_weight(self.prepare(x, context, noise), context, noise)

    def _noise(self, noise: RowNoise | None) -> RowNoise:
        return RowNoise(make_seed(0), 0, self.variable_dtype) if noise is None else noise

    def _is_real(self, x: tf.Tensor) -> bool:
        return x.dtype.is_floating or self.data_spec is None

    def to_real(self, x: tf.Tensor, noise: RowNoise) -> tuple[tf.Tensor, Any]:
        """Return real numbers, integers dequantised, and the log-weight of the way there.

        That is -log q of the noise that was added, less the logarithm of the data's scale.

        Args:
            x: [n, *event_shape].
            noise: Of the rows.

        Reference: Theis, van den Oord and Bethge, A note on the evaluation of generative models,
        2016.
        """
        if self._is_real(x):
            spec = self.data_spec
            log_scale = 0.0 if spec is None else spec.log_scale(self.event_shape)
            return tf.cast(x, self.variable_dtype), -log_scale
        noise = noise.part(_DEQUANTIZE)
        if self.dequantizer is not None:
            return self.dequantizer.dequantize(x, noise, self.data_spec)
        real = tf.cast(x, self.variable_dtype)
        return real + noise.uniform(tf.shape(x)[0], self.event_shape), 0.0

    def to_middle(self, x: tf.Tensor) -> tf.Tensor:
        """Return real numbers; integers by the middle of their bins, so that floor() leads back."""
        middle = 0.0 if self._is_real(x) else 0.5
        return tf.cast(x, self.variable_dtype) + middle

    def distribution(self, context: tf.Tensor | None = None, temperature: Any = 1.0):
        """Hook: the `tfd.Distribution` of real numbers, for laws that have one in closed form.

        It reads the weights at each call, not once.

        Args:
            context: Encoded context [n, context_size], a batch of n distributions, or `None`.
            temperature: Scale of the noise that samples start from.
        """
        raise NoDensityError(
            f"{type(self).__name__} has no distribution in closed form; use log_prob and sample."
        )

    # Samples

    def sample(
        self,
        n: Any,
        context: tf.Tensor | None = None,
        *,
        temperature: Any = 1.0,
        seed: tf.Tensor,
    ) -> tf.Tensor:
        """Return draws as real numbers, [n, *event_shape].

        Args:
            n: Number of draws, an int or a scalar tensor.
            context: Encoded context [n, context_size], or `None`.
            temperature: Scales the noise that samples start from.
            seed: int32 [2], see `genzoo.core.maths.random.make_seed`.
        """
        raise NotImplementedError

    # Start

    def adapt(self, batches: Batches) -> None:
        """Hook: start weights from data; what was trained or restored stays.

        Args:
            batches: Begins one pass over the data, of x [m, *event_shape] and the encoded context
                [m, context_size] or `None`.
        """

    def check_ready(self) -> None:
        """Hook: refuse to be a part of another law as long as there are no parameters."""

    def seen_of(self, context: tf.Tensor | None) -> tf.Tensor | None:
        """Return the context where the law takes one."""
        return context if self.context_size else None


def as_law(given: Any, event_shape: tuple[int, ...], context_size: int, name: str) -> Law:
    """Return the law that a user gave, as it is or as a model, to be a part of another.

    Args:
        given: A law, or a model, whose law is taken.
        event_shape: Shape of what it has to score.
        context_size: Width of the encoded context that it will be given.
        name: Of the argument, for messages.

    Raises:
        InvalidInputError: For what has no density, for another shape or context, and for a model
            that was fitted to integers or to numbers far from zero, which it moves.
    """
    law = getattr(given, "law", given)
    shown = type(given).__name__
    if not isinstance(law, Law) or not law.has_density:
        raise InvalidInputError(
            f"Expected {name} to be a model or law with a density. Received: {name} of type "
            f"{shown}. Models that have one are RealNVP, VAE and GaussianMixture, for example."
        )
    if law.event_shape != tuple(event_shape) or law.context_size not in (0, context_size):
        raise InvalidInputError(
            f"Expected {name} of event_shape={tuple(event_shape)} and a context of width "
            f"{context_size} or none. Received: a {shown} of event_shape={law.event_shape} and a "
            f"context of width {law.context_size}."
        )
    spec = law.data_spec
    if spec is not None and (spec.is_integer or spec.offset is not None):
        raise InvalidInputError(
            f"Expected {name} to be of real numbers near zero. Received: a {shown} that was fitted "
            f"to {spec.dtype} data" + ("" if spec.offset is None else " far from zero") + "."
        )
    return law
