"""Model names. A class enters by decorator; users build by name."""

from collections.abc import Callable
from typing import Any

import keras

from genzoo.core.checks import check_name, nearest
from genzoo.core.config import constructor_arguments
from genzoo.core.errors import InvalidInputError, UnknownNameError
from genzoo.core.traits import Traits

_MODELS: dict[str, type] = {}


def register(name: str) -> Callable[[type], type]:
    """Enter a model class under `name` and make it known to Keras's saving."""

    def enter(cls: type) -> type:
        _MODELS[name] = keras.saving.register_keras_serializable("genzoo")(cls)
        cls.registered_name = name
        return cls

    return enter


def models() -> list[str]:
    """Return the names of all models, sorted."""
    return sorted(_MODELS)


def model_class(name: str) -> type:
    """Return the class registered under `name`."""
    return _MODELS[check_name(name, _MODELS, "model")]


def traits_of(model: Any) -> Traits:
    """Return the traits of a model, of a class of models, or of a registered name.

    Args:
        model: A model, a class or a name of `genzoo.models()`.

    Raises:
        UnknownNameError: For a name that is not registered.
        InvalidInputError: For anything else that is no model.

    Example:

    >>> traits_of("hidden_markov_model").examples
    ('sequence',)
    """
    found = getattr(model_class(model) if isinstance(model, str) else model, "traits", None)
    if not isinstance(found, Traits):
        raise InvalidInputError(
            "Expected the name of a model (see genzoo.models()) or a genzoo model. "
            f"Received: model={model!r}"
        )
    return found


def build(name: str, /, **config: Any):
    """Build a registered model.

    Args:
        name: One of `genzoo.models()`, for example `"realnvp"`.
        **config: The model's constructor arguments.

    Returns:
        The model, a `keras.Model`.

    Raises:
        UnknownNameError: For an unknown model or option, with the nearest valid names.

    Example:

    >>> model = genzoo.build("gaussian_mixture", event_shape=(2,), num_components=3)
    >>> model.num_components
    3
    """
    cls = model_class(name)
    valid = constructor_arguments(cls)
    refuse_unknown({option: config[option] for option in config if option not in valid}, cls, name)
    return cls(**config)


def refuse_unknown(options: dict[str, Any], cls: type, name: str | None = None) -> None:
    """Refuse options that a class does not have, with the nearest of those it has.

    Args:
        options: Those that it does not have.
        cls: The class.
        name: What the user calls it; `None` for the class's own name.
    """
    for option, value in options.items():
        raise UnknownNameError(
            f"Unknown option of {name or cls.__name__}. "
            f"{nearest(option, constructor_arguments(cls))}Received: {option}={value!r}"
        )
