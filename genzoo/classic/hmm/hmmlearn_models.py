"""Hidden Markov models to and from hmmlearn's own objects."""

from typing import Any

import numpy as np

from genzoo.classic.hmm.emissions import EMISSIONS, Emission
from genzoo.classic.hmm.emissions.emission import read_hmmlearn
from genzoo.core.errors import InvalidInputError

# hmmlearn's attribute and its letter in `params`
_CHAIN = {"startprob": ("startprob_", "s"), "transmat": ("transmat_", "t")}


def arguments_of(model: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the constructor arguments and the parameters that a model of hmmlearn stands for.

    Raises:
        InvalidInputError: For anything else.
        NotFittedError: For a model without parameters.
    """
    name = type(model).__name__
    known = {kind.hmmlearn_class: emission for emission, kind in EMISSIONS.items()}
    if name not in known:
        shown = ", ".join(filter(None, known))
        raise InvalidInputError(f"Expected one of hmmlearn's {shown}. Received: a {name}")
    emission = EMISSIONS[known[name]]
    chain = read_hmmlearn(model, {key: attribute for key, (attribute, _) in _CHAIN.items()})
    own, emitted = emission.from_hmmlearn(model)
    names = {**_CHAIN, **emission.hmmlearn_names}
    arguments = {
        "num_states": model.n_components,
        "emission": known[name],
        "startprob_prior": model.startprob_prior,
        "transmat_prior": model.transmat_prior,
        "tol": max(model.tol, 0.0),
        "fixed": [key for key, (_, letter) in names.items() if letter not in model.params],
        **own,
    }
    if isinstance(model.random_state, (int, np.integer)):
        arguments["seed"] = int(model.random_state)
    return arguments, {**chain, **emitted}


def make_hmmlearn(
    emission: Emission,
    parameters: dict[str, np.ndarray],
    fixed: dict[str, Any],
    **arguments: Any,
) -> Any:
    """Return hmmlearn's object of the given emission and parameters.

    Args:
        emission: Of the model.
        parameters: All of the model's.
        fixed: What is fixed by name.
        **arguments: Of hmmlearn's constructor, beside those of the emission.

    Raises:
        InvalidInputError: For emissions that hmmlearn lacks, and parts of a parameter that are
            fixed.
    """
    from hmmlearn import hmm

    if emission.hmmlearn_class is None:
        raise InvalidInputError(
            f"Expected an emission that hmmlearn has. Received: a {type(emission).__name__}"
        )
    if not all(np.all(flags) for flags in fixed.values()):
        raise InvalidInputError(
            "Expected parameters that are fixed as a whole: hmmlearn fixes no parts of them. "
            f"Received: fixed={fixed!r}"
        )
    names = {**_CHAIN, **emission.hmmlearn_names}
    model = getattr(hmm, emission.hmmlearn_class)(
        emission.settings.num_states,
        params="".join(letter for key, (_, letter) in names.items() if key not in fixed),
        # so that its fit goes on from these parameters
        init_params="",
        **emission.to_hmmlearn(),
        **arguments,
    )
    model.n_features = emission.hmmlearn_width
    for key, (attribute, _) in names.items():
        setattr(model, attribute, np.asarray(parameters[key], np.float64))
    return model
