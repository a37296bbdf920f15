"""Estimate the density of data by several models, and draw it.

Each model learns the training part, stopping early by a tenth of it; then the test part's negative
log-likelihood is told in nats a row, with its standard error and what kind of figure it is. Beside
them, for real values, Gaussian kernels of scikit-learn's with the width that five folds choose. The
picture holds the log-densities on the plane, or samples of each model beside the data.

examples:
  genzoo density --data moons
  genzoo density --data table.csv --models gaussian_mixture maf
  genzoo density --data digits --models vae --option latent_dim=8
"""

import argparse
import json
import time

from zoo_scripts.common import (
    add_data_arguments,
    add_run_arguments,
    load_data,
    model_name,
    output_folder,
    parse_options,
    positive,
    replaced_folder,
)

_MODELS = ("gaussian_mixture", "realnvp", "neural_spline")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_data_arguments(parser, default="moons")
    parser.add_argument(
        "--models",
        nargs="+",
        type=model_name,
        default=list(_MODELS),
        metavar="MODEL",
        help=f"models with a likelihood; default {' '.join(_MODELS)}",
    )
    parser.add_argument("--rows", type=positive, default=4000, metavar="N", help="default 4000")
    parser.add_argument("--epochs", type=positive, metavar="N", help="default: about 3,000 steps")
    add_run_arguments(parser, "density")


def run(arguments: argparse.Namespace) -> int:
    import genzoo
    from genzoo.applications.models import make_model, train
    from genzoo.core.errors import InvalidInputError

    output = output_folder(arguments, "density")
    data = load_data(arguments, arguments.seed)
    x_train, x_test = data.x_train[: arguments.rows], data.x_test[: arguments.rows]
    options = parse_options(arguments.option)
    models = {
        name: make_model(name, data.event_shape, options, arguments.seed)
        for name in arguments.models
    }
    without = [name for name, model in models.items() if not model.traits.has_density]
    if without:
        raise InvalidInputError(
            f"Expected models with a likelihood. Received: --models {' '.join(without)}"
        )
    print(f"{len(x_train)} rows to learn, {len(x_test)} to test, of shape {data.event_shape}")
    figures = {}
    for name, model in models.items():
        began = time.perf_counter()
        train(model, x_train, epochs=arguments.epochs, seed=arguments.seed)
        seconds = time.perf_counter() - began
        figures[name] = genzoo.metrics.likelihood_report(model, x_test)
        figures[name]["seconds_training"] = round(seconds, 1)
        _tell(name, figures[name])
    if all(figure["likelihood_unit"] == "density" for figure in figures.values()):
        figures["kernels"] = _kernels(x_train, x_test)
        _tell("kernels", figures["kernels"])
    described = {
        "command": arguments.command_line,
        "data": data.name,
        "training_rows": len(x_train),
        "models": figures,
    }
    with replaced_folder(output) as folder:
        (folder / "metrics.json").write_text(json.dumps(described, indent=2) + "\n")
        _draw(folder, models, x_test, arguments.seed)
    print(f"written: {output}")
    return 0


def _tell(name, figure) -> None:
    print(
        f"{name:20} {figure['nll_nats']:.3f} ± {figure['nll_standard_error'] or 0:.3f} nats a row, "
        f"{figure['likelihood_kind']} {figure['likelihood_unit']}; "
        f"{figure['seconds_training']:.1f} s to learn",
        flush=True,
    )


def _kernels(x_train, x_test):
    import numpy as np
    from sklearn.model_selection import GridSearchCV
    from sklearn.neighbors import KernelDensity
    from sklearn.preprocessing import StandardScaler

    began = time.perf_counter()
    train, test = (np.asarray(x, np.float64).reshape(len(x), -1) for x in (x_train, x_test))
    scaler = StandardScaler().fit(train)
    widths = {"bandwidth": np.geomspace(0.02, 1.0, 12)}
    folds = min(5, len(train))
    search = GridSearchCV(KernelDensity(), widths, cv=folds).fit(scaler.transform(train))
    seconds = time.perf_counter() - began
    log_prob = search.best_estimator_.score_samples(scaler.transform(test))
    log_prob = log_prob - np.log(scaler.scale_).sum()
    return {
        "likelihood_kind": "exact",
        "likelihood_unit": "density",
        "rows": len(test),
        "nll_nats": float(-log_prob.mean()),
        "nll_standard_error": float(log_prob.std() / np.sqrt(len(test))),
        "bandwidth": float(search.best_params_["bandwidth"]),
        "seconds_training": round(seconds, 1),
    }


def _draw(folder, models, x_test, seed) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from genzoo import plotting

    figure = Figure(figsize=(5.5 * len(models), 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    for ax, (name, model) in zip(figure.subplots(1, len(models), squeeze=False)[0], models.items(),
                                 strict=True):  # fmt: skip
        if model.event_shape == (2,):
            plotting.density(model, x_test, ax=ax)
        else:
            count = 64 if model.on_images else 1000
            plotting.samples(model.sample(count, seed=seed), x_test, ax=ax)
        ax.set_title(name)
    figure.savefig(folder / "density.png", dpi=120)


if __name__ == "__main__":
    import sys

    from zoo_scripts.main import main

    sys.exit(main(["density", *sys.argv[1:]]))
