"""Constructor arguments that models take by `**`, for editors and type checkers."""

from typing import Any, TypedDict


class ModelArguments(TypedDict, total=False):
    """Of all models; see `GenerativeModel`."""

    levels: int | None
    context_dim: int | None
    num_classes: int | None
    seed: int | None
    name: str | None
    dtype: Any
