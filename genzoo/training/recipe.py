"""train: a whole run of training by one recipe, with settings that need no tuning."""

import dataclasses
import os
import shutil
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np

from genzoo.core import checks
from genzoo.core.engine.fitting import as_callbacks
from genzoo.core.engine.replicas import is_chief
from genzoo.core.errors import InvalidInputError, OutputExistsError
from genzoo.core.inputs.numbers import is_frame
from genzoo.core.inputs.sources import is_stream
from genzoo.core.maths.random import generator
from genzoo.core.model import GenerativeModel
from genzoo.core.traits import is_picture
from genzoo.data.datasets import Dataset
from genzoo.training.checkpoint import Checkpoint
from genzoo.training.divergence import DivergenceGuard
from genzoo.training.watching import CollapseMonitor, SampleGrid

CHECKPOINTS, PROGRESS = "checkpoints", "progress"
_EPOCHS = 200
_VALIDATION_SPLIT = 0.1
# times that the samples of a run are looked at, and seconds until a first picture
_LOOKS = 20
_PICTURE_SECONDS = 60.0
_PICTURED = 64
_LEAST_EXAMPLES = 10


@dataclasses.dataclass(frozen=True)
class TrainingResult:
    """What a run of `train` leaves beside the model.

    Attributes:
        history: Figures of each epoch by name, such as `loss` and `val_loss`, those of the epochs
            before a resumed run went on included.
        best_epoch: The epoch of the least validation loss, from 1; `None` without held-out rows.
        stopped_early: Whether training ended before its last epoch: no better validation loss,
            convergence of EM, or what a callback says.
        seconds: Duration of training, in seconds, all parts of a resumed run together.
        epoch_seconds: Duration of each epoch, in seconds; the first holds the tracing.
    """

    history: dict[str, list[float]]
    best_epoch: int | None
    stopped_early: bool
    seconds: float
    epoch_seconds: list[float]

    @property
    def epochs(self) -> int:
        """Number of epochs."""
        return max(map(len, self.history.values()), default=0)


def train(
    model: GenerativeModel,
    data: Any,
    *,
    epochs: int | None = None,
    batch_size: int | None = None,
    validation_split: float | None = None,
    validation_data: Any = None,
    seed: int | None = None,
    patience: int | None = 20,
    reduce_lr: bool = True,
    on_nan: str | None = "stop",
    output: str | os.PathLike | None = None,
    checkpoint_every: float = 60.0,
    resume: bool = False,
    overwrite: bool = False,
    pictures: bool = False,
    callbacks: Any = None,
    verbose: Any = "auto",
    **fit_arguments: Any,
) -> TrainingResult:
    """Train a model as `genzoo train` does.

    Rows are held out; training ends when their loss has not become less for `patience` epochs, and
    the model has the weights of the best one; the learning rate is halved where the loss stays as
    it is; a loss that turns to NaN or explodes takes training back to its last good weights. Of an
    adversarial model no loss says how good it is: nothing is held out, it trains for all epochs,
    and a warning tells of a collapse.

    Args:
        model: A genzoo model, fitted or not, as its class or `genzoo.build` makes it.
        data: x, or (x, context), as `fit` of the model takes them: arrays, frames, sequences, a
            `tf.data.Dataset` and the like; or what `genzoo.data.load` returns.
        epochs: Epochs, at most; `None` for 200.
        batch_size: As in `fit`.
        validation_split: Share of the rows to hold out; 0 for none, and all epochs; `None` for a
            tenth. Not taken by data sets, nor beside `validation_data`.
        validation_data: Data to validate on, in place of rows held out.
        seed: Draws the order of rows in memory, the first of which are held out. `None` leaves them
            as they are and holds out the last, as Keras does.
        patience: Epochs without a better validation loss until training ends; `None` trains for
            all epochs and keeps the last weights.
        reduce_lr: Whether the learning rate is halved after a third as many epochs without a better
            validation loss, by `ReduceLROnPlateau`; of models that train by gradient.
        on_nan: What a `DivergenceGuard` does: `"stop"` or `"backoff"`; `None` for no guard.
        output: Folder for the state of training, in `checkpoints`, and for pictures, in
            `progress`; `None` writes nothing.
        checkpoint_every: Seconds between checkpoints.
        resume: Whether to go on from the newest checkpoint of `output`, if there is one.
        overwrite: Whether to begin anew where `output` holds a run.
        pictures: Whether to write samples from the same noise to `output` every few epochs, and at
            first every minute; of models on images.
        callbacks: Further Keras callbacks, such as `StopOnSignal()`, which ends training in order
            on Ctrl-C.
        verbose: As in Keras.
        **fit_arguments: Of `fit` of the model, such as `sample_weight` or `steps_per_epoch`.

    Returns:
        The figures of all epochs, how training ended, and how long it took.

    Raises:
        InvalidInputError: For what is no model, and for settings and data that do not fit.
        OutputExistsError: For an `output` that holds files, without `resume` and `overwrite`.

    Example:

    >>> data = genzoo.data.load("moons", seed=0)
    >>> model = genzoo.RealNVP((2,), num_couplings=2, hidden_units=(16,), seed=0)
    >>> result = genzoo.training.train(model, data, epochs=3, verbose=0)
    >>> result.epochs, len(result.history["val_loss"]), result.stopped_early
    (3, 3, False)

    Reference: Prechelt, Early stopping - but when?, 1998.
    """
    if not isinstance(model, GenerativeModel):
        raise InvalidInputError(
            "Expected a genzoo model, such as genzoo.RealNVP((2,)) or genzoo.build('realnvp', "
            f"event_shape=(2,)). Received: model={model!r}"
        )
    epochs = checks.check_int(_EPOCHS if epochs is None else epochs, "epochs")
    if patience is not None:
        checks.check_int(patience, "patience")
    for name, value in (("reduce_lr", reduce_lr), ("resume", resume), ("pictures", pictures)):
        checks.check_choice(value, (True, False), name)
    rows = _read(model, data)
    if validation_data is not None and validation_split:
        raise InvalidInputError(
            "Expected validation_split or validation_data, not both. "
            f"Received: both, validation_split={validation_split!r}"
        )
    if seed is not None:
        _shuffle(rows, seed, fit_arguments)
    if validation_data is None:
        validation = _hold_out(model, rows, validation_split, seed, fit_arguments)
    else:
        validation = {"validation_data": validation_data}
    folder = None if output is None else Path(output)
    if folder is not None:
        _check_output(folder, model, resume, overwrite)
    every = max(epochs // _LOOKS, 1)
    chain: list[keras.callbacks.Callback] = []
    if folder is not None and overwrite:
        chain.append(_Clearing(folder))
    if model.traits.training == "adversarial":
        chain += _watch_samples(rows, every)
    elif validation and patience is not None:
        chain += _watch_validation(model, patience, reduce_lr)
    if pictures:
        chain.append(_draw_samples(model, rows, folder, every))
    # before the checkpoint, which is to see what they stop in the step that they stop it
    chain += as_callbacks(callbacks)
    if on_nan is not None:
        chain.append(DivergenceGuard(on_nan))
    recorder = Recorder()
    chain.append(recorder)
    if folder is not None:
        chain.append(Checkpoint(folder / CHECKPOINTS, every=checkpoint_every, resume=True))
    model.fit(
        *rows.given,
        epochs=epochs,
        batch_size=batch_size,
        callbacks=chain,
        verbose=verbose,
        **validation,
        **fit_arguments,
    )
    return TrainingResult(
        history=recorder.logs,
        best_epoch=recorder.best_epoch,
        stopped_early=recorder.stopped,
        seconds=recorder.total(),
        epoch_seconds=recorder.epoch_seconds,
    )


# Data


@dataclasses.dataclass
class _Rows:
    """What a model is trained on."""

    # the arguments of `fit`
    given: tuple[Any, ...]
    # what is learned, its labels, and contexts to draw samples for
    examples: Any
    labels: Any = None
    contexts: Any = None


def _read(model: GenerativeModel, data: Any) -> _Rows:
    of_pairs = "pair" in model.traits.examples
    if isinstance(data, Dataset):
        contexts, test_contexts = data.contexts(model)
        given = (data.x_train,) if contexts is None else (data.x_train, contexts)
        # the images to translate come first in `fit`, and are the context of a data set's examples
        given = given[::-1] if of_pairs else given
        return _Rows(given, data.x_train, data.y_train, test_contexts)
    given = data if isinstance(data, tuple) else (data,)
    if not 1 <= len(given) <= 2:
        raise InvalidInputError(
            "Expected data of x, (x, context), a data set, or what genzoo.data.load returns. "
            f"Received: a tuple of {len(given)}"
        )
    if len(given) == 1 or not model.context_size:
        return _Rows(given, given[0])
    examples, context = given[::-1] if of_pairs else given
    return _Rows(given, examples, context if model.num_classes else None, context)


def _shuffle(rows: _Rows, seed: int, fit_arguments: dict[str, Any]) -> None:
    """Put rows, and their weights, into an order that is drawn."""
    weights = fit_arguments.get("sample_weight")
    parts = [*rows.given, *([] if weights is None else [weights])]
    counted = not is_stream(rows.examples) and all(hasattr(part, "__len__") for part in parts)
    if not counted or len(set(map(len, parts))) > 1:
        raise InvalidInputError(
            "Expected rows in memory, as many of each part of the data, with a seed to draw their "
            f"order. Received: seed={seed} with {', '.join(type(p).__name__ for p in parts)}. "
            "Leave the seed out."
        )
    order = generator(checks.check_seed(seed)).permutation(len(parts[0]))
    parts = [_take(part, order) for part in parts]
    rows.given = tuple(parts[: len(rows.given)])
    if weights is not None:
        fit_arguments["sample_weight"] = parts[-1]


def _take(part: Any, order: np.ndarray) -> Any:
    """Return elements of a list, or rows of a frame or an array, in this order."""
    if isinstance(part, list):
        return [part[i] for i in order]
    if is_frame(part):
        return getattr(part, "iloc", part)[order]
    return np.asanyarray(part)[order]


def _hold_out(model, rows, share, seed, fit_arguments) -> dict[str, Any]:
    """Return what `fit` is to validate on; rows that a seed has put first leave those to learn."""
    if share is None:
        share = 0.0 if model.traits.training == "adversarial" else _VALIDATION_SPLIT
    if not share:
        return {}
    checks.check_share(share, "validation_split")
    if is_stream(rows.examples):
        raise InvalidInputError(
            "Expected validation_data beside a data set, to tell when to stop. Received: "
            f"validation_data=None with a {type(rows.examples).__name__}. Give it, or pass "
            "validation_split=0 to train for all epochs."
        )
    if seed is None:
        return {"validation_split": share}
    held_out = int(len(rows.given[0]) * share)
    if not held_out:
        raise InvalidInputError(
            "Expected validation_split to leave rows on both sides. Received: "
            f"validation_split={share!r} of {len(rows.given[0])} rows"
        )
    held = [part[:held_out] for part in rows.given]
    rows.given = tuple(part[held_out:] for part in rows.given)
    weights = fit_arguments.get("sample_weight")
    if weights is not None:
        held += [None] * (2 - len(held)) + [weights[:held_out]]
        fit_arguments["sample_weight"] = weights[held_out:]
    return {"validation_data": tuple(held)}


# Callbacks


def _watch_validation(model, patience, reduce_lr) -> list[keras.callbacks.Callback]:
    """Return what ends training by the validation loss, and slows it down before."""
    stop = keras.callbacks.EarlyStopping(
        monitor="val_loss", patience=patience, restore_best_weights=True
    )
    if not reduce_lr or model.traits.training != "gradient":
        return [stop]
    slow = keras.callbacks.ReduceLROnPlateau(
        monitor="val_loss", factor=0.5, patience=max(patience // 3, 1)
    )
    return [stop, slow]


def _watch_samples(rows, every) -> list[keras.callbacks.Callback]:
    """Return what tells of a collapse, where there are examples to compare samples with."""
    if is_stream(rows.examples) or len(rows.examples) < _LEAST_EXAMPLES:
        return []
    return [CollapseMonitor(rows.examples, rows.labels, every=every)]


def _draw_samples(model, rows, folder, every) -> SampleGrid:
    if folder is None or not (model.on_images and is_picture(model.event_shape)):
        raise InvalidInputError(
            "Expected pictures=True with an output to write to, and a model on images of 1 or 3 "
            f"channels. Received: output={folder}, a {type(model).__name__} with "
            f"event_shape={model.event_shape}"
        )
    if model.context_size and not model.num_classes and rows.contexts is None:
        raise InvalidInputError(
            "Expected contexts to draw samples for with pictures=True. Received: a data set. Leave "
            "pictures out, and pass callbacks=[SampleGrid(folder, context=...)]."
        )
    num_samples, context = contexts_to_show(model, rows.contexts, _PICTURED)
    return SampleGrid(
        folder / PROGRESS,
        every=every,
        seconds=_PICTURE_SECONDS,
        num_samples=num_samples,
        context=context,
        seed=model.seed or 0,
        overwrite=True,
    )


def contexts_to_show(model: GenerativeModel, contexts: Any, n: int) -> tuple[int, Any]:
    """Return how many samples to show, up to n, and their contexts: all classes, or those given.

    Args:
        model: The model to draw from.
        contexts: Contexts there are, such as those of test rows; `None` for an unconditional model.
        n: Samples, at most.
    """
    if not model.context_size:
        return n, None
    if model.num_classes is not None:
        return n, np.arange(n) % model.num_classes
    return min(n, len(contexts)), contexts[:n]


class Recorder(keras.callbacks.Callback):
    """Keeps the figures of all epochs, also where training is interrupted or resumed."""

    def __init__(self):
        super().__init__()
        self.logs: dict[str, list[float]] = {}
        self.epoch_seconds: list[float] = []
        self.stopped = False
        self.best_epoch: int | None = None
        self._best = np.inf
        self._before, self._began = 0.0, time.perf_counter()

    def get_state(self):
        """Return what a checkpoint keeps."""
        return {
            "logs": self.logs,
            "seconds": self.total(),
            "epoch_seconds": self.epoch_seconds,
            "best": [self.best_epoch, self._best],
        }

    def set_state(self, state):
        """Take back what `get_state` returned."""
        self.logs, self._before = state["logs"], state["seconds"]
        # runs that version 0.1 began have none
        self.epoch_seconds = state.get("epoch_seconds", [])
        self.best_epoch, self._best = state.get("best", (None, np.inf))

    def total(self) -> float:
        """Return the seconds since training began, and those of the runs before."""
        return self._before + time.perf_counter() - self._began

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch_began = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.epoch_seconds.append(time.perf_counter() - self._epoch_began)
        for name, value in (logs or {}).items():
            self.logs.setdefault(name, []).append(float(value))
        loss = float((logs or {}).get("val_loss", np.inf))
        if loss < self._best:
            self.best_epoch, self._best = epoch + 1, loss

    def on_train_end(self, logs=None):
        self.stopped = self.model.stop_training


# Output


def _check_output(folder: Path, model: GenerativeModel, resume: bool, overwrite: bool) -> None:
    # in a cluster the first worker may be at work there
    if resume or overwrite or not is_chief(model.distribute_strategy):
        return
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputExistsError(
            f"Expected a new output. Received: output={str(folder)!r}, which exists. Choose "
            "another, or pass resume=True to go on with the run there, or overwrite=True."
        )


class _Clearing(keras.callbacks.Callback):
    """Takes a run of before away when nothing was refused and training begins."""

    def __init__(self, folder: Path):
        super().__init__()
        self._folder = folder

    def on_train_begin(self, logs=None):
        if is_chief(self.model.distribute_strategy):
            for name in (CHECKPOINTS, PROGRESS):
                shutil.rmtree(self._folder / name, ignore_errors=True)
