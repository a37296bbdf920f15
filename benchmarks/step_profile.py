"""Where the time and the memory of a training step go, model by model.

    python benchmarks/step_profile.py [--models realnvp dcgan]

TensorFlow's own profiler over an epoch of Keras's `fit`, each model in a process of its own with
its default settings. The time of all kernels is split by what they do; `waits` is the share of that
epoch in which the step stood still for its data. Milliseconds a step are the median of the five
epochs before it, after the first; `first step` counts from the call of `fit`, tracing included; and
`peak` is the memory of the process beyond that before `fit`.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

EPOCHS = 7
# arguments, batch, steps an epoch
MODELS = {
    "realnvp": ({"event_shape": (43,), "num_couplings": 10, "hidden_units": (128, 128)}, 256, 64),
    "maf": ({"event_shape": (43,), "hidden_units": (512, 512)}, 256, 32),
    "neural_spline": ({"event_shape": (43,), "hidden_units": (128, 128)}, 256, 32),
    "glow": ({"event_shape": (32, 32, 1), "num_levels": 3, "num_steps": 8, "filters": 64}, 64, 8),
    "vae": ({"event_shape": (28, 28, 1), "hidden_units": (512, 512)}, 128, 64),
    "vae_cnn": ({"event_shape": (28, 28, 1), "filters": 32}, 128, 8),
    "gan": ({"event_shape": (43,)}, 256, 64),
    "dcgan": ({"event_shape": (28, 28, 1), "filters": 32}, 128, 8),
    "gaussian_mixture": ({"event_shape": (32,), "num_components": 16}, 8192, 16),
    "hidden_markov_model": ({"event_shape": (8,), "num_states": 8}, 100, 2),
}
KINDS = {
    "products": ("MatMul", "Conv2D", "Einsum"),
    "optimiser": ("ResourceApply",),
    "random": ("Random",),
    "moves": (
        "Concat", "Slice", "Split", "Gather", "Transpose", "Pad", "Pack", "Tile", "Scatter",
        "SpaceToDepth", "DepthToSpace", "ReverseV2",
    ),
}  # fmt: skip
XLA, ELSE = "XLA", "element by element"
# calls hold the kernels that they call; a wait is no work
CALLS = ("Call", "While", "If", "Iterator", "Dataset", "Recv", "Send", "XlaLaunch", "XlaRun")


def kind_of(event: str) -> str | None:
    """Return what a kernel does, by the profiler's name for it; None for what is no kernel."""
    if event.startswith("CpuExecutable::Execute"):
        return XLA
    layer, _, op = event.rpartition(":")
    if not layer or "::" in event or op.startswith(" ") or any(call in op for call in CALLS):
        return None
    return next((kind for kind, parts in KINDS.items() if any(p in op for p in parts)), ELSE)


def kernels(folder: str) -> tuple[dict[str, float], float]:
    """Return the seconds of the kernels by kind, and those of waiting for data."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    spent = dict.fromkeys([*KINDS, XLA, ELSE], 0.0)
    waits = 0.0
    for file in Path(folder).rglob("*.xplane.pb"):
        space = xplane_pb2.XSpace.FromString(file.read_bytes())
        for plane in space.planes:
            if not plane.name.startswith("/host:CPU"):
                continue
            names = {key: metadata.name for key, metadata in plane.event_metadata.items()}
            for line in plane.lines:
                for event in line.events:
                    name, seconds = names[event.metadata_id], event.duration_ps * 1e-12
                    if name.endswith("::DoCompute") and name.startswith("IteratorGetNext"):
                        waits += seconds
                    kind = kind_of(name)
                    if kind:
                        spent[kind] += seconds
    return spent, waits


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def profile(name: str) -> dict:
    import keras
    import tensorflow as tf
    import tensorflow_probability  # noqa: F401  # genzoo waits for the first use

    import genzoo

    arguments, batch, steps = MODELS[name]
    model = genzoo.build(name, seed=0, **arguments)
    random = np.random.default_rng(0)
    shape = (batch * steps, *model.event_shape)
    x = random.normal(size=shape)
    if len(shape) == 4:
        x = random.integers(0, 256, shape).astype("uint8")
    if name == "hidden_markov_model":
        x = [random.normal(size=(1000, *model.event_shape)) for _ in range(batch * steps)]

    class Watch(keras.callbacks.Callback):
        first, seconds = None, []

        def on_train_batch_end(self, step, logs=None):
            self.first = self.first or time.perf_counter() - began

        def on_epoch_begin(self, epoch, logs=None):
            if epoch == EPOCHS - 1:
                tf.profiler.experimental.start(folder)
            self.began = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            self.seconds.append(time.perf_counter() - self.began)
            if epoch == EPOCHS - 1:
                tf.profiler.experimental.stop()

    watch, before = Watch(), peak_mib()
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        model.fit(x, epochs=EPOCHS, batch_size=batch, verbose=0, callbacks=[watch])
        spent, waits = kernels(folder)
    whole = sum(spent.values())
    return {
        "shares": {kind: seconds / whole for kind, seconds in spent.items()},
        "waits": waits / watch.seconds[-1],
        "milliseconds": 1e3 * float(np.median(watch.seconds[1:-1])) / steps,
        "first_step_s": watch.first,
        "peak_mib": peak_mib() - before,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.here:
        print(json.dumps(profile(arguments.models[0])))
        return
    kinds = [*KINDS, XLA, ELSE]
    print("| | ms a step | " + " | ".join(kinds) + " | waits | first step, s | peak, MiB |")
    print("| --- |" + " --- |" * (len(kinds) + 4))
    for name in arguments.models:
        command = [sys.executable, __file__, "--models", name, "--here"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found = json.loads(done.stdout.splitlines()[-1])
        cells = [f"`{name}`", f"{found['milliseconds']:.1f}"]
        cells += [f"{100 * found['shares'][kind]:.0f}%" for kind in kinds]
        cells += [f"{100 * found['waits']:.0f}%", f"{found['first_step_s']:.1f}"]
        print("| " + " | ".join([*cells, f"{found['peak_mib']:,.0f}"]) + " |", flush=True)


if __name__ == "__main__":
    main()
