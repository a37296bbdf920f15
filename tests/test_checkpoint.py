"""Runs that are killed go on; runs that turn to NaN are taken back."""

import contextlib
import os
import signal
import subprocess
import sys
import warnings

import keras
import numpy as np
import pytest

import genzoo
from genzoo.core.engine.adam import Adam
from genzoo.core.errors import CheckpointWarning, DivergenceWarning
from genzoo.training import Checkpoint, DivergenceGuard
from tests.tiny import tiny

# one of each way of training: one loss, two losses, two phases, EM
MODELS = ["nice", "gan", "two_stage_vae", "gaussian_mixture"]


class Killed(Exception):
    pass


class Kill(keras.callbacks.Callback):
    """Ends the process' part in training at a step, as a signal would."""

    def __init__(self, step):
        super().__init__()
        self.left = step

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            raise Killed


def train(folder, name="nice", kill=None, epochs=4, callbacks=(), every=0.0, **arguments):
    x = genzoo.data.toy("moons", 300, seed=0)
    model = tiny(name, event_shape=(2,), **arguments)
    if model._default_optimizer() is not None:
        model.compile(model._default_optimizer(), steps_per_execution=2)
    early = keras.callbacks.EarlyStopping(monitor="loss", patience=2, restore_best_weights=True)
    checkpoint = Checkpoint(folder, every=every, resume=True)
    own = [] if kill is None else [Kill(kill)]
    history = None
    with contextlib.suppress(Killed):
        history = model.fit(
            x, epochs=epochs, batch_size=64, verbose=0,
            callbacks=[*([early] if name == "nice" else []), *callbacks, checkpoint, *own],
        )  # fmt: skip
    return model, history, checkpoint


def same(first, second):
    for a, b in zip(first.variables, second.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=a.path)


@pytest.mark.parametrize("name", MODELS)
def test_a_killed_run_ends_in_the_same_weights(name, tmp_path):
    whole, history, _ = train(tmp_path / "whole", name)
    train(tmp_path / "killed", name, kill=7)
    resumed, rest, checkpoint = train(tmp_path / "killed", name)
    assert checkpoint.resumed_from is not None
    assert checkpoint.resumed_from > (0, 0)
    same(whole, resumed)
    for (_, first), (_, second) in zip(
        *([(o, v) for o, vs in m._optimized() for v in o.variables] for m in (whole, resumed)),
        strict=True,
    ):
        np.testing.assert_array_equal(first.numpy(), second.numpy())
    # the epoch that was broken off logs what the whole one did
    for key, values in rest.history.items():
        np.testing.assert_array_equal(values, history.history[key][-len(values) :])


def test_many_kills_at_random_steps(tmp_path):
    whole, _, _ = train(tmp_path / "whole", epochs=6)
    random = np.random.default_rng(0)
    kills = 0
    for _ in range(30):
        model, history, _ = train(tmp_path / "killed", kill=int(random.integers(1, 8)), epochs=6)
        if history is not None:
            break
        kills += 1
    assert kills > 3
    same(whole, model)


def test_a_damaged_checkpoint_is_passed_over(tmp_path):
    train(tmp_path, kill=9)
    newest, before = sorted(tmp_path.glob("epoch-*"), reverse=True)
    weights = newest / "model.weights.h5"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.warns(CheckpointWarning, match="damaged"):
        _, _, checkpoint = train(tmp_path, kill=1)
    assert before.name == "epoch-{:06d}-step-{:08d}".format(*checkpoint.resumed_from)


def test_damaged_checkpoints_do_not_stand_in_the_way_of_new_ones(tmp_path):
    train(tmp_path, kill=9)
    for path in tmp_path.glob("epoch-*"):
        (path / "model.weights.h5").write_bytes(b"")
    with pytest.warns(CheckpointWarning, match="damaged"):
        train(tmp_path, kill=4)
    with warnings.catch_warnings():
        warnings.simplefilter("error", CheckpointWarning)
        _, _, checkpoint = train(tmp_path, kill=1)
    assert checkpoint.resumed_from is not None


def test_an_interrupted_fit_leaves_nothing_to_the_next(tmp_path):
    train(tmp_path, epochs=3)
    stop = genzoo.training.StopOnSignal()
    before = signal.getsignal(signal.SIGINT)
    model, history, checkpoint = train(tmp_path, kill=2, epochs=6, callbacks=[stop])
    assert history is None and checkpoint.resumed_from == (3, 0)
    assert signal.getsignal(signal.SIGINT) is before
    assert len(model.fit(genzoo.data.toy("moons", 64, seed=0), epochs=2, verbose=0).epoch) == 2


def test_a_disk_that_is_full_does_not_end_training(tmp_path, monkeypatch):
    def full(*arguments, **named):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keras.Model, "save_weights", full)
    with pytest.warns(CheckpointWarning, match="No space left"):
        _, history, _ = train(tmp_path, epochs=2)
    assert len(history.history["loss"]) == 2
    assert not list(tmp_path.iterdir())


def test_checkpoints_are_not_mixed_up(tmp_path):
    train(tmp_path, epochs=1)
    with pytest.raises(genzoo.GenzooError, match="num_couplings"):
        train(tmp_path, num_couplings=2)
    with pytest.raises(genzoo.GenzooError, match="resume=True"):
        x = genzoo.data.toy("moons", 300, seed=0)
        tiny("nice", event_shape=(2,)).fit(x, callbacks=[Checkpoint(tmp_path)], verbose=0)
    for optimizer, batch_size, different in (("sgd", 64, "SGD"), ("adam", 32, "steps an epoch")):
        model = tiny("nice", event_shape=(2,))
        model.compile(optimizer, steps_per_execution=2)
        resumed = Checkpoint(tmp_path, resume=True)
        with pytest.raises(genzoo.GenzooError, match=different):
            model.fit(x, batch_size=batch_size, callbacks=[resumed], verbose=0)


def test_a_finished_run_may_be_lengthened_and_a_stopped_one_is_over(tmp_path):
    train(tmp_path / "a", epochs=2)
    longer, history, _ = train(tmp_path / "a", epochs=4)
    assert history.epoch == [2, 3]
    same(longer, train(tmp_path / "b", epochs=4)[0])

    class Enough(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = True

    stopped, _, _ = train(tmp_path / "c", callbacks=[Enough()])
    again, history, _ = train(tmp_path / "c", callbacks=[Enough()])
    assert history.epoch == []
    same(stopped, again)


def test_an_interrupt_keeps_the_place(tmp_path):
    whole, _, _ = train(tmp_path / "whole")

    class Interrupt(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.model.optimizer.iterations == 7:
                self.model.stop_training = True

    train(tmp_path / "stopped", callbacks=[Interrupt()])
    resumed, _, checkpoint = train(tmp_path / "stopped")
    assert checkpoint.resumed_from == (1, 2)
    same(whole, resumed)


def test_replicas_resume(tmp_path, two_devices):
    with two_devices.scope():
        whole, _, _ = train(tmp_path / "whole", "gan", epochs=2)
        train(tmp_path / "killed", "gan", epochs=2, kill=7)
        resumed, _, checkpoint = train(tmp_path / "killed", "gan", epochs=2)
    assert checkpoint.resumed_from == (1, 2)
    for a, b in zip(whole.weights, resumed.weights, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-6)


# Divergence


class Spoil(keras.callbacks.Callback):
    """Turns a weight to NaN after some steps, as a step too large would."""

    def __init__(self, step):
        super().__init__()
        self.left = step

    def on_train_batch_begin(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            weight = self.model.trainable_variables[0]
            weight.assign(np.full(weight.shape, np.nan))


def test_nan_ends_training_with_the_last_good_weights():
    x = genzoo.data.toy("moons", 320, seed=0)
    model = tiny("nice", event_shape=(2,))
    model.compile(Adam(1e-3), steps_per_execution=1)
    guard = DivergenceGuard(every=0.0)
    with pytest.warns(DivergenceWarning, match=r"epoch 2, step 3: loss.*weights .*Usual remedies"):
        history = model.fit(x, epochs=4, batch_size=64, callbacks=[Spoil(8), guard], verbose=0)
    assert len(history.epoch) == 2
    assert np.isfinite(model.log_prob(x)).all()


@pytest.mark.parametrize("name", ["nice", "gan"])
def test_training_goes_on_with_a_smaller_step(name):
    x = genzoo.data.toy("moons", 320, seed=0)
    model = tiny(name, event_shape=(2,))
    model.compile(Adam(1e-2), steps_per_execution=1)
    guard = DivergenceGuard("backoff", factor=0.5)
    with pytest.warns(DivergenceWarning, match="learning rate times 0.5"):
        history = model.fit(x, epochs=4, batch_size=64, callbacks=[Spoil(8), guard], verbose=0)
    assert guard.backoffs == 1
    assert len(history.epoch) == 4
    for optimizer, _ in model._optimized():
        assert float(optimizer.learning_rate) == pytest.approx(5e-3)
    assert all(np.isfinite(v.numpy()).all() for v in model.weights)


def test_a_hopeless_run_ends():
    x = genzoo.data.toy("moons", 320, seed=0)
    model = tiny("nice", event_shape=(2,))
    model.compile(keras.optimizers.SGD(1e6), steps_per_execution=1)
    guard = DivergenceGuard("backoff", max_backoffs=2)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(x, epochs=20, batch_size=64, callbacks=[guard], verbose=0)
    told = [str(w.message) for w in caught if w.category is DivergenceWarning]
    if guard.backoffs == 2:
        assert "Training ends" in told[-1]
    assert np.isfinite(model.log_prob(x)).all()


def test_schedules_cannot_back_off():
    model = tiny("nice", event_shape=(2,))
    model.compile(Adam(keras.optimizers.schedules.CosineDecay(1e-3, 10)))
    with pytest.raises(genzoo.GenzooError, match="schedule"):
        model.fit(np.ones((9, 2)), callbacks=[DivergenceGuard("backoff")], verbose=0)


# The command


def command(output, *more):
    return [
        sys.executable, "-m", "zoo_scripts.main", "train", "gan", "--data", "digits", "--epochs",
        "6", "--option", "generator_units=(16,)", "--output", str(output), "--quiet",
        "--checkpoint-every", "0", *more,
    ]  # fmt: skip


@pytest.mark.slow
def test_a_command_that_is_killed_resumes(tmp_path):
    def run(*arguments, check=True):
        return subprocess.run(
            command(*arguments), check=check, capture_output=True, text=True, timeout=300
        )

    run(tmp_path / "whole")
    assert not (tmp_path / "whole.training").exists()
    process = subprocess.Popen(
        command(tmp_path / "killed"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    checkpoints = tmp_path / "killed.training" / "checkpoints"
    while process.poll() is None and not list(checkpoints.glob("epoch-000001-step-*")):
        pass
    process.kill()
    process.wait()
    refused = run(tmp_path / "killed", check=False)
    assert refused.returncode == 2
    assert "--resume" in refused.stderr
    refused = run(tmp_path / "killed", "--resume", "--seed", "3", check=False)
    assert refused.returncode == 2
    assert "seed 3, begun with 0" in refused.stderr
    run(tmp_path / "killed", "--resume")
    models = [keras.models.load_model(tmp_path / n / "model.keras") for n in ("whole", "killed")]
    for a, b in zip(*(m.weights for m in models), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    assert "finished already" in run(tmp_path / "killed", "--resume").stdout


@pytest.mark.slow
def test_a_local_cluster_is_started_killed_and_resumed(tmp_path):
    def run(output, *more):
        finished = subprocess.run(
            command(tmp_path / output, "--workers", "2", *more), capture_output=True, text=True,
            timeout=300,
        )  # fmt: skip
        assert finished.returncode == 0, finished.stderr
        return keras.models.load_model(tmp_path / output / "model.keras")

    process = subprocess.Popen(
        command(tmp_path / "killed", "--workers", "2"), stderr=subprocess.PIPE, text=True
    )
    checkpoints = tmp_path / "killed.training" / "checkpoints"
    while process.poll() is None and not list(checkpoints.glob("epoch-000001-step-*")):
        pass
    workers = subprocess.run(
        ["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True
    ).stdout.split()
    os.kill(int(workers[1]), signal.SIGKILL)
    assert process.wait(timeout=30) == 137
    assert "worker 1 ended with code -9" in process.stderr.read()
    resumed, whole = run("killed", "--resume"), run("whole")
    for a, b in zip(whole.weights, resumed.weights, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-5)
