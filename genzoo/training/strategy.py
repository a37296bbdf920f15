"""The distribution strategy that this machine, or cluster, calls for."""

import functools
import json
import os

import tensorflow as tf

from genzoo.core.errors import InvalidInputError


@functools.cache
def _multi_worker(cluster: str) -> tf.distribute.Strategy:
    return tf.distribute.MultiWorkerMirroredStrategy()


@functools.cache
def _mirrored(devices: tuple[str, ...]) -> tf.distribute.Strategy:
    return tf.distribute.MirroredStrategy(list(devices))


def strategy() -> tf.distribute.Strategy:
    """Return the strategy for the devices at hand.

    With a cluster in the environment variable TF_CONFIG, `MultiWorkerMirroredStrategy`; with
    several GPUs (or several logical CPU devices), `MirroredStrategy`; else TensorFlow's default,
    which uses the one GPU or the CPU. Call it before any other TensorFlow operation when there
    is a cluster. The same devices give the same object: the collective operations of two would
    take each other's messages.

    Raises:
        InvalidInputError: If TF_CONFIG is not valid.

    Example:

    >>> with genzoo.training.strategy().scope():
    ...     model = genzoo.RealNVP((2,))
    """
    if num_workers_and_index()[0] > 1:
        return _multi_worker(os.environ["TF_CONFIG"])
    for kind in ("GPU", "CPU"):
        devices = tf.config.list_logical_devices(kind)
        if len(devices) > 1:
            return _mirrored(tuple(device.name for device in devices))
        if devices:
            break
    return tf.distribute.get_strategy()


def num_workers_and_index() -> tuple[int, int]:
    """Return how many workers TF_CONFIG names and which of them this process is; (1, 0) without it.

    Raises:
        InvalidInputError: If TF_CONFIG is not valid, or names tasks that are no workers.
    """
    text = os.environ.get("TF_CONFIG")
    if not text:
        return 1, 0
    try:
        config = json.loads(text)
        workers, task = config["cluster"]["worker"], config["task"]
        index = int(task["index"])
        valid = isinstance(workers, list) and 0 <= index < len(workers)
        valid = valid and set(config["cluster"]) == {"worker"} and task["type"] == "worker"
    except (ValueError, KeyError, TypeError):
        valid = False
    if not valid:
        raise InvalidInputError(
            'Expected TF_CONFIG such as {"cluster": {"worker": ["host:port", ...]}, "task": '
            '{"type": "worker", "index": 0}}, of workers alone. '
            f"Received: TF_CONFIG={text!r}"
        )
    return len(workers), index
