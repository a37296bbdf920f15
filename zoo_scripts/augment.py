"""Add samples of each class to few labelled rows, and tell whether a classifier gains.

Written are the labelled rows with the samples after them: a .csv as .csv, other data as .npz. A
logistic regression learns the labelled rows alone, and with the samples, and is tested on the
test part of the data.

examples:
  genzoo augment --data digits --labels 10
  genzoo augment --data tables/classes.npz --labels 50 --model realnvp --total 500
"""

import argparse
import json

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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_data_arguments(parser, default="digits")
    parser.add_argument("--model", type=model_name, default="gaussian_mixture", metavar="MODEL")
    parser.add_argument(
        "--labels", type=positive, default=20, metavar="N", help="labelled rows a class; default 20"
    )
    parser.add_argument(
        "--total", type=positive, default=200, metavar="N", help="rows a class in the end"
    )
    add_run_arguments(parser, "augment")


def run(arguments: argparse.Namespace) -> int:
    import numpy as np

    from genzoo import plotting
    from genzoo.applications import Augmenter
    from genzoo.core.errors import InvalidInputError

    output = output_folder(arguments, "augment")
    data = load_data(arguments, arguments.seed)
    if data.y_train is None:
        raise InvalidInputError(f"Expected data with labels. Received: {data.name}")
    random = np.random.default_rng(arguments.seed)
    chosen = np.concatenate(
        [
            random.permutation(np.flatnonzero(data.y_train == c))[: arguments.labels]
            for c in np.unique(data.y_train)
        ]
    )
    x, y = data.x_train[chosen], data.y_train[chosen]
    strategy = {
        int(c): max(arguments.total, int(n))
        for c, n in zip(*np.unique(y, return_counts=True), strict=True)
    }
    augmenter = Augmenter(
        arguments.model,
        sampling_strategy=strategy,
        random_state=arguments.seed,
        **parse_options(arguments.option),
    )
    x_more, y_more = augmenter.fit_resample(x, y)
    metrics = {
        "command": arguments.command_line,
        "data": data.name,
        "rows": len(x),
        "rows_with_samples": len(x_more),
        "accuracy": _accuracy(x, y, data),
        "accuracy_with_samples": _accuracy(x_more, y_more, data),
        "filter": {str(name): report for name, report in augmenter.report_.items()},
    }
    with replaced_folder(output) as folder:
        (folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
        if data.columns:
            _write_rows(folder / "augmented.csv", x_more, y_more, data)
        else:
            np.savez_compressed(folder / "augmented.npz", x=x_more, y=y_more)
        new, labels = x_more[len(x) :], y_more[len(x) :]
        if x.ndim == 4:
            rows = [np.flatnonzero(labels == c)[:10] for c in np.unique(labels)]
            axes = plotting.image_grid(
                new[np.concatenate(rows)], columns=10, title="samples, a class a row"
            )
        else:
            axes = plotting.samples(new, x)
        axes.figure.savefig(folder / "augmented.png")
    print(f"{len(x)} rows; {len(x_more)} with samples")
    print(f"accuracy of a logistic regression on {len(data.x_test)} test rows:")
    print(f"  without samples {metrics['accuracy']:.3f}")
    print(f"  with samples    {metrics['accuracy_with_samples']:.3f}")
    print(f"written: {output}")
    return 0


def _write_rows(file, x, y, data) -> None:
    """Write rows as their table has them, with the label as the last column."""
    from genzoo.data.tables import write_csv

    cells = [c.cells(values) for c, values in zip(data.columns, x.T, strict=True)]
    labels = [data.class_names[label] for label in y]
    header = [*(column.name for column in data.columns), "label"]
    write_csv(file, [header, *zip(*cells, labels, strict=True)])


def _accuracy(x, y, data) -> float:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    classifier.fit(x.reshape(len(x), -1), y)
    return float(classifier.score(data.x_test.reshape(len(data.x_test), -1), data.y_test))


if __name__ == "__main__":
    import sys

    from zoo_scripts.main import main

    sys.exit(main(["augment", *sys.argv[1:]]))
