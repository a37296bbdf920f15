"""The plane of a two-dimensional latent space."""

from statistics import NormalDist
from typing import Any

import numpy as np

from genzoo.core.errors import InvalidInputError
from genzoo.plotting.samples import image_grid


def manifold(model: Any, *, columns: int = 20, context: Any = None, ax: Any = None) -> Any:
    """Draw what a grid of latent points decodes to, the first latent value from left to right.

    The grid is even in probability under the standard normal, from 5% to 95% on each axis.

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
    shape = getattr(model, "latent_shape", None)
    if shape != (2,) or len(model.event_shape) != 3:
        raise InvalidInputError(
            "Expected a model on images with a latent space of 2 dimensions. Received: "
            f"{type(model).__name__} with latent_shape={shape}, event_shape={model.event_shape}"
        )
    normal = NormalDist()
    line = np.array([normal.inv_cdf(p) for p in np.linspace(0.05, 0.95, columns)])
    first, second = np.meshgrid(line, line[::-1])
    points = np.stack([first.ravel(), second.ravel()], axis=1)
    if context is not None:
        context = np.repeat(np.asarray(context)[None], len(points), axis=0)
    return image_grid(model.decode(points, context=context), columns=columns, ax=ax)
