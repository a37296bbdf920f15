"""Tables made of images for `genzoo reproduce adbench`, one class of images normal.

    python benchmarks/image_tables.py FOLDER
    genzoo reproduce adbench --data FOLDER --protocol leak-free --models default knn iforest

MNIST's first 12,000 images as 5, 40 and 100 principal components and as 7 x 7 mean greys; the first
8,000 of `cifar10_jpeg_10k` as 40 principal components, as mean and spread of colours on a grid of
4 x 4 (96 columns), and as histograms of colours (24 columns). Three classes of each in turn are
normal; of the others as many rows as are normal are anomalies. As in ADBench, X [n, D] and y
(1 = anomaly) in a .npz each. FOLDER must be new; GENZOO_DATA holds both sets of images.
"""

import argparse
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA

import genzoo

NORMAL = (0, 3, 8)


def components(images: np.ndarray, number: int) -> np.ndarray:
    return PCA(number, random_state=0).fit_transform(images.reshape(len(images), -1) / 255)


def greys(images: np.ndarray) -> np.ndarray:
    return images.reshape(-1, 7, 4, 7, 4).mean(axis=(2, 4)).reshape(-1, 49)


def colour_grid(images: np.ndarray) -> np.ndarray:
    cells = images.astype(np.float64).reshape(-1, 4, 8, 4, 8, 3)
    parts = [of(cells, axis=(2, 4)).reshape(len(images), -1) for of in (np.mean, np.std)]
    return np.concatenate(parts, axis=1)


def colour_histogram(images: np.ndarray) -> np.ndarray:
    bins = images.reshape(len(images), -1, 3) // 32
    return (bins[..., None] == np.arange(8)).sum(axis=1).reshape(len(images), 24)


VIEWS = {
    "mnist_5_components": ("mnist", lambda x: components(x, 5)),
    "mnist_40_components": ("mnist", lambda x: components(x, 40)),
    "mnist_100_components": ("mnist", lambda x: components(x, 100)),
    "mnist_greys": ("mnist", greys),
    "cifar_40_components": ("cifar10_jpeg_10k", lambda x: components(x, 40)),
    "cifar_grid": ("cifar10_jpeg_10k", colour_grid),
    "cifar_histogram": ("cifar10_jpeg_10k", colour_histogram),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True)
    for view, (source, features) in VIEWS.items():
        data = genzoo.data.load(source)
        x, labels = features(data.x_train[:12_000]), data.y_train[:12_000]
        for kind in NORMAL:
            normal = np.flatnonzero(labels == kind)
            others = np.random.default_rng(kind).permutation(np.flatnonzero(labels != kind))
            rows = np.concatenate([normal, others[: len(normal)]])
            path = folder / f"{view}_{kind}.npz"
            np.savez_compressed(path, X=x[rows], y=(labels[rows] != kind).astype(np.int64))
            print(path)


if __name__ == "__main__":
    main()
