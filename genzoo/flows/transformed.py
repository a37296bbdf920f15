"""TransformedLaw: a base law carried to the data by steps."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from genzoo.core.law import Batches, Law
from genzoo.core.lazy import lazy_module, tfp
from genzoo.core.maths.random import RowNoise, make_seed
from genzoo.flows.bases import make_base
from genzoo.steps import Chain, FlowStep

bijectors = lazy_module("genzoo.steps.bijectors")

_START_ROWS = 512


@keras.saving.register_keras_serializable("genzoo")
class TransformedLaw(Law):
    """The law of y = f(x), x from a base and f a chain of steps: exact both ways.

    log p(y) = log p_base(f^-1(y)) + log |det J of f^-1 at y|

    Args:
        event_shape: Shape of one example.
        steps: Steps from the base to the data.
        base: Name of a base distribution, a function of the base shape that returns a
            `tfd.Distribution`, or a law with a density.
        dequantizer: Layer that makes integers real; `None` for uniform noise.
        gradient_checkpointing: Whether the gradient computes anew what steps did.
        seed: Fixes the initial weights of the base.
        context_size: Width of the encoded context.

    Reference: Papamakarios et al., Normalizing flows for probabilistic modeling and inference,
    2021.
    """

    def __init__(
        self,
        event_shape: tuple[int, ...],
        steps: Sequence[FlowStep],
        *,
        base: Any = "normal",
        dequantizer: keras.layers.Layer | None = None,
        gradient_checkpointing: bool = False,
        seed: int | None = None,
        context_size: int = 0,
        **layer_arguments: Any,
    ):
        super().__init__(event_shape, context_size=context_size, **layer_arguments)
        self.chain = Chain(steps, dtype=self.dtype_policy)
        self.chain.build((None, *self.event_shape))
        for chain in self._chains():
            # a chain within is one step of it
            within = any(chain in other.steps for other in self._chains())
            chain.gradient_checkpointing = gradient_checkpointing and not within
        self.base = make_base(
            base, self.chain.base_shape, seed, self.dtype_policy, context_size=context_size
        )
        self.dequantizer = dequantizer
        self.built = True

    @property
    def steps(self) -> list[FlowStep]:
        """The steps from the base to the data."""
        return list(self.chain.steps)

    def _chains(self) -> list[Chain]:
        return [self.chain, *self.chain.chains_within()]

    def share_traces(self, shared: bool) -> None:
        """Say whether steps that are alike run one function of a graph."""
        for chain in self._chains():
            chain.shares_traces = shared

    # Density

    def log_weight(self, prepared, context, noise):
        y, log_weight = self.to_real(prepared, noise)
        context = self.seen_of(context)
        if y.shape.rank != len(self.event_shape) + 1:
            # points of other leading axes than rows
            return self.distribution(context).log_prob(y) + log_weight
        x, log_det = self.chain.inverse_and_log_det(y, context)
        return self.base.log_prob(x, context) + log_det + log_weight

    def bijector(self, context: tf.Tensor | None = None):
        """Return the `tfb.Chain` of the steps' bijectors, from the base to the numbers that the
        model computes with.

        Args:
            context: Encoded context [n, context_size], a batch of n.
        """
        return self.chain.bijector(self.seen_of(context))

    def distribution(self, context=None, temperature=1.0):
        """Return the `tfd.TransformedDistribution` over the numbers that the model computes with.

        Args:
            context: Encoded context [n, context_size], a batch of n distributions, or `None`.
            temperature: Scale of the base.
        """
        base = self.base.distribution(context, temperature)
        return bijectors.FlowDistribution(base, self.bijector(context))

    def data_bijector(self, context: tf.Tensor | None = None):
        """Return the `tfb.Bijector` from the base to real numbers in data space.

        Args:
            context: As of `bijector`.
        """
        own = self.bijector(context)
        return own if self._units() is None else bijectors.UncachedChain([self._units(), own])

    def data_distribution(self, context: tf.Tensor | None = None, temperature: Any = 1.0):
        """Return the `tfd.TransformedDistribution` over real numbers in data space.

        Args:
            context, temperature: As of `distribution`.
        """
        own = self.distribution(context, temperature)
        if self._units() is None:
            return own
        return tfp.distributions.TransformedDistribution(own, self._units())

    def _units(self):
        """Return the bijector from the model's own numbers to the data's, where these differ."""
        if self.data_spec is None or self.data_spec.offset is None:
            return None
        return self.data_spec.bijector(self.variable_dtype)

    # Samples

    def sample(self, n, context=None, *, temperature=1.0, seed):
        return self.decode(
            self.sample_latent(n, context, temperature=temperature, seed=seed), context
        )

    def sample_latent(self, n, context=None, *, temperature=1.0, seed) -> tf.Tensor:
        """Return draws of the base, [n, *base_shape]; arguments as of `sample`."""
        return self.base.sample(n, self.seen_of(context), temperature=temperature, seed=seed)

    def encode(self, y: tf.Tensor, context: tf.Tensor | None = None) -> tf.Tensor:
        """Return points on the base side, [n, *base_shape]; of integers by the middle of bins.

        Args:
            y: [n, *event_shape].
            context: Encoded context, or `None`.
        """
        return self.chain.inverse_and_log_det(self.to_middle(y), self.seen_of(context))[0]

    def decode(self, x: tf.Tensor, context: tf.Tensor | None = None) -> tf.Tensor:
        """Return the images of points on the base side, [n, *event_shape].

        Args:
            x: [n, *base_shape].
            context: Encoded context, or `None`.
        """
        return self.chain.forward_and_log_det(x, self.seen_of(context))[0]

    # Start

    def adapt(self, batches: Batches) -> None:
        """Show each step that adapts to data what it sees of them, the data's end first."""
        self.base.check_ready()
        for index in reversed(range(len(self.steps))):
            step = self.steps[index]
            if step.adapts:
                step.adapt(lambda i=index: self._seen_by(i, batches), self.data_spec)
        if self.chain.starts:
            self.chain.start(*self._first_rows(batches))

    def _real(self, batches: Batches):
        first_row = 0
        for x, context in batches():
            noise = RowNoise(make_seed(0), first_row, self.variable_dtype)
            yield self.to_real(x, noise)[0], self.seen_of(context)
            first_row += len(x)

    def _first_rows(self, batches):
        rows, contexts, count = [], [], 0
        for x, context in self._real(batches):
            rows.append(x)
            contexts.append(context)
            count += len(x)
            if count >= _START_ROWS:
                break
        context = None if contexts[0] is None else tf.concat(contexts, 0)[:_START_ROWS]
        return tf.concat(rows, 0)[:_START_ROWS], context

    def _seen_by(self, index, batches):
        """Yield the data as step `index` sees them, the steps after it inverted."""
        for x, context in self._real(batches):
            for step in reversed(self.steps[index + 1 :]):
                x, _ = step.inverse_and_log_det(x, context)
            yield x.numpy()

    def inversion_error(self, y: tf.Tensor, context: tf.Tensor | None = None) -> float:
        """Return how far the way to the base and back ends from where it began, eagerly.

        The largest of |y' - y| / |y| over the rows, in the Euclidean norm.

        Args:
            y: [n, *event_shape].
            context: Encoded context, or `None`.
        """
        real, context = self.to_middle(y), self.seen_of(context)
        before = self.chain.shares_traces
        # op by op: there is nothing to gain from new traces
        self.share_traces(False)
        try:
            x, _ = self.chain.inverse_and_log_det(real, context)
            back, _ = self.chain.forward_and_log_det(tf.identity(x), context)
        finally:
            self.share_traces(before)
        flat = real.numpy().reshape(len(real), -1)
        moved = np.linalg.norm(back.numpy().reshape(flat.shape) - flat, axis=1)
        return float(np.max(moved / (np.linalg.norm(flat, axis=1) + 1e-12)))
