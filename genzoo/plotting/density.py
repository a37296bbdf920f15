"""Densities on the plane, and what models make of examples and sequences."""

from typing import Any

import numpy as np

from genzoo.core.checks import check_int
from genzoo.core.errors import InvalidInputError
from genzoo.core.traits import HasStates, Reconstructs
from genzoo.plotting.axes import own_axes
from genzoo.plotting.samples import image_grid

_MARGIN = 0.15
_GOLDEN = 0.618
_FLOOR = 12.0  # nats below the highest: all that is lower is drawn alike


def density(
    model: Any,
    data: Any,
    *,
    threshold: float | None = None,
    context: Any = None,
    resolution: int = 120,
    ax: Any = None,
) -> Any:
    """Draw contours of a model's log-density on the plane, with data over it.

    Args:
        model: A fitted model with a likelihood, of event shape (2,).
        data: Points [n, 2]; they set the range, too.
        threshold: Log-density, in nats, to draw a line at, such as an anomaly detector's.
        context: One label or vector for all, for conditional models.
        resolution: Points of the grid on each axis.
        ax: Matplotlib axes to draw on.

    Returns:
        The axes.

    Raises:
        InvalidInputError: For a model of other events.
    """
    data = np.asarray(data, np.float64)
    if model.event_shape != (2,) or data.ndim != 2 or data.shape[1] != 2:
        raise InvalidInputError(
            "Expected a model and data of event shape (2,). Received: "
            f"event_shape={model.event_shape}, data of shape {data.shape}"
        )
    resolution = check_int(resolution, "resolution", minimum=2)
    low, high = data.min(axis=0), data.max(axis=0)
    margin = _MARGIN * np.maximum(high - low, 1e-12)
    sides = [
        np.linspace(a, b, resolution) for a, b in zip(low - margin, high + margin, strict=True)
    ]
    grid = np.stack(np.meshgrid(*sides), axis=2).reshape(-1, 2)
    values = model.log_prob(grid, context=context).reshape(resolution, resolution)
    values = np.maximum(values, values.max() - _FLOOR)
    ax = own_axes(ax, (5.5, 5.0))
    drawn = ax.contourf(*sides, values, levels=20, cmap="Blues")
    ax.figure.colorbar(drawn, ax=ax, label="log-density, nats")
    ax.scatter(data[:, 0], data[:, 1], s=3, color="0.2", linewidths=0)
    if threshold is not None and values.min() < threshold < values.max():
        ax.contour(*sides, values, levels=[threshold], colors="C3", linewidths=1.5)
    return ax


def reconstructions(model: Any, x: Any, *, context: Any = None, ax: Any = None) -> Any:
    """Draw images, and below each what the model makes of it.

    Args:
        model: A fitted model on images with `reconstruct`.
        x: Images [n, height, width, channels].
        context: As in `fit`, for conditional models.
        ax: Matplotlib axes to draw on.

    Returns:
        The axes.

    Raises:
        InvalidInputError: For a model without `reconstruct`.
    """
    if not isinstance(model, Reconstructs) or not model.on_images:
        raise InvalidInputError(
            "Expected a model on images that reconstructs, such as a VAE. Received: "
            f"{type(model).__name__} with event_shape={model.event_shape}"
        )
    made = model.reconstruct(x, context=context)
    return image_grid(np.concatenate([x, made]), columns=len(made), ax=ax)


def states(model: Any, x: Any, *, ax: Any = None) -> Any:
    """Draw a sequence, and behind it the likeliest states of a hidden Markov model.

    Args:
        model: A fitted `HiddenMarkovModel`.
        x: One sequence [steps, *event_shape].
        ax: Matplotlib axes to draw on.

    Returns:
        The axes.

    Raises:
        InvalidInputError: For a model without states.
    """
    from matplotlib.colors import hsv_to_rgb

    if not isinstance(model, HasStates):
        raise InvalidInputError(
            "Expected a model of sequences with states, such as HiddenMarkovModel. "
            f"Received: a {type(model).__name__}"
        )
    x = np.asarray(x)
    path = np.asarray(model.decode(x[None]))[0]
    ax = own_axes(ax, (9.0, 3.0))
    begins = np.flatnonzero(np.diff(path, prepend=-1))
    seen = set()
    for begin, end in zip(begins, [*begins[1:], len(path)], strict=True):
        state = int(path[begin])
        label = None if state in seen else f"state {state}"
        seen.add(state)
        # a golden angle round the circle of hues: any number of states keep apart
        color = hsv_to_rgb((_GOLDEN * state % 1.0, 0.7, 0.9))
        ax.axvspan(begin - 0.5, end - 0.5, color=color, alpha=0.4, label=label, linewidth=0)
    ax.plot(x.reshape(len(x), -1), linewidth=0.8, color="0.1")
    ax.set_xlim(-0.5, len(x) - 0.5)
    ax.set_xlabel("step")
    ax.legend(loc="upper right", fontsize="small")
    return ax
