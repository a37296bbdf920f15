"""Two local processes under TF_CONFIG stand in for two machines."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import genzoo
from genzoo.core.registry import traits_of
from tests.tiny import tiny
from zoo_scripts.cluster import free_ports

# one of each kind of training: exact density, actnorm started from data, a bound, EM, and two
# optimisers with batch statistics
MODELS = ("glow", "vae", "gaussian_mixture", "dcgan")
WORKER = """
import sys
import genzoo
strategy = genzoo.training.strategy()
import keras
from genzoo.core.registry import traits_of
from tests.tiny import tiny

x = genzoo.data.load("digits", seed=0)
for name in sys.argv[2:]:
    with strategy.scope():
        by_em = traits_of(name).training == "em"
        model = tiny(name, **({"tol": 0.0} if by_em else {}))
        if not by_em:
            model.compile(keras.optimizers.SGD(1e-4))
    history = model.fit(
        x.x_train[:1280], epochs=11, batch_size=128, verbose=0, validation_data=x.x_test
    )
    assert strategy.num_replicas_in_sync == 2
    index = strategy.cluster_resolver.task_id
    model.save_weights(f"{sys.argv[1]}/{index}-{name}.weights.h5")
    last = {key: values[-1] for key, values in history.history.items()}
    print(name, last, model.sample(2, seed=0).sum(), flush=True)
"""


def _cluster(program, *arguments):
    """Start a program as each of two workers."""
    workers = [f"127.0.0.1:{port}" for port in free_ports(2)]
    processes = []
    for index in range(2):
        config = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
        environment = {**os.environ, "TF_CONFIG": json.dumps(config)}
        process = subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            env={**environment, "CUDA_VISIBLE_DEVICES": "-1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
    return processes


def test_two_workers_train_like_one_device(tmp_path, digits):
    processes = _cluster(WORKER, str(tmp_path), *MODELS)
    outputs = [process.communicate(timeout=280) for process in processes]
    for process, (_, errors) in zip(processes, outputs, strict=True):
        assert process.returncode == 0, errors[-3000:]
    assert outputs[0][0] == outputs[1][0]
    for name in MODELS:
        by_em = traits_of(name).training == "em"
        alone = tiny(name, **({"tol": 0.0} if by_em else {}))
        if not by_em:
            alone.compile(keras.optimizers.SGD(1e-4))
        alone.fit(digits.x_train[:1280], epochs=11, batch_size=128, verbose=0)
        weights = []
        for index in range(2):
            model = tiny(name)
            model.load_weights(tmp_path / f"{index}-{name}.weights.h5")
            weights.append([np.array(w) for w in model.weights])
        for mine, first, second in zip(alone.weights, *weights, strict=True):
            np.testing.assert_array_equal(first, second, err_msg=mine.path)
            np.testing.assert_allclose(np.array(mine), first, atol=1e-4, err_msg=mine.path)


SURVIVOR = """
import genzoo
strategy = genzoo.training.strategy()
with strategy.scope():
    model = genzoo.GaussianMixture((2,), num_components=2, tol=0.0, seed=0)
x = genzoo.data.toy("moons", 256, seed=0)
model.fit(x, epochs=1, verbose=0)
print("in training", flush=True)
try:
    model.fit(x, epochs=100_000, verbose=0)
except genzoo.core.errors.WorkerLostError as error:
    print(error, flush=True)
"""


def test_a_worker_that_is_killed_ends_the_others_in_order():
    first, second = _cluster(SURVIVOR)
    for process in (first, second):
        assert process.stdout.readline() == "in training\n"
    first.kill()
    first.communicate()
    # some seconds, on a machine that is busy more of them
    output, errors = second.communicate(timeout=90)
    assert "Received: " in output and "Start all workers again" in output, errors[-3000:]


def test_strategy_takes_what_is_there(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert genzoo.training.strategy().num_replicas_in_sync == 2
    assert genzoo.training.strategy() is genzoo.training.strategy()
    alone = {"cluster": {"worker": ["127.0.0.1:1"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(alone))
    assert isinstance(genzoo.training.strategy(), tf.distribute.MirroredStrategy)
    for bad in ("{", "{}", '{"cluster": {"worker": ["a:1"]}, "task": {"index": 3}}'):
        monkeypatch.setenv("TF_CONFIG", bad)
        with pytest.raises(genzoo.GenzooError, match="TF_CONFIG"):
            genzoo.training.strategy()
