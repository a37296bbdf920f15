"""List models with what they can do and their options, data sets by name, and trained models.

Of each model: how it trains; what an example may be; whether it has no context, may or must have
one; whether NaN is a missing value; and what `log_prob` of real numbers is.

examples:
  genzoo list
  genzoo list realnvp
  genzoo list --pretrained
  genzoo list --saved
"""

import argparse
import shutil
import sys
from pathlib import Path
from typing import Any

from zoo_scripts.catalog import model_summaries, model_traits
from zoo_scripts.common import MODEL_FILE, import_tensorflow, model_name, read_card

_TRAITS = ("training", "example", "context", "missing values", "likelihood")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", nargs="?", type=model_name, metavar="MODEL", help="show the options of this model"
    )
    parser.add_argument("--data", action="store_true", help="list data sets")
    parser.add_argument(
        "--pretrained", action="store_true", help="list the trained models that ship"
    )
    parser.add_argument(
        "--saved",
        nargs="?",
        const="saved_models",
        metavar="DIR",
        help="list the models saved under DIR; default saved_models",
    )


def run(arguments: argparse.Namespace) -> int:
    if not (arguments.pretrained or arguments.saved or arguments.data or arguments.model):
        _list_models()
        return 0
    import_tensorflow()
    import genzoo

    if arguments.pretrained:
        return _list_saved(genzoo.pretrained_models())
    if arguments.saved:
        return _list_saved(_found_under(Path(arguments.saved)))
    if arguments.data:
        print("\n".join(genzoo.data.names()))
    else:
        _show_model(arguments.model)
    return 0


def _list_models() -> None:
    """Print a table of the models and what each can do."""
    summaries = model_summaries()
    rows = [("model", *_TRAITS, "what it is")]
    rows += [
        (name, *describe(traits).values(), summaries[name])
        for name, traits in model_traits().items()
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    # a line of a terminal holds what a model can do, and as much of what it is as there is room for
    whole = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for row in rows:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print(line.rstrip()[:whole])


def describe(traits: Any) -> dict[str, str]:
    """Return what a kind of model can do, in words by the names of `_TRAITS`."""
    values = (
        traits.training,
        ", ".join(traits.examples),
        traits.context,
        "yes" if traits.missing_values else "no",
        traits.likelihood.replace("_", " "),
    )
    return dict(zip(_TRAITS, values, strict=True))


def _show_model(name: str) -> None:
    import inspect

    from genzoo.core.registry import constructor_arguments, model_class

    cls = model_class(name)
    print(f"{name}: {(cls.__doc__ or '').splitlines()[0]}")
    for trait, value in describe(cls.traits).items():
        print(f"  {trait:20} {value}")
    print("options:")
    for option, parameter in constructor_arguments(cls).items():
        default = parameter.default
        shown = "required" if default is inspect.Parameter.empty else repr(default)
        print(f"  {option:20} {shown}")


def _found_under(folder: Path) -> dict[str, Path]:
    from genzoo.core.errors import DataError

    if not folder.is_dir():
        raise DataError(f"Expected a folder. Received: {folder}, which does not exist.")
    found = sorted(file.parent for file in folder.glob(f"*/{MODEL_FILE}"))
    return {str(path): path for path in found}


def _list_saved(found: dict[str, Path]) -> int:
    from genzoo.core.errors import DataError

    # figures of one data set that were binarised differently must not stand in one table
    tables: dict[str, list[str]] = {}
    width = max(map(len, found), default=0)
    for name, path in found.items():
        try:
            test = read_card(path).get("test") or {}
        except DataError as error:
            tables.setdefault("", []).append(f"{name:{width}}  {error}")
            continue
        bits = test.get("bits_per_dim")
        figure = f"{test['nll_nats']:10.3f} nats" if "nll_nats" in test else ""
        if "coverage" in test:
            figure = f"coverage {test['coverage']:.3f} of the test data"
        line = f"{name:{width}}  {figure}{'' if bits is None else f' {bits:.3f} bits/dim'}"
        tables.setdefault(test.get("binarization") or "", []).append(line)
    for binarization, lines in sorted(tables.items()):
        if binarization:
            print(f"data binarised by {binarization}:")
        print("\n".join(lines))
    if not found:
        print("no trained models there")
    return 0


if __name__ == "__main__":
    from zoo_scripts.main import main

    sys.exit(main(["list", *sys.argv[1:]]))
