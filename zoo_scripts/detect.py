"""Find anomalies: learn what is usual, score the rest, write scores, figures and a picture.

With --normal, rows of that label are usual and all others anomalies: the detector learns half of
the usual rows and is judged on the rest. Without it, it learns the training part and scores the
test part.

examples:
  genzoo detect --data digits --normal 8
  genzoo detect --data tables/6_cardio.npz --normal 0 --model realnvp --contamination 0.02
  genzoo detect --data table.csv --output runs/table
"""

import argparse
import json

from zoo_scripts.common import (
    add_data_arguments,
    add_run_arguments,
    data_options,
    output_folder,
    parse_options,
    replaced_folder,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_data_arguments(parser, default="digits")
    parser.add_argument("--normal", metavar="LABEL", help="the label of the usual rows")
    parser.add_argument("--model", default="default", metavar="MODEL", help="default: default")
    parser.add_argument("--score", default="auto", metavar="SCORE", help="see AnomalyDetector")
    parser.add_argument(
        "--contamination", type=float, default=0.05, metavar="SHARE", help="default 0.05"
    )
    add_run_arguments(parser, "detect")


def run(arguments: argparse.Namespace) -> int:
    import numpy as np

    import genzoo
    from genzoo.applications import AnomalyDetector

    output = output_folder(arguments, "detect")
    data = genzoo.data.load(arguments.data, seed=arguments.seed, **data_options(arguments))
    train, test, anomalous = _parts(data, arguments)
    shape = train.shape[1:]
    if arguments.model == "default":
        train, test = (rows.reshape(len(rows), -1) for rows in (train, test))
    detector = AnomalyDetector(
        arguments.model,
        score=arguments.score,
        contamination=arguments.contamination,
        random_state=arguments.seed,
        **parse_options(arguments.option),
    ).fit(train)
    scores, p_values = detector.score_samples(test), detector.p_values(test)
    flagged = detector.predict(test) == -1
    metrics = {
        "command": arguments.command_line,
        "data": data.name,
        "training_rows": len(train),
        "test_rows": len(test),
        "flagged": int(flagged.sum()),
        "threshold": detector.offset_,
    }
    if anomalous is not None:
        from sklearn.metrics import average_precision_score, roc_auc_score

        metrics["anomalies"] = int(anomalous.sum())
        metrics["auroc"] = float(roc_auc_score(anomalous, -scores))
        metrics["aupr"] = float(average_precision_score(anomalous, -scores))
        metrics["flagged_of_usual"] = float(flagged[~anomalous].mean())
        metrics["flagged_of_anomalies"] = float(flagged[anomalous].mean())
    strangest = np.argsort(scores)[:8]
    gains = detector.explain(test[strangest]).reshape(len(strangest), -1)
    with replaced_folder(output) as folder:
        (folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
        lines = ["row,score,p_value,anomaly"]
        lines += [f"{i},{s:.6g},{p:.6g},{int(f)}" for i, (s, p, f) in
                  enumerate(zip(scores, p_values, flagged, strict=True))]  # fmt: skip
        (folder / "scores.csv").write_text("\n".join(lines) + "\n")
        _draw(folder, detector, scores, anomalous, test[strangest], gains, shape)
    for name in ("auroc", "aupr", "flagged_of_usual", "flagged_of_anomalies"):
        if name in metrics:
            print(f"{name}: {metrics[name]:.3f}")
    for row, gain in zip(strangest, gains, strict=True):
        columns = ", ".join(f"{j} ({gain[j]:.1f})" for j in np.argsort(-gain)[:3] if gain[j] > 0)
        print(f"row {row}: p = {p_values[row]:.4f}; strange columns: {columns or 'none alone'}")
    print(f"{len(scores)} rows scored, {metrics['flagged']} flagged")
    print(f"written: {output}")
    return 0


def _parts(data, arguments):
    """Return training rows, test rows, and which of these are anomalies, or `None`."""
    import numpy as np

    from genzoo.core.errors import InvalidInputError

    if arguments.normal is None:
        return data.x_train, data.x_test, None
    if data.y_train is None:
        raise InvalidInputError(
            f"Expected data with labels, for --normal. Received: {data.name}, which has none"
        )
    x = np.concatenate([data.x_train, data.x_test])
    y = np.concatenate([data.y_train, data.y_test])
    names = data.class_names or [str(int(label)) for label in range(int(y.max()) + 1)]
    if arguments.normal not in names:
        raise InvalidInputError(
            f"Expected --normal to be one of {', '.join(names[:20])}. "
            f"Received: {arguments.normal!r}"
        )
    usual = np.flatnonzero(y == names.index(arguments.normal))
    usual = np.random.default_rng(arguments.seed).permutation(usual)
    half = len(usual) // 2
    test = np.concatenate([usual[half:], np.flatnonzero(y != names.index(arguments.normal))])
    return x[usual[:half]], x[test], np.arange(len(test)) >= len(usual) - half


def _draw(folder, detector, scores, anomalous, strangest, gains, shape) -> None:
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from genzoo import plotting

    figure = Figure(figsize=(11, 4), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    low, high = np.quantile(scores, [0.005, 1.0])
    bins = np.linspace(low, high, 60)
    groups = {"scored rows": scores}
    if anomalous is not None:
        groups = {"usual": scores[~anomalous], "anomalies": scores[anomalous]}
    for name, values in groups.items():
        left.hist(np.clip(values, low, high), bins=bins, alpha=0.6, density=True, label=name)
    left.axvline(detector.offset_, color="black", linestyle="--", label="threshold")
    left.set_xlabel("score")
    left.set_ylabel("density of rows")
    left.legend()
    if len(shape) == 3 and shape[2] in (1, 3):
        plotting.image_grid(strangest.reshape(-1, *shape), ax=right)
        right.set_title("the strangest")
    else:
        shown = np.argsort(-gains.sum(axis=0))[:12]
        image = right.imshow(gains[:, shown], aspect="auto", cmap="Reds")
        right.set_xticks(range(len(shown)), shown)
        right.set_xlabel("column")
        right.set_ylabel("the strangest rows")
        figure.colorbar(image, label="gain in score without this value")
    figure.savefig(folder / "anomalies.png", dpi=120)


if __name__ == "__main__":
    import sys

    from zoo_scripts.main import main

    sys.exit(main(["detect", *sys.argv[1:]]))
