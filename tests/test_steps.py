"""Every step: inverse, log-det against the autodiff Jacobian, gradients, context, one pass."""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import genzoo.steps
from genzoo.core.spec import DataSpec
from genzoo.steps import AffineCoupling, FlowStep
from genzoo.steps.base import SharedTraces, bijectors, run_step

COUPLING = {"hidden_units": (8,), "seed": 1, "dtype": "float64"}
CASES = {
    "first half": (lambda: AffineCoupling("first", **COUPLING), (5,)),
    "second half": (lambda: AffineCoupling("second", **COUPLING), (5,)),
    "two features": (lambda: AffineCoupling("second", **COUPLING), (2,)),
    "tight bound": (lambda: AffineCoupling("first", scale_bound=0.1, **COUPLING), (4,)),
    "with context": (lambda: AffineCoupling("first", context_size=2, **COUPLING), (5,)),
    "standardize": (lambda: genzoo.steps.Standardize(dtype="float64"), (3,)),
    "standardize images": (lambda: genzoo.steps.Standardize(dtype="float64"), (2, 2, 1)),
    "pixel scale": (lambda: genzoo.steps.PixelScale(dtype="float64"), (2, 2, 1)),
    "logit": (lambda: genzoo.steps.Logit(0.05, dtype="float64"), (3,)),
    "logit without margin": (lambda: genzoo.steps.Logit(0.0, dtype="float64"), (2, 2, 1)),
    "flatten": (lambda: genzoo.steps.Flatten(dtype="float64"), (2, 2, 1)),
    "random permutation": (lambda: genzoo.steps.Permutation(seed=3, dtype="float64"), (5,)),
    "reverse": (lambda: genzoo.steps.Permutation("reverse", dtype="float64"), (4,)),
}


def built(case):
    """Return the step with weights away from their start, and points on the base side."""
    make, event_shape = CASES[case]
    step = make()
    step.build((None, *event_shape))
    random = np.random.default_rng(0)
    for weight in step.trainable_variables:
        weight.assign(random.normal(0, 0.5, weight.shape))
    if step.adapts:
        data = random.normal(3, 2, (100, *event_shape))
        step.adapt(lambda: iter([data[:40], data[40:]]), DataSpec("float64"))
    x = tf.constant(random.normal(size=(6, *step.base_shape)))
    context = tf.constant(random.normal(size=(6, 2))) if "context" in case else None
    return step, x, context


def test_every_step_is_tried():
    classes = {
        cls
        for _, cls in inspect.getmembers(genzoo.steps, inspect.isclass)
        if issubclass(cls, FlowStep) and cls is not FlowStep
    }
    assert {type(make()) for make, _ in CASES.values()} == classes


@pytest.mark.parametrize("case", CASES)
def test_inverse(case):
    step, x, context = built(case)
    y, forward = step.forward_and_log_det(x, context)
    assert tuple(y.shape[1:]) == step.event_shape
    # a new tensor: TFP would hand back x itself from its cache
    back, inverse = step.inverse_and_log_det(tf.identity(y), context)
    np.testing.assert_allclose(back, x, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(forward + inverse, np.zeros(np.shape(forward)), atol=1e-9)


@pytest.mark.parametrize("case", CASES)
def test_log_det_is_that_of_the_jacobian(case):
    step, x, context = built(case)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y, log_det = step.forward_and_log_det(x, context)
        flat = tf.reshape(y, [6, -1])
    size = flat.shape[1]
    jacobian = tf.reshape(tape.batch_jacobian(flat, x), [6, size, size])
    _, expected = np.linalg.slogdet(jacobian.numpy())
    np.testing.assert_allclose(np.broadcast_to(log_det, 6), expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("case", CASES)
def test_gradient_reaches_every_weight(case):
    step, x, context = built(case)
    with tf.GradientTape() as tape:
        y, log_det = step.forward_and_log_det(x, context)
        loss = tf.reduce_sum(y**3) + tf.reduce_sum(log_det)
    weights = [w.value for w in step.trainable_variables]
    for weight, gradient in zip(weights, tape.gradient(loss, weights), strict=True):
        assert gradient is not None, weight.name
        assert np.abs(gradient).max() > 0, weight.name


@pytest.mark.parametrize("case", CASES)
def test_step_is_saved_by_its_config(case):
    step, x, context = built(case)
    clone = type(step).from_config(step.get_config())
    clone.build((None, *step.event_shape))
    clone.set_weights(step.get_weights())
    assert clone.signature() == step.signature()
    for a, b in zip(
        clone.forward_and_log_det(x, context), step.forward_and_log_det(x, context), strict=True
    ):
        np.testing.assert_array_equal(a, b)


def test_context_changes_the_result():
    step, x, context = built("with context")
    y, log_det = step.forward_and_log_det(x, context)
    other, other_log_det = step.forward_and_log_det(x, context + 1)
    assert np.abs(y - other).max() > 1e-3
    assert np.abs(log_det - other_log_det).max() > 1e-3


def test_bijector_follows_the_weights():
    step, x, _ = built("first half")
    before = step.bijector().forward(x)
    step.network.trainable_variables[-1].assign_add(tf.ones(4, tf.float64))
    assert np.abs(step.bijector().forward(x) - before).max() > 0.1


def test_value_and_log_det_take_one_pass():
    """TFP asks for them one after the other; the conditioner must run once."""
    step, x, _ = built("first half")
    calls = []
    network = step.network
    step.network = lambda inputs: calls.append(1) or network(inputs)
    base = tfp.distributions.Sample(tfp.distributions.Normal(tf.zeros([], tf.float64), 1.0), 5)
    composition = bijectors.Composition([step], run_step, None, "float64")
    flow = tfp.distributions.TransformedDistribution(base, composition)
    log_prob = flow.log_prob(x)
    assert len(calls) == 1
    z, inverse = step.inverse_and_log_det(x)
    np.testing.assert_allclose(log_prob, base.log_prob(z) + inverse)
    calls.clear()
    y, at_sample = flow.experimental_sample_and_log_prob(6, seed=[0, 1])
    assert len(calls) == 1
    np.testing.assert_allclose(at_sample, flow.log_prob(tf.identity(y)), rtol=1e-9)


def test_shared_traces_are_traced_once_and_keep_their_own_weights():
    steps = []
    for seed in range(3):
        step = AffineCoupling("first", hidden_units=(8,), seed=seed)
        step.build((None, 4))
        step.network.trainable_variables[-1].assign([float(seed)] * 4)
        steps.append(step)
    traces = SharedTraces(steps)
    x = tf.random.stateless_normal([5, 4], [0, 0])

    @tf.function
    def loss():
        y = x
        for step in steps:
            y, _ = traces.run(step, "forward_and_log_det", y, None)
        return y

    y = x
    for step in steps:
        y, _ = step.forward_and_log_det(y)
    np.testing.assert_allclose(loss(), y, rtol=1e-6)
    (shared,) = traces._functions.values()
    assert shared.experimental_get_tracing_count() == 1
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(loss() ** 2)
    weights = [w.value for step in steps for w in step.trainable_variables]
    with tf.GradientTape() as reference:
        y = x
        for step in steps:
            y, _ = step.forward_and_log_det(y)
        expected = tf.reduce_sum(y**2)
    for a, b in zip(
        tape.gradient(value, weights), reference.gradient(expected, weights), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_standardize_merges_batches_without_losing_digits():
    step = genzoo.steps.Standardize(dtype="float64")
    step.build((None, 3))
    x = np.random.default_rng(0).normal([0, 1e6, 5], [1e-3, 1, 0], (1000, 3))
    step.adapt(lambda: iter(np.array_split(x, 7)), DataSpec("float64"))
    np.testing.assert_allclose(step.mean.numpy(), x.mean(0), rtol=1e-12)
    expected = x.std(0)
    expected[2] = 1.0
    np.testing.assert_allclose(step.scale.numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("data", "low", "high"),
    [([0.1, 0.9], 0, 1), ([-0.5, 0.9], -1, 1), ([-3.0, 7.0], -3, 7)],
)
def test_pixel_scale_finds_the_range(data, low, high):
    step = genzoo.steps.PixelScale()
    step.build((None, 2))
    step.adapt(lambda: iter([np.array([data])]), DataSpec("float32"))
    assert (float(step.low.numpy()), float(step.high.numpy())) == (low, high)
    step.adapt(lambda: iter([]), DataSpec("uint8", levels=17))
    assert (float(step.low.numpy()), float(step.high.numpy())) == (0, 17)


def test_logit_stays_finite_outside_its_range():
    step = genzoo.steps.Logit(0.0)
    step.build((None, 3))
    z, log_det = step.inverse_and_log_det(tf.constant([[-5.0, 0.0, 1.0], [2.0, 1e30, 0.5]]))
    assert np.isfinite(z).all()
    assert np.isfinite(log_det).all()


def test_bad_arguments_are_refused():
    for message, make in {
        "half='third'": lambda: AffineCoupling("third"),
        "scale_bound=0": lambda: AffineCoupling(scale_bound=0),
        "alpha=0.5": lambda: genzoo.steps.Logit(0.5),
        "kind='shuffle'": lambda: genzoo.steps.Permutation("shuffle"),
        "hidden_units='ab'": lambda: AffineCoupling(hidden_units="ab"),
        r"event_shape=\(1,\)": lambda: AffineCoupling().build((None, 1)),
    }.items():
        with pytest.raises(genzoo.GenzooError, match=message):
            make()
    with pytest.raises(genzoo.GenzooError, match="more than one value"):
        step = genzoo.steps.PixelScale()
        step.build((None, 2))
        step.adapt(lambda: iter([np.full((3, 2), 9.0)]), DataSpec("float32"))


def test_keras_sees_the_weights_of_steps():
    model = genzoo.RealNVP((6,), num_couplings=4, hidden_units=(8,), seed=0)
    assert isinstance(model.steps[0], keras.layers.Layer)
    assert len(model.trainable_variables) == 4 * 4
    # the order of the permutation, and the mean and scale of the data
    assert len(model.non_trainable_variables) == 1 + 2 + 1
