"""The recursions of a hidden Markov model, one step after the other.

T steps of B sequences, K states. Emissions are [T, B, K]; `valid` [T, B] is false past a sequence's
end. Forward recursions start from the values of the first step, so that they also run on a part.
"""

import tensorflow as tf

_UNROLLED_STATES = 16


def normalize(joint):
    """Return rows of sum 1, and their sums."""
    scale = tf.reduce_sum(joint, axis=-1)
    return joint / tf.maximum(scale, joint.dtype.as_numpy_dtype(1e-37))[..., None], scale


def forward(alpha, scale, transition, emission, keep):
    """Return filtered probabilities [T, B, K], of one step unless `keep`, and their scales [T, B].

    `alpha` and `scale` are those of the first step.
    """
    steps = tf.shape(emission)[0]

    def step(t, alpha, alphas, scales):
        alpha, scale = normalize(_times(alpha, transition) * emission[t])
        return t + 1, alpha, _write(alphas, t, alpha, keep), scales.write(t, scale)

    alphas = _write(_kept(emission, steps, keep), 0, alpha, keep)
    scales = _array(emission, steps, emission.shape[1:2]).write(0, scale)
    _, _, alphas, scales = loop(lambda t, *_: t < steps, step, [1, alpha, alphas, scales])
    return alphas.stack(), scales.stack()


def backward(transition, emission, alpha, beta):
    """Return posteriors [T, B, K] and the evidence that follows each step [T - 1, B, K].

    `alpha` holds the filtered probabilities, `beta` the evidence past the last step. Each step is
    scaled so that posteriors sum to 1; transition * (alpha[t] evidence[t]) is then the posterior of
    a move, so that nothing of size [T, K, K] need be stored.
    """
    last, shape = tf.shape(emission)[0] - 1, emission.shape[1:]
    turned = tf.transpose(transition)

    def scaled(alpha, beta):
        joint = alpha * beta
        scale = 1.0 / tf.reduce_sum(joint, axis=-1, keepdims=True)
        return joint * scale, scale

    def step(t, beta, posteriors, evidences):
        evidence = emission[t + 1] * beta
        beta = _times(evidence, turned)
        posterior, scale = scaled(alpha[t], beta)
        evidences = evidences.write(t, evidence * scale)
        return t - 1, beta * scale, posteriors.write(t, posterior), evidences

    posterior, scale = scaled(alpha[last], beta)
    posteriors = _array(emission, last + 1, shape).write(last, posterior)
    evidences = _array(emission, last, shape)
    begin = [last - 1, beta * scale, posteriors, evidences]
    _, _, posteriors, evidences = loop(lambda t, *_: t >= 0, step, begin)
    return posteriors.stack(), evidences.stack()


def forward_log(start, transition, log_emission, keep):
    """Return what `forward` does, in logarithms."""
    steps = tf.shape(log_emission)[0]
    log_transition = tf.math.log(transition)

    def normalized(joint):
        scale = log_sum(joint, axis=-1)
        return joint - finite(scale)[:, None], scale

    def step(t, alpha, alphas, scales):
        into = log_sum(alpha[:, :, None] + log_transition, axis=1)
        alpha, scale = normalized(into + log_emission[t])
        return t + 1, alpha, _write(alphas, t, alpha, keep), scales.write(t, scale)

    alpha, scale = normalized(tf.math.log(start) + log_emission[0])
    alphas = _write(_kept(log_emission, steps, keep), 0, alpha, keep)
    scales = _array(log_emission, steps, log_emission.shape[1:2]).write(0, scale)
    _, _, alphas, scales = loop(lambda t, *_: t < steps, step, [1, alpha, alphas, scales])
    return alphas.stack(), scales.stack()


def backward_log(transition, log_emission, log_alpha, shares):
    """Return posteriors [T, B, K] and expected transitions [K, K], a sum in which steps have the
    shares [T, B], by logarithms."""
    steps, shape = tf.shape(log_emission)[0], log_emission.shape[1:]
    log_transition = tf.math.log(transition)

    def step(t, beta, posteriors, counts):
        evidence = log_emission[t + 1] + beta
        beta = log_sum(evidence[:, None, :] + log_transition, axis=-1)
        scale = finite(log_sum(log_alpha[t] + beta, axis=-1))[:, None]
        moves = log_alpha[t][:, :, None] + log_transition + (evidence - scale)[:, None, :]
        share = shares[t + 1][:, None, None]
        moves = tf.where(share > 0, share * tf.exp(moves), 0.0)
        beta -= scale
        joint = log_alpha[t] + beta
        # what rounding of large logarithms left is taken out
        joint -= finite(log_sum(joint, axis=-1))[:, None]
        posteriors = posteriors.write(t, tf.exp(joint))
        return t - 1, beta, posteriors, counts + tf.reduce_sum(moves, axis=0)

    last = steps - 1
    posteriors = _array(log_emission, steps, shape).write(last, tf.exp(log_alpha[last]))
    beta = tf.zeros_like(log_emission[0])
    begin = [steps - 2, beta, posteriors, tf.zeros_like(transition)]
    _, _, posteriors, counts = loop(lambda t, *_: t >= 0, step, begin)
    return posteriors.stack(), counts


def best_values(value, log_transition, log_emission, valid):
    """Return each step's log-probability of the best path to each state, relative, [T, B, K].

    Past the end the chain stays where it is.
    """
    steps = tf.shape(log_emission)[0]

    def step(t, value, values):
        best = tf.reduce_max(value[:, :, None] + log_transition, axis=1)
        value = tf.where(valid[t][:, None], relative(best + log_emission[t]), value)
        return t + 1, value, values.write(t, value)

    values = _array(log_emission, steps, log_emission.shape[1:]).write(0, value)
    return loop(lambda t, *_: t < steps, step, [1, value, values])[2].stack()


def best_path(values, log_transition, state, valid):
    """Return the best path of states [T, B] that ends in `state` [B]."""
    steps = tf.shape(values)[0]
    into = tf.transpose(log_transition)

    def step(t, after, path):
        before = tf.argmax(values[t] + tf.gather(into, after), axis=-1, output_type=tf.int32)
        state = tf.where(valid[t + 1], before, after)
        return t - 1, state, path.write(t, state)

    path = tf.TensorArray(tf.int32, steps, element_shape=values.shape[1:2]).write(steps - 1, state)
    return loop(lambda t, *_: t >= 0, step, [steps - 2, state, path])[2].stack()


def loop(condition, body, start):
    return tf.while_loop(condition, body, start, parallel_iterations=1)


def finite(value):
    return tf.where(tf.math.is_finite(value), value, tf.zeros_like(value))


def finite_max(value, axis=-1):
    return finite(tf.reduce_max(value, axis=axis, keepdims=True))


def relative(value):
    return value - finite_max(value)


def log_sum(value, axis):
    peak = finite_max(value, axis)
    total = tf.reduce_sum(tf.exp(value - peak), axis=axis)
    return tf.math.log(total) + tf.squeeze(peak, axis)


def _times(rows, matrix):
    """Return rows [B, K] times a matrix; for few states a sum is faster than a call for it."""
    if matrix.shape[0] is not None and matrix.shape[0] <= _UNROLLED_STATES:
        return tf.reduce_sum(rows[:, :, None] * matrix, axis=1)
    return tf.matmul(rows, matrix)


def _array(like, size, shape):
    return tf.TensorArray(like.dtype, size, element_shape=shape)


def _kept(like, steps, keep):
    """Return an array for every step, or for none where a recursion's values are not wanted."""
    return _array(like, steps if keep else 1, like.shape[1:])


def _write(array, t, value, keep):
    return array.write(t if keep else 0, value)
