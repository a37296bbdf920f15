"""Every model on one device, on 2 and 4 logical devices, and on two processes: equal, and how fast.

    python -m benchmarks.strategies
    python -m benchmarks.strategies --models realnvp vae --epochs 20
    python -m benchmarks.strategies --models cyclegan --dtype float64 --rate 1e-6

Small models of tests/tiny.py on 1,280 digits, 10 steps of SGD an epoch on the same global batches
of 128. The figures are the median duration of an epoch, the first two left out, and the largest
difference of any weight from those of one device, relative where a weight is above 1. Logical
devices share the cores of one machine, as do the processes: the figures say what distribution
costs, not what it gains.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

SETTINGS = {"one": (1, 1), "two devices": (2, 1), "four devices": (4, 1), "two processes": (1, 2)}
ROWS, BATCH = 1280, 128


def work(folder: Path, options: argparse.Namespace) -> None:
    """Train each model in the strategy of this process; leave weights and durations."""
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    parts = [tf.config.LogicalDeviceConfiguration()] * options.devices
    tf.config.set_logical_device_configuration(cpu, parts)
    import genzoo

    strategy = genzoo.training.strategy()
    import keras

    from genzoo.core.registry import traits_of
    from tests.tiny import tiny

    class Clock(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.seconds = []

        def on_epoch_begin(self, epoch, logs=None):
            self.began = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            self.seconds.append(time.perf_counter() - self.began)

    data = genzoo.data.load("digits", seed=0)
    x, y = data.x_train[:ROWS], data.y_train[:ROWS]
    for name in options.models:
        arguments = {"dtype": options.dtype}
        second = None
        traits = traits_of(name)
        if traits.training == "em":
            arguments["tol"] = 0.0
        if traits.context == "must":
            second = 16 - x if "pair" in traits.examples else y
        with strategy.scope():
            model = tiny(name, **arguments)
            if traits.training != "em":
                sides = 2 if traits.training == "adversarial" else 1
                optimizers = [keras.optimizers.SGD(options.rate) for _ in range(sides)]
                model.compile(*optimizers)
        clock = Clock()
        model.fit(x, second, epochs=options.epochs, batch_size=BATCH, verbose=0, callbacks=[clock])
        weights = np.concatenate([np.ravel(w).astype(np.float64) for w in model.get_weights()])
        task = json.loads(os.environ.get("TF_CONFIG", '{"task": {"index": 0}}'))["task"]["index"]
        if task == 0:
            np.savez(folder / name, weights=weights, seconds=np.median(clock.seconds[2:]))


def run(setting: str, folder: Path, options: argparse.Namespace) -> None:
    from zoo_scripts.cluster import free_ports

    devices, processes = SETTINGS[setting]
    own = [sys.executable, "-m", "benchmarks.strategies", "--models", *options.models]
    own += ["--epochs", str(options.epochs), "--rate", str(options.rate), "--dtype", options.dtype]
    own += ["--work", str(folder), "--devices", str(devices)]
    addresses = [f"127.0.0.1:{port}" for port in free_ports(processes)]
    running = []
    for index in range(processes):
        environment = dict(os.environ)
        environment.pop("TF_CONFIG", None)
        if processes > 1:
            task = {"type": "worker", "index": index}
            environment["TF_CONFIG"] = json.dumps({"cluster": {"worker": addresses}, "task": task})
        running.append(subprocess.Popen(own, env=environment))
    codes = [process.wait() for process in running]
    if any(codes):
        raise RuntimeError(f"{setting}: exit codes {codes}")


def main() -> None:
    import genzoo

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", nargs="+", choices=genzoo.models(), default=genzoo.models())
    parser.add_argument("--epochs", type=int, default=11)
    parser.add_argument("--rate", type=float, default=1e-4, help="of SGD")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--devices", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work(arguments.work, arguments)
        return
    with tempfile.TemporaryDirectory() as base:
        folders = {setting: Path(base) / setting for setting in SETTINGS}
        for setting, folder in folders.items():
            folder.mkdir()
            run(setting, folder, arguments)
            print(f"{setting}: done", file=sys.stderr, flush=True)
        print("| | one, s | " + " | ".join(f"{s}, s | difference" for s in [*SETTINGS][1:]) + " |")
        print("| --- |" + " --- |" * 7)
        for name in arguments.models:
            found = {s: np.load(folder / f"{name}.npz") for s, folder in folders.items()}
            cells = [f"`{name}`", f"{found['one']['seconds']:.3f}"]
            for setting in [*SETTINGS][1:]:
                own = found["one"]["weights"]
                apart = (np.abs(found[setting]["weights"] - own) / np.maximum(np.abs(own), 1)).max()
                cells += [f"{found[setting]['seconds']:.3f}", f"{apart:.0e}"]
            print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
