"""Samples of images, planes and tables."""

import math
from typing import Any

import numpy as np

from genzoo.core.errors import InvalidInputError
from genzoo.plotting.axes import own_axes

_MAX_MARGINALS = 12
# in pixels: the longer side of an image in a grid, at the least; the room of a title
_LEAST_SIDE, _TITLE, _DPI = 60, 32, 100


def image_grid(
    images: Any,
    *,
    columns: int | None = None,
    low: float | None = None,
    high: float | None = None,
    title: str | None = None,
    ax: Any = None,
) -> Any:
    """Draw images in a grid.

    In a figure of its own a pixel of the images is a whole number of pixels wide, as long as the
    figure is saved at its own resolution, Matplotlib's default.

    Args:
        images: [n, height, width, channels], 1 or 3 channels.
        columns: Images a row; by default as square a grid as can be.
        low, high: Values drawn black and white; by default the range of the images.
        title: Above the grid.
        ax: Matplotlib axes to draw on.

    Returns:
        The axes.
    """
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[3] not in (1, 3) or len(images) == 0:
        raise InvalidInputError(
            "Expected images of shape (n, height, width, 1 or 3). "
            f"Received: images.shape={images.shape}"
        )
    n, height, width, channels = images.shape
    columns = columns or math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    low = float(images.min()) if low is None else low
    high = float(images.max()) if high is None else high
    scaled = np.clip((images.astype(np.float64) - low) / max(high - low, 1e-12), 0, 1)
    canvas = np.ones((rows * (height + 1) + 1, columns * (width + 1) + 1, channels))
    for i, image in enumerate(scaled):
        top, left = i // columns * (height + 1) + 1, i % columns * (width + 1) + 1
        canvas[top : top + height, left : left + width] = image
    if ax is None:
        scale = math.ceil(_LEAST_SIDE / max(height, width))
        ax = _pixel_axes(scale * canvas.shape[0], scale * canvas.shape[1], title)
    shown = canvas[..., 0] if channels == 1 else canvas
    ax.imshow(shown, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    ax.set_axis_off()
    if title is not None:
        ax.set_title(title)
    return ax


def _pixel_axes(height: int, width: int, title: str | None) -> Any:
    """Return axes of so many pixels in a figure that they fill, but for a title."""
    top = 0 if title is None else _TITLE
    figure = own_axes(None).figure
    figure.clear()
    figure.set_layout_engine("none")
    figure.set_dpi(_DPI)
    figure.set_size_inches(width / _DPI, (height + top) / _DPI)
    return figure.add_axes((0, 0, 1, height / (height + top)))


def scatter(samples: Any, data: Any = None, *, ax: Any = None) -> Any:
    """Draw points in the plane, [n, 2], over data if given; return the axes."""
    ax = own_axes(ax, (5.0, 5.0))
    for points, label, color in ((data, "data", "0.7"), (samples, "samples", "C0")):
        if points is not None:
            points = np.asarray(points)
            ax.scatter(points[:, 0], points[:, 1], s=4, label=label, color=color, linewidths=0)
    ax.set_aspect("equal")
    ax.legend(markerscale=3)
    return ax


def marginals(samples: Any, data: Any = None, *, ax: Any = None) -> Any:
    """Draw the quartiles and 5% to 95% range of up to 12 features, beside the data's.

    Args:
        samples, data: [n, D]; each feature is drawn in units of the data's spread.
        ax: Matplotlib axes to draw on.

    Returns:
        The axes.
    """
    samples = np.asarray(samples, np.float64).reshape(len(samples), -1)[:, :_MAX_MARGINALS]
    reference = samples if data is None else np.asarray(data, np.float64)
    reference = reference.reshape(len(reference), -1)[:, :_MAX_MARGINALS]
    # NaN is a missing value
    center, spread = np.nanmean(reference, axis=0), np.nanstd(reference, axis=0)
    spread[spread == 0] = 1.0
    ax = own_axes(ax, (1.5 + 0.5 * samples.shape[1], 4.0))
    for values, label, color, offset in (
        (None if data is None else reference, "data", "0.6", -0.15),
        (samples, "samples", "C0", 0.15),
    ):
        if values is None:
            continue
        bands = np.nanpercentile((values - center) / spread, [5, 25, 50, 75, 95], axis=0)
        at = np.arange(samples.shape[1]) + offset
        ax.vlines(at, bands[0], bands[4], color=color, linewidth=1)
        ax.vlines(at, bands[1], bands[3], color=color, linewidth=5)
        ax.plot(at, bands[2], "_", color="black")
        ax.plot([], [], color=color, linewidth=5, label=label)
    ax.set_xlabel("feature")
    ax.set_ylabel("in standard deviations of the data")
    ax.legend()
    return ax


def samples(samples: Any, data: Any = None, *, ax: Any = None) -> Any:
    """Draw samples by their shape: images as a grid, planes as points, the rest as marginals.

    Args:
        samples: [n, *event_shape].
        data: Examples to compare with, for all but images. Of an array of sequences the steps are
            compared.
        ax: Matplotlib axes to draw on.

    Returns:
        The axes.
    """
    samples = np.asarray(samples)
    if isinstance(data, np.ndarray) and data.dtype == object and data.ndim == 1:
        samples, data = samples.reshape(-1, *samples.shape[2:]), np.concatenate(list(data))
    if samples.ndim == 4 and samples.shape[3] in (1, 3):
        return image_grid(samples, ax=ax)
    if samples.shape[1:] == (2,):
        return scatter(samples, data, ax=ax)
    return marginals(samples, data, ax=ax)
