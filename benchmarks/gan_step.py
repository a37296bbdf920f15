"""Training steps of a DCGAN: genzoo beside the same networks in PyTorch, eager and compiled.

    python benchmarks/gan_step.py --size 28                                   # genzoo alone
    python benchmarks/gan_step.py --size 28 --compare --peer-python PYTHON    # all by turns

28 x 28 x 1 or 64 x 64 x 3, batch 128, 64 filters at the finest scale, latent 100, batch
normalisation, Adam at 2e-4; a step is an update of the discriminator and one of the generator on
the same noise. With --compare, each round runs each contender once, in a process of its own; the
first steps, which compile, are left out.
"""

import argparse
import json
import subprocess
import sys
import time

import numpy as np

BATCH, FILTERS, LATENT = 128, 64, 100
CONTENDERS = {"genzoo": "genzoo", "PyTorch, eager": "torch", "PyTorch, compiled": "torch-compiled"}
SHAPES = {28: (28, 28, 1), 64: (64, 64, 3)}
WARM = 2


def images(size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (BATCH, *SHAPES[size])).astype("uint8")


def time_genzoo(size: int, steps: int) -> dict:
    import keras

    import genzoo

    class Clock(keras.callbacks.Callback):
        ends = ()

        def on_train_batch_end(self, batch, logs=None):
            self.ends = (*self.ends, time.perf_counter())

    model = genzoo.DCGAN(SHAPES[size], latent_dim=LATENT, filters=FILTERS, levels=256, seed=0)
    clock, began = Clock(), time.perf_counter()
    x = np.repeat(images(size)[None], steps + WARM, axis=0).reshape(-1, *SHAPES[size])
    model.fit(x, epochs=1, batch_size=BATCH, callbacks=[clock], verbose=0)
    networks = (model.generator_network, model.discriminator_network)
    return {
        "parameters": sum(
            int(np.prod(v.shape)) for net in networks for v in net.trainable_variables
        ),
        "first": clock.ends[0] - began,
        "seconds": float(np.median(np.diff(clock.ends)[WARM - 1 :])),
    }


def time_torch(size: int, steps: int, compiled: bool) -> dict:
    import torch
    from torch import nn

    torch.manual_seed(0)
    height, _, channels = SHAPES[size]
    sizes = [height]
    while sizes[-1] > 4:
        sizes.append(-(-sizes[-1] // 2))
    widths = [FILTERS * min(2**i, 8) for i in range(len(sizes) - 1)]

    class Generator(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(LATENT, widths[-1] * sizes[-1] ** 2)
            layers = [nn.BatchNorm2d(widths[-1]), nn.ReLU()]
            for i in reversed(range(len(widths))):
                even = sizes[i] % 2 == 0
                out = widths[i - 1] if i else channels
                layers.append(
                    nn.ConvTranspose2d(
                        widths[i], out, 4, 2, 1 if even else 2, 0 if even else 1, bias=i == 0
                    )
                )
                layers += [nn.BatchNorm2d(out), nn.ReLU()] if i else [nn.Tanh()]
            self.layers = nn.Sequential(*layers)

        def forward(self, z):
            return self.layers(self.first(z).reshape(-1, widths[-1], sizes[-1], sizes[-1]))

    def discriminator():
        layers, fan_in = [], channels
        for i, width in enumerate(widths):
            pad = 1 if sizes[i] % 2 == 0 else 2
            layers.append(nn.Conv2d(fan_in, width, 4, 2, pad, bias=i == 0))
            layers += [nn.BatchNorm2d(width)] if i else []
            layers.append(nn.LeakyReLU(0.2))
            fan_in = width
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(fan_in * sizes[-1] ** 2, 1))

    nets = {"generator": Generator(), "discriminator": discriminator()}
    adams = {
        name: torch.optim.Adam(net.parameters(), 2e-4, betas=(0.5, 0.999), fused=True)
        for name, net in nets.items()
    }
    parameters = sum(p.numel() for net in nets.values() for p in net.parameters())
    if compiled:
        nets = {name: torch.compile(net) for name, net in nets.items()}
    x = torch.from_numpy(images(size)).permute(0, 3, 1, 2)
    softplus, ends, began = nn.functional.softplus, [], time.perf_counter()
    for _ in range(steps + WARM):
        real = (x.float() + 0.5) / 128 - 1
        fake = nets["generator"](torch.randn(BATCH, LATENT))
        judge = nets["discriminator"]
        loss = softplus(-judge(real)).mean() + softplus(judge(fake.detach())).mean()
        adams["discriminator"].zero_grad()
        loss.backward()
        adams["discriminator"].step()
        loss = softplus(-judge(fake)).mean()
        adams["generator"].zero_grad()
        loss.backward()
        adams["generator"].step()
        ends.append(time.perf_counter())
    return {
        "parameters": parameters,
        "first": ends[0] - began,
        "seconds": float(np.median(np.diff(ends)[WARM - 1 :])),
    }


def compare(size: int, steps: int, rounds: int, peer_python: str) -> None:
    found = {name: [] for name in CONTENDERS}
    for _ in range(rounds):
        for name, kind in CONTENDERS.items():
            python = sys.executable if kind == "genzoo" else peer_python
            command = [python, __file__, "--contender", kind, "--size", size, "--steps", steps]
            done = subprocess.run(
                [str(part) for part in command], capture_output=True, text=True, check=False
            )
            if done.returncode == 0:
                found[name].append(json.loads(done.stdout.strip().splitlines()[-1]))
    ours = [result["seconds"] for result in found["genzoo"]]
    print(f"{'':20}{'parameters':>12}{'first step, s':>15}{'seconds a step':>24}{'genzoo is':>20}")
    for name, results in found.items():
        if not results:
            print(f"{name:20} did not run")
            continue
        seconds = np.array([r["seconds"] for r in results])
        ratio = np.median(seconds / np.array(ours[: len(seconds)]))
        print(
            f"{name:20}{results[0]['parameters']:>12,}"
            f"{np.median([r['first'] for r in results]):>15.1f}"
            f"{np.median(seconds):>10.3f} ({seconds.min():.3f}-{seconds.max():.3f})"
            f"{ratio:>9.2f} times faster"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", type=int, choices=list(SHAPES), default=28)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--compare", action="store_true", help="run all contenders by turns")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of --compare")
    parser.add_argument("--peer-python", default=sys.executable, metavar="PYTHON")
    parser.add_argument("--contender", choices=list(CONTENDERS.values()), default="genzoo")
    arguments = parser.parse_args()
    size, steps = arguments.size, arguments.steps
    if arguments.compare:
        compare(size, steps, arguments.rounds, arguments.peer_python)
    elif arguments.contender == "genzoo":
        print(json.dumps(time_genzoo(size, steps)))
    else:
        print(json.dumps(time_torch(size, steps, arguments.contender == "torch-compiled")))


if __name__ == "__main__":
    main()
