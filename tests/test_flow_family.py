"""The flow family: densities that are densities, samples that follow them, and both directions."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

import genzoo
from genzoo.core.lazy import tfp
from genzoo.nets import MADE
from genzoo.steps import MaskedAutoregressive
from genzoo.steps.maps import Affine
from tests.tiny import tiny

SMALL = {"hidden_units": (16,), "seed": 3}
FLOWS = {
    "nice": lambda: genzoo.NICE((2,), num_couplings=4, **SMALL),
    "realnvp": lambda: genzoo.RealNVP((2,), num_couplings=4, **SMALL),
    "glow": lambda: genzoo.Glow((2,), num_steps=3, **SMALL),
    "maf": lambda: genzoo.MAF((2,), num_transforms=3, **SMALL),
    "maf, mixtures for conditionals": lambda: genzoo.MAF(
        (2,), num_transforms=2, conditionals="mixture", num_components=3, **SMALL
    ),
    "maf, learned matrices": lambda: genzoo.MAF((2,), num_transforms=3, permutation="lu", **SMALL),
    "iaf": lambda: genzoo.IAF((2,), num_transforms=2, **SMALL),
    "planar": lambda: genzoo.PlanarFlow((2,), num_steps=6, seed=3),
    "radial": lambda: genzoo.RadialFlow((2,), num_steps=6, seed=3),
    "spline couplings": lambda: genzoo.NeuralSplineFlow(
        (2,), num_transforms=3, num_bins=5, bound=3.0, **SMALL
    ),
    "autoregressive splines": lambda: genzoo.NeuralSplineFlow(
        (2,), num_transforms=2, num_bins=5, bound=3.0, kind="autoregressive", **SMALL
    ),
    "student_t base": lambda: genzoo.RealNVP((2,), num_couplings=2, base="student_t", **SMALL),
    "mixture base": lambda: genzoo.MAF((2,), num_transforms=2, base="mixture", **SMALL),
}
LOW, HIGH, CELLS, FINE = -14.0, 14.0, 28, 20


def away_from_the_start(model, scale=0.1):
    """Show the model some data and move its weights, as training would."""
    random = np.random.default_rng(0)
    model.adapt(random.normal(size=(500, 2)).astype("float32"))
    for weight in model.trainable_variables:
        weight.assign(weight + random.normal(0, scale, weight.shape))
    return model


def mass_by_cell(model):
    """Return the mass of each cell of a grid, by the midpoint rule."""
    edges = np.linspace(LOW, HIGH, CELLS * FINE + 1)
    middles = (0.5 * (edges[:-1] + edges[1:])).astype("float32")
    points = np.stack(np.meshgrid(middles, middles, indexing="ij"), -1).reshape(-1, 2)
    density = np.exp(model.log_prob(points, batch_size=65_536).astype("float64"))
    area = (edges[1] - edges[0]) ** 2
    return density.reshape(CELLS, FINE, CELLS, FINE).sum(axis=(1, 3)) * area


def agreement(model, mass):
    """Return the p-value of a chi-squared test of samples against the density."""
    edges = np.linspace(LOW, HIGH, CELLS + 1)
    samples = model.sample(20_000, seed=0)
    counts, _, _ = np.histogram2d(samples[:, 0], samples[:, 1], bins=[edges, edges])
    kept = mass > 5e-4
    expected = np.append(mass[kept], 1 - mass[kept].sum()) * len(samples)
    observed = np.append(counts[kept], len(samples) - counts[kept].sum())
    if expected[-1] < 5:
        expected, observed = expected[:-1], observed[:-1]
        expected *= observed.sum() / expected.sum()
    return stats.chisquare(observed, expected).pvalue


@pytest.mark.parametrize("kind", FLOWS)
def test_density_integrates_to_one_and_samples_follow_it(kind):
    model = away_from_the_start(FLOWS[kind]())
    mass = mass_by_cell(model)
    heavy = 0.02 if kind == "student_t base" else 0.0
    assert mass.sum() == pytest.approx(1, abs=1e-2 + heavy)
    assert agreement(model, mass) > 1e-3


def test_a_broken_log_det_is_found(monkeypatch):
    right = Affine.inverse

    def broken(self, y, parameters):
        x, log_slope = right(self, y, parameters)
        return x, 0.5 * log_slope

    monkeypatch.setattr(Affine, "inverse", broken)
    model = away_from_the_start(FLOWS["realnvp"]())
    mass = mass_by_cell(model)
    assert abs(mass.sum() - 1) > 2e-2
    assert agreement(model, mass) < 1e-3


def sequential_inverse(step, x, context=None):
    """Find y coordinate by coordinate, a whole pass of the network for each."""
    y = np.zeros_like(x)
    for i in range(x.shape[1]):
        parameters = step.conditioner(tf.constant(y), context)
        y[:, i] = step.map.forward(tf.constant(x), parameters)[0][:, i]
    return y


@pytest.mark.parametrize("size", [1, 2, 7, 40])
@pytest.mark.parametrize("units", [(5,), (24, 9), (256, 300)])
@pytest.mark.parametrize("transform", ["affine", "spline"])
def test_fast_inverse_is_the_sequential_one(size, units, transform):
    step = MaskedAutoregressive(transform, units, seed=0)
    step.build((None, size))
    random = np.random.default_rng(0)
    for weight in step.trainable_variables:
        weight.assign(weight + random.normal(0, 0.1, weight.shape))
    x = random.normal(size=(33, size)).astype("float32")
    y, _ = step.forward_and_log_det(tf.constant(x))
    np.testing.assert_allclose(y, sequential_inverse(step, x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("units", [(12, 8), (256, 300)])
@pytest.mark.parametrize("context_size", [0, 2])
def test_made_sees_earlier_coordinates_alone(context_size, units):
    network = MADE(5, units, 2, context_size=context_size, activation="tanh", seed=0)
    random = np.random.default_rng(0)
    for weight in network.trainable_variables:
        weight.assign(random.normal(0, 0.1, weight.shape))
    x = tf.constant(random.normal(size=(1, 5)), tf.float32)
    context = tf.ones([1, context_size]) if context_size else None
    with tf.GradientTape() as tape:
        tape.watch(x)
        out = tf.reshape(network(x, context), [1, 5, 2])
    jacobian = np.abs(tape.jacobian(out, x).numpy()[0, :, :, 0]).max(axis=1)  # [5, 5]
    assert (jacobian[np.triu_indices(5)] == 0).all()
    assert (jacobian[np.tril_indices(5, -1)] > 0).all()
    kernels, biases = network.dense_weights("float32")
    dense = network.first_bias(1, context) + tf.matmul(x, kernels[0])
    for kernel, bias in zip(kernels[1:], biases, strict=True):
        dense = tf.matmul(tf.tanh(dense), kernel) + bias
    np.testing.assert_allclose(tf.reshape(dense, [1, 5, 2]), out, rtol=1e-4, atol=1e-5)


def test_a_step_of_mixture_conditionals_is_a_mixture():
    """One coordinate by a MoG map of a standard normal has that mixture's density."""
    model = genzoo.MAF((1,), num_transforms=1, conditionals="mixture", num_components=3, seed=0)
    x = np.random.default_rng(0).normal(size=(100, 1)).astype("float32")
    model.adapt(x)
    kernel, bias = model.steps[0].conditioner.trainable_variables[-2:]
    kernel.assign(np.zeros(kernel.shape))
    raw = np.array([0.3, -0.5, 0.1, -1.0, 0.5, 2.0, -0.7, 0.2, -0.1], "float32")
    bias.assign(raw)
    logits, means, log_scales = raw.reshape(3, 3)
    weights = np.exp(logits) / np.exp(logits).sum()
    means = means + np.linspace(-1, 1, 3)
    points = np.array([[-50.0], [-3.0], [0.0], [1.5], [40.0]], "float32")
    step = model.steps[0]
    z, log_det = step.inverse_and_log_det(tf.constant(points))
    got = stats.norm.logpdf(z.numpy()[:, 0]) + log_det.numpy()
    scales = np.exp(5 * np.tanh(log_scales / 5))
    parts = stats.norm.logpdf(points, means, scales) + np.log(weights)
    np.testing.assert_allclose(got, np.logaddexp.reduce(parts, axis=1), rtol=1e-4)


# Integers


@pytest.mark.parametrize("dequantization", ["uniform", "variational"])
def test_log_prob_of_integers_is_a_bound_on_their_mass(dequantization):
    model = genzoo.RealNVP((2,), num_couplings=2, levels=3, dequantization=dequantization, **SMALL)
    x = np.random.default_rng(0).integers(0, 3, (600, 2)).astype("uint8")
    model.fit(x, epochs=2, verbose=0)
    for weight in model.law.chain.trainable_variables:
        weight.assign(weight + np.random.default_rng(1).normal(0, 0.1, weight.shape))
    line = (np.arange(300, dtype="float32") + 0.5) / 100
    points = np.stack(np.meshgrid(line, line, indexing="ij"), -1).reshape(-1, 2)
    density = np.exp(model.distribution().log_prob(points).numpy().astype("float64"))
    mass = density.reshape(3, 100, 3, 100).sum(axis=(1, 3)) * 1e-4
    values = np.stack(np.meshgrid(range(3), range(3), indexing="ij"), -1).reshape(-1, 2)
    values = values.astype("uint8")
    tight = model.log_prob(values, num_samples=8000)
    np.testing.assert_allclose(tight, np.log(mass).ravel(), atol=0.05)
    loose = np.mean([model.log_prob(values, seed=s) for s in range(200)], axis=0)
    assert (loose < np.log(mass).ravel() + 0.02).all()


def test_variational_noise_is_trained_along_and_helps(digits):
    x = digits.x_train
    bits = {}
    for dequantization in ("uniform", "variational"):
        model = tiny("realnvp", dequantization=dequantization, num_levels=1)
        model.fit(x, epochs=6, batch_size=64, verbose=0)
        bits[dequantization] = model.bits_per_dim(digits.x_test).mean()
    assert bits["variational"] < bits["uniform"]


@pytest.mark.parametrize(("protocol", "alpha"), [("maf", 1e-6), ("realnvp", 0.05), ("logit", 0.01)])
def test_published_protocols(protocol, alpha):
    x = np.random.default_rng(0).integers(0, 256, (64, 4, 4, 1)).astype("uint8")
    model = genzoo.PlanarFlow((4, 4, 1), num_steps=1, preprocessing=protocol, seed=0, levels=256)
    model.adapt(x)
    real = x + np.float32(0.37)
    u = alpha + (1 - 2 * alpha) * real.astype("float64") / 256
    z = np.log(u) - np.log1p(-u)
    log_det = np.log((1 - 2 * alpha) / 256) - np.log(u) - np.log1p(-u)
    inner = tfp.distributions.TransformedDistribution(
        model.law.base.distribution(), model.steps[0].bijector()
    )
    expected = inner.log_prob(z.reshape(64, 16).astype("float32")).numpy()
    expected = expected + log_det.reshape(64, 16).sum(axis=1)
    np.testing.assert_allclose(model.distribution().log_prob(real), expected, rtol=1e-4)


def test_glow_protocol_is_centred():
    model = genzoo.Glow((4, 4, 1), num_steps=1, filters=4, levels=256, seed=0)
    x = np.random.default_rng(0).integers(0, 256, (64, 4, 4, 1)).astype("uint8")
    model.adapt(x)
    inner = tf.constant(x, tf.float32)
    for step in reversed(model.steps[-2:]):
        inner, _ = step.inverse_and_log_det(inner)
    np.testing.assert_allclose(inner, x / 256.0 - 0.5, atol=1e-6)


# Both directions


@pytest.mark.parametrize("name", ["realnvp", "glow", "maf", "neural_spline", "planar"])
def test_encode_and_decode(name, digits):
    model = tiny(name)
    model.fit(digits.x_train[:512], epochs=2, verbose=0)
    z = model.encode(digits.x_test[:50])
    assert z.shape == (50, *model.latent_shape)
    assert (model.decode(z) == digits.x_test[:50]).all()
    path = model.interpolate(digits.x_test[:4], digits.x_test[4:8], num_steps=5)
    assert path.shape == (4, 5, 8, 8, 1)
    assert path.dtype == np.uint8
    assert (path[:, 0] == digits.x_test[:4]).all()
    assert (path[:, -1] == digits.x_test[4:8]).all()
    assert model.inversion_error(digits.x_test) < 1e-4


def test_exported_flow_goes_both_ways(digits, tmp_path):
    model = tiny("maf")
    model.adapt(digits.x_train)
    model.export(tmp_path / "exported")
    signatures = tf.saved_model.load(tmp_path / "exported").signatures
    (z,) = signatures["encode"](x=tf.constant(digits.x_test[:20])).values()
    np.testing.assert_allclose(z, model.encode(digits.x_test[:20]), rtol=1e-5, atol=1e-5)
    (back,) = signatures["decode"](z=z).values()
    assert (back.numpy() == digits.x_test[:20]).all()


def test_interpolation_refuses_unequal_ends(digits):
    model = tiny("nice")
    model.adapt(digits.x_train)
    with pytest.raises(genzoo.GenzooError, match="end of 2 rows"):
        model.interpolate(digits.x_test[:3], digits.x_test[:2])


def test_a_flow_that_does_not_invert_says_so(monkeypatch, digits):
    model = tiny("nice")
    monkeypatch.setattr(type(model), "_inversion_error", lambda *arguments: 0.3)
    with pytest.warns(UserWarning, match="does not invert its training data"):
        model.fit(digits.x_train[:128], epochs=1, verbose=0)


# Conditional


def test_predict_proba_is_bayes_rule():
    random = np.random.default_rng(0)
    labels = random.choice(3, 900, p=[0.2, 0.3, 0.5])
    x = (random.normal(size=(900, 2)) + 4.0 * labels[:, None]).astype("float32")
    model = genzoo.MAF((2,), num_transforms=2, num_classes=3, hidden_units=(32,), seed=0)
    model.fit(x, labels, epochs=15, batch_size=64, verbose=0)
    proba = model.predict_proba(x)
    assert proba.shape == (900, 3)
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-6)
    assert (proba.argmax(axis=1) == labels).mean() > 0.97
    prior = np.bincount(labels) / 900
    joint = np.stack([model.log_prob(x, context=np.full(900, c)) for c in range(3)], axis=1)
    expected = np.exp(joint) * prior
    np.testing.assert_allclose(proba, expected / expected.sum(1, keepdims=True), atol=1e-5)
    other = model.predict_proba(x, prior=[1.0, 0.0, 0.0])
    assert (other[:, 0] == 1).all()
    for bad in ([1.0, 2.0], [-1.0, 1.0, 1.0], [0.0, 0.0, 0.0]):
        with pytest.raises(genzoo.GenzooError, match="prior"):
            model.predict_proba(x, prior=bad)
    with pytest.raises(genzoo.GenzooError, match="num_classes=None"):
        away_from_the_start(FLOWS["nice"]()).predict_proba(x)


# Bases


@keras.saving.register_keras_serializable("tests")
def laplace(shape):
    return tfp.distributions.Independent(
        tfp.distributions.Laplace(tf.zeros(shape), tf.ones(shape)), len(shape)
    )


def cauchy(shape):
    return tfp.distributions.Sample(tfp.distributions.Cauchy(0.0, 1.0), shape)


def test_any_distribution_can_be_the_base(tmp_path):
    model = away_from_the_start(genzoo.RealNVP((2,), num_couplings=2, base=laplace, **SMALL))
    x = np.random.default_rng(1).normal(size=(50, 2)).astype("float32")
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert (loaded.log_prob(x) == model.log_prob(x)).all()
    assert model.sample(400, temperature=0.1, seed=0).std() < model.sample(400, seed=0).std()
    # a base without a mean
    no_mean = genzoo.NICE((2,), base=cauchy, num_couplings=2, **SMALL)
    assert np.isfinite(away_from_the_start(no_mean).sample(100, seed=0)).all()
    with pytest.raises(genzoo.GenzooError, match=r"event shape \(2,\)"):
        genzoo.RealNVP((2,), base=lambda shape: tfp.distributions.Normal(0.0, 1.0))
    with pytest.raises(genzoo.GenzooError, match="base='cauchy'"):
        genzoo.RealNVP((2,), base="cauchy")


def test_student_t_base_learns_heavy_tails():
    x = np.random.default_rng(0).standard_t(2.0, size=(4000, 2)).astype("float32")
    light, heavy = (
        genzoo.NICE((2,), num_couplings=2, base=base, hidden_units=(8,), seed=0)
        for base in ("normal", "student_t")
    )
    for model in (light, heavy):
        model.fit(x[:3000], epochs=10, verbose=0)
    assert heavy.score(x[3000:]) > light.score(x[3000:]) + 0.2


# Numbers stay sound


@pytest.mark.filterwarnings("ignore:.*does not invert")
@pytest.mark.parametrize("kind", FLOWS)
def test_extreme_inputs_stay_finite(kind):
    random = np.random.default_rng(0)
    x = random.normal(size=(300, 2)).astype("float32")
    x[:, 1] = 7.0
    x[:, 0] *= 1e6
    x[0] = [5e7, 7.0]
    x[1:20] = x[1]
    model = FLOWS[kind]()
    history = model.fit(x, epochs=3, verbose=0).history["loss"]
    assert np.isfinite(history).all()
    assert np.isfinite(model.log_prob(x)).all()
    assert np.isfinite(model.sample(100, seed=0)).all()
    for weight in model.weights:
        assert np.isfinite(np.array(weight)).all(), weight.path


@pytest.mark.parametrize("name", ["realnvp", "nice", "glow"])
def test_mixed_precision_keeps_likelihoods_in_float32(name, digits, tmp_path):
    model = tiny(name, dtype="mixed_bfloat16")
    history = model.fit(digits.x_train[:512], epochs=3, verbose=0).history["loss"]
    assert history[-1] < history[0]
    log_prob = model.log_prob(digits.x_test)
    assert log_prob.dtype == np.float32
    assert {str(w.dtype) for w in model.trainable_variables} == {"float32"}
    full = tiny(name)
    full.adapt(digits.x_train[:512])
    full.set_weights(model.get_weights())
    np.testing.assert_allclose(log_prob, full.log_prob(digits.x_test), atol=3.0)
    assert (log_prob != full.log_prob(digits.x_test)).any(), "nothing ran in bfloat16"
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert (loaded.log_prob(digits.x_test) == log_prob).all()


# Images


def test_actnorm_starts_from_the_first_batch():
    step = genzoo.steps.ActNorm()
    step.build((None, 4, 4, 3))
    y = np.random.default_rng(0).normal([1, 5, -2], [0.1, 3, 1], (200, 4, 4, 3))
    x = step.start(tf.constant(y, tf.float32)).numpy()
    np.testing.assert_allclose(x.mean(axis=(0, 1, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(x.std(axis=(0, 1, 2)), 1, atol=1e-4)


@pytest.mark.parametrize("name", ["realnvp", "glow"])
def test_images_of_any_even_size_and_channels(name):
    x = np.random.default_rng(0).integers(0, 256, (64, 6, 4, 3)).astype("uint8")
    model = tiny(name, (6, 4, 3))
    model.fit(x, epochs=1, verbose=0)
    assert model.sample(5, seed=0).shape == (5, 6, 4, 3)
    assert np.isfinite(model.bits_per_dim(x)).all()


@pytest.mark.parametrize("name", ["realnvp", "glow"])
def test_odd_sizes_are_refused_with_a_remedy(name):
    with pytest.raises(genzoo.GenzooError, match="Pad or crop"):
        genzoo.build(name, event_shape=(7, 7, 1), num_levels=2)
    with pytest.raises(genzoo.GenzooError, match="Pad or crop"):
        genzoo.build(name, event_shape=(28, 28, 1), num_levels=4)


def test_glow_learns_the_prior_at_its_splits():
    """Half of the channels leave with a mean and a scale that the other half predicts."""
    model = genzoo.Glow((8, 8, 1), num_levels=2, num_steps=1, filters=4, seed=0)
    prior = model.steps[1]
    assert prior.mask == "channel"
    assert prior.network == "linear"
    assert prior.event_shape == (4, 4, 4)
    assert model.steps[0].base_shape == (64,)


def test_a_multi_scale_flow_is_a_step_like_any_other():
    """The same parts run on features, as inside a VAE."""
    flow = tiny("realnvp", (4, 4, 2), preprocessing=None)
    flow.adapt(np.random.default_rng(0).normal(size=(64, 4, 4, 2)).astype("float32"))
    features = keras.layers.Conv2D(2, 3, padding="same")(tf.ones([3, 4, 4, 5]))
    z, log_det = flow.law.chain.inverse_and_log_det(features)
    assert z.shape == (3, 32)
    assert log_det.shape == (3,)
    back = flow.law.chain.bijector().forward(tf.identity(z))
    np.testing.assert_allclose(back, features, atol=1e-4)


def test_squeeze_makes_channels_of_blocks_of_pixels():
    step = genzoo.steps.Squeeze()
    step.build((None, 4, 4, 1))
    y = tf.reshape(tf.range(16.0), [1, 4, 4, 1])
    x, _ = step.inverse_and_log_det(y)
    np.testing.assert_array_equal(x[0, 0, 0], [0, 1, 4, 5])
