"""Checkpoints of training: a run that is killed goes on where it was."""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from genzoo.core.checks import check_int, check_number
from genzoo.core.compat.keras import TrainStepStandIn, start_at_epoch
from genzoo.core.engine.replicas import in_cluster, is_chief
from genzoo.core.errors import CheckpointWarning, InvalidInputError

_WEIGHTS, _ARRAYS, _STATE = "model.weights.h5", "arrays.npz", "state.json"
_PARTIAL = ".partial-"
# what Keras's callbacks know beside their arguments
_KERAS_CALLBACKS = {
    keras.callbacks.EarlyStopping: (
        "wait", "best", "best_weights", "best_epoch", "stopped_epoch",
    ),
    keras.callbacks.ReduceLROnPlateau: ("wait", "best", "cooldown_counter"),
    keras.callbacks.ModelCheckpoint: ("best",),
}  # fmt: skip


class Checkpoint(keras.callbacks.Callback):
    """Saves the state of training as `fit` goes on, and goes on from it.

    The state is all that decides what comes next: weights, optimisers, random state, the place in
    the data, running metrics, and what `EarlyStopping`, `ReduceLROnPlateau` and genzoo's own
    callbacks remember. On one device a run that was killed and resumed ends in the weights of one
    that was not, bit for bit, where its data come in the same order again: arrays do under a
    `seed`; a `tf.data.Dataset` by its own. A checkpoint appears as a whole or not at all. One that
    is damaged is passed over, with a warning, for the one before.

    In a cluster the first worker writes, at the beginning of epochs, and all workers need to see
    the folder.

    Args:
        folder: Where checkpoints lie; made if missing.
        every: Seconds between checkpoints, at the least; 0 for one after each step.
        keep: Checkpoints to keep.
        resume: Whether `fit` goes on from the newest good checkpoint, if there is one. Otherwise
            a folder that holds some is refused.

    Attributes:
        resumed_from: (epoch, step) that the last `fit` went on from, or `None`.

    Raises:
        InvalidInputError: From `fit`, for a folder of checkpoints without `resume`, or those of
            another model, other optimisers, or another number of steps an epoch.

    Example:

    >>> import tempfile
    >>> x = genzoo.data.toy("moons", 256, seed=0)
    >>> folder = tempfile.mkdtemp()
    >>> def train(epochs):
    ...     model = genzoo.RealNVP((2,), num_couplings=2, seed=0)
    ...     checkpoint = genzoo.training.Checkpoint(folder, resume=True)
    ...     history = model.fit(x, epochs=epochs, callbacks=[checkpoint], verbose=0)
    ...     return len(history.epoch)
    >>> train(2), train(5)
    (2, 3)
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        *,
        every: float = 60.0,
        keep: int = 2,
        resume: bool = False,
    ):
        super().__init__()
        self.folder = Path(folder)
        self.every = check_number(every, "every")
        self.keep = check_int(keep, "keep")
        self.resume = resume
        self.resumed_from: tuple[int, int] | None = None
        self._others: list[keras.callbacks.Callback] = []

    # Keras's hooks

    def on_fit_ready(self, callbacks: Sequence[keras.callbacks.Callback]) -> None:
        """Go on from a checkpoint; called when all callbacks have begun."""
        self._others = [c for c in callbacks if c is not self]
        self._damaged: list[Path] = []
        self.resumed_from = self._pending = self._skipping = None
        self._interrupted = False
        self._saved_at = time.monotonic()
        self._epoch = self._batch = 0
        found = self._candidates()
        if found and not self.resume:
            raise InvalidInputError(
                "Expected a folder without checkpoints, or resume=True to go on from them. "
                f"Received: folder={str(self.folder)!r} with {len(found)} of them"
            )
        for path in found:
            try:
                state, arrays = _read(path)
            except (OSError, ValueError, KeyError) as error:
                warnings.warn(
                    f"The checkpoint {path} is damaged ({error}); going on from the one before.",
                    CheckpointWarning,
                    stacklevel=2,
                )
                self._damaged.append(path)
                continue
            self._restore(path, state, arrays)
            return

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch, self._batch = epoch, 0
        if self._pending is None:
            # all callbacks have ended the epoch before, and none has begun a new phase
            self._save_in_time()

    def on_epoch_ready(self, epoch: int) -> None:
        """Go to the place in the data; called when all callbacks have begun the epoch."""
        if self._pending is None:
            return
        batches, metrics = self._pending
        self._pending = None
        self._batch = batches
        if batches:
            for variable, value in zip(self.model.metrics_variables, metrics, strict=True):
                variable.assign(value)
            self._skip(batches)

    def on_train_batch_end(self, batch, logs=None):
        if self._skipping is not None and self._skipping.runs:
            return
        self._batch = batch + 1
        if not self.model.saves_within_epochs or in_cluster(self.model.distribute_strategy):
            self._interrupted = self.model.stop_training
        elif self.model.stop_training:
            # told to stop: what follows belongs to an epoch that is not over
            self._interrupted = True
            self._save(finished=False)
        else:
            self._save_in_time()

    def on_fit_over(self) -> None:
        """Leave nothing to the next `fit`, also where this one was interrupted."""
        if self._skipping is not None:
            self._skipping.end()

    def on_epoch_over(self, epoch: int) -> None:
        """Save the end, called when all callbacks have ended the epoch.

        What they do when training ends, such as restoring the best weights, is not the state from
        which a longer run goes on.
        """
        ends = self.model.stop_training or epoch + 1 >= self.params["epochs"]
        if ends and not self._interrupted:
            self._epoch, self._batch = epoch + 1, 0
            self._save(finished=self.model.stop_training)

    # Saving

    def _save_in_time(self):
        if time.monotonic() - self._saved_at >= self.every or in_cluster(
            self.model.distribute_strategy
        ):
            self._save(finished=False)

    def _save(self, finished: bool) -> None:
        arrays = {f"metric_{i}": v.numpy() for i, v in enumerate(self.model.metrics_variables)}
        state = {
            "model": self.model.registered_name,
            "config": self._config(),
            **self._surroundings(),
            "epoch": self._epoch,
            "batch": self._batch,
            "finished": finished,
            "callbacks": self._callback_states(arrays),
        }
        self._saved_at = time.monotonic()
        if not is_chief(self.model.distribute_strategy):
            # some variables are sums over workers, which all of them have to read
            with tempfile.TemporaryDirectory() as aside:
                self.model.save_weights(Path(aside) / _WEIGHTS)
            return
        try:
            self._write(state, arrays)
        except OSError as error:
            warnings.warn(
                f"No checkpoint could be written to {self.folder} ({error}); training goes on, "
                "and the last one stays.",
                CheckpointWarning,
                stacklevel=2,
            )

    def _write(self, state, arrays) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=self.folder))
        try:
            self.model.save_weights(partial / _WEIGHTS)
            np.savez(partial / _ARRAYS, **arrays)
            digests = {name: _digest(partial / name) for name in (_WEIGHTS, _ARRAYS)}
            (partial / _STATE).write_text(json.dumps({**state, "sha256": digests}))
            for path in [*partial.iterdir(), partial]:
                _flush(path)
            path = self.folder / f"epoch-{state['epoch']:06d}-step-{state['batch']:08d}"
            if path.exists():
                shutil.rmtree(path)
            partial.rename(path)
            _flush(self.folder)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        # damaged ones of later epochs would stand before what is written from now on
        sound = [path for path in self._candidates() if path not in self._damaged]
        for old in [*sound[self.keep :], *self._damaged]:
            shutil.rmtree(old, ignore_errors=True)
        self._damaged.clear()
        for left in self.folder.glob(f"{_PARTIAL}*"):
            # of a run that was killed as it wrote
            shutil.rmtree(left, ignore_errors=True)

    def _config(self) -> dict[str, Any]:
        config = _jsonable(self.model.get_config())
        # Keras numbers the models of a process
        del config["name"]
        return config

    def _surroundings(self) -> dict[str, Any]:
        """Return what the saved state would not fit without."""
        optimizers = [type(optimizer).__name__ for optimizer, _ in self.model._optimized()]
        return {"optimizers": optimizers, "steps an epoch": self.params["steps"]}

    def _candidates(self) -> list[Path]:
        """Return checkpoints, newest first."""
        return sorted(self.folder.glob("epoch-*-step-*"), reverse=True)

    def _callback_states(self, arrays) -> list[dict[str, Any]]:
        """Return what each callback remembers; put its arrays among `arrays`."""
        states = []
        for i, callback in enumerate(self._others):
            state = {}
            for name, value in _memory(callback).items():
                is_arrays = isinstance(value, list) and any(
                    isinstance(v, np.ndarray) for v in value
                )
                if is_arrays:
                    arrays.update({f"callback_{i}_{name}_{j}": v for j, v in enumerate(value)})
                    value = {"arrays": len(value)}
                state[name] = _jsonable(value)
            states.append({"class": type(callback).__name__, "state": state})
        return states

    # Resuming

    def _restore(self, path, state, arrays) -> None:
        config = self._config()
        if (state["model"], state["config"]) != (self.model.registered_name, config):
            raise InvalidInputError(
                "Expected the checkpoint of a model built with the same arguments. Received: "
                f"{path}, of {state['model']}; different are "
                f"{_differences(state['config'], config)}"
            )
        surroundings = self._surroundings()
        saved = {name: state.get(name) for name in surroundings}
        if saved != surroundings:
            raise InvalidInputError(
                "Expected to go on with the optimisers, the data and the batch size that the "
                f"checkpoint was made with. Received: {path}; different are "
                f"{_differences(saved, surroundings)}"
            )
        self.model.load_weights(path / _WEIGHTS)
        left = list(enumerate(state["callbacks"]))
        for callback in self._others:
            # others may have come or gone since
            same = [entry for entry in left if entry[1]["class"] == type(callback).__name__]
            if not same:
                continue
            left.remove(same[0])
            i, saved = same[0]
            memory = {}
            for name, value in saved["state"].items():
                if isinstance(value, dict) and set(value) == {"arrays"}:
                    value = [arrays[f"callback_{i}_{name}_{j}"] for j in range(value["arrays"])]
                memory[name] = value
            _remember(callback, memory)
        self.resumed_from = state["epoch"], state["batch"]
        metrics = [arrays[f"metric_{i}"] for i in range(len(self.model.metrics_variables))]
        self._epoch = state["epoch"]
        start_at_epoch(self.model, self.params["epochs"] if state["finished"] else state["epoch"])
        if state["finished"]:
            self.model.stop_training = True
        self._pending = state["batch"], metrics

    def _skip(self, batches: int) -> None:
        """Let the next steps pass by until the data have come to where they were."""
        model = self.model

        def skip(iterator):
            for _ in range(model.steps_per_execution):
                with contextlib.suppress(StopIteration, tf.errors.OutOfRangeError):
                    next(iterator)
            return model.get_metrics_result()

        calls = -(-batches // model.steps_per_execution)
        self._skipping = TrainStepStandIn(model, skip, calls)


def _memory(callback: keras.callbacks.Callback) -> dict[str, Any]:
    if hasattr(callback, "get_state"):
        return callback.get_state()
    for cls, names in _KERAS_CALLBACKS.items():
        if isinstance(callback, cls):
            return {name: getattr(callback, name) for name in names if hasattr(callback, name)}
    return {}


def _remember(callback: keras.callbacks.Callback, memory: dict[str, Any]) -> None:
    if hasattr(callback, "set_state"):
        callback.set_state(memory)
        return
    for name, value in memory.items():
        setattr(callback, name, value)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    state = json.loads((path / _STATE).read_text())
    for name, digest in state["sha256"].items():
        if _digest(path / name) != digest:
            raise ValueError(f"{name} is not what was written")
    with np.load(path / _ARRAYS) as arrays:
        return state, dict(arrays)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _jsonable(value: Any) -> Any:
    return json.loads(json.dumps(value, default=_plain))


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else repr(value)


def _differences(first: dict[str, Any], second: dict[str, Any]) -> str:
    names = [name for name in {**first, **second} if first.get(name) != second.get(name)]
    return ", ".join(f"{n} ({first.get(n)!r}, now {second.get(n)!r})" for n in names) or "the class"
