"""Run a published comparison again and write the figures beside those published.

experiments:
  vae-mnist     MLP and convolutional VAEs on MNIST thresholded at one half, and one with IAF steps
                after the encoder's Gaussian; test bits/dim
  flow-prior    one encoder and decoder with a normal, a two-stage and a flow prior on MNIST;
                Frechet distance of samples in the features of a small classifier
  flow-decoder  a multi-scale Glow against a VAE with a flow decoder on colour images; seconds an
                epoch, bits/dim and Frechet distance
  adbench       anomaly detection on a folder of tables, as Livernoche et al. 2024 do and without
                leaks, beside PyOD's detectors (scikit-learn's without PyOD); AUROC and AUPR

Writes into the output folder results.json, curves.png and the samples of each model. --quick takes
about two minutes, on fewer rows and epochs: its figures are no reproduction.

examples:
  genzoo reproduce vae-mnist --quick
  genzoo reproduce flow-decoder --data photos/cifar10_jpeg_10k.npz --output runs/flow-decoder
  genzoo reproduce adbench --data tables/adbench --models default knn --sets wine cardio
"""

import argparse
import json
import statistics
from typing import Any

from zoo_scripts import adbench
from zoo_scripts.common import (
    check_models,
    natural,
    output_folder,
    positive,
    replaced_folder,
    training_output,
)

_BATCH = 128


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("experiment", choices=[*EXPERIMENTS, "adbench"], metavar="EXPERIMENT")
    parser.add_argument(
        "--data",
        metavar="D",
        help="images with labels; default: mnist or cifar10; for adbench a folder",
    )
    parser.add_argument(
        "--epochs", type=positive, metavar="N", help="default: the experiment's own"
    )
    parser.add_argument("--rows", type=positive, metavar="N", help="training rows; default: all")
    parser.add_argument("--models", nargs="+", metavar="M", help="some of the models; default: all")
    parser.add_argument("--quick", action="store_true", help="two minutes on fewer rows and epochs")
    parser.add_argument("--seed", type=natural, default=0, metavar="S", help="default 0")
    parser.add_argument("--output", metavar="DIR", help="default: runs/EXPERIMENT, numbered")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing output")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    adbench.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    if arguments.experiment == "adbench":
        return adbench.run(arguments)
    import genzoo

    experiment = EXPERIMENTS[arguments.experiment]
    check_models(arguments, experiment.models)
    output = output_folder(arguments, arguments.experiment)
    data = genzoo.data.load(arguments.data or experiment.data, seed=arguments.seed)
    run_ = _Run(experiment, data, arguments)
    with genzoo.training.strategy().scope():
        rows = experiment.run(run_)
    described = {
        "experiment": arguments.experiment,
        "data": data.name,
        "training_rows": len(run_.x_train),
        "test_rows": len(run_.x_test),
        "quick": arguments.quick,
        "seed": arguments.seed,
        "command": arguments.command_line,
        "published": experiment.published,
        "models": rows,
    }
    with replaced_folder(output) as folder:
        (folder / "results.json").write_text(json.dumps(described, indent=2) + "\n")
        run_.draw(folder)
    print(_table(rows))
    print(f"published: {experiment.published}")
    print(f"written: {output}")
    return 0


class _Run:
    """Data, settings and what the models of an experiment leave behind."""

    def __init__(self, experiment, data, arguments):
        rows = arguments.rows or (experiment.quick_rows if arguments.quick else None)
        self.x_train, self.y_train = data.x_train[:rows], _part(data.y_train, rows)
        test_rows = experiment.quick_rows // 2 if arguments.quick else None
        self.x_test = data.x_test[:test_rows]
        self.epochs = arguments.epochs or (
            experiment.quick_epochs if arguments.quick else experiment.epochs
        )
        self.quick, self.seed = arguments.quick, arguments.seed
        self.models = arguments.models or experiment.models
        self.event_shape = data.event_shape
        self.shown = training_output(arguments.quiet)
        self.curves: dict[str, Any] = {}
        self.samples: dict[str, Any] = {}

    def fit(self, name, model, *, decay=True, epochs=None, callbacks=()):
        """Train by the paper's schedule; return the seconds of each epoch."""
        import keras

        import genzoo
        from genzoo.core.engine.adam import Adam

        epochs = epochs or self.epochs
        print(f"{name}: {model.count_params():,} weights, {epochs} epochs")
        steps = -(-len(self.x_train) // _BATCH) * epochs
        rate = keras.optimizers.schedules.CosineDecay(1e-3, steps) if decay else 1e-3
        model.compile(Adam(rate), steps_per_execution=model.default_steps_per_execution)
        result = genzoo.training.train(
            model,
            self.x_train,
            epochs=epochs,
            batch_size=_BATCH,
            validation_split=0.0,
            callbacks=[*callbacks, *self.shown["callbacks"]],
            verbose=self.shown["verbose"],
        )
        self.curves[name] = result.history["loss"]
        return result.epoch_seconds

    def draw(self, folder):
        """Write the curves and the samples."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        from genzoo import plotting

        figure = Figure(figsize=(6, 4), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        for name, losses in self.curves.items():
            axes.plot(range(1, len(losses) + 1), losses, label=name)
        axes.set_xlabel("epoch")
        axes.set_ylabel("training loss, nats an example")
        axes.grid(alpha=0.3)
        axes.legend()
        figure.savefig(folder / "curves.png", dpi=120)
        for name, samples in self.samples.items():
            picture = plotting.samples(samples[:64])
            picture.figure.savefig(folder / f"{name.replace(' ', '-')}.png")


def _median(seconds: list[float]) -> float:
    """Return the median duration of an epoch, of those after the first, which holds the tracing."""
    return statistics.median(seconds[1:] or seconds)


def _part(values, rows):
    return None if values is None else values[:rows]


def _vae_mnist(run: _Run) -> list[dict[str, Any]]:
    import genzoo

    shared = {
        "latent_dim": 20,
        "likelihood": "bernoulli",
        "binarization": "threshold",
        "seed": run.seed,
    }
    models = {
        "mlp": lambda: genzoo.VAE(run.event_shape, hidden_units=(512, 512), **shared),
        "cnn": lambda: genzoo.VAECNN(run.event_shape, filters=32, **shared),
        "cnn-iaf": lambda: genzoo.VAECNN(run.event_shape, filters=32, posterior="iaf", **shared),
    }
    rows = []
    for name in run.models:
        model = models[name]()
        # without it a third of the units stays unused
        warmup = [genzoo.training.KLWarmup(-(-run.epochs // 10))] if name == "cnn-iaf" else []
        seconds = run.fit(name, model, callbacks=warmup)
        bits = {}
        for samples in (1, 50 if run.quick else 500):
            bits[samples] = float(model.bits_per_dim(run.x_test, num_samples=samples).mean())
        single, many = bits
        rows.append(
            {
                "model": name,
                "binarization": "threshold",
                "epochs": run.epochs,
                "elbo_bits_per_dim": round(bits[single], 4),
                f"importance_weighted_{many}_bits_per_dim": round(bits[many], 4),
                "active_units": model.diagnose(run.x_test)["active_units"],
                "seconds_an_epoch": round(_median(seconds), 2),
            }
        )
        run.samples[name] = model.sample(64, mean=True, seed=run.seed)
    return rows


def _features(run: _Run):
    import genzoo
    from genzoo.core.errors import InvalidInputError

    if run.y_train is None:
        raise InvalidInputError(
            "Expected images with labels, which the classifier is trained on. "
            "Received: data without labels"
        )
    features = genzoo.metrics.ClassifierFeatures(
        run.x_train, run.y_train, epochs=1 if run.quick else 3, seed=run.seed
    )
    print(f"classifier: {features.accuracy:.3f} accuracy on its training data")
    return features


def _distance(run, features, model, **arguments):
    """Return samples' Frechet distance from test images, as many as there are of these."""
    count = min(len(run.x_test), 10_000)
    samples = model.sample(count, seed=run.seed, **arguments)
    return features.distance(samples, run.x_test[:count]), samples


def _flow_prior(run: _Run) -> list[dict[str, Any]]:
    import genzoo

    shared = {"latent_dim": 32, "filters": 32, "encoder": "conv", "decoder": "conv"}
    shared |= {"seed": run.seed, "preprocessing": "glow"}
    models = {
        "normal": lambda: genzoo.VAE(run.event_shape, **shared),
        "two-stage": lambda: genzoo.TwoStageVAE(run.event_shape, **shared),
        "flow": lambda: genzoo.VAE(run.event_shape, prior="realnvp", **shared),
    }
    features, rows = _features(run), []
    for name in run.models:
        model = models[name]()
        # as many passes over the data for the encoder and decoder of each
        phases = 2 if name == "two-stage" else 1
        seconds = run.fit(name, model, decay=phases == 1, epochs=phases * run.epochs)
        distance, samples = _distance(run, features, model, mean=True)
        rows.append(
            {
                "prior": name,
                "epochs": phases * run.epochs,
                "frechet_distance": round(distance, 3),
                "bits_per_dim": round(float(model.bits_per_dim(run.x_test).mean()), 4),
                "active_units": model.diagnose(run.x_test)["active_units"],
                "seconds_an_epoch": round(_median(seconds), 2),
            }
        )
        run.samples[name] = samples
    return rows


def _flow_decoder(run: _Run) -> list[dict[str, Any]]:
    import genzoo

    models = {
        "glow": lambda: genzoo.Glow(
            run.event_shape, num_levels=3, num_steps=8, filters=64, seed=run.seed
        ),
        "flow-vae": lambda: genzoo.FlowVAE(
            run.event_shape,
            latent_dim=128,
            encoder="conv",
            decoder="conv",
            filters=32,
            num_flow_steps=4,
            flow_filters=64,
            preprocessing="glow",
            seed=run.seed,
        ),
    }
    features, rows = _features(run), []
    for name in run.models:
        model = models[name]()
        phases = 2 if name == "flow-vae" else 1
        epochs = phases * run.epochs
        seconds = run.fit(name, model, decay=phases == 1, epochs=epochs)
        arguments = {"temperature": 0.7} if name == "glow" else {}
        distance, samples = _distance(run, features, model, **arguments)
        rows.append(
            {
                "model": name,
                "epochs": epochs,
                # of two phases the second
                "seconds_an_epoch": round(_median(seconds[epochs - run.epochs :]), 2),
                "seconds_in_all": round(sum(seconds), 1),
                "bits_per_dim": round(float(model.bits_per_dim(run.x_test).mean()), 4),
                "frechet_distance": round(distance, 3),
                "weights": model.count_params(),
            }
        )
        run.samples[name] = samples
    seconds_of = {row["model"]: row["seconds_an_epoch"] for row in rows}
    if len(seconds_of) == len(models):
        factor = seconds_of["glow"] / seconds_of["flow-vae"]
        rows[-1]["glow_seconds_over_these"] = round(factor, 2)
    return rows


class _Experiment:
    def __init__(self, run, models, data, epochs, quick_rows, quick_epochs, published):
        self.run, self.models, self.data, self.epochs = run, models, data, epochs
        self.quick_rows, self.quick_epochs, self.published = quick_rows, quick_epochs, published


EXPERIMENTS = {
    "vae-mnist": _Experiment(
        _vae_mnist,
        ("mlp", "cnn", "cnn-iaf"),
        "mnist",
        40,
        6000,
        4,
        "0.152 bits/dim of the ELBO after 80 epochs (MLP 512-512, z=20), 0.129 (CNN)",
    ),
    "flow-prior": _Experiment(
        _flow_prior,
        ("normal", "two-stage", "flow"),
        "mnist",
        15,
        3000,
        3,
        "Fashion-MNIST, Inception features: 31.87 (two-stage), 19.70 (flow), ratio 1.62 "
        "(Morrow and Chiu 2020)",
    ),
    "flow-decoder": _Experiment(
        _flow_decoder,
        ("glow", "flow-vae"),
        "cifar10",
        10,
        500,
        1,
        "512 s an epoch (Glow) against 140 s (VAE with flow decoder, the mean of its two phases), "
        "a factor of 3.66 (Morrow and Chiu 2020); here the median of the second phase",
    ),
}


def _table(rows: list[dict[str, Any]]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [names, *([str(row.get(name, "")) for name in names] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(names))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    )


if __name__ == "__main__":
    import sys

    from zoo_scripts.main import main

    sys.exit(main(["reproduce", *sys.argv[1:]]))
