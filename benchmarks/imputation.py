"""Imputation of real tables with values missing at random, beside scikit-learn's imputers.

    python benchmarks/imputation.py

scikit-learn's wine (178 x 13), breast cancer (569 x 30) and diabetes (442 x 10), and, where
GENZOO_DATA holds them, 2,000 rows of ADBench's cardio and pendigits; standardised. The figure is
the root mean squared error of the missing values, in standard deviations of the column (1 is the
column's mean): mean and range of the seeds, which fix what is missing.
"""

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
from sklearn import datasets
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer
from sklearn.preprocessing import StandardScaler

from genzoo.applications import Imputer

IMPUTERS = {
    "KNNImputer": lambda seed: KNNImputer(),
    "IterativeImputer": lambda seed: IterativeImputer(random_state=seed, max_iter=30),
    "mixture": lambda seed: Imputer(random_state=seed),
    "VAE": lambda seed: Imputer("vae", latent_dim=8, random_state=seed, epochs=60),
    "RealNVP": lambda seed: Imputer("realnvp", random_state=seed, epochs=30),
}


def tables() -> dict[str, np.ndarray]:
    found = {
        "wine": datasets.load_wine().data,
        "breast cancer": datasets.load_breast_cancer().data,
        "diabetes": datasets.load_diabetes().data,
    }
    folder = Path(os.environ.get("GENZOO_DATA", "nowhere")) / "adbench"
    for name in ("6_cardio", "28_pendigits"):
        if (folder / f"{name}.npz").exists():
            with np.load(folder / f"{name}.npz") as file:
                rows = file["X"].astype(np.float64)
            found[name.split("_")[1]] = rows[np.random.default_rng(0).permutation(len(rows))[:2000]]
    return {name: StandardScaler().fit_transform(x) for name, x in found.items()}


def error(imputer, x: np.ndarray, share: float, seed: int) -> float:
    random = np.random.default_rng(seed)
    missing = random.random(x.shape) < share
    missing[np.arange(len(x)), random.integers(0, x.shape[1], len(x))] = False
    filled = imputer.fit_transform(np.where(missing, np.nan, x))
    return float(np.sqrt(np.mean((filled - x)[missing] ** 2)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.1, 0.3, 0.5])
    parser.add_argument("--imputers", nargs="+", choices=IMPUTERS, default=list(IMPUTERS))
    parser.add_argument("--tables", nargs="+", help="default: all")
    parser.add_argument("--output", help="file for the figures as JSON")
    arguments = parser.parse_args()
    results = []
    print(f"| | missing | {' | '.join(arguments.imputers)} |")
    print("| --- | --- |" + " --- |" * len(arguments.imputers))
    for table, x in tables().items():
        if arguments.tables and table not in arguments.tables:
            continue
        for share in arguments.shares:
            cells = []
            for name in arguments.imputers:
                began = time.perf_counter()
                errors = [error(IMPUTERS[name](s), x, share, s) for s in range(arguments.seeds)]
                seconds = (time.perf_counter() - began) / arguments.seeds
                cells.append(f"{np.mean(errors):.3f} ({min(errors):.3f}-{max(errors):.3f})")
                results.append(
                    {"table": table, "share": share, "imputer": name, "errors": errors,
                     "seconds": round(seconds, 2)}
                )  # fmt: skip
            print(f"| {table} | {share:.0%} | {' | '.join(cells)} |", flush=True)
    if arguments.output:
        Path(arguments.output).write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
