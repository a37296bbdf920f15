"""Keras callbacks."""

import signal
from collections.abc import Sequence

import keras

from genzoo.core.errors import InvalidInputError


class StopOnSignal(keras.callbacks.Callback):
    """Ends `fit` in order when the process is told to stop.

    The step in progress is finished, validation and the other callbacks run, and `fit` returns as
    it does after early stopping. An interrupt raised in the middle of a step would leave
    TensorFlow's own state half changed. A second signal is handled as it was before.

    Args:
        signals: What to listen for, numbers of the `signal` module. Default: Ctrl-C.

    Attributes:
        received: The signal that ended the last `fit`, or None.

    Raises:
        InvalidInputError: On something that is no signal.

    Example:

    >>> import genzoo, signal
    >>> import numpy as np
    >>> stop = genzoo.training.StopOnSignal([signal.SIGINT, signal.SIGTERM])
    >>> x = np.random.default_rng(0).normal(size=(64, 2)).astype("float32")
    >>> model = genzoo.RealNVP(event_shape=(2,), num_couplings=2, seed=0)
    >>> history = model.fit(x, epochs=1, callbacks=[stop], verbose=0)
    >>> stop.received is None
    True
    """

    def __init__(self, signals: Sequence[int] = (signal.SIGINT,)):
        super().__init__()
        try:
            self.signals = tuple(signal.Signals(number) for number in signals)
        except (TypeError, ValueError) as error:
            raise InvalidInputError(
                f"Expected signals such as [signal.SIGINT]. Received: signals={signals!r}"
            ) from error
        self.received = None
        self._previous = {}

    def on_train_begin(self, logs=None):
        self.received = None
        for number in self.signals:
            self._previous[number] = signal.signal(number, self._note)

    def on_train_batch_end(self, batch, logs=None):
        if self.received is not None:
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        self.restore()

    def restore(self) -> None:
        """Give the signals back to whoever handled them before."""
        while self._previous:
            signal.signal(*self._previous.popitem())

    def _note(self, number, frame):
        self.received = signal.Signals(number)
        self.restore()
