"""Tiny arguments of every registered model, in one table; a new model adds one line."""

import genzoo

_SMALL_GAN = {"latent_dim": 2, "generator_units": (16,), "discriminator_units": (16,)}

TINY = {
    "acgan": {**_SMALL_GAN, "filters": 4},
    "bayesian_gaussian_mixture": {
        "num_components": 3,
        "covariance_type": "diag",
        "reg_covar": 1e-3,
    },
    "conditional_gan": {**_SMALL_GAN, "filters": 4},
    "cyclegan": {"filters": 4, "num_blocks": 1},
    "dcgan": {"latent_dim": 2, "filters": 4},
    "dragan": {**_SMALL_GAN, "filters": 4},
    "flow_vae": {
        "latent_dim": 2,
        "hidden_units": (16,),
        "num_flow_steps": 2,
        "flow_filters": 4,
        "flow_hidden_units": (8,),
    },
    "gan": _SMALL_GAN,
    "gaussian_mixture": {"num_components": 3, "covariance_type": "diag", "reg_covar": 1e-3},
    "glow": {"num_levels": 1, "num_steps": 2, "filters": 8},
    "hidden_markov_model": {
        "num_states": 3,
        "covariance_type": "diag",
        "reg_covar": 1e-3,
    },
    "iaf": {"num_transforms": 2, "hidden_units": (32,)},
    "iwae": {"latent_dim": 2, "hidden_units": (16,), "num_draws": 3},
    "maf": {"num_transforms": 2, "hidden_units": (32,)},
    "neural_spline": {"num_transforms": 2, "hidden_units": (16,), "num_bins": 4},
    "nice": {"num_couplings": 4, "hidden_units": (16,)},
    "pix2pix": {"filters": 4},
    "planar": {"num_steps": 3},
    "radial": {"num_steps": 3},
    "realnvp": {
        "num_couplings": 4,
        "hidden_units": (16,),
        "num_levels": 2,
        "couplings_per_level": 2,
        "filters": 8,
        "num_blocks": 1,
    },
    "two_stage_vae": {"latent_dim": 2, "hidden_units": (16,), "second_hidden_units": (8,)},
    "vae": {"latent_dim": 2, "hidden_units": (16,)},
    "vae_cnn": {"latent_dim": 2, "filters": 4, "hidden_units": (16,)},
    "wgan_gp": {**_SMALL_GAN, "filters": 4, "discriminator_steps": 2},
}

# models without trainable weights: EM sets the parameters itself
NO_GRADIENTS = {"bayesian_gaussian_mixture", "gaussian_mixture", "hidden_markov_model"}

# models that cannot do without labels: tests/test_gans.py has their contract
NEEDS_LABELS = {"acgan", "conditional_gan"}

# models from image to image: tests/test_translation.py has their contract
TRANSLATES = {"cyclegan", "pix2pix"}

# models without log_prob, judged by their discriminator's scores
NO_LIKELIHOOD = {"acgan", "conditional_gan", "dcgan", "dragan", "gan", "wgan_gp"}

# convolutions alone
IMAGES_ONLY = {"dcgan"}

# models that deal a batch out to several updates, a user's batches too
DEALS_BATCHES = {"wgan_gp"}

# models that take no context
UNCONDITIONAL = {"bayesian_gaussian_mixture", "gaussian_mixture", "hidden_markov_model"}

# models of sequences: an example is one, and its first axis is time
SEQUENCES = {"hidden_markov_model"}

# what the contract asks and a model does otherwise: names of cases, with the reason
EXCEPTIONS = {
    "bayesian_gaussian_mixture": {"NaN": "a missing value"},
    "gaussian_mixture": {"NaN": "a missing value"},
    "hidden_markov_model": {
        "one example": "an array of steps is one sequence",
        "flattened": "the message names the shape of a step",
        "other shape": "sequences may be of any length",
        "ragged": "a list is one of sequences; each is checked",
        "NaN": "a missing value",
        "NaN in row": "a missing value",
        "labels": "the second part of a data set is lengths",
        r"\(8, 8, 1\)": "sequences may be of any length",
    },
}


def tiny(name: str, event_shape=(8, 8, 1), **arguments):
    event_shape = event_shape[1:] if name in SEQUENCES else event_shape
    return genzoo.build(name, event_shape=event_shape, **{"seed": 0, **TINY[name], **arguments})
