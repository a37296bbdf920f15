"""Functions compiled by XLA, called from many graphs."""

import ctypes
import gc

import numpy as np
import pytest
import tensorflow as tf

import genzoo
from genzoo.core.engine.tracing import PURPOSES, Compiled, traced_for


def powers(x, kernels):
    for kernel in kernels * 4:
        _, x = tf.while_loop(
            lambda i, _: i < 5, lambda i, y, k=kernel: (i + 1, y + tf.matmul(y, k)), [0, x]
        )
    return x


def inputs():
    random = np.random.default_rng(0)
    kernels = [random.normal(scale=0.1, size=(8, 8)).astype("float32") for _ in range(2)]
    return random.normal(size=(6, 8)).astype("float32"), kernels


@pytest.mark.parametrize("purpose", PURPOSES)
def test_compiled_functions_give_what_numpy_does(purpose):
    x, kernels = inputs()
    compiled = Compiled(powers)

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([None, 8])])
    def outer(x):
        with traced_for(purpose):
            return 2.0 * compiled(x, [tf.constant(k) for k in kernels])

    expected = x.astype("float64")
    for kernel in kernels * 4:
        expected = expected @ np.linalg.matrix_power(np.eye(8) + kernel, 5)
    for rows in (6, 3):
        np.testing.assert_allclose(outer(x[:rows]), 2 * expected[:rows], rtol=1e-4)
    operations = {op.type for op in outer.get_concrete_function().graph.get_operations()}
    assert ("XlaLaunch" in operations) == (purpose == "inference")


def test_functions_run_eagerly_are_compiled_too():
    model = genzoo.MAF((2,), num_transforms=1, hidden_units=(4,), seed=0)
    model.adapt(genzoo.data.toy("moons", 64, seed=0))
    expected = model.sample(5, seed=0)
    tf.config.run_functions_eagerly(True)
    try:
        np.testing.assert_allclose(model.sample(5, seed=0), expected, rtol=1e-5)
    finally:
        tf.config.run_functions_eagerly(False)


class _Heap(ctypes.Structure):
    _fields_ = [(f"field_{i}", ctypes.c_size_t) for i in range(10)]


def heap_mib():
    """Return what glibc has handed out."""
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallinfo2"):
        pytest.skip("glibc 2.33 counts the heap")
    library.mallinfo2.restype = _Heap
    gc.collect()
    heap = library.mallinfo2()
    return (heap.field_4 + heap.field_7) / 2**20


def test_graphs_that_are_dropped_leave_no_compiled_body():
    x, kernels = inputs()
    compiled = Compiled(powers)

    def use():
        @tf.function(autograph=False)
        def outer(x):
            with traced_for("inference"):
                return compiled(x, [tf.constant(k) for k in kernels])

        outer(tf.constant(x))

    for _ in range(5):
        use()
    before = heap_mib()
    for _ in range(20):
        use()
    # a call of a compiled tf.function leaves 0.4 MiB
    assert heap_mib() - before < 1.0
