"""Modes found on a ring of 8 and a grid of 25 narrow Gaussians, per loss and remedy.

    python benchmarks/gan_modes.py
    python benchmarks/gan_modes.py --only default hinge --steps 5000 --seeds 1

The model's own networks (3 x 128 each, latent 2) and rate, batch 256; 2,500 samples, of which
those within three standard deviations of a mode count as of high quality, and a mode with one of
them as found (Lin et al. 2018). Median and range over the seeds. The discriminator that the
generator looks ahead of (unrolled_steps) learns at a tenth of the rate, as in Metz et al. 2017.
"""

import argparse
import time

import numpy as np

ANGLES = np.arange(8) * np.pi / 4
RING = 2 * np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)
GRID = 2.0 * np.stack(np.meshgrid(range(-2, 3), range(-2, 3)), axis=2).reshape(-1, 2)
# centres of the modes, and three standard deviations
SETS = {"gaussian_ring": (RING, 0.06), "gaussian_grid": (GRID, 0.15)}
# (model, arguments): losses with the default's penalty, remedies without it
ALONE = {"penalty": None}
CONTENDERS = {
    "default": ("gan", {}),
    "minimax": ("gan", {"loss": "minimax"}),
    "least_squares": ("gan", {"loss": "least_squares"}),
    "hinge": ("gan", {"loss": "hinge"}),
    "wgan_gp": ("wgan_gp", {}),
    "no penalty": ("gan", ALONE),
    "dragan": ("dragan", {}),
    "label_smoothing": ("gan", {"label_smoothing": 0.1, **ALONE}),
    "instance_noise": ("gan", {"instance_noise": 0.05, **ALONE}),
    "spectral_normalization": ("gan", {"spectral_normalization": True, **ALONE}),
    "minibatch_discrimination": ("gan", {"minibatch_discrimination": True, **ALONE}),
    "unrolled_steps": ("gan", {"unrolled_steps": 5, **ALONE}),
}
# the generator's rate and the discriminator's; without an entry the model's own, 1e-3 for both
OPTIMIZERS = {"unrolled_steps": (1e-3, 1e-4)}
BATCH, STEPS_AN_EPOCH = 256, 100


def run(name: str, toy: str, steps: int, seed: int) -> tuple[int, float, float]:
    import keras

    import genzoo

    model_name, arguments = CONTENDERS[name]
    model = genzoo.build(model_name, event_shape=(2,), seed=seed, **arguments)
    x = genzoo.data.toy(toy, BATCH * STEPS_AN_EPOCH * model.discriminator_steps, seed=seed)
    if name in OPTIMIZERS:
        optimizers = [keras.optimizers.Adam(rate, beta_1=0.5) for rate in OPTIMIZERS[name]]
        model.compile(*optimizers, steps_per_execution=model.default_steps_per_execution)
    began = time.perf_counter()
    model.fit(x, epochs=steps // STEPS_AN_EPOCH, batch_size=BATCH, verbose=0)
    seconds = time.perf_counter() - began
    return *genzoo.metrics.mode_coverage(model.sample(2500, seed=0), *SETS[toy]), seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="+", choices=list(CONTENDERS), default=list(CONTENDERS))
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--steps", type=int, default=3_000, help="of the generator")
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    print(f"{'':28}{'set':16}{'modes':>14}{'high quality':>22}{'seconds':>9}")
    for name in arguments.only:
        for toy in arguments.sets:
            results = [run(name, toy, arguments.steps, seed) for seed in range(arguments.seeds)]
            modes, shares, seconds = (np.array(column) for column in zip(*results, strict=True))
            print(
                f"{name:28}{toy:16}{np.median(modes):>6.0f} ({modes.min()}-{modes.max()})".ljust(60)
                + f"{np.median(shares):>8.2f} ({shares.min():.2f}-{shares.max():.2f})"
                f"{np.median(seconds):>9.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
