"""Find anomalies: learn what is usual, score each row, write scores, figures and a picture.

All rows are scored, in the order of the source: those that the detector learned by members that
left them out, where the model has such (the default has). With --normal, rows of that label are
usual and all others anomalies: the detector learns half of the usual rows and is judged on the
rest. Data with a test part of their own are learned from the training part.

The rows of a .csv keep the numbers of their lines, its columns their names. The detector is saved
beside the scores; --with scores new rows by it.

examples:
  genzoo detect --data table.csv --ignore id --output runs/table
  genzoo detect --with runs/table new.csv
  genzoo detect --data table.csv --label kind --normal usual
  genzoo detect --data digits --normal 8
  genzoo detect --data tables/6_cardio.npz --normal 0 --model realnvp --contamination 0.02
"""

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

from zoo_scripts.common import (
    add_data_arguments,
    add_run_arguments,
    is_table,
    load_data,
    open_table,
    output_folder,
    parse_options,
    read_table,
    replaced_folder,
    table_options,
    table_preprocessor,
)

_DETECTOR, _COLUMNS = "detector", "columns.json"
_SHOWN = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", nargs="?", metavar="NEW", help="rows to score, beside --with")
    parser.add_argument(
        "--with",
        dest="folder",
        metavar="FOLDER",
        help="output of a detection, whose detector to use",
    )
    add_data_arguments(parser, default="digits")
    parser.add_argument("--normal", metavar="LABEL", help="the label of the usual rows")
    parser.add_argument("--model", default="default", metavar="MODEL", help="default: default")
    parser.add_argument("--score", default="auto", metavar="SCORE", help="see AnomalyDetector")
    parser.add_argument(
        "--contamination", type=float, metavar="SHARE", help="default 0.05, or as it was"
    )
    add_run_arguments(parser, "detect")


@dataclasses.dataclass
class _Rows:
    """Rows to judge: an array, or columns by name, with the numbers they have in their source."""

    name: str
    x: Any
    unit: str
    numbers: list[int]
    labels: Any = None
    class_names: list[str] = dataclasses.field(default_factory=list)
    learned: Any = None
    table: Any = None

    def take(self, chosen: Any) -> Any:
        """Return the rows of a mask or of indices."""
        if isinstance(self.x, dict):
            return {name: values[chosen] for name, values in self.x.items()}
        return self.x[chosen]

    @property
    def columns(self) -> list[str]:
        if isinstance(self.x, dict):
            return list(self.x)
        return [str(j) for j in range(self.x[0].size)]


def run(arguments: argparse.Namespace) -> int:
    if (arguments.folder is None) != (arguments.file is None):
        from genzoo.core.errors import InvalidInputError

        raise InvalidInputError(
            "Expected a folder and a file, as in `genzoo detect --with runs/table new.csv`, or "
            f"--data. Received: --with {arguments.folder} and file {arguments.file}"
        )
    if arguments.folder is not None:
        return _score_new(arguments)
    return _learn(arguments)


def _learn(arguments: argparse.Namespace) -> int:
    import numpy as np

    from genzoo.applications import AnomalyDetector

    output = output_folder(arguments, "detect")
    rows = _read_table(arguments) if is_table(arguments.data) else _read_arrays(arguments)
    learned, anomalous = _choose(rows, arguments)
    options = parse_options(arguments.option)
    if rows.table is not None:
        options["preprocessing"] = table_preprocessor(rows.x, rows.table, arguments.seed)
    shape = None if rows.table else rows.x.shape[1:]
    if arguments.model == "default" and shape is not None:
        rows.x = rows.x.reshape(len(rows.x), -1)
    detector = AnomalyDetector(
        arguments.model,
        score=arguments.score,
        contamination=0.05 if arguments.contamination is None else arguments.contamination,
        random_state=arguments.seed,
        **options,
    ).fit(rows.take(learned))
    scores = np.empty(len(learned))
    scores[learned] = detector.training_scores(rows.take(learned))
    if not learned.all():
        scores[~learned] = detector.score_samples(rows.take(~learned))
    shown = np.ones(len(scores), bool) if rows.learned is None else ~learned
    metrics = {
        "command": arguments.command_line,
        "data": rows.name,
        "training_rows": int(learned.sum()),
        "rows": int(shown.sum()),
    }
    judged = ~learned & ~_is_unlabelled(rows)
    if anomalous is not None and len(set(anomalous[judged].tolist())) == 2:
        metrics |= _judge(scores[judged], anomalous[judged], detector.offset_)
    with replaced_folder(output) as folder:
        detector.save(folder / _DETECTOR)
        if rows.table is not None:
            kept = [vars(column) for column in rows.table.columns if column.name in rows.x]
            (folder / _DETECTOR / _COLUMNS).write_text(json.dumps(kept), encoding="utf-8")
        told = _write(folder, detector, rows, scores, shown, anomalous, metrics, shape)
    _tell(told, metrics, output)
    return 0


def _score_new(arguments: argparse.Namespace) -> int:
    import numpy as np

    from genzoo.applications import AnomalyDetector
    from genzoo.core.errors import InvalidInputError
    from genzoo.data import Column, CsvTable

    given = {
        "--model": arguments.model != "default",
        "--score": arguments.score != "auto",
        "--normal": arguments.normal,
        "--label": arguments.label,
        "--ignore": arguments.ignore,
        "--text": arguments.text,
        "--option": arguments.option,
    }
    if given := [name for name, value in given.items() if value]:
        raise InvalidInputError(
            f"Expected the columns and the model of the saved detector. Received: "
            f"{', '.join(given)} beside --with {arguments.folder}. Leave it out, or detect anew."
        )
    output = output_folder(arguments, "detect")
    saved = Path(arguments.folder) / _DETECTOR
    detector = AnomalyDetector.load(saved)
    if arguments.contamination is not None:
        detector.set_params(contamination=arguments.contamination)
    if (saved / _COLUMNS).exists():
        kinds = [Column(**column) for column in json.loads((saved / _COLUMNS).read_text("utf-8"))]
        form = {"header": table_options(arguments)["header"], "decimal": arguments.decimal}
        table = CsvTable(Path(arguments.file), columns=kinds, **form)
        lines = [line for line, _ in table.rows()]
        rows = _Rows(arguments.file, table.typed(table.read()[0]), "line", lines, table=table)
    else:
        arguments.data = arguments.file
        data = load_data(arguments, arguments.seed, test_size=None)
        x = np.concatenate([data.x_train, data.x_test])
        rows = _Rows(data.name, x, "row", list(range(len(x))))
    shape = None if rows.table else rows.x.shape[1:]
    if detector.model == "default" and shape is not None:
        rows.x = rows.x.reshape(len(rows.x), -1)
    scores = detector.score_samples(rows.x)
    shown = np.ones(len(scores), bool)
    metrics = {"command": arguments.command_line, "data": rows.name, "rows": len(scores)}
    with replaced_folder(output) as folder:
        told = _write(folder, detector, rows, scores, shown, None, metrics, shape)
    _tell(told, metrics, output)
    return 0


def _read_table(arguments: argparse.Namespace) -> _Rows:

    table = open_table(arguments)
    columns, left_out = read_table(table)
    if left_out:
        print(f"left out, different in most rows: {', '.join(left_out)}")
    _, labels, names = table.read() if arguments.label else (None, None, [])
    lines = [line for line, _ in table.rows()]
    return _Rows(str(table.path), columns, "line", lines, labels, names, table=table)


def _read_arrays(arguments: argparse.Namespace) -> _Rows:
    import numpy as np

    data = load_data(arguments, arguments.seed, test_size=None)
    x, labels, learned = data.x_train, data.y_train, None
    if len(data.x_test):
        learned = np.arange(len(x) + len(data.x_test)) < len(x)
        x = np.concatenate([x, data.x_test])
        labels = None if labels is None else np.concatenate([labels, data.y_test])
    names = data.class_names
    if labels is not None and not names:
        names = [str(label) for label in range(int(labels.max()) + 1)]
    return _Rows(data.name, x, "row", list(range(len(x))), labels, names, learned)


def _choose(rows: _Rows, arguments: argparse.Namespace):
    """Return masks of the rows to learn and of the anomalies, or `None`."""
    import numpy as np

    from genzoo.core.errors import InvalidInputError

    n = len(rows.numbers)
    if arguments.normal is None:
        return (np.ones(n, bool) if rows.learned is None else rows.learned), None
    rows.learned = None
    if rows.labels is None:
        raise InvalidInputError(
            f"Expected data with labels, for --normal. Received: {rows.name}, which has none"
            + (". Name their column by --label." if rows.table else "")
        )
    if arguments.normal not in rows.class_names:
        raise InvalidInputError(
            f"Expected --normal to be one of {', '.join(rows.class_names[:20])}. "
            f"Received: {arguments.normal!r}"
        )
    anomalous = rows.labels != rows.class_names.index(arguments.normal)
    usual = np.random.default_rng(arguments.seed).permutation(np.flatnonzero(~anomalous))
    learned = np.zeros(n, bool)
    learned[usual[: len(usual) // 2]] = True
    return learned, anomalous


def _is_unlabelled(rows: _Rows):
    """Return where a label is missing, which is neither usual nor an anomaly."""
    import numpy as np

    from genzoo.data.columns import MISSING

    names = [name in MISSING for name in rows.class_names]
    if not any(names):
        return np.zeros(len(rows.numbers), bool)
    return np.array(names)[rows.labels]


def _judge(scores, anomalous, threshold) -> dict[str, Any]:
    from sklearn.metrics import average_precision_score, roc_auc_score

    flagged = scores < threshold
    return {
        "anomalies": int(anomalous.sum()),
        "auroc": float(roc_auc_score(anomalous, -scores)),
        "aupr": float(average_precision_score(anomalous, -scores)),
        "flagged_of_usual": float(flagged[~anomalous].mean()),
        "flagged_of_anomalies": float(flagged[anomalous].mean()),
    }


def _write(folder, detector, rows, scores, shown, anomalous, metrics, shape) -> list[str]:
    """Write scores, figures and the picture; return what to say of the strangest rows."""
    import numpy as np

    from genzoo.data.tables import write_csv

    calibration = detector.calibration_scores_
    ranks = np.searchsorted(calibration, scores, side="right")
    p_values, flagged = (1 + ranks) / (len(calibration) + 1), scores < detector.offset_
    metrics |= {"flagged": int(flagged[shown].sum()), "threshold": detector.offset_}
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    table = [[rows.unit, "score", "p_value", "anomaly"]]
    table += [
        [rows.numbers[i], f"{scores[i]:.6g}", f"{p_values[i]:.6g}", int(flagged[i])]
        for i in np.flatnonzero(shown)
    ]
    write_csv(folder / "scores.csv", table)
    strangest = np.flatnonzero(shown)[np.argsort(scores[shown], kind="stable")[:_SHOWN]]
    gains = detector.explain(rows.take(strangest)).reshape(len(strangest), -1)
    seen = None if anomalous is None else anomalous[shown]
    _draw(folder, detector, scores[shown], seen, rows, strangest, gains, shape)
    told = []
    for i, gain in zip(strangest, gains, strict=True):
        order = [j for j in np.argsort(-gain)[:3] if gain[j] > 0]
        columns = ", ".join(f"{rows.columns[j]} ({gain[j]:.1f})" for j in order)
        told.append(
            f"{rows.unit} {rows.numbers[i]}: p = {p_values[i]:.4f}; "
            f"strange columns: {columns or 'none alone'}"
        )
    return told


def _tell(told, metrics, output) -> None:
    for name in ("auroc", "aupr", "flagged_of_usual", "flagged_of_anomalies"):
        if name in metrics:
            print(f"{name}: {metrics[name]:.3f}")
    for line in told:
        print(line)
    print(f"{metrics['rows']:,} rows scored, {metrics['flagged']:,} flagged")
    print(f"written: {output}")


def _draw(folder, detector, scores, anomalous, rows, strangest, gains, shape) -> None:
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from genzoo import plotting
    from genzoo.core.traits import is_picture

    figure = Figure(figsize=(11, 4), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    low, high = np.quantile(scores, [0.005, 1.0])
    bins = np.linspace(low, high, 60) if high > low else 10
    groups = {"scored rows": scores}
    if anomalous is not None:
        groups = {"usual": scores[~anomalous], "anomalies": scores[anomalous]}
    for name, values in groups.items():
        left.hist(np.clip(values, low, high), bins=bins, alpha=0.6, density=True, label=name)
    left.axvline(detector.offset_, color="black", linestyle="--", label="threshold")
    left.set_xlabel("score")
    left.set_ylabel("density of rows")
    left.legend()
    if shape is not None and is_picture(shape):
        plotting.image_grid(rows.x[strangest].reshape(-1, *shape), ax=right)
        right.set_title("the strangest")
    else:
        shown = np.argsort(-gains.sum(axis=0))[:12]
        image = right.imshow(gains[:, shown], aspect="auto", cmap="Reds")
        right.set_xticks(range(len(shown)), [rows.columns[j] for j in shown], rotation=45)
        right.set_xlabel("column")
        right.set_yticks(range(len(strangest)), [rows.numbers[i] for i in strangest])
        right.set_ylabel(f"the strangest: {rows.unit}")
        figure.colorbar(image, label="gain in score without this value")
    figure.savefig(folder / "anomalies.png", dpi=120)


if __name__ == "__main__":
    import sys

    from zoo_scripts.main import main

    sys.exit(main(["detect", *sys.argv[1:]]))
