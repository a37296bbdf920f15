"""What the commands share."""

import argparse
import ast
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

MODEL_FILE = "model.keras"
SAVED_MODEL = "saved_model"


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
    group.add_argument("--label", metavar="COLUMN", help="label column of a .csv, kept apart")
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


def data_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of `add_data_arguments` for `genzoo.data.load`."""
    size = arguments.image_size or 64
    channels = 1 if arguments.gray else 3
    images = {"image_size": (size, size), "channels": channels}
    sequences = {name: getattr(arguments, name, None) for name in ("sequence", "lengths")}
    return {"label": arguments.label, **sequences, **table_options(arguments), **images}


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


def load_model(path: str) -> Any:
    """Load a saved model from its folder or its `.keras` file."""
    import genzoo  # noqa: F401 (registers the classes)
    from genzoo.core.errors import DataError
    from genzoo.pretrained import load_file

    file = Path(path)
    if file.is_dir():
        file = file / MODEL_FILE
    if not file.exists():
        raise DataError(
            f"Expected a folder with {MODEL_FILE}, or a .keras file. Received: {path}, which has "
            "none. `genzoo list --saved` shows what there is."
        )
    return load_file(file)


def read_card(folder: Path) -> dict[str, Any]:
    """Return what `train` wrote beside a model; an empty dict where there is nothing."""
    from genzoo.pretrained import CARD_FILE, read_json

    file = folder / CARD_FILE
    return read_json(file) if file.exists() else {}


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
