"""GaussianMixture against scikit-learn and closed forms."""

import warnings

import numpy as np
import pytest
import tensorflow as tf
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


def fit_reference(x, covariance_type, iterations):
    theirs, _ = start(x, covariance_type)
    reference = Reference(
        K, covariance_type=covariance_type, tol=0, max_iter=iterations, random_state=0, **theirs
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return reference.fit(x)


def make(x, covariance_type, **arguments):
    _, ours = start(x, covariance_type)
    return genzoo.GaussianMixture(
        (D,), num_components=K, covariance_type=covariance_type, tol=0, **ours, **arguments
    )


def fit_both(x, covariance_type, iterations, **arguments):
    model = make(x, covariance_type, **arguments)
    history = model.fit(x, epochs=iterations, verbose=0, batch_size=333)
    return fit_reference(x, covariance_type, iterations), model, history.history["loss"]


@pytest.mark.parametrize("covariance_type", TYPES)
def test_parameters_equal_scikit_learns_after_each_step(x, covariance_type):
    model = make(x, covariance_type, dtype="float64")
    for iterations, before in [(1, 0), (2, 1), (3, 2), (40, 3)]:
        model.fit(x, epochs=iterations - before, verbose=0, batch_size=333)
        reference = fit_reference(x, covariance_type, iterations)
        np.testing.assert_allclose(model.weights_, reference.weights_, atol=1e-6)
        np.testing.assert_allclose(model.means_, reference.means_, atol=1e-6)
        np.testing.assert_allclose(model.covariances_, reference.covariances_, atol=1e-6)
    np.testing.assert_allclose(model.log_prob(x), reference.score_samples(x), atol=1e-6)
    np.testing.assert_allclose(model.predict_proba(x), reference.predict_proba(x), atol=1e-6)
    np.testing.assert_array_equal(model.predict(x), reference.predict(x))
    assert model.bic(x) == pytest.approx(reference.bic(x), rel=1e-9)
    assert model.aic(x) == pytest.approx(reference.aic(x), rel=1e-9)


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


@pytest.mark.parametrize("covariance_type", TYPES)
def test_float32_keeps_its_digits_far_from_the_origin_and_far_apart(covariance_type):
    random = np.random.default_rng(0)
    # of float32 numbers, clusters of width 1 some 1,000 apart, and 10,000 from the origin
    rows = np.concatenate([random.normal(1000 * i, 1, (400, D)) for i in range(K)]) + 1e4
    rows = rows.astype("float32")
    arguments = {"num_components": K, "covariance_type": covariance_type, "seed": 0, "tol": 0}
    narrow = genzoo.GaussianMixture((D,), **arguments)
    wide = genzoo.GaussianMixture((D,), dtype="float64", **arguments)
    for model in (narrow, wide):
        model.fit(rows, epochs=4, verbose=0)
    np.testing.assert_allclose(narrow.covariances_, wide.covariances_, rtol=1e-3, atol=1e-3)
    assert narrow.score(rows) == pytest.approx(wide.score(rows), rel=1e-5)


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
        "init='best'": {"init": "best"},
        "n_init=0": {"n_init": 0},
        "step_exponent=0.5": {"step_exponent": 0.5},
    }.items():
        with pytest.raises(genzoo.GenzooError, match=message):
            genzoo.GaussianMixture((2,), **arguments)


@pytest.mark.parametrize("init", ["kmeans", "k-means++", "random", "random_from_data"])
def test_every_start_leads_to_a_mixture(x, init):
    model = genzoo.GaussianMixture((D,), num_components=K, init=init, n_init=2, seed=0)
    model.fit(x, epochs=5, verbose=0)
    assert np.isfinite(model.log_prob(x)).all()
    assert model.weights_.sum() == pytest.approx(1)


def test_the_best_of_several_starts_is_kept():
    rows = genzoo.data.load("eight_gaussians", seed=0).x_train[:1000]
    arguments = {"num_components": 8, "init": "random_from_data", "covariance_type": "spherical"}
    found = []
    for n_init in (1, 2, 5):
        model = genzoo.GaussianMixture((2,), n_init=n_init, seed=1, **arguments)
        history = model.fit(rows, verbose=0)
        assert -history.history["loss"][-1] == pytest.approx(model.lower_bound_, rel=1e-5)
        assert model.n_iter_ == len(history.history["loss"])
        assert model.score(rows) >= model.lower_bound_ - 1e-5
        found.append(model.lower_bound_)
    assert found == sorted(found)
    assert found[-1] > found[0]
    # a second fit goes on
    assert len(model.fit(rows, verbose=0).history["loss"]) < 4


def test_weights_are_worth_as_many_rows(x):
    counts = np.random.default_rng(0).integers(0, 4, len(x))
    weighted = make(x, "full", dtype="float64")
    history = weighted.fit(x, sample_weight=counts, epochs=3, verbose=0, batch_size=400)
    repeated = make(x, "full", dtype="float64")
    again = repeated.fit(np.repeat(x, counts, axis=0), epochs=3, verbose=0)
    np.testing.assert_allclose(weighted.weights_, repeated.weights_, atol=1e-12)
    np.testing.assert_allclose(weighted.means_, repeated.means_, atol=1e-10)
    np.testing.assert_allclose(weighted.covariances_, repeated.covariances_, atol=1e-9)
    np.testing.assert_allclose(history.history["loss"], again.history["loss"], rtol=1e-6)
    streamed = make(x, "full", dtype="float64")
    pairs = tf.data.Dataset.from_tensor_slices({"x": x, "sample_weight": counts}).batch(400)
    streamed.fit(pairs, epochs=3, verbose=0)
    np.testing.assert_allclose(streamed.means_, weighted.means_, atol=1e-12)
    for bad in (counts[:-1], -counts, counts * np.nan, np.full(len(x), "a")):
        with pytest.raises(genzoo.GenzooError, match="sample_weight"):
            weighted.fit(x, sample_weight=bad, verbose=0)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_a_step_of_stepwise_em_blends_the_statistics(x, covariance_type):
    """From equal starts, a batch moves the statistics by the step size (2 + 0)^-0.7."""
    blended = make(x, covariance_type, dtype="float64", step_exponent=0.7, reg_covar=0.1)
    blended.fit(x, epochs=1, batch_size=len(x), shuffle=False, verbose=0)
    begun = make(x, covariance_type, dtype="float64", reg_covar=0.1)
    begun.adapt(x)
    joint = begun.predict_proba(x)
    step = 2**-0.7
    # the statistics that would give the start, and those of the data, about the origin
    weights, means = begun.weights_, begun.means_
    covariances = begun.law.covariance.to_full(begun.covariances_, K, D) - 0.1 * np.eye(D)
    second = weights[:, None, None] * (covariances + means[:, :, None] * means[:, None])
    shares = (1 - step) * weights + step * joint.mean(0)
    first = (1 - step) * weights[:, None] * means + step * joint.T @ x / len(x)
    second = (1 - step) * second + step * np.einsum("nk,nd,ne->kde", joint, x, x) / len(x)
    means = first / shares[:, None]
    scatter = second - shares[:, None, None] * means[:, :, None] * means[:, None]
    np.testing.assert_allclose(blended.weights_, shares, atol=1e-9)
    np.testing.assert_allclose(blended.means_, means, atol=1e-8)
    expected = begun.law.covariance.from_scatter(scatter, shares, 0.1)
    np.testing.assert_allclose(blended.covariances_, expected, atol=1e-7)


def test_stepwise_em_reaches_the_solution_of_full_em(x):
    rows = np.concatenate([x] * 4)
    full = genzoo.GaussianMixture((D,), num_components=K, tol=0, seed=0)
    full.fit(rows, epochs=30, verbose=0)
    stepwise = genzoo.GaussianMixture((D,), num_components=K, tol=0, seed=0, step_exponent=0.7)
    stepwise.fit(rows, epochs=6, batch_size=200, verbose=0)
    assert stepwise.num_updates_ == 6 * 30
    assert stepwise.score(rows) == pytest.approx(full.score(rows), abs=0.02)
    np.testing.assert_allclose(stepwise.weights_, full.weights_, atol=0.03)


def test_a_stream_gives_the_parameters_of_the_array(x):
    def generate():
        for at in range(0, len(x), 217):
            yield x[at : at + 217]

    signature = tf.TensorSpec([None, D], tf.float64)
    stream = tf.data.Dataset.from_generator(generate, output_signature=signature)
    one, two = make(x, "full", dtype="float64"), make(x, "full", dtype="float64")
    one.fit(x, epochs=3, verbose=0)
    two.fit(stream, epochs=3, verbose=0)
    np.testing.assert_allclose(two.means_, one.means_, atol=1e-10)
    np.testing.assert_allclose(two.covariances_, one.covariances_, atol=1e-9)


def test_a_component_that_dies_leaves_a_sound_mixture(x):
    far = np.array([x[0], x[600], x[0] + 1e6]).tolist()
    for covariance_type in TYPES:
        _, begin = start(x, covariance_type)
        model = genzoo.GaussianMixture(
            (D,), num_components=K, covariance_type=covariance_type,
            **{**begin, "means_init": far},
        )  # fmt: skip
        model.fit(x, epochs=10, verbose=0)
        assert model.weights_.min() < 1e-6
        assert np.isfinite(model.covariances_).all()
        assert np.isfinite(model.log_prob(x)).all()
        assert np.isfinite(model.sample(100, seed=0)).all()


@pytest.mark.parametrize("covariance_type", TYPES)
def test_scikit_learns_estimators_convert_both_ways(x, covariance_type):
    reference = fit_reference(x, covariance_type, 5)
    model = genzoo.GaussianMixture.from_sklearn(reference)
    back = model.to_sklearn()
    for name in ("weights_", "means_", "covariances_", "precisions_cholesky_", "precisions_"):
        np.testing.assert_array_equal(getattr(back, name), getattr(reference, name))
    for name in ("converged_", "n_iter_", "lower_bound_"):
        assert getattr(back, name) == getattr(reference, name)
    assert back.get_params()["covariance_type"] == covariance_type
    np.testing.assert_allclose(model.log_prob(x), reference.score_samples(x), atol=1e-9)
    np.testing.assert_array_equal(back.predict(x), reference.predict(x))
    assert len(back.sample(5)[0]) == 5
    with pytest.raises(genzoo.GenzooError, match=r"Received: estimator=GaussianMixture\(\)"):
        genzoo.GaussianMixture.from_sklearn(Reference())
    with pytest.raises(genzoo.GenzooError, match=r"sklearn\.mixture\.GaussianMixture"):
        genzoo.GaussianMixture.from_sklearn(model)


def test_search_reports_bic_and_finds_the_number_of_components():
    random = np.random.default_rng(0)
    rows = np.concatenate([random.normal(m, 1, (200, 2)) for m in (0, 8, -8)]).astype("float32")
    found = genzoo.GaussianMixture.search(
        rows, [1, 3, 5, 700], covariance_type="diag", seed=0, verbose=0
    )
    assert found.model.num_components == 3
    bic = [row["bic"] for row in found.table]
    assert np.argmin(bic) == 1
    assert bic[1] == pytest.approx(found.model.bic(rows))
    assert "num_components=700" in found.table[3]["error"]
    assert str(found).count("\n") == 4
    with pytest.raises(genzoo.GenzooError, match="num_components=700"):
        genzoo.GaussianMixture.search(rows, [700], verbose=0)


def test_exported_mixture_gives_the_posteriors(x, tmp_path):
    _, model, _ = fit_both(x, "full", 3)
    model.export(tmp_path / "mixture")
    loaded = tf.saved_model.load(tmp_path / "mixture")
    rows = x[:50].astype("float32")
    rows[::3, 1] = np.nan
    given = tf.constant(rows)
    (posterior,) = loaded.signatures["predict_proba"](x=given).values()
    np.testing.assert_allclose(posterior, model.predict_proba(rows), atol=1e-6)
    (scored,) = loaded.signatures["log_prob"](x=given).values()
    np.testing.assert_allclose(scored, model.log_prob(rows), rtol=1e-6)
