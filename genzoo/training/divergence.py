"""What happens when training turns to NaN."""

import time
import warnings
from typing import Any

import keras
import numpy as np

from genzoo.core.checks import check_choice, check_int, check_number
from genzoo.core.errors import DivergenceWarning, InvalidInputError

_ON_NAN = ("stop", "backoff")
_REMEDIES = (
    "Usual remedies: a smaller learning rate (compile(Adam(1e-4))), clipped gradients "
    "(Adam(..., clipnorm=1.0)), data without extreme outliers, or dtype='float64'."
)


class DivergenceGuard(keras.callbacks.Callback):
    """Takes training back to its last good weights when loss or weights turn to NaN or infinity.

    It keeps a copy of weights and optimiser state in memory, taken at the beginning of epochs and
    every so many seconds; a copy is good when the loss of the step after it is finite. A
    `DivergenceWarning` names the step, the values that are not finite and the usual remedies.

    Args:
        on_nan: `"stop"` ends training; `"backoff"` goes on with a smaller learning rate.
        factor: `"backoff"`: the learning rate is multiplied by it, each time.
        max_backoffs: `"backoff"`: ends training after so many.
        every: Seconds between copies, at the least.

    Attributes:
        backoffs: Times that training was taken back.

    Raises:
        InvalidInputError: From `fit`, for `"backoff"` with a learning rate that follows a schedule.

    Example:

    >>> x = genzoo.data.toy("moons", 256, seed=0)
    >>> model = genzoo.RealNVP((2,), num_couplings=2, seed=0)
    >>> guard = genzoo.training.DivergenceGuard(on_nan="backoff")
    >>> history = model.fit(x, epochs=2, callbacks=[guard], verbose=0)
    >>> guard.backoffs
    0
    """

    def __init__(
        self,
        on_nan: str = "stop",
        *,
        factor: float = 0.3,
        max_backoffs: int = 10,
        every: float = 30.0,
    ):
        super().__init__()
        self.on_nan = check_choice(on_nan, _ON_NAN, "on_nan")
        self.factor = check_number(factor, "factor", exclusive=True)
        if self.factor >= 1.0:
            raise InvalidInputError(f"Expected factor below 1. Received: factor={factor!r}")
        self.max_backoffs = check_int(max_backoffs, "max_backoffs")
        self.every = check_number(every, "every")
        self.backoffs = 0

    def on_train_begin(self, logs=None):
        self.backoffs, self._steps = 0, 0
        if self.on_nan == "backoff":
            for optimizer in self._optimizers():
                if not hasattr(optimizer.learning_rate, "assign"):
                    raise InvalidInputError(
                        "Expected a learning rate that is a number with on_nan='backoff'. "
                        "Received: a schedule. Use on_nan='stop'."
                    )

    def on_fit_ready(self, callbacks) -> None:
        """Keep a first copy; a checkpoint may just have been read."""
        self._copy, self._candidate = self._values(), None
        self._copied_at = time.monotonic()

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch
        if self._steps:
            self._take()

    def on_train_batch_end(self, batch, logs=None):
        self._steps += 1
        bad = [name for name, value in (logs or {}).items() if not np.isfinite(value).all()]
        if bad:
            self._take_back(bad, f"epoch {self._epoch + 1}, step {batch + 1}")
            return
        if self._candidate is not None:
            self._copy, self._candidate = self._candidate, None
        if time.monotonic() - self._copied_at >= self.every:
            self._take()

    def _optimizers(self) -> list[Any]:
        return [optimizer for optimizer, _ in self.model._optimized()]

    def _variables(self) -> list[Any]:
        of_optimizers = [v for optimizer in self._optimizers() for v in optimizer.variables]
        return [*self.model.variables, *of_optimizers]

    def _values(self) -> list[np.ndarray]:
        return [keras.ops.convert_to_numpy(variable) for variable in self._variables()]

    def _take(self) -> None:
        self._candidate = self._values()
        self._copied_at = time.monotonic()

    def _take_back(self, logged: list[str], where: str) -> None:
        bad = [
            variable.path
            for variable in self.model.trainable_variables
            if not np.isfinite(keras.ops.convert_to_numpy(variable)).all()
        ]
        parts = f"weights {', '.join(bad[:3])}{' and more' if len(bad) > 3 else ''}" if bad else ""
        rates = [float(optimizer.learning_rate) for optimizer in self._optimizers()]
        self._candidate = None
        for variable, value in zip(self._variables(), self._copy, strict=True):
            variable.assign(value)
        self.model.reset_metrics()
        gives_up = self.on_nan == "stop" or self.backoffs >= self.max_backoffs
        if gives_up:
            self.model.stop_training = True
            then = "Training ends with the last good weights."
        else:
            self.backoffs += 1
            for optimizer, rate in zip(self._optimizers(), rates, strict=True):
                optimizer.learning_rate.assign(self.factor * rate)
            then = f"It goes on from the last good weights, the learning rate times {self.factor}."
        warnings.warn(
            f"Training diverged at {where}: {', '.join([*logged, parts] if parts else logged)} "
            f"not finite. {then} {_REMEDIES}",
            DivergenceWarning,
            stacklevel=2,
        )
