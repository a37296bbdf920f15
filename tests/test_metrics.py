"""Figures of merit against SciPy."""

import numpy as np
import pytest
from scipy import linalg

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
