"""Mixtures of normals with missing values, against closed forms and brute force."""

import numpy as np
import pytest
from scipy import stats

import genzoo

TYPES = ["full", "tied", "diag", "spherical"]
K, D = 3, 5


@pytest.fixture(scope="module")
def rows():
    random = np.random.default_rng(0)
    parts = [random.normal(m, s, (400, D)) for m, s in [(0, 1), (6, 0.5), (-5, 2)]]
    return np.concatenate(parts) @ random.normal(size=(D, D)) + 10


@pytest.fixture(scope="module")
def holed(rows):
    random = np.random.default_rng(1)
    x = np.where(random.random(rows.shape) < 0.3, np.nan, rows)
    x[0] = np.nan
    return x


@pytest.fixture(scope="module")
def fitted(holed):
    made = {}

    def get(covariance_type, **arguments):
        key = covariance_type, *arguments.items()
        if key not in made:
            model = genzoo.GaussianMixture(
                (D,), num_components=K, covariance_type=covariance_type, tol=0, seed=0, **arguments
            )
            made[key] = model, model.fit(holed, epochs=20, verbose=0, batch_size=500)
        return made[key]

    return get


def full_covariances(model):
    found = model.covariances_
    return {
        "full": lambda: found,
        "tied": lambda: np.stack([found] * K),
        "diag": lambda: np.stack([np.diag(c) for c in found]),
        "spherical": lambda: found[:, None, None] * np.eye(D),
    }[model.covariance_type]()


def marginals(model, row):
    """Return the joint densities of a row's values seen and each component."""
    seen = ~np.isnan(row)
    if not seen.any():
        return model.weights_
    return np.array([
        w * stats.multivariate_normal(m[seen], c[np.ix_(seen, seen)]).pdf(row[seen])
        for w, m, c in zip(model.weights_, model.means_, full_covariances(model), strict=True)
    ])  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("covariance_type", TYPES)
def test_log_prob_is_the_marginal_density(covariance_type, dtype, fitted, holed):
    model, _ = fitted(covariance_type, dtype=dtype)
    x = holed[::20].astype(dtype)
    joint = np.stack([marginals(model, row) for row in x.astype(np.float64)])
    atol = 1e-5 if dtype == "float32" else 1e-10
    np.testing.assert_allclose(model.log_prob(x), np.log(joint.sum(1)), atol=10 * atol)
    posterior = joint / joint.sum(1, keepdims=True)
    np.testing.assert_allclose(model.predict_proba(x), posterior, atol=10 * atol)
    np.testing.assert_allclose(model.log_prob(x, batch_size=7), model.log_prob(x), atol=atol)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_likelihood_never_falls(covariance_type, fitted):
    _, history = fitted(covariance_type, dtype="float64")
    loss = np.array(history.history["loss"])
    assert np.diff(-loss).min() > -1e-6 * abs(loss[-1])
    assert loss[0] - loss[-1] > 0.01


@pytest.mark.parametrize("covariance_type", TYPES)
def test_an_em_step_equals_brute_force(covariance_type, fitted, holed):
    """Conditional moments row by row, in NumPy, give the same parameters."""
    model, _ = fitted(covariance_type, dtype="float64")
    weights, means, covariances = model.weights_, model.means_, full_covariances(model)
    x = holed[:200]
    counts, first, second = np.zeros(K), np.zeros((K, D)), np.zeros((K, D, D))
    for row in x:
        seen, lost = ~np.isnan(row), np.isnan(row)
        joint = marginals(model, row)
        for k, share in enumerate(joint / joint.sum()):
            covariance, filled, rest = covariances[k], row.copy(), np.zeros((D, D))
            gain = covariance[np.ix_(lost, seen)] @ np.linalg.pinv(covariance[np.ix_(seen, seen)])
            filled[lost] = means[k][lost] + gain @ (row - means[k])[seen]
            rest[np.ix_(lost, lost)] = (
                covariance[np.ix_(lost, lost)] - gain @ covariance[np.ix_(seen, lost)]
            )
            counts[k] += share
            first[k] += share * filled
            second[k] += share * (np.outer(filled, filled) + rest)
    expected = first / counts[:, None]
    scatter = second - counts[:, None, None] * expected[:, :, None] * expected[:, None]
    again = genzoo.GaussianMixture(
        (D,), num_components=K, covariance_type=covariance_type, tol=0, dtype="float64",
        weights_init=weights, means_init=means, covariances_init=model.covariances_,
    )  # fmt: skip
    again.fit(x, epochs=1, verbose=0, batch_size=64)
    np.testing.assert_allclose(again.weights_, counts / counts.sum(), atol=1e-9)
    np.testing.assert_allclose(again.means_, expected, atol=1e-7)
    wanted = model.law.covariance.from_scatter(scatter, counts, 1e-6)
    np.testing.assert_allclose(again.covariances_, wanted, rtol=1e-6, atol=1e-6)


def test_missing_values_teach_what_complete_rows_cannot():
    random = np.random.default_rng(3)
    d, means = 8, np.stack([np.zeros(8), np.full(8, 3.0), np.tile([3.0, -3.0], 4)])
    label = random.integers(0, 3, 1500)
    x = means[label] + random.normal(size=(1500, d)) @ (np.eye(d) + 0.3)
    x[random.random(x.shape) < 0.3] = np.nan
    complete = x[~np.isnan(x).any(axis=1)]
    assert 50 < len(complete) < 150

    def error(data):
        model = genzoo.GaussianMixture((d,), num_components=3, n_init=3, seed=0, dtype="float64")
        model.fit(data, verbose=0)
        distance = np.linalg.norm(model.means_[:, None] - means, axis=2)
        return distance.min(axis=0).max()

    with_holes, without = error(x), error(complete)
    assert with_holes < 0.5
    assert with_holes < 0.5 * without


@pytest.mark.parametrize("covariance_type", TYPES)
def test_condition_is_the_closed_form(covariance_type, fitted, holed):
    model, _ = fitted(covariance_type, dtype="float64")
    x = holed[:40]
    given = model.condition(x)
    covariances = full_covariances(model)
    for i, row in enumerate(x):
        seen, lost = ~np.isnan(row), np.isnan(row)
        joint = marginals(model, row)
        np.testing.assert_allclose(given.weights[i], joint / joint.sum(), atol=1e-9)
        center, square = np.zeros(D), np.zeros(D)
        for k, share in enumerate(given.weights[i]):
            c = covariances[k]
            gain = c[np.ix_(lost, seen)] @ np.linalg.pinv(c[np.ix_(seen, seen)])
            mean = row.copy()
            mean[lost] = model.means_[k][lost] + gain @ (row - model.means_[k])[seen]
            rest = c[np.ix_(lost, lost)] - gain @ c[np.ix_(seen, lost)]
            np.testing.assert_allclose(given.component_means[i, k], mean, rtol=1e-7)
            own = given.component_covariances(i)[k]
            np.testing.assert_allclose(own[np.ix_(lost, lost)], rest, atol=1e-7)
            assert not own[seen].any()
            center += share * mean
            square[lost] += share * (np.diag(rest) + mean[lost] ** 2)
        np.testing.assert_allclose(given.mean()[i], center, rtol=1e-7)
        square[seen] = center[seen] ** 2
        np.testing.assert_allclose(given.variance()[i], square - center**2, atol=1e-6)
    np.testing.assert_array_equal(model.impute(x), given.mean())


def test_conditional_samples_have_the_conditional_moments(fitted, holed):
    model, _ = fitted("full", dtype="float64")
    given = model.condition(holed[:5])
    draws = given.sample(20_000, seed=0)
    assert draws.shape == (20_000, 5, D)
    assert (draws[:10] == given.sample(10, seed=0)).all()
    assert given.sample(seed=0).shape == (5, D)
    seen = ~np.isnan(holed[:5])
    assert (draws[:, seen] == holed[:5][seen]).all()
    scale = np.sqrt(given.variance()).max()
    np.testing.assert_allclose(draws.mean(0), given.mean(), atol=0.04 * scale)
    np.testing.assert_allclose(draws.std(0), np.sqrt(given.variance()), atol=0.04 * scale)


def test_what_cannot_be_learned_is_refused(rows):
    x = rows[:50].copy()
    x[:, 2] = np.nan
    model = genzoo.GaussianMixture((D,), num_components=2)
    with pytest.raises(genzoo.GenzooError, match="NaN alone in column 2"):
        model.fit(x, verbose=0)
    with pytest.raises(genzoo.NotFittedError):
        model.condition(rows)
    x[3, 1] = np.inf
    with pytest.raises(genzoo.GenzooError, match="infinity in row 3"):
        model.fit(x, verbose=0)
