"""What happens when training diverges."""

import time
import warnings
from typing import Any

import keras
import numpy as np

from genzoo.core.checks import check_choice, check_int, check_number
from genzoo.core.errors import DivergenceWarning, InvalidInputError

_ON_NAN = ("stop", "backoff")
# nats a value of the data above the lowest loss: each is then e^5 times less likely than it was
_RISE = 5.0
_REMEDIES = (
    "Usual remedies: a smaller learning rate (compile(Adam(1e-4))), clipped gradients "
    "(Adam(..., clipnorm=1.0)), data without extreme outliers, or dtype='float64'."
)


class DivergenceGuard(keras.callbacks.Callback):
    """Takes training back to its last good weights when it diverges.

    It does when loss or weights turn to NaN or infinity, or when the loss, in nats, explodes: when
    all steps of the second half of an epoch end more than 5 nats a value of the data above the
    lowest loss that there was. It keeps a copy of weights and optimiser state in memory, taken at
    the beginning of epochs and every so many seconds; a copy is good when the step after it is. A
    `DivergenceWarning` names the step, what went wrong and the usual remedies.

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
        self._lowest = np.inf

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch
        self._losses, self._start, self._count, self._total = [], 0, 0, 0.0
        if self._steps:
            self._take()

    def on_train_batch_end(self, batch, logs=None):
        self._steps += 1
        bad = [name for name, value in (logs or {}).items() if not np.isfinite(value).all()]
        if bad:
            self._take_back(f"{', '.join(bad)} not finite", f", step {batch + 1}")
            # the mean that Keras tells of begins anew
            self._start, self._count, self._total = batch + 1, 0, 0.0
            return
        if self._follow(batch + 1, logs or {}) and self._candidate is not None:
            self._copy, self._candidate = self._candidate, None
        if time.monotonic() - self._copied_at >= self.every:
            self._take()

    def on_epoch_end(self, epoch, logs=None):
        late = min(self._losses[len(self._losses) // 2 :], default=-np.inf)
        if late > self._lowest + self._rise():
            self._take_back(f"the loss rose from {self._lowest:.4g} to {late:.4g}", "")
        elif self._count:
            self._lowest = min(self._lowest, self._total / self._count)

    def _follow(self, count: int, logs: dict[str, Any]) -> bool:
        """Note the loss of the steps since the last call; return whether it is a sound one."""
        if "loss" not in logs or not self._optimizers():
            # adversarial training, or EM
            return True
        # Keras tells of the mean since the epoch began
        count -= self._start
        total = float(np.mean(logs["loss"])) * count
        loss = (total - self._total) / max(count - self._count, 1)
        self._losses.append(loss)
        self._count, self._total = count, total
        if not np.isfinite(self._lowest):
            self._lowest = loss
        return loss <= self._lowest + self._rise()

    def _rise(self) -> float:
        return _RISE * self.model.event_size

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

    def _take_back(self, what: str, step: str) -> None:
        bad = [
            variable.path
            for variable in self.model.trainable_variables
            if not np.isfinite(keras.ops.convert_to_numpy(variable)).all()
        ]
        if bad:
            what += (
                f", weights {', '.join(bad[:3])}{' and more' if len(bad) > 3 else ''} not finite"
            )
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
            f"Training diverged at epoch {self._epoch + 1}{step}: {what}. {then} {_REMEDIES}",
            DivergenceWarning,
            stacklevel=2,
        )
