"""Work in independent parts, run on all replicas of a strategy."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf


def run_parts(
    strategy: tf.distribute.Strategy,
    function: tf.types.experimental.PolymorphicFunction,
    parts: Iterator[Sequence[Any]],
) -> Iterator[Any]:
    """Yield `function(*part)` as NumPy for each part, in order.

    As many parts as this process has replicas run at a time; which replica takes a part does not
    matter to its result.
    """
    num_replicas = 1
    if strategy.num_replicas_in_sync > 1:
        num_replicas = len(strategy.extended.worker_devices)
    concrete = function.get_concrete_function()
    group: list[Sequence[Any]] = []
    for part in parts:
        if num_replicas == 1:
            yield _numpy(concrete(*part))
            continue
        group.append(part)
        if len(group) == num_replicas:
            yield from _run_group(strategy, function, group)
            group = []
    for part in group:
        yield _numpy(concrete(*part))


def _run_group(strategy, function, group):
    local = [
        strategy.experimental_distribute_values_from_function(
            lambda replica, i=i: group[replica.replica_id_in_sync_group % len(group)][i]
        )
        for i in range(len(group[0]))
    ]
    results = strategy.run(function, args=tuple(local))
    if isinstance(results, dict):
        split = {name: strategy.experimental_local_results(r) for name, r in results.items()}
        for i in range(len(group)):
            yield {name: values[i].numpy() for name, values in split.items()}
    else:
        for value in strategy.experimental_local_results(results):
            yield value.numpy()


def _numpy(result: Any) -> Any:
    return tf.nest.map_structure(lambda r: r.numpy(), result)


def concatenate(parts: Iterator[np.ndarray]) -> np.ndarray:
    """Join parts along the rows."""
    parts = list(parts)
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
