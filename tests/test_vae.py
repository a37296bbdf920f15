"""The VAE family's bounds against known likelihoods and divergences."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import stats

import genzoo
from genzoo.core.maths.random import RowNoise
from genzoo.vaes.likelihoods import LIKELIHOODS
from genzoo.vaes.posteriors import Posterior
from tests.tiny import tiny

SEED = tf.constant([0, 1])


@pytest.fixture(scope="module")
def binary(digits):
    return (digits.x_train > 8).astype("uint8")


def linear_model(dimension=5, latent_dim=2, noise=0.5, kind=genzoo.VAE, **arguments):
    """Return a VAE set by hand to probabilistic PCA, exact posterior included, and its normal."""
    random = np.random.default_rng(0)
    loading = random.normal(size=(dimension, latent_dim))
    # orthogonal columns: the posterior is then a diagonal normal
    loading = np.linalg.svd(loading, full_matrices=False)[0] * [2.0, 1.0]
    model = kind(
        (dimension,),
        latent_dim=latent_dim,
        hidden_units=(),
        preprocessing=None,
        seed=0,
        dtype="float64",
        **arguments,
    )
    model.adapt(random.normal(size=(10, dimension)))
    model.law.likelihood.log_scale.assign(np.log(noise))
    kernel, bias = model.law.decoder.trainable_variables
    kernel.assign(loading.T)
    precision = np.eye(latent_dim) + loading.T @ loading / noise**2
    posterior = np.linalg.inv(precision)
    kernel, bias = model.law.encoder.trainable_variables
    mean = loading @ posterior / noise**2
    kernel.assign(np.concatenate([mean, np.zeros_like(mean)], 1))
    bounded = np.log(np.diag(posterior))
    bias.assign(np.concatenate([np.zeros(latent_dim), 10 * np.arctanh(bounded / 10)]))
    covariance = loading @ loading.T + noise**2 * np.eye(dimension)
    return model, stats.multivariate_normal(np.zeros(dimension), covariance)


def blur(model):
    """Make the posterior inexact."""
    for variable in model.law.encoder.trainable_variables:
        variable.assign(variable.numpy() * 0.7)


# Bounds


def test_bound_meets_the_likelihood_at_the_exact_posterior():
    model, normal = linear_model()
    x = normal.rvs(200, random_state=1)
    np.testing.assert_allclose(model.log_prob(x), normal.logpdf(x), rtol=1e-9)
    np.testing.assert_allclose(model.elbo(x, num_draws=3), normal.logpdf(x), rtol=1e-9)
    # the training objective, with the divergence in closed form, has the same mean
    parts = [model(tf.constant(x), training=True) for _ in range(400)]
    objective = np.mean([part["objective"].numpy() for part in parts], axis=0)
    np.testing.assert_allclose(objective, normal.logpdf(x), atol=0.5)
    assert objective.mean() == pytest.approx(normal.logpdf(x).mean(), abs=0.02)


def test_bound_rises_with_the_samples_to_the_likelihood():
    model, normal = linear_model()
    blur(model)
    x = normal.rvs(500, random_state=1)
    bounds = [model.score(x, num_samples=k) for k in (1, 5, 50, 500)]
    exact = normal.logpdf(x).mean()
    assert bounds == sorted(bounds)
    assert bounds[0] < exact - 0.1
    assert bounds[-1] == pytest.approx(exact, abs=0.05)
    assert model.elbo(x, num_draws=50).mean() == pytest.approx(bounds[0], abs=0.3)


def test_iwae_objective_is_the_bound_of_its_draws():
    model, normal = linear_model(kind=genzoo.IWAE, num_draws=7)
    x = normal.rvs(300, random_state=1)
    exact = normal.logpdf(x)
    parts = model(tf.constant(x))
    np.testing.assert_allclose(parts["objective"], exact, rtol=1e-9)
    blur(model)
    objective = np.mean(
        [np.mean(model(tf.constant(x), training=True)["objective"]) for _ in range(30)]
    )
    single, seven = (model.score(x, num_samples=k) for k in (1, 7))
    assert objective == pytest.approx(seven, abs=0.05)
    assert objective > single + 0.1
    with pytest.raises(genzoo.GenzooError, match="no KL term"):
        genzoo.IWAE((2,), beta=2.0)


def test_samples_have_the_covariance_of_the_model():
    model, normal = linear_model()
    samples = model.sample(40_000, seed=0)
    np.testing.assert_allclose(np.cov(samples.T), normal.cov, atol=0.1)
    means = model.sample(40_000, mean=True, seed=0)
    np.testing.assert_allclose(np.cov(means.T), normal.cov - 0.25 * np.eye(5), atol=0.1)


def test_a_draw_of_the_posterior_has_its_moments():
    model, normal = linear_model()
    x = np.repeat(normal.rvs(1, random_state=1)[None], 20_000, axis=0)
    mean = model.encode(x[:1])[0]
    drawn = model.encode(x, draw=True, seed=3)
    np.testing.assert_allclose(drawn.mean(0), mean, atol=0.02)
    given = model.law.infer(tf.constant(x[:1]), None)
    np.testing.assert_allclose(drawn.var(0), np.exp(given.log_variance[0]), rtol=0.05)
    again = model.encode(x, draw=True, seed=3, batch_size=999)
    np.testing.assert_allclose(again, drawn, rtol=1e-6)


# Divergences, posteriors and priors


def test_divergence_equals_tfp():
    model, _ = linear_model()
    random = np.random.default_rng(2)
    for variable in model.law.encoder.trainable_variables:
        variable.assign(random.normal(size=variable.shape))
    x = tf.constant(random.normal(size=(20, 5)))
    mean, log_variance, _ = model.law.infer(x, None)
    tfd = tfp.distributions
    posterior = tfd.MultivariateNormalDiag(mean, tf.exp(0.5 * log_variance))
    prior = tfd.MultivariateNormalDiag(tf.zeros(2, tf.float64))
    parts = model.law.objective(x, None, RowNoise(SEED, 0, "float64"))
    expected = tfd.kl_divergence(posterior, prior)
    np.testing.assert_allclose(parts["kl"], expected)
    np.testing.assert_allclose(parts["reconstruction"] - parts["objective"], expected)
    draws = posterior.sample(20_000, seed=1)
    ratio = posterior.log_prob(draws) - prior.log_prob(draws)
    np.testing.assert_allclose(parts["kl"], tf.reduce_mean(ratio, 0), rtol=0.05)


def test_beta_and_free_bits_change_the_objective_alone():
    x = np.random.default_rng(0).normal(size=(50, 4)).astype("float32")
    models = [
        genzoo.VAE((4,), latent_dim=2, hidden_units=(8,), seed=0, **extra)
        for extra in ({}, {"beta": 0.0}, {"free_bits": 0.5})
    ]
    for model in models:
        model.adapt(x)
    full, free, bits = (model(x) for model in models)
    np.testing.assert_allclose(free["objective"], full["reconstruction"], rtol=1e-6)
    by_unit = models[0].law.posterior.divergence(
        models[0].law.infer(models[0].law.see(tf.constant(x)), None)
    )
    kept = np.maximum(by_unit, 0.5).sum(axis=1)
    np.testing.assert_allclose(bits["objective"], full["reconstruction"] - kept, rtol=1e-5)
    for model in models[1:]:
        np.testing.assert_allclose(model.log_prob(x), models[0].log_prob(x))
    with pytest.raises(genzoo.GenzooError, match="free_bits"):
        genzoo.VAE((4,), free_bits=0.1, prior="mixture")


@pytest.mark.parametrize("kind", ["iaf", "planar"])
def test_flow_posteriors_are_densities(kind):
    """The log-density of a draw against the change of variables by autodiff."""
    posterior = Posterior(kind, 3, 2, seed=0, dtype="float64")
    random = np.random.default_rng(0)
    for weight in posterior.trainable_variables:
        weight.assign(weight + random.normal(0, 0.3, weight.shape))
    given = posterior.split(tf.constant(random.normal(size=(4, posterior.parameter_size))))
    noise = tf.constant(random.normal(size=(4, 3)))
    with tf.GradientTape() as tape:
        tape.watch(noise)
        z, log_q = posterior.draw(given, noise)
    jacobian = tape.batch_jacobian(z, noise).numpy()
    _, log_det = np.linalg.slogdet(jacobian)
    expected = stats.norm.logpdf(noise.numpy()).sum(1) - log_det
    np.testing.assert_allclose(log_q, expected, rtol=1e-6)
    one = Posterior("gaussian", 3, 1, dtype="float64")
    assert not np.allclose(one.draw(one.split(tf.zeros([4, 6], tf.float64)), noise)[0], z)


@pytest.mark.parametrize(
    "prior", ["mixture", "student_t", "vamp", "maf", "flow", "builder", "neural_spline"]
)
def test_priors(prior, digits, tmp_path):
    arguments = {"latent_dim": 2, "hidden_units": (16,), "num_pseudo_inputs": 5, "seed": 0}
    if prior == "flow":
        given = genzoo.RealNVP((2,), num_couplings=2, hidden_units=(8,), seed=0)
    elif prior == "builder":
        given = lambda shape: tfp.distributions.MultivariateNormalDiag(tf.ones(shape))  # noqa: E731
    else:
        given = prior
    model = genzoo.VAE((8, 8, 1), prior=given, **arguments)
    loss = model.fit(digits.x_train, epochs=3, verbose=0).history["loss"]
    assert loss[-1] < loss[0]
    one, many = (model.score(digits.x_test, num_samples=k) for k in (1, 50))
    assert many > one
    # the prior's density integrates to 1 and its samples follow it
    line = np.linspace(-12, 12, 400, dtype="float32")
    points = np.stack(np.meshgrid(line, line, indexing="ij"), -1).reshape(-1, 2)
    density = np.exp(model.law.prior.log_prob(tf.constant(points)))
    mass = density.reshape(400, 400) * (line[1] - line[0]) ** 2
    heavy = prior == "student_t"
    assert mass.sum() == pytest.approx(1, abs=0.1 if heavy else 0.02)
    drawn = model.law.prior.sample(20_000, seed=SEED).numpy()
    inside = (drawn[:, 0] > 0).mean()
    assert inside == pytest.approx(mass[200:].sum(), abs=0.1 if heavy else 0.02)
    if prior != "builder":
        model.save(tmp_path / "m.keras")
        loaded = keras.models.load_model(tmp_path / "m.keras")
        assert (loaded.log_prob(digits.x_test) == model.log_prob(digits.x_test)).all()


def test_a_prior_that_does_not_fit_is_refused():
    with pytest.raises(genzoo.GenzooError, match=r"event_shape=\(4,\)"):
        genzoo.VAE((8,), latent_dim=4, prior=genzoo.MAF((5,)))
    with pytest.raises(genzoo.GenzooError, match="prior='nonsense'"):
        genzoo.VAE((8,), prior="nonsense")
    with pytest.raises(genzoo.GenzooError, match="unconditional"):
        genzoo.VAE((8,), prior="vamp", num_classes=3)


# Likelihoods


def output_of(name, levels, event_shape, n=3, scale=2.0):
    layer = LIKELIHOODS[name](levels, dtype="float64")
    layer.levels = levels
    *rest, last = event_shape
    shape = (n, *rest, last * layer.parameters)
    return layer, tf.constant(np.random.default_rng(0).normal(0, scale, shape))


@pytest.mark.parametrize("name", ["discretized_logistic", "categorical", "bernoulli"])
@pytest.mark.parametrize("levels", [2, 17])
def test_masses_sum_to_one_and_samples_follow_them(name, levels):
    if name == "bernoulli" and levels != 2:
        return
    layer, output = output_of(name, levels, (1,), n=1)
    masses = [
        np.exp(layer.log_prob(tf.constant([[float(k)]], tf.float64), output).numpy()[0])
        for k in range(levels)
    ]
    assert sum(masses) == pytest.approx(1, abs=1e-9)
    rows = tf.repeat(output, 50_000, axis=0)
    drawn = layer.sample(rows, SEED).numpy().ravel().astype(int)
    counts = np.bincount(drawn, minlength=levels)
    kept = np.array(masses) * 50_000 > 5
    expected = np.array(masses)[kept] / np.array(masses)[kept].sum() * counts[kept].sum()
    assert stats.chisquare(counts[kept], expected).pvalue > 1e-3


def test_discretized_logistic_equals_scipy_and_stays_finite():
    layer, output = output_of("discretized_logistic", 256, (4, 4, 3))
    x = np.random.default_rng(1).integers(0, 256, (3, 4, 4, 3))
    x[0] = 0
    x[1] = 255
    location, log_scale = np.split(output.numpy(), 2, axis=-1)
    logistic = stats.logistic(location, np.exp(7 * np.tanh((log_scale - 2) / 7)))
    upper = np.where(x == 255, 1, logistic.cdf((x + 1) / 256 - 0.5))
    lower = np.where(x == 0, 0, logistic.cdf(x / 256 - 0.5))
    with np.errstate(divide="ignore"):
        expected = np.log(upper - lower)
    far = upper - lower < 1e-12
    got = layer.log_prob(tf.constant(x, tf.float64), output)
    sums = np.where(far, 0, expected).sum(axis=(1, 2, 3))
    assert not far[2].any() or np.isfinite(got).all()
    np.testing.assert_allclose(got.numpy()[~far.any(axis=(1, 2, 3))],
                               sums[~far.any(axis=(1, 2, 3))], rtol=1e-6)  # fmt: skip
    wild = tf.Variable(tf.constant(1e3 * output.numpy(), tf.float32))
    layer = LIKELIHOODS["discretized_logistic"](256)
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(layer.log_prob(tf.constant(x, tf.float32), wild))
    assert np.isfinite(value)
    assert np.isfinite(tape.gradient(value, wild)).all()


@pytest.mark.parametrize("name", ["gaussian", "diagonal_gaussian"])
def test_gaussians_equal_scipy(name):
    layer, output = output_of(name, None, (6,))
    layer.start(0.3)
    x = np.random.default_rng(1).normal(size=(3, 6))
    mean, log_scale = layer.split(output)
    scale = np.broadcast_to(np.exp(log_scale), mean.shape)
    expected = stats.norm.logpdf(x, mean, scale).sum(axis=1)
    np.testing.assert_allclose(layer.log_prob(tf.constant(x), output), expected, rtol=1e-9)
    drawn = layer.sample(tf.repeat(output[:1], 20_000, axis=0), SEED).numpy()
    np.testing.assert_allclose(drawn.std(0), scale[0], rtol=0.05)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_every_likelihood_trains_saves_and_samples(name, digits, tmp_path):
    arguments = {"levels": 17} if name == "categorical" else {}
    arguments |= {"binarization": "dynamic"} if name == "bernoulli" else {}
    model = tiny("vae_cnn", likelihood=name, **arguments)
    loss = model.fit(digits.x_train, epochs=4, verbose=0).history["loss"]
    assert loss[-1] < loss[0]
    samples = model.sample(30, seed=0)
    assert samples.dtype == np.uint8
    assert samples.max() <= 16
    assert model.reconstruct(digits.x_test[:5]).shape == (5, 8, 8, 1)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert (loaded.log_prob(digits.x_test) == model.log_prob(digits.x_test)).all()
    assert (loaded.sample(30, seed=0) == samples).all()


def test_masses_and_dequantised_bounds_meet(digits):
    """A mass scores the integers; a density at x + u bounds it: they are in one unit."""
    x = digits.x_train
    mass = genzoo.VAE((8, 8, 1), likelihood="discretized_logistic", latent_dim=8, seed=0)
    density = genzoo.VAE((8, 8, 1), likelihood="diagonal_gaussian", latent_dim=8, seed=0)
    bits = []
    for model in (mass, density):
        model.fit(x, epochs=15, verbose=0)
        assert model.likelihood == genzoo.Likelihood("lower_bound", "mass")
        bits.append(model.bits_per_dim(digits.x_test, num_samples=20).mean())
    assert 1.5 < bits[0] < bits[1] < np.log2(17)


def test_masses_need_levels(digits):
    with pytest.raises(genzoo.GenzooError, match="levels=256"):
        genzoo.VAE((8, 8, 1), likelihood="categorical")
    real = digits.x_train.astype("float32")
    with pytest.raises(genzoo.GenzooError, match="integers from 0"):
        genzoo.VAE((8, 8, 1), likelihood="discretized_logistic").fit(real)
    with pytest.raises(genzoo.GenzooError, match="preprocessing='auto'"):
        genzoo.VAE((8, 8, 1), likelihood="discretized_logistic", preprocessing="logit")


def test_bernoulli_on_binary_data(binary):
    model = genzoo.VAE((8, 8, 1), latent_dim=4, likelihood="bernoulli", seed=0)
    history = model.fit(binary, epochs=10, verbose=0).history["loss"]
    assert history[-1] < history[0] < 64 * np.log(2) + 5
    assert model.likelihood == genzoo.Likelihood("lower_bound", "mass")
    assert model.bits_per_dim(binary).mean() < 1.0
    samples = model.sample(20, seed=0)
    assert samples.dtype == np.uint8
    assert set(np.unique(samples)) == {0, 1}
    assert model.decode(model.encode(binary[:3])).shape == (3, 8, 8, 1)


def test_binarization_is_explicit(digits, binary):
    with pytest.raises(genzoo.GenzooError, match="binarization='threshold'"):
        genzoo.VAE((8, 8, 1), likelihood="bernoulli").fit(digits.x_train)
    with pytest.raises(genzoo.GenzooError, match="alone"):
        genzoo.VAE((8, 8, 1), binarization="threshold")
    gray = genzoo.VAE(
        (8, 8, 1), hidden_units=(16,), likelihood="bernoulli", binarization="threshold", seed=0
    )
    gray.fit(digits.x_train, epochs=2, verbose=0)
    two = genzoo.VAE((8, 8, 1), hidden_units=(16,), likelihood="bernoulli", seed=0)
    two.adapt(binary)
    two.set_weights(gray.get_weights())
    np.testing.assert_allclose(gray.log_prob(digits.x_train), two.log_prob(binary), rtol=1e-6)
    assert set(np.unique(gray.sample(20, seed=0))) == {0, 16}
    report = genzoo.metrics.likelihood_report(gray, digits.x_test)
    assert report["binarization"] == "threshold"
    assert report["latent_dim"] == 16
    assert "binarised by threshold" in str(gray.likelihood)
    assert gray.likelihood != two.likelihood


def test_dynamic_binarization_draws_anew_in_training_and_once_in_scoring(digits):
    model = tiny("vae", likelihood="bernoulli", binarization="dynamic")
    model.adapt(digits.x_train)
    x = tf.constant(np.full((4000, 8, 8, 1), 4, "uint8"))
    drawn = model.law.observe(x, RowNoise(SEED, 0)).numpy()
    assert set(np.unique(drawn)) == {0, 1}
    assert drawn.mean() == pytest.approx(4 / 16, abs=0.01)
    assert (drawn != model.law.observe(x, RowNoise(SEED + 1, 0)).numpy()).any()
    # the same binary data for all draws of z: else this would bound something else
    one, many = (model.log_prob(digits.x_test, num_samples=k, seed=5) for k in (1, 300))
    assert many.mean() > one.mean()
    assert many.max() < 0


# Networks


@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 1), (7, 10, 3), (64, 64, 3)])
@pytest.mark.parametrize("network", ["conv", "resnet"])
def test_convolutional_networks_take_any_size(shape, network):
    x = np.random.default_rng(0).integers(0, 255, (16, *shape), dtype=np.uint8)
    model = genzoo.VAE(shape, encoder=network, decoder=network, filters=4, latent_dim=3, seed=0)
    model.adapt(x)
    assert model.reconstruct(x).shape == x.shape
    assert np.isfinite(model.log_prob(x)).all()
    with pytest.raises(genzoo.GenzooError, match="Expected images"):
        genzoo.VAE((43,), encoder="conv")


@pytest.mark.parametrize("num_classes", [None, 10])
def test_own_keras_networks(num_classes, digits, tmp_path):
    layers = keras.layers
    image, label = keras.Input((8, 8, 1)), keras.Input((10,))
    features = layers.Conv2D(4, 3, activation="relu")(image)
    z = keras.Input((3,))
    given = z
    if num_classes:
        features = layers.Concatenate()([layers.Flatten()(features), label])
        given = layers.Concatenate()([z, label])
    decoded = layers.Reshape((8, 8, 2))(layers.Dense(128)(given))
    encoder = keras.Model([image, label] if num_classes else image, features)
    decoder = keras.Model([z, label] if num_classes else z, decoded)
    model = genzoo.VAE(
        (8, 8, 1),
        latent_dim=3,
        encoder=encoder,
        decoder=decoder,
        likelihood="diagonal_gaussian",
        num_classes=num_classes,
        seed=0,
    )
    context = digits.y_train if num_classes else None
    loss = model.fit(digits.x_train, context, epochs=3, verbose=0).history["loss"]
    assert loss[-1] < loss[0]
    assert {v.path for v in encoder.trainable_variables} <= {
        v.path for v in model.trainable_variables
    }
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    context = digits.y_test if num_classes else None
    a, b = (m.log_prob(digits.x_test, context=context) for m in (model, loaded))
    assert (a == b).all()


def test_networks_of_the_wrong_shape_are_refused():
    dense = keras.Sequential([keras.layers.Dense(5)])
    with pytest.raises(genzoo.GenzooError, match=r"returns \('n', 43\)"):
        genzoo.VAE((43,), latent_dim=2, decoder=dense)
    fixed = keras.Sequential([keras.Input((7,)), keras.layers.Dense(5)])
    with pytest.raises(genzoo.GenzooError, match="which failed"):
        genzoo.VAE((43,), latent_dim=2, encoder=fixed)
    with pytest.raises(genzoo.GenzooError, match="Keras layer"):
        genzoo.VAE((43,), encoder=3)


# Two phases


@pytest.mark.parametrize("name", ["two_stage_vae", "flow_vae"])
def test_the_second_phase_leaves_the_first_part_alone(name, digits, tmp_path):
    class Snapshots(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.taken = []

        def on_epoch_end(self, epoch, logs=None):
            taken = {v.path: np.array(v) for v in self.model.trainable_variables}
            self.taken.append((self.model.phase, taken))

    snapshots = Snapshots()
    model = tiny(name, first_phase_share=0.5)
    model.fit(digits.x_train[:512], epochs=4, callbacks=[snapshots], verbose=0)
    assert [phase for phase, _ in snapshots.taken] == [0, 0, 1, 1]
    weights = [taken for _, taken in snapshots.taken]
    moved_first = {p for p in weights[0] if (weights[0][p] != weights[1][p]).any()}
    moved_second = {p for p in weights[0] if (weights[1][p] != weights[3][p]).any()}
    assert moved_first and moved_second
    assert not moved_first & moved_second
    # what was saved in the second phase scores and resumes there
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert loaded.phase == 1
    before = {v.path: np.array(v) for v in loaded.trainable_variables}
    loaded.fit(digits.x_train[:512], epochs=6, initial_epoch=4, verbose=0)
    moved = {v.path for v in loaded.trainable_variables if (before[v.path] != np.array(v)).any()}
    assert len(moved) == len(moved_second)


@pytest.mark.parametrize("name", ["two_stage_vae", "flow_vae"])
def test_early_stopping_ends_a_phase(name, digits):
    model = tiny(name)
    stopping = keras.callbacks.EarlyStopping(
        monitor="loss", min_delta=1e9, patience=2, restore_best_weights=True
    )
    history = model.fit(digits.x_train[:256], epochs=40, callbacks=[stopping], verbose=0)
    assert model.phase == 1
    assert len(history.epoch) < 10


def test_flow_vae_starts_the_second_phase_where_the_first_ended(digits):
    model = tiny("flow_vae", first_phase_share=0.9)
    x = digits.x_train[:512]
    model.fit(x, epochs=3, verbose=0)
    model.enter_phase(0)
    first = model.score(x)
    model.enter_phase(1)
    fresh = tiny("flow_vae")
    fresh.adapt(x)
    fresh.enter_phase(0)
    a = fresh.log_prob(x)
    fresh.enter_phase(1)
    np.testing.assert_allclose(fresh.log_prob(x), a, rtol=1e-4)
    assert model.score(x) > first - 5


def test_flow_vae_log_det_by_autodiff():
    model = genzoo.FlowVAE(
        (4, 4, 2), latent_dim=2, hidden_units=(8,), num_flow_steps=2, flow_filters=4, seed=0,
        preprocessing=None, dtype="float64",
    )  # fmt: skip
    random = np.random.default_rng(0)
    model.adapt(random.normal(size=(20, 4, 4, 2)))
    model.enter_phase(1)
    for weight in model.trainable_variables:
        weight.assign(weight + random.normal(0, 0.1, weight.shape))
    z = tf.constant(random.normal(size=(1, 2)))
    output = model.law.output(z, None)
    x = tf.constant(random.normal(size=(1, 4, 4, 2)))
    mean, log_scale, seen = model.law._moments(output)
    with tf.GradientTape() as tape:
        tape.watch(x)
        noise, _ = model.law.flow.inverse_and_log_det((x - mean) * tf.exp(-log_scale), seen)
    jacobian = tape.jacobian(noise, x).numpy().reshape(32, 32)
    _, log_det = np.linalg.slogdet(jacobian)
    expected = stats.norm.logpdf(noise.numpy()).sum() + log_det
    assert model.law._flow_log_likelihood(x, mean, log_scale, seen).numpy()[0] == pytest.approx(
        expected, rel=1e-6
    )


def test_flow_vae_temperatures(digits):
    model = tiny("flow_vae", joint=True)
    before = [np.array(v) for v in model.trainable_variables]
    model.fit(digits.x_train[:512], epochs=1, verbose=0)
    # all parts together from the first epoch on
    for old, variable in zip(before, model.trainable_variables, strict=True):
        assert (old != np.array(variable)).any(), variable.path
    assert model.phase == 1
    cold = model.sample(300, flow_temperature=0.0, seed=0).astype(float)
    default = model.sample(300, seed=0).astype(float)
    half = model.sample(300, flow_temperature=0.5, seed=0).astype(float)
    warm = model.sample(300, flow_temperature=1.5, seed=0).astype(float)
    assert (default == half).all()
    assert cold.std(0).mean() < half.std(0).mean() < warm.std(0).mean()
    assert (model.sample(300, mean=True, seed=0) == cold).all()
    with pytest.raises(genzoo.GenzooError, match="flow_temperature=-1"):
        model.sample(3, flow_temperature=-1)
    with pytest.raises(genzoo.GenzooError, match="likelihood='bernoulli'"):
        genzoo.FlowVAE((4,), likelihood="bernoulli")


def test_two_stage_takes_no_other_prior():
    with pytest.raises(genzoo.GenzooError, match="second VAE is the prior"):
        genzoo.TwoStageVAE((4,), prior="mixture")


# Use


def test_kl_warmup_raises_the_weight_step_by_step(digits):
    class Weights(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.seen, self.tested = [], []

        def on_train_batch_end(self, batch, logs=None):
            self.seen.append(float(self.model.kl_weight.numpy()))

        def on_test_batch_end(self, batch, logs=None):
            self.tested.append(float(self.model.kl_weight.numpy()))

    weights, model = Weights(), tiny("vae")
    model.compile(keras.optimizers.Adam())
    warmup = genzoo.training.KLWarmup(epochs=2)
    model.fit(
        digits.x_train[:512],
        epochs=3,
        batch_size=128,
        validation_data=digits.x_test,
        callbacks=[warmup, weights],
        verbose=0,
    )
    np.testing.assert_allclose(weights.seen[:8], np.arange(8) / 8)
    assert set(weights.seen[8:]) == set(weights.tested) == {1.0}
    with pytest.raises(genzoo.GenzooError, match="a VAE"):
        tiny("nice").fit(digits.x_train, callbacks=[warmup], verbose=0)


def test_active_units_tell_the_collapsed(digits):
    model, normal = linear_model()
    x = normal.rvs(500, random_state=1)
    assert model.active_units(x).tolist() == [True, True]
    kernel = model.law.encoder.trainable_variables[0]
    values = np.array(kernel)
    values[:, 1] = 0
    kernel.assign(values)
    assert model.active_units(x).tolist() == [True, False]
    assert model.diagnose(x) == {"active_units": 1, "latent_dim": 2}


def test_interpolation_and_the_plane(digits):
    model = genzoo.VAE((8, 8, 1), latent_dim=2, hidden_units=(32,), seed=0)
    model.fit(digits.x_train, epochs=3, verbose=0)
    a, b = digits.x_test[:4], digits.x_test[4:8]
    ways = {path: model.interpolate(a, b, 5, path=path) for path in ("linear", "spherical")}
    for way in ways.values():
        assert way.shape == (4, 5, 8, 8, 1)
        assert (way[:, 0] == model.reconstruct(a)).mean() > 0.99
        assert (way[:, -1] == model.reconstruct(b)).mean() > 0.99
    middle = model.decode((model.encode(a) + model.encode(b)) / 2)
    assert (ways["linear"][:, 2] == middle).mean() > 0.99
    with pytest.raises(genzoo.GenzooError, match="path='curved'"):
        model.interpolate(a, b, path="curved")
    axes = genzoo.plotting.manifold(model, columns=4)
    axes.figure.canvas.draw()
    with pytest.raises(genzoo.GenzooError, match="2 dimensions"):
        genzoo.plotting.manifold(tiny("vae", latent_dim=3))
    axes = genzoo.plotting.interpolations(model, rows=2, columns=5)
    assert axes.images[0].get_array().shape == (19, 46)
    with pytest.raises(genzoo.GenzooError, match="latent space"):
        genzoo.plotting.interpolations(genzoo.GaussianMixture((2,)))


def test_reconstruction_is_near_the_data(digits):
    model = genzoo.VAE((8, 8, 1), latent_dim=16, seed=0)
    model.fit(digits.x_train, epochs=40, verbose=0)
    error = np.abs(model.reconstruct(digits.x_test).astype(float) - digits.x_test).mean()
    mean_error = np.abs(digits.x_train.mean(0) - digits.x_test).mean()
    assert error < 0.5 * mean_error
    with pytest.raises(genzoo.GenzooError, match=r"\(n, 16\)"):
        model.decode(np.zeros((2, 3)))


def test_mixed_precision_scores_like_float32(digits):
    arguments = {"likelihood": "discretized_logistic", "latent_dim": 4, "seed": 0}
    bits = []
    for dtype in ("float32", "mixed_bfloat16"):
        model = genzoo.VAE((8, 8, 1), dtype=dtype, **arguments)
        model.fit(digits.x_train, epochs=10, verbose=0)
        assert model.log_prob(digits.x_test).dtype == np.float32
        bits.append(model.bits_per_dim(digits.x_test).mean())
    assert bits[1] == pytest.approx(bits[0], rel=0.02)
