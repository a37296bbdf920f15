"""Laws are parts of laws: bases of flows and priors of VAEs, of the zoo and of a user's own."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import genzoo
from genzoo.core.maths.random import make_seed
from tests.tiny import tiny

tfd = tfp.distributions


@keras.saving.register_keras_serializable("tests")
class Shifted(genzoo.Law):
    """A normal about a learned mean."""

    def __init__(self, event_shape, **arguments):
        super().__init__(event_shape, **arguments)
        self.mean = self.add_weight(shape=self.event_shape, initializer="zeros", name="mean")
        self.built = True

    def log_weight(self, prepared, context, noise):
        real, log_weight = self.to_real(prepared, noise)
        return tf.reduce_sum(tfd.Normal(self.mean.value, 1.0).log_prob(real), axis=1) + log_weight

    def sample(self, n, context=None, *, temperature=1.0, seed):
        noise = tf.random.stateless_normal([n, *self.event_shape], seed)
        return self.mean + temperature * noise


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(300, 2)).astype("float32") + np.array([3.0, -1.0])


def test_a_law_of_ones_own_is_a_model_a_base_and_a_prior(x, tmp_path):
    class ShiftedModel(genzoo.GenerativeModel):
        def __init__(self, event_shape, **arguments):
            super().__init__(event_shape, **arguments)
            self.law = Shifted(self.event_shape, dtype=self.dtype_policy)
            self.built = True

    x = x.astype("float32")
    model = ShiftedModel((2,), seed=0)
    model.compile(keras.optimizers.Adam(0.1))
    model.fit(x, epochs=60, verbose=0)
    np.testing.assert_allclose(model.law.mean, x.mean(axis=0), atol=0.05)
    expected = tfd.MultivariateNormalDiag(np.array(model.law.mean), tf.ones(2)).log_prob(x)
    np.testing.assert_allclose(model.log_prob(x), expected, rtol=1e-5)
    np.testing.assert_allclose(model.sample(2000, seed=0).mean(axis=0), x.mean(axis=0), atol=0.1)
    assert model.likelihood.kind == "exact"
    # of integers the law is one of mass
    whole = ShiftedModel((2,), seed=0)
    whole.adapt(np.round(x).astype("int64"))
    assert whole.likelihood.unit == "mass"
    bound = whole.log_prob(np.round(x).astype("int64"), num_samples=300)
    cdf = tfd.Normal(0.0, 1.0).cdf
    mass = np.log(cdf(np.round(x) + 1) - cdf(np.round(x))).sum(axis=1)
    near = mass > -10
    np.testing.assert_allclose(bound[near], mass[near], atol=0.3)

    flow = genzoo.Flow((2,), steps=[tfp.bijectors.Scale(2.0)], base=Shifted((2,)), seed=0)
    vae = genzoo.VAE((2,), latent_dim=2, hidden_units=(8,), prior=Shifted((2,)), seed=0)
    for owner in (flow, vae):
        assert any("mean" in weight.path for weight in owner.trainable_variables)
        loss = owner.fit(x, epochs=8, verbose=0).history["loss"]
        assert loss[-1] < loss[0]
        owner.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras")
        np.testing.assert_array_equal(loaded.log_prob(x), owner.log_prob(x))
        np.testing.assert_array_equal(loaded.sample(5, seed=0), owner.sample(5, seed=0))


def test_a_flow_on_a_flow_is_the_law_of_both():
    base = tiny("realnvp", event_shape=(2,), preprocessing=None)
    points = np.random.default_rng(0).normal(size=(40, 2)).astype("float32")
    flow = genzoo.Flow((2,), steps=[tfp.bijectors.Scale(2.0)], base=base, preprocessing=None)
    flow.adapt(points)
    base.adapt(points)
    expected = base.log_prob(points / 2) - 2 * np.log(2.0)
    np.testing.assert_allclose(flow.log_prob(points), expected, rtol=1e-5)
    np.testing.assert_allclose(flow.sample(9, seed=3), 2 * base.sample(9, seed=3), rtol=1e-5)
    expected = base.distribution().log_prob(points / 2) - 2 * np.log(2.0)
    np.testing.assert_allclose(flow.distribution().log_prob(points), expected, rtol=1e-5)


def test_the_prior_of_a_vae_may_be_a_vae(tmp_path):
    x = np.random.default_rng(0).normal(size=(256, 4)).astype("float32")
    inner = genzoo.VAE((2,), latent_dim=2, hidden_units=(8,), preprocessing=None, seed=1)
    model = genzoo.VAE((4,), latent_dim=2, hidden_units=(8,), prior=inner, seed=0)
    loss = model.fit(x, epochs=5, verbose=0).history
    assert loss["loss"][-1] < loss["loss"][0]
    assert set(loss) == {"loss", "elbo", "reconstruction", "kl"}
    assert model.score(x, num_samples=50) > model.score(x)
    # the estimated density of z integrates to 1 in the mean
    line = np.linspace(-8, 8, 100, dtype="float32")
    z = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)
    density = np.exp(model.law.prior.log_prob(tf.constant(z), num_samples=tf.constant(50)))
    assert density.sum() * (line[1] - line[0]) ** 2 == pytest.approx(1, abs=0.05)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.log_prob(x), model.log_prob(x))


def test_the_prior_of_a_vae_may_be_a_fitted_mixture(tmp_path):
    x = np.random.default_rng(0).normal(size=(256, 4)).astype("float32")
    mixture = genzoo.GaussianMixture((2,), num_components=2, seed=0)
    early = genzoo.VAE((4,), latent_dim=2, hidden_units=(8,), prior=mixture, seed=0)
    with pytest.raises(genzoo.NotFittedError, match="a fitted mixture"):
        early.fit(x, epochs=1, verbose=0)
    mixture.fit(x[:, :2], verbose=0)
    model = genzoo.VAE((4,), latent_dim=2, hidden_units=(8,), prior=mixture, seed=0)
    z = tf.constant(x[:5, 2:])
    np.testing.assert_allclose(model.law.prior.log_prob(z), mixture.log_prob(z), rtol=1e-5)
    loss = model.fit(x, epochs=3, verbose=0).history["loss"]
    assert loss[-1] < loss[0]
    np.testing.assert_array_equal(model.sample_latent(5, seed=0).shape, (5, 2))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.log_prob(x), model.log_prob(x))


def test_the_prior_of_a_conditional_vae_may_be_conditional_too():
    c = np.arange(200) % 2
    x = (4.0 * c[:, None] + np.random.default_rng(0).normal(size=(200, 3))).astype("float32")
    prior = tiny("maf", event_shape=(2,), num_classes=2, preprocessing=None)
    model = genzoo.VAE((3,), latent_dim=2, hidden_units=(8,), prior=prior, num_classes=2, seed=0)
    model.fit(x, c, epochs=2, verbose=0)
    z = tf.constant(np.random.default_rng(1).normal(size=(2, 2)), tf.float32)
    first, second = (
        model.law.log_prior(z, tf.one_hot([i, i], 2), model.law._noise(None)) for i in (0, 1)
    )
    assert np.abs(first - second).max() > 1e-6


def test_what_is_no_law_of_the_space_is_refused():
    options = {"latent_dim": 2, "hidden_units": (8,)}
    with pytest.raises(genzoo.GenzooError, match="a model or law with a density"):
        genzoo.VAE((3,), prior=tiny("gan", event_shape=(2,)), **options)
    with pytest.raises(genzoo.GenzooError, match="a model or law with a density"):
        genzoo.VAE((3,), prior=keras.layers.Dense(2), **options)
    with pytest.raises(genzoo.GenzooError, match=r"event_shape=\(2,\)"):
        genzoo.VAE((3,), prior=tiny("nice", event_shape=(3,)), **options)
    fitted = tiny("nice", event_shape=(2,))
    fitted.adapt(np.arange(20).reshape(10, 2))
    with pytest.raises(genzoo.GenzooError, match="fitted to int64"):
        genzoo.VAE((3,), prior=fitted, **options)
    far = tiny("nice", event_shape=(2,))
    far.adapt(1e9 + np.random.default_rng(0).normal(size=(50, 2)))
    with pytest.raises(genzoo.GenzooError, match="far from zero"):
        genzoo.Flow((2,), steps=[tfp.bijectors.Scale(2.0)], base=far)
    with pytest.raises(genzoo.GenzooError, match="has no density"):
        genzoo.Law((2,)).log_prob(tf.zeros([1, 2]))


def test_a_law_draws_and_scores_in_graph():
    law = tiny("realnvp", event_shape=(2,)).law
    draw = tf.function(lambda n: law.sample(n, seed=make_seed(0)))
    z = draw(tf.constant(7))
    assert z.shape == (7, 2)
    np.testing.assert_allclose(
        tf.function(law.log_prob)(z), law.distribution().log_prob(z), rtol=1e-4
    )
