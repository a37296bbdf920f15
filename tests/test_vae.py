"""The VAE's bounds against known likelihoods and divergences."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import stats

import genzoo


@pytest.fixture(scope="module")
def binary(digits):
    return (digits.x_train > 8).astype("uint8")


def linear_model(dimension=5, latent_dim=2, noise=0.5):
    """Return a VAE set by hand to probabilistic PCA, exact posterior included, and its normal."""
    random = np.random.default_rng(0)
    loading = random.normal(size=(dimension, latent_dim))
    # orthogonal columns: the posterior is then a diagonal normal
    loading = np.linalg.svd(loading, full_matrices=False)[0] * [2.0, 1.0]
    model = genzoo.VAE(
        (dimension,), latent_dim=latent_dim, hidden_units=(), seed=0, dtype="float64"
    )
    model.adapt(random.normal(size=(10, dimension)))
    model.preprocessing.mean.assign(np.zeros(dimension))
    model.preprocessing.scale.assign(np.ones(dimension))
    model.output_distribution.log_scale.assign(np.log(noise))
    kernel, bias = model.decoder.trainable_variables
    kernel.assign(loading.T)
    precision = np.eye(latent_dim) + loading.T @ loading / noise**2
    posterior = np.linalg.inv(precision)
    kernel, bias = model.encoder.trainable_variables
    mean = loading @ posterior / noise**2
    kernel.assign(np.concatenate([mean, np.zeros_like(mean)], 1))
    bounded = np.log(np.diag(posterior))
    bias.assign(np.concatenate([np.zeros(latent_dim), 10 * np.arctanh(bounded / 10)]))
    covariance = loading @ loading.T + noise**2 * np.eye(dimension)
    return model, stats.multivariate_normal(np.zeros(dimension), covariance)


def test_bound_meets_the_likelihood_at_the_exact_posterior():
    model, normal = linear_model()
    x = normal.rvs(200, random_state=1)
    np.testing.assert_allclose(model.log_prob(x), normal.logpdf(x), rtol=1e-9)
    # the training objective, with the divergence in closed form, has the same mean
    objective = np.mean([model(tf.constant(x), training=True).numpy() for _ in range(400)], axis=0)
    np.testing.assert_allclose(objective, normal.logpdf(x), atol=0.5)
    assert objective.mean() == pytest.approx(normal.logpdf(x).mean(), abs=0.02)


def test_bound_rises_with_the_samples_to_the_likelihood():
    model, normal = linear_model()
    for variable in model.encoder.trainable_variables:
        variable.assign(variable.numpy() * 0.7)
    x = normal.rvs(500, random_state=1)
    bounds = [model.score(x, num_samples=k) for k in (1, 5, 50, 500)]
    exact = normal.logpdf(x).mean()
    assert bounds == sorted(bounds)
    assert bounds[0] < exact - 0.1
    assert bounds[-1] == pytest.approx(exact, abs=0.05)


def test_samples_have_the_covariance_of_the_model():
    model, normal = linear_model()
    samples = model.sample(40_000, seed=0)
    np.testing.assert_allclose(np.cov(samples.T), normal.cov, atol=0.1)


def test_divergence_equals_tfp():
    model, _ = linear_model()
    random = np.random.default_rng(2)
    for variable in model.encoder.trainable_variables:
        variable.assign(random.normal(size=variable.shape))
    x = tf.constant(random.normal(size=(20, 5)))
    mean, log_variance = model.posterior(x)
    tfd = tfp.distributions
    posterior = tfd.MultivariateNormalDiag(mean, tf.exp(0.5 * log_variance))
    prior = tfd.MultivariateNormalDiag(tf.zeros(2, tf.float64))
    weights = model._objective(x, None, tf.constant([0, 1]), 0)
    z, _ = model._draw(mean, log_variance, tf.constant([0, 1]), 0)
    reconstruction = model._reconstruct(x, z, None)
    np.testing.assert_allclose(reconstruction - weights, tfd.kl_divergence(posterior, prior))


def test_beta_weighs_the_divergence():
    free = genzoo.VAE((4,), latent_dim=2, hidden_units=(8,), beta=0.0, seed=0)
    x = np.random.default_rng(0).normal(size=(50, 4)).astype("float32")
    free.adapt(x)
    full = genzoo.VAE((4,), latent_dim=2, hidden_units=(8,), seed=0)
    full.adapt(x)
    full.set_weights(free.get_weights())
    assert (full(x).numpy() <= free(x).numpy() + 1e-6).all()
    np.testing.assert_allclose(full.log_prob(x), free.log_prob(x))


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


def test_reconstruction_is_near_the_data(digits):
    model = genzoo.VAE((8, 8, 1), latent_dim=16, seed=0)
    model.fit(digits.x_train, epochs=40, verbose=0)
    error = np.abs(model.reconstruct(digits.x_test).astype(float) - digits.x_test).mean()
    mean_error = np.abs(digits.x_train.mean(0) - digits.x_test).mean()
    assert error < 0.5 * mean_error
    with pytest.raises(genzoo.GenzooError, match=r"\(n, 16\)"):
        model.decode(np.zeros((2, 3)))
