"""Work in independent parts, run on all replicas of a strategy."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from genzoo.core.engine.tracing import traced_for
from genzoo.core.errors import WorkerLostError

_LOST = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.DeadlineExceededError)


class PartFunction:
    """A function in graph that is called on many parts, as many at a time as there are replicas.

    Which replica takes a part does not matter to its result.

    Args:
        function: Of tensors, returns a tensor or a structure of them.
        signature: `tf.TensorSpec` of each argument.
    """

    def __init__(self, function: Callable[..., Any], signature: Sequence[tf.TensorSpec]):
        self._function = _for_inference(function)
        self._single = tf.function(self._function, input_signature=signature, autograph=False)
        self._replicated: Callable[..., Any] | None = None

    def run(
        self, strategy: tf.distribute.Strategy, parts: Iterator[Sequence[tf.Tensor]]
    ) -> Iterator[Any]:
        """Yield the result of each part as NumPy, in order.

        In a cluster each worker computes for itself, on its own replicas.
        """
        num_replicas = 1
        if strategy.num_replicas_in_sync > 1:
            num_replicas = len(strategy.extended.worker_devices)
        # called through the concrete function, TensorFlow does not suspect retracing
        single = self._single.get_concrete_function()
        group: list[Sequence[tf.Tensor]] = []
        for part in parts:
            group.append(part)
            if len(group) == num_replicas > 1:
                yield from self._run_group(strategy, group)
                group = []
            elif num_replicas == 1:
                yield _to_numpy(single(*group.pop()))
        for part in group:
            yield _to_numpy(single(*part))

    def _run_group(self, strategy, group) -> list[np.ndarray]:
        if self._replicated is None:

            def replicated(*arguments):
                return strategy.run(self._function, args=arguments)

            self._replicated = tf.function(replicated, autograph=False, reduce_retracing=True)
        arguments = [
            strategy.experimental_distribute_values_from_function(
                lambda context, i=i: group[context.replica_id_in_sync_group % len(group)][i]
            )
            for i in range(len(group[0]))
        ]
        results = strategy.experimental_local_results(self._replicated(*arguments))
        return [_to_numpy(result) for result in results]


def _to_numpy(result):
    return tf.nest.map_structure(lambda value: value.numpy(), result)


def _for_inference(function):
    def run(*arguments):
        # what leaves as NumPy has none, and TensorFlow keeps the graph of a custom one for good
        with traced_for("inference"):
            return function(*arguments)

    return run


@contextlib.contextmanager
def lost_workers_told(strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Say in plain words that another worker is gone; TensorFlow tells of a failed operation.

    It notices a lost connection at once, and one that is silent by its heartbeat.

    Raises:
        WorkerLostError: In place of the errors of TensorFlow's collective operations.
    """
    try:
        yield
    except _LOST as error:
        if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
            raise
        reason = error.message.strip().partition("Collective ops is aborted by: ")[2]
        raise WorkerLostError(
            "Expected every worker of TF_CONFIG's cluster until training ends. Received: "
            f"{(reason or error.message).splitlines()[0]} Start all workers again; with a backup "
            "(`--resume`, `genzoo.training.Checkpoint`) they go on from the last checkpoint."
        ) from error


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Return whether this process is the one that writes files: alone, or a cluster's first."""
    resolver = strategy.cluster_resolver
    return resolver is None or not resolver.cluster_spec() or resolver.task_id == 0


def in_cluster(strategy: tf.distribute.Strategy) -> bool:
    """Return whether other processes take part."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def replica_share(losses: tf.Tensor) -> tf.Tensor:
    """Return this replica's share of the mean over the rows of all replicas.

    A strategy sums the gradients of the shares. Keras logs the shares weighted by rows, so the
    value is the mean of the replica's own rows over the number of replicas; where replicas have
    unequal parts of a batch, or none, the gradient is that of the mean over all rows.

    Args:
        losses: Of the replica's rows, [n].
    """
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    if replicas == 1:
        return tf.reduce_mean(losses)
    rows = tf.cast(tf.shape(losses)[0], losses.dtype)
    share = tf.reduce_sum(losses) / tf.maximum(rows, 1.0) / replicas
    weight = replicas * rows / sum_over_replicas(rows)
    return weight * share + tf.stop_gradient((1.0 - weight) * share)


def first_row(rows: tf.Tensor) -> Any:
    """Return the number, within the batch of all replicas, of the first of this replica's rows."""
    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync == 1:
        return 0
    replicas = replica.num_replicas_in_sync
    all_rows = tf.cast(sum_over_replicas(tf.cast(tf.shape(rows)[0], tf.float32)), tf.int32)
    # TensorFlow deals a batch out in equal parts, the last of which may be shorter
    return replica.replica_id_in_sync_group * ((all_rows + replicas - 1) // replicas)


def mean_over_replicas(values: tf.Tensor) -> tf.Tensor:
    """Return the mean of values over axis 0 of all replicas of a step."""
    total = sum_over_replicas(tf.reduce_sum(values, axis=0))
    return total / sum_over_replicas(tf.cast(tf.shape(values)[0], values.dtype))


def sum_over_replicas(value: tf.Tensor) -> tf.Tensor:
    """Return the sum of a value over the replicas of a step; outside one, the value."""
    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync == 1:
        return value
    return replica.all_reduce(tf.distribute.ReduceOp.SUM, value)


def gather_over_replicas(value: tf.Tensor) -> tf.Tensor:
    """Return the rows of all replicas of a step; outside one, the value's own."""
    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync == 1:
        return value
    return replica.all_gather(value, axis=0)
