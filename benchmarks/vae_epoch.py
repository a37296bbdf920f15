"""Seconds an epoch of a VAE on MNIST thresholded at one half: genzoo, a PyTorch loop and pythae.

    python benchmarks/vae_epoch.py                                  # genzoo alone
    python benchmarks/vae_epoch.py --compare --peer-python PYTHON   # all by turns

784-512-512-20 and back, ReLU, Bernoulli likelihood, Adam at 1e-3, batch 128, 60,000 images. With
--compare, each round runs each contender once, in a process of its own; each trains 3 epochs, the
first of which is left out. The loss is the mean of the last epoch, in nats an example. PyTorch's
loop indexes a tensor in memory and has Adam's fused kernel; pythae has its own trainer.
"""

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import time

import numpy as np

UNITS, LATENT, BATCH, EPOCHS = 512, 20, 128, 3
CONTENDERS = {
    "genzoo": "genzoo",
    "genzoo, mixed_bfloat16": "genzoo-bfloat16",
    "PyTorch": "torch",
    "pythae": "pythae",
}


def images() -> np.ndarray:
    import genzoo

    return genzoo.data.load("mnist").x_train


def time_genzoo(dtype: str) -> dict:
    import keras

    import genzoo

    x = images()
    model = genzoo.VAE(
        (28, 28, 1),
        latent_dim=LATENT,
        hidden_units=(UNITS, UNITS),
        likelihood="bernoulli",
        binarization="threshold",
        seed=0,
        dtype=dtype,
    )

    class Clock(keras.callbacks.Callback):
        seconds = ()

        def on_epoch_begin(self, epoch, logs=None):
            self.began = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            self.seconds = (*self.seconds, time.perf_counter() - self.began)

    clock = Clock()
    history = model.fit(x, epochs=EPOCHS, batch_size=BATCH, callbacks=[clock], verbose=0)
    return {
        "parameters": model.count_params() - 1,  # the weight of the KL divergence
        "seconds": clock.seconds[1:],
        "loss": history.history["loss"][-1],
    }


def torch_networks():
    import torch

    def stack(*widths):
        layers = []
        for fan_in, fan_out in itertools.pairwise(widths):
            layers += [torch.nn.Linear(fan_in, fan_out), torch.nn.ReLU()]
        return torch.nn.Sequential(*layers[:-1])

    torch.manual_seed(0)
    return stack(784, UNITS, UNITS, 2 * LATENT), stack(LATENT, UNITS, UNITS, 784)


def time_torch(x: np.ndarray) -> dict:
    import torch

    encoder, decoder = torch_networks()
    parameters = [*encoder.parameters(), *decoder.parameters()]
    optimizer = torch.optim.Adam(parameters, 1e-3, fused=True)
    x = torch.from_numpy(x).float()
    seconds = []
    for _ in range(EPOCHS):
        began, total = time.perf_counter(), 0.0
        for rows in torch.randperm(len(x)).split(BATCH):
            batch = x[rows]
            mean, log_variance = encoder(batch).chunk(2, dim=1)
            z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
            logits = decoder(z)
            entropy = torch.nn.functional.binary_cross_entropy_with_logits(
                logits, batch, reduction="sum"
            )
            kl = 0.5 * (log_variance.exp() + mean**2 - 1 - log_variance).sum()
            loss = (entropy + kl) / len(rows)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(rows)
        seconds.append(time.perf_counter() - began)
    return {
        "parameters": sum(p.numel() for p in parameters),
        "seconds": seconds[1:],
        "loss": total / len(x),
    }


def time_pythae(x: np.ndarray) -> dict:
    import torch
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig
    from pythae.trainers.training_callbacks import TrainingCallback

    first, second = torch_networks()

    class Encoder(BaseEncoder):
        def __init__(self):
            super().__init__()
            self.net = first

        def forward(self, x):
            mean, log_variance = self.net(x.reshape(len(x), -1)).chunk(2, dim=1)
            return ModelOutput(embedding=mean, log_covariance=log_variance)

    class Decoder(BaseDecoder):
        def __init__(self):
            super().__init__()
            self.net = torch.nn.Sequential(second, torch.nn.Sigmoid())

        def forward(self, z):
            return ModelOutput(reconstruction=self.net(z))

    class Clock(TrainingCallback):
        seconds = ()
        loss = None

        def on_epoch_begin(self, training_config, **kwargs):
            self.began = time.perf_counter()

        def on_epoch_end(self, training_config, **kwargs):
            self.seconds = (*self.seconds, time.perf_counter() - self.began)

        def on_log(self, training_config, logs, **kwargs):
            self.loss = logs.get("train_epoch_loss", self.loss)

    config = VAEConfig(input_dim=(784,), latent_dim=LATENT, reconstruction_loss="bce")
    model = VAE(config, encoder=Encoder(), decoder=Decoder())
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        trainer = BaseTrainer(
            model,
            train_dataset=BaseDataset(torch.from_numpy(x).float(), torch.zeros(len(x))),
            training_config=BaseTrainerConfig(
                output_dir=folder,
                num_epochs=EPOCHS,
                per_device_train_batch_size=BATCH,
                learning_rate=1e-3,
                no_cuda=True,
            ),
            callbacks=[clock],
        )
        trainer.train()
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds": clock.seconds[1:],
        "loss": clock.loss,
    }


def compare(rounds: int, peer_python: str) -> None:
    found = {name: [] for name in CONTENDERS}
    with tempfile.NamedTemporaryFile(suffix=".npy") as file:
        np.save(file, (images().reshape(-1, 784) > 127).astype("uint8"))
        file.flush()
        for _ in range(rounds):
            for name, kind in CONTENDERS.items():
                python = sys.executable if kind.startswith("genzoo") else peer_python
                command = [python, __file__, "--contender", kind, "--data", file.name]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode == 0:
                    found[name].append(json.loads(done.stdout.strip().splitlines()[-1]))
    ours = [np.median(r["seconds"]) for r in found["genzoo"]]
    print(f"{'':24}{'parameters':>11}{'seconds an epoch':>24}{'loss, nats':>12}{'to genzoo':>11}")
    for name, results in found.items():
        if not results:
            print(f"{name:24} did not run")
            continue
        seconds = np.array([np.median(r["seconds"]) for r in results])
        ratio = np.median(seconds / np.array(ours[: len(seconds)]))
        print(
            f"{name:24}{results[0]['parameters']:>11,}"
            f"{np.median(seconds):>10.2f} ({seconds.min():.2f}-{seconds.max():.2f})"
            f"{results[0]['loss']:>12.2f}{ratio:>9.2f} x"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--compare", action="store_true", help="run all contenders by turns")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of --compare")
    parser.add_argument("--peer-python", default=sys.executable, metavar="PYTHON")
    parser.add_argument("--contender", choices=list(CONTENDERS.values()), default="genzoo")
    parser.add_argument("--data", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.compare:
        compare(arguments.rounds, arguments.peer_python)
    elif arguments.contender.startswith("genzoo"):
        bfloat16 = arguments.contender == "genzoo-bfloat16"
        print(json.dumps(time_genzoo("mixed_bfloat16" if bfloat16 else "float32")))
    else:
        time_peer = {"torch": time_torch, "pythae": time_pythae}[arguments.contender]
        print(json.dumps(time_peer(np.load(arguments.data))))


if __name__ == "__main__":
    main()
