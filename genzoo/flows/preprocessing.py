"""Steps at the data end, by name."""

from genzoo.core import checks
from genzoo.core.traits import is_image
from genzoo.steps import Center, FlowStep, Logit, PixelScale, Standardize

# margin of the logit by the protocol's name; None is the model's own
_LOGITS = {"logit": None, "maf": 1e-6, "realnvp": 0.05}
PREPROCESSING = ("auto", "standardize", *_LOGITS, "glow", None)


def preprocessing_steps(
    kind: str | None, event_shape: tuple[int, ...], *, images: str, alpha: float, dtype
) -> list[FlowStep]:
    """Return the steps of a preprocessing, from the base to the data.

    Args:
        kind: A name of `PREPROCESSING`.
        event_shape: Shape of one example.
        images: What `"auto"` stands for when that is an image; else it standardises.
        alpha: Margin of `"logit"`.
        dtype: Of the steps.
    """
    checks.check_choice(kind, PREPROCESSING, "preprocessing")
    if kind == "auto":
        kind = images if is_image(event_shape) else "standardize"
    if kind == "standardize":
        return [Standardize(dtype=dtype)]
    if kind == "glow":
        return [Center(dtype=dtype), PixelScale(dtype=dtype)]
    if kind in _LOGITS:
        margin = alpha if _LOGITS[kind] is None else _LOGITS[kind]
        return [Logit(margin, dtype=dtype), PixelScale(dtype=dtype)]
    return []
