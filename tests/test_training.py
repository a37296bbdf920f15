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
import pandas as pd
import pytest
import tensorflow as tf

import genzoo
from genzoo.core.engine.iterators import IteratorKeeper
from genzoo.core.errors import InvalidInputError
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

    monkeypatch.setattr("genzoo.core.model.IteratorKeeper", Keeper)
    with two_devices.scope():
        model = genzoo.NICE((8, 8, 1), num_couplings=2, hidden_units=(4,), seed=0)
    x = digits.x_train[:64]
    model.fit(x, epochs=3, batch_size=32, validation_data=x, verbose=0)
    seen = {id(iterator) for iterator in kept if iterator is not None}
    # one an epoch of training, and one or more of validation
    assert len(seen) >= 4
    assert all(keeper._iterator is None for keeper in model._iterators.values())


# The recipe


def small(event_shape=(2,), **arguments):
    return genzoo.NICE(event_shape, num_couplings=2, hidden_units=(8,), seed=0, **arguments)


def test_the_recipe_stops_early_with_the_best_weights():
    x = genzoo.data.toy("moons", 200, seed=0).astype("float32")
    model = small()
    model.compile(keras.optimizers.Adam(0.1))
    rates = []
    watch = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: rates.append(float(model.optimizer.learning_rate))
    )
    result = genzoo.training.train(model, x, patience=3, callbacks=watch, verbose=0)
    losses = result.history["val_loss"]
    assert result.stopped_early
    assert result.epochs == len(losses) == len(result.epoch_seconds) < 200
    assert result.best_epoch == int(np.argmin(losses)) + 1 == result.epochs - 3
    assert 0 < sum(result.epoch_seconds) <= result.seconds
    # the last tenth is held out, and the model has the weights that were best there
    assert -model.score(x[180:]) == pytest.approx(min(losses), rel=1e-5)
    # halved after a third of the patience
    assert len(set(rates)) > 1
    again = genzoo.training.train(
        small(), x, patience=3, reduce_lr=False, epochs=4, validation_freq=2, verbose=0
    )
    assert again.epochs == 4 and not again.stopped_early
    # looked at after the second and the fourth
    assert len(again.history["val_loss"]) == 2 and again.best_epoch == 4


def test_the_recipe_is_what_fit_makes_of_its_parts():
    x = genzoo.data.toy("moons", 200, seed=0).astype("float32")
    stop = keras.callbacks.EarlyStopping(patience=4, restore_best_weights=True)
    slow = keras.callbacks.ReduceLROnPlateau(factor=0.5, patience=1)
    by_hand, by_recipe = small(), small()
    history = by_hand.fit(x, epochs=8, validation_split=0.1, callbacks=[stop, slow], verbose=0)
    result = genzoo.training.train(by_recipe, x, epochs=8, patience=4, verbose=0)
    for name, values in history.history.items():
        np.testing.assert_array_equal(values, result.history[name], err_msg=name)
    for a, b in zip(by_hand.weights, by_recipe.weights, strict=True):
        np.testing.assert_array_equal(np.array(a), np.array(b))


def test_a_seed_draws_the_rows_that_are_held_out():
    # in the order of their classes, of which the last rows are one
    x = np.repeat([[-5.0, 0.0], [5.0, 0.0]], 100, axis=0) + genzoo.data.toy("moons", 200, seed=0)
    labels = np.repeat([0, 1], 100)
    order = np.random.default_rng(3).permutation(200)
    held, kept = order[:20], order[20:]
    by_hand, by_recipe = small(num_classes=2), small(num_classes=2)
    history = by_hand.fit(
        x[kept], labels[kept], validation_data=(x[held], labels[held]), epochs=2, verbose=0
    )
    result = genzoo.training.train(by_recipe, (x, labels), epochs=2, seed=3, verbose=0)
    assert result.history["val_loss"] == history.history["val_loss"]
    weighed = genzoo.training.train(
        small(num_classes=2), (x, labels), epochs=2, seed=3, sample_weight=np.ones(200), verbose=0
    )
    np.testing.assert_allclose(weighed.history["val_loss"], result.history["val_loss"], rtol=1e-5)


def test_the_recipe_takes_all_kinds_of_data(digits):
    data = genzoo.data.load("moons", seed=0)
    stream = tf.data.Dataset.from_tensor_slices(data.x_train).batch(64)
    table = pd.DataFrame(data.x_train)
    for given, more in (
        (data, {}),
        (table, {"seed": 0}),
        (list(data.x_train), {"seed": 0}),
        (tf.constant(data.x_train), {"seed": 0}),
        (stream, {"validation_data": data.x_test}),
    ):
        result = genzoo.training.train(small(), given, epochs=2, verbose=0, **more)
        assert len(result.history["val_loss"]) == 2
    model = small((8, 8, 1), num_classes=10)
    genzoo.training.train(model, digits, epochs=1, verbose=0)
    kept = int(0.9 * len(digits.y_train))
    assert model.class_counts == np.bincount(digits.y_train[:kept]).tolist()
    without = genzoo.training.train(small(), stream, validation_split=0, epochs=2, verbose=0)
    assert without.best_epoch is None and without.epochs == 2
    walks = [np.random.default_rng(i).normal(size=(9, 1)) for i in range(20)]
    chain = genzoo.HiddenMarkovModel((1,), num_states=2, seed=0)
    assert genzoo.training.train(chain, walks, epochs=3, verbose=0).best_epoch


def test_a_run_of_the_recipe_goes_on_where_it_was(tmp_path):
    x = genzoo.data.toy("moons", 200, seed=0).astype("float32")

    def run(folder, epochs, *callbacks, **arguments):
        model = small()
        result = genzoo.training.train(
            model, x, epochs=epochs, output=folder, checkpoint_every=0, callbacks=list(callbacks),
            verbose=0, **arguments,
        )  # fmt: skip
        return model, result

    whole, of_whole = run(tmp_path / "whole", 6)
    with pytest.raises(_Killed):
        run(tmp_path / "killed", 6, _Kill(3))
    with pytest.raises(genzoo.GenzooError, match="resume=True"):
        run(tmp_path / "killed", 6)
    resumed, of_resumed = run(tmp_path / "killed", 6, resume=True)
    assert of_resumed.history == of_whole.history
    assert of_resumed.best_epoch == of_whole.best_epoch
    assert len(of_resumed.epoch_seconds) == 6
    for a, b in zip(whole.weights, resumed.weights, strict=True):
        np.testing.assert_array_equal(np.array(a), np.array(b))
    _, anew = run(tmp_path / "killed", 2, overwrite=True)
    assert anew.epochs == 2
    assert anew.history["loss"] == of_whole.history["loss"][:2]


def test_adversarial_models_train_for_all_epochs_and_show_what_they_make(digits, tmp_path):
    model = tiny("dcgan")
    with pytest.raises(genzoo.GenzooError, match="Expected pictures=True with an output"):
        genzoo.training.train(model, digits, pictures=True)
    result = genzoo.training.train(
        model, digits.x_train[:128], epochs=3, output=tmp_path / "run", pictures=True, verbose=0
    )
    assert result.epochs == 3 and not result.stopped_early and result.best_epoch is None
    assert "coverage" in result.history and "val_generator_loss" not in result.history
    assert (tmp_path / "run" / "progress" / "epoch_0003.png").exists()


def test_pairs_of_a_data_set_are_turned_from_the_context(tmp_path):
    images = genzoo.data.load("digits", seed=0).x_train[:40]
    colours = np.repeat(16 - images, 3, axis=3)
    np.savez(tmp_path / "pairs.npz", x=images, context=colours)
    data = genzoo.data.load(tmp_path / "pairs.npz", seed=0)
    model = tiny("pix2pix", source_shape=(8, 8, 3))
    genzoo.training.train(model, data, epochs=1, verbose=0)
    assert model.translate(data.context_test).shape == data.x_test.shape
    again = tiny("pix2pix", source_shape=(8, 8, 3))
    genzoo.training.train(again, (data.context_train, data.x_train), epochs=1, verbose=0)
    np.testing.assert_array_equal(
        model.translate(data.context_test), again.translate(data.context_test)
    )


def test_what_the_recipe_does_not_take_is_refused(tmp_path):
    x = genzoo.data.toy("moons", 100, seed=0)
    stream = tf.data.Dataset.from_tensor_slices(x).batch(10)
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "letter.txt").write_text("dear")
    wrong = {
        "a genzoo model": lambda: genzoo.training.train(keras.Sequential(), x),
        "model='nice'": lambda: genzoo.training.train("nice", x),
        "model=<class": lambda: genzoo.training.train(genzoo.NICE, x),
        "a tuple of 3": lambda: genzoo.training.train(small(), (x, None, x)),
        "validation_split=2": lambda: genzoo.training.train(small(), x, validation_split=2),
        "validation_split=1.0": lambda: genzoo.training.train(small(), x, validation_split=1.0),
        "validation_split=0.001": lambda: genzoo.training.train(
            small(), x, validation_split=0.001, seed=0
        ),
        "not both": lambda: genzoo.training.train(
            small(), x, validation_split=0.5, validation_data=x
        ),
        "patience=-1": lambda: genzoo.training.train(small(), x, patience=-1),
        "epochs=0": lambda: genzoo.training.train(small(), x, epochs=0),
        "on_nan='ignore'": lambda: genzoo.training.train(small(), x, on_nan="ignore"),
        "reduce_lr=0.5": lambda: genzoo.training.train(small(), x, reduce_lr=0.5),
        "validation_data beside": lambda: genzoo.training.train(small(), stream),
        "Leave the seed out": lambda: genzoo.training.train(
            small(), stream, validation_data=x, seed=0
        ),
        "seed=0 with NoneType": lambda: genzoo.training.train(small(), None, seed=0),
        "numbers": lambda: genzoo.training.train(small(), None, verbose=0),
        "seed='a'": lambda: genzoo.training.train(small(), x, seed="a"),
        "kept', which exists": lambda: genzoo.training.train(small(), x, output=tmp_path / "kept"),
        "Did you mean 'callbacks'": lambda: genzoo.training.train(small(), x, calbacks=[]),
        "on images": lambda: genzoo.training.train(
            small(), x, output=tmp_path / "new", pictures=True
        ),
        "NaN in row 0": lambda: genzoo.training.train(
            small(), x * np.nan, output=tmp_path / "new", verbose=0
        ),
    }
    for message, call in wrong.items():
        with pytest.raises(genzoo.GenzooError, match=message):
            call()
            pytest.fail(f"passed: {message}")
    assert not (tmp_path / "new").exists()
    assert (tmp_path / "kept" / "letter.txt").read_text() == "dear"
    # what lies beside a run stays
    genzoo.training.train(small(), x, epochs=1, output=tmp_path / "kept", overwrite=True, verbose=0)
    assert (tmp_path / "kept" / "letter.txt").exists()
