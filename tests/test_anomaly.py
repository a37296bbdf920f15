"""Anomaly detection: scikit-learn's interface, calibration, tables with a Jacobian, quality."""

import pickle

import numpy as np
import pytest
from pyod.models.knn import KNN
from scipy import stats
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import genzoo
from genzoo.applications import AnomalyDetector, DensityEnsemble, PyODAdapter, TablePreprocessor

FLOW = {"num_couplings": 2, "hidden_units": (16,), "epochs": 2}
# why an estimator need not keep a rule of scikit-learn
EXEMPT = {
    "check_fit_score_takes_y": "the argument `score` names a score; it is no method",
    "check_n_features_in_after_fitting": "the argument `score` names a score; it is no method",
    "check_pipeline_consistency": "the argument `score` names a score; it is no method",
    "check_outliers_train": "the threshold is that of new rows, not of the training rows",
    "check_outliers_fit_predict": "fit_predict judges each row by members that left it out",
    "check_no_attributes_set_in_init": "options of the model are arguments of the detector",
}


def normal_rows(n=400, d=3, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


@pytest.mark.parametrize(
    "estimator",
    [
        pytest.param(AnomalyDetector(), id="default detector", marks=pytest.mark.slow),
        pytest.param(AnomalyDetector("gaussian_mixture", num_components=1), id="detector"),
        pytest.param(TablePreprocessor(), id="preprocessor"),
    ],
)
def test_scikit_learn_accepts_the_estimators(estimator):
    failed = EXEMPT if isinstance(estimator, AnomalyDetector) else {}
    results = check_estimator(estimator, expected_failed_checks=failed, on_skip=None, on_fail=None)
    wrong = [r["check_name"] for r in results if r["status"] == "failed"]
    assert wrong == []
    assert sum(r["status"] == "passed" for r in results) > 35


def test_detector_is_an_outlier_detector_of_scikit_learn():
    x = normal_rows()
    far = x[:20] + 8
    detector = clone(AnomalyDetector("realnvp", contamination=0.1, seed=3, **FLOW))
    assert detector.get_params()["num_couplings"] == 2
    detector.set_params(num_couplings=3, contamination=0.2)
    detector.fit(x)
    assert detector.model_.num_couplings == 3
    assert detector.n_features_in_ == 3
    assert set(detector.predict(np.r_[x, far])) == {1, -1}
    assert (detector.predict(far) == -1).all()
    np.testing.assert_array_equal(
        detector.decision_function(x), detector.score_samples(x) - detector.offset_
    )
    again = pickle.loads(pickle.dumps(detector))
    np.testing.assert_array_equal(again.score_samples(x), detector.score_samples(x))
    pipeline = make_pipeline(StandardScaler(), AnomalyDetector()).fit(x)
    assert (pipeline.predict(far) == -1).all()
    rows, y = np.r_[x, far], np.r_[np.ones(len(x)), -np.ones(20)]
    shuffled = StratifiedKFold(2, shuffle=True, random_state=0)
    scores = cross_val_score(AnomalyDetector(), rows, y, cv=shuffled, scoring="roc_auc")
    assert scores.min() > 0.8


def test_log_likelihood_is_that_of_the_data():
    # one component on standardised rows is the fitted normal of the rows themselves
    x = normal_rows(2000, 2) * [3.0, 0.01] + [5.0, -2.0]
    detector = AnomalyDetector("gaussian_mixture", num_components=1, noise=0.0).fit(x)
    expected = stats.multivariate_normal([5, -2], np.diag([9.0, 1e-4])).logpdf(x)
    np.testing.assert_allclose(detector.score_samples(x), expected, atol=0.5)
    assert np.abs(detector.score_samples(x) - expected).mean() < 0.05


def test_p_values_are_uniform_and_the_threshold_holds_on_new_rows():
    for detector in (AnomalyDetector(), AnomalyDetector("gaussian_mixture", num_components=3)):
        detector.set_params(contamination=0.1).fit(normal_rows(2000, seed=1))
        new = normal_rows(3000, seed=2)
        p = detector.p_values(new)
        assert stats.kstest(p, "uniform").statistic < 0.06
        assert abs((detector.predict(new) == -1).mean() - 0.1) < 0.04
        assert detector.p_values(new[:5] + 20).max() < 0.01


def test_typicality_finds_rows_that_are_too_likely():
    x = normal_rows(1000, 30)
    origin = np.zeros((1, 30))
    models = [
        AnomalyDetector("gaussian_mixture", num_components=1, score=score).fit(x)
        for score in ("log_likelihood", "typicality")
    ]
    assert models[0].p_values(origin)[0] > 0.9
    assert models[1].p_values(origin)[0] < 0.02


def test_scores_of_vaes_and_gans(digits):
    x, far = digits.x_train[:300], 16 - digits.x_train[:30]
    vae = AnomalyDetector(
        "vae", score="reconstruction", latent_dim=4, hidden_units=(32,), epochs=5
    ).fit(x)
    assert vae.score_samples(x[:5]).shape == (5,)
    assert vae.score_samples(far).mean() < vae.score_samples(x).mean()
    for score in ("auto", "discriminator"):
        gan = AnomalyDetector(
            "gan", score=score, latent_dim=2, generator_units=(16,), discriminator_units=(16,),
            epochs=1, random_state=1,
        )  # fmt: skip
        assert np.isfinite(gan.fit(x[:60]).score_samples(x[:4])).all()
    assert gan.score_ == "discriminator"
    with pytest.raises(genzoo.GenzooError, match="a VAE or a GAN"):
        AnomalyDetector("gaussian_mixture", score="reconstruction").fit(normal_rows())


def test_a_fitted_model_is_used_as_it_is():
    x = normal_rows(300, 2)
    model = genzoo.GaussianMixture((2,), num_components=2, seed=0)
    model.fit(x, verbose=0)
    detector = AnomalyDetector(model).fit(x)
    np.testing.assert_array_equal(detector.score_samples(x), model.log_prob(x))
    unfitted = genzoo.GaussianMixture((2,), num_components=2, seed=0)
    detector = clone(AnomalyDetector(unfitted)).fit(x)
    assert unfitted.data_spec is None
    assert detector.model_.num_components == 2


def test_explanation_names_the_column():
    x = normal_rows(500, 5)
    x[:, 1] = x[:, 0] + 0.1 * x[:, 1]
    row = np.zeros((2, 5))
    row[0, 3] = 6.0
    row[1, 0], row[1, 1] = 1.5, -1.5
    for detector in (AnomalyDetector(), AnomalyDetector("gaussian_mixture", num_components=1)):
        gains = detector.fit(x).explain(row)
        assert gains.shape == (2, 5)
        assert (gains >= 0).all()
        assert gains[0].argmax() == 3
        assert gains[1].argmax() in (0, 1)
        assert gains[1, :2].min() > 3 * gains[1, 2:].max()


def mixed_table(n=600, seed=0):
    random = np.random.default_rng(seed)
    kind = random.choice(["red", "green", "blue"], n, p=[0.6, 0.3, 0.1])
    number = random.normal(size=n) + 4 * (kind == "red")
    rows = np.empty((n, 3), object)
    rows[:, 0], rows[:, 1], rows[:, 2] = number, kind, random.lognormal(size=n)
    rows[random.random(n) < 0.1, 2] = None
    return rows


@pytest.mark.parametrize("numeric", ["standard", "robust", "power"])
def test_the_jacobian_of_tables_is_that_of_autodiff(numeric):
    rows = mixed_table()
    table = TablePreprocessor(numeric=numeric).fit(rows)
    x = np.array([[0.3, 2.0, "red"], [4.0, 0.2, "blue"]], object)[:, [0, 2, 1]]
    step = 1e-6
    z, log_det = table.transform_with_log_det(x, uniform=np.full(3, 0.5))
    expected = np.zeros(2)
    for j in (0, 2):
        moved = x.copy()
        moved[:, j] = x[:, j] + step
        slope = (table.transform_with_log_det(moved, uniform=np.full(3, 0.5))[0] - z)[:, j] / step
        expected += np.log(slope)
    shares = np.array([(rows[:, 1] == name).sum() for name in ("red", "blue")]) / (len(rows) + 1)
    expected += np.log(shares) - stats.norm.logpdf(z[:, 1])
    np.testing.assert_allclose(log_det, expected, atol=1e-4)
    back = table.inverse_transform(z)
    assert back[:, 1].tolist() == ["red", "blue"]
    np.testing.assert_allclose(back[:, [0, 2]].astype(float), x[:, [0, 2]].astype(float), rtol=1e-6)


def test_masses_of_categories_sum_to_one_and_missing_values_are_integrated_out():
    names = np.array([["a"], ["b"], ["c"], [None]], object)
    rows = names[np.random.default_rng(0).choice(3, 900, p=[0.7, 0.2, 0.1])]
    detector = AnomalyDetector("gaussian_mixture", num_components=1, noise=0.0).fit(rows)
    scores = detector.score_samples(names)
    np.testing.assert_allclose(np.exp(scores[:3]), [0.7, 0.2, 0.1], atol=0.06)
    assert abs(scores[3]) < 0.1
    unseen = detector.score_samples(np.array([["d"]], object))
    assert unseen[0] < -4


def test_tables_with_categories_and_missing_values():
    rows = mixed_table()
    strange = rows[:3].copy()
    strange[0, 0], strange[0, 1] = 40.0, "red"
    strange[1, 1] = "violet"
    strange[2, 0], strange[2, 1] = 0.0, "red"
    for detector in (AnomalyDetector(), AnomalyDetector("gaussian_mixture", num_components=4)):
        detector.fit(rows)
        assert detector.p_values(strange).max() < 0.2
        assert detector.explain(strange)[0].argmax() == 0
        assert np.isfinite(detector.score_samples(rows)).all()
    numbers = TablePreprocessor(categorical_features=[0]).fit(np.array([[1.0, 2], [2, 3], [1, 4]]))
    assert numbers.categorical_.tolist() == [True, False]


UNSEEN = {
    "digits 8": lambda: (load_digits().data, load_digits().target != 8),
    "wine 1": lambda: (load_wine().data, load_wine().target != 1),
    "breast cancer": lambda: (load_breast_cancer().data, load_breast_cancer().target == 1),
}


def test_default_detector_is_above_nearest_neighbours_on_the_mean():
    ours, theirs = [], []
    for load in UNSEEN.values():
        x, y = load()
        normal = np.random.default_rng(0).permutation(np.flatnonzero(~y))
        half = len(normal) // 2
        test = np.r_[normal[half:], np.flatnonzero(y)]
        scaler = StandardScaler().fit(x[normal[:half]])
        train, x_test = scaler.transform(x[normal[:half]]), scaler.transform(x[test])
        detector = AnomalyDetector().fit(train)
        ours.append(roc_auc_score(y[test], -detector.score_samples(x_test)))
        index = NearestNeighbors(n_neighbors=5).fit(train)
        theirs.append(roc_auc_score(y[test], index.kneighbors(x_test)[0][:, -1]))
    assert np.mean(ours) > np.mean(theirs) + 0.02
    assert np.min(np.subtract(ours, theirs)) > -0.03


def test_ensemble_scores_training_rows_out_of_sample():
    x = normal_rows(800, 4)
    ensemble = DensityEnsemble().fit(x)
    new = ensemble.score_samples(normal_rows(800, 4, seed=9))
    assert ensemble.training_scores_.shape == (800,)
    assert stats.ks_2samp(ensemble.training_scores_, new).statistic < 0.08
    assert np.isfinite(ensemble.score_samples(np.full((1, 4), 1e30))).all()
    # constant columns, copies, two rows
    flat = np.c_[np.repeat(x[:40], 10, axis=0), np.full(400, 3.0)]
    assert np.isfinite(DensityEnsemble().fit(flat).score_samples(flat[:5])).all()
    assert np.isfinite(DensityEnsemble().fit(x[:2]).score_samples(x[:5])).all()


def test_the_adapter_keeps_pyods_conventions():
    x = normal_rows(300, 2)
    far = x[:10] + 9
    adapter = clone(PyODAdapter(AnomalyDetector(), contamination=0.1)).fit(x)
    assert adapter.labels_.sum() == 30
    assert ((adapter.decision_scores_ > adapter.threshold_) == adapter.labels_).all()
    assert adapter.decision_function(far).min() > adapter.decision_function(x).mean()
    assert adapter.predict(far).tolist() == [1] * 10
    for method in ("linear", "unify"):
        shares = adapter.predict_proba(np.r_[x, far], method=method)
        np.testing.assert_allclose(shares.sum(axis=1), 1)
        assert shares[-10:, 1].min() > shares[:-10, 1].mean()
    peer = KNN(contamination=0.1).fit(x)
    public = {"decision_scores_", "threshold_", "labels_"}
    assert public <= set(vars(adapter)) & set(vars(peer))
    assert (adapter.predict(far) == peer.predict(far)).all()


BAD = {
    "model": (AnomalyDetector("relnvp"), "Did you mean 'realnvp'"),
    "object": (AnomalyDetector(3), "name of a model"),
    "score": (AnomalyDetector("vae", score="likelihood"), "Expected score"),
    "own score": (AnomalyDetector(score="typicality"), "default model"),
    "contamination": (AnomalyDetector(contamination=0.9), "at most 0.5"),
    "option": (AnomalyDetector("vae", latent=3), "Unknown option"),
    "preprocessing": (AnomalyDetector(preprocessing="none"), "Expected preprocessing"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_arguments_are_refused(kind):
    detector, message = BAD[kind]
    with pytest.raises(genzoo.GenzooError, match=message):
        detector.fit(normal_rows(20))


def test_images_are_refused_by_the_default_and_scored_by_others(digits):
    with pytest.raises(genzoo.GenzooError, match="table"):
        AnomalyDetector().fit(digits.x_train)
    detector = AnomalyDetector("realnvp", num_levels=2, couplings_per_level=2, filters=8,
                               num_blocks=1, epochs=1).fit(digits.x_train[:200])  # fmt: skip
    assert detector.score_samples(digits.x_test[:3]).shape == (3,)
    with pytest.raises(genzoo.GenzooError, match=r"X\.shape"):
        detector.predict(digits.x_test[:, :4])


def test_sequences_are_scored_one_by_one():
    random = np.random.default_rng(0)

    def walk(switches):
        states = np.cumsum(random.random(random.integers(20, 40)) < switches) % 2
        return (3.0 * states + 0.3 * random.normal(size=len(states)))[:, None]

    usual, strange = [walk(0.1) for _ in range(80)], [walk(0.9) for _ in range(20)]
    detector = AnomalyDetector("hidden_markov_model", num_states=2).fit(usual[:50])
    scores = detector.score_samples(usual[50:] + strange)
    assert scores.shape == (50,)
    assert scores[:30].min() > scores[30:].max()
    assert (detector.predict(strange) == -1).all()
    with pytest.raises(genzoo.GenzooError, match="equal shape"):
        detector.explain(strange)
    with pytest.raises(genzoo.GenzooError, match=r"\(steps, 1\)"):
        detector.predict([np.zeros((3, 2))])
