"""The recursions of a hidden Markov model, compiled by XLA on every device.

B sequences, T steps, K states. Arguments of all: `start` [K], `transition` [K, K] with rows of sum
1, `log_emission` [B, T, K], `observed` [B, T], false where a step is missing or past its
sequence's end, and `lengths` [B]. A step that is not observed says nothing of the state; as rows
of the transition matrix sum to 1, those past the end change nothing of those before.

The recursions run on probabilities scaled at every step, the fastest form. Where a step is so
surprising that a scaled value may have underflowed, the batch is computed again in logarithms.

Reference: Rabiner, A tutorial on hidden Markov models and selected applications in speech
recognition, 1989.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

# a step's scaled likelihood below this sends the batch to the recursion in logarithms
_SURPRISE = {tf.float32: 1e-8, tf.float64: 1e-60}
_UNROLLED_STATES = 16


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function compiled by XLA, once for each shape of its inputs."""
    return tf.function(function, jit_compile=True, autograph=False)


@compiled
def step_log_probs(start, transition, log_emission, observed, lengths) -> tf.Tensor:
    """Return log p(x_t | x_1, ..., x_t-1), zero past the end, [B, T]."""
    log_emission, valid = _prepare(log_emission, observed, lengths)
    _, log_scale = _forward(start, transition, log_emission, keep=False)
    return tf.transpose(tf.where(valid, log_scale, tf.zeros_like(log_scale)))


@compiled
def log_probs(start, transition, log_emission, observed, lengths) -> tf.Tensor:
    """Return log p(x), summed in float64, [B]."""
    log_emission, valid = _prepare(log_emission, observed, lengths)
    _, log_scale = _forward(start, transition, log_emission, keep=False)
    return _total(log_scale, valid)


@compiled
def last_filtered(start, transition, log_emission, observed, lengths) -> tf.Tensor:
    """Return the probabilities of a sequence's last state given all its steps, [B, K]."""
    log_emission, _ = _prepare(log_emission, observed, lengths)
    alphas, _ = _forward(start, transition, log_emission, keep=True)
    return tf.gather(tf.transpose(alphas, [1, 0, 2]), tf.maximum(lengths - 1, 0), batch_dims=1)


@compiled
def expectations(start, transition, log_emission, observed, lengths):
    """Return the statistics of the E step.

    Returns:
        log p(x) [B], summed in float64; the posteriors p(z_t | x), zero past the end [B, T, K];
        expected transitions [K, K], summed over steps and sequences.
    """
    log_emission, valid = _prepare(log_emission, observed, lengths)
    emission, log_peak = _scale(log_emission)
    alpha, scale = _forward_scaled(start, transition, emission, keep=True)
    posterior, counts = _backward_scaled(transition, emission, alpha, valid)
    sound = _sound(scale) & tf.math.is_finite(tf.reduce_sum(posterior) + tf.reduce_sum(counts))

    def logarithms():
        log_alpha, log_scale = _forward_log(start, transition, log_emission, keep=True)
        return log_scale, *_backward_log(transition, log_emission, log_alpha, valid)

    log_scale, posterior, counts = tf.cond(
        sound, lambda: (tf.math.log(scale) + log_peak, posterior, counts), logarithms
    )
    posterior *= tf.cast(valid, log_emission.dtype)[:, :, None]
    return _total(log_scale, valid), tf.transpose(posterior, [1, 0, 2]), counts


@compiled
def viterbi(start, transition, log_emission, observed, lengths) -> tf.Tensor:
    """Return the likeliest path of states, int32 [B, T]; past the end it has no meaning."""
    log_emission, _ = _prepare(log_emission, observed, lengths)
    steps = tf.shape(log_emission)[0]
    log_transition = tf.math.log(transition)
    first = _relative(tf.math.log(start) + log_emission[0])
    values = _array(log_emission, steps, log_emission.shape[1:]).write(0, first)

    def forward(t, value, values):
        best = tf.reduce_max(value[:, :, None] + log_transition, axis=1)
        value = _relative(best + log_emission[t])
        return t + 1, value, values.write(t, value)

    _, _, values = _loop(lambda t, *_: t < steps, forward, [1, first, values])
    values = values.stack()  # [T, B, K]
    into = tf.transpose(log_transition)

    def backward(t, after, path):
        # a sequence that ends here starts from its own best state
        via = tf.where((t + 1 < lengths)[:, None], tf.gather(into, after), 0.0)
        state = tf.argmax(values[t] + via, axis=-1, output_type=tf.int32)
        return t - 1, state, path.write(t, state)

    path = tf.TensorArray(tf.int32, steps, element_shape=log_emission.shape[1:2])
    last = tf.zeros_like(lengths)
    path = _loop(lambda t, *_: t >= 0, backward, [steps - 1, last, path])[2]
    return tf.transpose(path.stack())


@compiled
def path_log_probs(start, transition, log_emission, observed, lengths, path) -> tf.Tensor:
    """Return log p(x, z) of paths z [B, T], summed in float64, [B]."""
    log_emission, valid = _prepare(log_emission, observed, lengths)
    path = tf.transpose(path)
    emitted = tf.gather(log_emission, path, axis=2, batch_dims=2)
    moved = tf.gather_nd(tf.math.log(transition), tf.stack([path[:-1], path[1:]], axis=-1))
    steps = tf.concat([tf.gather(tf.math.log(start), path[:1]), moved], axis=0) + emitted
    return _total(steps, valid)


@compiled
def state_paths(start, transition, uniform) -> tf.Tensor:
    """Return paths drawn from the chain, int32 [B, T].

    Args:
        start: Probabilities of the first state, [B, K] or [1, K].
        transition: [K, K].
        uniform: Noise on [0, 1), [B, T].
    """
    uniform = tf.transpose(uniform)
    steps = tf.shape(uniform)[0]

    def cumulative(probability):
        total = tf.cumsum(probability, axis=-1)
        return total / total[..., -1:]

    def draw(thresholds, noise):
        return tf.reduce_sum(tf.cast(noise[:, None] >= thresholds, tf.int32), axis=-1)

    rows = cumulative(transition)
    first = draw(cumulative(start), uniform[0])
    path = tf.TensorArray(tf.int32, steps, element_shape=uniform.shape[1:]).write(0, first)

    def step(t, state, path):
        state = draw(tf.gather(rows, state), uniform[t])
        return t + 1, state, path.write(t, state)

    return tf.transpose(_loop(lambda t, *_: t < steps, step, [1, first, path])[2].stack())


def _prepare(log_emission, observed, lengths):
    """Return emissions [T, B, K], zero where nothing was observed, and what is valid [T, B]."""
    known = tf.where(observed[:, :, None], log_emission, tf.zeros_like(log_emission))
    valid = tf.range(tf.shape(observed)[1])[:, None] < lengths
    return tf.transpose(known, [1, 0, 2]), valid


def _total(log_scale, valid):
    known = tf.where(valid, log_scale, tf.zeros_like(log_scale))
    return tf.reduce_sum(tf.cast(known, tf.float64), axis=0)


# Forward


def _forward(start, transition, log_emission, keep):
    """Return the filtered probabilities, where `keep`, and log p(x_t | x_1, ..., x_t-1) [T, B]."""
    emission, log_peak = _scale(log_emission)
    alpha, scale = _forward_scaled(start, transition, emission, keep)

    def logarithms():
        log_alpha, log_scale = _forward_log(start, transition, log_emission, keep)
        return tf.exp(log_alpha), log_scale

    return tf.cond(_sound(scale), lambda: (alpha, tf.math.log(scale) + log_peak), logarithms)


def _scale(log_emission):
    """Return emissions relative to each step's likeliest state, and the logarithm of its own."""
    peak = _finite_max(log_emission)
    return tf.exp(log_emission - peak), peak[..., 0]


def _sound(scale):
    return tf.reduce_min(scale) > _SURPRISE[scale.dtype]


def _forward_scaled(start, transition, emission, keep):
    steps = tf.shape(emission)[0]
    tiny = emission.dtype.as_numpy_dtype(1e-37)

    def normalize(joint):
        scale = tf.reduce_sum(joint, axis=-1)
        return joint / tf.maximum(scale, tiny)[:, None], scale

    def step(t, alpha, alphas, scales):
        alpha, scale = normalize(_times(alpha, transition) * emission[t])
        return t + 1, alpha, _write(alphas, t, alpha, keep), scales.write(t, scale)

    alpha, scale = normalize(start * emission[0])
    alphas = _write(_kept(emission, steps, keep), 0, alpha, keep)
    scales = _array(emission, steps, emission.shape[1:2]).write(0, scale)
    _, _, alphas, scales = _loop(lambda t, *_: t < steps, step, [1, alpha, alphas, scales])
    return alphas.stack(), scales.stack()


def _forward_log(start, transition, log_emission, keep):
    steps = tf.shape(log_emission)[0]
    log_transition = tf.math.log(transition)

    def normalize(joint):
        scale = _log_sum(joint, axis=-1)
        return joint - _finite(scale)[:, None], scale

    def step(t, alpha, alphas, scales):
        into = _log_sum(alpha[:, :, None] + log_transition, axis=1)
        alpha, scale = normalize(into + log_emission[t])
        return t + 1, alpha, _write(alphas, t, alpha, keep), scales.write(t, scale)

    alpha, scale = normalize(tf.math.log(start) + log_emission[0])
    alphas = _write(_kept(log_emission, steps, keep), 0, alpha, keep)
    scales = _array(log_emission, steps, log_emission.shape[1:2]).write(0, scale)
    _, _, alphas, scales = _loop(lambda t, *_: t < steps, step, [1, alpha, alphas, scales])
    return alphas.stack(), scales.stack()


# Backward


def _backward_scaled(transition, emission, alpha, valid):
    """Return posteriors and expected transitions; each step is scaled so that posteriors sum to 1.

    Expected transitions are one product over all steps of filtered probabilities and of the
    evidence that follows, so nothing of size [T, K, K] is stored.
    """
    steps, shape = tf.shape(emission)[0], emission.shape[1:]
    turned = tf.transpose(transition)

    def step(t, beta, posteriors, evidences):
        evidence = emission[t + 1] * beta
        beta = _times(evidence, turned)
        joint = alpha[t] * beta
        scale = 1.0 / tf.reduce_sum(joint, axis=-1, keepdims=True)
        posteriors = posteriors.write(t, joint * scale)
        return t - 1, beta * scale, posteriors, evidences.write(t + 1, evidence * scale)

    beta = tf.ones_like(emission[0])
    posteriors = _array(emission, steps, shape).write(steps - 1, alpha[steps - 1])
    evidences = _array(emission, steps, shape).write(0, tf.zeros_like(beta))
    start = [steps - 2, beta, posteriors, evidences]
    _, _, posteriors, evidences = _loop(lambda t, *_: t >= 0, step, start)
    inside = tf.cast(valid, emission.dtype)[:, :, None]
    evidences = evidences.stack() * inside
    counts = tf.einsum("tbi,tbj->ij", alpha[:-1], evidences[1:])
    return posteriors.stack(), transition * counts


def _backward_log(transition, log_emission, log_alpha, valid):
    steps, shape = tf.shape(log_emission)[0], log_emission.shape[1:]
    log_transition = tf.math.log(transition)

    def step(t, beta, posteriors, counts):
        evidence = log_emission[t + 1] + beta
        beta = _log_sum(evidence[:, None, :] + log_transition, axis=-1)
        scale = _finite(_log_sum(log_alpha[t] + beta, axis=-1))[:, None]
        moves = log_alpha[t][:, :, None] + log_transition + (evidence - scale)[:, None, :]
        moves = tf.where(valid[t + 1][:, None, None], tf.exp(moves), 0.0)
        beta -= scale
        joint = log_alpha[t] + beta
        # what rounding of large logarithms left is taken out
        joint -= _finite(_log_sum(joint, axis=-1))[:, None]
        posteriors = posteriors.write(t, tf.exp(joint))
        return t - 1, beta, posteriors, counts + tf.reduce_sum(moves, axis=0)

    last = steps - 1
    posteriors = _array(log_emission, steps, shape).write(last, tf.exp(log_alpha[last]))
    beta = tf.zeros_like(log_emission[0])
    begin = [steps - 2, beta, posteriors, tf.zeros_like(transition)]
    _, _, posteriors, counts = _loop(lambda t, *_: t >= 0, step, begin)
    return posteriors.stack(), counts


# Parts


def _times(rows, matrix):
    """Return rows [B, K] times a matrix; for few states a sum is faster than a call for it."""
    if matrix.shape[0] is not None and matrix.shape[0] <= _UNROLLED_STATES:
        return tf.reduce_sum(rows[:, :, None] * matrix, axis=1)
    return tf.matmul(rows, matrix)


def _loop(condition, body, start):
    return tf.while_loop(condition, body, start, parallel_iterations=1)


def _array(like, size, shape):
    return tf.TensorArray(like.dtype, size, element_shape=shape)


def _kept(like, steps, keep):
    """Return an array for every step, or for none where a recursion's values are not wanted."""
    return _array(like, steps if keep else 1, like.shape[1:])


def _write(array, t, value, keep):
    return array.write(t if keep else 0, value)


def _finite(value):
    return tf.where(tf.math.is_finite(value), value, tf.zeros_like(value))


def _finite_max(value, axis=-1):
    return _finite(tf.reduce_max(value, axis=axis, keepdims=True))


def _relative(value):
    return value - _finite_max(value)


def _log_sum(value, axis):
    peak = _finite_max(value, axis)
    total = tf.reduce_sum(tf.exp(value - peak), axis=axis)
    return tf.math.log(total) + tf.squeeze(peak, axis)
