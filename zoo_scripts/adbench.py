"""The experiment `adbench` of `genzoo reproduce`: anomaly detection on tables."""

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zoo_scripts.common import check_models, output_folder, replaced_folder

PUBLISHED = (
    "mean AUROC of the 47 classical sets, semi-supervised: DTE-NP 83.9, kNN 83.4, IForest 78.2, "
    "VAE 76.9, planar flow 76.0 (Livernoche et al. 2024)"
)
PROTOCOLS = ("original", "leak-free")
MODELS = {
    "default": {},
    "gaussian_mixture": {"num_components": 5, "noise": 0.1},
    "vae": {},
    "realnvp": {},
    "maf": {},
    "neural_spline": {},
}
PEERS = ("knn", "lof", "iforest", "ocsvm", "pca", "ecod")
_MOST_ROWS = 50_000
_FEW_ROWS = 1_000
_QUICK_ROWS = 500


def add_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("adbench")
    group.add_argument("--sets", nargs="+", metavar="NAME", help="parts of names; default: all")
    group.add_argument("--seeds", type=int, default=5, metavar="N", help="runs of each; default 5")
    group.add_argument(
        "--protocol", choices=[*PROTOCOLS, "both"], default="both", help="default both"
    )


def run(arguments: argparse.Namespace) -> int:
    import numpy as np
    import tensorflow as tf

    # many small models: TensorFlow would warn of each graph as a retracing
    tf.get_logger().setLevel("ERROR")
    check_models(arguments, (*MODELS, *PEERS))
    output = output_folder(arguments, "adbench")
    files = _files(arguments)
    names = arguments.models or [*MODELS, *PEERS]
    peers, library = _peers()
    left_out = [name for name in names if name in PEERS and name not in peers]
    names = [name for name in names if name not in left_out]
    protocols = PROTOCOLS if arguments.protocol == "both" else (arguments.protocol,)
    results: list[dict[str, Any]] = []
    for file in files:
        with np.load(file, allow_pickle=False) as arrays:
            x, y = arrays["X"].astype(np.float64), arrays["y"].astype(int).ravel()
        for protocol in protocols:
            for seed in range(arguments.seed, arguments.seed + arguments.seeds):
                parts = split(x, y, protocol, seed, arguments.rows, arguments.quick)
                for name in names:
                    fit = peers.get(name) or _genzoo(name, arguments)
                    results.append(
                        {
                            "set": file.stem,
                            "protocol": protocol,
                            "seed": seed,
                            "model": name,
                            **_judge(fit, *parts, seed),
                        }
                    )
        if not arguments.quiet:
            shown = [f"{m} {_mean(results, set=file.stem, model=m):.1f}" for m in names]
            print(f"{file.stem}: AUROC {', '.join(shown)}", flush=True)
    described = {
        "experiment": "adbench",
        "command": arguments.command_line,
        "peers": library,
        "quick": arguments.quick,
        "published": PUBLISHED,
        "results": results,
    }
    tables = "\n\n".join(
        f"{figure.upper()}, {protocol} protocol\n\n{_table(results, protocol, figure, names)}"
        for protocol in protocols
        for figure in ("auroc", "aupr")
    )
    with replaced_folder(output) as folder:
        (folder / "results.json").write_text(json.dumps(described, indent=2) + "\n")
        (folder / "results.md").write_text(tables + "\n")
        _draw(results, names, protocols, folder / "adbench.png")
    print(tables)
    for name in names:
        wrong = {row["set"] for row in results if row["model"] == name and row["not_finite"]}
        if wrong:
            print(f"{name} gave scores that are not finite on {', '.join(sorted(wrong))}")
    print(f"peers: {library}" + (f"; left out: {', '.join(left_out)}" if left_out else ""))
    print(f"published: {PUBLISHED}")
    print(f"written: {output}")
    return 0


def split(x, y, protocol: str, seed: int, rows: int | None = None, quick: bool = False):
    """Return training rows, test rows and test labels, standardised on the training rows.

    `"original"`: sets of less than 1,000 rows are drawn with replacement up to 1,000 first, so
    that copies of a row fall on both sides, and the first half of the normal rows, as stored, is
    the training part. `"leak-free"`: the normal rows are shuffled and halved, none is repeated.
    """
    import numpy as np
    from sklearn.preprocessing import StandardScaler

    random = np.random.default_rng(seed)
    if protocol == "original" and len(y) < _FEW_ROWS:
        drawn = random.integers(0, len(y), _FEW_ROWS)
        x, y = x[drawn], y[drawn]
    most = 2 * _QUICK_ROWS if quick else _MOST_ROWS
    if len(y) > most:
        drawn = random.permutation(len(y))[:most]
        x, y = x[drawn], y[drawn]
    normal, anomalies = np.flatnonzero(y == 0), np.flatnonzero(y != 0)
    if protocol == "leak-free":
        normal = random.permutation(normal)
    half = round(len(normal) / 2)
    test = np.concatenate([normal[half:], anomalies])
    train = x[normal[:half][:rows]]
    scaler = StandardScaler().fit(train)
    return scaler.transform(train), scaler.transform(x[test]), (y[test] != 0).astype(int)


def _files(arguments) -> list[Path]:
    from genzoo.core.errors import DataError

    folder = Path(arguments.data or os.path.join(os.environ.get("GENZOO_DATA", "."), "adbench"))
    files = sorted(folder.glob("*.npz"), key=lambda file: file.stem)
    if arguments.sets:
        files = [f for f in files if any(part in f.stem for part in arguments.sets)]
    if not files:
        raise DataError(
            "Expected a folder of .npz files with X and y, as ADBench has them. Received: "
            f"--data {folder}, which has none" + (" of --sets" if arguments.sets else "")
        )
    return files


def _genzoo(name: str, arguments) -> Callable:
    from genzoo.applications import AnomalyDetector

    def fit(x, seed):
        options = dict(MODELS[name])
        if name != "default":
            options["epochs"] = arguments.epochs or (2 if arguments.quick else None)
        detector = AnomalyDetector(name, random_state=seed, **options).fit(x)
        return lambda rows: -detector.score_samples(rows)

    return fit


def _peers() -> tuple[dict[str, Callable], str]:
    """Return the peers' fits by name, and whose they are."""
    try:
        from pyod.models.ecod import ECOD
        from pyod.models.iforest import IForest
        from pyod.models.knn import KNN
        from pyod.models.lof import LOF
        from pyod.models.ocsvm import OCSVM
        from pyod.models.pca import PCA
        from pyod.version import __version__
    except ImportError:
        return _stand_ins(), "scikit-learn stands in, since PyOD is not installed"

    def peer(make):
        def fit(x, seed):
            return make(seed).fit(x).decision_function

        return fit

    makers = {
        "knn": lambda seed: KNN(),
        "lof": lambda seed: LOF(),
        "iforest": lambda seed: IForest(random_state=seed),
        "ocsvm": lambda seed: OCSVM(),
        "pca": lambda seed: PCA(random_state=seed),
        "ecod": lambda seed: ECOD(),
    }
    return {name: peer(make) for name, make in makers.items()}, f"PyOD {__version__}"


def _stand_ins() -> dict[str, Callable]:
    from sklearn.ensemble import IsolationForest
    from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors
    from sklearn.svm import OneClassSVM

    def knn(x, seed):
        index = NearestNeighbors(n_neighbors=min(5, len(x))).fit(x)
        return lambda rows: index.kneighbors(rows)[0][:, -1]

    def negated(make):
        def fit(x, seed):
            detector = make(seed).fit(x)
            return lambda rows: -detector.score_samples(rows)

        return fit

    return {
        "knn": knn,
        "lof": negated(lambda seed: LocalOutlierFactor(novelty=True)),
        "iforest": negated(lambda seed: IsolationForest(random_state=seed)),
        "ocsvm": negated(lambda seed: OneClassSVM()),
    }


def _judge(fit, x_train, x_test, y_test, seed) -> dict[str, float]:
    import numpy as np
    from sklearn.metrics import average_precision_score, roc_auc_score

    began = time.perf_counter()
    scores = np.asarray(fit(x_train, seed)(x_test), np.float64)
    seconds = time.perf_counter() - began
    # PyOD's PCA divides by variances of zero on constant columns
    not_finite = int((~np.isfinite(scores)).sum())
    scores = np.nan_to_num(scores, posinf=1e300, neginf=-1e300)
    return {
        "auroc": round(100 * float(roc_auc_score(y_test, scores)), 3),
        "aupr": round(100 * float(average_precision_score(y_test, scores)), 3),
        "seconds": round(seconds, 2),
        "not_finite": not_finite,
    }


def _mean(results, figure: str = "auroc", **wanted: Any) -> float:
    values = [
        row[figure] for row in results if all(row[key] == value for key, value in wanted.items())
    ]
    return sum(values) / len(values)


def _table(results, protocol: str, figure: str, names: list[str]) -> str:
    sets = list(dict.fromkeys(row["set"] for row in results))
    lines = [f"| | {' | '.join(names)} |", "| --- |" + " --- |" * len(names)]
    means = {}
    for set_ in sets:
        means[set_] = [
            _mean(results, figure, set=set_, protocol=protocol, model=name) for name in names
        ]
        lines.append(f"| {set_} | {' | '.join(f'{value:.1f}' for value in means[set_])} |")
    columns = zip(*means.values(), strict=True)
    overall = [sum(column) / len(column) for column in columns]
    lines.append(f"| mean | {' | '.join(f'**{value:.2f}**' for value in overall)} |")
    if figure == "auroc":
        seconds = [_mean(results, "seconds", protocol=protocol, model=name) for name in names]
        lines.append(f"| seconds | {' | '.join(f'{value:.1f}' for value in seconds)} |")
    return "\n".join(lines)


def _draw(results, names, protocols, path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    sets = list(dict.fromkeys(row["set"] for row in results))
    size = (5 * len(protocols), 1.5 + 0.35 * len(names))
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(protocols), sharey=True, squeeze=False)[0]
    for ax, protocol in zip(axes, protocols, strict=True):
        for i, name in enumerate(reversed(names)):
            values = [_mean(results, set=s, protocol=protocol, model=name) for s in sets]
            ax.plot(values, [i] * len(values), "o", color="0.6", markersize=4)
            ax.plot([sum(values) / len(values)], [i], "|", color="C0", markersize=18, mew=3)
        ax.set_yticks(range(len(names)), list(reversed(names)))
        ax.set_xlabel("AUROC of each set (dots) and their mean")
        ax.set_title(f"{protocol} protocol")
        ax.grid(alpha=0.3)
    figure.savefig(path, dpi=120)
