"""Draws of missing values given those that were seen, by what a model offers."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from genzoo.core.errors import InvalidInputError
from genzoo.core.lazy import tfp
from genzoo.core.maths.random import make_seed
from genzoo.core.model import GenerativeModel
from genzoo.core.traits import Conditions, Reconstructs

_ROWS_AT_A_TIME = 2048
_BURN_IN = 60
_BETWEEN = 4
_LEAPFROGS = 4
_GIBBS_STEPS = 30
_ASCENT_STEPS = 200
_ASCENT_RATE = 0.05

Draw = Callable[[GenerativeModel, np.ndarray, np.ndarray, int, int], np.ndarray]


def exact(model, x, start, num_draws, seed) -> np.ndarray:
    """Return draws of the exact conditional, for models that have it: see `Conditions`."""
    parts = [
        model.condition(x[first : first + _ROWS_AT_A_TIME]).sample(num_draws, seed=seed + first)
        for first in range(0, len(x), _ROWS_AT_A_TIME)
    ]
    return np.concatenate(parts, axis=1)


def pseudo_gibbs(model, x, start, num_draws, seed) -> np.ndarray:
    """Return draws of a chain that reconstructs rows and keeps what was seen.

    Reference: Rezende, Mohamed and Wierstra, Stochastic backpropagation and approximate inference
    in deep generative models, 2014, appendix F.
    """
    missing, rows, draws = np.isnan(x), start.copy(), []
    for step in range(_GIBBS_STEPS + num_draws):
        made = model.reconstruct(rows, draw=True, seed=seed + step)
        # a poor model's draws must not run away with the chain
        rows = np.where(missing, np.clip(made, *_range(start)), x)
        if step >= _GIBBS_STEPS:
            draws.append(rows)
    return np.stack(draws)


def mcmc(model, x, start, num_draws, seed) -> np.ndarray:
    """Return draws of Hamiltonian Monte Carlo on the missing values, a chain a row.

    Reference: Neal, MCMC using Hamiltonian dynamics, 2011.
    """
    run = _compiled(model, lambda *part: _chains(model, num_draws, *part))
    return _in_parts(run, model, x, start, seed)


def optimize(model, x, start, num_draws, seed) -> np.ndarray:
    """Return the missing values of the greatest density found, the same in all draws."""
    run = _compiled(model, lambda *part: _ascend(model, *part))
    best = _in_parts(run, model, x, start, seed)
    return np.repeat(best, num_draws, axis=0)


# the better ones first
METHODS: dict[str, Draw] = {
    "exact": exact,
    "pseudo_gibbs": pseudo_gibbs,
    "mcmc": mcmc,
    "optimize": optimize,
}


def allows(model: GenerativeModel, method: str) -> bool:
    """Return whether a model has what a method needs."""
    if method == "exact":
        return isinstance(model, Conditions)
    if method == "pseudo_gibbs":
        return model.traits.has_density and isinstance(model, Reconstructs)
    return model.traits.distribution


def default_method(model: GenerativeModel) -> str:
    """Return the name of the first method that a model allows.

    Raises:
        InvalidInputError: For a model that allows none, such as a GAN.
    """
    for method in METHODS:
        if allows(model, method):
            return method
    raise InvalidInputError(
        "Expected a model with a likelihood to impute with. Received: a "
        f"{type(model).__name__}. Use a mixture, a VAE or a flow."
    )


def _range(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    low, high = rows.min(axis=0), rows.max(axis=0)
    return low - (high - low) - 1.0, high + (high - low) + 1.0


def _compiled(model, function):
    dtype, shape = model.float_dtype, [None, *model.event_shape]
    signature = [
        tf.TensorSpec(shape, dtype),
        tf.TensorSpec(shape, dtype),
        tf.TensorSpec(shape, tf.bool),
        tf.TensorSpec([2], tf.int32),
    ]
    # called through the concrete function, TensorFlow does not suspect retracing
    compiled = tf.function(function, input_signature=signature, autograph=False)
    return compiled.get_concrete_function()


def _in_parts(run, model, x, start, seed) -> np.ndarray:
    missing, parts = np.isnan(x), []
    for part, first in enumerate(range(0, len(x), _ROWS_AT_A_TIME)):
        rows = slice(first, first + _ROWS_AT_A_TIME)
        seen = np.where(missing[rows], 0.0, x[rows])
        arguments = [tf.constant(values, model.float_dtype) for values in (seen, start[rows])]
        made = run(*arguments, tf.constant(missing[rows]), make_seed(seed, part)).numpy()
        parts.append(np.where(missing[rows], made, x[rows]))
    return np.concatenate(parts, axis=1)


def _log_prob(model, seen, missing):
    distribution = model.distribution()
    size = model.event_size

    def log_prob(state):
        rows = tf.where(missing, state, seen)
        if distribution.event_shape != model.event_shape:
            rows = tf.reshape(rows, [-1, size])
        return distribution.log_prob(rows)

    return log_prob


def _chains(model, num_draws, seen, start, missing, seed):
    """Return [num_draws, n, *event_shape]; what was seen moves freely and is put back."""
    ones = [tf.shape(seen)[0]] + [1] * (len(seen.shape) - 1)
    kernel = tfp.mcmc.SimpleStepSizeAdaptation(
        tfp.mcmc.HamiltonianMonteCarlo(
            _log_prob(model, seen, missing),
            step_size=tf.fill(ones, tf.constant(0.3, seen.dtype)),
            num_leapfrog_steps=_LEAPFROGS,
        ),
        num_adaptation_steps=_BURN_IN,
    )
    return tfp.mcmc.sample_chain(
        num_draws,
        start,
        kernel=kernel,
        num_burnin_steps=_BURN_IN,
        num_steps_between_results=_BETWEEN,
        trace_fn=None,
        seed=seed,
    )


def _ascend(model, seen, start, missing, seed):
    """Return [1, n, *event_shape]: Adam on the missing values, the best of all steps."""
    log_prob = _log_prob(model, seen, missing)
    wide = [-1] + [1] * (len(seen.shape) - 1)

    def keep(state, value, best, best_value):
        better = tf.reshape(value > best_value, wide)
        return tf.where(better, state, best), tf.maximum(value, best_value)

    def body(i, state, first, second, best, best_value):
        with tf.GradientTape() as tape:
            tape.watch(state)
            value = log_prob(state)
        gradient = tf.where(missing, tape.gradient(value, state), 0.0)
        best, best_value = keep(state, value, best, best_value)
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * tf.square(gradient)
        power = tf.cast(i + 1, state.dtype)
        step = first / (1 - 0.9**power) / (tf.sqrt(second / (1 - 0.999**power)) + 1e-8)
        return i + 1, state + _ASCENT_RATE * step, first, second, best, best_value

    zeros = tf.zeros_like(start)
    state = [tf.constant(0), start, zeros, zeros, start, log_prob(start)]
    results = tf.while_loop(lambda i, *_: i < _ASCENT_STEPS, body, state)
    return results[-2][None]
