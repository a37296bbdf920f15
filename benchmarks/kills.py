"""Kill a training command at random moments until so many kills, resume it, compare the weights.

    python benchmarks/kills.py [--kills 50] [--models realnvp dcgan gaussian_mixture]

For each model: `genzoo train` once undisturbed, then again and again with `kill -9` at a moment
drawn evenly from the time that the undisturbed run took, start-up and the writing of the output
included, each time with `--resume`. Survived means that the weights in the end are those of the
undisturbed run, bit for bit. A run that finishes is begun anew until there were enough kills.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

MODELS = {
    "realnvp": "realnvp --data digits --epochs 8 --option num_levels=1 --option filters=8",
    "dcgan": "dcgan --data digits --epochs 8 --option filters=8",
    "gaussian_mixture": "gaussian_mixture --data digits --epochs 40 --option num_components=20"
    " --option reg_covar=0.1 --option tol=0",
}


def command(name: str, output: Path, *more: str) -> list[str]:
    train = [sys.executable, "-m", "zoo_scripts.main", "train", *MODELS[name].split()]
    return [*train, "--quiet", "--checkpoint-every", "0", "--output", str(output), *more]


def weights(output: Path) -> list[np.ndarray]:
    import keras

    import genzoo  # noqa: F401 (registers the classes)

    return keras.models.load_model(output / "model.keras").get_weights()


def undisturbed(name: str, output: Path) -> tuple[list[np.ndarray], float]:
    began = time.perf_counter()
    subprocess.run(command(name, output), check=True, capture_output=True)
    return weights(output), time.perf_counter() - began


def killed(name: str, output: Path, after: float) -> bool:
    """Run the command, resuming what there is; return whether it was killed."""
    process = subprocess.Popen(
        command(name, output, "--resume"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        _, errors = process.communicate(timeout=after)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return True
    if process.returncode:
        raise RuntimeError(f"{name} did not resume:\n{errors.decode()}")
    return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=50, help="in all")
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    random = np.random.default_rng(arguments.seed)
    share = -(-arguments.kills // len(arguments.models))
    for name in arguments.models:
        with tempfile.TemporaryDirectory() as folder:
            expected, seconds = undisturbed(name, Path(folder) / "whole")
            kills = ends = equal = 0
            while kills < share or not ends:
                output = Path(folder) / f"killed-{ends}"
                own = 0
                while own < share and killed(name, output, random.uniform(0, seconds)):
                    own += 1
                if own == share:
                    killed(name, output, 600)
                kills, ends = kills + own, ends + 1
                same = all(map(np.array_equal, weights(output), expected))
                equal += same
        print(
            f"{name}: {kills} kills in {ends} runs, {equal} of which ended in the weights of the "
            f"undisturbed one ({seconds:.0f} s)",
            flush=True,
        )


if __name__ == "__main__":
    main()
