"""Does generative augmentation help a classifier that has few labels?

    python benchmarks/augmentation.py
    python benchmarks/augmentation.py --data mnist --labels 10 50 200

A fixed convolutional classifier, trained for a fixed number of steps on 10, 50 or 200 labelled
images a class, and those that each kind of augmentation adds (as many as bring every class to
--total; digits has 133 to 149 a class).
Accuracy on the untouched test set in per cent: mean and standard deviation over the seeds, which
choose the labelled images and all weights. `keras` shifts, turns and zooms the images at each
step (Keras's own layers). All generative models see the labelled images alone.
"""

import argparse
import json
import time
import warnings
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import genzoo
from genzoo.applications import Augmenter

AUGMENTERS = {
    "GMM": lambda shape: {"model": "gaussian_mixture", "num_components": 1, "reg_covar": 0.5},
    "VAE": lambda shape: {"model": "vae", "latent_dim": 8, "hidden_units": (128,)},
    "flow": lambda shape: {"model": "maf", "hidden_units": (128,), "num_transforms": 3},
    "GAN": lambda shape: {"model": "conditional_gan", "filters": 16},
}
KINDS = ("nothing", "keras", *AUGMENTERS)


def classifier(shape, num_classes: int, seed: int, classical: bool) -> keras.Model:
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    shaking = []
    if classical:
        shaking = [
            layers.RandomTranslation(0.1, 0.1, fill_mode="constant", seed=seed),
            layers.RandomRotation(0.04, fill_mode="constant", seed=seed),
            layers.RandomZoom(0.1, fill_mode="constant", seed=seed),
        ]
    model = keras.Sequential(
        [
            keras.Input(shape),
            *shaking,
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dropout(0.3),
            layers.Dense(num_classes, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def accuracy(x, y, x_test, y_test, seed: int, steps: int, classical: bool) -> float:
    scale = float(x_test.max())
    model = classifier(x.shape[1:], int(y_test.max()) + 1, seed, classical)
    rows = tf.data.Dataset.from_tensor_slices(((x / scale).astype("float32"), y))
    rows = rows.shuffle(len(x), seed=seed).repeat().batch(64)
    model.fit(rows, steps_per_epoch=steps, epochs=1, shuffle=False, verbose=0)
    return float(model.evaluate(x_test / scale, y_test, batch_size=1024, verbose=0)[1])


def run(data, kind: str, labels: int, total: int, seed: int, steps: int) -> tuple[float, int]:
    random = np.random.default_rng(seed)
    chosen = np.concatenate(
        [
            random.permutation(np.flatnonzero(data.y_train == c))[:labels]
            for c in np.unique(data.y_train)
        ]
    )
    x, y = data.x_train[chosen], data.y_train[chosen].astype(int)
    if kind in AUGMENTERS:
        options = AUGMENTERS[kind](x.shape[1:])
        present = np.bincount(y)
        strategy = {c: max(total, int(n)) for c, n in enumerate(present)}
        augmenter = Augmenter(sampling_strategy=strategy, random_state=seed, **options)
        if kind == "GAN":
            augmenter.set_params(epochs=max(3000 * 64 // len(x), 1), batch_size=64)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            x, y = augmenter.fit_resample(x, y)
    found = accuracy(x, y, data.x_test, data.y_test, seed, steps, kind == "keras")
    return 100 * found, len(x)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="digits")
    parser.add_argument("--labels", type=int, nargs="+", default=[10, 50, 200])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=1500, help="of the classifier")
    parser.add_argument("--total", type=int, default=500, help="images a class in the end")
    parser.add_argument("--output", help="file for the figures as JSON")
    arguments = parser.parse_args()
    tf.get_logger().setLevel("ERROR")
    data = genzoo.data.load(arguments.data, seed=0)
    results = []
    print(f"| labels a class | {' | '.join(arguments.kinds)} |")
    print("| --- |" + " --- |" * len(arguments.kinds))
    for labels in arguments.labels:
        cells = []
        for kind in arguments.kinds:
            began = time.perf_counter()
            figures = [
                run(data, kind, labels, arguments.total, seed, arguments.steps)[0]
                for seed in range(arguments.seeds)
            ]
            seconds = (time.perf_counter() - began) / arguments.seeds
            results.append(
                {"labels": labels, "kind": kind, "accuracy": figures, "seconds": round(seconds, 1)}
            )
            spread = np.std(figures, ddof=1) if len(figures) > 1 else 0.0
            cells.append(f"{np.mean(figures):.1f} ± {spread:.1f}")
            print(f"  {labels} {kind}: {cells[-1]} ({seconds:.0f} s)", flush=True)
        print(f"| {labels} | {' | '.join(cells)} |", flush=True)
    if arguments.output:
        Path(arguments.output).write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
