"""Fill in missing values of a table by a generative model, beside scikit-learn's imputers.

Values that the data miss are filled in and written. Where none are missing, a share of them is
hidden (--hide), and the error of the imputers is told, in standard deviations of the columns.

examples:
  genzoo impute --data digits --hide 0.3
  genzoo impute --data table.csv --multiple 5 --output runs/table
  genzoo impute --data tables/6_cardio.npz --hide 0.5 --model vae
"""

import argparse
import json

from zoo_scripts.common import (
    add_data_arguments,
    add_run_arguments,
    data_options,
    output_folder,
    parse_options,
    positive,
    replaced_folder,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_data_arguments(parser, default="digits")
    parser.add_argument("--model", default="gaussian_mixture", metavar="MODEL")
    parser.add_argument("--hide", type=float, default=0.3, metavar="SHARE", help="default 0.3")
    parser.add_argument("--multiple", type=positive, metavar="M", help="write M draws, not means")
    parser.add_argument("--rows", type=positive, default=2000, metavar="N", help="default 2000")
    add_run_arguments(parser, "impute")


def run(arguments: argparse.Namespace) -> int:
    import numpy as np

    import genzoo
    from genzoo.applications import Imputer
    from genzoo.core.checks import check_share

    output = output_folder(arguments, "impute")
    data = genzoo.data.load(arguments.data, seed=arguments.seed, **data_options(arguments))
    x = np.asarray(data.x_train[: arguments.rows], np.float64)
    shape, x = x.shape[1:], x.reshape(len(x), -1)
    x = x[:, np.isfinite(x).any(axis=0)]
    hidden = np.zeros(x.shape, bool)
    if not np.isnan(x).any():
        random = np.random.default_rng(arguments.seed)
        hidden = random.random(x.shape) < check_share(arguments.hide, "hide")
    holed = np.where(hidden, np.nan, x)
    x = x[:, np.isfinite(holed).any(axis=0)]
    hidden, holed = (part[:, np.isfinite(holed).any(axis=0)] for part in (hidden, holed))
    imputer = Imputer(
        arguments.model, random_state=arguments.seed, **parse_options(arguments.option)
    ).fit(holed)
    filled = imputer.transform(holed)
    errors = _errors(imputer, filled, holed, x, hidden) if hidden.any() else {}
    written = filled
    if arguments.multiple:
        written = imputer.set_params(multiple=arguments.multiple).transform(holed)
    metrics = {
        "command": arguments.command_line,
        "data": data.name,
        "rows": len(x),
        "missing": float(np.isnan(holed).mean()),
        "errors": errors,
    }
    with replaced_folder(output) as folder:
        (folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
        np.save(folder / "imputed.npy", written)
        _draw(folder, x, holed, filled, hidden, shape)
    for name, error in errors.items():
        print(f"{name:20} {error:.3f}")
    if errors:
        print("(root mean squared error of the hidden values, in standard deviations)")
    print(f"{metrics['missing']:.1%} of {len(x)} rows x {x.shape[1]} columns filled in")
    print(f"written: {output}")
    return 0


def _errors(imputer, filled, holed, x, hidden) -> dict[str, float]:
    import numpy as np
    from sklearn.impute import KNNImputer, SimpleImputer

    scale = np.nanstd(holed, axis=0)
    scale[scale == 0] = 1.0
    center = np.nanmean(holed, axis=0)
    standardised = (holed - center) / scale
    guesses = {
        "column means": SimpleImputer().fit_transform(standardised),
        "KNNImputer": KNNImputer().fit_transform(standardised),
        imputer.model: (filled - center) / scale,
    }
    truth = (x - center) / scale
    return {
        name: float(np.sqrt(np.mean((guess - truth)[hidden] ** 2)))
        for name, guess in guesses.items()
    }


def _draw(folder, x, holed, filled, hidden, shape) -> None:
    import numpy as np

    from genzoo import plotting
    from genzoo.plotting.axes import own_axes

    if len(shape) == 3 and shape[2] in (1, 3) and np.prod(shape) == x.shape[1]:
        low, high = np.nanmin(holed), np.nanmax(holed)
        rows = np.concatenate([np.nan_to_num(holed[:10], nan=low), filled[:10], x[:10]])
        axes = plotting.image_grid(
            np.clip(rows, low, high).reshape(-1, *shape),
            columns=10,
            low=low,
            high=high,
            title="with holes, filled in, whole" if hidden.any() else "holes, filled in",
        )
    elif hidden.any():
        axes = own_axes(None, (5.0, 5.0))
        scale = np.where(x.std(axis=0) > 0, x.std(axis=0), 1.0)
        z = [((part - x.mean(axis=0)) / scale)[hidden] for part in (x, filled)]
        axes.plot(*z, ".", markersize=2)
        ends = np.quantile(z[0], [0.001, 0.999])
        axes.plot(ends, ends, color="black", linewidth=1)
        axes.set_xlabel("hidden value, in standard deviations")
        axes.set_ylabel("filled in")
    else:
        axes = plotting.marginals(filled, np.where(np.isnan(holed), np.nanmean(holed, 0), holed))
    axes.figure.savefig(folder / "imputed.png")


if __name__ == "__main__":
    import sys

    from zoo_scripts.main import main

    sys.exit(main(["impute", *sys.argv[1:]]))
