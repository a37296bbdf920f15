"""Pictures of latent spaces."""

from typing import Any

import numpy as np

from genzoo.core.checks import check_int
from genzoo.core.errors import InvalidInputError
from genzoo.core.latent_model import path_between
from genzoo.core.traits import HasLatentSpace
from genzoo.plotting.samples import image_grid

_GRID_DRAWS = 10_000


def manifold(model: Any, *, columns: int = 20, context: Any = None, ax: Any = None) -> Any:
    """Draw what a grid of latent points decodes to, the first latent value from left to right.

    On each axis the grid is even in probability, from 5% to 95%, where the model's samples come
    from: by quantiles of 10,000 draws of `sample_latent`.

    Args:
        model: A fitted model on images with `decode` and a latent space of 2 dimensions.
        columns: Points on each axis.
        context: One label or vector for all, for conditional models.
        ax: Matplotlib axes to draw on.

    Returns:
        The axes.

    Raises:
        InvalidInputError: For a model without such a latent space.
    """
    shape = model.latent_shape if isinstance(model, HasLatentSpace) else None
    if shape != (2,) or not model.on_images:
        raise InvalidInputError(
            "Expected a model on images with a latent space of 2 dimensions. Received: "
            f"{type(model).__name__} with latent_shape={shape}, event_shape={model.event_shape}"
        )
    columns = check_int(columns, "columns")
    drawn = model.sample_latent(_GRID_DRAWS, context=context, seed=0)
    across, up = np.quantile(drawn, np.linspace(0.05, 0.95, columns), axis=0).T
    first, second = np.meshgrid(across, up[::-1])
    points = np.stack([first.ravel(), second.ravel()], axis=1)
    return image_grid(model.decode(points, context=context), columns=columns, ax=ax)


def interpolations(
    model: Any,
    *,
    rows: int = 8,
    columns: int = 10,
    path: str = "spherical",
    context: Any = None,
    seed: int = 0,
    ax: Any = None,
) -> Any:
    """Draw ways between latent points that samples come from, one a row.

    Args:
        model: A fitted model on images with `decode`.
        rows: Number of ways.
        columns: Images on a way, both ends included.
        path: `"spherical"` or `"linear"`, as of `LatentModel.interpolate`.
        context: One label or vector for all, for conditional models.
        seed: Fixes the points, those of `sample_latent`.
        ax: Matplotlib axes to draw on.

    Returns:
        The axes.

    Raises:
        InvalidInputError: For a model without a latent space, or of other data than images.
    """
    if not isinstance(model, HasLatentSpace) or not model.on_images:
        raise InvalidInputError(
            "Expected a model on images with a latent space. Received: "
            f"{type(model).__name__} with event_shape={model.event_shape}"
        )
    rows = check_int(rows, "rows")
    start, end = np.split(model.sample_latent(2 * rows, context=context, seed=seed), 2)
    points = path_between(start, end, columns, path).reshape(-1, *model.latent_shape)
    return image_grid(model.decode(points, context=context), columns=columns, ax=ax)
