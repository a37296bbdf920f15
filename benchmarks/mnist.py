"""Test bits/dim of the flows on MNIST after a fixed time of training, with curves.

    GENZOO_DATA=folder python benchmarks/mnist.py --minutes 30
    GENZOO_DATA=folder python benchmarks/mnist.py --minutes 30 --models maf --output runs/maf

60,000 training images, of which the last 5,000 choose the weights; 10,000 test images, scored with
uniform noise (a lower bound on their mass). MAF and the spline flow take the MAF paper's protocol
(logit with margin 1e-6), and their log-likelihood in logit space is given too, the unit of that
paper's table. Time counts training alone, tracing included.
"""

import argparse
import json
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import genzoo

MODELS = {
    "realnvp": {"num_levels": 2, "filters": 16, "num_blocks": 2},
    "glow": {"num_levels": 2, "num_steps": 8, "filters": 64},
    "maf": {"num_transforms": 5, "hidden_units": (1024,), "preprocessing": "maf"},
    "neural_spline": {
        "num_transforms": 5,
        "hidden_units": (512, 512),
        "preprocessing": "maf",
        "bound": 15.0,
        "num_bins": 8,
    },
}


class TimeLimit(keras.callbacks.Callback):
    """Ends training after so many seconds; keeps the weights best on validation data."""

    def __init__(self, seconds: float):
        super().__init__()
        self.seconds, self.best, self.weights, self.curve = seconds, np.inf, None, []

    def on_train_begin(self, logs=None):
        self.began = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        if time.perf_counter() - self.began > self.seconds:
            self.model.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        self.curve.append([time.perf_counter() - self.began, logs["loss"], logs["val_loss"]])
        if logs["val_loss"] < self.best:
            self.best, self.weights = logs["val_loss"], self.model.get_weights()
        # the learning rate falls to zero over the time there is
        share = min((time.perf_counter() - self.began) / self.seconds, 1.0)
        rate = self.model.default_learning_rate * 0.5 * (1 + np.cos(np.pi * share)) + 1e-6
        self.model.optimizer.learning_rate.assign(rate)

    def on_train_end(self, logs=None):
        self.model.set_weights(self.weights)


def logit_nats(model, x: np.ndarray) -> float:
    """Return the mean log-likelihood in the space after preprocessing, in nats."""
    log_prob = model.log_prob(x)
    # noise as in `log_prob`: the mean log-derivative of the logit is not that at the bins' middles
    noise = np.random.default_rng(0).random(x.shape, np.float32)
    real = tf.cast(x, tf.float32) + noise
    log_det = 0.0
    for step in reversed(model.steps[-2:]):
        real, own = step.inverse_and_log_det(real)
        log_det += own.numpy()
    return float(np.mean(log_prob - log_det))


def run(name: str, minutes: float, data, seed: int) -> tuple[dict, genzoo.Flow]:
    model = genzoo.build(name, event_shape=(28, 28, 1), levels=256, seed=seed, **MODELS[name])
    limit = TimeLimit(60 * minutes)
    model.fit(
        data.x_train[:-5000], validation_data=data.x_train[-5000:], epochs=10_000, batch_size=128,
        callbacks=[limit], verbose=2,
    )  # fmt: skip
    result = {
        "parameters": int(sum(np.prod(v.shape) for v in model.trainable_variables)),
        "epochs": len(limit.curve),
        "minutes": minutes,
        "seed": seed,
        "test_bits_per_dim": float(model.bits_per_dim(data.x_test).mean()),
        "curve": limit.curve,
    }
    if MODELS[name].get("preprocessing") == "maf":
        result["test_logit_nats"] = logit_nats(model, data.x_test)
    return result, model


def draw(results: dict, path: Path) -> None:
    from genzoo.plotting.axes import own_axes

    axes = own_axes(None)
    for name, result in results.items():
        seconds, _, validation = np.array(result["curve"]).T
        axes.plot(seconds / 60, validation / (784 * np.log(2)), label=name)
    axes.set(xlabel="minutes of training", ylabel="validation bits/dim", ylim=(0.9, 3.0))
    axes.legend()
    axes.figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", default="runs/mnist", help="folder for curves and samples")
    arguments = parser.parse_args()
    output = Path(arguments.output)
    output.mkdir(parents=True, exist_ok=True)
    data = genzoo.data.load("mnist")
    results = {}
    for name in arguments.models:
        results[name], model = run(name, arguments.minutes, data, arguments.seed)
        model.save(output / f"{name}.keras")
        (output / "results.json").write_text(json.dumps(results, indent=2))
        samples = genzoo.plotting.samples(model.sample(64, seed=0))
        samples.figure.savefig(output / f"{name}.png")
        shown = {key: value for key, value in results[name].items() if key != "curve"}
        print(name, json.dumps(shown), flush=True)
    draw(results, output / "curves.png")


if __name__ == "__main__":
    main()
