"""What the commands share."""

import argparse
import ast
import contextlib
import difflib
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zoo_scripts.catalog import model_summaries

MODEL_FILE = "model.keras"
SAVED_MODEL = "saved_model"


def import_tensorflow() -> None:
    """Import TensorFlow without its start-up messages, which would bury the command's own.

    They come from C++, whose writing to standard error Python's own streams do not see. With
    TF_CPP_MIN_LOG_LEVEL=0 they stay.
    """
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") == "0":
        return
    saved = os.dup(2)
    silent = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(silent, 2)
        import tensorflow as tf

        # a machine without GPUs is told of them at the first look
        tf.config.list_physical_devices()
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(silent)


def training_output(quiet: bool) -> dict[str, Any]:
    """Return `verbose` and `callbacks` for `fit`: a bar in a terminal, else a line an epoch."""
    import keras

    class Lines(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.began = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            seconds = time.perf_counter() - self.began
            figures = ", ".join(f"{name} {value:.5g}" for name, value in (logs or {}).items())
            line = f"Epoch {epoch + 1}/{self.params['epochs']}: {figures} ({seconds:.1f} s)"
            print(line, flush=True)

    if quiet or sys.stdout.isatty():
        return {"verbose": 0 if quiet else "auto", "callbacks": []}
    return {"verbose": 0, "callbacks": [Lines()]}


def add_data_arguments(parser: argparse.ArgumentParser, default: str | None) -> None:
    """Add the arguments that name data."""
    group = parser.add_argument_group("data")
    group.add_argument(
        "--data",
        metavar="D",
        default=default,
        help="a name (see `genzoo list --data`), a .npz, .npy or .csv file, or a folder of images"
        + (f"; default {default}" if default else "; default: the data the model was trained on"),
    )
    group.add_argument(
        "--label",
        metavar="COLUMN",
        help="label column of a .csv, kept apart; `folder` where sub-folders of images are labels "
        "though images lie beside them",
    )
    add_table_arguments(group)
    group.add_argument(
        "--image-size",
        type=positive,
        metavar="N",
        help="height and width for a folder of images; smaller ones are left out; default 64",
    )
    group.add_argument("--gray", action="store_true", help="read a folder of images in grey")


def add_table_arguments(parser: argparse._ActionsContainer) -> None:
    """Add the arguments that say how a `.csv` is to be read."""
    several = {"nargs": "+", "default": [], "metavar": "COLUMN"}
    parser.add_argument("--ignore", help="columns of a .csv to leave out", **several)
    parser.add_argument("--text", help="columns of a .csv to take for text", **several)
    parser.add_argument(
        "--header", choices=("yes", "no"), help="whether a .csv's first row names its columns"
    )
    parser.add_argument("--decimal", choices=(".", ","), help="of a .csv, where it cannot be seen")


def table_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of `add_table_arguments` for `genzoo.data`."""
    header = None if arguments.header is None else arguments.header == "yes"
    return {
        "ignore": arguments.ignore,
        "text": arguments.text,
        "header": header,
        "decimal": arguments.decimal,
    }


def add_sequence_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that make sequences of the rows of a table."""
    group = parser.add_argument_group("sequences")
    group.add_argument(
        "--sequence",
        metavar="COLUMN",
        help="column of a .csv that tells the sequences apart of which its rows are steps",
    )
    group.add_argument(
        "--lengths",
        type=positive_numbers,
        metavar="N[,N...]",
        help="steps of each sequence, of a table whose rows follow one another as steps; one "
        "number for all",
    )


def add_context_argument(parser: argparse.ArgumentParser) -> None:
    """Add the argument that names what the data are conditional on."""
    parser.add_argument(
        "--context",
        nargs="+",
        metavar="C",
        help="what the model is conditional on: columns of a .csv, or data of as many rows; "
        "for pix2pix and cyclegan the images to translate into those of --data, for pix2pix in "
        "files of the same names",
    )


def open_table(arguments: argparse.Namespace) -> Any:
    """Return the `CsvTable` of --data; tell the notes on it."""
    from genzoo.data import CsvTable

    table = CsvTable(Path(arguments.data), arguments.label, **table_options(arguments))
    for note in table.notes:
        print(f"{arguments.data}: {note}", file=sys.stderr)
    return table


def read_table(table: Any) -> tuple[dict[str, Any], list[str]]:
    """Return the columns of a `CsvTable`, each of its kind, and names that were left out.

    Left out is text that is different in most rows: what it says of one row it says of no other.
    """
    import numpy as np

    from genzoo.core.errors import InvalidInputError

    columns = table.typed(table.read()[0])
    names = []
    for column in table.columns:
        values = [value for value in columns[column.name] if value is not None]
        if column.kind == "text" and len(set(values)) > max(len(values) / 2, 2):
            names.append(column.name)
    for name in names:
        del columns[name]
    if not columns:
        raise InvalidInputError(
            f"Expected a column of numbers, dates or classes. Received: {table.path}, whose text "
            "is different in most rows."
        )
    infinite = [
        name for name, values in columns.items() if values.dtype == float and np.isinf(values).any()
    ]
    if infinite:
        raise InvalidInputError(
            f"Expected finite numbers. Received: infinity in {', '.join(infinite)} of "
            f"{table.path}. Empty such cells, or leave the columns out by --ignore."
        )
    return columns, names


def table_preprocessor(columns: dict[str, Any], table: Any, seed: int) -> Any:
    """Return a `TablePreprocessor` for columns of a `CsvTable`: text and truths are categories."""
    from genzoo.applications import TablePreprocessor

    kinds = {column.name: column.kind for column in table.columns}
    classes = [kinds[name] in ("text", "truth") for name in columns]
    return TablePreprocessor(categorical_features=classes, random_state=seed)


def is_table(source: str) -> bool:
    """Return whether data are a `.csv` file."""
    from genzoo.data import tables

    return tables.is_table(source)


def data_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of `add_data_arguments` for `genzoo.data.load`."""
    size = arguments.image_size or 64
    channels = 1 if arguments.gray else 3
    images = {"image_size": (size, size), "channels": channels}
    names = ("context", "sequence", "lengths")
    given = {name: getattr(arguments, name, None) for name in names}
    return {"label": arguments.label, **given, **table_options(arguments), **images}


def load_data(arguments: argparse.Namespace, seed: int, **options: Any) -> Any:
    """Load what the arguments of `add_data_arguments` name; tell the notes on it.

    Args:
        arguments, seed: Of the command.
        **options: Of `genzoo.data.load`, before those of the arguments.
    """
    import genzoo

    data = genzoo.data.load(arguments.data, seed=seed, **{**data_options(arguments), **options})
    for note in data.notes:
        print(f"{data.name}: {note}", file=sys.stderr)
    _check_numbers(data)
    return data


def _check_numbers(data: Any) -> None:
    """Refuse a table with columns that are no numbers, by their names."""
    from genzoo.core.errors import InvalidInputError

    others = [c for c in data.columns if c.kind in ("text", "date")]
    if others:
        raise InvalidInputError(
            f"Expected columns of numbers. Received: {', '.join(map(str, others))} in {data.name}. "
            f"Leave them out (--ignore {' '.join(c.name for c in others)}), name a label by "
            "--label, or encode them as numbers. `genzoo detect` and `genzoo impute` take them."
        )


def load_saved_data(
    arguments: argparse.Namespace, model: Any, card: dict[str, Any]
) -> tuple[Any, int]:
    """Load the data of a saved model, by its card where --data names none; return the seed too."""
    from genzoo.core.errors import InvalidInputError

    seed = arguments.seed if arguments.seed is not None else card.get("seed", 0)
    options = {}
    if arguments.data is None:
        arguments.data, options = card.get("data"), card.get("data_options", {})
    if arguments.data is None:
        raise InvalidInputError(
            "Expected --data, since the model does not say its own. Received: none"
        )
    return load_data(arguments, seed, **{**options, "pairs": model.traits.paired_context}), seed


def add_saved_argument(parser: argparse.ArgumentParser) -> None:
    """Add the argument that names a saved model."""
    parser.add_argument(
        "model",
        metavar="SAVED",
        help="folder of a saved model, a .keras file, or a name of `genzoo list --pretrained`",
    )


def add_run_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """Add options of the model, the seed, and where the command `name` writes."""
    parser.add_argument("--option", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--seed", type=natural, default=0, metavar="S", help="default 0")
    parser.add_argument("--output", metavar="DIR", help=f"default: runs/{name}, numbered")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing output")


def output_folder(arguments: argparse.Namespace, name: str) -> Path:
    """Return where the command `name` writes: --output if it may, or a new folder in runs."""
    if arguments.output is None:
        return check_output(new_folder(Path("runs") / name), overwrite=False)
    return check_output(Path(arguments.output), arguments.overwrite)


def positive(text: str) -> int:
    """Parse a positive int."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, received {text}")
    return value


def natural(text: str) -> int:
    """Parse an int of at least 0."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"expected at least 0, received {text}")
    return value


def positive_numbers(text: str) -> int | list[int]:
    """Parse a positive int, or several with commas between."""
    values = [positive(part) for part in text.split(",")]
    return values if "," in text else values[0]


def model_name(text: str) -> str:
    """Parse the name of a model, before TensorFlow is imported."""
    names = list(model_summaries())
    if text not in names:
        close = difflib.get_close_matches(text.lower(), names, n=3, cutoff=0.5)
        hint = (
            f"Did you mean {' or '.join(map(repr, close))}?"
            if close
            else f"Valid names: {', '.join(names)}."
        )
        raise argparse.ArgumentTypeError(f"Unknown model. {hint} Received: {text!r}")
    return text


def parse_options(pairs: list[str]) -> dict[str, Any]:
    """Parse `KEY=VALUE` pairs; values are Python literals, else text."""
    from genzoo.core.errors import InvalidInputError

    options = {}
    for pair in pairs:
        key, separator, text = pair.partition("=")
        if not separator or not key:
            raise InvalidInputError(
                f"Expected a model option such as num_couplings=8. Received: --option {pair!r}"
            )
        try:
            options[key] = ast.literal_eval(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            options[key] = text
    return options


def check_models(arguments: argparse.Namespace, known: tuple[str, ...]) -> None:
    """Refuse --models that `known` does not hold."""
    from genzoo.core.errors import InvalidInputError

    unknown = [name for name in arguments.models or () if name not in known]
    if unknown:
        raise InvalidInputError(
            f"Expected --models of {', '.join(known)}. Received: {', '.join(unknown)}"
        )


def find_saved(name: str | Path) -> Path:
    """Return the `.keras` file of a saved model.

    Args:
        name: The file, its folder, or the name of a model that ships; a path that exists comes
            first.
    """
    import genzoo
    from genzoo.core.checks import nearest
    from genzoo.core.errors import DataError

    shipped = genzoo.pretrained_models()
    for path in (Path(name), shipped.get(str(name), Path(name))):
        file = path / MODEL_FILE if path.is_dir() else path
        if file.exists():
            return file
    is_path = Path(name).exists() or len(Path(name).parts) > 1
    raise DataError(
        f"Expected a folder with {MODEL_FILE}, a .keras file, or a model of `genzoo list "
        f"--pretrained`. {'' if is_path else nearest(str(name), shipped)}Received: {name}, which "
        "is none. `genzoo list --saved` shows what there is."
    )


def load_model(name: str | Path) -> Any:
    """Load a saved model; `name` as of `find_saved`."""
    import genzoo  # noqa: F401 (registers the classes)
    from genzoo.pretrained import load_file

    return load_file(find_saved(name))


def read_card(folder: Path) -> dict[str, Any]:
    """Return what `train` wrote beside a model; an empty dict where there is nothing."""
    from genzoo.pretrained import CARD_FILE, read_json

    file = folder / CARD_FILE
    return read_json(file) if file.exists() else {}


def saved_card(saved: Path) -> dict[str, Any]:
    """Return what `train` wrote beside a model that `find_saved` found."""
    return read_card(saved.parent) if saved.name == MODEL_FILE else {}


def new_folder(base: Path, taken: Callable[[Path], bool] = Path.exists) -> Path:
    """Return `base`, or the first of base-2, base-3 ... that is not taken."""
    folder, number = base, 1
    while taken(folder):
        number += 1
        folder = base.with_name(f"{base.name}-{number}")
    return folder


def check_output(path: Path, overwrite: bool, *, is_file: bool = False) -> Path:
    """Try an output before the work; see `genzoo.core.files`."""
    from genzoo.core import files

    return files.check_output(path, overwrite, is_file=is_file)


def replaced_folder(path: Path) -> contextlib.AbstractContextManager[Path]:
    """Yield a folder to fill; it takes the place of `path` when all is written."""
    from genzoo.core import files

    return files.replaced_folder(path)


def replaced_file(path: Path) -> contextlib.AbstractContextManager[Path]:
    """Yield a path to write to; the file takes the place of `path` when all is written."""
    from genzoo.core import files

    return files.replaced_file(path)
