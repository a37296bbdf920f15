"""Time to the first training step, and samples a second afterwards, of genzoo and its peers.

    python benchmarks/training_step.py --model maf                       # genzoo alone
    python benchmarks/training_step.py --model maf --peer zuko           # a peer, where installed
    python benchmarks/training_step.py --model maf --compare             # all by turns

Work, each with Adam:
    realnvp   43 features, 10 affine couplings, networks of 2 x 128, batch 256
    maf       43 features, 5 masked autoregressive steps, networks of 2 x 512, batch 256
    spline    43 features, 5 rational-quadratic couplings, 8 bins, networks of 2 x 128, batch 256
    glow      images of 32 x 32 x 1, 3 levels of 8 steps, networks of width 64, batch 64

The first step counts from the call of `fit`, tracing included; libraries are imported before, and
genzoo's import of TensorFlow Probability, which waits for the first use, is timed apart. With
--compare, each round runs each contender once in a process of its own; --peer-python names the
Python that has the peers.
"""

import argparse
import json
import subprocess
import sys
import time

import numpy as np

D = 43
BATCH = {"realnvp": 256, "maf": 256, "spline": 256, "glow": 64}
STEPS = {"realnvp": 100, "maf": 40, "spline": 40, "glow": 10}
SHAPE = {"realnvp": (D,), "maf": (D,), "spline": (D,), "glow": (32, 32, 1)}
PEERS = {
    "realnvp": ["zuko", "normflows"],
    "maf": ["zuko", "nflows"],
    "spline": ["zuko", "nflows"],
    "glow": ["normflows"],
}


def data(name: str) -> np.ndarray:
    rows = BATCH[name] * STEPS[name]
    return np.random.default_rng(0).normal(size=(rows, *SHAPE[name])).astype("float32")


def genzoo_model(name: str):
    import genzoo

    arguments = {"seed": 0, "preprocessing": "standardize"}
    if name == "realnvp":
        return genzoo.RealNVP(
            (D,), num_couplings=10, hidden_units=(128, 128), permutation=None, **arguments
        )
    if name == "maf":
        return genzoo.MAF((D,), num_transforms=5, hidden_units=(512, 512), **arguments)
    if name == "spline":
        return genzoo.NeuralSplineFlow(
            (D,), num_transforms=5, num_bins=8, hidden_units=(128, 128), permutation=None,
            **arguments,
        )  # fmt: skip
    return genzoo.Glow((32, 32, 1), num_levels=3, num_steps=8, filters=64, **arguments)


def time_genzoo(name: str, repeats: int, steps_per_execution: int | None, xla: bool) -> dict:
    import keras

    import genzoo
    from genzoo.core.engine.adam import Adam

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
            self.rates.append(len(x) / (time.perf_counter() - self.began))

    began = time.perf_counter()
    genzoo.RealNVP((2,)).distribution()
    import_seconds = time.perf_counter() - began
    x = data(name)
    model = genzoo_model(name)
    if steps_per_execution or xla:
        model.compile(
            optimizer=Adam(model.default_learning_rate),
            steps_per_execution=steps_per_execution or model.default_steps_per_execution,
            jit_compile=xla,
        )
    clock = Clock()
    began = time.perf_counter()
    model.fit(x, epochs=repeats + 2, batch_size=BATCH[name], verbose=0, callbacks=[clock])
    return {
        "parameters": int(sum(np.prod(v.shape) for v in model.trainable_variables)),
        "import_tfp_s": import_seconds,
        "first_step_s": clock.first - began,
        "samples_per_s": clock.rates[2:],
    }


def zuko_flow(name: str):
    import zuko

    if name == "realnvp":
        return zuko.flows.RealNVP(D, transforms=10, hidden_features=(128, 128))
    if name == "maf":
        return zuko.flows.MAF(D, transforms=5, hidden_features=(512, 512))
    return zuko.flows.NSF(D, bins=8, transforms=5, hidden_features=(128, 128), passes=2)


def nflows_flow(name: str):
    import torch
    from nflows.distributions.normal import StandardNormal
    from nflows.flows import Flow
    from nflows.transforms import (
        CompositeTransform,
        MaskedAffineAutoregressiveTransform,
        PiecewiseRationalQuadraticCouplingTransform,
        ReversePermutation,
    )

    class Network(torch.nn.Sequential):
        def __init__(self, inputs, outputs):
            super().__init__(
                torch.nn.Linear(inputs, 128), torch.nn.ReLU(),
                torch.nn.Linear(128, 128), torch.nn.ReLU(),
                torch.nn.Linear(128, outputs),
            )  # fmt: skip

        def forward(self, x, context=None):
            return super().forward(x)

    steps = []
    for i in range(5):
        if name == "maf":
            steps.append(
                MaskedAffineAutoregressiveTransform(D, 512, num_blocks=1, use_residual_blocks=False)
            )
            steps.append(ReversePermutation(D))
        else:
            mask = (np.arange(D) % 2 == i % 2).astype("float32")
            steps.append(
                PiecewiseRationalQuadraticCouplingTransform(
                    torch.from_numpy(mask), Network, num_bins=8, tails="linear", tail_bound=5.0
                )
            )
    return Flow(CompositeTransform(steps), StandardNormal([D]))


def normflows_flow(name: str):
    import normflows

    if name == "realnvp":
        layers = []
        for _ in range(10):
            widths = [D - D // 2, 128, 128, 2 * (D // 2)]
            network = normflows.nets.MLP(widths, init_zeros=True)
            layers += [
                normflows.flows.AffineCouplingBlock(network),
                normflows.flows.Permute(D, mode="swap"),
            ]
        base = normflows.distributions.DiagGaussian(D, trainable=False)
        return normflows.NormalizingFlow(base, layers)
    bases, merges, flows = [], [], []
    levels = 3
    for i in range(levels):
        channels = 2 ** (levels + 1 - i)
        blocks = [normflows.flows.GlowBlock(channels, 64) for _ in range(8)]
        flows.append([*blocks, normflows.flows.Squeeze()])
        side = 32 // 2 ** (levels - i)
        shape = (channels, side, side)
        if i > 0:
            merges.append(normflows.flows.Merge())
            shape = (channels // 2, side, side)
        bases.append(normflows.distributions.DiagGaussian(shape, trainable=False))
    return normflows.MultiscaleFlow(bases, flows, merges, class_cond=False)


def torch_flow(peer: str, name: str):
    """Return a peer's flow and its log-density."""
    flow = {"zuko": zuko_flow, "nflows": nflows_flow, "normflows": normflows_flow}[peer](name)
    if peer == "zuko":
        return flow, lambda rows: flow().log_prob(rows)
    if name == "glow":
        return flow, lambda rows: flow.log_prob(rows, None)
    return flow, flow.log_prob


def time_torch(peer: str, name: str, repeats: int, compiled: bool) -> dict:
    import torch

    torch.manual_seed(0)
    x = torch.from_numpy(data(name))
    if name == "glow":
        x = x.permute(0, 3, 1, 2).contiguous()
    flow, log_prob = torch_flow(peer, name)
    with torch.no_grad():
        log_prob(x[:8])  # nflows and Glow make or start weights here

    def loss(rows):
        return -log_prob(rows).mean()

    if compiled:
        loss = torch.compile(loss)
    optimizer = torch.optim.Adam(flow.parameters(), 1e-3)

    def epoch():
        for rows in torch.randperm(len(x)).split(BATCH[name]):
            optimizer.zero_grad()
            loss(x[rows]).backward()
            optimizer.step()

    began = time.perf_counter()
    loss(x[: BATCH[name]]).backward()
    optimizer.step()
    first = time.perf_counter() - began
    epoch()
    rates = []
    for _ in range(repeats):
        began = time.perf_counter()
        epoch()
        rates.append(len(x) / (time.perf_counter() - began))
    parameters = sum(p.numel() for p in flow.parameters())
    return {"parameters": parameters, "first_step_s": first, "samples_per_s": rates}


def compare(name: str, rounds: int, repeats: int, peer_python: str) -> None:
    base = ["--model", name, "--repeats", str(repeats)]
    contenders = {"genzoo": [sys.executable, __file__, *base]}
    for peer in PEERS[name]:
        command = [peer_python, __file__, *base, "--peer", peer]
        contenders[peer] = command
        contenders[f"{peer}, compiled"] = [*command, "--compiled"]
    found = {contender: [] for contender in contenders}
    for _ in range(rounds):
        for contender, command in contenders.items():
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                found[contender].append(json.loads(done.stdout.strip().splitlines()[-1]))
    print(f"{name:22}{'parameters':>11}{'first step, s':>22}{'samples/s':>26}{'genzoo is':>12}")
    ours = [r["median_samples_per_s"] for r in found["genzoo"]]
    for contender, results in found.items():
        if not results:
            print(f"{contender:22} did not run")
            continue
        first = np.array([r["first_step_s"] for r in results])
        rate = np.array([r["median_samples_per_s"] for r in results])
        ratio = np.median(np.array(ours[: len(rate)]) / rate)
        print(
            f"{contender:22}{results[0]['parameters']:>11,}"
            f"{np.median(first):>9.2f} ({first.min():.2f}-{first.max():.2f})"
            f"{np.median(rate):>12,.0f} ({rate.min():,.0f}-{rate.max():,.0f})"
            f"{ratio:>7.2f} x"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", choices=list(BATCH), default="realnvp")
    parser.add_argument("--peer", choices=["zuko", "nflows", "normflows"])
    parser.add_argument("--compiled", action="store_true", help="torch.compile, or XLA for genzoo")
    parser.add_argument("--repeats", type=int, default=5, help="epochs timed")
    parser.add_argument("--steps-per-execution", type=int)
    parser.add_argument("--compare", action="store_true", help="run all contenders by turns")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of --compare")
    parser.add_argument("--peer-python", default=sys.executable, metavar="PYTHON")
    arguments = parser.parse_args()
    name, repeats = arguments.model, arguments.repeats
    if arguments.compare:
        compare(name, arguments.rounds, repeats, arguments.peer_python)
        return
    if arguments.peer:
        result = time_torch(arguments.peer, name, repeats, arguments.compiled)
    else:
        result = time_genzoo(name, repeats, arguments.steps_per_execution, arguments.compiled)
    result["median_samples_per_s"] = float(np.median(result["samples_per_s"]))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
