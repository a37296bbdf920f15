"""One session, two logical CPU devices in place of two GPUs."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest
import tensorflow as tf

_CPU = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(_CPU, [tf.config.LogicalDeviceConfiguration()] * 2)

import genzoo  # noqa: E402 (after the devices are made)


@pytest.fixture(scope="session")
def digits():
    return genzoo.data.load("digits", seed=0)


@pytest.fixture(scope="session")
def two_devices():
    return tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"])
