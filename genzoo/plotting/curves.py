"""Training curves."""

from typing import Any

from genzoo.plotting.axes import own_axes


def history(history: Any, *, ax: Any = None) -> Any:
    """Draw the training and validation loss by epoch; for adversarial training those of both sides.

    Args:
        history: What `fit` returns, or its `.history` dict.
        ax: Matplotlib axes to draw on.

    Returns:
        The axes.
    """
    from matplotlib.ticker import MaxNLocator

    values = getattr(history, "history", history)
    ax = own_axes(ax)
    shown = [("loss", "training"), ("val_loss", "validation")]
    if not values.get("loss"):
        # adversarial training: a loss for each side
        shown = [
            (f"{prefix}{side}_loss", f"{side}{where}")
            for side in ("generator", "discriminator")
            for prefix, where in (("", ""), ("val_", ", validation"))
        ]
    for name, label in shown:
        if values.get(name):
            epochs = range(1, len(values[name]) + 1)
            marker = "o" if len(values[name]) < 3 else None
            ax.plot(epochs, values[name], label=label, marker=marker)
    ax.set_xlabel("epoch")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_ylabel("loss, nats an example")
    ax.grid(alpha=0.3)
    if ax.lines:
        ax.legend()
    return ax
