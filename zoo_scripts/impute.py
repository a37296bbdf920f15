"""Fill in missing values of a table by a generative model, beside scikit-learn's imputers.

Values that the data miss are filled in. A .csv is written as it was, with its header, in its order
and its own cells, the missing ones filled in as their columns are written; other data as .npy.
Where none are missing, a share of them is hidden (--hide), and the error of the imputers is told,
in standard deviations of the columns.

examples:
  genzoo impute --data table.csv --output runs/table
  genzoo impute --data table.csv --multiple 5 --ignore id
  genzoo impute --data digits --hide 0.3
  genzoo impute --data tables/6_cardio.npz --hide 0.5 --model vae
"""

import argparse
import json

from zoo_scripts.common import (
    add_data_arguments,
    add_run_arguments,
    is_table,
    load_data,
    open_table,
    output_folder,
    parse_options,
    positive,
    read_table,
    replaced_folder,
    table_preprocessor,
)

_ROWS_TO_HIDE = 2000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_data_arguments(parser, default="digits")
    parser.add_argument("--model", default="gaussian_mixture", metavar="MODEL")
    parser.add_argument("--hide", type=float, default=0.3, metavar="SHARE", help="default 0.3")
    parser.add_argument("--multiple", type=positive, metavar="M", help="write M draws, not means")
    parser.add_argument(
        "--rows",
        type=positive,
        metavar="N",
        help="the first rows alone; default: all, and 2000 where values are hidden",
    )
    add_run_arguments(parser, "impute")


def run(arguments: argparse.Namespace) -> int:
    import numpy as np

    from genzoo.applications import Imputer
    from genzoo.core.checks import check_share

    output = output_folder(arguments, "impute")
    table, shape = None, None
    if is_table(arguments.data):
        table, columns = _read_table(arguments)
    else:
        columns, shape = _read_array(arguments)
    missing = {name: _is_missing(values) for name, values in columns.items()}
    hides = not any(holes.any() for holes in missing.values())
    rows = arguments.rows or (_ROWS_TO_HIDE if hides else None)
    columns = {name: values[:rows] for name, values in columns.items()}
    missing = {name: holes[:rows] for name, holes in missing.items()}
    holed = columns
    if hides:
        random = np.random.default_rng(arguments.seed)
        share = check_share(arguments.hide, "hide")
        missing = {name: random.random(len(v)) < share for name, v in columns.items()}
        holed = {name: _without(v, missing[name]) for name, v in columns.items()}
    present = {name: values for name, values in holed.items() if not missing[name].all()}
    options = parse_options(arguments.option)
    if table is not None:
        options["preprocessing"] = table_preprocessor(present, table, arguments.seed)
    imputer = Imputer(arguments.model, random_state=arguments.seed, **options).fit(present)
    filled = _by_name(imputer.transform(present), present)
    n = len(next(iter(present.values())))
    metrics = {
        "command": arguments.command_line,
        "data": arguments.data,
        "rows": n,
        "missing": float(np.mean([missing[name].mean() for name in present])),
        "errors": _errors(imputer, filled, present, columns, missing) if hides else {},
    }
    tables = [filled]
    if arguments.multiple:
        draws = imputer.set_params(multiple=arguments.multiple).transform(present)
        tables = [_by_name(draw, present) for draw in draws]
    with replaced_folder(output) as folder:
        (folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
        if table is not None:
            _write_table(folder, table, tables, arguments.multiple)
        else:
            written = np.stack([_whole(t, columns, shape) for t in tables])
            np.save(folder / "imputed.npy", written if arguments.multiple else written[0])
        _draw(folder, columns, present, filled, missing, hides, shape)
    for name, error in metrics["errors"].items():
        print(f"{name:20} {error:.3f}")
    if metrics["errors"]:
        print("(root mean squared error of the hidden numbers, in standard deviations)")
    done = "hidden and filled in" if hides else "filled in"
    print(f"{metrics['missing']:.1%} of {n:,} rows x {len(present)} columns {done}")
    print(f"written: {output}")
    return 0


def _read_table(arguments):
    table = open_table(arguments)
    columns, left_out = read_table(table)
    if left_out:
        print(f"left as they are, different in most rows: {', '.join(left_out)}")
    return table, columns


def _read_array(arguments):
    import numpy as np

    data = load_data(arguments, arguments.seed, test_size=None)
    x = np.concatenate([data.x_train, data.x_test]).astype(np.float64)
    flat = x.reshape(len(x), -1)
    return {str(j): flat[:, j] for j in range(flat.shape[1])}, x.shape[1:]


def _is_missing(values):
    import numpy as np

    if values.dtype != object:
        return np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), bool)
    return np.array([value is None or value != value for value in values.tolist()])


def _without(values, hidden):
    """Return a column with hidden values missing."""
    import numpy as np

    if values.dtype == object:
        return np.where(hidden, None, values)
    return np.where(hidden, np.nan, values)


def _by_name(rows, columns):
    return {name: rows[:, j] for j, name in enumerate(columns)}


def _whole(filled, columns, shape):
    """Return filled columns, and those without any value, in the shape of the data."""
    import numpy as np

    rows = np.stack([filled.get(name, values) for name, values in columns.items()], axis=1)
    return rows.reshape(-1, *shape)


def _write_table(folder, table, tables, multiple) -> None:
    import numpy as np

    for i, filled in enumerate(tables, start=1):
        n = len(next(iter(filled.values())))
        nothing = np.full(n, None)
        x = np.stack([filled.get(c.name, nothing) for c in table.columns], axis=1).astype(object)
        name = f"imputed-{i}.csv" if multiple else "imputed.csv"
        table.write(folder / name, table.filled_rows(x))


def _numbers(columns):
    """Return the columns of numbers as an array [n, d], and their names."""
    import numpy as np

    names = []
    for name, values in columns.items():
        seen = values[~_is_missing(values)].tolist()
        if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in seen):
            names.append(name)
    parts = [columns[name].astype(np.float64) for name in names]
    return (np.stack(parts, axis=1) if parts else np.empty((0, 0))), names


def _errors(imputer, filled, holed, columns, hidden) -> dict[str, float]:
    import numpy as np
    from sklearn.impute import KNNImputer, SimpleImputer

    numbers, names = _numbers(holed)
    if not names:
        return {}
    center, scale = np.nanmean(numbers, axis=0), np.nanstd(numbers, axis=0)
    scale[scale == 0] = 1.0
    standardised = (numbers - center) / scale
    own, truth = (
        (np.stack([part[name].astype(np.float64) for name in names], axis=1) - center) / scale
        for part in (filled, columns)
    )
    guesses = {
        "column means": SimpleImputer().fit_transform(standardised),
        "KNNImputer": KNNImputer().fit_transform(standardised),
        imputer.model: own,
    }
    where = np.stack([hidden[name] for name in names], axis=1)
    return {
        name: float(np.sqrt(np.mean((guess - truth)[where] ** 2)))
        for name, guess in guesses.items()
    }


def _draw(folder, columns, holed, filled, missing, hides, shape) -> None:
    import numpy as np

    from genzoo import plotting
    from genzoo.core.traits import is_picture
    from genzoo.plotting.axes import own_axes

    numbers, names = _numbers(holed)
    if not names:
        return
    x, whole = (
        np.stack([part[name].astype(np.float64) for name in names], axis=1)
        for part in (columns, filled)
    )
    hidden = np.stack([missing[name] for name in names], axis=1)
    if shape is not None and is_picture(shape) and np.prod(shape) == x.shape[1]:
        low, high = np.nanmin(numbers), np.nanmax(numbers)
        rows = [np.nan_to_num(numbers[:10], nan=low), whole[:10], *([x[:10]] if hides else [])]
        axes = plotting.image_grid(
            np.clip(np.concatenate(rows), low, high).reshape(-1, *shape),
            columns=10,
            low=low,
            high=high,
            title="with holes, filled in, whole" if hides else "holes, filled in",
        )
    elif hides:
        axes = own_axes(None, (5.0, 5.0))
        scale = np.where(x.std(axis=0) > 0, x.std(axis=0), 1.0)
        z = [((part - x.mean(axis=0)) / scale)[hidden] for part in (x, whole)]
        axes.plot(*z, ".", markersize=2)
        ends = np.quantile(z[0], [0.001, 0.999])
        axes.plot(ends, ends, color="black", linewidth=1)
        axes.set_xlabel("hidden value, in standard deviations")
        axes.set_ylabel("filled in")
    else:
        axes = plotting.marginals(whole, np.where(hidden, np.nanmean(numbers, 0), numbers))
    axes.figure.savefig(folder / "imputed.png")


if __name__ == "__main__":
    import sys

    from zoo_scripts.main import main

    sys.exit(main(["impute", *sys.argv[1:]]))
