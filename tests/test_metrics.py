"""Figures of merit against SciPy."""

import numpy as np
import pytest
from scipy import linalg, stats

import genzoo
from genzoo.metrics import ClassifierFeatures, frechet_distance


def test_frechet_distance_equals_scipy():
    random = np.random.default_rng(0)
    a = random.normal(size=(300, 6)) @ random.normal(size=(6, 6))
    b = random.normal(size=(200, 6)) @ random.normal(size=(6, 6)) + 1
    covariances = np.cov(a.T), np.cov(b.T)
    root = linalg.sqrtm(covariances[0] @ covariances[1]).real
    expected = np.sum((a.mean(0) - b.mean(0)) ** 2)
    expected += np.trace(covariances[0] + covariances[1] - 2 * root)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)
    # fewer rows than features
    assert frechet_distance(a[:4], b[:4]) > 0
    with pytest.raises(genzoo.GenzooError, match="2 rows"):
        frechet_distance(a, b[:1])
    with pytest.raises(genzoo.GenzooError, match=r"\[n, d\]"):
        frechet_distance(a, b[:, :3])


def test_features_of_a_classifier_tell_images_apart(digits):
    make = lambda: ClassifierFeatures(digits.x_train, digits.y_train, epochs=8, seed=1)  # noqa: E731
    features, again = make(), make()
    assert features.accuracy > 0.7
    np.testing.assert_array_equal(features(digits.x_test), again(digits.x_test))
    noise = np.random.default_rng(0).permuted(digits.x_test.reshape(360, 64), axis=1)
    near = features.distance(digits.x_train[:360], digits.x_test)
    far = features.distance(noise.reshape(360, 8, 8, 1), digits.x_test)
    assert far > 5 * near
    with pytest.raises(genzoo.GenzooError, match="integer labels"):
        ClassifierFeatures(digits.x_train, digits.y_train[:5])
    with pytest.raises(genzoo.GenzooError, match=r"x\.shape"):
        features(digits.x_test[:, :4])


def test_parzen_windows_are_scipys(digits):
    random = np.random.default_rng(0)
    samples, x = random.normal(size=(400, 3)), random.normal(size=(50, 3))
    kde = stats.gaussian_kde(samples.T, bw_method=1.0)
    kde.covariance = 0.3**2 * np.eye(3)
    kde.cho_cov = linalg.cholesky(kde.covariance, lower=True)
    kde.log_det = 2 * np.log(np.diag(kde.cho_cov * np.sqrt(2 * np.pi))).sum()
    made = genzoo.metrics.parzen_log_prob(samples, x, bandwidth=0.3)
    np.testing.assert_allclose(made, kde.logpdf(x.T), rtol=1e-8)
    # images too, and far away without underflow
    far = genzoo.metrics.parzen_log_prob(digits.x_train[:100], digits.x_test[:5], bandwidth=0.1)
    assert np.isfinite(far).all()
    scott = genzoo.metrics.parzen_log_prob(samples, x)
    by_hand = samples.std(axis=0).mean() * 400 ** (-1 / 7)
    np.testing.assert_allclose(scott, genzoo.metrics.parzen_log_prob(samples, x, bandwidth=by_hand))
    for message, arguments in {
        "bandwidth=0": {"bandwidth": 0},
        "equal samples": {"samples": np.ones((5, 3))},
        r"\(n, 3\)": {"x": x[:, :2]},
    }.items():
        with pytest.raises(genzoo.GenzooError, match=message):
            genzoo.metrics.parzen_log_prob(**{"samples": samples, "x": x, **arguments})


def test_density_and_coverage_by_brute_force():
    random = np.random.default_rng(0)
    real, made = random.normal(size=(60, 2)), random.normal([1, 0], size=(40, 2))
    k = 3
    apart = np.linalg.norm(real[:, None] - real[None], axis=2)
    radius = np.sort(apart, axis=1)[:, k]
    within = np.linalg.norm(real[:, None] - made[None], axis=2) <= radius[:, None]
    density, coverage = genzoo.metrics.density_and_coverage(real, made, k=k)
    assert density == pytest.approx(within.sum() / (k * 40))
    assert coverage == pytest.approx(within.any(axis=1).mean())
    # equal distributions: 1 and 1 - 2^-k
    many = random.normal(size=(2, 1500, 3))
    density, coverage = genzoo.metrics.density_and_coverage(*many, k=4)
    assert density == pytest.approx(1, abs=0.07)
    assert coverage == pytest.approx(1 - 2**-4, abs=0.03)
    with pytest.raises(genzoo.GenzooError, match="more than k = 5"):
        genzoo.metrics.density_and_coverage(real[:5], made)


def test_mode_coverage_counts():
    modes = [[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]]
    samples = [[0.1, 0.0], [0.0, 0.9], [4.0, 0.2], [2.0, 2.0]]
    assert genzoo.metrics.mode_coverage(samples, modes, 0.5) == (2, 0.5)
    with pytest.raises(genzoo.GenzooError, match=r"\[m, d\]"):
        genzoo.metrics.mode_coverage(samples, [[0.0]], 0.5)
