"""DensityModel: models with a likelihood, exact or bounded."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from genzoo.core import checks
from genzoo.core.engine.replicas import first_row
from genzoo.core.errors import DataError, InvalidInputError, NoDensityError
from genzoo.core.inputs.sources import is_stream
from genzoo.core.law import Law
from genzoo.core.likelihood import Likelihood
from genzoo.core.maths.random import RowNoise, make_seed
from genzoo.core.model import GenerativeModel

# where the weights of flows and VAEs stand in a file: in the law
_LAYOUT = "law"


class DensityModel(GenerativeModel):
    """Base of models with `log_prob`: the shell around a law that has a density.

    Integers are treated as integers: `log_prob` adds uniform noise u on [0, 1) and scores the
    density at x + u, a lower bound (in expectation) on the log of the mass of x.

    Reference: Theis, van den Oord and Bethge, A note on the evaluation of generative models, 2016.
    """

    traits = dataclasses.replace(GenerativeModel.traits, likelihood="exact")
    law: Law | None = None

    @property
    def likelihood(self) -> Likelihood:
        integer = self.data_spec is not None and self.data_spec.is_integer
        exact = self.traits.likelihood == "exact" and (self.law is None or self.law.is_exact)
        return Likelihood(
            kind="exact" if exact and not integer else "lower_bound",
            unit="mass" if integer else "density",
        )

    # In graph

    def call(self, inputs, training=False):
        """Return the training objective of each row in nats, [n]: for exact models log p(x).

        Models that show the parts of their objective return a dict of them, each [n], the whole
        under `"objective"`.
        """
        parts = inputs if isinstance(inputs, dict) else {"x": inputs}
        x = self.to_model(parts["x"])
        seed = make_seed(self.seed_generator.next() if training else 0)
        context = self.encode_context(parts.get("context"))
        return self.law.objective(x, context, self._row_noise(seed, first_row(x)))

    def _row_noise(self, seed, first_row) -> RowNoise:
        return RowNoise(seed, first_row, self.float_dtype)

    def _predict_rows(self, x, context, first_row):
        return self.law.objective(x, context, self._row_noise(make_seed(0), first_row))

    def _score_rows(self, x, context, first_row, seed, num_samples) -> tf.Tensor:
        noise = self._row_noise(seed, first_row)
        return self.law.log_prob(x, context, noise, num_samples)

    def _sample(self, n, context, temperature, seed, **options):
        return self.law.sample(n, context, temperature=temperature, seed=seed, **options)

    def _set_spec(self, spec):
        super()._set_spec(spec)
        if self.law is not None:
            self.law.data_spec = spec

    def _adapt_parts(self, batches):
        def encoded():
            for batch in batches():
                yield tf.convert_to_tensor(batch["x"]), self.encode_context(batch.get("context"))

        self.law.adapt(encoded)

    # Saving

    def fitted_state(self):
        return {**super().fitted_state(), "layout": _LAYOUT}

    def restore_state(self, state):
        if state.get("layout") != _LAYOUT and self.law is not None and self.law.variables:
            raise DataError(
                f"Expected a {type(self).__name__} saved by this version of genzoo. Received: one "
                "of version 0.1, whose weights had other places in the file. Load it with that "
                "version, or train the model anew."
            )
        super().restore_state(state)

    # Outside

    def log_prob(
        self,
        x: Any,
        *,
        context: Any = None,
        num_samples: int = 1,
        batch_size: int | None = None,
        seed: int = 0,
    ) -> np.ndarray:
        """Return log p(x) of each row in nats, in data space; see `likelihood` for its kind.

        Args:
            x: Array [n, *event_shape], or a data set as in `fit`, which is read once.
            context: As in `sample`, for conditional models.
            num_samples: For bounds: draws K of the importance-weighted bound (Burda, Grosse and
                Salakhutdinov 2016), which tightens as K grows. Exact models need one.
            batch_size: Rows at a time on each replica; it does not change the result.
            seed: Fixes the noise of dequantisation and of latent draws.

        Returns:
            Array [n], float.

        Raises:
            NotFittedError: Before `fit` or `adapt`.
            InvalidInputError: For data unlike those of `fit`; in a `tf.function`, or under a tape
                that watches `x`: there call the model itself, or `distribution().log_prob(x)`.
        """
        num_samples = checks.check_int(num_samples, "num_samples")
        if self.likelihood.kind == "exact":
            num_samples = 1
        data, batch_size = self._read_rows("log_prob", x, context, batch_size)
        seed = make_seed(checks.check_seed(seed))
        values = self.map_rows(
            "log_prob", self._score_rows, data, batch_size, seed, tf.constant(num_samples)
        )
        return np.concatenate(list(values))

    def predict_proba(self, x: Any, *, prior: Any = None, **arguments: Any) -> np.ndarray:
        """Return p(class | x) by Bayes' rule, for models of `num_classes`.

        Args:
            x: Array [n, *event_shape].
            prior: Probabilities of the classes [num_classes]; `None` for their shares of the
                data that the model first saw.
            **arguments: Of `log_prob`, such as `num_samples`.

        Returns:
            Array [n, num_classes], rows of sum 1.

        Raises:
            InvalidInputError: For a model that is not conditional on labels.
        """
        self._check_fitted("predict_proba")
        if self.num_classes is None:
            raise InvalidInputError(
                "Expected a model conditional on labels in predict_proba(). Received: a "
                f"{type(self).__name__} with num_classes=None. Build it with num_classes=... and "
                "fit(x, labels)."
            )
        if is_stream(x):
            raise InvalidInputError(
                f"Expected an array x in predict_proba(). Received: a {type(x).__name__}. Call it "
                "for each batch."
            )
        if prior is None:
            prior = np.asarray(self.class_counts, np.float64)
        else:
            prior = checks.check_array(np.asarray(prior)[None], (self.num_classes,), "prior")[0]
            if prior.min() < 0 or not prior.sum() > 0:
                raise InvalidInputError(
                    f"Expected a prior of probabilities. Received: prior={prior!r}"
                )
        log_joint = [
            self.log_prob(x, context=np.full(len(x), label), **arguments)
            for label in range(self.num_classes)
        ]
        with np.errstate(divide="ignore"):
            log_joint = np.stack(log_joint, axis=1).astype(np.float64) + np.log(prior / prior.sum())
        odds = np.exp(log_joint - log_joint.max(axis=1, keepdims=True))
        return odds / odds.sum(axis=1, keepdims=True)

    def _graph_remedy(self):
        return (
            "Call the model itself there, model(x), which gives the training objective of each row "
            "(for exact models log p(x)), or compose distribution(), for models that have one."
        )

    def diagnose(self, x: Any, *, context: Any = None) -> dict[str, Any]:
        """Return what a report should say of this model beside its likelihood, by name.

        Args:
            x: Array [n, *event_shape].
            context: As in `fit`, for conditional models.
        """
        return {}

    def distribution(self, context: tf.Tensor | None = None):
        """Return the `tfd.Distribution` of real numbers in data space, to compose in a graph.

        It holds them in the model's float type. Of data far from zero that says less of them than
        `log_prob` and `sample` do, unless that is float64.

        Args:
            context: Encoded context [n, context_size], for conditional models.
        """
        raise NoDensityError(
            f"{type(self).__name__} has no distribution in closed form; use log_prob and sample."
        )

    def export_signatures(self) -> dict[str, tuple[Callable[..., Any], list[tf.TensorSpec]]]:
        """As in `GenerativeModel`, with `log_prob(x[, context])`, x of the data's dtype."""
        signatures = super().export_signatures()
        signature = [self._x_signature()]
        if self.context_size:
            signature.append(self.context_spec.signature())

        def log_prob(x, context=None):
            context = self.encode_context(context)
            first_row = tf.constant(0, tf.int64)
            return self._score_rows(self.to_model(x), context, first_row, make_seed(0), 1)

        return {"log_prob": (log_prob, signature), **signatures}

    def _x_signature(self) -> tf.TensorSpec:
        return tf.TensorSpec([None, *self.event_shape], self.input_dtype, name="x")
