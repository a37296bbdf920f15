"""Data sets by name or path."""

import dataclasses
import os
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from genzoo.core.checks import check_name, check_number, check_seed, nearest
from genzoo.core.errors import DataError, InvalidInputError, UnknownNameError
from genzoo.data.columns import Column
from genzoo.data.image_files import EXTENSIONS, ImageFolder
from genzoo.data.sequences import by_group, by_lengths, is_sequences
from genzoo.data.tables import CsvTable, is_table
from genzoo.data.toy import TOYS, toy

_DAMAGED_ZIP = (zipfile.BadZipFile, zlib.error, NotImplementedError)
_KERAS = ("cifar10", "cifar100", "fashion_mnist", "mnist")


@dataclasses.dataclass
class Dataset:
    """Training and test data.

    Attributes:
        name: Name or path it was loaded by.
        x_train, x_test: Examples, [n, *event_shape]; of sequences an array of arrays
            [steps, *event_shape].
        y_train, y_test: Labels [n], integers from 0, or `None`.
        context_train, context_test: Vectors [n, d] or images that the examples depend on, or
            `None`.
        class_names: Names of the labels, where they have any.
        notes: What was left out in loading, and what a table was taken for.
        columns: What the columns of a table are, where they have names.
    """

    name: str
    x_train: np.ndarray
    x_test: np.ndarray
    y_train: np.ndarray | None = None
    y_test: np.ndarray | None = None
    context_train: np.ndarray | None = None
    context_test: np.ndarray | None = None
    class_names: list[str] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    columns: tuple[Column, ...] = ()

    @property
    def event_shape(self) -> tuple[int, ...]:
        x = self.x_train
        return x[0].shape[1:] if is_sequences(x) else x.shape[1:]

    def contexts(self, model: Any) -> tuple[Any, Any]:
        """Return what a model is to be conditional on, for training and for test examples.

        These are the labels for a model of `num_classes`, the context for all other conditional
        models, `None` for the rest.

        Raises:
            InvalidInputError: If the data have no such thing.
        """
        if not model.context_size:
            return None, None
        by_label = model.num_classes is not None
        found = (self.y_train, self.y_test) if by_label else (self.context_train, self.context_test)
        if found[0] is None:
            wanted = (
                "labels (a .csv with label=, --label; a .npz with y)"
                if by_label
                else "a context (load(..., context=), --context: the columns or the images that "
                "examples depend on, such as the sources of translation)"
            )
            raise InvalidInputError(
                f"Expected data with {wanted} for this {type(model).__name__}, which is "
                f"conditional. Received: {self.name}, which has none."
            )
        return found


def names() -> list[str]:
    """Return the names that `load` knows, the files under `GENZOO_DATA` included."""
    found = [file.stem for file in _data_folder().glob("*.npz")] if _data_folder() else []
    return sorted({"digits", *_KERAS, *TOYS, *found})


def load(
    source: str | os.PathLike,
    *,
    test_size: float | None = 0.2,
    seed: int = 0,
    label: str | int | None = None,
    ignore: Sequence[str | int] = (),
    text: Sequence[str | int] = (),
    header: bool | None = None,
    decimal: str | None = None,
    sequence: str | int | None = None,
    lengths: int | Sequence[int] | None = None,
    context: str | os.PathLike | Sequence[str] | None = None,
    pairs: bool = True,
    image_size: tuple[int, int] = (64, 64),
    channels: int = 3,
) -> Dataset:
    """Load a data set.

    Args:
        source: A name of `genzoo.data.names()`: `"digits"` (8x8 digits in 17 grey levels, bundled
            with scikit-learn), a toy set, `"mnist"`, `"fashion_mnist"`, `"cifar10"` or
            `"cifar100"` (NAME.npz in the folder that the environment variable GENZOO_DATA names,
            else through `keras.datasets`). Or a path: `.npz` (with `x_train`, or `X`, or one
            array, and `context` beside), `.npy` (stays on disk and is read as needed), `.csv`, or a
            folder of images.
        test_size: Share of the rows set apart for testing, where the source does not say; `None`
            leaves all of them, in the order of the source, in `x_train`.
        seed: Fixes the split and the toy sets. A `.npy` is split at its end, unshuffled.
        label, ignore, text, header, decimal: Of a `.csv`: the label column, columns to leave out
            or to take for text, whether the first row is a header, and the decimal mark; see
            `genzoo.data.CsvTable`. Whole numbers come as int64, other numbers as float64, and
            tables with text or dates as objects. `label="folder"`: sub-folders of images are
            classes though images lie beside them.
        sequence: Column of a `.csv` that tells the sequences apart of which its rows are steps.
        lengths: Steps of each sequence where the rows of a table follow one another as steps; one
            number for all.
        context: What the examples depend on: names of columns of a `.csv`, which are kept apart; or
            another source of as many rows, in the same order. The files of two folders of images
            are paired by their names.
        pairs: Whether an example and a context belong together; without, both are sets of any
            lengths.
        image_size, channels: Of the images of a folder; see `ImageFolder`.

    Returns:
        A `Dataset`.

    Raises:
        UnknownNameError: For an unknown name, with the nearest ones.
        DataError: For a file or folder that is missing, empty or corrupt.

    Example:

    >>> digits = genzoo.data.load("digits")
    >>> digits.x_train.shape, digits.x_test.shape, digits.x_train.dtype
    ((1437, 8, 8, 1), (360, 8, 8, 1), dtype('uint8'))
    """
    if not isinstance(source, (str, os.PathLike)) or not os.fspath(source):
        raise InvalidInputError(f"Expected a name or a path. Received: source={source!r}")
    check_seed(seed)
    if test_size is not None and not 0.0 < check_number(test_size, "test_size") < 1.0:
        raise InvalidInputError(
            f"Expected test_size between 0 and 1. Received: test_size={test_size}"
        )
    if sum(given is not None for given in (label, sequence, lengths)) > 1:
        raise InvalidInputError(
            "Expected one of label, sequence and lengths. Received: "
            f"label={label!r}, sequence={sequence!r}, lengths={lengths!r}"
        )
    label = sequence if label is None else label
    name = os.fspath(source)
    table = {"label": label, "ignore": ignore, "text": text, "header": header, "decimal": decimal}
    if context is not None and not pairs:
        # two sets that know nothing of each other
        options = {"test_size": test_size, "image_size": image_size, "channels": channels}
        data = load(name, seed=seed, **table, **options)
        other = load(_only_path(context), **options)
        sides = {"context_train": other.x_train, "context_test": other.x_test}
        return dataclasses.replace(data, **sides, notes=[*data.notes, *other.notes])
    parts, about = _load(name, seed, table, context, image_size, channels)
    if sequence is not None or lengths is not None:
        if "context" in parts:
            raise InvalidInputError(
                "Expected no context with sequences: their models are unconditional. "
                f"Received: context={context!r}"
            )
        parts = {"x": _sequences(parts, lengths, name)}
        about.pop("class_names", None)
    return Dataset(name=name, **_split(parts, test_size, seed), **about)


def load_rows(
    source: str | os.PathLike, *, image_size: tuple[int, int] = (64, 64), channels: int = 3
) -> np.ndarray:
    """Return all examples of a source, in its order; arguments as of `load`."""
    parts, _ = _load(os.fspath(source), 0, {}, None, image_size, channels)
    return np.concatenate([parts[key] for key in parts if key[0] == "x"])


def _load(name, seed, table, context, image_size, channels) -> tuple[dict, dict]:
    """Return the parts of a source, and what else a `Dataset` knows."""
    if name in names():
        if table.get("label") is not None:
            raise _no_column(table["label"], name)
        parts, about = _load_name(name, seed), {}
    else:
        parts, about = _load_path(Path(name), table, context, image_size, channels)
    if context is not None and not any(key.startswith("context") for key in parts):
        other, _ = _load(_only_path(context), seed, {}, None, image_size, channels)
        parts |= {key.replace("x", "context", 1): other[key] for key in other if key[0] == "x"}
    for key in parts:
        if key[0] != "y" and parts[key].ndim == 3:
            parts[key] = parts[key][..., None]
    _check_contexts(parts, name)
    return parts, about


def _sequences(parts, lengths, name) -> np.ndarray:
    x = parts.get("x")
    if x is None or x.ndim != 2 or (lengths is None and "y" not in parts):
        raise DataError(
            "Expected one table, whose rows are the steps of sequences; a .csv with sequence. "
            f"Received: {name}, of shape {np.shape(x) if x is not None else 'training and test'}."
        )
    return by_group(x, parts["y"]) if lengths is None else by_lengths(x, lengths)


def _only_path(context) -> str:
    """Return the one path that a context is."""
    names = [context] if isinstance(context, (str, os.PathLike)) else list(context)
    if len(names) != 1:
        raise InvalidInputError(
            "Expected one source for the context; several names are columns of a .csv. "
            f"Received: context={names!r}"
        )
    return os.fspath(names[0])


def _check_contexts(parts: dict[str, np.ndarray], name: str) -> None:
    for key in parts:
        partner = key.replace("context", "x", 1)
        if key.startswith("context") and len(parts.get(partner, ())) != len(parts[key]):
            found = {k: len(rows) for k, rows in parts.items() if k[0] != "y"}
            raise DataError(
                "Expected a context for each example: as many rows of both, in the same parts. "
                f"Received: {name} with {', '.join(f'{n} rows of {k}' for k, n in found.items())}."
            )


def _split(parts: dict[str, np.ndarray], test_size, seed) -> dict[str, np.ndarray]:
    """Return the parts for training and for testing."""
    if "x" not in parts:
        return parts
    n = len(parts["x"])
    num_test = int(np.ceil(n * (test_size or 0.0)))
    if test_size is not None and not 0 < num_test < n:
        raise DataError(f"Expected enough rows for a training and a test set. Received: {n} rows.")
    if isinstance(parts["x"], np.memmap) or test_size is None:
        # a shuffled copy would bring all of it into memory
        test, train = slice(n - num_test, None), slice(0, n - num_test)
    else:
        order = np.random.default_rng(seed).permutation(n)
        test, train = order[:num_test], order[num_test:]
    return {
        f"{key}_{side}": rows[chosen]
        for side, chosen in (("train", train), ("test", test))
        for key, rows in parts.items()
    }


def _data_folder() -> Path | None:
    folder = os.environ.get("GENZOO_DATA")
    return Path(folder) if folder else None


def _load_name(name: str, seed: int) -> dict[str, Any]:
    if name == "digits":
        from sklearn.datasets import load_digits

        digits = load_digits()
        return {"x": digits.images.astype(np.uint8), "y": digits.target}
    if name in TOYS:
        return {"x": toy(name, seed=seed)}
    folder = _data_folder()
    if folder and (folder / f"{name}.npz").exists():
        return _load_npz(folder / f"{name}.npz")
    import keras

    try:
        (x_train, y_train), (x_test, y_test) = getattr(keras.datasets, name).load_data()
    except Exception as error:
        raise DataError(
            f"Expected to download {name} through keras.datasets. Received: {error}. Put "
            f"{name}.npz (x_train, y_train, x_test, y_test) in a folder and name the folder in "
            "the environment variable GENZOO_DATA."
        ) from None
    labels = {"y_train": y_train.ravel(), "y_test": y_test.ravel()}
    return {"x_train": x_train, "x_test": x_test, **labels}


def _load_path(path: Path, table, context, image_size, channels) -> tuple[dict, dict]:
    suffix = path.suffix.lower()
    if not path.exists():
        if os.sep in os.fspath(path) or suffix in (".npz", ".npy") or is_table(path):
            raise DataError(f"Expected a file or folder. Received: {path}, which does not exist.")
        raise UnknownNameError(
            f"Unknown data set. {nearest(str(path), names())}Received: source={str(path)!r}. "
            "A path may be a .npz, .npy or .csv file or a folder of images."
        )
    if path.is_dir():
        return _load_folder(path, table.get("label"), context, image_size, channels)
    if is_table(path):
        return _load_csv(path, table, context)
    if table.get("label") is not None:
        raise _no_column(table["label"], path)
    if suffix == ".npz":
        return _load_npz(path), {}
    if suffix == ".npy":
        return {"x": _load_npy(path)}, {}
    if suffix in EXTENSIONS:
        raise DataError(f"Expected a folder of images. Received: {path}, one image.")
    raise DataError(f"Expected a .npz, .npy or .csv file, or a folder of images. Received: {path}")


def _no_column(label, source) -> InvalidInputError:
    return InvalidInputError(
        f"Expected a label column with a .csv file. Received: label={label!r} with {source}; a "
        ".npz file holds labels as y."
    )


def _load_folder(path: Path, label, context, image_size, channels) -> tuple[dict, dict]:
    folder = ImageFolder(path, image_size, channels, label)
    notes, parts = folder.notes, {}
    if context is not None and Path(_only_path(context)).is_dir():
        other = ImageFolder(Path(_only_path(context)), image_size, channels)
        notes += [*other.notes, *folder.keep_pairs(other)]
        parts["context"] = other.read_all()
    parts["x"] = folder.read_all()
    if folder.class_names:
        parts["y"] = folder.labels
    return parts, {"notes": notes, "class_names": folder.class_names}


def _load_csv(path: Path, options, context) -> tuple[dict, dict]:
    parts, apart = {}, []
    if context is not None:
        apart = [context] if isinstance(context, (str, os.PathLike)) else list(context)
        apart = [] if len(apart) == 1 and Path(apart[0]).exists() else apart
    if apart:
        names = [column.name for column in CsvTable(path, **options).columns]
        for name in apart:
            check_name(name, names, "context column")
        others = [name for name in names if name not in apart]
        given = CsvTable(path, **{**options, "ignore": [*options["ignore"], *others]})
        order = [[column.name for column in given.columns].index(name) for name in apart]
        parts["context"] = _numbers(given.read()[0][:, order], apart, path)
        options = {**options, "ignore": [*options["ignore"], *apart]}
    table = CsvTable(path, **options)
    x, y, class_names = table.read()
    parts |= {"x": x} if y is None else {"x": x, "y": y}
    return parts, {"notes": table.notes, "class_names": class_names, "columns": table.columns}


def _numbers(rows: np.ndarray, names: Sequence[str], path: Path) -> np.ndarray:
    try:
        return rows.astype(np.float64)
    except (TypeError, ValueError):
        raise InvalidInputError(
            f"Expected numbers for a context. Received: columns {', '.join(names)} of {path} with "
            "text or dates; a column of classes is a label."
        ) from None


def _load_npy(path: Path) -> np.ndarray:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(array, np.ndarray):
            raise ValueError("it holds several arrays, as .npz files do")
        return _check_numbers(array, path)
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"Expected a .npy file of numbers. Received: {path} ({error}).") from None


def _load_npz(path: Path) -> dict[str, Any]:
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            raise ValueError("it holds one array, as .npy files do")
        with loaded as file:
            arrays = {name: file[name] for name in file.files}
    except (ValueError, OSError, EOFError, KeyError, *_DAMAGED_ZIP) as error:
        raise DataError(f"Expected a .npz file of numbers. Received: {path} ({error}).") from None
    known = ("x_train", "x_test", "context_train", "context_test", "y_train", "y_test")
    if "x_train" in arrays and "x_test" in arrays:
        parts = {}
        for name in known:
            if name in arrays and name[0] != "y":
                parts[name] = _check_numbers(arrays[name], path)
            elif name in arrays:
                parts[name] = _check_labels(arrays[name], len(parts[f"x{name[1:]}"]), path)
        shapes = parts["x_train"].shape[1:], parts["x_test"].shape[1:]
        if shapes[0] != shapes[1]:
            raise DataError(
                "Expected x_train and x_test with examples of one shape. "
                f"Received: {path} with {shapes[0]} and {shapes[1]}."
            )
        return parts
    x = arrays.get("x", arrays.get("X", arrays.get("x_train")))
    y = arrays.get("y", arrays.get("y_train"))
    if x is None and len(arrays) == 1:
        (x,) = arrays.values()
    if x is None:
        raise DataError(
            "Expected arrays named x_train and x_test, or X (and y), or one array alone. "
            f"Received: {path} with {', '.join(arrays) or 'no arrays'}."
        )
    parts = {"x": _check_numbers(x, path)}
    if "context" in arrays:
        parts["context"] = _check_numbers(arrays["context"], path)
    return parts if y is None else {**parts, "y": _check_labels(y, len(x), path)}


def _check_labels(y: np.ndarray, n: int, path: Path) -> np.ndarray:
    if y.shape not in ((n,), (n, 1)):
        raise DataError(
            f"Expected one label for each of {n} rows, of shape ({n},). Received: {path} with "
            f"labels of shape {y.shape}. Of one-hot labels take the argmax."
        )
    return y.ravel()


def _check_numbers(x: np.ndarray, path: Path) -> np.ndarray:
    if x.dtype.kind not in "bfiu" or x.ndim < 2 or len(x) == 0:
        raise DataError(
            "Expected an array of numbers, shape (n, ...) with at least one row. "
            f"Received: {path} with shape {x.shape}, dtype {x.dtype}."
        )
    return x
