"""Imputation: draws of the true conditional, scikit-learn's interface, quality."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_wine
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import genzoo
from genzoo.applications import Imputer, TablePreprocessor
from genzoo.applications.conditional_draws import METHODS
from genzoo.core.traits import Conditions

COVARIANCE = np.array([[1.0, 0.8, 0.3], [0.8, 1.0, 0.5], [0.3, 0.5, 1.0]])


def correlated(n=3000, seed=0):
    return np.random.default_rng(seed).multivariate_normal(np.zeros(3), COVARIANCE, n)


def holes(x, share, seed=0):
    random = np.random.default_rng(seed)
    missing = random.random(x.shape) < share
    missing[np.arange(len(x)), random.integers(0, x.shape[1], len(x))] = False
    return np.where(missing, np.nan, x), missing


def conditional(seen):
    """Return mean and variance of column 0 given the others, in closed form."""
    weights = np.linalg.solve(COVARIANCE[1:, 1:], COVARIANCE[1:, 0])
    return seen @ weights, 1 - COVARIANCE[0, 1:] @ weights


@pytest.mark.parametrize("method", ["exact", "mcmc"])
def test_draws_of_a_normal_are_its_conditional(method):
    model = genzoo.GaussianMixture((3,), num_components=1, seed=0)
    if method == "exact" and not isinstance(model, Conditions):
        pytest.skip("mixtures without condition()")
    model.fit(correlated(20_000), verbose=0)
    seen = np.array([[np.nan, 1.0, -1.0], [np.nan, 0.5, 2.0], [np.nan, -3.0, 0.0]])
    rows = np.repeat(seen, 200, axis=0)
    draws = METHODS[method](model, rows, np.nan_to_num(rows), 20, 3)
    assert draws.shape == (20, 600, 3)
    np.testing.assert_allclose(draws[:, :, 1:], np.broadcast_to(rows[:, 1:], (20, 600, 2)))
    mean, variance = conditional(seen[:, 1:])
    made = draws[:, :, 0].reshape(20, 3, 200)
    np.testing.assert_allclose(made.mean(axis=(0, 2)), mean, atol=0.06)
    np.testing.assert_allclose(made.var(axis=(0, 2)), variance, rtol=0.12)
    np.testing.assert_array_equal(draws, METHODS[method](model, rows, np.nan_to_num(rows), 20, 3))


def test_optimisation_finds_the_mode():
    model = genzoo.GaussianMixture((3,), num_components=1, seed=0)
    model.fit(correlated(20_000), verbose=0)
    rows = np.array([[np.nan, 1.0, -1.0], [np.nan, 0.5, 2.0]])
    made = METHODS["optimize"](model, rows, np.nan_to_num(rows), 2, 0)
    np.testing.assert_allclose(made[0, :, 0], conditional(rows[:, 1:])[0], atol=0.05)


def error(filled, x, missing):
    return np.sqrt(np.mean((filled - x)[missing] ** 2))


FAST = {
    "gaussian_mixture": {"num_components": 1, "num_rounds": 3},
    "realnvp": {"num_couplings": 4, "hidden_units": (32,), "epochs": 15, "num_rounds": 2},
    "vae": {"latent_dim": 2, "hidden_units": (32,), "epochs": 30, "num_rounds": 2},
}


@pytest.mark.parametrize("name", FAST)
def test_every_kind_of_model_beats_the_means(name):
    x = correlated(1500)
    holed, missing = holes(x, 0.3)
    imputer = Imputer(name, **FAST[name]).fit(holed)
    filled = imputer.transform(holed)
    np.testing.assert_array_equal(filled[~missing], x[~missing])
    means = SimpleImputer().fit_transform(holed)
    assert error(filled, x, missing) < 0.9 * error(means, x, missing)
    new, gone = holes(correlated(500, seed=5), 0.3, seed=6)
    assert error(imputer.transform(new), correlated(500, seed=5), gone) < 0.95 * error(
        np.where(gone, 0.0, new), correlated(500, seed=5), gone
    )


def test_multiple_draws_keep_the_spread_that_means_lose():
    x = correlated(2000)
    holed, _ = holes(x, 0.3)
    imputer = Imputer(num_components=1, num_rounds=3, multiple=5).fit(holed)
    tables = imputer.transform(holed)
    assert tables.shape == (5, 2000, 3)
    drawn = np.mean([np.cov(table.T) for table in tables], axis=0)
    np.testing.assert_allclose(drawn, COVARIANCE, atol=0.09)
    filled = imputer.set_params(multiple=None).transform(holed)
    assert np.var(filled, axis=0).mean() < np.var(tables, axis=1).mean() - 0.05
    np.testing.assert_array_equal(
        tables, imputer.set_params(multiple=5).transform(holed), "the same seed, the same draws"
    )


def test_a_real_table_with_much_missing():
    x = StandardScaler().fit_transform(load_wine().data)
    for share in (0.1, 0.5):
        holed, missing = holes(x, share)
        filled = Imputer(num_rounds=2).fit_transform(holed)
        assert error(filled, x, missing) < 0.93 * error(np.where(missing, 0, x), x, missing)


def test_categories_are_imputed_as_categories():
    random = np.random.default_rng(0)
    kind = random.choice(["low", "high"], 800)
    rows = np.empty((800, 2), object)
    rows[:, 0] = random.normal(size=800) + 6 * (kind == "high")
    rows[:, 1] = kind
    holed = rows.copy()
    holed[:100, 1], holed[100:200, 0] = None, np.nan
    filled = Imputer(num_components=2, num_rounds=3).fit_transform(holed)
    assert np.mean(filled[:100, 1] == kind[:100]) > 0.85
    centers = 6 * (kind[100:200] == "high")
    assert np.abs(filled[100:200, 0].astype(float) - centers).mean() < 1.2
    assert (filled[200:] == rows[200:]).all()


def test_imputer_is_a_transformer_of_scikit_learn():
    imputer = clone(Imputer("realnvp", num_couplings=2))
    assert imputer.get_params()["num_couplings"] == 2
    assert imputer.set_params(num_couplings=3).get_params()["num_couplings"] == 3
    results = check_estimator(Imputer(num_rounds=1), on_skip=None, on_fail=None)
    assert [r["check_name"] for r in results if r["status"] == "failed"] == []


def test_bad_arguments_are_refused():
    x = np.array([[1.0, np.nan], [2.0, 3.0], [1.0, 2.0]])
    for imputer, message in (
        (Imputer("gan"), "likelihood"),
        (Imputer(method="guess"), "Expected method"),
        (Imputer("vae", method="mcmc"), "pseudo_gibbs"),
        (Imputer("realnvp", method="exact"), "mcmc"),
        (Imputer(multiple=0), "multiple"),
    ):
        with pytest.raises(genzoo.GenzooError, match=message):
            imputer.fit(x)
    with pytest.raises(genzoo.GenzooError, match="each column"):
        Imputer().fit(np.array([[1.0, np.nan], [2.0, np.nan]]))
    assert isinstance(Imputer().fit(x).preprocessor_, TablePreprocessor)


@pytest.mark.parametrize("name", ["hidden_markov_model", "pix2pix", "dcgan"])
def test_models_of_other_examples_are_refused(name):
    with pytest.raises(genzoo.GenzooError, match=r"of the kind row\. Received"):
        Imputer(name).fit(np.zeros((6, 2)))
