"""Callbacks, and what training leaves behind."""

import concurrent.futures
import gc
import os
import signal
import threading
import time
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf

import genzoo
from genzoo.core.errors import InvalidInputError
from genzoo.core.iterators import IteratorKeeper
from tests.tiny import tiny


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


def test_signals_are_for_the_main_thread():
    model = genzoo.NICE((2,), num_couplings=2, hidden_units=(4,), seed=0)
    x = genzoo.data.toy("moons", 64, seed=0)
    stop = genzoo.training.StopOnSignal()
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        fit = thread.submit(model.fit, x, epochs=1, callbacks=[stop], verbose=0)
    with pytest.raises(InvalidInputError, match="main thread"):
        fit.result()


class _Killed(Exception):
    pass


class _Kill(keras.callbacks.Callback):
    """Ends training after an epoch, as if the process died."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.epoch:
            raise _Killed


# the second is in its second phase when it is killed
@pytest.mark.parametrize("name", ["realnvp", "two_stage_vae"])
def test_training_resumes_from_a_backup(name, digits, tmp_path):
    """With the noise that it would have drawn; the order of rows starts anew."""
    x = digits.x_train[:256]

    def fit(model, *callbacks):
        model.fit(x, epochs=6, verbose=0, shuffle=False, callbacks=list(callbacks))
        return model

    whole = fit(tiny(name))
    with pytest.raises(_Killed):
        fit(tiny(name), keras.callbacks.BackupAndRestore(tmp_path / "backup"), _Kill(4))
    resumed = fit(tiny(name), keras.callbacks.BackupAndRestore(tmp_path / "backup"))
    for a, b in zip(whole.weights, resumed.weights, strict=True):
        np.testing.assert_allclose(np.array(a), np.array(b), atol=1e-6, err_msg=a.path)


@pytest.mark.parametrize("name", ["dcgan", "gaussian_mixture", "glow", "vae"])
def test_replicas_never_train_on_nothing(name, digits, two_devices):
    x = digits.x_train[:129]
    with two_devices.scope():
        model = tiny(name)
    stream = tf.data.Dataset.from_tensor_slices(x).batch(64)
    for data in (x, stream):
        history = model.fit(data, epochs=1, batch_size=64, verbose=0, validation_data=x).history
        assert all(np.isfinite(values).all() for values in history.values())
    assert all(np.isfinite(np.array(weight)).all() for weight in model.weights)


@pytest.mark.parametrize("name", ["nice", "maf", "vae", "gan", "gaussian_mixture"])
def test_a_model_that_is_dropped_leaves_memory(name):
    def use():
        model = tiny(name, event_shape=(2,))
        model.fit(x, epochs=1, verbose=0)
        model.sample(3, seed=0)
        if name != "gan":
            model.log_prob(x)
        return weakref.ref(model)

    def graphs():
        gc.collect()
        return sum(type(kept).__name__ == "FuncGraph" for kept in gc.get_objects())

    x = genzoo.data.toy("moons", 100, seed=0)
    # the first leaves what all of its form share
    use()
    before = graphs()
    left = use()
    # TensorFlow, TFP and Keras have registries that keep graphs, and with them all of a model's
    assert graphs() == before
    assert left() is None


def test_streams_of_wrong_contexts_are_refused():
    x = genzoo.data.toy("moons", 96, seed=0).astype("float32")
    labels = np.arange(96) % 3
    vectors = np.stack([x[:, 0]] * 3, axis=1)
    spoiled = vectors.copy()
    spoiled[90] = np.nan
    of_labels = (labels + 2, labels - 1, labels + 0.5, labels[:, None], np.eye(3)[labels])
    wrong = [({"num_classes": 3}, given) for given in of_labels]
    wrong += [({"context_dim": 3}, given) for given in (spoiled, vectors[:, :2])]
    for conditions, given in wrong:
        model = genzoo.RealNVP((2,), num_couplings=2, hidden_units=(4,), seed=0, **conditions)
        before = model.get_weights()
        stream = tf.data.Dataset.from_tensor_slices((x, given)).batch(32)
        with pytest.raises(genzoo.GenzooError, match="context"):
            model.fit(stream, epochs=1, verbose=0)
        assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_later_streams_are_checked_as_the_first():
    def stream(x):
        return tf.data.Dataset.from_tensor_slices(x).batch(32)

    x = np.arange(128, dtype=np.uint8).reshape(64, 2) % 4
    model = genzoo.NICE((2,), num_couplings=2, hidden_units=(4,), levels=4, seed=0)
    model.fit(stream(x), validation_data=stream(x), epochs=1, verbose=0)
    beyond = x.copy()
    beyond[60] = 4
    with pytest.raises(InvalidInputError, match="between 0 and levels - 1"):
        model.fit(stream(x), validation_data=stream(beyond), epochs=1, verbose=0)
    with pytest.raises(InvalidInputError, match="between 0 and levels - 1"):
        model.fit(stream(beyond[32:]), epochs=1, verbose=0)
    reals = tf.data.Dataset.from_tensor_slices(np.full((64, 2), np.nan, "float32")).batch(32)
    model = genzoo.NICE((2,), num_couplings=2, hidden_units=(4,), seed=0)
    with pytest.raises(InvalidInputError, match="finite"):
        model.fit(x.astype("float32"), validation_data=reals, epochs=1, verbose=0)


def test_names_of_variables_repeat_where_weights_are_saved(tmp_path):
    """TensorFlow keeps a kernel for good for each name that a variable has had."""
    made = set()

    def note(next_creator, **arguments):
        variable = next_creator(**arguments)
        made.add(variable.name)
        return variable

    model = genzoo.NICE((2,), num_couplings=2, hidden_units=(4,), seed=0)
    model.fit(genzoo.data.toy("moons", 64, seed=0), epochs=1, verbose=0)
    sizes = []
    for _ in range(3):
        with tf.variable_creator_scope(note):
            model.save(tmp_path / "model.keras")
            model.save_weights(tmp_path / "model.weights.h5")
            model.load_weights(tmp_path / "model.weights.h5")
            genzoo.pretrained.load_file(tmp_path / "model.keras")
        sizes.append(len(made))
    assert sizes[0] == sizes[2]


def test_what_compile_and_validation_do_not_take_is_refused():
    x = genzoo.data.toy("moons", 64, seed=0)
    for given in ({"loss": "mse"}, {"metrics": ["mae"]}, {"loss_weights": [2.0]}):
        model = genzoo.NICE((2,), num_couplings=2, hidden_units=(4,), seed=0)
        with pytest.raises(genzoo.GenzooError, match=f"without {next(iter(given))}"):
            model.compile("sgd", **given)
    model = genzoo.NICE((2,), num_couplings=2, hidden_units=(4,), seed=0)
    with pytest.raises(genzoo.GenzooError, match="a tuple of 4"):
        model.fit(x, validation_data=(x, None, np.ones(64), 1), epochs=1, verbose=0)


def test_iterators_are_dropped_where_nobody_waits():
    dropped = []

    class Iterator:
        def __init__(self, number):
            self.number = number

        def __del__(self):
            thread = threading.current_thread()
            # Python aborts where it ends before a thread that is to take its lock again
            dropped.append((self.number, thread is threading.main_thread() or thread.daemon))

    keeper = IteratorKeeper()
    step = keeper.watch(lambda iterator: iterator.number)
    first = Iterator(1)
    assert [step(first), step(first)] == [1, 1]
    # as Keras does at the end of an epoch
    del first
    assert dropped == []
    assert step(Iterator(2)) == 2
    keeper.let_go()
    keeper.let_go()
    for _ in range(100):
        if len(dropped) == 2:
            break
        time.sleep(0.02)
    assert sorted(dropped) == [(1, False), (2, False)]


def test_every_iterator_that_steps_read_reaches_the_keeper(digits, two_devices, monkeypatch):
    kept = []

    class Keeper(IteratorKeeper):
        def let_go(self):
            kept.append(self._iterator)
            super().let_go()

    monkeypatch.setattr("genzoo.core.training.IteratorKeeper", Keeper)
    with two_devices.scope():
        model = genzoo.NICE((8, 8, 1), num_couplings=2, hidden_units=(4,), seed=0)
    x = digits.x_train[:64]
    model.fit(x, epochs=3, batch_size=32, validation_data=x, verbose=0)
    seen = {id(iterator) for iterator in kept if iterator is not None}
    # one an epoch of training, and one or more of validation
    assert len(seen) >= 4
    assert all(keeper._iterator is None for keeper in model._iterators.values())
