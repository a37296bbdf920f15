"""Draw samples from a saved model, into a .npy file, a .csv of a table's rows, or a picture.

A .csv has the header of the table that the model was trained on, and writes its columns alike.

examples:
  genzoo sample runs/table --n 1000 --output rows.csv
  genzoo sample realnvp-digits --n 64 --output digits.png
  genzoo sample realnvp-digits --n 10000 --seed 1 --output digits.npy
"""

import argparse
from pathlib import Path
from typing import Any

from zoo_scripts.common import (
    add_saved_argument,
    check_output,
    find_saved,
    load_model,
    natural,
    positive,
    replaced_file,
    saved_card,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_saved_argument(parser)
    parser.add_argument("--n", type=positive, default=64, metavar="N", help="default 64")
    parser.add_argument("--seed", type=natural, default=0, metavar="S", help="default 0")
    parser.add_argument("--temperature", type=float, default=1.0, metavar="T", help="default 1.0")
    given = parser.add_mutually_exclusive_group()
    given.add_argument("--class", type=natural, dest="label", metavar="C", help="class to draw")
    given.add_argument(
        "--context",
        metavar="C",
        help="a vector (0.5,2), or a file or folder: one sample for each of its rows or images",
    )
    parser.add_argument("--output", required=True, metavar="FILE", help=".npy, .csv or .png")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")


def run(arguments: argparse.Namespace) -> int:
    import numpy as np

    from genzoo.core.errors import InvalidInputError

    output = Path(arguments.output)
    if output.suffix not in (".npy", ".csv", ".png"):
        raise InvalidInputError(
            f"Expected a .npy, .csv or .png file to write. Received: --output {output}"
        )
    check_output(output, arguments.overwrite, is_file=True)
    model = load_model(arguments.model)
    of_table = model.example_kind == "row" and len(model.event_shape) == 1
    if output.suffix == ".csv" and not of_table:
        raise InvalidInputError(
            "Expected a model of a table's rows for a .csv. "
            f"Received: {arguments.model}, of event_shape={model.event_shape}. Write a .npy."
        )
    n, context = arguments.n, arguments.label
    if arguments.context is not None:
        context = _context(model, arguments.context)
        n = len(context) if context.ndim > 1 else n
    samples = model.sample(
        n,
        context=context,
        temperature=arguments.temperature,
        seed=arguments.seed,
    )
    with replaced_file(output) as file:
        if output.suffix == ".npy":
            np.save(file, samples)
        elif output.suffix == ".csv":
            card = saved_card(find_saved(arguments.model))
            _write_rows(file, samples, card.get("columns"))
        else:
            from genzoo import plotting

            plotting.samples(samples).figure.savefig(file)
    print(f"{len(samples)} samples of shape {samples.shape[1:]}, {samples.dtype}: {output}")
    return 0


def _context(model: Any, text: str) -> Any:
    """Return one vector, or the rows of a file or the images of a folder."""
    import numpy as np

    from genzoo.data import load_rows

    try:
        return np.array([float(number) for number in text.split(",")])
    except ValueError:
        of_images = model.example_kind == "pair"
        height, width, channels = model.context_spec.shape if of_images else (64, 64, 3)
        return load_rows(text, image_size=(height, width), channels=channels)


def _write_rows(file, samples, columns) -> None:
    from genzoo.data import Column
    from genzoo.data.tables import write_csv

    kind = "integer" if samples.dtype.kind in "iu" else "number"
    columns = columns or [{"name": f"column {j}"} for j in range(samples.shape[1])]
    columns = [Column(**{"kind": kind, "decimals": -1, **column}) for column in columns]
    cells = [column.cells(values) for column, values in zip(columns, samples.T, strict=True)]
    write_csv(file, [[column.name for column in columns], *zip(*cells, strict=True)])


if __name__ == "__main__":
    import sys

    from zoo_scripts.main import main

    sys.exit(main(["sample", *sys.argv[1:]]))
