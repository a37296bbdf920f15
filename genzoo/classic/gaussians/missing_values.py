"""Normals with full covariances at rows with missing values, marginalised exactly.

Let V be the columns of the whitening matrix W that belong to a row's missing values. Filling these
with anything and taking off the part of y = W (x - m) in the span of V leaves the whitened
difference of the row at its conditional mean. Its squared length is the Mahalanobis distance of
what was seen, and the projection on the span is the conditional covariance, whitened.

Reference: Ghahramani and Jordan, Supervised learning from incomplete data via an EM approach, 1994.
"""

import math

import tensorflow as tf

from genzoo.classic.gaussians.responsibilities import posterior

_VALUES_AT_A_TIME = 2**22
_MOST_ROWS = 4096


def marginal_blocks(x, weight, means, whitening, log_scale):
    """Return log p(x, k) [n, K] and no sums, or for a weight log p(x) [n, G] and the sums.

    Rows are taken in order of their pattern of missing values, the fullest first, a block at a
    time: a pattern's projections are made once in a block, and the intermediate values of a block
    do not grow with the batch.

    Args:
        x: [n, D], centred, NaN where missing.
        weight: Of each row for each mixture [n, G], or `None`.
        means: W m, [K, D].
        whitening: W, [K, D, D], or [D, D] of all components.
        log_scale: As in `Normals`, [K].

    Returns:
        As `Normals.expect`.
    """
    dtype, (k, d) = x.dtype, means.shape
    tied = whitening.shape.rank == 2
    shared = whitening[None] if tied else whitening  # [K or 1, D, D]
    missing = tf.math.is_nan(x)
    x = tf.where(missing, tf.zeros_like(x), x)
    patterns, pattern_of = tf.raw_ops.UniqueV2(x=tf.cast(missing, tf.int8), axis=tf.constant([0]))
    sizes = tf.reduce_sum(tf.cast(patterns, tf.int32), axis=1)
    by_size = tf.argsort(sizes, stable=True)
    patterns, sizes = tf.gather(patterns, by_size), tf.gather(sizes, by_size)
    pattern_of = tf.gather(tf.math.invert_permutation(by_size), pattern_of)
    order = tf.argsort(pattern_of, stable=True)
    pattern_of, x = tf.gather(pattern_of, order), tf.gather(x, order)
    weight = None if weight is None else tf.gather(weight, order)
    rows = tf.shape(x)[0]
    block = min(max(_VALUES_AT_A_TIME // (shared.shape[0] * d * d), 16), _MOST_ROWS)

    def evaluate(start):
        end = tf.minimum(start + block, rows)
        own = pattern_of[start:end]
        first = own[0]
        size, pattern = sizes[first : own[-1] + 1], patterns[first : own[-1] + 1]
        own -= first
        span, log_det = _spans(shared, pattern, size[-1])
        span, log_det = tf.cast(span, dtype), tf.cast(log_det, dtype)
        part = x[start:end]
        y = tf.transpose(tf.matmul(part[None], shared, transpose_b=True), [1, 0, 2]) - means
        span_of = tf.gather(span, own)  # [b, K or 1, m, D]
        inside = tf.matmul(span_of, y[..., None])  # [b, K, m, 1]
        y -= tf.matmul(span_of, inside, transpose_a=True)[..., 0]
        joint = log_scale - tf.gather(log_det, own) - 0.5 * tf.reduce_sum(tf.square(y), axis=2)
        joint += 0.5 * math.log(2 * math.pi) * tf.cast(tf.gather(size, own), dtype)[:, None]
        return end, own, span, y, joint

    def collect(start, results, totals):
        end, own, span, y, joint = evaluate(start)
        index = start // block
        if weight is None:
            return end, results.write(index, joint), totals
        log_prob, responsibility, entropy = posterior(joint, weight[start:end])
        y = tf.transpose(y, [1, 0, 2])  # [K, b, D]
        by_component = tf.transpose(responsibility)  # [K, b]
        of_pattern = tf.math.unsorted_segment_sum(responsibility, own, tf.shape(span)[0])
        if tied:
            of_pattern = tf.reduce_sum(of_pattern, axis=1, keepdims=True)
        projected = tf.transpose(tf.sqrt(of_pattern)[..., None, None] * span, [1, 0, 2, 3])
        projected = tf.reshape(projected, [shared.shape[0], -1, d])
        second = tf.matmul(by_component[:, :, None] * y, y, transpose_a=True)
        if tied:
            second = tf.reduce_sum(second, axis=0, keepdims=True)
        second += tf.matmul(projected, projected, transpose_a=True)
        added = {
            "counts": tf.reduce_sum(by_component, axis=1),
            "sums": tf.matmul(by_component[:, None], y)[:, 0],
            "moments": tf.reshape(second, whitening.shape),
            "entropy": entropy,
        }
        totals = {name: totals[name] + tf.cast(added[name], tf.float64) for name in totals}
        return end, results.write(index, log_prob), totals

    zeros = {}
    if weight is not None:
        shapes = {"counts": [k], "sums": [k, d], "moments": whitening.shape, "entropy": []}
        zeros = {name: tf.zeros(shape, tf.float64) for name, shape in shapes.items()}
    results = tf.TensorArray(
        dtype,
        (rows + block - 1) // block,
        infer_shape=False,
        element_shape=[None, k if weight is None else weight.shape[1]],
    )
    _, results, totals = tf.while_loop(
        lambda start, *_: start < rows,
        collect,
        [tf.constant(0), results, zeros],
        parallel_iterations=1,
    )
    return tf.gather(results.concat(), tf.math.invert_permutation(order)), totals


def _spans(whitening, patterns, most):
    """Return orthonormal bases of the spans of each pattern's columns of W, [P, K, m, D].

    Patterns with fewer missing values have rows of zeros. Beside them, half the log-determinant
    of V^T V, [P, K].
    """
    _, chosen, factor, log_det = factor_patterns(whitening, patterns, tf.maximum(most, 1))
    return tf.linalg.triangular_solve(factor, chosen), log_det


def factor_patterns(whitening, patterns, most):
    """Return what patterns of missing values make of normals, in float64: V^T V has the square of
    the condition of V.

    Args:
        whitening: W, [K, D, D].
        patterns: 1 where a value is missing, 0 elsewhere, [P, D].
        most: Most missing values of a pattern, m, at least 1.

    Returns:
        The columns of each pattern [P, m], those that are missing before any others; V^T
        [P, K, m, D], rows of zeros in place of the others; the Cholesky factor of V^T V, which is
        the precision of the missing values given the others [P, K, m, m], 1 in place of the others;
        half the log-determinant of it [P, K].
    """
    columns = tf.argsort(patterns, direction="DESCENDING", stable=True)[:, :most]
    valid = tf.cast(tf.gather(patterns, columns, batch_dims=1), tf.float64)  # [P, m]
    by_column = tf.transpose(tf.cast(whitening, tf.float64), [2, 0, 1])
    chosen = tf.transpose(tf.gather(by_column, columns), [0, 2, 1, 3])  # [P, K, m, D]
    chosen *= valid[:, None, :, None]
    gram = tf.matmul(chosen, chosen, transpose_b=True) + tf.linalg.diag(1 - valid)[:, None]
    factor = tf.linalg.cholesky(gram)
    log_det = tf.reduce_sum(tf.math.log(tf.linalg.diag_part(factor)), axis=-1)
    return columns, chosen, factor, log_det
