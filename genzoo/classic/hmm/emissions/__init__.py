"""What a state emits: a normal, a mixture of them, symbols or counts.

A new emission is a file here, a class derived from `Emission` that answers its questions, and its
line in the table below.
"""

import functools

from genzoo.classic.hmm.emissions.categorical import CategoricalEmission
from genzoo.classic.hmm.emissions.emission import Emission, Settings
from genzoo.classic.hmm.emissions.gaussian import GaussianEmission
from genzoo.classic.hmm.emissions.mixture_of_gaussians import GaussianMixtureEmission
from genzoo.classic.hmm.emissions.multinomial import MultinomialEmission
from genzoo.classic.hmm.emissions.poisson import PoissonEmission

EMISSIONS: dict[str, type[Emission]] = {
    "gaussian": GaussianEmission,
    "gaussian_mixture": GaussianMixtureEmission,
    "categorical": CategoricalEmission,
    "poisson": PoissonEmission,
    "multinomial": MultinomialEmission,
}


@functools.lru_cache(maxsize=32)
def make_emission(name: str, settings: Settings) -> Emission:
    """Return an emission, one for all models of a form: XLA compiles its functions once."""
    return EMISSIONS[name](settings)
