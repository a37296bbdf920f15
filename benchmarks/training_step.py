"""Time to the first training step, and samples a second afterwards, of RealNVP.

    python benchmarks/training_step.py                      # genzoo alone
    python benchmarks/training_step.py --peer normflows     # a peer, where it is installed

D = 43, 10 affine couplings with networks of 2 x 128, batch 256, Adam. `benchmarks/run_peers.py`
runs all of them by turns and prints medians and ratios.
"""

import argparse
import json
import time

import numpy as np

DIMENSION, COUPLINGS, UNITS, BATCH, ROWS = 43, 10, 128, 256, 25_600


def data() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(ROWS, DIMENSION)).astype("float32")


def time_genzoo(repeats: int, steps_per_execution: int | None, jit_compile: bool) -> dict:
    import keras

    import genzoo

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

    x = data()
    model = genzoo.RealNVP(
        (DIMENSION,), num_couplings=COUPLINGS, hidden_units=(UNITS, UNITS), permutation=None, seed=0
    )
    if steps_per_execution or jit_compile:
        model.compile(
            optimizer=model._default_optimizer(),
            steps_per_execution=steps_per_execution or model.default_steps_per_execution,
            jit_compile=jit_compile,
        )
    clock = Clock()
    began = time.perf_counter()
    model.fit(x, epochs=repeats + 2, batch_size=BATCH, verbose=0, callbacks=[clock])
    return {
        "parameters": model.count_params(),
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
    elif peer == "normflows":
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
    else:
        from nflows.flows.realnvp import SimpleRealNVP

        flow = SimpleRealNVP(DIMENSION, UNITS, COUPLINGS, 2)
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--peer", choices=["zuko", "normflows", "nflows"])
    parser.add_argument("--compiled", action="store_true", help="torch.compile, or XLA for genzoo")
    parser.add_argument("--repeats", type=int, default=5, help="epochs timed")
    parser.add_argument("--steps-per-execution", type=int)
    arguments = parser.parse_args()
    if arguments.peer:
        result = time_torch(arguments.peer, arguments.repeats, arguments.compiled)
    else:
        steps = arguments.steps_per_execution
        result = time_genzoo(arguments.repeats, steps, arguments.compiled)
    result["median_samples_per_s"] = float(np.median(result["samples_per_s"]))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
