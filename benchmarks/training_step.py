"""Time to the first training step, and samples a second afterwards, of RealNVP.

    python benchmarks/training_step.py                      # genzoo alone
    python benchmarks/training_step.py --peer normflows     # a peer, where it is installed
    python benchmarks/training_step.py --compare            # all by turns, medians and ratios

D = 43, 10 affine couplings with networks of 2 x 128, batch 256, Adam. The first step counts from
the call of `fit`, tracing included; libraries are imported before, and genzoo's import of
TensorFlow Probability, which waits for the first use, is timed apart. With --compare, each round
runs each contender once in a process of its own; --peer-python names the Python that has the peers.
"""

import argparse
import json
import subprocess
import sys
import time

import numpy as np

DIMENSION, COUPLINGS, UNITS, BATCH, ROWS = 43, 10, 128, 256, 25_600


def data() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(ROWS, DIMENSION)).astype("float32")


def time_genzoo(repeats: int, steps_per_execution: int | None, jit_compile: bool) -> dict:
    import keras

    import genzoo
    from genzoo.core.adam import Adam

    class Clock(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.first = None
            self.rates = []

        def on_train_batch_end(self, batch, logs=None):
            self.first = self.first or time.perf_counter()

        def on_epoch_begin(self, epoch, logs=None):
            self.began = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            self.rates.append(ROWS / (time.perf_counter() - self.began))

    began = time.perf_counter()
    genzoo.RealNVP((2,)).distribution()
    import_seconds = time.perf_counter() - began
    x = data()
    model = genzoo.RealNVP(
        (DIMENSION,), num_couplings=COUPLINGS, hidden_units=(UNITS, UNITS), permutation=None, seed=0
    )
    if steps_per_execution or jit_compile:
        model.compile(
            optimizer=Adam(model.default_learning_rate),
            steps_per_execution=steps_per_execution or model.default_steps_per_execution,
            jit_compile=jit_compile,
        )
    clock = Clock()
    began = time.perf_counter()
    model.fit(x, epochs=repeats + 2, batch_size=BATCH, verbose=0, callbacks=[clock])
    return {
        "parameters": model.count_params(),
        "import_tfp_s": import_seconds,
        "first_step_s": clock.first - began,
        "samples_per_s": clock.rates[2:],
    }


def time_torch(peer: str, repeats: int, compiled: bool) -> dict:
    import torch

    torch.manual_seed(0)
    x = torch.from_numpy(data())
    if peer == "zuko":
        import zuko

        flow = zuko.flows.RealNVP(DIMENSION, transforms=COUPLINGS, hidden_features=(UNITS, UNITS))

        def log_prob(rows):
            return flow().log_prob(rows)
    else:
        import normflows

        layers = []
        for _ in range(COUPLINGS):
            widths = [DIMENSION - DIMENSION // 2, UNITS, UNITS, 2 * (DIMENSION // 2)]
            network = normflows.nets.MLP(widths, init_zeros=True)
            layers += [
                normflows.flows.AffineCouplingBlock(network),
                normflows.flows.Permute(DIMENSION, mode="swap"),
            ]
        base = normflows.distributions.DiagGaussian(DIMENSION, trainable=False)
        flow = normflows.NormalizingFlow(base, layers)
        log_prob = flow.log_prob

    def loss(rows):
        return -log_prob(rows).mean()

    if compiled:
        loss = torch.compile(loss)
    optimizer = torch.optim.Adam(flow.parameters(), 1e-3)

    def epoch():
        for rows in torch.randperm(ROWS).split(BATCH):
            optimizer.zero_grad()
            loss(x[rows]).backward()
            optimizer.step()

    began = time.perf_counter()
    loss(x[:BATCH]).backward()
    optimizer.step()
    first = time.perf_counter() - began
    epoch()
    rates = []
    for _ in range(repeats):
        began = time.perf_counter()
        epoch()
        rates.append(ROWS / (time.perf_counter() - began))
    parameters = sum(p.numel() for p in flow.parameters())
    return {"parameters": parameters, "first_step_s": first, "samples_per_s": rates}


def compare(rounds: int, peer_python: str) -> None:
    contenders = {
        "genzoo": [sys.executable, __file__],
        "zuko": [peer_python, __file__, "--peer", "zuko"],
        "normflows": [peer_python, __file__, "--peer", "normflows"],
        "normflows, compiled": [peer_python, __file__, "--peer", "normflows", "--compiled"],
    }
    found = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, command in contenders.items():
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                found[name].append(json.loads(done.stdout.strip().splitlines()[-1]))
    print(f"{'':22}{'parameters':>11}{'first step, s':>22}{'samples/s':>26}{'genzoo is':>12}")
    ours = [r["median_samples_per_s"] for r in found["genzoo"]]
    for name, results in found.items():
        if not results:
            print(f"{name:22} did not run")
            continue
        first = np.array([r["first_step_s"] for r in results])
        rate = np.array([r["median_samples_per_s"] for r in results])
        ratio = np.median(np.array(ours[: len(rate)]) / rate)
        print(
            f"{name:22}{results[0]['parameters']:>11,}"
            f"{np.median(first):>9.2f} ({first.min():.2f}-{first.max():.2f})"
            f"{np.median(rate):>12,.0f} ({rate.min():,.0f}-{rate.max():,.0f})"
            f"{ratio:>7.2f} x"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--peer", choices=["zuko", "normflows"])
    parser.add_argument("--compiled", action="store_true", help="torch.compile, or XLA for genzoo")
    parser.add_argument("--repeats", type=int, default=5, help="epochs timed")
    parser.add_argument("--steps-per-execution", type=int)
    parser.add_argument("--compare", action="store_true", help="run all contenders by turns")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of --compare")
    parser.add_argument("--peer-python", default=sys.executable, metavar="PYTHON")
    arguments = parser.parse_args()
    if arguments.compare:
        compare(arguments.rounds, arguments.peer_python)
        return
    if arguments.peer:
        result = time_torch(arguments.peer, arguments.repeats, arguments.compiled)
    else:
        steps = arguments.steps_per_execution
        result = time_genzoo(arguments.repeats, steps, arguments.compiled)
    result["median_samples_per_s"] = float(np.median(result["samples_per_s"]))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
