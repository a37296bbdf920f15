"""What users of TFP's flows meet in public: shapes, kept distributions, derivatives."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

import genzoo
import genzoo.steps.maps
from genzoo.core.lazy import tfp
from tests.tiny import tiny

FLOWS = {
    "nice": {"num_couplings": 2, "hidden_units": (8,)},
    "realnvp": {"num_couplings": 2, "hidden_units": (8,)},
    "glow": {"num_steps": 2, "hidden_units": (8,)},
    "maf": {"num_transforms": 2, "hidden_units": (8,)},
    "iaf": {"num_transforms": 2, "hidden_units": (8,)},
    "planar": {"num_steps": 2},
    "radial": {"num_steps": 2},
    "neural_spline": {"num_transforms": 2, "hidden_units": (8,), "num_bins": 4},
}


def moved(name, event_shape=(3,), **arguments):
    """Return a tiny flow away from its start, and data."""
    random = np.random.default_rng(0)
    x = random.normal(size=(30, *event_shape)).astype("float32")
    model = genzoo.build(name, event_shape=event_shape, seed=0, **{**FLOWS[name], **arguments})
    context = None
    if model.context_size:
        context = random.normal(size=(30, model.context_size)).astype("float32")
    model.adapt(x, context)
    for weight in model.trainable_variables:
        weight.assign(weight + random.normal(0, 0.1, weight.shape))
    return model, x, context


# Shapes


@pytest.mark.parametrize("name", FLOWS)
def test_points_may_have_any_leading_axes(name):
    model, x, _ = moved(name)
    expected = model.log_prob(x)
    distribution = model.distribution()
    for leading in [(), (30,), (1, 30), (30, 1), (5, 6), (3, 2, 5)]:
        points = x.reshape(*leading, 3) if leading else x[0]
        got = distribution.log_prob(points)
        assert got.shape == leading
        rows = expected.reshape(leading) if leading else expected[0]
        np.testing.assert_allclose(got, rows, rtol=1e-4, atol=1e-4)
    assert distribution.sample(seed=0).shape == (3,)
    assert distribution.sample([3, 5], seed=0).shape == (3, 5, 3)
    assert distribution.log_prob(x[:0]).shape == (0,)
    assert distribution.sample(0, seed=0).shape == (0, 3)
    assert distribution.batch_shape == ()
    for wrong in [x[:, :2], x[0, :2], x[0, 0]]:
        with pytest.raises(genzoo.GenzooError, match=r"points of shape \[..., 3\]"):
            distribution.log_prob(wrong)


def test_images_may_have_any_leading_axes():
    arguments = {"num_levels": 2, "num_steps": 1, "filters": 4, "preprocessing": "standardize"}
    model, x, _ = moved("glow", (4, 4, 1), **arguments)
    distribution, expected = model.distribution(), model.log_prob(x)
    got = distribution.log_prob(x.reshape(5, 6, 4, 4, 1))
    np.testing.assert_allclose(got, expected.reshape(5, 6), rtol=1e-4)
    np.testing.assert_allclose(distribution.log_prob(x[0]), expected[0], rtol=1e-4)
    # four images of four rows, not one of the points [4, 4, 1]
    np.testing.assert_allclose(model(x[None, :4])[0], expected[:4], rtol=1e-4)


@pytest.mark.parametrize("name", ["realnvp", "maf", "planar"])
def test_a_context_is_a_batch_shape(name):
    model, x, context = moved(name, context_dim=2)
    encoded = model.encode_context(tf.constant(context[:4]))
    distribution = model.distribution(encoded.numpy())
    assert distribution.batch_shape == (4,)
    assert distribution.sample(7, seed=0).shape == (7, 4, 3)
    rows = np.repeat(x[:5], 4, axis=0)
    expected = model.log_prob(rows, context=np.tile(context[:4], (5, 1))).reshape(5, 4)
    np.testing.assert_allclose(distribution.log_prob(x[:5, None]), expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(distribution.log_prob(x[2]), expected[2], rtol=1e-4, atol=1e-4)
    with pytest.raises(genzoo.GenzooError, match="leading axes"):
        distribution.log_prob(x[:5])
    # each row of the context draws for itself
    spread = distribution.sample(400, seed=1).numpy()
    correlation = np.corrcoef(spread.reshape(400, -1).T)[:3, 3:]
    assert np.abs(correlation).max() < 0.25


def test_data_far_from_zero_have_all_that_too():
    far = 1e13 + np.random.default_rng(0).normal(size=(30, 3))
    model = genzoo.RealNVP((3,), num_couplings=2, hidden_units=(8,), seed=0, dtype="float64")
    model.adapt(far)
    assert model.data_spec.offset is not None
    kept, bijector, points = model.distribution(), model.bijector(), tf.constant(far)
    assert len(kept.trainable_variables) == len(model.trainable_variables)
    for _ in range(2):
        got = kept.log_prob(tf.reshape(points, [5, 6, 3]))
        np.testing.assert_allclose(got, model.log_prob(far).reshape(5, 6), atol=0.05)
        z = bijector.inverse(points)
        np.testing.assert_array_equal(z, model.bijector().inverse(points))
        model.fit(far, epochs=1, verbose=0)
    assert np.abs(bijector.inverse(points) - z).max() > 1e-6


# Kept distributions


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("realnvp", {}), ("maf", {"base": "mixture"}), ("iaf", {"base": "student_t"})],
)
def test_a_kept_distribution_follows_the_weights(name, arguments):
    model, x, _ = moved(name, **arguments)
    kept, points = model.distribution(), tf.constant(x)
    weights = [weight.value for weight in model.trainable_variables]
    assert {id(w) for w in weights} == {id(w) for w in kept.trainable_variables}
    for _ in range(2):
        np.testing.assert_allclose(kept.log_prob(points), model.log_prob(x), rtol=1e-4, atol=1e-4)
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(kept.log_prob(points))
        gradients = tape.gradient(loss, weights)
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(model.distribution().log_prob(points))
        for got, fresh in zip(gradients, tape.gradient(loss, weights), strict=True):
            np.testing.assert_allclose(got, fresh, rtol=1e-5, atol=1e-6)
        before = kept.sample(3, seed=0)
        model.fit(x, epochs=2, verbose=0)
        assert np.abs(kept.sample(3, seed=0) - before).max() > 1e-4


def test_a_kept_bijector_follows_the_weights_and_every_tape():
    model, x, _ = moved("realnvp")
    bijector, points = model.bijector(), tf.constant(x)
    z, log_det = bijector.inverse(points), bijector.inverse_log_det_jacobian(points)
    model.fit(x, epochs=2, verbose=0)
    fresh = model.bijector()
    np.testing.assert_array_equal(bijector.inverse(points), fresh.inverse(points))
    np.testing.assert_array_equal(bijector.forward(z), fresh.forward(tf.identity(z)))
    for kept, made in [
        (bijector.inverse_log_det_jacobian(points), fresh.inverse_log_det_jacobian(points)),
        (bijector.forward_log_det_jacobian(z), fresh.forward_log_det_jacobian(tf.identity(z))),
    ]:
        np.testing.assert_array_equal(kept, made)
    assert np.abs(bijector.inverse_log_det_jacobian(points) - log_det).max() > 1e-4
    with tf.GradientTape() as tape:
        tape.watch(z)
        y = bijector.forward(z)
    assert tape.gradient(y, z) is not None


def test_a_training_loop_of_ones_own_in_a_graph():
    model, x, _ = moved("maf")
    kept, points = model.distribution(), tf.constant(x)
    optimizer = keras.optimizers.Adam(0.01)
    weights = [weight.value for weight in model.trainable_variables]

    @tf.function
    def step():
        before = kept.log_prob(points)
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(kept.log_prob(points))
        gradients = tape.gradient(loss, weights)
        optimizer.apply_gradients(zip(gradients, weights, strict=True))
        return before, loss

    losses = [float(step()[1]) for _ in range(20)]
    assert losses[-1] < losses[0] - 0.1
    np.testing.assert_allclose(kept.log_prob(points), model.log_prob(x), rtol=1e-4, atol=1e-4)


# Conventions of bijectors


@pytest.mark.parametrize("name", ["realnvp", "maf"])
def test_a_flow_stands_in_chains_of_bijectors(name):
    tfb, tfd = tfp.bijectors, tfp.distributions
    model, x, _ = moved(name)
    flow = model.bijector()
    assert flow.dtype is tf.float32
    log_prob = model.log_prob(x)

    # y = exp(x): the density over the product of its slopes
    def positive(y):
        chain = tfb.Chain([tfb.Exp(), model.bijector()])
        return tfd.TransformedDistribution(model.law.base.distribution(), chain).log_prob(y)

    expected = log_prob - x.sum(axis=1)
    for run in (positive, tf.function(positive)):
        np.testing.assert_allclose(run(tf.constant(np.exp(x))), expected, rtol=1e-4, atol=1e-4)
    # data halved on their way to the base
    chain = tfb.Chain([flow, tfb.Scale(2.0)])
    z, log_det = flow.inverse_and_log_det(tf.constant(x))
    np.testing.assert_allclose(chain.inverse(x), z / 2, rtol=1e-5, atol=1e-6)
    got = chain.inverse_log_det_jacobian(x, event_ndims=1)
    np.testing.assert_allclose(got, log_det - 3 * np.log(2), rtol=1e-5, atol=1e-5)
    inverted = tfb.Invert(flow)
    np.testing.assert_allclose(inverted.forward(x), z, rtol=1e-5, atol=1e-6)
    assert flow.forward_event_shape([7, 3]) == (7, 3)
    with pytest.raises(genzoo.GenzooError, match=r"\[..., 3\]"):
        flow.forward_event_shape([4])


def test_copies_of_a_bijector_are_equal_and_bijectors_of_two_calls_are_not():
    """TFP caches by equality what a chain gave, and weights change between two calls."""
    model, x, _ = moved("realnvp")
    bijector, points = model.bijector(), tf.constant(x)
    copy = bijector.copy()
    assert copy == bijector
    assert hash(copy) == hash(bijector)
    np.testing.assert_array_equal(copy.inverse(points), bijector.inverse(points))
    assert bijector.copy(name="other").name == "other"
    assert model.bijector() != bijector

    def log_det():
        chain = tfp.bijectors.Chain([model.bijector(), tfp.bijectors.Scale(2.0)])
        return chain.inverse_log_det_jacobian(points, event_ndims=1)

    before = log_det()
    model.fit(x, epochs=2, verbose=0)
    assert np.abs(log_det() - before).max() > 1e-4


def test_a_flow_takes_part_in_joint_distributions_sampling_and_variational_inference():
    tfd = tfp.distributions
    model, x, _ = moved("realnvp")
    flow = model.distribution()
    joint = tfd.JointDistributionSequential(
        [flow, lambda z: tfd.MultivariateNormalDiag(z, tf.ones(3))]
    )
    z, y = joint.sample(seed=0)
    expected = model.log_prob(z[None]) - 0.5 * np.sum((y - z) ** 2) - 1.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(joint.log_prob([z, y]), expected[0], rtol=1e-4)
    kernel = tfp.mcmc.HamiltonianMonteCarlo(flow.log_prob, step_size=0.3, num_leapfrog_steps=3)
    states = tf.function(
        lambda: tfp.mcmc.sample_chain(
            5, tf.constant(x[:2]), kernel=kernel, trace_fn=lambda state, _: state, seed=0
        )[0]
    )()
    assert states.shape == (5, 2, 3)
    target = tfd.MultivariateNormalDiag(tf.constant([1.0, 2.0, 3.0]))
    losses = tfp.vi.fit_surrogate_posterior(
        target.log_prob,
        flow,
        optimizer=keras.optimizers.Adam(0.05),
        num_steps=30,
        sample_size=8,
        seed=0,
    )
    assert losses[-1] < 0.5 * losses[0]


# Derivatives of every order

NET = {"hidden_units": (5,), "activation": "tanh", "seed": 1}
SEARCHED = {
    "planar": lambda **k: genzoo.steps.Planar(seed=1, **k),
    "planar with context": lambda **k: genzoo.steps.Planar(context_size=2, seed=1, **k),
    "inverse autoregressive": lambda **k: genzoo.steps.Inverse(
        genzoo.steps.MaskedAutoregressive(**NET, **k), **k
    ),
    "inverse autoregressive with context": lambda **k: genzoo.steps.Inverse(
        genzoo.steps.MaskedAutoregressive(context_size=2, **NET, **k), **k
    ),
    "mixtures for conditionals": lambda **k: genzoo.steps.MaskedAutoregressive(
        "mixture", transform_arguments={"num_components": 2}, **NET, **k
    ),
}


def differences(function, point, h=1e-5):
    """Return the derivative of a function of a vector along each coordinate, the last axis."""
    steps = h * np.eye(len(point))
    ends = [(function(point + step), function(point - step)) for step in steps]
    return np.stack([(a - b) / (2 * h) for a, b in ends], axis=-1)


def gradient_of(function, point):
    with tf.GradientTape() as tape:
        tape.watch(point)
        value = function(point)
    return tape.gradient(value, point)


def jacobian_of(function, point):
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(point)
        value = function(point)
    return tape.jacobian(value, point, experimental_use_pfor=False)


def check_derivatives(function, point, order=2):
    """Compare the derivatives of a function of a vector, up to an order, with differences."""
    lower = tf.function(lambda at: gradient_of(function, at))
    for _ in range(1, order):
        higher = tf.function(lambda at, lower=lower: jacobian_of(lower.python_function, at))
        expected = differences(lambda p, lower=lower: lower(tf.constant(p)).numpy(), point)
        np.testing.assert_allclose(higher(tf.constant(point)), expected, rtol=1e-5, atol=1e-6)
        lower = higher


@pytest.mark.parametrize("case", SEARCHED)
def test_derivatives_where_the_image_is_searched(case):
    step = SEARCHED[case](dtype="float64")
    step.build((None, 2))
    random = np.random.default_rng(0)
    context = tf.constant(random.normal(size=(1, 2))) if "context" in case else None
    weight = step.trainable_variables[0].value
    start, way = weight.numpy(), random.normal(size=weight.shape)

    # of a point and of a weight along a way
    def function(at):
        mapping = [(step.trainable_variables[0], start + at[2] * way)]
        with keras.StatelessScope(state_mapping=mapping):
            x, log_det = step.inverse_and_log_det(at[None, :2], context)
        return tf.reduce_sum(tf.sin(x)) + tf.reduce_sum(log_det)

    order = 3 if case == "planar" else 2
    check_derivatives(function, np.array([0.3, -0.5, 0.2]), order)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("iaf", {"activation": "tanh", "hidden_units": (4,)}),
        ("realnvp", {"activation": "tanh", "gradient_checkpointing": True}),
    ],
)
def test_second_derivatives_of_models_in_a_graph(name, arguments):
    model, x, _ = moved(name, (2,), dtype="float64", **arguments)

    def log_prob(point):
        return model.distribution().log_prob(point)

    check_derivatives(log_prob, x[0].astype("float64"))


@pytest.mark.parametrize("method", ["forward", "inverse"])
def test_derivatives_of_mixtures(method):
    random = np.random.default_rng(0)
    mixture = genzoo.steps.maps.make_map("mixture", {"num_components": 2})
    parameters, way = tf.constant(random.normal(size=(2, 1, 6)))

    def function(at):
        image, log_slope = getattr(mixture, method)(at[None, :1], parameters + at[1] * way)
        return tf.reduce_sum(tf.sin(image) + log_slope)

    check_derivatives(function, np.array([0.7, 0.1]))


# Checkpoints of TensorFlow's


@pytest.mark.parametrize("name", genzoo.models())
def test_checkpoints_of_tensorflow_hold_every_weight(name, tmp_path):
    model = tiny(name)
    weights = [np.array(variable.value) for variable in model.variables]
    path = tf.train.Checkpoint(model=model).save(tmp_path / "checkpoint")
    for variable in model.variables:
        variable.assign(keras.ops.ones_like(variable))
    tf.train.Checkpoint(model=model).restore(path).assert_existing_objects_matched()
    for variable, expected in zip(model.variables, weights, strict=True):
        np.testing.assert_array_equal(variable.value, expected, err_msg=variable.path)


def test_checkpoints_of_tensorflow_hold_the_weights_of_a_step(tmp_path):
    def make(seed):
        step = genzoo.steps.Chain([genzoo.steps.LULinear(seed=seed), genzoo.steps.ActNorm()])
        step.build((None, 3))
        return step

    one, other = make(0), make(1)
    path = tf.train.Checkpoint(step=one).save(tmp_path / "checkpoint")
    tf.train.Checkpoint(step=other).restore(path).assert_existing_objects_matched()
    for a, b in zip(one.variables, other.variables, strict=True):
        np.testing.assert_array_equal(a.value, b.value)


# Many dimensions


@pytest.mark.parametrize(
    ("name", "size", "arguments"),
    [("glow", 300, {"num_steps": 4}), ("realnvp", 400, {"permutation": "lu", "num_couplings": 4})],
)
def test_learned_matrices_train_stably_on_many_features(name, size, arguments):
    random = np.random.default_rng(0)
    x, new = (random.normal(size=(n, size)).astype("float32") for n in (1000, 300))
    model = genzoo.build(name, event_shape=(size,), seed=0, hidden_units=(32,), **arguments)
    history = model.fit(x, epochs=2, verbose=0)
    entropy = 0.5 * size * np.log(2 * np.pi * np.e)
    assert max(history.history["loss"]) < entropy + 0.02 * size
    assert -model.score(new) < entropy + 0.1 * size
    assert model.inversion_error(new) < 1e-5


def test_a_matrix_starts_as_a_rotation_that_is_easy_to_invert():
    step = genzoo.steps.LULinear(seed=0)
    step.build((None, 500))
    x = np.random.default_rng(0).normal(size=(50, 500)).astype("float32")
    z, log_det = step.inverse_and_log_det(tf.constant(x))
    np.testing.assert_allclose(np.linalg.norm(z, axis=1), np.linalg.norm(x, axis=1), rtol=1e-5)
    assert float(log_det) == 0.0
    back, _ = step.forward_and_log_det(z)
    np.testing.assert_allclose(back, x, atol=1e-4)


def test_matrices_of_files_of_the_first_version_are_read():
    from scipy.linalg import lu

    random = np.random.default_rng(0)
    matrix = random.normal(size=(4, 4))
    order, lower, upper = lu(matrix, p_indices=True)
    diagonal = np.diag(upper)
    weights = [np.tril(lower, -1), np.triu(upper, 1), np.log(np.abs(diagonal))]
    old = [*weights, order.astype("int32"), np.sign(diagonal)]
    step = genzoo.steps.LULinear(dtype="float64")
    step.build((None, 4))
    step.load_own_variables({str(i): array for i, array in enumerate(old)})
    x = random.normal(size=(5, 4))
    z, log_det = step.inverse_and_log_det(tf.constant(x))
    np.testing.assert_allclose(z, x @ matrix, rtol=1e-10)
    np.testing.assert_allclose(log_det, np.linalg.slogdet(matrix)[1], rtol=1e-10)
    old[2] = old[2] + 9.0
    with pytest.raises(genzoo.GenzooError, match="of version 0"):
        step.load_own_variables({str(i): array for i, array in enumerate(old)})


class _Spoil(keras.callbacks.Callback):
    """Makes the loss explode, and stay finite, from an epoch on."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            scale = self.model.steps[0].log_scale
            self.before = -self.model.score(self.x)
            scale.assign(scale - 6.0)


@pytest.mark.parametrize("on_nan", ["stop", "backoff"])
def test_a_loss_that_explodes_is_a_divergence(on_nan):
    model, x, _ = moved("nice")
    guard, spoil = genzoo.training.DivergenceGuard(on_nan), _Spoil()
    spoil.x = x
    with pytest.warns(genzoo.core.errors.DivergenceWarning, match="the loss rose from"):
        history = model.fit(x, epochs=5, batch_size=10, verbose=0, callbacks=[guard, spoil])
    assert len(history.history["loss"]) == (3 if on_nan == "stop" else 5)
    assert guard.backoffs == (on_nan == "backoff")
    assert -model.score(x) < spoil.before + 0.5


def test_rows_far_out_are_no_divergence():
    random = np.random.default_rng(0)
    x = random.standard_t(1.5, size=(600, 2)).astype("float32")
    x[::200] *= 1e4
    model = genzoo.RealNVP((2,), num_couplings=2, hidden_units=(8,), preprocessing=None, seed=0)
    guard = genzoo.training.DivergenceGuard()
    history = model.fit(x, epochs=4, batch_size=20, verbose=0, callbacks=[guard])
    assert len(history.history["loss"]) == 4


# One feature


def two_peaks(n, seed):
    random = np.random.default_rng(seed)
    return (random.choice([-3.0, 3.0], (n, 1)) + random.normal(size=(n, 1))).astype("float32")


def test_spline_couplings_learn_one_feature(tmp_path):
    model = genzoo.NeuralSplineFlow((1,), num_transforms=3, hidden_units=(16,), seed=0)
    model.fit(two_peaks(2000, 0), epochs=20, verbose=0)
    # log(2) + 1.419 nats where the peaks are far apart; one Gaussian ends at 2.57
    assert -model.score(two_peaks(2000, 1)) < 2.2
    points = np.linspace(-12, 12, 4001, dtype="float32")[:, None]
    assert np.exp(model.log_prob(points)).sum() * 24 / 4000 == pytest.approx(1.0, abs=1e-3)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.log_prob(points), model.log_prob(points))


def test_spline_couplings_of_one_feature_see_the_context():
    x = two_peaks(1000, 0)
    model = genzoo.NeuralSplineFlow(
        (1,), num_transforms=2, hidden_units=(16,), num_classes=2, seed=0
    )
    model.fit(x, (x[:, 0] > 0).astype(int), epochs=20, verbose=0)
    assert np.mean(model.sample(200, context=1, seed=0) > 0) > 0.95


def test_flows_that_cannot_learn_one_feature_say_which_can():
    for cls in (genzoo.RealNVP, genzoo.NICE, genzoo.Glow):
        with pytest.raises(genzoo.GenzooError, match="For one feature use NeuralSplineFlow"):
            cls((1,))
    for cls in (genzoo.MAF, genzoo.IAF):
        with pytest.warns(UserWarning, match="cannot learn several peaks"):
            cls((1,))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        genzoo.MAF((1,), conditionals="mixture")
        genzoo.MAF((1,), base="mixture")
        genzoo.MAF((2,))


# Flows of one's own steps, and options


def test_a_flow_is_made_of_steps(tmp_path):
    steps = [
        genzoo.steps.Coupling("spline", "second", (16,), context_size=3, seed=0),
        genzoo.steps.LULinear(seed=0),
        genzoo.steps.Chain([genzoo.steps.Planar(seed=1), genzoo.steps.ActNorm()]),
    ]
    model = genzoo.Flow((2,), steps=steps, base="student_t", num_classes=3, seed=0)
    x = genzoo.data.toy("moons", 300, seed=0).astype("float32")
    labels = np.arange(300) % 3
    history = model.fit(x, labels, epochs=3, verbose=0)
    assert history.history["loss"][-1] < history.history["loss"][0]
    assert model.steps[:3] == steps
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    for a, b in [(again, model), (again.steps[0], model.steps[0])]:
        assert a is not b
    np.testing.assert_array_equal(
        again.log_prob(x, context=labels), model.log_prob(x, context=labels)
    )
    clone = keras.models.clone_model(model)
    assert not {id(v) for v in clone.variables} & {id(v) for v in model.variables}


def test_steps_that_do_not_fit_are_refused():
    double = genzoo.steps.ActNorm(dtype="float64")
    used = genzoo.steps.ActNorm()
    used.build((None, 3))
    for steps, message in [
        (None, "Expected a list of steps"),
        ([], "Expected a list of steps"),
        ([genzoo.steps.ActNorm(), "planar"], r"steps\[1\] of type str"),
        ([double], r"steps\[0\], a ActNorm of dtype float64"),
        ([genzoo.steps.Squeeze()], "Expected images"),
        ([used], r"Received: event_shape=\(3,\)"),
    ]:
        with pytest.raises(genzoo.GenzooError, match=message):
            genzoo.Flow((2,), steps=steps)
    with pytest.raises(genzoo.GenzooError, match="RealNVP makes its own"):
        genzoo.RealNVP((2,), steps=[genzoo.steps.ActNorm()])


@pytest.mark.parametrize(
    ("cls", "option", "nearest"),
    [
        (genzoo.RealNVP, "num_coupling", "num_couplings"),
        (genzoo.VAE, "latent_dims", "latent_dim"),
        (genzoo.DCGAN, "filter", "filters"),
        (genzoo.GaussianMixture, "n_components", "num_components"),
        (genzoo.Flow, "bases", "base"),
    ],
)
def test_a_mistyped_option_gives_the_nearest(cls, option, nearest):
    with pytest.raises(genzoo.GenzooError, match=f"{cls.__name__}.*Did you mean.*'{nearest}'"):
        cls((8,), **{option: 3})
