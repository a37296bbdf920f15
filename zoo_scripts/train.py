"""Fit a model to data and save what came out.

Writes into the output folder:
  model.keras    the model, for keras.models.load_model
  saved_model/   a TensorFlow SavedModel: log_prob, sample (and encode, decode)
  metrics.json   likelihoods with their kind and unit, seconds, versions, seed, command
  samples.png    samples of the model
  history.png    training curves
  manifold.png   what the plane of a two-dimensional latent space decodes to
  progress/      GANs on images: samples from the same noise, every few epochs

Models with a likelihood stop early when the validation loss has not improved for --patience
epochs, and keep the best weights; GANs train for all epochs, and a warning tells of a collapse.
Ctrl-C stops training and saves what was learned. Until the output is written, the state of
training lies in OUTPUT.training; a run that was stopped or killed goes on from there with the same
command and --resume, and ends in the same weights. A loss that turns to NaN ends training with the
last good weights, or with --on-nan=backoff goes on from them with a smaller learning rate.

A model of sequences takes images as sequences of their rows; the rows of a table are steps, and
--sequence or --lengths says of which sequence.

examples:
  genzoo train realnvp --data digits
  genzoo train gaussian_mixture --data table.csv --option num_components=5
  genzoo train vae --data photos/ --image-size 32 --option latent_dim=32 --output runs/photos
  genzoo train dcgan --data mnist --output runs/dcgan --resume
  genzoo train hidden_markov_model --data visits.csv --sequence patient
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from zoo_scripts.cluster import run_cluster
from zoo_scripts.common import (
    MODEL_FILE,
    SAVED_MODEL,
    add_data_arguments,
    add_sequence_arguments,
    check_output,
    data_options,
    natural,
    new_folder,
    parse_options,
    positive,
    read_card,
    replaced_folder,
)

_PROGRESS = "progress"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a name of `genzoo list`, such as realnvp")
    add_data_arguments(parser, default="digits")
    add_sequence_arguments(parser)
    group = parser.add_argument_group("training")
    group.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a constructor argument of the model, such as num_couplings=8; may be repeated",
    )
    group.add_argument("--epochs", type=positive, metavar="N", help="at most; default 200")
    group.add_argument("--batch-size", type=positive, metavar="N", help="default: the model's own")
    group.add_argument("--patience", type=positive, default=20, metavar="N", help="default 20")
    group.add_argument("--seed", type=natural, default=0, metavar="S", help="default 0")
    group.add_argument("--on-nan", choices=("stop", "backoff"), default="stop", help="default stop")
    group.add_argument(
        "--checkpoint-every",
        type=natural,
        default=60,
        metavar="SECONDS",
        help="between checkpoints; default 60",
    )
    group.add_argument(
        "--workers",
        type=positive,
        default=1,
        metavar="N",
        help="processes of a cluster on this machine, for tests; elsewhere set TF_CONFIG",
    )
    group = parser.add_argument_group("output")
    group.add_argument(
        "--output",
        metavar="DIR",
        help="default: saved_models/MODEL-DATA, numbered where that exists",
    )
    either = group.add_mutually_exclusive_group()
    either.add_argument("--overwrite", action="store_true", help="replace an existing output")
    either.add_argument("--resume", action="store_true", help="go on where a run was stopped")
    group.add_argument("--quiet", action="store_true", help="no progress bar")


def run(arguments: argparse.Namespace) -> int:
    import genzoo
    from genzoo.core.registry import model_class
    from genzoo.core.replicas import is_chief

    cls = model_class(arguments.model)
    options = parse_options(arguments.option)
    output = _choose_output(arguments)
    if arguments.workers > 1 and not os.environ.get("TF_CONFIG"):
        return run_cluster(arguments.workers, arguments.argv, output)
    unfinished = _unfinished(output)
    if arguments.resume and output.exists() and not unfinished.exists():
        _check_finished(output, arguments)
        print(f"finished already: {output}")
        return 0
    strategy = genzoo.training.strategy()
    data = genzoo.data.load(arguments.data, seed=arguments.seed, **data_options(arguments))
    for note in data.notes:
        print(note)
    with strategy.scope():
        model = genzoo.build(
            arguments.model,
            **{"event_shape": event_shape(cls, data), "seed": arguments.seed, **options},
        )
    context = _contexts(model, data)
    print(
        f"{arguments.model} on {data.name}: {len(data.x_train)} training and {len(data.x_test)} "
        f"test examples of shape {data.event_shape}; {model.count_params():,} weights; "
        f"output {output}"
    )
    _begin(unfinished, options, arguments, data, is_chief(strategy))
    history, seconds, interrupted = _fit(model, data, context, unfinished, arguments)
    metrics = {
        "model": arguments.model,
        "data": arguments.data,
        "data_options": data_options(arguments),
        **_scores(model, data, context),
        "seconds_training": round(seconds, 2),
        "epochs": max(map(len, history.values()), default=0),
        "peak_memory_mib": _peak_memory(),
        "interrupted": interrupted,
        "parameters": model.count_params(),
        "seed": arguments.seed,
        "options": options,
        "command": arguments.command_line,
        "versions": _versions(),
        "devices": strategy.num_replicas_in_sync,
        "history": history,
    }
    if is_chief(strategy):
        _write(model, data, context, metrics, unfinished / _PROGRESS, output, arguments)
        _report(metrics, output, interrupted)
        if not interrupted:
            shutil.rmtree(unfinished)
    return 130 if interrupted else 0


def _unfinished(output: Path) -> Path:
    """Return the folder of a run that is not over."""
    return output.with_name(f"{output.name}.training")


def _choose_output(arguments) -> Path:
    from genzoo.core.errors import OutputExistsError
    from genzoo.training.strategy import num_workers_and_index

    if arguments.output is None:
        base = Path("saved_models") / f"{arguments.model}-{Path(arguments.data).stem}"
        output = new_folder(base, lambda path: path.exists() or _unfinished(path).exists())
        if not arguments.resume:
            return output
        # the latest that was not finished, or a first one
        form = re.compile(rf"{re.escape(base.name)}(-\d+)?\.training")
        begun = [path for path in base.parent.glob("*.training") if form.fullmatch(path.name)]
        if not begun:
            return output
        latest = max(begun, key=lambda path: path.stat().st_mtime)
        return latest.with_name(latest.name.removesuffix(".training"))
    output = Path(arguments.output)
    if num_workers_and_index()[1] > 0:
        # the first is at work there
        return output
    if arguments.resume:
        return check_output(output, overwrite=True)
    output = check_output(output, arguments.overwrite)
    if _unfinished(output).exists() and not arguments.overwrite:
        raise OutputExistsError(
            f"Expected a new output. Received: --output {output}, where a run was begun and not "
            "finished. Pass --resume to go on with it, or --overwrite to begin anew."
        )
    return output


def _begin(unfinished: Path, options, arguments, data, is_chief: bool) -> None:
    """Make the folder of a run that begins; check that one that goes on is the same."""
    from genzoo.core.errors import InvalidInputError
    from genzoo.pretrained import read_json

    asked = {
        "model": arguments.model,
        "options": options,
        "data": arguments.data,
        "data_options": data_options(arguments),
        "contents of the data": _fingerprint(data),
        **{name: getattr(arguments, name) for name in ("epochs", "batch_size", "patience", "seed")},
    }
    asked = json.loads(json.dumps(asked))
    if arguments.overwrite and is_chief and unfinished.exists():
        shutil.rmtree(unfinished)
    file = unfinished / "run.json"
    if file.exists():
        begun = read_json(file)
        changed = [name for name in asked if asked[name] != begun.get(name)]
        if changed:
            raise InvalidInputError(
                "Expected --resume with the arguments that the run was begun with. Received: "
                + ", ".join(f"{n} {asked[n]!r}, begun with {begun.get(n)!r}" for n in changed)
            )
    elif is_chief:
        unfinished.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(asked, indent=2) + "\n")


def event_shape(cls, data) -> tuple[int, ...]:
    """Return the shape of an example, or of a step, for a model of sequences."""
    from genzoo.core.errors import InvalidInputError
    from genzoo.data.sequences import is_sequences

    of_steps = is_sequences(data.x_train)
    if cls.takes_sequences and not of_steps and len(data.event_shape) == 1:
        raise InvalidInputError(
            f"Expected sequences for {cls.__name__}. Received: {data.name}, a table. If its rows "
            "are steps, pass --sequence COLUMN or --lengths N to say of which sequence."
        )
    if of_steps and not cls.takes_sequences:
        raise InvalidInputError(
            f"Expected rows for {cls.__name__}. Received: {data.name} as sequences. "
            "Leave out --sequence and --lengths, or train hidden_markov_model."
        )
    return data.event_shape[1:] if cls.takes_sequences and not of_steps else data.event_shape


def _fingerprint(data) -> str:
    """Return a digest of the shape and of some thousand rows of the training data."""
    import numpy as np

    from genzoo.data.sequences import is_sequences

    rows = data.x_train
    rows = np.concatenate(list(rows)) if is_sequences(rows) else rows
    some = np.ascontiguousarray(rows[:: max(len(rows) // 1024, 1)])
    return hashlib.sha256(f"{rows.shape} {rows.dtype}".encode() + some.tobytes()).hexdigest()[:16]


def _check_finished(output: Path, arguments) -> None:
    """Refuse to --resume what another command made."""
    from genzoo.core.errors import InvalidInputError

    card = read_card(output) if (output / MODEL_FILE).exists() else {}
    if (card.get("model"), card.get("data")) != (arguments.model, arguments.data):
        made = f"of {card['model']} on {card['data']}" if card.get("data") else "of something else"
        raise InvalidInputError(
            f"Expected a run of {arguments.model} on {arguments.data} to --resume. "
            f"Received: --output {output}, {made}."
        )


def _contexts(model, data) -> dict[str, Any]:
    """Return training and test contexts: the labels, for models of num_classes."""
    from genzoo.core.errors import InvalidInputError

    if not model.context_size:
        return {"train": None, "test": None}
    if model.num_classes is None or data.y_train is None:
        raise InvalidInputError(
            "Expected a conditional model of labels (num_classes) and data that have labels. "
            f"Received: data {data.name!r} with{'' if data.y_train is not None else 'out'} labels, "
            f"num_classes={model.num_classes}, context_dim={model.context_dim}"
        )
    return {"train": data.y_train, "test": data.y_test}


def _grid(model, folder, every, seed):
    import numpy as np

    import genzoo

    context = np.arange(64) % model.num_classes if model.num_classes else None
    return genzoo.training.SampleGrid(
        folder, every=every, context=context, seed=seed, overwrite=True
    )


def _fit(model, data, context, unfinished, arguments) -> tuple[dict[str, list[float]], float, bool]:
    import keras

    import genzoo

    class Recorder(keras.callbacks.Callback):
        """Keeps the curve also when training is interrupted."""

        def __init__(self):
            super().__init__()
            self.logs = {}
            self.seconds, self.began = 0.0, time.perf_counter()

        def get_state(self):
            return {"logs": self.logs, "seconds": self.total()}

        def set_state(self, state):
            self.logs, self.seconds = state["logs"], state["seconds"]

        def total(self):
            return self.seconds + time.perf_counter() - self.began

        def on_epoch_end(self, epoch, logs=None):
            for name, value in (logs or {}).items():
                self.logs.setdefault(name, []).append(float(value))

    recorder, interruption = Recorder(), genzoo.training.StopOnSignal()
    callbacks = [interruption]
    scored = model.likelihood.kind != "none"
    if scored:
        callbacks.append(
            keras.callbacks.EarlyStopping(
                patience=arguments.patience, restore_best_weights=True, monitor="val_loss"
            )
        )
        if model.trainable_variables:  # EM has no learning rate
            callbacks.append(
                keras.callbacks.ReduceLROnPlateau(
                    monitor="val_loss", factor=0.5, patience=max(arguments.patience // 3, 1)
                )
            )
    else:
        every = max((arguments.epochs or 200) // 20, 1)
        callbacks.append(genzoo.training.CollapseMonitor(data.x_train, data.y_train, every=every))
        if len(data.event_shape) == 3 and data.event_shape[2] in (1, 3):
            callbacks.append(_grid(model, unfinished / _PROGRESS, every, arguments.seed))
    guard = genzoo.training.DivergenceGuard(arguments.on_nan)
    checkpoint = genzoo.training.Checkpoint(
        unfinished / "checkpoints", every=arguments.checkpoint_every, resume=True
    )
    try:
        model.fit(
            data.x_train,
            context["train"],
            epochs=arguments.epochs or 200,
            batch_size=arguments.batch_size,
            validation_split=0.1 if scored else 0.0,
            callbacks=[*callbacks, guard, recorder, checkpoint],
            verbose=0 if arguments.quiet else "auto",
        )
    finally:
        interruption.restore()
    interrupted = interruption.received is not None
    if interrupted:
        print("\ninterrupted: saving what was learned")
    return recorder.logs, recorder.total(), interrupted


def _scores(model, data, context) -> dict[str, Any]:
    import genzoo

    report = genzoo.metrics.likelihood_report
    if model.likelihood.kind == "none":
        return {
            "likelihood_kind": "none",
            "likelihood_unit": None,
            "test": reached(model, data, context["test"]),
        }
    return {
        "test": report(model, data.x_test, context=context["test"]),
        "train": report(model, data.x_train, context=context["train"]),
    }


def reached(model, data, context) -> dict[str, float]:
    """Return density and coverage of up to 1,000 test rows by as many samples, by their values."""
    from genzoo.metrics import density_and_coverage

    real = data.x_test[:1000]
    if len(real) < 10:
        return {}
    labels = None if context is None else context[:1000]
    samples = model.sample(len(real), context=labels, seed=0)
    density, coverage = density_and_coverage(real, samples)
    return {"density": density, "coverage": coverage}


def _peak_memory() -> int | None:
    """Return the most memory that this process has held, in MiB."""
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (2**20 if sys.platform == "darwin" else 2**10)


def _versions() -> dict[str, str]:
    import importlib.metadata
    import platform

    packages = ("genzoo", "tensorflow", "keras", "tensorflow-probability", "numpy")
    found = {}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            from genzoo import __version__

            found[package] = __version__
    return {"python": platform.python_version(), **found}


def _write(model, data, context, metrics, progress, output, arguments) -> None:
    from genzoo import plotting

    num_samples = 64 if len(data.event_shape) == 3 else 1000
    conditions = None
    if context["test"] is not None:
        import numpy as np

        conditions = np.arange(num_samples) % model.num_classes
    samples = model.sample(num_samples, context=conditions, seed=arguments.seed)
    with replaced_folder(output) as folder:
        model.save(folder / MODEL_FILE)
        model.export(folder / SAVED_MODEL)
        (folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
        if progress.exists():
            shutil.copytree(progress, folder / "progress")
        picture = plotting.samples(samples, data.x_test[:1000])
        picture.figure.savefig(folder / "samples.png", dpi=120)
        curves = plotting.history(metrics["history"])
        curves.figure.savefig(folder / "history.png", dpi=120)
        is_image = len(data.event_shape) == 3
        if is_image and not model.context_size and getattr(model, "latent_shape", None) == (2,):
            plane = plotting.manifold(model)
            plane.figure.savefig(folder / "manifold.png", dpi=120)


def _report(metrics, output, interrupted) -> None:
    test = metrics["test"]
    if "coverage" in test:
        print(
            f"test: samples reach {test['coverage']:.1%} of the rows, density {test['density']:.2f}"
        )
    elif test:
        kind = test["likelihood_kind"].replace("_", " ")
        data = f"{test['likelihood_unit']}"
        if test["binarization"]:
            data += f" of data binarised by {test['binarization']}"
        line = f"test: {test['nll_nats']:.3f} nats an example ({kind} on {data})"
        if test["bits_per_dim"] is not None:
            line += f", {test['bits_per_dim']:.3f} bits/dim"
        print(line)
        if "active_units" in test:
            print(f"{test['active_units']} of {test['latent_dim']} latent values are in use")
    epochs, seconds = metrics["epochs"], metrics["seconds_training"]
    each = f" ({seconds / epochs:.2f} s each)" if epochs else ""
    print(f"{epochs} epochs in {seconds:.1f} s{each}; at most {metrics['peak_memory_mib']} MiB")
    print(f"{'saved what was learned' if interrupted else 'saved'}: {output}")


if __name__ == "__main__":
    from zoo_scripts.main import main

    sys.exit(main(["train", *sys.argv[1:]]))
