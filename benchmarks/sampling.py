"""Samples and scores a second of trained flows, beside peers.

    python benchmarks/sampling.py --compare               # all by turns, medians and ratios
    python benchmarks/sampling.py --model maf784          # genzoo alone

Work, after a few steps of training on correlated normals, so that the weights are those of a
trained model:
    maf43     sampling 256 points, 43 features, 5 masked autoregressive steps, networks of 2 x 512
    maf784    the same with 784 features
    realnvp   `log_prob` and sampling of 25,600 points, 43 features, 10 couplings, 2 x 128
    spline    `log_prob` of 25,600 points, 43 features, 5 couplings, 8 bins, 2 x 128

The error is the largest difference between a sample and what an exact sequential inverse gives for
the same point of the base (genzoo), in float32.
"""

import argparse
import json
import subprocess
import sys
import time

import numpy as np

SIZES = {"maf43": 43, "maf784": 784, "realnvp": 43, "spline": 43}
POINTS = {"maf43": 256, "maf784": 256, "realnvp": 25_600, "spline": 25_600}
TRAINING_STEPS = 100


def data(name: str) -> np.ndarray:
    random = np.random.default_rng(0)
    size = SIZES[name]
    mixing = random.normal(size=(size, size)) / np.sqrt(size) + np.eye(size)
    return (random.normal(size=(25_600, size)) @ mixing).astype("float32")


def median_rate(function, points: int, repeats: int) -> float:
    function()
    rates = []
    for _ in range(repeats):
        began = time.perf_counter()
        function()
        rates.append(points / (time.perf_counter() - began))
    return float(np.median(rates))


def sequential_error(model, points: int) -> float:
    """Return the largest difference from an inverse that takes a whole pass a coordinate."""
    import tensorflow as tf

    z = tf.random.stateless_normal([points, *model.latent_shape], [0, 0])
    ours = theirs = z
    for step in model.steps:
        ours, _ = step.forward_and_log_det(ours)
        if hasattr(step, "conditioner"):
            theirs = _sequential(step, theirs)
        else:
            theirs, _ = step.forward_and_log_det(theirs)
    return float(tf.reduce_max(tf.abs(ours - theirs)))


def _sequential(step, x):
    import tensorflow as tf

    @tf.function(autograph=False)
    def one(i, y):
        image, _ = step.map.forward(x, step.conditioner(y))
        chosen = tf.one_hot(i, x.shape[1])
        return y * (1 - chosen) + image * chosen

    y = tf.zeros_like(x)
    for i in range(x.shape[1]):
        y = one(tf.constant(i), y)
    return y


def time_genzoo(name: str, repeats: int) -> dict:
    import genzoo

    size = SIZES[name]
    if name.startswith("maf"):
        model = genzoo.MAF((size,), num_transforms=5, hidden_units=(512, 512), seed=0)
    elif name == "realnvp":
        model = genzoo.RealNVP(
            (size,), num_couplings=10, hidden_units=(128, 128), permutation=None, seed=0
        )
    else:
        model = genzoo.NeuralSplineFlow(
            (size,), num_transforms=5, num_bins=8, hidden_units=(128, 128), permutation=None, seed=0
        )
    x = data(name)
    model.fit(x[: 256 * TRAINING_STEPS], epochs=1, batch_size=256, verbose=0)
    points = POINTS[name]
    result = {"sample": median_rate(lambda: model.sample(points, seed=0), points, repeats)}
    if name.startswith("maf"):
        result["error"] = sequential_error(model, 64)
    else:
        result["log_prob"] = median_rate(lambda: model.log_prob(x[:points]), points, repeats)
    return result


def time_torch(peer: str, name: str, repeats: int, compiled: bool) -> dict:
    import torch

    sys.path.insert(0, str(__file__).rsplit("/", 1)[0])
    import training_step

    torch.manual_seed(0)
    training_step.D = SIZES[name]
    flow, log_prob = training_step.torch_flow(peer, "maf" if name.startswith("maf") else name)
    x = torch.from_numpy(data(name))
    optimizer = torch.optim.Adam(flow.parameters(), 1e-3)
    for rows in torch.arange(256 * TRAINING_STEPS).split(256):
        optimizer.zero_grad()
        (-log_prob(x[rows]).mean()).backward()
        optimizer.step()
    points = POINTS[name]

    def draw():
        if peer == "zuko":
            return flow().sample((points,))
        return flow.sample(points)

    if compiled:
        log_prob = torch.compile(log_prob)

    def score():
        for rows in x[:points].split(8192):
            log_prob(rows)

    result = {}
    with torch.no_grad():
        if not compiled:
            result["sample"] = median_rate(draw, points, 1 if name == "maf784" else repeats)
        if not name.startswith("maf"):
            result["log_prob"] = median_rate(score, points, repeats)
    return result


def compare(names: list[str], rounds: int, repeats: int, peer_python: str) -> None:
    peers = {"maf43": ["zuko"], "maf784": ["zuko"], "realnvp": ["normflows"], "spline": ["nflows"]}
    for name in names:
        base = ["--model", name, "--repeats", str(repeats)]
        contenders = {"genzoo": [sys.executable, __file__, *base]}
        for peer in peers[name]:
            contenders[peer] = [peer_python, __file__, *base, "--peer", peer]
            if not name.startswith("maf"):
                contenders[f"{peer}, compiled"] = [*contenders[peer], "--compiled"]
        found = {contender: [] for contender in contenders}
        for _ in range(rounds):
            for contender, command in contenders.items():
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode == 0:
                    found[contender].append(json.loads(done.stdout.strip().splitlines()[-1]))
        print(name)
        for contender, results in found.items():
            for key in results[0] if results else []:
                values = np.array([r[key] for r in results])
                if key == "error":
                    print(f"  {contender:22}largest error {values.max():.1e}")
                    continue
                ratio = np.median(np.array([r[key] for r in found["genzoo"]]) / values)
                print(
                    f"  {contender:22}{key:10}{np.median(values):>12,.0f} a second "
                    f"({values.min():,.0f}-{values.max():,.0f}){ratio:>8.2f} x"
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", choices=list(SIZES))
    parser.add_argument("--peer", choices=["zuko", "nflows", "normflows"])
    parser.add_argument("--compiled", action="store_true", help="torch.compile")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--compare", action="store_true", help="run all contenders by turns")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of --compare")
    parser.add_argument("--peer-python", default=sys.executable, metavar="PYTHON")
    arguments = parser.parse_args()
    if arguments.compare:
        names = [arguments.model] if arguments.model else list(SIZES)
        compare(names, arguments.rounds, arguments.repeats, arguments.peer_python)
    elif arguments.peer:
        work = (arguments.peer, arguments.model, arguments.repeats, arguments.compiled)
        print(json.dumps(time_torch(*work)))
    else:
        print(json.dumps(time_genzoo(arguments.model or "maf43", arguments.repeats)))


if __name__ == "__main__":
    main()
