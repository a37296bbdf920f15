"""Models built and trained for an application, with settings that need no tuning."""

from typing import Any

import numpy as np

from genzoo.core import checks
from genzoo.core.errors import InvalidInputError
from genzoo.core.maths.random import fresh_seed, generator
from genzoo.core.model import GenerativeModel
from genzoo.core.registry import build, traits_of
from genzoo.core.traits import Example
from genzoo.training import recipe

_STEPS = 3000
_MOST_EPOCHS = 400
_VALIDATION = 0.1
_LEAST_VALIDATION_ROWS = 10
_MOST_COMPONENTS = 10
_ROWS_A_PARAMETER = 5


def mixture_options(num_rows: int, width: int, most: int = _MOST_COMPONENTS) -> dict[str, Any]:
    """Return options of a `GaussianMixture` of full covariances that so many rows can bear.

    Args:
        num_rows, width: Of standardised data.
        most: Components, at most.
    """
    bearable = num_rows // (_ROWS_A_PARAMETER * width)
    return {"num_components": int(np.clip(bearable, 1, most)), "reg_covar": 0.02, "tol": 1e-2}


def check_examples(model: str | GenerativeModel, *kinds: Example) -> None:
    """Refuse a model, or a registered name, none of whose examples are of these kinds."""
    examples = traits_of(model).examples
    if not set(kinds) & set(examples):
        raise InvalidInputError(
            f"Expected a model with examples of the kind {' or '.join(kinds)}. Received: "
            f"model={model!r}, with examples of the kind {' or '.join(examples)}."
        )


def make_model(
    model: str | GenerativeModel,
    event_shape: tuple[int, ...],
    config: dict[str, Any],
    seed: int | None,
) -> GenerativeModel:
    """Return a model to train: built by name, or an unfitted copy of the one given.

    Args:
        model: A registered name or a model.
        event_shape: Shape of an example, for a name.
        config: Constructor arguments, for a name.
        seed: For a name whose config has none.

    Raises:
        InvalidInputError: For anything else, or config beside a model.
    """
    if isinstance(model, str):
        return build(model, **{"event_shape": event_shape, "seed": seed, **config})
    if not isinstance(model, GenerativeModel):
        raise InvalidInputError(
            "Expected the name of a model (see genzoo.models()) or a genzoo model. "
            f"Received: model={model!r}"
        )
    if config:
        raise InvalidInputError(
            "Expected model options with the name of a model alone. "
            f"Received: {', '.join(config)} beside a {type(model).__name__}"
        )
    return type(model).from_config(model.get_config())


def train(
    model: GenerativeModel,
    x: Any,
    context: Any = None,
    *,
    epochs: int | None = None,
    batch_size: int | None = None,
    noise: float = 0.0,
    seed: int | None = 0,
) -> GenerativeModel:
    """Fit a model quietly by `genzoo.training.train`, for as long as so many rows call for.

    Args:
        model: Unfitted.
        x, context: As in `fit`; x may be a list of sequences.
        epochs: `None` for what the model itself stops at (EM), else about 3,000 steps.
        batch_size: `None` for the model's default.
        noise: Standard deviation of normal noise added to the rows.
        seed: Fixes the rows held out and the noise.

    Returns:
        The model.
    """
    if epochs is not None:
        checks.check_int(epochs, "epochs")
    seed = fresh_seed() if seed is None else seed
    if noise and not isinstance(x, list):
        x = x + generator(seed).normal(scale=noise, size=x.shape)
    held_out, kind = 0, model.traits.training
    if kind == "gradient" and len(x) * _VALIDATION >= _LEAST_VALIDATION_ROWS:
        held_out = int(len(x) * _VALIDATION)
    if epochs is None and kind == "em":
        epochs = model.default_epochs
    elif epochs is None:
        steps = -(-(len(x) - held_out) // (batch_size or model.default_batch_size))
        epochs = int(np.clip(-(-_STEPS // steps), 5, _MOST_EPOCHS))
    recipe.train(
        model,
        x if context is None else (x, context),
        epochs=epochs,
        batch_size=batch_size,
        validation_split=_VALIDATION if held_out else 0.0,
        seed=None if kind == "em" else seed,
        patience=max(5, epochs // 10),
        reduce_lr=False,
        verbose=0,
    )
    return model
