"""The recursions of a hidden Markov model on a long sequence cut into blocks.

What a block does to the probabilities that enter it is a matrix [K, K]; these are computed for all
blocks at once, then chained, and then every block runs on its own from what enters it. That is K
times the work in a chain of block + T / block steps instead of T.

Reference: Särkkä and García-Fernández, Temporal parallelization of Bayesian smoothers, 2021 (the
associative form, of which this is one level).
"""

import tensorflow as tf

from genzoo.classic.hmm import recursions_over_time as over_time

_LENGTH = 512
_LEAST_STEPS = 8 * _LENGTH


def choose(block, steps, whole, in_blocks):
    """Return `in_blocks(length)`, or `whole()` where that is the faster.

    `block` 0 stands for whole sequences. With `None`, CPUs take them whole: they have no width left
    for K times the work (measured with 8 states). GPUs take long sequences in blocks.
    """
    if block is not None:
        return in_blocks(block) if block else whole()
    if not tf.config.list_logical_devices("GPU"):
        return whole()
    return tf.cond(steps >= _LEAST_STEPS, lambda: in_blocks(_LENGTH), whole)


def forward(alpha, scale, transition, emission, keep, length):
    """Return what `over_time.forward` does."""
    emission_blocks = _cut(emission, length, 1.0)
    matrices = _matrices(transition, emission_blocks, emission)
    alphas, scales = _forward(alpha, transition, emission_blocks, emission, matrices, keep)
    scales = tf.concat([scale[None], _join(scales[1:], emission)], axis=0)
    if not keep:
        return alphas, scales
    return tf.concat([alpha[None], _join(alphas[1:], emission)], axis=0), scales


def smooth(alpha, scale, transition, emission, shares, length):
    """Return scales [T, B], posteriors [T, B, K] and expected transitions [K, K], a sum in which
    steps have the shares [T, B]."""
    emission_blocks = _cut(emission, length, 1.0)
    matrices = _matrices(transition, emission_blocks, emission)
    alphas, scales = _forward(alpha, transition, emission_blocks, emission, matrices, keep=True)
    betas = _enter_back(matrices)
    posteriors, evidences = over_time.backward(
        transition, emission_blocks, alphas, tf.reshape(betas, tf.shape(alphas[0]))
    )
    inside = _cut(shares, length, 0.0)[1:, :, None]
    counts = tf.einsum("tbi,tbj->ij", alphas[:-1], evidences * inside)
    first = posteriors[:1, : tf.shape(emission)[1]]
    return (
        tf.concat([scale[None], _join(scales[1:], emission)], axis=0),
        tf.concat([first, _join(posteriors[1:], emission)], axis=0),
        transition * counts,
    )


def best_path(value, log_transition, log_emission, valid, length):
    """Return the best path of states [T, B]; `value` is that of the first step."""
    blocks = _cut(log_emission, length, 0.0)
    inside = _cut(valid, length, False)
    ways = _ways(log_transition, blocks, inside, log_emission)  # [N, B, K, K]

    def enter(t, value, values):
        after = tf.reduce_max(value[:, :, None] + ways[t], axis=1)
        return t + 1, over_time.relative(after), values.write(t, value)

    count = tf.shape(ways)[0]
    values = tf.TensorArray(value.dtype, count, element_shape=ways.shape[1:3])
    _, value, values = over_time.loop(lambda t, *_: t < count, enter, [0, value, values])
    entries = values.stack()

    def leave(t, state, states):
        via = tf.gather(ways[t], state, axis=2, batch_dims=1)
        before = tf.argmax(entries[t] + via, axis=-1, output_type=tf.int32)
        return t - 1, before, states.write(t, state)

    state = tf.argmax(value, axis=-1, output_type=tf.int32)
    states = tf.TensorArray(tf.int32, count, element_shape=ways.shape[1:2])
    _, first, states = over_time.loop(lambda t, *_: t >= 0, leave, [count - 1, state, states])
    entry = tf.reshape(entries, tf.shape(blocks[0]))
    values = over_time.best_values(entry, log_transition, blocks, inside)
    path = over_time.best_path(values, log_transition, tf.reshape(states.stack(), [-1]), inside)
    return tf.concat([first[None], _join(path[1:], log_emission)], axis=0)


def _cut(steps, length, fill):
    """Return steps 1, 2, ... of [T, B, ...] as blocks [1 + length, N B, ...].

    The first row of a block stands for the step before it.
    """
    shape = tf.shape(steps)
    count = tf.maximum((shape[0] - 2) // length + 1, 1)
    missing = count * length - (shape[0] - 1)
    padding = [[0, missing]] + [[0, 0]] * (steps.shape.rank - 1)
    whole = tf.pad(steps[1:], padding, constant_values=tf.cast(fill, steps.dtype))
    parts = tf.reshape(whole, tf.concat([[count, length], shape[1:]], axis=0))
    order = [1, 0, *range(2, parts.shape.rank)]
    blocks = tf.reshape(
        tf.transpose(parts, order), tf.concat([[length, count * shape[1]], shape[2:]], axis=0)
    )
    blocks = tf.concat([tf.ones_like(blocks[:1]), blocks], axis=0)
    return tf.ensure_shape(blocks, [length + 1, None, *steps.shape[2:]])


def _join(blocks, like):
    """Return what blocks [length, N B, ...] hold for steps 1, 2, ... of `like` [T, B, ...]."""
    shape, length = tf.shape(like), tf.shape(blocks)[0]
    rest = tf.shape(blocks)[2:]
    parts = tf.reshape(blocks, tf.concat([[length, -1, shape[1]], rest], axis=0))
    order = [1, 0, *range(2, parts.shape.rank)]
    joined = tf.reshape(tf.transpose(parts, order), tf.concat([[-1, shape[1]], rest], axis=0))
    return joined[: shape[0] - 1]


def _matrices(transition, blocks, like):
    """Return log-matrices of blocks [N, B, K, K]: probabilities that leave for those that enter."""
    states = blocks.shape[-1]
    steps, rows = tf.shape(blocks)[0], tf.shape(blocks)[1]

    def step(t, matrix, log_scale):
        moved = tf.matmul(tf.reshape(matrix, [-1, states]), transition)
        matrix, scale = over_time.normalize(
            tf.reshape(moved, [-1, states, states]) * blocks[t][:, None, :]
        )
        return t + 1, matrix, log_scale + tf.cast(tf.math.log(scale), tf.float64)

    matrix = tf.eye(states, batch_shape=[rows], dtype=blocks.dtype)
    log_scale = tf.zeros([rows, states], tf.float64)
    _, matrix, log_scale = over_time.loop(lambda t, *_: t < steps, step, [1, matrix, log_scale])
    # only what a row has more than the others matters
    log_scale = tf.cast(over_time.relative(log_scale), blocks.dtype)
    return tf.reshape(
        tf.math.log(matrix) + log_scale[:, :, None], [-1, tf.shape(like)[1], states, states]
    )


def _forward(alpha, transition, blocks, like, matrices, keep):
    """Return `over_time.forward` of all blocks; the first row is what enters each."""
    count = tf.shape(matrices)[0]

    def enter(t, log_alpha, entries):
        after = over_time.log_sum(log_alpha[:, :, None] + matrices[t], axis=1)
        after -= over_time.finite(over_time.log_sum(after, axis=-1))[:, None]
        return t + 1, after, entries.write(t, log_alpha)

    entries = tf.TensorArray(alpha.dtype, count, element_shape=matrices.shape[1:3])
    begin = [0, tf.math.log(alpha), entries]
    entries = over_time.loop(lambda t, *_: t < count, enter, begin)[2].stack()
    entries = tf.exp(tf.reshape(entries, tf.shape(blocks[0])))
    return over_time.forward(entries, tf.ones_like(entries[:, 0]), transition, blocks, keep)


def _enter_back(matrices):
    """Return the evidence that follows each block, relative, [N, B, K]."""
    count = tf.shape(matrices)[0]

    def enter(t, log_beta, entries):
        before = over_time.log_sum(matrices[t] + log_beta[:, None, :], axis=-1)
        return t - 1, over_time.relative(before), entries.write(t, log_beta)

    entries = tf.TensorArray(matrices.dtype, count, element_shape=matrices.shape[1:3])
    begin = [count - 1, tf.zeros_like(matrices[0, :, :, 0]), entries]
    return tf.exp(over_time.loop(lambda t, *_: t >= 0, enter, begin)[2].stack())


def _ways(log_transition, blocks, inside, like):
    """Return the log-probabilities of the best ways through each block, relative, [N, B, K, K]."""
    states = blocks.shape[-1]
    steps, rows = tf.shape(blocks)[0], tf.shape(blocks)[1]

    def step(t, ways):
        best = tf.reduce_max(ways[:, :, :, None] + log_transition, axis=2)
        best += blocks[t][:, None, :]
        best -= over_time.finite_max(best, axis=[1, 2])
        return t + 1, tf.where(inside[t][:, None, None], best, ways)

    ways = tf.math.log(tf.eye(states, batch_shape=[rows], dtype=blocks.dtype))
    _, ways = over_time.loop(lambda t, *_: t < steps, step, [1, ways])
    return tf.reshape(ways, [-1, tf.shape(like)[1], states, states])
