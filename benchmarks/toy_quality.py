"""Test NLL on toy data at equal architecture, steps and optimiser: genzoo beside zuko.

    python benchmarks/toy_quality.py --peer-python PYTHON

Moons, rings, eight Gaussians, checkerboard and spirals, 10,000 training and 10,000 test points,
standardised once for both; 1,000 steps of Adam at 1e-3 with batches of 256; five seeds. RealNVP of
6 couplings and autoregressive splines of 3 steps with 8 bins, networks of 2 x 64. NLL in nats,
mean and range over the seeds; lower is better.
"""

import argparse
import subprocess
import sys
import tempfile

import numpy as np

SETS = ("moons", "rings", "eight_gaussians", "checkerboard", "spirals")
KINDS = ("realnvp", "spline")
STEPS, BATCH, ROWS, SEEDS = 1000, 256, 10_000, 5


def standardized(name: str) -> tuple[np.ndarray, np.ndarray]:
    import genzoo

    train, test = (genzoo.data.toy(name, ROWS, seed=seed) for seed in (0, 1))
    mean, scale = train.mean(0), train.std(0)
    return (train - mean) / scale, (test - mean) / scale


def genzoo_nll(kind: str, train: np.ndarray, test: np.ndarray, seed: int) -> float:
    import keras

    import genzoo

    shared = {"hidden_units": (64, 64), "preprocessing": None, "seed": seed}
    if kind == "realnvp":
        model = genzoo.RealNVP((2,), num_couplings=6, **shared)
    else:
        model = genzoo.NeuralSplineFlow(
            (2,), num_transforms=3, kind="autoregressive", permutation="reverse", **shared
        )
    model.compile(keras.optimizers.Adam(1e-3), steps_per_execution=8)
    epochs = -(-STEPS * BATCH // ROWS)
    model.fit(train, epochs=epochs, batch_size=BATCH, verbose=0)
    return -model.score(test)


def zuko_nll(kind: str, train: np.ndarray, test: np.ndarray, seed: int) -> float:
    import torch
    import zuko

    torch.manual_seed(seed)
    shared = {"hidden_features": (64, 64)}
    if kind == "realnvp":
        flow = zuko.flows.RealNVP(2, transforms=6, **shared)
    else:
        flow = zuko.flows.NSF(2, transforms=3, bins=8, **shared)
    x = torch.from_numpy(train)
    optimizer = torch.optim.Adam(flow.parameters(), 1e-3)
    for _ in range(-(-STEPS * BATCH // ROWS)):
        for rows in torch.randperm(len(x)).split(BATCH):
            optimizer.zero_grad()
            (-flow().log_prob(x[rows]).mean()).backward()
            optimizer.step()
    with torch.no_grad():
        return float(-flow().log_prob(torch.from_numpy(test)).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--peer-python", default=sys.executable, metavar="PYTHON")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--peer-data", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer_data:
        with np.load(arguments.peer_data) as data:
            nll = [
                zuko_nll(kind, data["train"], data["test"], seed)
                for kind in KINDS
                for seed in range(arguments.seeds)
            ]
        print(" ".join(map(str, nll)))
        return
    for name in SETS:
        train, test = standardized(name)
        ours = {kind: [] for kind in KINDS}
        for kind in KINDS:
            for seed in range(arguments.seeds):
                ours[kind].append(genzoo_nll(kind, train, test, seed))
        with tempfile.NamedTemporaryFile(suffix=".npz") as file:
            np.savez(file, train=train, test=test)
            file.flush()
            command = [arguments.peer_python, __file__, "--peer-data", file.name]
            command += ["--seeds", str(arguments.seeds)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        theirs = np.array(done.stdout.split(), float).reshape(len(KINDS), -1)
        for kind, peer in zip(KINDS, theirs, strict=True):
            own = np.array(ours[kind])
            print(
                f"{name:16}{kind:10}genzoo {own.mean():.3f} ({own.min():.3f}-{own.max():.3f})   "
                f"zuko {peer.mean():.3f} ({peer.min():.3f}-{peer.max():.3f})",
                flush=True,
            )


if __name__ == "__main__":
    main()
