"""The models that ship, trained, each with a card of what it is and how it was made."""

import json
import sys
from pathlib import Path
from typing import Any

from genzoo.core.checks import check_name
from genzoo.core.errors import DataError

MODEL_FILE, CARD_FILE = "model.keras", "metrics.json"
# beside the package in a checkout, under the prefix once installed
_FOLDERS = (
    Path(__file__).parent.parent / "saved_models",
    Path(sys.prefix) / "share" / "genzoo" / "saved_models",
)


def pretrained_models(folder: str | Path | None = None) -> dict[str, Path]:
    """Return the folders of trained models by name.

    Args:
        folder: Where to look; `None` for the models that ship with genzoo.
    """
    folders = _FOLDERS if folder is None else (Path(folder),)
    found: dict[str, Path] = {}
    for place in folders:
        for file in sorted(place.glob(f"*/{MODEL_FILE}")):
            found.setdefault(file.parent.name, file.parent)
    return found


def card(name: str, *, folder: str | Path | None = None) -> dict[str, Any]:
    """Return what a trained model's card says: data, options, figures, seed and command.

    Args:
        name, folder: As of `load_pretrained`.
    """
    return read_json(_find(name, folder) / CARD_FILE)


def read_json(file: Path) -> dict[str, Any]:
    """Return the JSON object of a file, or raise `DataError`."""
    try:
        found = json.loads(file.read_text())
        if not isinstance(found, dict):
            raise ValueError("it holds no object")
    except (OSError, ValueError) as error:
        raise DataError(f"Expected a file of JSON. Received: {file} ({error}).") from None
    return found


def load_pretrained(name: str, *, folder: str | Path | None = None) -> Any:
    """Return a trained model.

    Args:
        name: One of `genzoo.pretrained_models()`, such as `"realnvp-digits"`.
        folder: Where to look; `None` for the models that ship with genzoo.

    Returns:
        The model, ready for `sample`, `log_prob` or more `fit`.

    Raises:
        UnknownNameError: For a name that is not there.
        DataError: For a file that does not load.

    Example:

    >>> model = genzoo.load_pretrained("realnvp-digits")
    >>> model.sample(5, seed=0).shape
    (5, 8, 8, 1)
    """
    return load_file(_find(name, folder) / MODEL_FILE)


def load_file(file: Path) -> Any:
    """Return the model of a `.keras` file, or raise `DataError`."""
    import keras

    from genzoo.core.model import GenerativeModel

    try:
        # safe mode stays on: a file runs no code of its own
        model = keras.models.load_model(file)
        if not isinstance(model, GenerativeModel):
            raise TypeError(f"it holds a {type(model).__name__}")
        return model
    except Exception as error:
        raise DataError(
            f"Expected a model that genzoo saved. Received: {file}, which does not load "
            f"({_reason(error)})."
        ) from error


def _reason(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()] or [repr(error)]
    # Keras counts what failed first, and then says why
    return lines["could not be loaded" in lines[0] and len(lines) > 1][:300]


def _find(name: str, folder: str | Path | None) -> Path:
    found = pretrained_models(folder)
    return found[check_name(name, found, "trained model")]
