"""Normals in many dimensions: densities, missing values, sums and types of covariances.

`Normals` looks at rows in graph, complete or not: log-densities of normals and of mixtures of them,
and the sums from which `update_normals` makes new ones. `COVARIANCES` holds the four types.
`ConditionalMixture` is what a mixture says of missing values given others.
"""

from genzoo.classic.gaussians.conditional_mixture import ConditionalMixture
from genzoo.classic.gaussians.covariances import COVARIANCES, update_normals
from genzoo.classic.gaussians.normals import Normals, make_normals
from genzoo.classic.gaussians.responsibilities import posterior

__all__ = [
    "COVARIANCES",
    "ConditionalMixture",
    "Normals",
    "make_normals",
    "posterior",
    "update_normals",
]
