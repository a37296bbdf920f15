"""The recursions of a hidden Markov model, compiled by XLA on every device.

B sequences, T steps, K states. Arguments of all: `start` [K], `transition` [K, K] with rows of sum
1, `log_emission` [B, T, K], `observed` [B, T], false where a step is missing or past its
sequence's end, and `lengths` [B]. A step that is not observed says nothing of the state; as rows
of the transition matrix sum to 1, those past the end change nothing of those before.

The recursions run on probabilities scaled at every step, the fastest form. Where a step is so
surprising that a scaled value may have underflowed, the batch is computed again in logarithms.

A device with width to spare takes a long sequence in blocks of steps, all blocks at once; `block`
is their length, 0 for whole sequences, `None` for what suits the device.

Reference: Rabiner, A tutorial on hidden Markov models and selected applications in speech
recognition, 1989.
"""

import tensorflow as tf

from genzoo.classic.hmm import recursions_in_blocks as in_blocks
from genzoo.classic.hmm import recursions_over_time as over_time
from genzoo.core.engine.tracing import Compiled

# a step's scaled likelihood below this sends the batch to the recursion in logarithms
_SURPRISE = {tf.float32: 1e-8, tf.float64: 1e-60}


@Compiled
def step_log_probs(start, transition, log_emission, observed, lengths, block=None) -> tf.Tensor:
    """Return log p(x_t | x_1, ..., x_t-1), zero past the end, [B, T]."""
    log_emission, valid = _prepare(log_emission, observed, lengths)
    _, log_scale = _forward(start, transition, log_emission, False, block)
    return tf.transpose(tf.where(valid, log_scale, tf.zeros_like(log_scale)))


@Compiled
def log_probs(start, transition, log_emission, observed, lengths, block=None) -> tf.Tensor:
    """Return log p(x), summed in float64, [B]."""
    log_emission, valid = _prepare(log_emission, observed, lengths)
    _, log_scale = _forward(start, transition, log_emission, False, block)
    return _total(log_scale, valid)


@Compiled
def last_filtered(start, transition, log_emission, observed, lengths, block=None) -> tf.Tensor:
    """Return the probabilities of a sequence's last state given all its steps, [B, K]."""
    log_emission, _ = _prepare(log_emission, observed, lengths)
    alphas, _ = _forward(start, transition, log_emission, True, block)
    return tf.gather(tf.transpose(alphas, [1, 0, 2]), tf.maximum(lengths - 1, 0), batch_dims=1)


@Compiled
def expectations(start, transition, log_emission, observed, lengths, block=None, weights=None):
    """Return the statistics of the E step.

    Args:
        weights: Of the sequences in the sum of transitions, [B]; `None` for 1.

    Returns:
        log p(x) [B], summed in float64; the posteriors p(z_t | x), zero past the end [B, T, K];
        expected transitions [K, K], summed over steps and sequences.
    """
    log_emission, valid = _prepare(log_emission, observed, lengths)
    shares = tf.cast(valid, log_emission.dtype)
    if weights is not None:
        shares *= tf.cast(weights, shares.dtype)
    emission, log_peak = _scale(log_emission)
    alpha, scale = over_time.normalize(start * emission[0])

    def whole():
        alphas, scales = over_time.forward(alpha, scale, transition, emission, keep=True)
        posterior, evidence = over_time.backward(
            transition, emission, alphas, tf.ones_like(alphas[0])
        )
        evidence *= shares[1:, :, None]
        counts = tf.einsum("tbi,tbj->ij", alphas[:-1], evidence)
        return scales, posterior, transition * counts

    scale, posterior, counts = in_blocks.choose(
        block,
        tf.shape(emission)[0],
        whole,
        lambda length: in_blocks.smooth(alpha, scale, transition, emission, shares, length),
    )
    sound = _sound(scale) & tf.math.is_finite(tf.reduce_sum(posterior) + tf.reduce_sum(counts))

    def logarithms():
        log_alpha, log_scale = over_time.forward_log(start, transition, log_emission, keep=True)
        return log_scale, *over_time.backward_log(transition, log_emission, log_alpha, shares)

    log_scale, posterior, counts = tf.cond(
        sound, lambda: (tf.math.log(scale) + log_peak, posterior, counts), logarithms
    )
    posterior *= tf.cast(valid, log_emission.dtype)[:, :, None]
    return _total(log_scale, valid), tf.transpose(posterior, [1, 0, 2]), counts


@Compiled
def viterbi(start, transition, log_emission, observed, lengths, block=None):
    """Return the likeliest path of states z and how likely it is.

    Returns:
        z, int32 [B, T], which past the end stays where it is; log p(x, z), summed in float64, [B].
    """
    log_emission, valid = _prepare(log_emission, observed, lengths)
    log_transition = tf.math.log(transition)
    first = over_time.relative(tf.math.log(start) + log_emission[0])

    def whole():
        values = over_time.best_values(first, log_transition, log_emission, valid)
        last = tf.argmax(values[-1], axis=-1, output_type=tf.int32)
        return over_time.best_path(values, log_transition, last, valid)

    path = in_blocks.choose(
        block,
        tf.shape(log_emission)[0],
        whole,
        lambda length: in_blocks.best_path(first, log_transition, log_emission, valid, length),
    )
    emitted = tf.gather(log_emission, path, axis=2, batch_dims=2)
    moved = tf.gather_nd(log_transition, tf.stack([path[:-1], path[1:]], axis=-1))
    steps = tf.concat([tf.gather(tf.math.log(start), path[:1]), moved], axis=0) + emitted
    return tf.transpose(path), _total(steps, valid)


@Compiled
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

    return tf.transpose(over_time.loop(lambda t, *_: t < steps, step, [1, first, path])[2].stack())


def _prepare(log_emission, observed, lengths):
    """Return emissions [T, B, K], zero where nothing was observed, and what is valid [T, B]."""
    known = tf.where(observed[:, :, None], log_emission, tf.zeros_like(log_emission))
    valid = tf.range(tf.shape(observed)[1])[:, None] < lengths
    return tf.transpose(known, [1, 0, 2]), valid


def _total(log_scale, valid):
    known = tf.where(valid, log_scale, tf.zeros_like(log_scale))
    return tf.reduce_sum(tf.cast(known, tf.float64), axis=0)


def _forward(start, transition, log_emission, keep, block):
    """Return the filtered probabilities, where `keep`, and log p(x_t | x_1, ..., x_t-1) [T, B]."""
    emission, log_peak = _scale(log_emission)
    first = over_time.normalize(start * emission[0])
    alpha, scale = in_blocks.choose(
        block,
        tf.shape(emission)[0],
        lambda: over_time.forward(*first, transition, emission, keep),
        lambda length: in_blocks.forward(*first, transition, emission, keep, length),
    )

    def logarithms():
        log_alpha, log_scale = over_time.forward_log(start, transition, log_emission, keep)
        return tf.exp(log_alpha), log_scale

    return tf.cond(_sound(scale), lambda: (alpha, tf.math.log(scale) + log_peak), logarithms)


def _scale(log_emission):
    """Return emissions relative to each step's likeliest state, and the logarithm of its own."""
    peak = over_time.finite_max(log_emission)
    return tf.exp(log_emission - peak), peak[..., 0]


def _sound(scale):
    return tf.reduce_min(scale) > _SURPRISE[scale.dtype]
