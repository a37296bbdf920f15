"""What settings of a training step cost or gain: steps an execution, XLA, bfloat16.

    python benchmarks/step_settings.py [--models realnvp dcgan] [--rounds 3]

Each model and setting in a process of its own, by turns; milliseconds a step, median of the epochs
after the second. `loss` is that of bfloat16 at the end, over that of float32, on random data:
normal numbers or noise images. A dash stands where a model takes no bfloat16, or is adversarial.
"""

import argparse
import json
import os
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

# arguments, batch, steps an epoch
MODELS = {
    "realnvp": ({"event_shape": (43,), "hidden_units": (128, 128)}, 256, 64),
    "maf": ({"event_shape": (43,), "hidden_units": (512, 512)}, 256, 32),
    "neural_spline": ({"event_shape": (43,), "hidden_units": (128, 128)}, 256, 32),
    "glow": ({"event_shape": (16, 16, 1), "num_levels": 2, "num_steps": 4, "filters": 64}, 64, 16),
    "vae": ({"event_shape": (28, 28, 1), "hidden_units": (512, 512)}, 128, 64),
    "gan": ({"event_shape": (43,)}, 256, 64),
    "dcgan": ({"event_shape": (28, 28, 1), "filters": 16}, 128, 8),
}
SETTINGS = ("1", "8", "32", "XLA", "bfloat16")
EPOCHS = 7


def measure(name: str, setting: str) -> dict[str, float]:
    import keras

    import genzoo
    from genzoo.core.registry import traits_of

    arguments, batch, steps = MODELS[name]
    if setting == "bfloat16":
        if not traits_of(name).mixed_precision:
            return {"milliseconds": np.nan, "loss": None}
        arguments = {**arguments, "dtype": "mixed_bfloat16"}
    model = genzoo.build(name, seed=0, **arguments)
    random = np.random.default_rng(0)
    shape = (batch * steps, *model.event_shape)
    images = model.on_images
    x = random.integers(0, 256, shape).astype("uint8") if images else random.normal(size=shape)
    own = model.default_steps_per_execution
    compiled = {"steps_per_execution": int(setting) if setting.isdigit() else own}
    model.compile(**compiled, jit_compile=setting == "XLA")
    seconds = []

    class Clock(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.began = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            seconds.append((time.perf_counter() - self.began) / steps)

    clock = Clock()
    history = model.fit(x, epochs=EPOCHS, batch_size=batch, verbose=0, callbacks=[clock]).history
    # the losses of adversaries do not say which of two runs is better
    loss = None if model.traits.training == "adversarial" else history["loss"][-1]
    return {"milliseconds": 1e3 * float(np.median(seconds[2:])), "loss": loss, "own": own}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--setting", choices=SETTINGS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.setting:
        print(json.dumps(measure(arguments.models[0], arguments.setting)))
        return
    print("| | default | " + " | ".join(SETTINGS) + " | loss |")
    print("| --- |" + " --- |" * (len(SETTINGS) + 2))
    for name in arguments.models:
        found: dict[str, list] = {setting: [] for setting in SETTINGS}
        for _ in range(arguments.rounds):
            for setting in SETTINGS:
                command = [sys.executable, __file__, "--models", name, "--setting", setting]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                found[setting].append(json.loads(done.stdout.splitlines()[-1]))
        times = {s: np.median([r["milliseconds"] for r in rows]) for s, rows in found.items()}
        own = found["1"][0]["own"]
        losses = [found[setting][0]["loss"] for setting in ("bfloat16", str(own))]
        loss = "-" if None in losses else f"{losses[0] / losses[1]:.4f}"
        cells = [
            "-" if np.isnan(times[setting]) else f"{times[setting]:.2f}" for setting in SETTINGS
        ]
        print("| " + " | ".join([f"`{name}`", str(own), *cells, loss]) + " |", flush=True)


if __name__ == "__main__":
    main()
