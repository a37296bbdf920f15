"""Pictures. Each function takes `ax=`, returns it, and never calls `show`."""

from genzoo.plotting.curves import history
from genzoo.plotting.density import density, reconstructions, states
from genzoo.plotting.latent import interpolations, manifold
from genzoo.plotting.samples import image_grid, marginals, samples, scatter

__all__ = [
    "density",
    "history",
    "image_grid",
    "interpolations",
    "manifold",
    "marginals",
    "reconstructions",
    "samples",
    "scatter",
    "states",
]
