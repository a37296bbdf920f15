"""Fitted estimators in folders: JSON, arrays and `.keras` files, which run no code when loaded."""

import datetime
import importlib
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np

from genzoo.core.errors import DataError, InvalidInputError
from genzoo.core.model import GenerativeModel

STATE_FILE, _ARRAYS_FILE = "estimator.json", "arrays.npz"
_OWN = "genzoo.applications."
# parts of scikit-learn that hold numbers alone; others are made anew from theirs
_THEIRS = {
    "sklearn.preprocessing._data.PowerTransformer",
    "sklearn.preprocessing._data.QuantileTransformer",
    "sklearn.preprocessing._data.StandardScaler",
}
_NEIGHBORS = "sklearn.neighbors._unsupervised.NearestNeighbors"
_TIMES = (datetime.datetime, datetime.date)


def write(estimator: Any, folder: Path) -> None:
    """Write an estimator into a folder that exists.

    Raises:
        InvalidInputError: For an estimator with a part that cannot be saved.
    """
    writer = _Writer(folder)
    state = {"format": 1, "estimator": writer.encode(estimator)}
    np.savez_compressed(folder / _ARRAYS_FILE, **writer.arrays)
    (folder / STATE_FILE).write_text(json.dumps(state), encoding="utf-8")


def read(folder: Path, kind: type) -> Any:
    """Return the estimator of a folder.

    Raises:
        DataError: For a folder that holds none of this kind, or is damaged.
    """
    try:
        state = json.loads((folder / STATE_FILE).read_text(encoding="utf-8"))
        with np.load(folder / _ARRAYS_FILE, allow_pickle=False) as arrays:
            estimator = _Reader(folder, arrays).decode(state["estimator"])
        if not isinstance(estimator, kind):
            raise TypeError(f"it holds a {type(estimator).__name__}")
        return estimator
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise DataError(
            f"Expected a folder that {kind.__name__}.save wrote. Received: {folder}, which does "
            f"not load ({reason[:200]})."
        ) from error


class _Writer:
    def __init__(self, folder: Path):
        self.folder, self.arrays = folder, {}
        self.models: list[GenerativeModel] = []

    def encode(self, value: Any) -> Any:
        """Return a value as JSON; arrays and models are kept apart."""
        if value is None or isinstance(value, (bool, int, float, str)):
            # NumPy's are subclasses of some
            return value if type(value).__module__ == "builtins" else self._array(value)
        if isinstance(value, (np.ndarray, np.generic)):
            return self._array(value)
        if isinstance(value, (list, tuple)):
            return {type(value).__name__: [self.encode(item) for item in value]}
        if isinstance(value, dict):
            return {"dict": [[self.encode(k), self.encode(v)] for k, v in value.items()]}
        if isinstance(value, _TIMES):
            return {"time": value.isoformat()}
        if isinstance(value, datetime.timedelta):
            return {"duration": [value.days, value.seconds, value.microseconds]}
        if isinstance(value, datetime.timezone):
            return {"zone": self.encode(value.utcoffset(None))}
        if isinstance(value, np.random.Generator):
            return {"generator": value.bit_generator.state}
        if isinstance(value, GenerativeModel):
            return self._model(value)
        name = f"{type(value).__module__}.{type(value).__qualname__}"
        if name == _NEIGHBORS:
            return {"neighbors": [self.encode(value.get_params()), self.encode(value._fit_X)]}
        if name in _THEIRS or name.startswith(_OWN):
            return {"object": name, "state": self.encode(vars(value))}
        raise InvalidInputError(
            f"Expected an estimator of numbers, text, times and genzoo models. Received: a part "
            f"of type {name}, which cannot be saved. Pickle the estimator instead."
        )

    def _array(self, value: Any) -> dict[str, Any]:
        array = np.asarray(value)
        if array.dtype == object:
            items = [self.encode(item) for item in array.ravel().tolist()]
            return {"objects": items, "shape": array.shape}
        name = f"a{len(self.arrays)}"
        self.arrays[name] = array
        return {"array": name}

    def _model(self, model: GenerativeModel) -> dict[str, Any]:
        for i, other in enumerate(self.models):
            if other is model:
                return {"model": i}
        self.models.append(model)
        number = len(self.models) - 1
        model.save(self.folder / f"model-{number}.keras")
        return {"model": number}


class _Reader:
    def __init__(self, folder: Path, arrays: Any):
        self.folder, self.arrays = folder, arrays
        self.models: dict[int, GenerativeModel] = {}

    def decode(self, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        form = next(iter(value))
        return getattr(self, f"_{form}")(value[form], value)

    def _list(self, items, _) -> list[Any]:
        return [self.decode(item) for item in items]

    def _tuple(self, items, _) -> tuple[Any, ...]:
        return tuple(self.decode(item) for item in items)

    def _dict(self, items, _) -> dict[Any, Any]:
        return {self.decode(key): self.decode(value) for key, value in items}

    def _time(self, text, _) -> datetime.date:
        kind = datetime.datetime if "T" in text else datetime.date
        return kind.fromisoformat(text)

    def _duration(self, parts, _) -> datetime.timedelta:
        return datetime.timedelta(*parts)

    def _zone(self, offset, _) -> datetime.timezone:
        return datetime.timezone(self.decode(offset))

    def _generator(self, state, _) -> np.random.Generator:
        generator = np.random.default_rng()
        generator.bit_generator.state = state
        return generator

    def _array(self, name, _) -> Any:
        return self.arrays[name][()]

    def _objects(self, items, whole) -> np.ndarray:
        flat = np.fromiter(map(self.decode, items), object, len(items))
        return flat.reshape(whole["shape"])

    def _model(self, number, _) -> GenerativeModel:
        if number not in self.models:
            # safe mode stays on: a file runs no code of its own
            model = keras.models.load_model(self.folder / f"model-{int(number)}.keras")
            if not isinstance(model, GenerativeModel):
                raise TypeError(f"it holds a {type(model).__name__}")
            self.models[number] = model
        return self.models[number]

    def _neighbors(self, parts, _) -> Any:
        from sklearn.neighbors import NearestNeighbors

        options, rows = map(self.decode, parts)
        return NearestNeighbors(**options).fit(rows)

    def _object(self, name, whole) -> Any:
        module, _, attribute = name.rpartition(".")
        if name not in _THEIRS and not name.startswith(_OWN):
            raise ValueError(f"{name} is no part of an estimator")
        kind = getattr(importlib.import_module(module), attribute)
        if not isinstance(kind, type) or kind.__module__ != module:
            raise ValueError(f"{name} is no part of an estimator")
        made = kind.__new__(kind)
        vars(made).update(self.decode(whole["state"]))
        return made
