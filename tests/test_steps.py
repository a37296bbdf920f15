"""Every step: inverse, log-det against the autodiff Jacobian, gradients, context, one pass."""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import genzoo.steps
from genzoo.core.inputs.spec import DataSpec
from genzoo.steps import (
    ActNorm,
    BijectorStep,
    Chain,
    Coupling,
    DiagonalScale,
    FactorOut,
    FlowStep,
    ImageCoupling,
    Inverse,
    LULinear,
    MaskedAutoregressive,
    Planar,
    Radial,
)
from genzoo.steps.bijectors import FlowDistribution
from genzoo.steps.chain import SharedTraces
from genzoo.steps.maps import make_map

# smooth, so that differences can stand for gradients
NET = {"hidden_units": (8,), "seed": 1, "activation": "tanh"}
IMAGE_NET = {"filters": 4, "seed": 1, "activation": "tanh"}
IMAGE = (4, 4, 2)


def stock(dtype="float32", **arguments):
    """Return a bijector of TFP's with variables."""
    tfb = tfp.bijectors
    skewness = tf.Variable(tf.constant([0.3, 0.0, -0.5], dtype))
    return tfb.Chain([tfb.SinhArcsinh(skewness), tfb.Scale(tf.Variable(tf.constant(0.7, dtype)))])


CASES = {
    "first half": (lambda **k: Coupling("affine", "first", **NET, **k), (5,)),
    "second half": (lambda **k: Coupling("affine", "second", **NET, **k), (5,)),
    "two features": (lambda **k: Coupling("affine", "second", **NET, **k), (2,)),
    "tight bound": (
        lambda **k: Coupling(transform_arguments={"scale_bound": 0.1}, **NET, **k),
        (4,),
    ),
    "with context": (lambda **k: Coupling(context_size=2, **NET, **k), (5,)),
    "additive": (lambda **k: Coupling("additive", **NET, **k), (3,)),
    "spline": (
        lambda **k: Coupling("spline", transform_arguments={"num_bins": 4}, **NET, **k),
        (3,),
    ),
    "mixture": (lambda **k: Coupling("mixture", **NET, **k), (3,)),
    "autoregressive": (lambda **k: MaskedAutoregressive(**NET, **k), (3,)),
    "autoregressive, deep": (
        lambda **k: MaskedAutoregressive(hidden_units=(7, 9), activation="tanh", seed=1, **k),
        (6,),
    ),
    "autoregressive, more features than units": (
        lambda **k: MaskedAutoregressive(hidden_units=(3, 2), seed=1, activation="silu", **k),
        (9,),
    ),
    "autoregressive, one feature, with context": (
        lambda **k: MaskedAutoregressive(context_size=2, **NET, **k),
        (1,),
    ),
    "autoregressive with context": (
        lambda **k: MaskedAutoregressive(context_size=2, **NET, **k),
        (4,),
    ),
    "autoregressive spline": (lambda **k: MaskedAutoregressive("spline", **NET, **k), (3,)),
    "autoregressive mixture": (lambda **k: MaskedAutoregressive("mixture", **NET, **k), (3,)),
    "inverse autoregressive": (lambda **k: Inverse(MaskedAutoregressive(**NET, **k), **k), (3,)),
    "inverse autoregressive with context": (
        lambda **k: Inverse(MaskedAutoregressive(context_size=2, **NET, **k), **k),
        (3,),
    ),
    "stock bijector": (lambda **k: BijectorStep(stock(**k), **k), (3,)),
    "planar": (lambda **k: Planar(seed=1, **k), (3,)),
    "planar with context": (lambda **k: Planar(seed=1, context_size=2, **k), (3,)),
    "radial": (lambda **k: Radial(seed=1, **k), (3,)),
    "radial with context": (lambda **k: Radial(seed=1, context_size=2, **k), (3,)),
    "checkerboard": (
        lambda **k: ImageCoupling("checkerboard", network="resnet", **IMAGE_NET, **k),
        IMAGE,
    ),
    "checkerboard, other half": (
        lambda **k: ImageCoupling("checkerboard", "second", **IMAGE_NET, **k),
        IMAGE,
    ),
    "channels": (lambda **k: ImageCoupling("channel", **IMAGE_NET, **k), IMAGE),
    "channels, odd, with context": (
        lambda **k: ImageCoupling("channel", "second", context_size=2, **IMAGE_NET, **k),
        (2, 2, 3),
    ),
    "image spline with context": (
        lambda **k: ImageCoupling(
            "checkerboard", transform="spline", network="resnet", context_size=2, **IMAGE_NET, **k
        ),
        (4, 4, 1),
    ),
    "actnorm": (lambda **k: ActNorm(**k), (3,)),
    "actnorm on images": (lambda **k: ActNorm(**k), IMAGE),
    "diagonal scale": (lambda **k: DiagonalScale(**k), (3,)),
    "rotation": (lambda **k: LULinear(seed=1, **k), (4,)),
    "1x1 convolution": (lambda **k: LULinear(seed=1, **k), IMAGE),
    "squeeze": (lambda **k: genzoo.steps.Squeeze(**k), IMAGE),
    "factor out": (
        lambda **k: FactorOut([ImageCoupling("channel", **IMAGE_NET, **k), ActNorm(**k)], **k),
        (2, 2, 5),
    ),
    "chain": (
        lambda **k: Chain(
            [
                FactorOut([genzoo.steps.Flatten(**k), LULinear(seed=0, **k)], **k),
                ImageCoupling("channel", context_size=2, **IMAGE_NET, **k),
                genzoo.steps.Squeeze(**k),
                ImageCoupling("checkerboard", context_size=2, **IMAGE_NET, **k),
            ],
            **k,
        ),
        (4, 4, 1),
    ),
    "chain of equal steps with context": (
        lambda **k: Chain(
            [Coupling(context_size=2, **{**NET, "seed": i}, **k) for i in range(3)], **k
        ),
        (4,),
    ),
    "standardize": (lambda **k: genzoo.steps.Standardize(**k), (3,)),
    "standardize images": (lambda **k: genzoo.steps.Standardize(**k), (2, 2, 1)),
    "pixel scale": (lambda **k: genzoo.steps.PixelScale(**k), (2, 2, 1)),
    "center": (lambda **k: genzoo.steps.Center(**k), (2, 2, 1)),
    "logit": (lambda **k: genzoo.steps.Logit(0.05, **k), (3,)),
    "logit without margin": (lambda **k: genzoo.steps.Logit(0.0, **k), (2, 2, 1)),
    "flatten": (lambda **k: genzoo.steps.Flatten(**k), (2, 2, 1)),
    "random permutation": (lambda **k: genzoo.steps.Permutation(seed=3, **k), (5,)),
    "reverse": (lambda **k: genzoo.steps.Permutation("reverse", **k), (4,)),
}


def built(case):
    """Return the step with weights away from their start, and points on the base side."""
    make, event_shape = CASES[case]
    step = make(dtype="float64")
    step.build((None, *event_shape))
    random = np.random.default_rng(0)
    for weight in step.trainable_variables:
        weight.assign(weight + random.normal(0, 0.3, weight.shape))
    if step.adapts:
        data = random.normal(3, 2, (100, *event_shape))
        step.adapt(lambda: iter([data[:40], data[40:]]), DataSpec("float64"))
    x = tf.constant(random.normal(size=(6, *step.base_shape)))
    context = (
        tf.constant(random.normal(size=(6, 2))) if "context" in case or case == "chain" else None
    )
    return step, x, context


def test_every_step_is_tried():
    classes = {
        cls
        for _, cls in inspect.getmembers(genzoo.steps, inspect.isclass)
        if issubclass(cls, FlowStep) and cls is not FlowStep
    }
    assert {type(make(dtype=None)) for make, _ in CASES.values()} == classes


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
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y, log_det = step.forward_and_log_det(x, context)
        flat = tf.reshape(y, [6, -1])
    size = flat.shape[1]
    jacobian = tf.reshape(
        tape.batch_jacobian(flat, x, experimental_use_pfor=False), [6, size, size]
    )
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


@pytest.mark.parametrize("direction", ["forward", "inverse"])
@pytest.mark.parametrize("case", CASES)
def test_gradients_are_those_of_differences(case, direction):
    """Also where the image was found by search, whose gradient is implicit."""
    step, point, context = built(case)
    if direction == "inverse":
        point = tf.identity(step.forward_and_log_det(point, context)[0])
    method = getattr(step, f"{direction}_and_log_det")
    random = np.random.default_rng(1)
    weights = step.trainable_variables
    starts = [w.numpy() for w in weights]
    ways = [random.normal(size=w.shape) for w in weights]
    way = random.normal(size=point.shape)

    def loss(point):
        image, log_det = method(point, context)
        return tf.reduce_sum(tf.sin(image)) + tf.reduce_sum(tf.cos(log_det))

    with tf.GradientTape() as tape:
        tape.watch(point)
        value = loss(point)
    gradients = tape.gradient(value, [point, *(w.value for w in weights)])
    slope = sum(np.sum(g * w) for g, w in zip(gradients, [way, *ways], strict=True))
    ends, h = [], 1e-6
    for sign in (1, -1):
        for weight, start, own in zip(weights, starts, ways, strict=True):
            weight.assign(start + sign * h * own)
        ends.append(float(loss(point + sign * h * way)))
    assert slope == pytest.approx((ends[0] - ends[1]) / (2 * h), rel=1e-5, abs=1e-5)


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


@pytest.mark.parametrize("case", [case for case in CASES if "context" in case])
def test_context_changes_the_result(case):
    step, x, context = built(case)
    y, log_det = step.forward_and_log_det(x, context)
    other, other_log_det = step.forward_and_log_det(x, context + 1)
    assert np.abs(y - other).max() > 1e-3
    assert np.abs(log_det - other_log_det).max() > 1e-3


def test_bijector_follows_the_weights():
    step, x, _ = built("first half")
    before = step.bijector().forward(x)
    step.conditioner.trainable_variables[-1].assign_add(tf.ones(4, tf.float64))
    assert np.abs(step.bijector().forward(x) - before).max() > 0.1


def test_value_and_log_det_take_one_pass():
    """TFP asks for them one after the other; the conditioner must run once."""
    step, x, _ = built("first half")
    calls = []
    network = step.conditioner
    step.conditioner = lambda *inputs: calls.append(1) or network(*inputs)
    base = tfp.distributions.Sample(tfp.distributions.Normal(tf.zeros([], tf.float64), 1.0), 5)
    z, inverse = step.inverse_and_log_det(x)
    expected = base.log_prob(z) + inverse
    flow = tfp.distributions.TransformedDistribution(base, step.bijector())
    for run in (tf.function(flow.log_prob), FlowDistribution(base, step.bijector()).log_prob):
        calls.clear()
        np.testing.assert_allclose(run(x), expected)
        assert len(calls) == 1
    calls.clear()
    y, at_sample = tf.function(flow.experimental_sample_and_log_prob)(6, seed=[0, 1])
    assert len(calls) == 1
    np.testing.assert_allclose(at_sample, flow.log_prob(y), rtol=1e-9)


def test_shared_traces_are_traced_once_and_keep_their_own_weights():
    steps = []
    for seed in range(3):
        step = Coupling(hidden_units=(8,), seed=seed)
        step.build((None, 4))
        step.conditioner.trainable_variables[-1].assign([float(seed)] * 4)
        steps.append(step)
    traces = SharedTraces(steps)
    x = tf.random.stateless_normal([5, 4], [0, 0])

    @tf.function
    def loss():
        y = x
        for step in steps:
            y, _ = traces.run("training", step, "forward_and_log_det", y, None)
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
        "half='third'": lambda: Coupling(half="third"),
        "scale_bound=0": lambda: Coupling(transform_arguments={"scale_bound": 0}),
        "Did you mean 'num_bins'": lambda: Coupling("spline", transform_arguments={"bins": 4}),
        "transform='afine'": lambda: Coupling("afine"),
        "alpha=0.5": lambda: genzoo.steps.Logit(0.5),
        "kind='shuffle'": lambda: genzoo.steps.Permutation("shuffle"),
        "hidden_units='ab'": lambda: Coupling(hidden_units="ab"),
        r"event_shape=\(1,\)": lambda: Coupling().build((None, 1)),
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


@pytest.mark.parametrize("bounds", [{}, {"expansion_bound": 0.5}, {"scale_bound": 1.0}])
def test_affine_maps_keep_their_bounds(bounds):
    affine = make_map("affine", bounds)
    raw = tf.constant(
        [[-50.0, 0.0], [-1e-4, 0.0], [0.0, 3.0], [1e-4, 0.0], [50.0, 0.0]], tf.float64
    )
    z, log_slope = affine.inverse(tf.ones([5, 1], tf.float64), raw)
    log_slope = log_slope.numpy()[:, 0]
    least = bounds.get("scale_bound", 3.0)
    most = bounds.get("expansion_bound", least)
    np.testing.assert_allclose(log_slope[[0, 4]], [-least, most], rtol=1e-3)
    # near 0 the parameter is the log-scale itself
    np.testing.assert_allclose(log_slope[1:4], [-1e-4, 0, 1e-4], atol=1e-8)
    shift = raw.numpy()[:, 1]
    np.testing.assert_allclose(z.numpy()[:, 0], np.exp(log_slope) + shift, rtol=1e-12)
    back, inverse_log_slope = affine.forward(z, raw)
    np.testing.assert_allclose(back, np.ones((5, 1)), rtol=1e-12)
    np.testing.assert_allclose(inverse_log_slope[:, 0], -log_slope)
