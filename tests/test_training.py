"""Callbacks."""

import os
import signal

import keras
import numpy as np
import pytest

import genzoo
from genzoo.core.errors import InvalidInputError


def test_a_signal_ends_fit_in_order():
    x = np.random.default_rng(0).normal(size=(256, 2)).astype("float32")
    model = genzoo.RealNVP(event_shape=(2,), num_couplings=2, seed=0)
    stop = genzoo.training.StopOnSignal()
    kill = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: (
            os.kill(os.getpid(), signal.SIGINT) if epoch == 2 else None
        )
    )
    before = signal.getsignal(signal.SIGINT)
    history = model.fit(
        x, validation_data=x, epochs=50, batch_size=64, callbacks=[stop, kill], verbose=0
    )
    assert stop.received == signal.SIGINT
    assert len(history.history["val_loss"]) == 3
    assert signal.getsignal(signal.SIGINT) is before


def test_what_is_no_signal_is_refused():
    with pytest.raises(InvalidInputError, match="Received: signals"):
        genzoo.training.StopOnSignal(["ctrl-c"])
