"""TFP's stock bijectors: as steps of a flow, and as oracles of our own with the same weights."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import genzoo
from genzoo.core.errors import InvalidInputError
from genzoo.steps import (
    ActNorm,
    BijectorStep,
    Chain,
    Coupling,
    FactorOut,
    Inverse,
    LULinear,
    MaskedAutoregressive,
    Permutation,
    Squeeze,
    Standardize,
)
from genzoo.steps.maps import make_map

tfb, tfd = tfp.bijectors, tfp.distributions

NET = {"hidden_units": (8,), "seed": 1, "activation": "tanh", "dtype": "float64"}


@pytest.fixture
def points():
    return tf.constant(np.random.default_rng(0).normal(size=(7, 4)))


def moved(step, event_shape=(4,)):
    """Return the step, its weights away from their start."""
    step.build((None, *event_shape))
    random = np.random.default_rng(2)
    for weight in step.trainable_variables:
        weight.assign(weight + random.normal(0, 0.3, weight.shape))
    return step


def check_alike(step, stock, points, event_ndims=1):
    """Compare a step with a stock bijector, from points on the data side."""
    ours = step.bijector()
    np.testing.assert_allclose(ours.inverse(points), stock.inverse(points), rtol=1e-9, atol=1e-9)
    got = ours.inverse_log_det_jacobian(points, event_ndims)
    expected = stock.inverse_log_det_jacobian(points, event_ndims)
    expected = tf.broadcast_to(expected, points.shape[: -event_ndims or None])
    np.testing.assert_allclose(tf.broadcast_to(got, expected.shape), expected, rtol=1e-9, atol=1e-9)
    z = tf.identity(stock.inverse(points))
    np.testing.assert_allclose(ours.forward(z), points, rtol=1e-7, atol=1e-7)


# Our steps, against the stock bijectors of the same weights


def shift_and_scale(scalar_map, parameters, inverted=False):
    """Return the stock bijector of an affine map towards the data."""
    scale, _, shift = scalar_map._split(parameters)
    towards_base = tfb.Chain([tfb.Shift(shift), tfb.Scale(scale)])
    return towards_base if inverted else tfb.Invert(towards_base)


@pytest.mark.parametrize("features", [4, 5])
def test_a_coupling_is_the_stock_one(features):
    points = tf.constant(np.random.default_rng(0).normal(size=(7, features)))
    step = moved(Coupling("affine", "second", **NET), (features,))

    def bijector_fn(seen, input_depth, **kwargs):
        return shift_and_scale(step.map, step.conditioner(seen, None))

    check_alike(step, tfb.RealNVP(num_masked=features // 2, bijector_fn=bijector_fn), points)


def test_a_spline_is_the_stock_one(points):
    spline = make_map("spline", {"num_bins": 5, "bound": 2.0})
    parameters = np.random.default_rng(1).normal(size=(7, 4 * spline.num_parameters))
    widths, heights, left, _ = spline._knots(tf.constant(parameters), 4)
    # ours leads from the data to the base
    stock = tfb.Invert(tfb.RationalQuadraticSpline(widths, heights, left[..., 1:], range_min=-2.0))
    for ours, theirs in (("forward", stock), ("inverse", tfb.Invert(stock))):
        image, log_slope = getattr(spline, ours)(points, tf.constant(parameters))
        np.testing.assert_allclose(image, theirs.forward(points), rtol=1e-9, atol=1e-9)
        # outside of the interval both are the identity
        expected = -theirs.inverse_log_det_jacobian(theirs.forward(points), 0)
        np.testing.assert_allclose(log_slope, expected, rtol=1e-8, atol=1e-8)


def test_masked_autoregressive_steps_are_the_stock_ones(points):
    step = moved(MaskedAutoregressive("affine", **NET))

    def bijector_fn(y, **kwargs):
        return shift_and_scale(step.map, tf.cast(step.conditioner(y, None), y.dtype))

    stock = tfb.MaskedAutoregressiveFlow(bijector_fn=bijector_fn)
    check_alike(step, stock, points)
    check_alike(inverse_of(step), tfb.Invert(stock), points)


def inverse_of(step):
    inverse = Inverse(step, dtype="float64")
    inverse.build((None, 4))
    return inverse


def test_a_learned_matrix_is_the_stock_product(points):
    step = moved(LULinear(seed=0, dtype="float64"))
    rotation, lower, upper, _ = step._factors()
    lower_upper = tf.linalg.set_diag(lower, tf.zeros(4, tf.float64)) + upper
    product = tfb.ScaleMatvecLU(lower_upper, permutation=tf.range(4))
    np.testing.assert_allclose(
        product.forward(tf.eye(4, dtype=tf.float64)), tf.transpose(lower @ upper)
    )
    # rows times R L U is (L U)^T R^T columns
    matrix = tf.transpose(rotation @ lower @ upper)
    stock = tfb.Invert(tfb.ScaleMatvecLU(*tf.linalg.lu(matrix)))
    check_alike(step, stock, points)
    _, log_det = step.inverse_and_log_det(points)
    np.testing.assert_allclose(log_det, product.forward_log_det_jacobian(points, 1))


def test_permutations_and_scales_are_the_stock_ones(points):
    step = moved(Permutation(seed=0, dtype="float64"))
    check_alike(step, tfb.Permute(np.array(step.order), axis=-1), points)
    norm = moved(ActNorm(dtype="float64"))
    scale = tf.exp(tf.convert_to_tensor(norm.log_scale))
    stock = tfb.Chain([tfb.Shift(tf.convert_to_tensor(norm.shift)), tfb.Scale(scale)])
    check_alike(norm, stock, points)
    standard = moved(Standardize(dtype="float64"))
    standard.mean.assign([1.0, 2.0, 3.0, 4.0])
    standard.scale.assign([0.5, 2.0, 1.0, 3.0])
    stock = tfb.Chain([tfb.Shift(np.array(standard.mean)), tfb.Scale(np.array(standard.scale))])
    check_alike(standard, stock, points)


def test_a_level_that_leaves_is_the_stock_blockwise_bijector(points):
    inner = Coupling("affine", "second", **NET)
    step = moved(FactorOut([inner], dtype="float64"))
    stock = tfb.Blockwise([inner.bijector(), tfb.Identity()], block_sizes=[2, 2])
    check_alike(step, stock, points)


def test_a_squeeze_is_a_stock_reshape_and_transposition():
    images = tf.constant(np.random.default_rng(0).normal(size=(3, 4, 6, 2)))
    step = moved(Squeeze(dtype="float64"), (4, 6, 2))
    stock = tfb.Chain(
        [
            tfb.Reshape([4, 6, 2], [2, 2, 3, 2, 2]),
            tfb.Transpose([0, 2, 1, 3, 4]),
            tfb.Reshape([2, 3, 2, 2, 2], [2, 3, 8]),
        ]
    )
    check_alike(step, stock, images, event_ndims=3)


def test_a_chain_is_the_stock_chain_of_its_steps(points):
    steps = [Coupling("affine", "first", **NET), LULinear(seed=0, dtype="float64")]
    chain = moved(Chain([*steps, Standardize(dtype="float64")], dtype="float64"))
    bijector = chain.bijector()
    stock = tfb.Chain([step.bijector() for step in reversed(chain.steps)])
    assert isinstance(bijector, type(stock))
    assert [b.name for b in bijector.bijectors] == [b.name for b in stock.bijectors]
    check_alike(chain, stock, points)
    assert {id(v) for v in bijector.trainable_variables} == {
        id(v.value) for v in chain.trainable_variables
    }
    # with more axes in an event the log-dets add up
    np.testing.assert_allclose(
        bijector.inverse_log_det_jacobian(points, 2), stock.inverse_log_det_jacobian(points, 2)
    )


# Stock bijectors as steps

STOCK = {
    "a number": lambda: tfb.SinhArcsinh(skewness=0.3, tailweight=0.8),
    "an array": lambda: tfb.Scale(np.array([0.5, 2.0, 1.5], "float32")),
    "learned": lambda: tfb.SinhArcsinh(skewness=tf.Variable([0.3, 0.0, -0.3])),
    "learned, in a chain": lambda: tfb.Chain(
        [tfb.Shift(tf.Variable([0.1, 0.2, 0.3])), tfb.ScaleMatvecTriL(tf.linalg.eye(3) + 0.0)]
    ),
    "learned, behind a transformation": lambda: tfb.Scale(
        tfp.util.TransformedVariable([0.5, 2.0, 1.5], tfb.Softplus())
    ),
    "inverted": lambda: tfb.Invert(tfb.SinhArcsinh(skewness=tf.Variable(0.5))),
}


@pytest.mark.parametrize("case", STOCK)
def test_a_stock_bijector_is_a_step(case, tmp_path):
    given = STOCK[case]()
    x = np.random.default_rng(0).normal(size=(200, 3)).astype("float32")
    model = genzoo.Flow((3,), steps=[given], preprocessing=None, seed=0)
    model.adapt(x)
    normal = tfd.MultivariateNormalDiag(tf.zeros(3))
    expected = tfd.TransformedDistribution(normal, given).log_prob(x)
    np.testing.assert_allclose(model.log_prob(x), expected, rtol=1e-4, atol=1e-4)
    assert len(model.trainable_variables) == len(given.trainable_variables)
    loss = model.fit(2 * x + 1, epochs=5, verbose=0).history["loss"]
    if model.trainable_variables:
        assert loss[-1] < loss[0]
    model.save(tmp_path / "flow.keras")
    loaded = keras.models.load_model(tmp_path / "flow.keras")
    np.testing.assert_array_equal(loaded.log_prob(x), model.log_prob(x))
    np.testing.assert_array_equal(loaded.sample(4, seed=0), model.sample(4, seed=0))
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    copy.restore_state(model.fitted_state())
    np.testing.assert_array_equal(copy.log_prob(x), model.log_prob(x))


def test_stock_bijectors_stand_between_steps_and_change_their_shape():
    x = np.random.default_rng(0).normal(size=(100, 2, 2)).astype("float32")
    steps = [
        Coupling(hidden_units=(8,), seed=0),
        Coupling(half="second", hidden_units=(8,), seed=1),
        tfb.SinhArcsinh(skewness=tf.Variable(0.0)),
        tfb.Permute([2, 0, 1, 3]),
        tfb.Reshape([2, 2], [4]),
    ]
    model = genzoo.Flow((2, 2), steps=steps, seed=0)
    loss = model.fit(x**3, epochs=8, verbose=0).history["loss"]
    assert loss[-1] < loss[0]
    assert model.latent_shape == (4,)
    back = model.decode(model.encode(x))
    np.testing.assert_allclose(back, x, rtol=1e-3, atol=1e-4)
    parts = model.distribution().bijector.bijectors
    assert [type(p.parameters["step"]).__name__ for p in parts[1:3]] == ["BijectorStep"] * 2


def test_a_function_makes_a_bijector_of_the_context(tmp_path):
    random = np.random.default_rng(0)
    c = random.normal(size=(300, 1)).astype("float32")
    x = np.concatenate([c, -c], axis=1) + 0.1 * random.normal(size=(300, 2)).astype("float32")
    model = genzoo.Flow(
        (2,),
        steps=[tfb.Scale(tf.Variable(1.0)), shift_of_context],
        context_dim=1,
        preprocessing=None,
        seed=0,
    )
    model.adapt(x, c)
    encoded = model.encode_context(tf.constant(c))
    center = tf.concat([encoded, -encoded], axis=1)
    expected = tfd.MultivariateNormalDiag(center, tf.ones(2)).log_prob(x)
    np.testing.assert_allclose(model.log_prob(x, context=c), expected, rtol=1e-4, atol=1e-4)
    assert model.distribution(encoded[:5]).sample(3).shape == (3, 5, 2)
    model.save(tmp_path / "flow.keras")
    loaded = keras.models.load_model(tmp_path / "flow.keras")
    np.testing.assert_array_equal(loaded.log_prob(x, context=c), model.log_prob(x, context=c))


@keras.saving.register_keras_serializable("tests")
def shift_of_context(context):
    return tfb.Shift(tf.concat([context, -context], axis=-1))


def variable_step():
    return tfb.Scale(tf.Variable([1.0, 2.0], dtype=tf.float64))


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (3.0, r"steps\[0\] of type float"),
        (lambda: 3.0, "returned 3.0"),
        (lambda: tfb.Scale(tf.Variable(1.0)), "would not be\\s+trained"),
        (variable_step(), "dtype float64"),
        (tfb.Scale([[1.0, 2.0], [3.0, 4.0]]), r"batch shape \(2,\)"),
        (tfb.Scale([1.0, 2.0, 3.0]), r"leads to examples of shape \(2,\)"),
        (tfb.Reshape([3], [3]), r"leads to examples of shape \(2,\)"),
        (tfb.Reshape([2, 1], [2]), "at least 2 axes"),
    ],
)
def test_what_does_not_fit_is_refused(step, message):
    with pytest.raises(InvalidInputError, match=message):
        genzoo.Flow((2,), steps=[step])


def test_data_outside_the_range_of_a_bijector_are_refused():
    x = np.random.default_rng(0).normal(size=(50, 2)).astype("float32")
    model = genzoo.Flow((2,), steps=[tfb.Exp()], seed=0)
    with pytest.raises(InvalidInputError, match="within the range of the bijector Exp"):
        model.fit(np.exp(x), verbose=0)
    model = genzoo.Flow((2,), steps=[tfb.Exp()], preprocessing=None, seed=0)
    model.fit(np.exp(x), epochs=1, verbose=0)
    expected = tfd.LogNormal(0.0, 1.0).log_prob(np.exp(x)).numpy().sum(axis=1)
    np.testing.assert_allclose(model.log_prob(np.exp(x)), expected, rtol=1e-4, atol=1e-4)
    many_to_one = genzoo.Flow((2,), steps=[tfb.AbsoluteValue()], preprocessing=None, seed=0)
    with pytest.raises(InvalidInputError, match="one to one"):
        many_to_one.fit(np.exp(x), verbose=0)


def test_a_bijector_of_a_users_own_is_saved_by_the_function_that_makes_it():
    class Cube(tfb.Bijector):
        def __init__(self, name="cube"):
            super().__init__(forward_min_event_ndims=0, parameters=dict(locals()), name=name)

        def _forward(self, x):
            return x**3

        def _inverse(self, y):
            return tf.sign(y) * tf.abs(y) ** (1 / 3)

        def _inverse_log_det_jacobian(self, y):
            return -tf.math.log(3.0) - 2 / 3 * tf.math.log(tf.abs(y))

    step = BijectorStep(Cube())
    with pytest.raises(InvalidInputError, match="register_keras_serializable"):
        step.get_config()

    @keras.saving.register_keras_serializable("tests")
    def cube():
        return Cube()

    again = BijectorStep.from_config(BijectorStep(cube).get_config())
    again.build((None, 2))
    np.testing.assert_allclose(again.forward_and_log_det(tf.constant([[1.0, 2.0]]))[0], [[1, 8]])
