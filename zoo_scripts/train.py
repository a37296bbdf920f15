"""Fit a model to data and save what came out.

Writes into the output folder:
  model.keras    the model, for keras.models.load_model
  saved_model/   a TensorFlow SavedModel: log_prob, sample (and encode, decode)
  metrics.json   likelihoods with their kind and unit, seconds, versions, seed, command
  samples.png    samples of the model
  history.png    training curves
  manifold.png   what the plane of a two-dimensional latent space decodes to
  progress/      GANs on images: samples from the same noise, every few epochs or minutes
  training/      the last state of training, for --resume with more --epochs

Models with a likelihood stop early when the validation loss has not improved for --patience
epochs, and keep the best weights; GANs train for all epochs, and a warning tells of a collapse.
Ctrl-C stops training and saves what was learned. Until the output is written, the state of
training lies in OUTPUT.training; a run that was stopped or killed goes on from there with the same
command and --resume, and ends in the same weights. A finished run goes on with --resume and more
--epochs. A loss that turns to NaN ends training with the last good weights, or with
--on-nan=backoff goes on from them with a smaller learning rate.

A model of sequences takes images as sequences of their rows; the rows of a table are steps, and
--sequence or --lengths says of which sequence.

examples:
  genzoo train realnvp --data digits
  genzoo train gaussian_mixture --data table.csv --option num_components=5
  genzoo train vae --data photos/ --image-size 32 --option latent_dim=32 --output runs/photos
  genzoo train dcgan --data mnist --output runs/dcgan --resume
  genzoo train hidden_markov_model --data visits.csv --sequence patient
  genzoo train maf --data table.csv --context year region --output runs/by-year
  genzoo train pix2pix --data photos/ --context sketches/ --output runs/photos
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

from zoo_scripts.cluster import run_cluster
from zoo_scripts.common import (
    MODEL_FILE,
    SAVED_MODEL,
    add_context_argument,
    add_data_arguments,
    add_sequence_arguments,
    check_output,
    data_options,
    load_data,
    model_name,
    natural,
    new_folder,
    parse_options,
    positive,
    read_card,
    replaced_folder,
    training_output,
)

# the last state of training, inside the output, so that a run can be made longer
_TRAINING = "training"
_RUN = "run.json"
_EPOCHS = 200
# why training ended
_STOPPED, _ALL = "stopped early", "all epochs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", type=model_name, metavar="MODEL", help="a name of `genzoo list`, such as realnvp"
    )
    add_data_arguments(parser, default="digits")
    add_sequence_arguments(parser)
    add_context_argument(parser)
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
    from genzoo.core.engine.replicas import is_chief
    from genzoo.core.registry import model_class
    from genzoo.training.strategy import num_workers_and_index

    cls = model_class(arguments.model)
    options = parse_options(arguments.option)
    output = _choose_output(arguments)
    if arguments.workers > 1 and not os.environ.get("TF_CONFIG"):
        return run_cluster(arguments.workers, arguments.argv, output)
    unfinished = _unfinished(output)
    longer = arguments.resume and output.exists() and not unfinished.exists()
    if longer and not _goes_on(output, arguments):
        print(f"finished already ({read_card(output).get('ended', _ALL)}): {output}")
        return 0
    data = load_data(arguments, arguments.seed, pairs=cls.traits.paired_context)
    described = _described(options, arguments, data)
    _check_begun(output / _TRAINING if longer else unfinished, described, arguments)
    if longer and num_workers_and_index()[1] == 0:
        # the other workers of a cluster wait for this one in strategy()
        shutil.copytree(output / _TRAINING, unfinished)
    strategy = genzoo.training.strategy()
    with strategy.scope():
        model = genzoo.build(arguments.model, **{**_given(cls, data, arguments), **options})
    context = data.contexts(model)
    print(
        f"{arguments.model} on {data.name}: {len(data.x_train)} training and {len(data.x_test)} "
        f"test examples of shape {data.event_shape}; {model.count_params():,} weights; "
        f"output {output}"
    )
    result, ended = _fit(model, data, unfinished, described, arguments)
    interrupted = ended == "interrupted"
    metrics = {
        "model": arguments.model,
        "data": arguments.data,
        "data_options": data_options(arguments),
        "columns": [vars(column) for column in data.columns],
        **_scores(model, data, context),
        "seconds_training": round(result.seconds, 2),
        "epochs": result.epochs,
        "best_epoch": result.best_epoch,
        "peak_memory_mib": _peak_memory(),
        "interrupted": interrupted,
        "ended": ended,
        "parameters": model.count_params(),
        "seed": arguments.seed,
        "options": options,
        "command": arguments.command_line,
        "versions": _versions(),
        "devices": strategy.num_replicas_in_sync,
        "history": result.history,
    }
    if is_chief(strategy):
        _write(model, data, context[1], metrics, unfinished, output, arguments)
        _report(metrics, output, arguments)
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
        # the latest that was begun, else a first one
        form = re.compile(rf"{re.escape(base.name)}(-\d+)?(\.training)?")
        made = [path for path in base.parent.glob("*") if form.fullmatch(path.name)]
        if not made:
            return output
        latest = max(made, key=lambda path: path.stat().st_mtime)
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


def _given(cls, data, arguments) -> dict[str, Any]:
    """Return the constructor's arguments that data and command give."""
    given = {"event_shape": event_shape(cls, data), "seed": arguments.seed}
    if data.context_train is not None:
        shape = data.context_train.shape[1:]
        if "pair" in cls.traits.examples:
            given["source_shape"] = shape
        else:
            given["context_dim"] = shape[0] if len(shape) == 1 else shape
    return given


def _described(options, arguments, data) -> dict[str, Any]:
    """Return what a run that is resumed must have in common with the one that was begun."""
    described = {
        "model": arguments.model,
        "options": options,
        "data": arguments.data,
        "data_options": data_options(arguments),
        "contents of the data": _fingerprint(data),
        "epochs": arguments.epochs or _EPOCHS,
        **{name: getattr(arguments, name) for name in ("batch_size", "patience", "seed")},
    }
    return json.loads(json.dumps(described))


def _check_begun(unfinished: Path, described: dict[str, Any], arguments) -> None:
    """Refuse to go on with a run of other arguments."""
    from genzoo.core.errors import InvalidInputError
    from genzoo.pretrained import read_json

    if arguments.overwrite or not (unfinished / _RUN).exists():
        return
    begun = read_json(unfinished / _RUN)
    # a run may be made longer
    changed = [n for n in described if n != "epochs" and described[n] != begun.get(n)]
    if changed:
        raise InvalidInputError(
            "Expected --resume with the arguments that the run was begun with. Received: "
            + ", ".join(f"{n} {described[n]!r}, begun with {begun.get(n)!r}" for n in changed)
        )


def event_shape(cls, data) -> tuple[int, ...]:
    """Return the shape of an example, or of a step, for a model of sequences."""
    from genzoo.core.errors import InvalidInputError
    from genzoo.data.sequences import is_sequences

    of_steps, takes_sequences = is_sequences(data.x_train), "sequence" in cls.traits.examples
    if takes_sequences and not of_steps and len(data.event_shape) == 1:
        raise InvalidInputError(
            f"Expected sequences for {cls.__name__}. Received: {data.name}, a table. If its rows "
            "are steps, pass --sequence COLUMN or --lengths N to say of which sequence."
        )
    if of_steps and not takes_sequences:
        raise InvalidInputError(
            f"Expected rows for {cls.__name__}. Received: {data.name} as sequences. "
            "Leave out --sequence and --lengths, or train hidden_markov_model."
        )
    return data.event_shape[1:] if takes_sequences and not of_steps else data.event_shape


def _fingerprint(data) -> str:
    """Return a digest of the shape and of some thousand rows of the training data."""
    import numpy as np

    from genzoo.data.sequences import is_sequences

    digest = hashlib.sha256()
    for rows in (data.x_train, data.y_train, data.context_train):
        if rows is not None:
            rows = np.concatenate(list(rows)) if is_sequences(rows) else rows
            some = np.ascontiguousarray(rows[:: max(len(rows) // 1024, 1)])
            digest.update(f"{rows.shape} {rows.dtype}".encode() + some.tobytes())
    return digest.hexdigest()[:16]


def _goes_on(output: Path, arguments) -> bool:
    """Return whether a finished run is to be made longer; refuse what another command made."""
    from genzoo.core.errors import DataError, InvalidInputError
    from genzoo.pretrained import read_json

    card = read_card(output) if (output / MODEL_FILE).exists() else {}
    if (card.get("model"), card.get("data")) != (arguments.model, arguments.data):
        made = f"of {card['model']} on {card['data']}" if card.get("data") else "of something else"
        raise InvalidInputError(
            f"Expected a run of {arguments.model} on {arguments.data} to --resume. "
            f"Received: --output {output}, {made}."
        )
    state = output / _TRAINING
    trained = read_json(state / _RUN)["epochs"] if state.exists() else card["epochs"]
    if (arguments.epochs or _EPOCHS) <= trained or card.get("ended") == _STOPPED:
        return False
    if not state.exists():
        raise DataError(
            f"Expected a run whose last state was kept, in {_TRAINING} of its folder, to make it "
            f"longer. Received: --output {output}, which has none. Train anew with --overwrite."
        )
    return True


def _fit(model, data, unfinished, described, arguments):
    """Train; return what `genzoo.training.train` does, and why it ended."""
    import keras

    import genzoo
    from genzoo.core.engine.replicas import is_chief
    from genzoo.core.traits import is_picture
    from genzoo.training.recipe import CHECKPOINTS

    class Beginning(keras.callbacks.Callback):
        """Leaves a trace when nothing was refused and training begins."""

        def on_train_begin(self, logs=None):
            if is_chief(model.distribute_strategy):
                unfinished.mkdir(parents=True, exist_ok=True)
                (unfinished / _RUN).write_text(json.dumps(described, indent=2) + "\n")

    interruption, shown = genzoo.training.StopOnSignal(), training_output(arguments.quiet)
    on_pictures = model.on_images and is_picture(model.event_shape)
    try:
        result = genzoo.training.train(
            model,
            data,
            epochs=arguments.epochs or _EPOCHS,
            batch_size=arguments.batch_size,
            patience=arguments.patience,
            on_nan=arguments.on_nan,
            output=unfinished,
            checkpoint_every=arguments.checkpoint_every,
            resume=True,
            overwrite=arguments.overwrite,
            pictures=on_pictures and model.traits.training == "adversarial",
            callbacks=[interruption, Beginning(), *shown["callbacks"]],
            verbose=shown["verbose"],
        )
    except BaseException:
        begun = any(unfinished.glob(f"{CHECKPOINTS}/*"))
        if not begun and is_chief(model.distribute_strategy):
            # there is nothing to go on from, which would only stand in the way
            shutil.rmtree(unfinished, ignore_errors=True)
        raise
    if interruption.received is not None:
        print("\ninterrupted: saving what was learned")
        return result, "interrupted"
    return result, _STOPPED if result.stopped_early else _ALL


def _scores(model, data, context) -> dict[str, Any]:
    import genzoo

    report = genzoo.metrics.likelihood_report
    if not model.traits.has_density:
        return {
            "likelihood_kind": "none",
            "likelihood_unit": None,
            "test": reached(model, data, context[1]),
        }
    return {
        "test": report(model, data.x_test, context=context[1]),
        "train": report(model, data.x_train, context=context[0]),
    }


def reached(model, data, context) -> dict[str, Any]:
    """Return density and coverage of up to 1,000 test rows by as many samples, by their values.

    Those of tables are standardised.
    """
    from genzoo.metrics import ValueFeatures, density_and_coverage

    n = min(1000, len(data.x_test), 1000 if context is None else len(context))
    if n < 10:
        return {}
    real = data.x_test[:n]
    samples = model.sample(n, context=None if context is None else context[:n], seed=0)
    features = ValueFeatures(data.x_train)
    density, coverage = density_and_coverage(features(real), features(samples))
    return {"density": density, "coverage": coverage, "compared_by": features.compared_by}


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


def _write(model, data, test_context, metrics, unfinished, output, arguments) -> None:
    from genzoo import plotting
    from genzoo.core.traits import HasLatentSpace, is_image
    from genzoo.training.recipe import PROGRESS, contexts_to_show

    most = 64 if is_image(data.event_shape) else 1000
    n, conditions = contexts_to_show(model, test_context, most)
    samples = model.sample(n, context=conditions, seed=arguments.seed)
    with replaced_folder(output) as folder:
        model.save(folder / MODEL_FILE)
        model.export(folder / SAVED_MODEL)
        (folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
        if (unfinished / PROGRESS).exists():
            shutil.copytree(unfinished / PROGRESS, folder / PROGRESS)
        if not metrics["interrupted"]:
            _keep_state(unfinished, folder / _TRAINING)
        picture = plotting.samples(samples, data.x_test[:1000])
        picture.figure.savefig(folder / "samples.png")
        curves = plotting.history(metrics["history"])
        curves.figure.savefig(folder / "history.png", dpi=120)
        latent = model.latent_shape if isinstance(model, HasLatentSpace) else None
        if model.on_images and not model.context_size and latent == (2,):
            plane = plotting.manifold(model)
            plane.figure.savefig(folder / "manifold.png")


def _keep_state(unfinished: Path, folder: Path) -> None:
    """Copy what --resume needs to make a finished run longer."""
    from genzoo.training.recipe import CHECKPOINTS

    folder.mkdir()
    shutil.copy2(unfinished / _RUN, folder)
    for newest in sorted(unfinished.glob(f"{CHECKPOINTS}/epoch-*"))[-1:]:
        shutil.copytree(newest, folder / CHECKPOINTS / newest.name)


def _report(metrics, output, arguments) -> None:
    test = metrics["test"]
    if "coverage" in test:
        print(
            f"test: samples reach {test['coverage']:.1%} of the rows, density "
            f"{test['density']:.2f}, by {test['compared_by']}"
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
    print(_ending(metrics, arguments))
    print(f"{'saved what was learned' if metrics['interrupted'] else 'saved'}: {output}")


def _ending(metrics, arguments) -> str:
    """Return a sentence on why training ended."""
    if metrics["interrupted"]:
        return "ended by Ctrl-C; --resume goes on"
    best = f"; the best epoch was {metrics['best_epoch']}" if metrics["best_epoch"] else ""
    if metrics["ended"] == _STOPPED:
        return f"ended early{best}"
    return f"ended after all epochs{best}; --resume with more --epochs goes on"


if __name__ == "__main__":
    from zoo_scripts.main import main

    sys.exit(main(["train", *sys.argv[1:]]))
