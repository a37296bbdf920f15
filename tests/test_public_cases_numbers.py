"""Numbers as people have them: far from zero, of any size, masked, in frames, beside contexts of
any unit; and what a model learned of them, restored in every way that Keras has."""

import decimal

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from sklearn.mixture import GaussianMixture as SklearnMixture

import genzoo
from genzoo.core import errors
from tests.tiny import TINY

LOG_2PIE = np.log(2 * np.pi * np.e)
SECONDS = 1.7e9


def two_bumps(n=600, seed=0):
    random = np.random.default_rng(seed)
    return np.where(random.random((n, 1)) < 0.5, 0.0, 8.0) + random.normal(size=(n, 1))


@pytest.mark.parametrize("offset", [1e7, SECONDS, -SECONDS])
def test_mixture_far_from_zero_is_scikit_learns(offset):
    x = two_bumps() + offset
    ours = genzoo.GaussianMixture((1,), num_components=2, seed=0)
    ours.fit(x, verbose=0)
    theirs = SklearnMixture(2, random_state=0).fit(x)
    order, other = ours.means_.ravel().argsort(), theirs.means_.ravel().argsort()
    np.testing.assert_allclose(
        ours.means_.ravel()[order] - offset, theirs.means_.ravel()[other] - offset, atol=1e-4
    )
    np.testing.assert_allclose(
        ours.covariances_.ravel()[order], theirs.covariances_.ravel()[other], rtol=1e-4
    )
    np.testing.assert_allclose(ours.score(x), theirs.score(x), rtol=1e-5)
    samples = ours.sample(400, seed=0)
    assert samples.dtype == np.float64
    assert len(np.unique(samples)) == 400
    given = ours.condition(np.full((1, 1), np.nan)).mean()
    np.testing.assert_allclose(given[0, 0] - offset, x.mean() - offset, atol=0.05)


def test_means_set_by_hand_are_those_of_the_data():
    x = two_bumps() + SECONDS
    start = [[SECONDS], [SECONDS + 8]]
    ours = genzoo.GaussianMixture((1,), num_components=2, means_init=start, seed=0)
    ours.fit(x, epochs=1, verbose=0)
    assert np.abs(ours.means_ - start).max() < 1
    bayesian = genzoo.BayesianGaussianMixture(
        (1,), num_components=2, mean_prior=[SECONDS + 4], seed=0
    )
    bayesian.fit(x, verbose=0)
    assert np.abs(np.sort(bayesian.means_.ravel()) - np.ravel(start)).max() < 0.5
    assert bayesian.mean_prior_[0] == SECONDS + 4


def test_hidden_markov_model_far_from_zero_is_the_one_at_zero():
    x = two_bumps()[:, 0].reshape(6, 100, 1)
    near = genzoo.HiddenMarkovModel((1,), num_states=2, seed=0)
    near.fit(x, epochs=5, verbose=0)
    far = genzoo.HiddenMarkovModel((1,), num_states=2, seed=0)
    far.fit(x + SECONDS, epochs=5, verbose=0)
    np.testing.assert_allclose(far.means_ - SECONDS, near.means_, atol=1e-5)
    np.testing.assert_allclose(far.covariances_, near.covariances_, rtol=1e-4)
    np.testing.assert_allclose(far.log_prob(x + SECONDS), near.log_prob(x), rtol=1e-5)
    ahead, behind = far.forecast(x[:1] + SECONDS, 3), near.forecast(x[:1], 3)
    np.testing.assert_allclose(ahead.mean - SECONDS, behind.mean, atol=1e-4)
    assert far.sample(2, length=5, seed=0).dtype == np.float64
    again = genzoo.HiddenMarkovModel((1,), num_states=2, parameters_init=far.parameters(), seed=0)
    again.adapt(x + SECONDS)
    np.testing.assert_allclose(again.means_ - SECONDS, far.means_ - SECONDS, atol=1e-5)


def small(name, **arguments):
    return genzoo.build(name, **{**TINY[name], "seed": 0, **arguments})


@pytest.mark.parametrize(
    ("name", "center", "spread"),
    [
        ("maf", SECONDS, 5.0),
        ("maf", 101325.0, 0.01),
        ("planar", 0.0, 1e-20),
        ("vae", SECONDS, 5.0),
        ("vae", 0.0, 1e30),
    ],
)
def test_density_of_normal_numbers_in_any_unit(name, center, spread):
    x = center + spread * np.random.default_rng(0).normal(size=(1500, 2))
    model = small(name, event_shape=(2,))
    model.fit(x, epochs=4, verbose=0)
    entropy = LOG_2PIE + 2 * np.log(spread)
    assert abs(model.score(x) + entropy) < 0.35
    samples = model.sample(300, seed=0)
    assert len(np.unique(samples)) == 600
    np.testing.assert_allclose((samples.mean(axis=0) - center) / spread, 0, atol=0.3)
    np.testing.assert_allclose(samples.std(axis=0) / spread, 1, atol=0.4)
    np.testing.assert_array_equal(np.ravel(tf.nest.flatten(model(x[:5]))[0]).shape, (5,))


def test_graph_file_and_saved_model_agree_far_from_zero(tmp_path):
    x = SECONDS + 5 * np.random.default_rng(0).normal(size=(500, 2))
    model = genzoo.RealNVP((2,), num_couplings=2, seed=0)
    model.fit(x, epochs=1, verbose=0)
    scores = model.log_prob(x)
    np.testing.assert_allclose(model(x), scores, rtol=1e-5)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.log_prob(x), scores)
    model.export(tmp_path / "served")
    served = tf.saved_model.load(tmp_path / "served").signatures
    named = served["log_prob"](x=tf.constant(x))
    np.testing.assert_allclose(next(iter(named.values())), scores, rtol=1e-5)
    drawn = next(iter(served["sample"](n=tf.constant(9), seed=tf.constant(0, tf.int64)).values()))
    np.testing.assert_array_equal(drawn, model.sample(9, seed=0))
    np.testing.assert_allclose(model.decode(model.encode(x)), x, atol=1e-3)


def test_large_integers_are_uniform():
    x = 1_700_000_000 + np.random.default_rng(0).integers(0, 100, (4000, 1))
    model = genzoo.MAF((1,), seed=0)
    model.fit(x, epochs=3, verbose=0)
    # a normal fitted to uniform numbers is 0.25 bits above their entropy
    assert abs(model.bits_per_dim(x).mean() - (np.log2(100) + 0.254)) < 0.05
    samples = model.sample(500, seed=0)
    assert samples.dtype == np.int64
    assert len(np.unique(samples)) > 80
    assert np.abs(samples - 1_700_000_050).max() < 200


def test_rounding_before_the_door_is_told():
    x = (SECONDS + 300 * np.random.default_rng(0).normal(size=(500, 1))).astype("float32")
    with pytest.warns(errors.PrecisionWarning, match="steps of about"):
        genzoo.MAF((1,), seed=0).adapt(x)
    with pytest.warns(errors.PrecisionWarning, match="value 1 of each example"):
        genzoo.MAF((2,), seed=0).adapt(np.random.default_rng(0).integers(0, [9, 10**9], (500, 2)))


def test_a_constant_with_rounding_noise_stays_a_constant(recwarn):
    random = np.random.default_rng(0)
    x = np.column_stack([random.normal(size=500), 0.3 + 1e-16 * random.integers(-2, 3, 500)])
    model = genzoo.GaussianMixture((2,), num_components=1)
    model.adapt(x)
    assert not [w for w in recwarn if w.category is errors.PrecisionWarning]
    assert model.data_spec.offset is None


def test_samples_are_wide_where_the_data_were():
    x = np.random.default_rng(0).normal(size=(200, 2))
    for dtype in ("float32", "float64"):
        model = genzoo.MAF((2,), num_transforms=1, seed=0)
        model.adapt(x.astype(dtype))
        assert model.sample(3, seed=0).dtype == dtype


@pytest.mark.parametrize("name", ["maf", "vae", "glow", "gaussian_mixture"])
def test_integers_asked_of_real_numbers_are_real_numbers(name):
    x = np.random.default_rng(0).normal(size=(300, 2))
    model = small(name, event_shape=(2,))
    whole = np.array([[0, 0], [1, 2]])
    history = model.fit(x, epochs=1, verbose=0, validation_data=whole)
    np.testing.assert_array_equal(model.log_prob(whole), model.log_prob(whole.astype("float64")))
    if model.likelihood.kind == "exact":
        np.testing.assert_array_equal(model.log_prob(whole, seed=7), model.log_prob(whole))
        loss = history.history["val_loss"][0]
        np.testing.assert_allclose(loss, -model.log_prob(whole * 1.0).mean(), rtol=0.2)


def test_unit_of_the_context_changes_nothing():
    random = np.random.default_rng(0)
    context = random.uniform(size=(800, 1))
    x = np.sin(6 * context) + 0.1 * random.normal(size=(800, 1))
    scores = []
    for scale, offset in [(1.0, 0.0), (1e4, 0.0), (100.0, 2000.0), (1e-4, 0.0), (1.0, SECONDS)]:
        model = small("maf", event_shape=(1,), context_dim=1)
        given = scale * context + offset
        model.fit(x, given, epochs=8, verbose=0)
        scores.append(model.score(x, context=given))
    assert scores[0] > -0.75
    np.testing.assert_allclose(scores, scores[0], atol=1e-3)


def test_masked_values_are_missing():
    x = np.random.default_rng(0).normal(size=(200, 2))
    hidden = np.random.default_rng(1).random(x.shape) < 0.1
    masked = np.ma.array(np.where(hidden, 1e36, x), mask=hidden)
    holes = np.where(hidden, np.nan, x)
    for name, given, same in (
        ("gaussian_mixture", masked, holes),
        ("hidden_markov_model", masked[None], holes[None]),
        ("hidden_markov_model", [masked[:90], masked[90:]], [holes[:90], holes[90:]]),
    ):
        size = {"num_components": 2} if name == "gaussian_mixture" else {"num_states": 2}
        models = [genzoo.build(name, event_shape=(2,), seed=0, **size) for _ in range(2)]
        for model, data in zip(models, (given, same), strict=True):
            model.fit(data, epochs=3, verbose=0)
        np.testing.assert_array_equal(models[0].log_prob(given), models[1].log_prob(same))
    flow = genzoo.MAF((2,), context_dim=2)
    for arguments in ((masked, x), (x, masked)):
        with pytest.raises(errors.InvalidInputError, match="masked"):
            flow.fit(*arguments)
    # a mask that hides nothing
    flow.adapt(np.ma.array(x, mask=False), x)


def test_columns_of_a_frame_are_read_one_by_one():
    n = 60
    random = np.random.default_rng(0)
    numbers = {
        "flag": random.random(n) < 0.5,
        "real": random.normal(size=n),
        "count": random.integers(0, 9, n),
    }
    plain = np.column_stack([numbers[name].astype(float) for name in numbers])
    kinds = {
        "mixed": pd.DataFrame(numbers),
        "nullable": pd.DataFrame(numbers).convert_dtypes(),
        "decimal": pd.DataFrame({**numbers, "real": [decimal.Decimal(v) for v in numbers["real"]]}),
        "objects": pd.DataFrame(numbers).astype(object),
    }
    model = genzoo.MAF((3,), num_transforms=1, seed=0)
    model.adapt(plain)
    for name, frame in kinds.items():
        np.testing.assert_array_equal(model.log_prob(frame), model.log_prob(plain), err_msg=name)
    mixture = genzoo.GaussianMixture((2,), num_components=2, seed=0)
    nullable = pd.DataFrame({"a": [1, None, 3, 4], "b": [1.5, 2.5, None, 0.5]}).convert_dtypes()
    mixture.adapt(nullable)
    for column, message in (
        ({"town": ["Ulm"] * n}, "'town'.*'Ulm'"),
        ({"when": pd.date_range("2020", periods=n)}, "'when'.*dates"),
    ):
        with pytest.raises(errors.InvalidInputError, match=message):
            model.log_prob(
                pd.DataFrame({**numbers, "real": next(iter(column.values()))}).rename(
                    columns={"real": next(iter(column))}
                )
            )


@pytest.mark.parametrize("name", ["glow", "vae", "gaussian_mixture"])
def test_what_was_learned_is_restored_or_asked_for(name, tmp_path):
    x = np.random.default_rng(0).normal(size=(300, 4)) * [1, 2, 3, 4] + 1
    model = small(name, event_shape=(4,))
    model.fit(x, epochs=1, verbose=0)
    scores = model.log_prob(x)
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    with pytest.raises(errors.NotFittedError, match="restore_state"):
        copy.log_prob(x)
    copy.restore_state(model.fitted_state())
    np.testing.assert_array_equal(copy.log_prob(x), scores)
    path = tf.train.Checkpoint(model=model).save(tmp_path / "checkpoint")
    other = small(name, event_shape=(4,), seed=1)
    tf.train.Checkpoint(model=other).restore(path)
    assert other.data_spec == model.data_spec


def test_adapt_leaves_trained_weights_alone():
    x = np.random.default_rng(0).normal(size=(300, 4)) * [1, 2, 3, 4] + 1
    for model in (
        small("glow", event_shape=(4,)),
        small("vae", event_shape=(4,), prior="vamp"),
    ):
        model.fit(x, epochs=1, verbose=0)
        copy = keras.models.clone_model(model)
        copy.set_weights(model.get_weights())
        copy.adapt(x)
        np.testing.assert_array_equal(copy.log_prob(x), model.log_prob(x))


@pytest.mark.parametrize("kind", [">f8", ">f4", ">i4", "longdouble", "float16"])
def test_arrays_of_any_order_of_bytes_and_width_are_read(kind, tmp_path):
    x = np.random.default_rng(0).normal(50, 9, (200, 2)).astype(kind)
    native = x.astype({">f8": "f8", ">f4": "f4", ">i4": "i4", "longdouble": "f8"}.get(kind, kind))
    np.save(tmp_path / "x.npy", x)
    scores = []
    for given in (native, x, np.load(tmp_path / "x.npy", mmap_mode="r")):
        model = small("gaussian_mixture", event_shape=(2,))
        model.fit(given, epochs=2, verbose=0)
        scores.append(model.log_prob(given))
    np.testing.assert_array_equal(scores[0], scores[1])
    np.testing.assert_allclose(scores[0], scores[2], rtol=1e-5)


def test_contexts_that_vary_little_about_a_large_number_are_standardised():
    random = np.random.default_rng(0)
    context = SECONDS + np.column_stack([0.01 * random.normal(size=300), np.zeros(300)])
    model = small("maf", event_shape=(1,), context_dim=2)
    model.adapt(random.normal(size=(300, 1)), context)
    seen = model.encode_context(model.context_spec.check(context, 300, "MAF")).numpy()
    np.testing.assert_allclose(seen.std(axis=0), [1, 0], atol=1e-3)
