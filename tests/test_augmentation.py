"""Augmentation: imbalanced-learn's interface, the filter, the kinds of data."""

import numpy as np
import pandas
import pytest
from imblearn.pipeline import make_pipeline
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

import genzoo
from genzoo.applications import Augmenter


def two_classes(common=200, rare=20, seed=0):
    random = np.random.default_rng(seed)
    x = np.r_[random.normal(size=(common, 3)), random.normal(size=(rare, 3)) * 0.5 + 4]
    return x, np.repeat(["common", "rare"], [common, rare])


STRATEGIES = {
    "auto": ("auto", {"common": 200, "rare": 200}),
    "not majority": ("not majority", {"common": 200, "rare": 200}),
    "minority": ("minority", {"common": 200, "rare": 200}),
    "not minority": ("not minority", {"common": 200, "rare": 20}),
    "all": ("all", {"common": 200, "rare": 200}),
    "ratio": (0.5, {"common": 200, "rare": 100}),
    "dict": ({"common": 230, "rare": 50}, {"common": 230, "rare": 50}),
    "int": (210, {"common": 210, "rare": 210}),
    "function": (lambda y: {"rare": (y == "common").sum() // 4}, {"common": 200, "rare": 50}),
}


@pytest.mark.parametrize("kind", STRATEGIES)
def test_strategies_are_those_of_imbalanced_learn(kind):
    strategy, expected = STRATEGIES[kind]
    x, y = two_classes()
    augmenter = clone(Augmenter(sampling_strategy=strategy, num_components=1))
    more, labels = augmenter.fit_resample(x, y)
    counts = dict(zip(*np.unique(labels, return_counts=True), strict=True))
    assert counts == expected
    np.testing.assert_array_equal(more[: len(x)], x)
    np.testing.assert_array_equal(labels[: len(y)], y)
    assert sum(augmenter.sampling_strategy_.values()) == len(more) - len(x)


def test_samples_are_of_their_class_and_the_same_for_a_seed():
    x, y = two_classes()
    for augmenter in (
        Augmenter(num_components=1),
        Augmenter("realnvp", num_couplings=2, hidden_units=(16,), epochs=150, batch_size=32),
    ):
        more, labels = augmenter.fit_resample(x, y)
        new = more[len(x) :]
        assert (labels[len(x) :] == "rare").all()
        classifier = LogisticRegression().fit(x, y)
        assert (classifier.predict(new) == "rare").mean() > 0.8
        again, _ = clone(augmenter).fit_resample(x, y)
        np.testing.assert_array_equal(more, again)
        other, _ = clone(augmenter).set_params(random_state=1).fit_resample(x, y)
        assert (other[len(x) :] != new).any()
    assert list(augmenter.models_) == [None], "one model of all classes"


def test_the_filter_drops_the_implausible_and_the_copies():
    x, y = two_classes()
    open_ = Augmenter(num_components=1, likelihood_quantile=0.0, novelty=0.0)
    strict = Augmenter(num_components=1, likelihood_quantile=0.5, novelty=0.5)
    rare, far = x[y == "rare"], []
    for augmenter in (open_, strict):
        more, _ = augmenter.fit_resample(x, y)
        new = more[len(x) :]
        far.append(np.linalg.norm(new - rare.mean(axis=0), axis=1).mean())
        nearest = np.linalg.norm(new[:, None] - rare[None], axis=2).min(axis=1)
        assert nearest.min() > 0
    assert far[1] < 0.95 * far[0]
    report = strict.report_["rare"]
    assert report["kept"] == 180
    assert report["implausible"] >= report["drawn"] // 2 - 10
    assert report["copies"] > 0
    assert open_.report_["rare"]["implausible"] == 0


def test_a_model_that_only_copies_is_told(digits):
    x = np.repeat(np.arange(6.0)[:, None], 2, axis=1)
    y = np.array([0, 0, 0, 0, 1, 1])
    model = genzoo.GaussianMixture((2,), num_components=2, reg_covar=1e-12)
    with pytest.warns(UserWarning, match="copies"):
        more, labels = Augmenter(model, noise=0.0, novelty=0.5).fit_resample(x, y)
    assert len(more) == len(labels) == 8


def test_images_stay_images(digits):
    rows = np.flatnonzero(digits.y_train < 2)[:60]
    x, y = digits.x_train[rows], digits.y_train[rows]
    for augmenter in (
        Augmenter(sampling_strategy=50),
        Augmenter("vae", sampling_strategy=50, latent_dim=2, hidden_units=(32,), epochs=20),
        Augmenter("gan", per_class=True, sampling_strategy=40, latent_dim=2, epochs=2,
                  generator_units=(16,), discriminator_units=(16,)),
    ):  # fmt: skip
        more, labels = augmenter.fit_resample(x, y)
        assert more.shape == (len(labels), 8, 8, 1)
        assert more.dtype == x.dtype
        assert np.unique(labels).tolist() == [0, 1]


def test_tables_with_categories_and_integers():
    random = np.random.default_rng(0)
    rows = np.empty((120, 2), object)
    rows[:, 0] = random.normal(size=120)
    rows[:, 1] = random.choice(["a", "b"], 120)
    y = np.repeat([0, 1], [100, 20])
    more, _ = Augmenter(num_components=1).fit_resample(rows, y)
    assert set(more[:, 1]) == {"a", "b"}
    assert more.dtype == object
    whole = random.integers(0, 9, (120, 2))
    more, _ = Augmenter(num_components=1).fit_resample(whole, y)
    assert more.dtype == whole.dtype
    truths = random.random((120, 2)) < [0.2, 0.8]
    more, _ = Augmenter(num_components=1).fit_resample(truths, y)
    assert more.dtype == bool
    np.testing.assert_allclose(more[120:].mean(axis=0), truths[100:].mean(axis=0), atol=0.3)


def test_data_frames_keep_the_kinds_of_their_columns():
    random = np.random.default_rng(0)
    table = pandas.DataFrame(
        {
            "whole": random.integers(0, 5, 200),
            "nullable": pandas.array(random.integers(0, 9, 200), dtype="Int64"),
            "truth": random.random(200) < 0.3,
            "word": pandas.Categorical(random.choice(["p", "q"], 200)),
        }
    )
    more, _ = Augmenter(num_components=1).fit_resample(table, np.repeat([0, 1], [150, 50]))
    assert dict(more.dtypes) == dict(table.dtypes)
    for name in ("whole", "nullable", "truth"):
        # cut off in place of rounded, whole numbers would be half too small
        assert abs(more[name][200:].mean() - table[name][150:].mean()) < 0.45, name


def test_bad_arguments_are_refused():
    x, y = two_classes()
    for arguments, message in (
        ({"sampling_strategy": "some"}, "Expected sampling_strategy"),
        ({"sampling_strategy": {"other": 9}}, "classes of y"),
        ({"sampling_strategy": {"rare": 3}}, "at least the 20 rows"),
        ({"sampling_strategy": 0.01}, "ratio"),
        ({"likelihood_quantile": 1.0}, "below 1"),
        ({"model": "mafia"}, "Unknown model"),
    ):
        with pytest.raises(genzoo.GenzooError, match=message):
            Augmenter(**arguments).fit_resample(x, y)
    with pytest.raises(genzoo.GenzooError, match="label for each"):
        Augmenter().fit_resample(x, y[:5])
    with pytest.raises(genzoo.GenzooError, match="2 rows of each class"):
        Augmenter().fit_resample(x[:201], y[:201])


def test_it_works_in_imbalanced_learns_pipeline():
    x, y = two_classes()
    steps = make_pipeline(Augmenter(num_components=1), LogisticRegression())
    assert steps.fit(x, y).score(x, y) > 0.95


def test_models_that_take_no_context_learn_a_class_each():
    random = np.random.default_rng(0)
    x, y = random.normal(size=(90, 2)), np.repeat([0, 1], [70, 20])
    augmenter = Augmenter("bayesian_gaussian_mixture", num_components=2)
    more, labels = augmenter.fit_resample(x, y)
    assert len(more) == 140 and (labels == 1).sum() == 70
    assert list(augmenter.models_) == [1]


@pytest.mark.parametrize("name", ["hidden_markov_model", "pix2pix"])
def test_models_of_other_examples_are_refused(name):
    with pytest.raises(genzoo.GenzooError, match="of the kind row or image"):
        Augmenter(name).fit(np.zeros((6, 2)), [0, 0, 0, 0, 1, 1])
