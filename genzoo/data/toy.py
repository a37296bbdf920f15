"""Two-dimensional toy sets with seeds."""

import numpy as np

from genzoo.core.checks import check_int, check_name, check_seed


def _moons(n, random):
    upper = random.random(n) < 0.5
    angle = random.uniform(0, np.pi, n)
    x = np.where(upper, np.cos(angle), 1 - np.cos(angle))
    y = np.where(upper, np.sin(angle), 0.5 - np.sin(angle))
    return np.stack([x, y], 1) + random.normal(0, 0.1, (n, 2))


def _rings(n, random):
    radius = random.integers(1, 4, n) + random.normal(0, 0.08, n)
    angle = random.uniform(0, 2 * np.pi, n)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)


def _eight_gaussians(n, random):
    angle = random.integers(0, 8, n) * np.pi / 4
    return 2 * np.stack([np.cos(angle), np.sin(angle)], 1) + random.normal(0, 0.2, (n, 2))


def _gaussian_ring(n, random):
    angle = random.integers(0, 8, n) * np.pi / 4
    return 2 * np.stack([np.cos(angle), np.sin(angle)], 1) + random.normal(0, 0.02, (n, 2))


def _gaussian_grid(n, random):
    return 2.0 * random.integers(-2, 3, (n, 2)) + random.normal(0, 0.05, (n, 2))


def _checkerboard(n, random):
    x = random.uniform(-2, 2, n)
    row = random.integers(0, 2, n) * 2 + np.floor(x) % 2
    return np.stack([x, random.uniform(0, 1, n) + row - 2], 1)


def _spirals(n, random):
    angle = 3 * np.pi * np.sqrt(random.random(n))
    arm = random.choice([-1.0, 1.0], n)
    spiral = np.stack([-np.cos(angle) * angle, np.sin(angle) * angle], 1) / 3
    return arm[:, None] * spiral + random.normal(0, 0.1, (n, 2))


def _pinwheel(n, random):
    arm = random.integers(0, 5, n)
    radial = random.normal(1, 0.3, n)
    across = random.normal(0, 0.05, n)
    angle = 2 * np.pi * arm / 5 + 0.25 * np.exp(radial)
    x = radial * np.cos(angle) - across * np.sin(angle)
    y = radial * np.sin(angle) + across * np.cos(angle)
    return 2 * np.stack([x, y], 1)


TOYS = {
    "checkerboard": _checkerboard,
    "eight_gaussians": _eight_gaussians,
    "gaussian_grid": _gaussian_grid,
    "gaussian_ring": _gaussian_ring,
    "moons": _moons,
    "pinwheel": _pinwheel,
    "rings": _rings,
    "spirals": _spirals,
}


def toy(name: str, n: int = 2000, *, seed: int = 0) -> np.ndarray:
    """Draw a toy set.

    Args:
        name: `"checkerboard"`, `"eight_gaussians"`, `"moons"`, `"pinwheel"`, `"rings"` (three),
            `"spirals"` (two), or the narrow Gaussians on which GANs are tried: `"gaussian_ring"`
            (8 of standard deviation 0.02, at radius 2) and `"gaussian_grid"` (5 x 5 of 0.05, 2
            apart; Lin et al. 2018).
        n: Number of points.
        seed: The same seed gives the same points.

    Returns:
        Array [n, 2], float32.

    Example:

    >>> genzoo.data.toy("moons", 3, seed=0).shape
    (3, 2)
    """
    draw = TOYS[check_name(name, TOYS, "toy set")]
    random = np.random.default_rng(check_seed(seed))
    return draw(check_int(n, "n"), random).astype(np.float32)
