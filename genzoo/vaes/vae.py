"""VAE: a latent-variable model with an amortised posterior."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from genzoo.core import checks
from genzoo.core.arguments import ModelArguments
from genzoo.core.compat.keras import layers_within
from genzoo.core.engine.losses import row_weights
from genzoo.core.errors import InvalidInputError
from genzoo.core.inputs.spec import DataSpec
from genzoo.core.latent_model import LatentModel
from genzoo.core.law import Law
from genzoo.core.likelihood import Likelihood
from genzoo.core.maths.random import make_seed
from genzoo.core.model import GenerativeModel
from genzoo.core.registry import register
from genzoo.flows.preprocessing import PREPROCESSING, preprocessing_steps
from genzoo.steps import Chain
from genzoo.vaes.latent_variable import LatentVariableLaw
from genzoo.vaes.likelihoods import LIKELIHOODS
from genzoo.vaes.networks import make_decoder, make_encoder
from genzoo.vaes.posteriors import Posterior
from genzoo.vaes.priors import VAMP, VampPrior, make_prior

if TYPE_CHECKING:
    from typing_extensions import Unpack

_BINARIZATIONS = ("threshold", "dynamic", None)
# Burda et al. 2016: a unit is active if its posterior mean varies more than this over the data
_ACTIVE_VARIANCE = 0.01


class VAEArguments(ModelArguments, total=False):
    """Arguments that models built on `VAE` pass on to it."""

    latent_dim: int
    encoder: str | keras.layers.Layer
    decoder: str | keras.layers.Layer
    hidden_units: Sequence[int]
    filters: int
    num_blocks: int
    activation: str
    prior: Any
    num_pseudo_inputs: int
    posterior: str
    num_posterior_steps: int
    likelihood: str
    binarization: str | None
    preprocessing: str | None
    beta: float
    free_bits: float


@register("vae")
class VAE(LatentModel, GenerativeModel):
    """A variational autoencoder.

    `fit` raises the evidence lower bound (ELBO), with the KL divergence in closed form where there
    is one; `log_prob` is the importance-weighted bound, in expectation the ELBO for one draw. The
    encoder sees integers by the middle of their bins.

    Args:
        event_shape: Shape of one example.
        latent_dim: Width of the latent vector z.
        encoder, decoder: `"mlp"`; `"conv"` or `"resnet"` (images of any size); `"auto"` for
            `"conv"` on images and `"mlp"` on all else; or Keras networks of your own: an encoder
            of [n, *event_shape] to any features (a linear layer follows), a decoder of
            [n, latent_dim] to the shape of the data, the last axis times the numbers that the
            likelihood takes for a value. With a context both take a list, [x, context].
        hidden_units: `"mlp"`: widths of the encoder's hidden layers; the decoder's in reverse.
        filters: `"conv"`, `"resnet"`: channels of the finest scale, doubled at each other.
        num_blocks: `"resnet"`: residual blocks a scale.
        activation: Name of a Keras activation.
        prior: `"normal"`; `"vamp"` (Tomczak and Welling 2018); another base distribution of the
            flows (`"mixture"`, `"student_t"`, `"logistic"`); a flow by its registered name, such as
            `"realnvp"`; a model or law of event_shape (latent_dim,) with a density (a flow, a
            mixture, another VAE), which is trained along; or a function of the shape that returns
            a `tfd.Distribution`.
        num_pseudo_inputs: Of `"vamp"`.
        posterior: `"gaussian"`, or `"iaf"` or `"planar"` flow steps after the Gaussian.
        num_posterior_steps: Their number.
        likelihood: Of the data given z: `"gaussian"` (one learned variance), `"diagonal_gaussian"`
            (a variance for each value from the decoder), both with integers dequantised;
            `"discretized_logistic"` or `"categorical"` (masses of integers); `"bernoulli"` (binary
            data: bool, or values of any type that are all 0 and 1).
        binarization: For `"bernoulli"` on data that are not binary: `"threshold"` (values in the
            upper half of the range are 1) or `"dynamic"` (1 with probability value / largest value,
            drawn anew at each step). `likelihood` declares it, since figures of differently
            binarised data do not compare. `None` refuses such data.
        preprocessing: Steps between the data and the model, as for `Flow`; `"auto"` standardises.
        beta: Weight of the KL divergence in training (Higgins et al. 2017); 1 for a bound.
        free_bits: Nats of the KL divergence, for each latent value of an example, that cost
            nothing in training (Kingma et al. 2016).
        **model_arguments: `levels`, `context_dim`, `num_classes`, `seed`, `name`, `dtype`; see
            `GenerativeModel`.

    Example:

    >>> x = genzoo.data.load("digits").x_train
    >>> model = genzoo.VAE((8, 8, 1), latent_dim=2, hidden_units=(32,), seed=0)
    >>> history = model.fit(x, epochs=1, verbose=0)
    >>> model.encode(x[:3]).shape, model.decode(np.zeros((1, 2))).shape
    ((3, 2), (1, 8, 8, 1))

    Reference: Kingma and Welling, Auto-encoding variational Bayes, 2014.
    """

    traits = dataclasses.replace(
        GenerativeModel.traits, likelihood="lower_bound", mixed_precision=True
    )

    def __init__(
        self,
        event_shape: tuple[int, ...] | int,
        *,
        latent_dim: int = 16,
        encoder: str | keras.layers.Layer = "mlp",
        decoder: str | keras.layers.Layer = "mlp",
        hidden_units: Sequence[int] = (256, 256),
        filters: int = 32,
        num_blocks: int = 1,
        activation: str = "relu",
        prior: Any = "normal",
        num_pseudo_inputs: int = 100,
        posterior: str = "gaussian",
        num_posterior_steps: int = 2,
        likelihood: str = "gaussian",
        binarization: str | None = None,
        preprocessing: str | None = "auto",
        beta: float = 1.0,
        free_bits: float = 0.0,
        **model_arguments: "Unpack[ModelArguments]",
    ):
        super().__init__(event_shape, **model_arguments)
        self.latent_dim = checks.check_int(latent_dim, "latent_dim")
        self.encoder, self.decoder = encoder, decoder
        self.hidden_units = checks.check_units(hidden_units)
        self.filters = checks.check_int(filters, "filters")
        self.num_blocks = checks.check_int(num_blocks, "num_blocks")
        self.activation = activation
        self.prior = prior
        self.num_pseudo_inputs = checks.check_int(num_pseudo_inputs, "num_pseudo_inputs")
        self.posterior = posterior
        self.num_posterior_steps = num_posterior_steps
        self.likelihood_name = checks.check_choice(likelihood, LIKELIHOODS, "likelihood")
        self.binarization = checks.check_choice(binarization, _BINARIZATIONS, "binarization")
        if binarization and likelihood != "bernoulli":
            raise InvalidInputError(
                "Expected binarization with likelihood='bernoulli' alone. "
                f"Received: binarization={binarization!r}, likelihood={likelihood!r}"
            )
        self.preprocessing = checks.check_choice(preprocessing, PREPROCESSING, "preprocessing")
        self.beta = checks.check_number(beta, "beta")
        self.free_bits = checks.check_number(free_bits, "free_bits")
        self.law = self._make_law()
        if self.free_bits and not self.law.has_closed_divergence:
            raise InvalidInputError(
                "Expected free_bits with prior='normal' and posterior='gaussian', whose KL "
                "divergence is a sum over the latent values. Received: "
                f"free_bits={free_bits!r}, prior={prior!r}, posterior={posterior!r}"
            )
        self._means = [keras.metrics.Mean(name) for name in ("elbo", "reconstruction", "kl")]
        self.built = True

    def _make_law(self) -> LatentVariableLaw:
        """Hook: the law of the options."""
        return LatentVariableLaw(self.event_shape, **self._parts())

    def _parts(self) -> dict[str, Any]:
        """Return the arguments of the law."""
        exact = self.variable_dtype
        likelihood = LIKELIHOODS[self.likelihood_name](self.levels, dtype=exact)
        posterior = Posterior(
            self.posterior,
            self.latent_dim,
            self.num_posterior_steps,
            seed=self._part_seed(200),
            dtype=exact,
        )
        shared = {
            "hidden_units": self.hidden_units,
            "filters": self.filters,
            "num_blocks": self.num_blocks,
            "activation": self.activation,
            "context_size": self.context_size,
            "dtype": self.dtype_policy,
        }
        encoder = make_encoder(
            self.encoder,
            self.event_shape,
            posterior.parameter_size,
            seed=self._part_seed(0),
            **shared,
        )
        decoder = make_decoder(
            self.decoder,
            self.event_shape,
            self.latent_dim,
            event_parameters=likelihood.parameters,
            seed=self._part_seed(100),
            **shared,
        )
        return {
            "prior": self._make_prior(),
            "posterior": posterior,
            "likelihood": likelihood,
            "encoder": encoder,
            "decoder": decoder,
            "ends": self._make_ends(likelihood.kind),
            "beta": self.beta,
            "free_bits": self.free_bits,
            "binarization": self.binarization,
            "context_size": self.context_size,
            "dtype": exact,
        }

    def _make_ends(self, kind: str) -> Chain:
        """Return the steps between the model's side and the data."""
        if kind != "density" and self.preprocessing != "auto":
            raise InvalidInputError(
                f"Expected preprocessing='auto' with likelihood={self.likelihood_name!r}, which "
                f"scores the integers themselves. Received: preprocessing={self.preprocessing!r}"
            )
        # what a mass scores needs no volume; its encoder sees pixels as an image's does
        preprocessing = {"density": self.preprocessing, "mass": "glow", "binary": None}[kind]
        exact = self.variable_dtype
        steps = preprocessing_steps(
            preprocessing, self.event_shape, images="standardize", alpha=0.01, dtype=exact
        )
        ends = Chain(steps, dtype=exact)
        ends.build((None, *self.event_shape))
        return ends

    def _make_prior(self) -> Law:
        if isinstance(self.prior, str) and self.prior == VAMP:
            if self.context_size:
                raise InvalidInputError(
                    "Expected an unconditional VAE with prior='vamp'. Received: a context of width "
                    f"{self.context_size}. Use a flow prior, such as prior='realnvp'."
                )

            def encode(inputs):
                given = self.law.infer(inputs, None)
                return given.mean, given.log_variance

            return VampPrior(
                (self.latent_dim,),
                self.num_pseudo_inputs,
                self.event_shape,
                encode,
                dtype=self.variable_dtype,
            )
        context = {"context_dim": self.context_dim, "num_classes": self.num_classes}
        return make_prior(
            self.prior,
            self.latent_dim,
            context,
            self.context_size,
            self._part_seed(300),
            self.variable_dtype,
        )

    def _part_seed(self, index: int) -> int | None:
        return None if self.seed is None else 1000 * self.seed + index

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of one z."""
        return (self.latent_dim,)

    @property
    def kl_weight(self) -> keras.Variable:
        """Weight of the KL divergence in training beside `beta`, 1 unless a callback changes it."""
        return self.law.kl_weight

    @property
    def likelihood(self) -> Likelihood:
        if self.law.likelihood.kind == "density":
            return super().likelihood
        return Likelihood("lower_bound", "mass", self.binarization)

    def _spec_of(self, moments):
        binary = self.law.likelihood.kind == "binary" and moments.binary
        if binary and moments.dtype is not None and self.levels in (None, 2):
            return DataSpec(moments.dtype.name, 2)
        return super()._spec_of(moments)

    def _set_spec(self, spec: DataSpec) -> None:
        kind = self.law.likelihood.kind
        shown = "real numbers" if spec.levels is None else f"{spec.levels} levels"
        received = f"Received: {spec.dtype} data of {shown}. "
        if kind == "binary" and spec.levels != 2 and self.binarization is None:
            raise InvalidInputError(
                "Expected binary data, bool or values that are all 0 and 1, with "
                f"likelihood='bernoulli'. {received}"
                "Pass binarization='threshold', or use likelihood='gaussian'."
            )
        if spec.levels is None and (kind == "mass" or self.binarization == "dynamic"):
            wanted = f"likelihood={self.likelihood_name!r}"
            wanted += " and binarization='dynamic'" if self.binarization else ""
            raise InvalidInputError(
                f"Expected integers from 0 to levels - 1 with {wanted}. {received}"
                "Pass levels=..., cast the data, or use likelihood='gaussian'."
            )
        super()._set_spec(spec)
        self.law.likelihood.levels = spec.levels

    # In graph

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """As in Keras, without those of a VAE that is a part of this one."""
        inner = [
            id(mean)
            for layer in layers_within(self, itself=False)
            if isinstance(layer, VAE)
            for mean in layer._means
        ]
        return [metric for metric in super().metrics if id(metric) not in inner]

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        for mean in self._means:
            mean.update_state(y_pred[mean.name], sample_weight=row_weights(x))
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def _encode_draw(self, x, context, first_row, seed):
        return self.law.encode_draw(x, context, self.row_noise(seed, first_row))

    def _reconstruct_draw(self, x, context, first_row, seed):
        z = self._encode_draw(x, context, first_row, seed)
        own = tf.random.experimental.stateless_fold_in(seed, first_row)
        drawn = self.law.draw_output(z, context, own, mean=False)
        return self.data_spec.to_data(self.law.to_event(drawn))

    # Outside

    def sample(
        self,
        n: int,
        *,
        context: Any = None,
        temperature: float = 1.0,
        mean: bool = False,
        seed: int | None = None,
    ) -> np.ndarray:
        """Draw samples in the kind of the data.

        Args:
            n, context, temperature, seed: As in `GenerativeModel`; the temperature scales z.
            mean: Whether to return the mean of p(x | z) at drawn z in place of a draw of x.
        """
        return self._draw(n, context, temperature, seed, mean=bool(mean))

    def encode(
        self,
        x: Any,
        *,
        context: Any = None,
        draw: bool = False,
        batch_size: int | None = None,
        seed: int = 0,
    ) -> np.ndarray:
        """Return z for each row, [n, latent_dim].

        Args:
            x: Array [n, *event_shape].
            context: As in `fit`, for conditional models.
            draw: Whether to draw z from the posterior; else its mean (with a flow posterior, the
                image of the Gaussian's mean).
            batch_size: Rows at a time on each replica.
            seed: Fixes the draw.
        """
        if not draw:
            return super().encode(x, context=context, batch_size=batch_size)
        data, batch_size = self._read_rows("encode", x, context, batch_size)
        seed = make_seed(checks.check_seed(seed))
        rows = self.map_rows("encode_draw", self._encode_draw, data, batch_size, seed)
        return np.concatenate(list(rows))

    def reconstruct(
        self, x: Any, *, context: Any = None, draw: bool = False, seed: int = 0
    ) -> np.ndarray:
        """Return `decode(encode(x))`: the mean of p(x | z), for binarised data rounded.

        Args:
            x: Array [n, *event_shape].
            context: As in `fit`, for conditional models.
            draw: Whether to draw z from the posterior, and x from p(x | z), in place of means.
            seed: Fixes the draws; those of x depend on the number of rows too.
        """
        if not draw:
            return self.decode(self.encode(x, context=context), context=context)
        data, batch_size = self._read_rows("reconstruct", x, context, None)
        seed = make_seed(checks.check_seed(seed))
        rows = self.map_rows("reconstruct_draw", self._reconstruct_draw, data, batch_size, seed)
        return np.concatenate(list(rows))

    def elbo(
        self, x: Any, *, context: Any = None, num_draws: int = 16, seed: int = 0
    ) -> np.ndarray:
        """Return the evidence lower bound of each row in nats, the mean over draws of z, [n].

        Args:
            x: Array [n, *event_shape].
            context: As in `fit`, for conditional models.
            num_draws: Draws of z; more give the same number with less noise. For a tighter bound
                see `log_prob(x, num_samples=K)`.
            seed: Fixes the draws.
        """
        num_draws = checks.check_int(num_draws, "num_draws")
        total = 0.0
        for i in range(num_draws):
            draw = self.log_prob(x, context=context, seed=checks.check_seed(seed) + i)
            total += draw.astype(np.float64)
        return (total / num_draws).astype(self.float_dtype)

    def active_units(self, x: Any, *, context: Any = None) -> np.ndarray:
        """Return which latent values the posterior uses, bool [latent_dim].

        Those whose posterior mean has a variance above 0.01 over the data; the others have
        collapsed to the prior.

        Args:
            x: Array [n, *event_shape], n of some hundreds or more.
            context: As in `fit`, for conditional models.

        Reference: Burda, Grosse and Salakhutdinov, Importance weighted autoencoders, 2016.
        """
        return self.encode(x, context=context).var(axis=0) > _ACTIVE_VARIANCE

    def diagnose(self, x: Any, *, context: Any = None) -> dict[str, Any]:
        """Return the number of active units beside that of all, for reports."""
        active = self.active_units(x, context=context)
        return {"active_units": int(active.sum()), "latent_dim": self.latent_dim}
