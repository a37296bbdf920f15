"""Test bits/dim on digits: scikit-learn's mixtures beside genzoo's models, on the same split.

    python benchmarks/digits.py

17 grey levels, so chance is 4.09 bits/dim. Integers are scored with uniform noise: scikit-learn's
mixtures are fitted to x + u and scored at x + u; all figures are upper bounds in expectation.
"""

import time

import numpy as np
from sklearn.mixture import GaussianMixture

import genzoo

SEEDS = (0, 1, 2)


def bits(nats_per_image: float) -> float:
    return -nats_per_image / (64 * np.log(2))


def scikit_learn(data, covariance_type: str, num_components: int, seed: int) -> float:
    random = np.random.default_rng(seed)

    def dequantize(x):
        return (x + random.random(x.shape)).reshape(len(x), -1)

    model = GaussianMixture(num_components, covariance_type=covariance_type, random_state=seed)
    return bits(model.fit(dequantize(data.x_train)).score(dequantize(data.x_test)))


def ours(data, name: str, seed: int, **options) -> float:
    model = genzoo.build(name, event_shape=(8, 8, 1), seed=seed, **options)
    if name == "gaussian_mixture":
        model.fit(data.x_train, verbose=0)
        return float(model.bits_per_dim(data.x_test).mean())
    genzoo.training.train(model, data.x_train, verbose=0)
    num_samples = 100 if name == "vae" else 1
    return float(model.bits_per_dim(data.x_test, num_samples=num_samples).mean())


def main() -> None:
    data = genzoo.data.load("digits", seed=0)
    rows = {
        "scikit-learn, 50 diagonal components": lambda s: scikit_learn(data, "diag", 50, s),
        "scikit-learn, 5 full components": lambda s: scikit_learn(data, "full", 5, s),
        "GaussianMixture, 50 diagonal": lambda s: ours(
            data, "gaussian_mixture", s, num_components=50, covariance_type="diag"
        ),
        "GaussianMixture, 5 full": lambda s: ours(data, "gaussian_mixture", s, num_components=5),
        "VAE (bound of 100 draws)": lambda s: ours(data, "vae", s),
        "RealNVP": lambda s: ours(data, "realnvp", s),
    }
    for name, run in rows.items():
        began = time.perf_counter()
        found = [run(seed) for seed in SEEDS]
        seconds = (time.perf_counter() - began) / len(SEEDS)
        spread = f"{min(found):.3f}-{max(found):.3f}"
        print(f"{name:40} {np.median(found):.3f} ({spread}) {seconds:6.1f} s", flush=True)


if __name__ == "__main__":
    main()
