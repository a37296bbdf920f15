"""Keras callbacks."""

import signal
import threading
from collections.abc import Sequence

import keras

from genzoo.core.checks import check_int
from genzoo.core.errors import InvalidInputError
from genzoo.core.traits import WeighsDivergence


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
        InvalidInputError: On something that is no signal; from `fit` outside the main thread.

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
        if threading.current_thread() is not threading.main_thread():
            raise InvalidInputError(
                "Expected fit() in the main thread, the only one that Python lets listen for "
                f"signals. Received: {type(self).__name__} in another; leave it out there."
            )
        for number in self.signals:
            self._previous[number] = signal.signal(number, self._note)

    def on_train_batch_end(self, batch, logs=None):
        if self.received is not None:
            self.model.stop_training = True

    def on_fit_over(self) -> None:
        """Give the signals back, also where training ended in an exception."""
        self.restore()

    def on_train_end(self, logs=None):
        self.restore()

    def restore(self) -> None:
        """Give the signals back to whoever handled them before."""
        while self._previous:
            signal.signal(*self._previous.popitem())

    def _note(self, number, frame):
        self.received = signal.Signals(number)
        self.restore()


class KLWarmup(keras.callbacks.Callback):
    """Raises the weight of a VAE's KL divergence from 0 to 1, step by step in equal parts.

    A decoder that learns to use z before z costs anything leaves fewer latent values unused.
    Validation, and training after the last epoch, are at full weight.

    Args:
        epochs: Epochs until the weight is 1.

    Raises:
        InvalidInputError: For fewer epochs than 1, or with a model without a `kl_weight`.

    Example:

    >>> x = genzoo.data.load("digits").x_train
    >>> model = genzoo.VAE((8, 8, 1), hidden_units=(16,), seed=0)
    >>> warmup = genzoo.training.KLWarmup(epochs=2)
    >>> history = model.fit(x, epochs=3, callbacks=[warmup], verbose=0)
    >>> float(model.kl_weight.numpy())
    1.0

    Reference: Bowman et al., Generating sentences from a continuous space, 2016; Sonderby et al.,
    Ladder variational autoencoders, 2016.
    """

    def __init__(self, epochs: int = 10):
        super().__init__()
        self.epochs = check_int(epochs, "epochs")
        self._reached = 0.0

    def on_train_begin(self, logs=None):
        if not isinstance(self.model, WeighsDivergence):
            raise InvalidInputError(
                "Expected KLWarmup with a VAE. "
                f"Received: a {type(self.model).__name__}, which has no KL divergence to weigh."
            )

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        steps = (self.params or {}).get("steps")
        share = batch / steps if steps else 0.0
        self._reached = min((self._epoch + share) / self.epochs, 1.0)
        self.model.kl_weight.assign(self._reached)

    def on_test_begin(self, logs=None):
        self.model.kl_weight.assign(1.0)

    def on_train_end(self, logs=None):
        self.model.kl_weight.assign(1.0)
