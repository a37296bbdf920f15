"""BayesianGaussianMixture against scikit-learn's, step by step."""

import warnings

import keras
import numpy as np
import pytest
from sklearn.mixture import BayesianGaussianMixture as Reference

import genzoo

TYPES = ["full", "tied", "diag", "spherical"]
PRIORS = ["dirichlet_process", "dirichlet_distribution"]
PARAMETERS = ("weights_", "means_", "covariances_", "mean_precision_", "degrees_of_freedom_")
D = 3


@pytest.fixture(scope="module")
def x():
    random = np.random.default_rng(0)
    parts = [random.normal(m, s, (200, D)) for m, s in [(0, 1), (6, 0.5), (-5, 2)]]
    return np.concatenate(parts) @ random.normal(size=(D, D))


def reference(x, iterations, **arguments):
    model = Reference(n_components=6, max_iter=iterations, tol=0, random_state=0, **arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(x)


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("covariance_type", TYPES)
def test_steps_equal_scikit_learns(x, covariance_type, prior):
    shared = {"covariance_type": covariance_type, "weight_concentration_prior_type": prior}
    model = genzoo.BayesianGaussianMixture.from_sklearn(reference(x, 2, **shared))
    for iterations, before in [(3, 2), (6, 3)]:
        model.fit(x, epochs=iterations - before, verbose=0, batch_size=250)
        wanted = reference(x, iterations, **shared)
        for name in PARAMETERS:
            np.testing.assert_allclose(getattr(model, name), getattr(wanted, name), rtol=1e-7)
        np.testing.assert_allclose(
            model.weight_concentration_, np.array(wanted.weight_concentration_), rtol=1e-7
        )
        assert model.lower_bound_ * len(x) == pytest.approx(wanted.lower_bound_, rel=1e-9)
    np.testing.assert_allclose(model.predict_proba(x), wanted.predict_proba(x), atol=1e-8)


def test_priors_given_are_scikit_learns(x):
    shared = {
        "weight_concentration_prior": 0.3,
        "mean_precision_prior": 2.0,
        "mean_prior": [1.0, 2.0, 3.0],
        "degrees_of_freedom_prior": 7.0,
        "covariance_prior": np.diag([1.0, 2.0, 3.0]).tolist(),
    }
    model = genzoo.BayesianGaussianMixture((D,), num_components=6, tol=0, dtype="float64", **shared)
    model.adapt(x)
    np.testing.assert_array_equal(model.mean_prior_, shared["mean_prior"])
    np.testing.assert_array_equal(model.covariance_prior_, shared["covariance_prior"])
    begun = genzoo.BayesianGaussianMixture.from_sklearn(reference(x, 1, **shared))
    begun.fit(x, epochs=2, verbose=0)
    np.testing.assert_allclose(begun.means_, reference(x, 3, **shared).means_, rtol=1e-7)


def test_priors_of_the_data_are_scikit_learns(x):
    for covariance_type in TYPES:
        model = genzoo.BayesianGaussianMixture(
            (D,), num_components=2, covariance_type=covariance_type, dtype="float64"
        )
        model.adapt(x)
        wanted = reference(x, 1, covariance_type=covariance_type)
        np.testing.assert_allclose(model.mean_prior_, wanted.mean_prior_)
        np.testing.assert_allclose(model.covariance_prior_, wanted.covariance_prior_)


@pytest.mark.parametrize("prior", PRIORS)
def test_components_that_are_not_needed_are_emptied(x, prior):
    model = genzoo.BayesianGaussianMixture(
        (D,), num_components=10, weight_concentration_prior_type=prior, tol=1e-7, seed=0,
        weight_concentration_prior=1e-3,
    )  # fmt: skip
    history = model.fit(x.astype("float32"), epochs=300, verbose=0)
    assert (model.weights_ > 0.01).sum() == 3
    np.testing.assert_allclose(np.sort(model.weights_)[-3:], 1 / 3, atol=0.05)
    assert np.isfinite(history.history["loss"]).all()


def test_the_bound_never_falls_also_with_missing_values(x):
    holed = np.where(np.random.default_rng(1).random(x.shape) < 0.2, np.nan, x)
    model = genzoo.BayesianGaussianMixture((D,), num_components=5, tol=0, seed=0, dtype="float64")
    bounds = []
    watch = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: bounds.append(model.lower_bound_)
    )
    model.fit(holed, epochs=20, verbose=0, callbacks=[watch])
    bounds = np.array(bounds[1:])
    # scikit-learn's bound leaves reg_covar out
    assert np.diff(bounds).min() > -1e-6
    assert model.impute(holed).shape == x.shape
    assert np.isfinite(model.log_prob(holed)).all()


def test_log_prob_integrates_to_one():
    random = np.random.default_rng(0)
    rows = random.normal(size=(60, 1)) * [1.0] + np.repeat([[0.0], [5.0]], 30, axis=0)
    model = genzoo.BayesianGaussianMixture((1,), num_components=4, seed=0, dtype="float64")
    model.fit(rows, verbose=0)
    grid = np.linspace(-30, 40, 20_001)
    assert np.trapezoid(np.exp(model.log_prob(grid[:, None])), grid) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("prior", PRIORS)
def test_scikit_learns_estimators_convert_both_ways(x, prior):
    theirs = reference(x, 3, weight_concentration_prior_type=prior)
    back = genzoo.BayesianGaussianMixture.from_sklearn(theirs).to_sklearn()
    for name in (*PARAMETERS, "weight_concentration_", "precisions_cholesky_", "mean_prior_"):
        np.testing.assert_array_equal(getattr(back, name), getattr(theirs, name))
    np.testing.assert_array_equal(back.predict_proba(x), theirs.predict_proba(x))
    with pytest.raises(genzoo.NotFittedError):
        genzoo.BayesianGaussianMixture.from_sklearn(Reference())


def test_bad_priors_are_refused():
    for name, value in {
        "weight_concentration_prior": 0.0,
        "mean_precision_prior": -1,
        "degrees_of_freedom_prior": 1.0,
        "mean_prior": [1.0],
        "covariance_prior": [1.0, 2.0],
        "weight_concentration_prior_type": "beta",
    }.items():
        with pytest.raises(genzoo.GenzooError, match=name):
            genzoo.BayesianGaussianMixture((2,), **{name: value})
