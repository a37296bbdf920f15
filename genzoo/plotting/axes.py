"""Axes without global state."""

from typing import Any


def own_axes(ax: Any, size: tuple[float, float] = (5.0, 4.0)) -> Any:
    """Return `ax`, or the axes of a new figure that no window shows."""
    if ax is not None:
        return ax
    # slow to import; training knows of pictures before it draws one
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure.add_subplot()
