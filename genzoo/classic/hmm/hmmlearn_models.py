"""Hidden Markov models to and from hmmlearn's own objects."""

from typing import Any

import numpy as np

from genzoo.core.errors import InvalidInputError, NotFittedError

# genzoo's parameter, hmmlearn's attribute and its letter in `params`
_CHAIN = {"startprob": ("startprob_", "s"), "transmat": ("transmat_", "t")}
_GAUSSIAN = {"means": ("means_", "m"), "covariances": ("covars_", "c")}
_SYMBOLS = {"emissionprob": ("emissionprob_", "e")}
_KINDS = {
    "gaussian": ("GaussianHMM", {**_CHAIN, **_GAUSSIAN}),
    "gaussian_mixture": ("GMMHMM", {**_CHAIN, **_GAUSSIAN, "weights": ("weights_", "w")}),
    "categorical": ("CategoricalHMM", {**_CHAIN, **_SYMBOLS}),
    "multinomial": ("MultinomialHMM", {**_CHAIN, **_SYMBOLS}),
    "poisson": ("PoissonHMM", {**_CHAIN, "rates": ("lambdas_", "l")}),
}


def arguments_of(model: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the constructor arguments and the parameters that a model of hmmlearn stands for.

    Raises:
        InvalidInputError: For anything else.
        NotFittedError: For a model without parameters.
    """
    emission = next((e for e, (name, _) in _KINDS.items() if name == type(model).__name__), None)
    if emission is None:
        shown = ", ".join(name for name, _ in _KINDS.values())
        raise InvalidInputError(
            f"Expected one of hmmlearn's {shown}. Received: a {type(model).__name__}"
        )
    names = _KINDS[emission][1]
    attributes = {name: attribute for name, (attribute, _) in names.items()}
    if emission == "gaussian":
        # as set: the property makes them matrices, and fails where no fit counted the columns
        attributes["covariances"] = "_covars_"
    missing = [name.lstrip("_") for name in attributes.values() if not hasattr(model, name)]
    if missing:
        raise NotFittedError(
            f"Expected a {type(model).__name__} with parameters. Received: one without "
            f"{', '.join(missing)}. Call its fit, or set them."
        )
    parameters = {
        name: np.asarray(getattr(model, attribute), np.float64)
        for name, attribute in attributes.items()
    }
    arguments = {
        "num_states": model.n_components,
        "emission": emission,
        "startprob_prior": model.startprob_prior,
        "transmat_prior": model.transmat_prior,
        "tol": max(model.tol, 0.0),
        "fixed": [name for name, (_, letter) in names.items() if letter not in model.params],
    }
    if emission in ("gaussian", "gaussian_mixture"):
        arguments["covariance_type"] = model.covariance_type
        arguments["event_shape"] = parameters["means"].shape[-1:]
    if emission == "gaussian":
        covariances = parameters["covariances"]
        spherical = model.covariance_type == "spherical" and covariances.ndim == 2
        parameters["covariances"] = covariances[:, 0] if spherical else covariances
    elif emission == "gaussian_mixture":
        arguments["num_components"] = model.n_mix
        arguments["emission_prior"] = _one(model.weights_prior)
    elif emission == "categorical":
        arguments["event_shape"], arguments["levels"] = (1,), parameters["emissionprob"].shape[1]
        arguments["emission_prior"] = _one(model.emissionprob_prior)
    elif emission == "multinomial":
        arguments["event_shape"] = (parameters["emissionprob"].shape[1],)
        trials = np.unique([] if model.n_trials is None else model.n_trials)
        arguments["num_trials"] = int(trials[0]) if len(trials) == 1 else None
    else:
        arguments["event_shape"] = (parameters["rates"].shape[1],)
    if isinstance(model.random_state, (int, np.integer)):
        arguments["seed"] = int(model.random_state)
    return arguments, parameters


def to_hmmlearn(model: Any, parameters: dict[str, np.ndarray], fixed: dict[str, Any]) -> Any:
    """Return the object of hmmlearn with a genzoo model's parameters."""
    from hmmlearn import hmm

    if not all(np.all(flags) for flags in fixed.values()):
        raise InvalidInputError(
            "Expected parameters that are fixed as a whole: hmmlearn fixes no parts of them. "
            f"Received: fixed={model.fixed!r}"
        )
    name, names = _KINDS[model.emission]
    updated = [letter for key, (_, letter) in names.items() if key not in fixed]
    arguments = {
        "startprob_prior": np.asarray(model.startprob_prior),
        "transmat_prior": np.asarray(model.transmat_prior)
        + model.sticky * np.eye(model.num_states),
        "random_state": model.seed,
        "n_iter": model.default_epochs,
        "tol": model.tol,
        "params": "".join(updated),
        # so that its fit goes on from these parameters
        "init_params": "",
    }
    if model.emission in ("gaussian", "gaussian_mixture"):
        arguments["covariance_type"] = model.covariance_type
    if model.emission == "gaussian":
        # without the prior that it has by default
        arguments["covars_prior"] = 0.0
    elif model.emission == "gaussian_mixture":
        arguments["n_mix"] = model.num_components
        arguments["weights_prior"] = model.emission_prior
    elif model.emission == "categorical":
        arguments["emissionprob_prior"] = model.emission_prior
    elif model.emission == "multinomial":
        arguments["n_trials"] = model.num_trials_
    theirs = getattr(hmm, name)(model.num_states, **arguments)
    theirs.n_features = model.levels if model.emission == "categorical" else model.event_size
    for key, (attribute, _) in names.items():
        setattr(theirs, attribute, np.asarray(parameters[key], np.float64))
    return theirs


def _one(prior: Any) -> float:
    values = np.unique(prior)
    if len(values) != 1:
        raise InvalidInputError(
            f"Expected one prior for all symbols or components. Received: {prior!r}"
        )
    return float(values[0])
