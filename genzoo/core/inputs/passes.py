"""The order in which epochs go through data: passes, one after the other."""

import itertools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from genzoo.core.maths.random import fresh_seed

Pass = Callable[[tf.Tensor], tf.data.Dataset]


def in_order(n: int) -> Pass:
    """Return a function of a pass's number: 0 .. n - 1."""
    return lambda number: tf.data.Dataset.range(n)


def shuffled(n: int, seed: int | None) -> Pass:
    """Return a function of a pass's number: 0 .. n - 1 in an order that depends on it and the seed.

    A run that is resumed finds the order of its epoch again, which a shuffle buffer would not.
    """
    entropy = fresh_seed() if seed is None else seed

    def draw(number):
        return np.random.default_rng([entropy, int(number)]).permutation(n).astype(np.int64)

    def one_pass(number):
        order = tf.numpy_function(draw, [number], tf.int64)
        return tf.data.Dataset.from_tensor_slices(tf.ensure_shape(order, [n]))

    return one_pass


def epochs(
    one_pass: Pass,
    length: int,
    steps: int | None = None,
    epoch: Callable[[], int] | None = None,
) -> tf.data.Dataset:
    """Return a data set whose every reading is the next epoch.

    Args:
        one_pass: Of a pass's number, its data set.
        length: Elements of a pass.
        steps: Elements of an epoch, which goes on where the last one ended; `None` for a pass.
        epoch: Tells the number of an epoch as it begins; without it they are counted. TensorFlow
            never lets go of it: it should hold no more than it needs.
    """
    steps = steps or length
    epoch = epoch or itertools.count().__next__

    def begin(_):
        number = tf.numpy_function(lambda: np.int64(epoch()), [], tf.int64)
        first = tf.ensure_shape(number, []) * steps
        passes = tf.data.Dataset.range(first // length, (first + steps - 1) // length + 1)
        return passes.flat_map(one_pass).skip(first % length).take(steps)

    elements = tf.data.Dataset.range(1).flat_map(begin)
    return elements.apply(tf.data.experimental.assert_cardinality(steps))
