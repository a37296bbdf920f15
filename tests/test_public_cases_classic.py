"""What users of mixtures, hidden Markov models and imputers report, against other libraries."""

import re

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from hmmlearn import hmm
from scipy import stats

import genzoo
from genzoo.applications import AnomalyDetector
from genzoo.classic.gaussians import ConditionalMixture
from zoo_scripts.main import main
from zoo_scripts.train import event_shape


@pytest.mark.parametrize("scalars", [False, True])
@pytest.mark.parametrize("form", [list, np.array])
def test_a_detector_takes_sequences_of_equal_length_for_sequences(form, scalars):
    """Not for tables of as many columns as steps."""
    random = np.random.default_rng(0)

    def walks(n, switches):
        states = np.cumsum(random.random((n, 20)) < switches, axis=1) % 2
        x = 3.0 * states + 0.3 * random.normal(size=states.shape)
        return form([*(x if scalars else x[:, :, None])])

    usual, strange = walks(60, 0.1), walks(20, 0.9)
    detector = AnomalyDetector("hidden_markov_model", num_states=2).fit(usual)
    assert detector.model_.event_shape == (() if scalars else (1,))
    scores = detector.score_samples(strange)
    # nats a step
    exact = detector.model_.log_prob(np.asarray(strange)) / 20
    np.testing.assert_allclose(scores, exact, rtol=1e-5)
    assert (detector.predict(walks(40, 0.1)) == 1).mean() > 0.8
    assert (detector.predict(strange) == -1).mean() > 0.8


def test_a_detector_says_who_takes_sequences():
    ragged = [np.zeros((3, 2)), np.ones((4, 2))]
    with pytest.raises(genzoo.GenzooError, match="hidden_markov_model"):
        AnomalyDetector("realnvp").fit(ragged)
    with pytest.raises(genzoo.GenzooError, match="hidden_markov_model"):
        AnomalyDetector().fit(np.zeros((8, 3, 2)))
    with pytest.raises(genzoo.GenzooError, match=r"X\[1\].*numbers"):
        AnomalyDetector("hidden_markov_model").fit([[1.0, 2.0], ["a", "b"]])


COIN = {
    "startprob": [0.6, 0.4],
    "transmat": [[0.9, 0.1], [0.2, 0.8]],
    "emissionprob": [[0.5, 0.5, 0.0], [0.1, 0.9, 0.0]],
}


def coins(levels=3, **arguments):
    return genzoo.HiddenMarkovModel(
        (), num_states=2, emission="categorical", levels=levels, **arguments
    )


@pytest.mark.parametrize("method", ["predict_proba", "decode", "predict", "forecast", "fit"])
def test_an_impossible_symbol_is_named(method):
    """Neither posteriors of zeros, nor NaN, nor a path of states."""
    model = coins(parameters_init=COIN)
    sequences = [np.array([0, 1, 1]), np.array([0, 1, 2, 0, 1]), np.array([1, 0])]
    more = {"forecast": {"steps": 2}, "fit": {"verbose": 0}}.get(method, {})
    with pytest.raises(
        genzoo.GenzooError, match=r"sequence 1 with 2 at step 2, which no state emits.*prior=1.1"
    ):
        getattr(model, method)(sequences, **more)
    assert np.isfinite(model.log_prob(sequences)).tolist() == [True, False, True]
    # what is possible keeps its value
    getattr(model, method)(sequences[::2], **more)


def test_an_impossible_order_is_named():
    left_right = {**COIN, "startprob": [1.0, 0.0], "transmat": [[0.5, 0.5], [0.0, 1.0]]}
    left_right["emissionprob"] = [[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]]
    model = coins(parameters_init=left_right)
    with pytest.raises(genzoo.GenzooError, match=r"sequence 0 with 0 at step 3.*may come there"):
        model.decode([[0, 1, 2, 0]])
    with pytest.raises(genzoo.GenzooError, match=r"at step 0.*may come there"):
        model.predict_proba([[1, 1]])


def test_an_impossible_count_is_named():
    model = genzoo.HiddenMarkovModel((2,), num_states=2, emission="poisson")
    chain = {name: COIN[name] for name in ("startprob", "transmat")}
    model.set_parameters(**chain, rates=[[1.0, 0.0], [2.0, 0.0]])
    with pytest.raises(genzoo.GenzooError, match=r"\[0, 1\] at step 1.*rates"):
        model.forecast([[[3, 0], [0, 1]]], 1)


def test_a_prior_makes_unseen_symbols_possible():
    x = np.random.default_rng(0).integers(0, 2, size=(20, 15))
    model = coins(emission_prior=1.1, seed=0)
    model.fit(x, epochs=3, verbose=0)
    forecast = model.forecast([[0, 2, 1]], 2)
    np.testing.assert_allclose(forecast.mean.sum(axis=-1), 1.0, rtol=1e-5)


def test_parameters_set_by_hand_need_no_fit():
    model = coins(parameters_init=COIN, seed=0)
    theirs = hmm.CategoricalHMM(2)
    theirs.startprob_, theirs.transmat_, theirs.emissionprob_ = map(np.array, COIN.values())
    x = model.sample(4, length=50, seed=0)
    for one in x:
        assert model.score(one) == pytest.approx(theirs.score(one[:, None]), rel=1e-5)
    drawn = model.sample(200, length=100, seed=1)
    # stationary: 2/3 and 1/3
    assert np.mean(drawn == 0) == pytest.approx((2 * 0.5 + 0.1) / 3, abs=0.01)
    part = {"emissionprob": COIN["emissionprob"]}
    with pytest.raises(genzoo.GenzooError, match="fit"):
        coins(parameters_init=part).sample(1, length=2)
    rest = coins(parameters_init=part)
    rest.set_parameters(startprob=COIN["startprob"], transmat=COIN["transmat"])
    np.testing.assert_array_equal(rest.log_prob(x), model.log_prob(x))


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical", "categorical", "poisson"])
def test_hmmlearn_models_set_by_hand_convert(kind):
    random = np.random.default_rng(0)
    if kind == "categorical":
        theirs = hmm.CategoricalHMM(2)
        theirs.emissionprob_ = np.array([[0.5, 0.5], [0.1, 0.9]])
        x = random.integers(0, 2, size=(30, 1))
    elif kind == "poisson":
        theirs = hmm.PoissonHMM(2)
        theirs.lambdas_ = np.array([[2.0, 1.0], [5.0, 0.5]])
        x = random.poisson(2.0, size=(30, 2))
    else:
        theirs = hmm.GaussianHMM(2, covariance_type=kind)
        theirs.means_ = np.array([[0.0, 1.0], [3.0, -1.0]])
        matrix = np.array([[2.0, 0.5], [0.5, 1.0]])
        theirs.covars_ = {
            "full": np.stack([matrix, 2 * matrix]), "tied": matrix,
            "diag": np.array([[1.0, 2.0], [3.0, 0.5]]), "spherical": np.array([1.0, 2.0]),
        }[kind]  # fmt: skip
        x = random.normal(size=(30, 2))
    theirs.startprob_ = np.array([0.6, 0.4])
    with pytest.raises(genzoo.GenzooError, match="transmat_"):
        genzoo.HiddenMarkovModel.from_hmmlearn(theirs)
    theirs.transmat_ = np.array([[0.9, 0.1], [0.2, 0.8]])
    ours = genzoo.HiddenMarkovModel.from_hmmlearn(theirs)
    assert ours.sample(3, length=4, seed=0).shape == (3, 4, x.shape[1])
    assert ours.score(x) == pytest.approx(theirs.score(x), rel=1e-9)


def test_sequences_that_are_none_are_named():
    vectors = genzoo.HiddenMarkovModel((2,), num_states=2)
    for model, x, told in (
        (coins(), [["a", "b"], ["b"]], r"x\[0\] to hold numbers.*np\.unique"),
        (coins(), [[0, 1], [], [1]], r"x\[1\] to have at least one step.*\(0,\)"),
        (vectors, [[[0, 1], [1, 2]], [[0, 1], [1]]], r"x\[1\] to be one array.*lengths"),
        (vectors, [np.ones((3, 2)), np.ones((0, 2))], r"x\[1\] to have at least one step"),
        (coins(), [0, 1, 1], r"\(steps,\).*single sequence as one array"),
    ):
        with pytest.raises(genzoo.GenzooError, match=told):
            model.fit(x, verbose=0)


def test_arrays_of_arrays_are_sequences():
    lists = [np.array([0, 1]), np.array([0, 1, 1])]
    model = coins(parameters_init=COIN)
    objects = np.empty(2, object)
    objects[:] = lists
    for same in (objects, tf.ragged.constant([row.tolist() for row in lists])):
        np.testing.assert_array_equal(model.log_prob(same), model.log_prob(lists))


def test_rows_with_holes_of_their_own_are_conditioned_together(monkeypatch):
    """As many patterns as rows: few factorisations of many matrices, not one a row."""
    random = np.random.default_rng(0)
    d, k = 12, 2
    means = random.normal(size=(k, d))
    roots = random.normal(size=(k, d, d)) + 2 * np.eye(d)
    covariances = roots @ np.swapaxes(roots, 1, 2)
    x = random.normal(size=(400, d)) @ roots[0].T + means[0]
    x[random.random(x.shape) < random.random((400, 1))] = np.nan
    calls = []
    cholesky = np.linalg.cholesky
    monkeypatch.setattr(np.linalg, "cholesky", lambda a: calls.append(len(a)) or cholesky(a))
    given = ConditionalMixture(x, np.array([0.3, 0.7]), means, covariances, "float64")
    assert len(calls) < 10
    for row, found, weights in zip(x, given.mean(), given.weights, strict=True):
        seen = ~np.isnan(row)
        joint, each = np.array([0.3, 0.7]), np.tile(row, (k, 1))
        for i in range(k):
            own = covariances[i][np.ix_(seen, seen)]
            gain = np.linalg.solve(own, covariances[i][np.ix_(seen, ~seen)]).T
            each[i, ~seen] = means[i, ~seen] + gain @ (row - means[i])[seen]
            if seen.any():
                joint[i] *= stats.multivariate_normal(means[i, seen], own).pdf(row[seen])
        np.testing.assert_allclose(weights, joint / joint.sum(), rtol=1e-8)
        np.testing.assert_allclose(found, joint @ each / joint.sum(), rtol=1e-6, atol=1e-8)


@pytest.fixture
def visits(tmp_path):
    random = np.random.default_rng(0)
    rows = [
        [f"p{patient}", *random.normal(3.0 * (patient % 2), 1.0, 2).round(3)]
        for patient in random.permutation(np.repeat(np.arange(20), 6))
    ]
    frame = pd.DataFrame(rows[:-4], columns=["patient", "a", "b"])
    frame.to_csv(tmp_path / "visits.csv", index=False)
    return tmp_path / "visits.csv", frame


def test_rows_of_a_table_are_sequences_by_a_column_or_by_lengths(visits):
    file, frame = visits
    data = genzoo.data.load(file, sequence="patient", seed=0)
    assert data.event_shape == (2,) and (len(data.x_train), len(data.x_test)) == (16, 4)
    found = sorted(x.tobytes() for x in (*data.x_train, *data.x_test))
    kind = data.x_train[0].dtype
    groups = [own[["a", "b"]].to_numpy(kind) for _, own in frame.groupby("patient")]
    assert found == sorted(x.tobytes() for x in groups)
    np.save(file.with_name("steps.npy"), frame[["a", "b"]].to_numpy())
    for lengths in (29, [29, 29, 29, 29]):
        data = genzoo.data.load(file.with_name("steps.npy"), lengths=lengths, seed=0)
        joined = np.concatenate([*data.x_train, *data.x_test])
        assert {len(x) for x in data.x_train} == {29}
        np.testing.assert_array_equal(np.sort(joined[:, 0]), np.sort(frame["a"]))
    with pytest.raises(genzoo.GenzooError, match="sum to the 116 rows"):
        genzoo.data.load(file.with_name("steps.npy"), lengths=[100, 10])
    with pytest.raises(genzoo.GenzooError, match="one table"):
        genzoo.data.load("digits", lengths=10)


def test_models_of_sequences_train_by_command(visits, tmp_path, capsys):
    options = ["--epochs", "1", "--quiet", "--option", "num_states=2", "--output"]
    made = str(tmp_path / "made")
    data = ["--data", str(visits[0]), "--sequence", "patient"]
    assert main(["train", "hidden_markov_model", *data, *options, made]) == 0
    assert main(["report", made]) == 0
    # images are sequences of their rows
    assert event_shape(genzoo.HiddenMarkovModel, genzoo.data.load("digits")) == (8, 1)
    capsys.readouterr()
    for model, data, told in (
        ("hidden_markov_model", ["moons"], "--sequence COLUMN or --lengths"),
        ("gaussian_mixture", ["moons", "--lengths", "10"], "Leave out --sequence"),
    ):
        assert main(["train", model, "--data", *data, *options, str(tmp_path / "none")]) == 2
        assert told in capsys.readouterr().err


@pytest.mark.parametrize("share", [0.2, 1.0])
def test_a_report_on_incomplete_rows_compares_the_complete_ones(share):
    random = np.random.default_rng(0)
    x = random.normal(size=(200, 2))
    x[random.random(200) < share, 0] = np.nan
    data = genzoo.data.Dataset("holes", x[:150], x[150:])
    model = genzoo.GaussianMixture((2,), num_components=1, seed=0)
    x[0] = 0.0
    model.fit(x[:150], verbose=0)
    page = genzoo.reports.report(model, data)
    complete = int((~np.isnan(data.x_test).any(axis=1)).sum())
    assert (f"Of {complete} complete test rows" in page) == (share < 1)
    assert "nan" not in re.sub(r"src=.*?>", "", page).lower().replace("finance", "")


@pytest.mark.parametrize("kind", ["vae", "stream"])
def test_zeros_and_ones_of_any_type_are_binary(kind):
    x = (np.random.default_rng(0).random((64, 6)) < 0.3).astype("uint8")

    def fitted(x):
        model = genzoo.VAE((6,), latent_dim=2, hidden_units=(4,), likelihood="bernoulli", seed=0)
        data = tf.data.Dataset.from_tensor_slices(x).batch(64) if kind == "stream" else x
        if kind == "stream":
            model.fit(data, epochs=1, verbose=0)
        else:
            model.adapt(data)
        return model

    expected = fitted(x).log_prob(x, seed=0)
    for dtype in ("float32", "float64", "int64", "bool")[: 1 if kind == "stream" else 4]:
        model = fitted(x.astype(dtype))
        np.testing.assert_allclose(model.log_prob(x.astype(dtype), seed=0), expected, rtol=1e-5)
        drawn = model.sample(50, seed=0)
        assert drawn.dtype == dtype and set(np.unique(drawn)) <= {0, 1}
    assert model.likelihood == genzoo.Likelihood("lower_bound", "mass")
    with pytest.raises(genzoo.GenzooError, match="all 0 and 1"):
        fitted(x + 0.5)
    model = fitted(x.astype("float32"))
    with pytest.raises(genzoo.GenzooError, match=r"whole numbers.*0\.5"):
        model.log_prob(0.5 * x)


def test_integers_asked_of_real_sequences_get_no_noise():
    model = genzoo.HiddenMarkovModel((1,), num_states=2, dtype="float64")
    chain = {name: COIN[name] for name in ("startprob", "transmat")}
    model.set_parameters(**chain, means=[[0.0], [3.0]], covariances=[[[1.0]], [[2.0]]])
    x = np.array([[[0], [3], [1], [2]]])
    theirs = model.to_hmmlearn()
    assert model.log_prob(x)[0] == pytest.approx(theirs.score(x[0]), rel=1e-12)
    np.testing.assert_allclose(model.predict_proba(x)[0], theirs.predict_proba(x[0]), rtol=1e-9)
    for other in (-model.evaluate(x, verbose=0), float(model(x)[0])):
        assert other == pytest.approx(theirs.score(x[0]), rel=1e-6)


def test_a_topology_holds_for_parameters_set_by_hand():
    model = coins(topology="left_right")
    with pytest.raises(genzoo.GenzooError, match="left_right"):
        model.set_parameters(**COIN)
    with pytest.raises(genzoo.GenzooError, match="left_right"):
        coins(topology="left_right", parameters_init=COIN)


def test_multinomial_parameters_set_by_hand_learn_their_trials():
    model = genzoo.HiddenMarkovModel((2,), num_states=2, emission="multinomial")
    chain = {name: COIN[name] for name in ("startprob", "transmat")}
    model.set_parameters(**chain, emissionprob=[[0.5, 0.5], [0.1, 0.9]])
    with pytest.raises(genzoo.GenzooError, match="num_trials"):
        model.forecast([[[1, 3]]], 2)
    model.fit(np.random.default_rng(0).multinomial(4, [0.5, 0.5], (5, 10)), epochs=1, verbose=0)
    assert (model.sample(3, length=5, seed=0).sum(axis=-1) == 4).all()
    np.testing.assert_allclose(model.forecast([[[1, 3]]], 2).mean.sum(axis=-1), 4, rtol=1e-5)


def test_masked_sequences_are_missing_ones():
    random = np.random.default_rng(0)
    x = np.ma.masked_array(random.normal(size=(20, 2)), mask=random.random((20, 2)) < 0.2)
    x.data[x.mask] = 1e36
    model = genzoo.HiddenMarkovModel((2,), num_states=2, seed=0)
    model.fit(x, epochs=1, verbose=0)
    exact = model.log_prob([x.filled(np.nan)])
    for same in ([x], x, x[None]):
        np.testing.assert_array_equal(model.log_prob(same), exact)


@pytest.mark.parametrize("kind", ["full", "tied"])
def test_covariances_set_by_hand_are_symmetric(kind):
    """A Cholesky factorisation reads one half, and would take this one for the identity."""
    model = genzoo.HiddenMarkovModel((2,), num_states=2, covariance_type=kind)
    half = np.array([[1.0, 0.9], [0.0, 1.0]])
    chain = {name: COIN[name] for name in ("startprob", "transmat")}
    with pytest.raises(genzoo.GenzooError, match="symmetric"):
        model.set_parameters(
            **chain, means=np.zeros((2, 2)), covariances=half if kind == "tied" else [half, half]
        )
