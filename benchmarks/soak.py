"""Memory over a long run of fit, sample, log_prob, save, load and export on small models.

    python benchmarks/soak.py --minutes 60

Each round takes the next model of the list. Resident memory is noted after each pass over the list,
the first three passes left out: TensorFlow's and Matplotlib's own caches fill then. A slope above
--allowed MiB an hour is a leak, and the exit code is 1.
"""

import argparse
import gc
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

import genzoo

MODELS = {
    "realnvp": {"num_couplings": 4, "hidden_units": (16,)},
    "maf": {"num_transforms": 2, "hidden_units": (16,)},
    "vae": {"latent_dim": 2, "hidden_units": (16,)},
    "gan": {"latent_dim": 2, "generator_units": (16,), "discriminator_units": (16,)},
    "gaussian_mixture": {"num_components": 4},
}
WARM_UP = 3


def resident_mib() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def go_round(name: str, kept: dict, x: np.ndarray, folder: Path, i: int) -> None:
    """Use a model that lives on, and one that is made, saved, loaded and dropped."""
    if name not in kept:
        kept[name] = genzoo.build(name, event_shape=(2,), seed=0, **MODELS[name])
    model = kept[name]
    model.fit(x, epochs=1, verbose=0)
    model.sample(100 + i % 7, seed=i)
    if name != "gan":
        model.log_prob(x[: 50 + i % 11])
    model.save(folder / "model.keras")
    loaded = keras.models.load_model(folder / "model.keras")
    loaded.sample(10, seed=i)
    loaded.export(folder / "exported", overwrite=True)
    tf.saved_model.load(folder / "exported")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--allowed", type=float, default=60.0, help="MiB an hour")
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    arguments = parser.parse_args()
    x = genzoo.data.toy("moons", 256, seed=0)
    kept: dict = {}
    noted, passes, began = [], 0, time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        while time.monotonic() - began < 60 * arguments.minutes:
            for name in arguments.models:
                go_round(name, kept, x, Path(folder), passes)
            # what is in cycles would come and go as Python likes
            gc.collect()
            passes += 1
            if passes > WARM_UP:
                noted.append((time.monotonic() - began, resident_mib()))
                print(f"pass {passes}: {noted[-1][0]:7.0f} s {noted[-1][1]:8.1f} MiB", flush=True)
    seconds, memory = np.array(noted).T
    slope = 3600 * np.polyfit(seconds, memory, 1)[0]
    print(
        f"{passes} passes over {len(arguments.models)} models: {memory[0]:.0f} MiB at the start, "
        f"{memory[-1]:.0f} MiB at the end, {slope:+.1f} MiB an hour"
    )
    return int(slope > arguments.allowed)


if __name__ == "__main__":
    raise SystemExit(main())
