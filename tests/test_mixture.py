"""GaussianMixture against scikit-learn and closed forms."""

import warnings

import numpy as np
import pytest
from scipy import stats
from sklearn.mixture import GaussianMixture as Reference

import genzoo

TYPES = ["full", "tied", "diag", "spherical"]
K, D = 3, 4


@pytest.fixture(scope="module")
def x():
    random = np.random.default_rng(0)
    parts = [random.normal(m, s, (500, D)) for m, s in [(0, 1), (5, 0.5), (-3, 2)]]
    return np.concatenate(parts) @ random.normal(size=(D, D))


def start(x, covariance_type):
    """Return the same start for scikit-learn and for genzoo."""
    variance = float(x.var())
    covariances = {
        "full": np.stack([np.eye(D)] * K) * variance,
        "tied": np.eye(D) * variance,
        "diag": np.ones((K, D)) * variance,
        "spherical": np.ones(K) * variance,
    }[covariance_type]
    precisions = (
        np.linalg.inv(covariances) if covariance_type in ("full", "tied") else 1 / covariances
    )
    shared = {"weights_init": [0.2, 0.3, 0.5], "means_init": x[[1, 600, 1200]]}
    return {**shared, "precisions_init": precisions}, {**shared, "covariances_init": covariances}


def fit_both(x, covariance_type, iterations, **arguments):
    theirs, ours = start(x, covariance_type)
    reference = Reference(
        K, covariance_type=covariance_type, tol=0, max_iter=iterations, random_state=0, **theirs
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference.fit(x)
    model = genzoo.GaussianMixture(
        (D,), num_components=K, covariance_type=covariance_type, tol=0, **ours, **arguments
    )
    history = model.fit(x, epochs=iterations, verbose=0, batch_size=333)
    return reference, model, history.history["loss"]


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("iterations", [1, 5, 40])
def test_parameters_equal_scikit_learns(x, covariance_type, iterations):
    reference, model, _ = fit_both(x, covariance_type, iterations, dtype="float64")
    np.testing.assert_allclose(model.weights_, reference.weights_, atol=1e-6)
    np.testing.assert_allclose(model.means_, reference.means_, atol=1e-6)
    np.testing.assert_allclose(model.covariances_, reference.covariances_, atol=1e-6)
    np.testing.assert_allclose(model.log_prob(x), reference.score_samples(x), atol=1e-6)
    np.testing.assert_allclose(model.predict_proba(x), reference.predict_proba(x), atol=1e-6)
    np.testing.assert_array_equal(model.predict(x), reference.predict(x))


@pytest.mark.parametrize("covariance_type", TYPES)
def test_likelihood_never_falls_and_equals_scikit_learns(x, covariance_type):
    reference, model, loss = fit_both(x, covariance_type, 40)
    assert model.score(x) == pytest.approx(reference.score(x), abs=1e-4)
    # float32 results of a sum over 1,500 rows: the smallest step, not the largest
    assert np.diff(-np.array(loss)).min() > -1e-6 * abs(loss[-1])
    assert model.likelihood == genzoo.Likelihood("exact", "density")


@pytest.mark.parametrize("covariance_type", TYPES)
def test_samples_have_the_moments_of_the_mixture(x, covariance_type):
    _, model, _ = fit_both(x, covariance_type, 10)
    samples = model.sample(50_000, seed=0)
    weights, means = model.weights_, model.means_
    wide = model.covariances_
    if covariance_type == "tied":
        wide = np.stack([wide] * K)
    elif covariance_type == "diag":
        wide = np.stack([np.diag(c) for c in wide])
    elif covariance_type == "spherical":
        wide = np.stack([np.eye(D) * c for c in wide])
    mean = weights @ means
    centered = means - mean
    covariance = np.einsum("k,kde->de", weights, wide) + (weights * centered.T) @ centered
    np.testing.assert_allclose(samples.mean(0), mean, atol=0.1)
    scale = np.abs(covariance).max()
    np.testing.assert_allclose(np.cov(samples.T), covariance, atol=0.03 * scale)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_distribution_is_the_mixture(x, covariance_type):
    _, model, _ = fit_both(x, covariance_type, 5)
    rows = x[:20].astype("float32")
    np.testing.assert_allclose(
        model.distribution().log_prob(rows), model.log_prob(rows), rtol=1e-4, atol=1e-4
    )


def test_one_component_is_the_normal_of_the_data(x):
    model = genzoo.GaussianMixture((D,), num_components=1, reg_covar=0, dtype="float64")
    model.fit(x, verbose=0)
    normal = stats.multivariate_normal(x.mean(0), np.cov(x.T, bias=True))
    np.testing.assert_allclose(model.log_prob(x), normal.logpdf(x), rtol=1e-8)


def test_float32_keeps_its_digits_far_from_the_origin(x):
    far = x + 1e4
    _, model, _ = fit_both(far, "full", 10)
    reference, _, _ = fit_both(far, "full", 10)
    assert model.score(far) == pytest.approx(reference.score(far), abs=5e-2)


def test_stops_when_converged_and_remembers(x, tmp_path):
    import keras

    model = genzoo.GaussianMixture((D,), num_components=K, tol=1e-3, seed=0)
    history = model.fit(x, verbose=0)
    assert model.converged_
    assert model.n_iter_ == len(history.history["loss"]) < 100
    assert -model.lower_bound_ == pytest.approx(history.history["loss"][-1], rel=1e-5)
    model.save(tmp_path / "mixture.keras")
    loaded = keras.models.load_model(tmp_path / "mixture.keras")
    assert loaded.converged_
    assert (loaded.n_iter_, loaded.lower_bound_) == (model.n_iter_, model.lower_bound_)
    np.testing.assert_array_equal(loaded.covariances_, model.covariances_)


def test_start_does_not_need_arguments(x):
    model = genzoo.GaussianMixture((D,), num_components=K, seed=0)
    model.fit(x, verbose=0)
    reference = Reference(K, random_state=0).fit(x)
    assert model.score(x) > reference.score(x) - 0.05


@pytest.mark.parametrize("covariance_type", TYPES)
def test_degenerate_data_give_sound_results_or_a_remedy(covariance_type):
    def fit(x, **arguments):
        model = genzoo.GaussianMixture(
            (2,), num_components=3, covariance_type=covariance_type, seed=0, **arguments
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(np.asarray(x, "float32"), verbose=0)
        return model

    random = np.random.default_rng(0)
    constant_column = np.stack([random.normal(size=100), np.full(100, 3.0)], 1)
    assert np.isfinite(fit(constant_column).log_prob(constant_column.astype("float32"))).all()
    duplicated = np.repeat(random.normal(size=(3, 2)), 30, axis=0)
    assert np.isfinite(fit(duplicated).means_).all()
    with pytest.raises(genzoo.GenzooError, match="fewer components"):
        fit(random.normal(size=(2, 2)))
    with pytest.raises(genzoo.GenzooError, match="reg_covar"):
        fit(np.ones((10, 2)), reg_covar=0.0)


def test_integers_are_dequantised_once(digits):
    model = genzoo.GaussianMixture(
        (8, 8, 1), num_components=10, covariance_type="diag", tol=0, seed=0
    )
    history = model.fit(digits.x_train, epochs=15, verbose=0, batch_size=100)
    loss = np.array(history.history["loss"])
    assert np.diff(-loss).min() > -1e-6 * abs(loss[-1])


def test_bad_arguments_are_refused():
    for message, arguments in {
        "covariance_type='round'": {"covariance_type": "round"},
        "num_components=0": {"num_components": 0},
        "reg_covar=-1": {"reg_covar": -1},
        "means_init": {"num_components": 2, "means_init": np.zeros((3, 2))},
        "no context": {"num_classes": 3},
    }.items():
        with pytest.raises(genzoo.GenzooError, match=message):
            genzoo.GaussianMixture((2,), **arguments)
