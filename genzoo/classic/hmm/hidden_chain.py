"""HiddenChain: the parameters of a hidden Markov model, checked, started and kept."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from genzoo.classic.em.em_model import EMModel
from genzoo.classic.em.starts import fill_missing
from genzoo.classic.hmm.emissions import Categorical, Emission, Multinomial, Poisson, Settings
from genzoo.classic.hmm.gaussian_emissions import Gaussian, GaussianMixture
from genzoo.core import checks
from genzoo.core.errors import InvalidInputError, NotFittedError
from genzoo.core.likelihood import Likelihood
from genzoo.core.spec import DataSpec

EMISSIONS = {
    "gaussian": Gaussian,
    "gaussian_mixture": GaussianMixture,
    "categorical": Categorical,
    "poisson": Poisson,
    "multinomial": Multinomial,
}
_CHAIN = ("startprob", "transmat")
_SIMPLEX = (*_CHAIN, "weights", "emissionprob")


@functools.lru_cache(maxsize=32)
def _emission(kind: str, settings: Settings) -> Emission:
    """Return the functions of an emission, one for all models of a form: XLA compiles them once."""
    return EMISSIONS[kind](settings)


class HiddenChain(EMModel):
    """Base of `HiddenMarkovModel`, whose arguments it takes: parameters and their start."""

    def __init__(
        self,
        event_shape: tuple[int, ...] | int,
        *,
        num_states: int = 4,
        emission: str = "gaussian",
        num_components: int = 1,
        covariance_type: str = "full",
        reg_covar: float = 1e-6,
        num_trials: int | None = None,
        topology: str = "ergodic",
        band_width: int = 1,
        startprob_prior: Any = 1.0,
        transmat_prior: Any = 1.0,
        sticky: float = 0.0,
        emission_prior: float = 1.0,
        parameters_init: Mapping[str, Any] | None = None,
        fixed: Any = (),
        n_init: int = 1,
        tol: float = 1e-3,
        **model_arguments: Any,
    ):
        super().__init__(event_shape, n_init=n_init, tol=tol, **model_arguments)
        # the emission compiles for itself, and not everything
        self.supports_jit = False
        if self.context_size:
            raise InvalidInputError(
                "Expected no context: HiddenMarkovModel is unconditional. Received: "
                f"num_classes={self.num_classes!r}, context_dim={self.context_dim!r}. "
                "Fit one model a class."
            )
        self.num_states = checks.check_int(num_states, "num_states")
        self.emission = checks.check_choice(emission, EMISSIONS, "emission")
        self.num_components = checks.check_int(num_components, "num_components")
        self.covariance_type = checks.check_choice(
            covariance_type, ("full", "tied", "diag", "spherical"), "covariance_type"
        )
        self.reg_covar = checks.check_number(reg_covar, "reg_covar")
        self.num_trials = None if num_trials is None else checks.check_int(num_trials, "num_trials")
        self.topology = checks.check_choice(
            topology, ("ergodic", "left_right", "banded"), "topology"
        )
        self.band_width = checks.check_int(band_width, "band_width")
        self.sticky = checks.check_number(sticky, "sticky")
        self.emission_prior = checks.check_number(emission_prior, "emission_prior", exclusive=True)
        k = self.num_states
        self.startprob_prior = _check_prior(startprob_prior, (k,), "startprob_prior")
        self.transmat_prior = _check_prior(transmat_prior, (k, k), "transmat_prior")
        self.sequence_length_: int | None = None
        self.num_trials_ = self.num_trials
        self._make_emission()
        shapes = self._shapes()
        self.parameters_init = self._check_parameters(parameters_init, "parameters_init")
        self.fixed = _check_fixed(fixed, shapes)
        weight_shapes = {
            "startprob": (k,), "transmat": (k, k), **self._emission.weight_shapes()
        }  # fmt: skip
        self._parameters = _Parameters(
            {
                name: self.add_weight(shape=shape, initializer="zeros", trainable=False, name=name)
                for name, shape in weight_shapes.items()
            }
        )
        self.built = True

    def _make_emission(self) -> None:
        settings = Settings(
            self.num_states, self.event_size, self.num_components, self.covariance_type,
            self.reg_covar, self.emission_prior, self.levels, self.num_trials_,
        )  # fmt: skip
        self._emission = _emission(self.emission, settings)

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        k = self.num_states
        return {"startprob": (k,), "transmat": (k, k), **self._emission.shapes()}

    # Declaration

    @property
    def likelihood(self) -> Likelihood:
        return Likelihood("exact", "mass") if self._emission.counts else super().likelihood

    def fitted_state(self):
        own = {"sequence_length_": self.sequence_length_, "num_trials_": self.num_trials_}
        return {**super().fitted_state(), **own}

    def restore_state(self, state):
        super().restore_state(state)
        self.sequence_length_ = state["sequence_length_"]
        self.num_trials_ = state["num_trials_"]
        self._make_emission()

    # Parameters

    def _check_fitted(self, method):
        if self.data_spec is None and set(self.parameters_init) == set(self._shapes()):
            self.set_parameters()
        super()._check_fitted(method)

    @property
    def startprob_(self) -> np.ndarray:
        return self._get_parameter("startprob")

    @property
    def transmat_(self) -> np.ndarray:
        return self._get_parameter("transmat")

    @property
    def means_(self) -> np.ndarray:
        return self._get_parameter("means")

    @property
    def covariances_(self) -> np.ndarray:
        return self._get_parameter("covariances")

    @property
    def weights_(self) -> np.ndarray:
        return self._get_parameter("weights")

    @property
    def emissionprob_(self) -> np.ndarray:
        return self._get_parameter("emissionprob")

    @property
    def rates_(self) -> np.ndarray:
        return self._get_parameter("rates")

    def _get_parameter(self, name: str) -> np.ndarray:
        self._check_fitted(f"{name}_")
        if name not in self._shapes():
            raise AttributeError(f"Emission {self.emission!r} has no {name}_.")
        return self.parameters()[name]

    def parameters(self) -> dict[str, np.ndarray]:
        """Return all parameters by name, without the underscore."""
        self._check_fitted("parameters")
        return self._moved(self._own(), 1.0)

    def _own(self) -> dict[str, np.ndarray]:
        """Return the parameters of the model's own numbers."""
        weights = {name: np.asarray(value) for name, value in self._parameters.values.items()}
        chain = {name: weights.pop(name) for name in _CHAIN}
        return {**chain, **self._emission.to_parameters(weights)}

    def _moved(self, parameters: Mapping[str, Any], sign: float) -> dict[str, Any]:
        """Return parameters with the means moved by the data's offset: 1 for those of the data, -1
        for those of the model's own numbers."""
        if self.data_spec.offset is None or "means" not in parameters:
            return dict(parameters)
        offset = np.broadcast_to(self.data_spec.offset, self.event_shape).ravel()
        means = np.asarray(parameters["means"], np.float64) + sign * offset
        return {**parameters, "means": means}

    def set_parameters(self, **parameters: Any) -> None:
        """Set parameters by name, without the underscore; those left out stay.

        A model whose parameters are all set needs no `fit`.

        Args:
            **parameters: Of the shapes of the attributes.

        Raises:
            InvalidInputError: For wrong shapes, probabilities that do not sum to 1, or covariances
                that are not positive definite.
            NotFittedError: If some are left out before `fit`.

        Example:

        >>> coin = genzoo.HiddenMarkovModel((), num_states=2, emission="categorical", levels=2)
        >>> coin.set_parameters(startprob=[1, 0], transmat=[[0.9, 0.1], [0.1, 0.9]],
        ...                     emissionprob=[[0.5, 0.5], [0.1, 0.9]])
        >>> print(coin.log_prob([[0, 0, 0]]).round(4))
        [-2.2614]
        """
        given = self._check_parameters(parameters, "set_parameters()")
        if self.data_spec is None:
            given = {**self.parameters_init, **given}
            missing = sorted(set(self._shapes()) - set(given))
            if missing:
                raise NotFittedError(
                    f"Expected all parameters of a model that is not fitted. Received: none for "
                    f"{', '.join(missing)}."
                )
        else:
            given = {**self._own(), **self._moved(given, -1.0)}
        with self.distribute_strategy.scope():
            self._assign(given)
        if self.data_spec is None:
            counts = self._emission.counts
            self._set_spec(DataSpec("int64" if counts else self.float_dtype, self.levels))

    def _check_parameters(self, given: Mapping[str, Any] | None, source: str) -> dict[str, Any]:
        """Return parameters as nested lists, which Keras can save."""
        checked = {}
        if given is not None and not isinstance(given, Mapping):
            raise InvalidInputError(
                f"Expected {source} to be a dict of parameters by name. "
                f"Received: {source}={given!r}"
            )
        for name, value in (given or {}).items():
            shapes = self._shapes()
            checks.check_name(name, shapes, f"parameter of {source}")
            array = checks.check_numbers(value, name)
            if array.shape != shapes[name] or not np.isfinite(array).all():
                shown = f" of shape {array.shape}"
                if array.shape == shapes[name]:
                    shown = f"={value!r}"
                raise InvalidInputError(
                    f"Expected {name} of finite numbers, shape {shapes[name]}. "
                    f"Received: {name}{shown}"
                )
            if name in _SIMPLEX and (array.min() < 0 or abs(array.sum(-1) - 1).max() > 1e-4):
                raise InvalidInputError(
                    f"Expected {name} of probabilities that sum to 1 along the last axis. "
                    f"Received: {name}={value!r}"
                )
            if name == "transmat" and array[~self._transitions_allowed()].any():
                raise InvalidInputError(
                    f"Expected transmat of zeros where topology={self.topology!r} allows no "
                    f"transition. Received: transmat={value!r}"
                )
            if name == "covariances" and self.covariance_type in ("full", "tied"):
                other = np.swapaxes(array, -1, -2)
                if not np.allclose(array, other, rtol=1e-5, atol=1e-7 * np.abs(array).max()):
                    raise InvalidInputError(
                        f"Expected covariances that are symmetric. Received: {name}={value!r}"
                    )
            if name == "rates" and array.min() < 0:
                raise InvalidInputError(f"Expected rates of at least 0. Received: {name}={value!r}")
            checked[name] = array.tolist()
        return checked

    def _assign(self, parameters: Mapping[str, Any]) -> None:
        arrays = {name: np.asarray(value, np.float64) for name, value in parameters.items()}
        chain = {name: arrays.pop(name) for name in _CHAIN}
        weights = {**chain, **self._emission.to_weights(arrays)}
        for name, value in weights.items():
            if not np.isfinite(value).all():
                raise InvalidInputError(
                    f"Expected finite parameters. Received: an overflow of {name} in the M step. "
                    "Standardise the data, or increase reg_covar."
                )
        for name, value in weights.items():
            self._parameters.values[name].assign(value.astype(self.dtype))

    def _transitions_allowed(self) -> np.ndarray:
        ahead = np.arange(self.num_states) - np.arange(self.num_states)[:, None]
        if self.topology == "ergodic":
            return np.ones_like(ahead, bool)
        low = 0 if self.topology == "left_right" else -self.band_width
        return (low <= ahead) & (ahead <= self.band_width)

    def _rows_to_start_from(self, batches):
        """As in `EMModel`: observed steps, NaN where a value is missing, and beside each where in
        its sequence it lies, between 0 and 1."""
        for batch in batches:
            mask, lengths = batch["mask"], batch["lengths"]
            known = mask.reshape(*mask.shape[:2], -1).any(axis=-1)
            where = np.argwhere(known)

            def take(chosen, batch=batch, where=where, mask=mask, lengths=lengths):
                at = tuple(where[chosen].T)
                rows = batch["x"][at].reshape(len(chosen), self.event_size).astype(np.float64)
                if mask.ndim > 2:
                    rows = np.where(mask[at].reshape(rows.shape), rows, np.nan)
                return rows, (at[1] + 0.5) / lengths[at[0]]

            yield len(where), take

    def _start(self, attempt):
        rows, times = self._start_rows
        rows = fill_missing(rows)
        k = self.num_states
        needed = k * self.num_components
        if len(rows) < needed:
            raise InvalidInputError(
                f"Expected at least {needed} observed steps for num_states={k}. "
                f"Received: {len(rows)} steps. Use fewer states."
            )
        random = np.random.default_rng([attempt, 0 if self.seed is None else self.seed])
        allowed = self._transitions_allowed()
        start = np.full(k, 1.0 / k)
        if self.topology == "left_right":
            start = np.eye(k)[0]
        # a first guess of runs of states, uneven from the second start on
        spread = allowed * random.gamma(2.0, size=(k, k)) if attempt else 1.0 * allowed
        transmat = 0.5 * np.eye(k) + 0.5 * spread / spread.sum(axis=1, keepdims=True)
        given = {"startprob": start, "transmat": transmat}
        wanted = set(self._emission.shapes()) - set(self.parameters_init)
        if wanted:
            given.update(self._emission.start(rows, times, random))
        given.update(self._moved(self.parameters_init, -1.0))
        self._assign(given)


@dataclasses.dataclass(frozen=True)
class _Parameters:
    """Weights by name; a class of its own so that Keras tracks them once, as the model's."""

    values: dict[str, Any]


def _check_prior(value: Any, shape: tuple[int, ...], name: str) -> Any:
    array = checks.check_numbers(value, name)
    try:
        np.broadcast_to(array, shape)
    except ValueError:
        array = np.asarray(np.nan)
    if not np.isfinite(array).all() or (array <= 0).any():
        raise InvalidInputError(
            f"Expected {name} of numbers above 0, one or an array of shape {shape}. "
            f"Received: {name}={value!r}"
        )
    return array.tolist()


def as_dict(fixed: Any) -> dict[str, Any]:
    """Return what is fixed by name: True, or flags."""
    return dict(fixed) if isinstance(fixed, Mapping) else dict.fromkeys(fixed, True)


def _check_fixed(fixed: Any, shapes: dict[str, tuple[int, ...]]) -> Any:
    """Return what is fixed in a form that Keras can save."""
    if isinstance(fixed, str):
        fixed = [fixed]
    if not isinstance(fixed, (Mapping, list, tuple, set)):
        raise InvalidInputError(
            "Expected fixed to be names of parameters, or a dict of booleans by name. "
            f"Received: fixed={fixed!r}"
        )
    checked = {}
    for name, flags in as_dict(fixed).items():
        checks.check_name(name, shapes, "parameter of fixed")
        array = np.asarray(flags)
        if array.dtype != bool or array.shape != shapes[name][: array.ndim]:
            raise InvalidInputError(
                f"Expected fixed[{name!r}] to be True or booleans of shape {shapes[name]} or of "
                f"its leading axes. Received: fixed[{name!r}]={flags!r}"
            )
        checked[name] = array.tolist()
    return checked if isinstance(fixed, Mapping) else list(fixed)


def keep(new: np.ndarray, old: np.ndarray, flags: Any, name: str) -> np.ndarray:
    """Return new values, but old ones where `flags`; free probabilities share what is left."""
    if flags is None:
        return new
    flags = np.asarray(flags)
    flags = np.broadcast_to(flags.reshape(flags.shape + (1,) * (new.ndim - flags.ndim)), new.shape)
    if name not in _SIMPLEX:
        return np.where(flags, old, new)
    free = np.where(flags, 0.0, new)
    left = 1.0 - np.where(flags, old, 0.0).sum(axis=-1, keepdims=True)
    total = free.sum(axis=-1, keepdims=True)
    moved = free * left / np.maximum(total, np.finfo(np.float64).tiny)
    return np.where(flags | (total <= 0), old, moved)
