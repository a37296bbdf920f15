"""One session, two logical CPU devices in place of two GPUs."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest
import tensorflow as tf

_CPU = tf.config.list_physical_devices("CPU")[0]
# processes that run side by side share the cores
_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))
tf.config.threading.set_intra_op_parallelism_threads(max((os.cpu_count() or 1) // _WORKERS, 1))
tf.config.set_logical_device_configuration(_CPU, [tf.config.LogicalDeviceConfiguration()] * 2)

import genzoo  # noqa: E402 (after the devices are made)


@pytest.fixture(scope="session")
def digits():
    return genzoo.data.load("digits", seed=0)


@pytest.fixture(scope="session")
def two_devices():
    # the one object: a second one's collective operations would take the messages of the first
    return genzoo.training.strategy()


def pytest_collection_modifyitems(items):
    # one process a model: it is trained once there, and its graphs are traced once
    for item in items:
        name = getattr(item, "callspec", None) and item.callspec.params.get("name")
        group = "trained" if "trained" in item.fixturenames else name
        if group is not None:
            item.add_marker(pytest.mark.xdist_group(str(group)))
    # the tests of a model follow one another, so that only one is kept in memory
    files = list(dict.fromkeys(item.path for item in items))
    items.sort(key=lambda item: (files.index(item.path), _model_name(item)))


def _model_name(item):
    return str(item.callspec.params.get("name", "")) if hasattr(item, "callspec") else ""
