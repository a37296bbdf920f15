"""MNIST by GANs and a VAE in so many minutes each: Fréchet distance and a grid of samples.

    GENZOO_DATA=folder python benchmarks/gan_mnist.py --minutes 10

The distance is that between 10,000 samples and the 10,000 test images, in the features of a small
classifier trained on MNIST; that of 10,000 training images stands beside it. Time counts training
alone, tracing included.
"""

import argparse
import json
import time
from pathlib import Path

import keras
import numpy as np

import genzoo

MODELS = {
    "dcgan": {"filters": 32, "latent_dim": 64},
    "gan": {},
    "vae": {"latent_dim": 16, "likelihood": "discretized_logistic"},
}
ROWS = 10_000


class TimeLimit(keras.callbacks.Callback):
    """Ends training after so many seconds."""

    def __init__(self, seconds: float):
        super().__init__()
        self.seconds, self.epochs = seconds, 0.0

    def on_train_begin(self, logs=None):
        self.began = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self.epochs += 1 / self.params["steps"]
        if time.perf_counter() - self.began > self.seconds:
            self.model.stop_training = True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="of training, each model")
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", default="runs/gan-mnist", help="folder for figures and samples")
    arguments = parser.parse_args()
    output = Path(arguments.output)
    output.mkdir(parents=True, exist_ok=True)
    data = genzoo.data.load("mnist")
    features = genzoo.metrics.ClassifierFeatures(data.x_train, data.y_train, seed=0)
    of_test = features(data.x_test[:ROWS])
    chosen = np.random.default_rng(0).choice(len(data.x_train), ROWS, replace=False)
    of_training = genzoo.metrics.frechet_distance(features(data.x_train[chosen]), of_test)
    results = {"training images": {"frechet_distance": of_training}}
    print(f"training images: {of_training:.2f}", flush=True)
    for name in arguments.models:
        model = genzoo.build(name, event_shape=(28, 28, 1), seed=arguments.seed, **MODELS[name])
        limit = TimeLimit(60 * arguments.minutes)
        model.fit(data.x_train, epochs=10_000, batch_size=128, callbacks=[limit], verbose=2)
        # a VAE shows what its decoder means; a draw adds the noise of its pixels
        samples = model.sample(ROWS, seed=0, **({"mean": True} if name == "vae" else {}))
        results[name] = {
            "frechet_distance": genzoo.metrics.frechet_distance(features(samples), of_test),
            "epochs": round(limit.epochs, 1),
            "minutes": arguments.minutes,
            "seed": arguments.seed,
            "weights": model.count_params(),
        }
        print(name, json.dumps(results[name]), flush=True)
        (output / "results.json").write_text(json.dumps(results, indent=2) + "\n")
        model.save(output / f"{name}.keras")
        picture = genzoo.plotting.image_grid(samples[:64])
        picture.figure.savefig(output / f"{name}.png")
        if name != "vae":
            way = genzoo.plotting.interpolations(model, seed=0)
            way.figure.savefig(output / f"{name}-interpolations.png")


if __name__ == "__main__":
    main()
