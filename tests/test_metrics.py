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
    with pytest.raises(genzoo.GenzooError, match=r"samples of shape \(n, 1\)"):
        genzoo.metrics.mode_coverage(samples, [[0.0]], 0.5)


def test_figures_of_distances_do_not_depend_on_where_zero_is():
    random = np.random.default_rng(0)
    a, b = random.normal(size=(2, 200, 2))
    metrics = genzoo.metrics
    for figure in (
        lambda a, b: metrics.parzen_log_prob(a, b).mean(),
        metrics.density_and_coverage,
        metrics.precision_and_recall,
        metrics.maximum_mean_discrepancy,
        metrics.frechet_distance,
    ):
        # dates in seconds are such numbers
        np.testing.assert_allclose(figure(a + 2e9, b + 2e9), figure(a, b), rtol=1e-4, atol=1e-6)


def test_figures_refuse_what_is_no_number():
    random = np.random.default_rng(0)
    a = random.normal(size=(50, 2))
    spoiled = np.where(a > 2, np.nan, a)
    metrics = genzoo.metrics
    for figure in (
        metrics.density_and_coverage,
        metrics.precision_and_recall,
        metrics.maximum_mean_discrepancy,
        metrics.parzen_log_prob,
        metrics.frechet_distance,
        lambda a, b: metrics.mode_coverage(a, b, 1.0),
    ):
        for pair in ((a, spoiled), (spoiled, a)):
            with pytest.raises(genzoo.GenzooError, match="finite"):
                figure(*pair)
    with pytest.raises(genzoo.GenzooError, match="num_splits"):
        metrics.inception_score(np.full((6, 3), 1 / 3), num_splits=0)


def test_moments_of_batches_are_numpys_and_the_distance_the_same():
    random = np.random.default_rng(0)
    # a large offset, where sums of squares in float32 would lose all digits
    x = random.normal(size=(1000, 4)) @ random.normal(size=(4, 4)) + 1e6
    moments = genzoo.metrics.Moments()
    for batch in np.array_split(x, 7):
        moments.update(batch)
    np.testing.assert_allclose(moments.mean, x.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(moments.covariance, np.cov(x.T), rtol=1e-6)
    y = random.normal(size=(500, 4)) + 1e6
    assert frechet_distance(moments, y) == pytest.approx(frechet_distance(x, y), rel=1e-6)
    with pytest.raises(genzoo.GenzooError, match=r"\[n, 4\]"):
        moments.update(x[:, :2])


def test_extrapolation_takes_off_the_bias_of_few_samples():
    random = np.random.default_rng(1)
    real = random.normal(size=(40_000, 16))
    biased, corrected = [], []
    for _ in range(4):
        samples = random.normal(size=(600, 16))
        biased.append(frechet_distance(real, samples))
        corrected.append(genzoo.metrics.extrapolated_frechet_distance(real, samples))
    assert np.mean(biased) > 0.15
    assert abs(np.mean(corrected)) < 0.03
    # against the closed form of a shift
    shifted = genzoo.metrics.extrapolated_frechet_distance(real, samples + 1.0)
    assert shifted == pytest.approx(16.0, abs=0.7)


def test_mmd_is_the_double_sum_and_its_closed_form():
    random = np.random.default_rng(0)
    x, y = random.normal(size=(30, 2)), random.normal(size=(20, 2)) + 1

    def k(a, b):
        return np.exp(-np.sum((a - b) ** 2) / (2 * 0.8**2))

    own = np.mean([k(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j])
    other = np.mean([k(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j])
    cross = np.mean([k(a, b) for a in x for b in y])
    made = genzoo.metrics.maximum_mean_discrepancy(x, y, bandwidth=0.8)
    assert made == pytest.approx(own + other - 2 * cross, rel=1e-10)
    # normals of variance 1 in one dimension: E k = h / sqrt(h^2 + 2) exp(-shift^2 / (2 h^2 + 4))
    expected = 2 / np.sqrt(3) * (1 - np.exp(-1 / 6))
    made = [
        genzoo.metrics.maximum_mean_discrepancy(
            random.normal(size=(1000, 1)), random.normal(size=(1000, 1)) + 1, bandwidth=1.0
        )
        for _ in range(10)
    ]
    assert np.mean(made) == pytest.approx(expected, abs=0.015)
    with pytest.raises(genzoo.GenzooError, match="equal rows"):
        genzoo.metrics.maximum_mean_discrepancy(np.ones((4, 2)), np.ones((4, 2)))


def test_kernel_distance_has_no_bias():
    random = np.random.default_rng(0)
    x = random.normal(size=(12, 3))
    y = random.normal(size=(12, 3)) + 1
    kernel = lambda a, b: (a @ b.T / 3 + 1) ** 3  # noqa: E731
    off = ~np.eye(12, dtype=bool)
    expected = kernel(x, x)[off].mean() + kernel(y, y)[off].mean() - 2 * kernel(x, y).mean()
    made, spread = genzoo.metrics.kernel_distance(x, y, num_subsets=3)
    assert made == pytest.approx(expected, rel=1e-10)
    assert spread == pytest.approx(0, abs=1e-10)
    few = [
        genzoo.metrics.kernel_distance(*random.normal(size=(2, 30, 8)), num_subsets=1)[0]
        for _ in range(300)
    ]
    assert abs(np.mean(few)) < 4 * np.std(few) / np.sqrt(300)


def test_inception_score_streams_and_has_its_bounds():
    random = np.random.default_rng(0)
    p = random.dirichlet(np.ones(5), size=200)
    marginal = p.mean(axis=0)
    expected = np.exp(np.mean([stats.entropy(row, marginal) for row in p]))
    score = genzoo.metrics.InceptionScore()
    for part in np.array_split(p, 9):
        score.update(part)
    assert score.result() == pytest.approx(expected, rel=1e-12)
    assert genzoo.metrics.inception_score(p)[0] == pytest.approx(expected, rel=1e-12)
    assert genzoo.metrics.inception_score(np.eye(5)[[0] * 9])[0] == pytest.approx(1.0)
    with pytest.raises(genzoo.GenzooError, match="sum 1"):
        score.update(2 * p)


def test_precision_and_recall_by_brute_force():
    random = np.random.default_rng(0)
    real, made = random.normal(size=(60, 2)), random.normal(size=(50, 2)) * 0.5 + 0.5

    def reached(centers, rows, k):
        apart = np.linalg.norm(centers[:, None] - centers[None], axis=2)
        radius = np.sort(apart, axis=1)[:, k]
        far = np.linalg.norm(rows[:, None] - centers[None], axis=2)
        return (far <= radius).any(axis=1).mean()

    precision, recall = genzoo.metrics.precision_and_recall(real, made, k=4)
    assert precision == reached(real, made, 4)
    assert recall == reached(made, real, 4)
    assert genzoo.metrics.precision_and_recall(real, real + 100) == (0.0, 0.0)
    # one mode of two: all samples are sound, half of the data is missed
    two = np.concatenate([real, real + 50])
    assert genzoo.metrics.precision_and_recall(two, real)[0] == 1.0
    assert genzoo.metrics.precision_and_recall(two, real)[1] == 0.5


def test_two_sample_test_has_its_level_and_its_power():
    random = np.random.default_rng(0)
    equal = [
        genzoo.metrics.classifier_two_sample_test(*random.normal(size=(2, 100, 2)), seed=i)[1]
        for i in range(60)
    ]
    assert 0.3 < np.mean(equal) < 0.7
    assert np.mean(np.array(equal) < 0.1) < 0.25
    x = random.normal(size=(400, 2))
    accuracy, p_value = genzoo.metrics.classifier_two_sample_test(x, x[::-1] * [1.0, 3.0] + 1)
    assert accuracy > 0.6
    assert p_value < 1e-3


def test_perplexity_is_that_of_scipys_entropy():
    p = np.array([0.5, 0.3, 0.2])
    x = np.random.default_rng(0).choice(3, size=(4000, 1), p=p).astype("uint8")
    model = genzoo.GaussianMixture((1,), num_components=3, reg_covar=1e-3, seed=0)
    model.fit(x, verbose=0)
    entropy = np.exp(stats.entropy(p))
    assert entropy < genzoo.metrics.perplexity(model, x) < 1.6 * entropy
    bits = model.bits_per_dim(x).mean()
    assert genzoo.metrics.perplexity(model, x) == pytest.approx(2**bits, rel=1e-5)
    model = genzoo.GaussianMixture((1,), num_components=1)
    model.fit(np.random.default_rng(0).normal(size=(50, 1)), verbose=0)
    with pytest.raises(genzoo.NoDensityError):
        genzoo.metrics.perplexity(model, np.zeros((2, 1)))


def test_classifiers_are_saved_and_give_probabilities(digits, tmp_path):
    features = ClassifierFeatures(digits.x_train[:300], digits.y_train[:300], epochs=2)
    features.save(tmp_path / "digits.keras")
    again = ClassifierFeatures.load(tmp_path / "digits.keras")
    np.testing.assert_array_equal(features(digits.x_test), again(digits.x_test))
    probabilities = again.probabilities(digits.x_test)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    score, _ = genzoo.metrics.inception_score(probabilities)
    assert 1 < score <= 10
    (tmp_path / "other.keras").write_bytes(b"no model")
    with pytest.raises(genzoo.GenzooError, match=r"ClassifierFeatures\.save"):
        ClassifierFeatures.load(tmp_path / "other.keras")


def test_any_keras_model_and_inception_give_features(digits):
    features = genzoo.metrics.InceptionFeatures(weights=None)
    assert features(digits.x_test[:2]).shape == (2, 2048)
    with pytest.raises(genzoo.GenzooError, match="ClassifierFeatures"):
        genzoo.metrics.InceptionFeatures(weights="nowhere.h5")
