"""HiddenMarkovModel against hmmlearn, enumeration of all paths, and closed forms."""

import itertools
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from hmmlearn import hmm
from scipy import stats
from scipy.special import logsumexp

import genzoo
from genzoo.classic.hmm import emissions, recursions, recursions_in_blocks
from genzoo.classic.hmm.emissions.emission import Emission, clusters, group_means

K, D, M = 3, 2, 2
TYPES = ["full", "tied", "diag", "spherical"]
CHAIN = {
    "startprob": np.array([0.5, 0.3, 0.2]),
    "transmat": np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.1, 0.3, 0.6]]),
}
MEANS = np.array([[0.0, 0.0], [2.0, -1.0], [-1.0, 3.0]])
LENGTHS = [30, 1, 28, 7, 29, 30, 30]


def covariances(kind, k=K, m=None):
    """Return covariances of K states, or of m components in each."""
    random = np.random.default_rng(1)
    if kind in ("diag", "spherical"):
        shape = (k,) if m is None else (k, m)
        return random.uniform(0.5, 1.5, shape + ((D,) if kind == "diag" else ()))
    lead = () if (kind == "tied" and m is None) else (k,) if m is None or kind == "tied" else (k, m)
    root = 0.3 * random.normal(size=(*lead, D, D)) + np.eye(D)
    return root @ np.swapaxes(root, -1, -2)


def parameters(emission, kind="full"):
    random = np.random.default_rng(2)
    return {
        "gaussian": lambda: {"means": MEANS, "covariances": covariances(kind)},
        "gaussian_mixture": lambda: {
            "weights": np.array([[0.3, 0.7], [0.5, 0.5], [0.6, 0.4]]),
            "means": MEANS[:, None] + random.normal(size=(K, M, D)),
            "covariances": covariances(kind, m=M),
        },
        "categorical": lambda: {"emissionprob": random.dirichlet(np.ones(5), K)},
        "poisson": lambda: {"rates": random.uniform(1, 9, (K, D))},
        "multinomial": lambda: {"emissionprob": random.dirichlet(np.ones(4), K)},
    }[emission]()


def build(emission="gaussian", kind="full", **arguments):
    """Return a model whose parameters are set, in float64."""
    shape = {"categorical": (1,), "multinomial": (4,)}.get(emission, (D,))
    extra = {"categorical": {"levels": 5}, "multinomial": {"num_trials": 6}}.get(emission, {})
    mixture = {"num_components": M} if emission == "gaussian_mixture" else {}
    model = genzoo.HiddenMarkovModel(
        shape, num_states=K, emission=emission, covariance_type=kind,
        **{"dtype": "float64", "tol": 0, "reg_covar": 0, **extra, **mixture, **arguments},
    )  # fmt: skip
    model.set_parameters(**CHAIN, **parameters(emission, kind))
    return model


def concatenated(model, lengths=LENGTHS, seed=0):
    parts = [model.sample(1, length=n, seed=seed + i)[0] for i, n in enumerate(lengths)]
    return np.concatenate(parts)


EMISSIONS = [
    *[("gaussian", kind) for kind in TYPES],
    *[("gaussian_mixture", kind) for kind in TYPES],
    ("categorical", "full"),
    ("poisson", "full"),
    ("multinomial", "full"),
]


def moved(model):
    """Return a start away from the truth, so that EM has far to go."""
    start = model.parameters()
    start["transmat"] = 0.5 * start["transmat"] + 0.5 / K
    for name in ("emissionprob", "weights"):
        if name in start:
            start[name] = 0.5 * start[name] + 0.5 / start[name].shape[-1]
    if "means" in start:
        start["means"] = 0.7 * start["means"] + 0.3
    if "rates" in start:
        start["rates"] = 0.7 * start["rates"] + 1
    return start


@pytest.mark.parametrize(("emission", "kind"), [e for e in EMISSIONS if e[0] != "gaussian_mixture"])
def test_parameters_equal_hmmlearns_after_each_step(emission, kind):
    model = build(emission, kind)
    x = concatenated(model)
    model.set_parameters(**moved(model))
    theirs = model.to_hmmlearn()
    theirs.n_iter, theirs.tol = 1, -np.inf
    for _ in range(6):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs.fit(x, LENGTHS)
        model.fit(x, LENGTHS, epochs=1, verbose=0)
        again = genzoo.HiddenMarkovModel.from_hmmlearn(theirs).parameters()
        for name, value in model.parameters().items():
            np.testing.assert_allclose(value, again[name], atol=1e-9, err_msg=name)
    assert model.log_prob(x, LENGTHS).sum() == pytest.approx(theirs.score(x, LENGTHS), rel=1e-12)
    expected = theirs.predict_proba(x, LENGTHS)
    np.testing.assert_allclose(model.predict_proba(x, LENGTHS), expected, atol=1e-9)
    states, log_prob = model.decode(x, LENGTHS, return_log_prob=True)
    best, path = theirs.decode(x, LENGTHS)
    np.testing.assert_array_equal(states, path)
    assert log_prob.sum() == pytest.approx(best, rel=1e-12)


@pytest.mark.parametrize("kind", TYPES)
def test_mixture_step_equals_hmmlearns_but_for_the_means_it_is_about(kind):
    """hmmlearn takes squares about the means before the step; an EM step, about those after."""
    model = build("gaussian_mixture", kind)
    x = concatenated(model)
    model.set_parameters(**moved(model))
    theirs = model.to_hmmlearn()
    theirs.n_iter = 1
    if kind == "spherical":
        theirs.covars_prior = -(D + 2) / 2  # its default is that of as many features as components
    old = model.means_
    counts = posterior_of_components(model, x).sum(axis=0)
    theirs.fit(x, LENGTHS)
    model.fit(x, LENGTHS, epochs=1, verbose=0)
    ours = model.parameters()
    for name in ("startprob", "transmat", "weights", "means"):
        np.testing.assert_allclose(ours[name], getattr(theirs, f"{name}_"), atol=1e-9, err_msg=name)
    shift = ours["means"] - old
    outer = shift[..., :, None] * shift[..., None, :]
    correction = {
        "full": outer,
        "tied": np.einsum("km,kmde->kde", counts / counts.sum(1, keepdims=True), outer),
        "diag": shift**2,
        "spherical": (shift**2).mean(axis=-1),
    }[kind]
    np.testing.assert_allclose(ours["covariances"], theirs.covars_ - correction, atol=1e-9)


def posterior_of_components(model, x):
    """Return the posterior of states and components, [n, K, M]."""
    densities = component_densities(model.parameters(), model.covariance_type, x)
    share = np.exp(densities - logsumexp(densities, axis=-1, keepdims=True))
    return model.predict_proba(x, LENGTHS)[:, :, None] * share


def component_densities(values, kind, x):
    wide = values["covariances"]
    out = np.empty((len(x), K, M))
    for k, m in itertools.product(range(K), range(M)):
        own = wide[k] if kind == "tied" else wide[k, m]
        own = np.diag(own) if kind == "diag" else own * np.eye(D) if kind == "spherical" else own
        density = stats.multivariate_normal(values["means"][k, m], own).logpdf(x)
        out[:, k, m] = np.log(values["weights"][k, m]) + density
    return out


def step_densities(model, x):
    """Return log p(x_t | state) [T, K], missing values marginalised, by SciPy."""
    values = model.parameters()
    out = np.zeros((len(x), K))
    for t, k in itertools.product(range(len(x)), range(K)):
        seen = ~np.isnan(x[t])
        row = x[t][seen]
        if not seen.any():
            continue
        if model.emission == "poisson":
            out[t, k] = stats.poisson(values["rates"][k][seen]).logpmf(row).sum()
        elif model.emission == "categorical":
            out[t, k] = np.log(values["emissionprob"][k, int(row[0])])
        elif model.emission == "multinomial":
            out[t, k] = stats.multinomial(row.sum(), values["emissionprob"][k]).logpmf(row)
        else:
            out[t, k] = gaussian(values, model, k, row, seen)
    return out


def gaussian(values, model, k, row, seen):
    kind, wide = model.covariance_type, values["covariances"]

    def density(mean, own):
        own = np.diag(own) if kind == "diag" else own * np.eye(D) if kind == "spherical" else own
        return stats.multivariate_normal(mean[seen], own[np.ix_(seen, seen)]).logpdf(row)

    if model.emission == "gaussian":
        return density(values["means"][k], wide if kind == "tied" else wide[k])
    return logsumexp(
        [
            np.log(values["weights"][k, m])
            + density(values["means"][k, m], wide[k] if kind == "tied" else wide[k, m])
            for m in range(M)
        ]
    )


def enumerate_paths(model, x):
    """Return log p(x), posteriors, the likeliest path and its log p(x, path), by enumeration."""
    densities = step_densities(model, np.asarray(x, float))
    chain = model.parameters()
    paths = np.array(list(itertools.product(range(K), repeat=len(x))))
    joint = np.log(chain["startprob"])[paths[:, 0]]
    joint = joint + np.log(chain["transmat"])[paths[:, :-1], paths[:, 1:]].sum(axis=1)
    joint += densities[np.arange(len(x)), paths].sum(axis=1)
    total = logsumexp(joint)
    weight = np.exp(joint - total)
    posterior = np.stack([(weight[:, None] * (paths == k)).sum(axis=0) for k in range(K)], axis=1)
    return total, posterior, paths[joint.argmax()], joint.max()


@pytest.mark.parametrize(("emission", "kind"), EMISSIONS)
def test_everything_equals_the_enumeration_of_all_paths(emission, kind):
    model = build(emission, kind)
    x = [model.sample(1, length=n, seed=n)[0] for n in (1, 4, 6)]
    log_prob, states = model.log_prob(x), model.decode(x, return_log_prob=True)
    posteriors, steps = model.predict_proba(x), model.log_prob(x, per_step=True)
    for i, sequence in enumerate(x):
        total, posterior, path, best = enumerate_paths(model, sequence)
        assert log_prob[i] == pytest.approx(total, rel=1e-10)
        assert steps[i].sum() == pytest.approx(total, rel=1e-10)
        assert steps[i][0] == pytest.approx(enumerate_paths(model, sequence[:1])[0], rel=1e-10)
        np.testing.assert_allclose(posteriors[i], posterior, atol=1e-10)
        np.testing.assert_array_equal(states[0][i], path)
        assert states[1][i] == pytest.approx(best, rel=1e-10)


@pytest.mark.parametrize(("emission", "kind"), EMISSIONS)
def test_missing_steps_and_values_are_marginalised(emission, kind):
    model = build(emission, kind)
    x = model.sample(1, length=6, seed=3)[0].astype(float)
    x[[1, 4]] = np.nan
    if emission in ("gaussian", "gaussian_mixture", "poisson"):
        x[2, 0] = x[3, 1] = np.nan
    else:
        with pytest.raises(genzoo.GenzooError, match="fractions"):
            model.log_prob(x + 0.5)
    total, posterior, path, best = enumerate_paths(model, x)
    assert model.log_prob([x])[0] == pytest.approx(total, rel=1e-10)
    np.testing.assert_allclose(model.predict_proba([x])[0], posterior, atol=1e-10)
    states, log_prob = model.decode([x], return_log_prob=True)
    np.testing.assert_array_equal(states[0], path)
    assert log_prob[0] == pytest.approx(best, rel=1e-10)
    # by mask, and past the end
    whole = np.isnan(x).all(axis=1)
    filled = np.where(whole[:, None], 0, x)
    assert model.log_prob([filled], mask=[~whole])[0] == pytest.approx(total, rel=1e-10)
    tail = np.concatenate([x, np.full((3, x.shape[1]), np.nan)])
    assert model.log_prob([tail])[0] == pytest.approx(total, rel=1e-10)


@pytest.mark.parametrize(("emission", "kind"), EMISSIONS[::2])
def test_em_with_missing_values_climbs_the_marginal_likelihood(emission, kind):
    model = build(emission, kind)
    x = concatenated(model).astype(float)
    random = np.random.default_rng(0)
    x[random.random(len(x)) < 0.1] = np.nan
    if emission not in ("categorical", "multinomial"):
        x[random.random(x.shape) < 0.2] = np.nan
    model.set_parameters(**moved(model))
    before = model.score(x, LENGTHS)
    loss = model.fit(x, LENGTHS, epochs=12, verbose=0).history["loss"]
    assert loss[0] == pytest.approx(-before, rel=1e-6)
    assert np.diff(-np.array(loss)).min() > -1e-6 * abs(loss[-1])
    assert model.score(x, LENGTHS) > before + 0.5


@pytest.mark.parametrize(("emission", "kind"), EMISSIONS[1::2])
def test_likelihood_never_falls_in_float32(emission, kind):
    source = build(emission, kind)
    x = concatenated(source)
    start = moved(source)
    model = build(emission, kind, dtype="float32", reg_covar=1e-6)
    model.set_parameters(**start)
    loss = np.array(model.fit(x, LENGTHS, epochs=30, verbose=0).history["loss"])
    assert np.isfinite(loss).all()
    assert np.diff(-loss).min() > -1e-6 * abs(loss[-1])


def test_float32_of_a_long_sequence_equals_float64():
    wide = build()
    narrow = build(dtype="float32")
    x = wide.sample(1, length=300_000, seed=0)
    exact = wide.log_prob(x)[0]
    assert narrow.log_prob(x)[0] == pytest.approx(exact, rel=1e-5)
    steps = narrow.log_prob(x, per_step=True).astype(float)
    assert steps.shape == (1, 300_000)
    assert steps.sum() == pytest.approx(exact, rel=1e-5)
    np.testing.assert_allclose(narrow.predict_proba(x), wide.predict_proba(x), atol=1e-3)


@pytest.mark.parametrize(
    ("k", "shape", "block"),
    [(3, (4, 40), 5), (8, (1, 3000), 16), (5, (2, 1), 5), (6, (2, 17), 16)],
)
def test_blocks_equal_whole_sequences(k, shape, block):
    random = np.random.default_rng(0)
    start, transition = random.dirichlet(np.ones(k)), random.dirichlet(0.3 * np.ones(k), k)
    if k == 6:  # left to right
        start = np.eye(k)[0]
        transition = np.triu(transition) + np.eye(k)
        transition /= transition.sum(axis=1, keepdims=True)
    lengths = np.append(shape[1], random.integers(1, shape[1] + 1, shape[0] - 1)).astype("int32")
    observed = (random.random(shape) < 0.8) & (np.arange(shape[1]) < lengths[:, None])
    exact = [start, transition, 4 * random.normal(size=(*shape, k)) - 3]
    for function in (
        recursions.log_probs,
        recursions.step_log_probs,
        recursions.last_filtered,
        recursions.expectations,
        recursions.viterbi,
    ):
        whole = tf.nest.flatten(function(*exact, observed, lengths, block=0))
        for dtype, tolerance in (("float64", 1e-11), ("float32", 1e-5)):
            arguments = [array.astype(dtype) for array in exact]
            results = tf.nest.flatten(function(*arguments, observed, lengths, block=block))
            for result, expected in zip(results, whole, strict=True):
                np.testing.assert_allclose(result, expected, rtol=tolerance, atol=10 * tolerance)


def test_gpus_take_long_sequences_in_blocks(monkeypatch):
    def chosen(steps, block=None):
        return int(
            recursions_in_blocks.choose(block, tf.constant(steps), lambda: 0, lambda length: length)
        )

    assert [chosen(10**6), chosen(10**6, block=7), chosen(10**6, block=0)] == [0, 7, 0]
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [kind])
    assert [chosen(10**6), chosen(100), chosen(10**6, block=0)] == [512, 0, 0]


def test_nothing_underflows():
    """States so far apart that their ratios fit no float, in an order that the topology forbids."""
    values = {
        "startprob": [1.0, 0, 0],
        "transmat": [[0.9, 0.1, 0], [0, 0.9, 0.1], [0, 0, 1]],
        "means": [[0.0], [100.0], [200.0]],
        "covariances": [[1.0], [1.0], [1.0]],
    }
    x = np.array([0.0, 1, 200, 0, 150, 0, 199, 100, 200])[:, None]
    results = []
    for dtype in ("float32", "float64"):
        model = genzoo.HiddenMarkovModel((1,), num_states=3, covariance_type="diag", dtype=dtype)
        model.set_parameters(**values)
        theirs = model.to_hmmlearn()
        assert model.score(x) == pytest.approx(theirs.score(x), rel=1e-6)
        np.testing.assert_allclose(model.predict_proba(x), theirs.predict_proba(x), atol=1e-3)
        np.testing.assert_array_equal(model.decode(x), theirs.predict(x))
        model.fit(x, epochs=1, verbose=0)
        results.append(model.parameters())
    for name, value in results[0].items():
        np.testing.assert_allclose(value, results[1][name], rtol=1e-4, atol=1e-4)


def test_forms_of_sequences_agree():
    model = build()
    sequences = [model.sample(1, length=n, seed=n)[0] for n in (3, 11, 5)]
    flat, lengths = np.concatenate(sequences), np.array([3, 11, 5])
    padded = np.full((3, 11, D), np.nan)
    for row, sequence in zip(padded, sequences, strict=True):
        row[: len(sequence)] = sequence
    expected = model.log_prob(sequences)
    np.testing.assert_array_equal(model.log_prob(flat, lengths), expected)
    np.testing.assert_array_equal(model.log_prob(padded, lengths), expected)
    np.testing.assert_allclose(model.log_prob(padded), expected)
    np.testing.assert_allclose(model.log_prob(sequences, batch_size=1), expected)
    states = model.decode(sequences)
    assert [len(s) for s in states] == [3, 11, 5]
    np.testing.assert_array_equal(model.decode(flat, lengths), np.concatenate(states))
    wide = model.decode(padded, lengths)
    assert wide.shape == (3, 11)
    np.testing.assert_array_equal(wide[2, :5], states[2])
    assert (wide[2, 5:] == -1).all()
    assert np.isnan(model.predict_proba(padded, lengths)[0, 3:]).all()
    assert model.score(flat, lengths) == pytest.approx(expected.mean())
    np.testing.assert_allclose(model.score_samples(flat, lengths), expected)
    # one sequence, as in hmmlearn
    assert model.log_prob(flat).shape == (1,)


def test_streams_train_like_arrays():
    source = build()
    x = [source.sample(1, length=n, seed=n)[0] for n in (9, 30, 4, 17)]
    x[1][3] = np.nan
    x[2][1, 0] = np.nan
    lengths = np.array([len(s) for s in x])
    padded = np.zeros((4, 30, D))
    for row, sequence in zip(padded, x, strict=True):
        row[: len(sequence)] = sequence
    spec = tf.TensorSpec([None, D], tf.float64)
    streams = [
        tf.data.Dataset.from_tensor_slices((padded, lengths)).batch(2),
        tf.data.Dataset.from_tensor_slices({"x": padded, "lengths": lengths}).batch(3),
        tf.data.Dataset.from_generator(lambda: iter(x), output_signature=spec),
    ]
    results = []
    for data in [x, *streams]:
        model = genzoo.HiddenMarkovModel((D,), num_states=2, seed=0, dtype="float64", tol=0)
        history = model.fit(data, epochs=5, verbose=0).history
        results.append((history["loss"], model.means_))
        assert model.evaluate(data, verbose=0) == pytest.approx(-model.score(x), rel=1e-6)
    for loss, means in results[1:]:
        np.testing.assert_allclose(loss, results[0][0], rtol=1e-6)
        np.testing.assert_allclose(means, results[0][1], rtol=1e-6)


def test_validation_and_callbacks():
    source = build()
    x = source.sample(20, length=15, seed=0)
    model = genzoo.HiddenMarkovModel((D,), num_states=2, seed=0, tol=0)
    history = model.fit(x, epochs=3, validation_split=0.25, verbose=0).history
    assert history["val_loss"][0] == pytest.approx(history["loss"][0], rel=0.3)
    lengths = np.full(20, 15)
    model.fit(x, lengths, epochs=1, validation_data=(x.reshape(-1, D), lengths), verbose=0)


@pytest.mark.parametrize(
    ("topology", "band", "allowed"),
    [
        ("left_right", 1, [[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1], [0, 0, 0, 1]]),
        ("left_right", 2, [[1, 1, 1, 0], [0, 1, 1, 1], [0, 0, 1, 1], [0, 0, 0, 1]]),
        ("banded", 1, [[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 1], [0, 0, 1, 1]]),
    ],
)
def test_topologies_are_kept(topology, band, allowed):
    random = np.random.default_rng(0)
    x = np.repeat([0.0, 3, 6, 9], 5)[None, :, None] + 0.3 * random.normal(size=(30, 20, 1))
    model = genzoo.HiddenMarkovModel(
        (1,), num_states=4, topology=topology, band_width=band, transmat_prior=2.0, seed=0
    )
    model.fit(x, epochs=15, verbose=0)
    assert ((model.transmat_ > 0) <= np.array(allowed, bool)).all()
    np.testing.assert_allclose(model.transmat_.sum(axis=1), 1, atol=1e-6)
    # states come in the order of time
    np.testing.assert_allclose(model.means_[:, 0], [0, 3, 6, 9], atol=0.5)
    if topology == "left_right":
        np.testing.assert_array_equal(model.startprob_, [1, 0, 0, 0])
    with pytest.raises(genzoo.GenzooError, match="allows no transition"):
        genzoo.HiddenMarkovModel(
            (1,),
            num_states=4,
            topology=topology,
            parameters_init={"transmat": np.full((4, 4), 0.25)},
        ).fit(x)


def test_fixed_parameters_stay():
    source = build()
    x = concatenated(source)
    start = moved(source)
    flags = np.array([[True, False, False], [False] * 3, [True] * 3])
    model = build(fixed={"startprob": True, "transmat": flags, "means": [False, True, False]})
    model.set_parameters(**start)
    model.fit(x, LENGTHS, epochs=5, verbose=0)
    np.testing.assert_allclose(model.startprob_, start["startprob"])
    np.testing.assert_allclose(model.transmat_[flags], start["transmat"][flags])
    np.testing.assert_allclose(model.transmat_.sum(axis=1), 1)
    assert (model.transmat_[~flags] != start["transmat"][~flags]).all()
    np.testing.assert_array_equal(model.means_[1], start["means"][1])
    assert (model.means_[[0, 2]] != start["means"][[0, 2]]).all()
    model = build(fixed=["covariances", "means"])
    model.set_parameters(**start)
    model.fit(x, LENGTHS, epochs=2, verbose=0)
    np.testing.assert_allclose(model.covariances_, start["covariances"])


def test_priors_and_stickiness():
    model = build(sticky=50.0, transmat_prior=3.0, startprob_prior=[1.0, 2.0, 3.0])
    x = concatenated(model)
    theirs = model.to_hmmlearn()
    theirs.n_iter = 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs.fit(x, LENGTHS)
    model.fit(x, LENGTHS, epochs=1, verbose=0)
    np.testing.assert_allclose(model.transmat_, theirs.transmat_, atol=1e-10)
    np.testing.assert_allclose(model.startprob_, theirs.startprob_, atol=1e-10)
    loose = build()
    loose.fit(x, LENGTHS, epochs=1, verbose=0)
    assert (np.diag(model.transmat_) > np.diag(loose.transmat_)).all()


def test_forecast_equals_enumeration():
    model = build()
    x = model.sample(1, length=4, seed=0)[0]
    forecast = model.forecast([x], 3, num_samples=20_000, seed=0)
    longer = np.concatenate([x, np.full((3, D), np.nan)])
    posterior = enumerate_paths(model, longer)[1][4:]
    np.testing.assert_allclose(forecast.state_proba[0], posterior, atol=1e-10)
    np.testing.assert_allclose(forecast.mean[0], posterior @ model.means_, atol=1e-10)
    assert forecast.samples.shape == (1, 20_000, 3, D)
    np.testing.assert_allclose(forecast.samples[0].mean(axis=0), forecast.mean[0], atol=0.05)
    symbols = build("categorical")
    forecast = symbols.forecast([symbols.sample(1, length=4, seed=0)[0]], 2, num_samples=5, seed=0)
    assert forecast.mean.shape == (1, 2, 5)
    np.testing.assert_allclose(forecast.mean.sum(axis=-1), 1)
    assert forecast.samples.dtype == np.int64
    assert forecast.samples.shape == (1, 5, 2, 1)


@pytest.mark.parametrize(("emission", "kind"), EMISSIONS)
def test_samples_have_the_moments_of_the_model(emission, kind):
    model = build(emission, kind)
    x, states = model.sample(3000, length=8, return_states=True, seed=0)
    assert x.shape == (3000, 8, *model.event_shape)
    # the chain
    p = model.startprob_
    for t in range(8):
        np.testing.assert_allclose(np.bincount(states[:, t], minlength=K) / 3000, p, atol=0.04)
        p = p @ model.transmat_
    pairs = np.zeros((K, K))
    np.add.at(pairs, (states[:, :-1], states[:, 1:]), 1)
    np.testing.assert_allclose(pairs / pairs.sum(1, keepdims=True), model.transmat_, atol=0.03)
    # the emissions
    values = model.parameters()
    for k in range(K):
        own = x[states == k].astype(float)
        if emission == "categorical":
            shares = np.bincount(own[:, 0].astype(int), minlength=5) / len(own)
            np.testing.assert_allclose(shares, values["emissionprob"][k], atol=0.03)
        elif emission == "multinomial":
            assert (own.sum(axis=1) == 6).all()
            np.testing.assert_allclose(own.mean(0) / 6, values["emissionprob"][k], atol=0.02)
        elif emission == "poisson":
            np.testing.assert_allclose(own.mean(0), values["rates"][k], rtol=0.05)
            np.testing.assert_allclose(own.var(0), values["rates"][k], rtol=0.1)
        elif emission == "gaussian":
            wide = values["covariances"] if kind == "tied" else values["covariances"][k]
            wide = (
                np.diag(wide)
                if kind == "diag"
                else wide * np.eye(D)
                if kind == "spherical"
                else wide
            )
            np.testing.assert_allclose(own.mean(0), values["means"][k], atol=0.1)
            np.testing.assert_allclose(np.cov(own.T), wide, atol=0.15)
        else:
            mean = values["weights"][k] @ values["means"][k]
            np.testing.assert_allclose(own.mean(0), mean, atol=0.1)
    assert (x == model.sample(3000, length=8, seed=0)).all()
    cold = model.sample(200, length=8, temperature=0.0, seed=0)
    assert len(np.unique(cold.reshape(-1, model.event_size), axis=0)) <= K * M


@pytest.mark.parametrize(("emission", "kind"), EMISSIONS)
def test_hmmlearn_both_ways_and_saved(emission, kind, tmp_path):
    model = build(emission, kind, seed=3)
    theirs = model.to_hmmlearn()
    x = concatenated(model)
    theirs._check()
    assert theirs.score(x, LENGTHS) == pytest.approx(model.log_prob(x, LENGTHS).sum(), rel=1e-12)
    again = genzoo.HiddenMarkovModel.from_hmmlearn(theirs)
    assert (again.emission, again.covariance_type) == (
        emission,
        kind if "gaussian" in emission else "full",
    )
    assert again.seed == 3
    # hmmlearn counts the weights of one state's mixture
    more = (K - 1) * (M - 1) if emission == "gaussian_mixture" else 0
    found, steps = model.criteria(x, LENGTHS), sum(LENGTHS)
    assert found["aic"] == pytest.approx(theirs.aic(x, LENGTHS) + 2 * more, rel=1e-12)
    assert found["bic"] == pytest.approx(theirs.bic(x, LENGTHS) + np.log(steps) * more, rel=1e-12)
    for name, value in model.parameters().items():
        np.testing.assert_allclose(again.parameters()[name], value, rtol=1e-14, atol=1e-15)
    model.save(tmp_path / "hmm.keras")
    loaded = keras.models.load_model(tmp_path / "hmm.keras")
    assert (loaded.log_prob(x, LENGTHS) == model.log_prob(x, LENGTHS)).all()
    assert (loaded.sample(3, length=4, seed=0) == model.sample(3, length=4, seed=0)).all()
    assert loaded.likelihood == model.likelihood


class Switches(Emission):
    """D values of 0 or 1, 1 with the `chances` [K, D]."""

    names = ("chances",)
    counts = True
    remedy = "Its chances are 0 or 1."

    def shapes(self):
        return {"chances": (self.settings.num_states, self.settings.event_size)}

    def log_prob(self, prepared, x, mask):
        x, chances = tf.cast(x, prepared["chances"].dtype)[:, None], prepared["chances"]
        terms = tf.math.xlogy(x, chances) + tf.math.xlog1py(1 - x, -chances)
        return tf.reduce_sum(terms, axis=-1)

    def statistic_shapes(self):
        return {"on": self.shapes()["chances"], "off": self.shapes()["chances"]}

    def statistics(self, prepared, x, mask, posterior):
        x = tf.cast(x, posterior.dtype)
        return {
            "on": tf.matmul(posterior, x, transpose_a=True),
            "off": tf.matmul(posterior, 1 - x, transpose_a=True),
        }

    def maximize(self, weights, statistics):
        return {"chances": statistics["on"] / (statistics["on"] + statistics["off"])}

    def start(self, rows, times, random):
        labels, _ = clusters(rows, times, self.settings.num_states, random)
        return {"chances": 0.8 * group_means(rows, labels, self.settings.num_states) + 0.1}

    def sample(self, weights, states, seed, temperature):
        chances = tf.gather(weights["chances"], states)
        noise = tf.random.stateless_uniform(tf.shape(chances), seed, dtype=chances.dtype)
        return tf.cast(noise < chances, chances.dtype)

    def mean(self, parameters):
        return parameters["chances"]


def test_a_new_emission_is_a_class_and_a_line_in_the_table(monkeypatch):
    monkeypatch.setitem(emissions.EMISSIONS, "switches", Switches)
    chances = np.array([[0.9, 0.2, 0.1], [0.1, 0.7, 0.9]])
    random = np.random.default_rng(0)
    states = np.cumsum(random.random((30, 60)) < 0.1, axis=1) % 2
    x = (random.random((30, 60, 3)) < chances[states]).astype(int)
    model = genzoo.HiddenMarkovModel(3, num_states=2, emission="switches", seed=0, dtype="float64")
    losses = model.fit(x, verbose=0).history["loss"]
    assert max(np.diff(losses)) < 1e-9
    found = model.parameters()["chances"]
    found = found[np.argsort(-found[:, 0])]
    np.testing.assert_allclose(found, chances, atol=0.05)
    assert model.sample(4, seed=0).shape == (4, 60, 3)
    assert model.forecast(x, 2).mean.shape == (30, 2, 3)
    wrong = (model.decode(x) != states).mean()
    assert min(wrong, 1 - wrong) < 0.1
    with pytest.raises(genzoo.GenzooError, match=r"an emission that hmmlearn has.*Switches"):
        model.to_hmmlearn()


def test_hmmlearn_objects_that_do_not_fit():
    with pytest.raises(genzoo.NotFittedError, match="startprob_"):
        genzoo.HiddenMarkovModel.from_hmmlearn(hmm.GaussianHMM(2))
    with pytest.raises(genzoo.GenzooError, match="GaussianHMM, GMMHMM"):
        genzoo.HiddenMarkovModel.from_hmmlearn(object())
    with pytest.raises(genzoo.GenzooError, match="as a whole"):
        build(fixed={"means": [True, False, False]}).to_hmmlearn()
    theirs = hmm.CategoricalHMM(2, params="te", n_features=3)
    theirs.startprob_, theirs.transmat_ = np.array([0.5, 0.5]), np.full((2, 2), 0.5)
    theirs.emissionprob_ = np.full((2, 3), 1 / 3)
    model = genzoo.HiddenMarkovModel.from_hmmlearn(theirs)
    assert model.fixed == ["startprob"]
    assert model.to_hmmlearn().params == "te"


@pytest.mark.parametrize(("emission", "kind"), EMISSIONS[::2])
def test_exported_functions(emission, kind, tmp_path):
    model = build(emission, kind)
    x = model.sample(4, length=9, seed=0)
    model.fit(x, epochs=1, verbose=0)
    model.export(tmp_path / "exported")
    loaded = tf.saved_model.load(tmp_path / "exported").signatures
    lengths = np.array([9, 3, 1, 8], np.int32)
    for name in ("log_prob", "predict_proba", "decode"):
        (whole,) = loaded[name](x=tf.constant(x)).values()
        np.testing.assert_allclose(whole, getattr(model, name)(x), rtol=1e-10, atol=1e-12)
        arguments = {"x": tf.constant(x), "lengths": tf.constant(lengths)}
        (cut,) = loaded[f"{name}_with_lengths"](**arguments).values()
        for row, own, n in zip(cut.numpy(), getattr(model, name)(x, lengths), lengths, strict=True):
            if name == "log_prob":
                assert row == pytest.approx(own)
            else:
                np.testing.assert_allclose(row[:n], own[:n], atol=1e-12)
    seed = tf.constant(5, tf.int64)
    (samples,) = loaded["sample"](n=tf.constant(3), seed=seed).values()
    assert (samples.numpy() == model.sample(3, seed=5)).all()
    arguments = {"n": tf.constant(3), "seed": seed, "length": tf.constant(20)}
    (samples,) = loaded["sample_with_length"](**arguments).values()
    assert (samples.numpy() == model.sample(3, length=20, seed=5)).all()
    if emission == "gaussian":
        gaps = x.copy()
        gaps[0, 2, 0] = gaps[1, 3] = np.nan
        (scored,) = loaded["log_prob"](x=tf.constant(gaps)).values()
        np.testing.assert_allclose(scored, model.log_prob(gaps), rtol=1e-10)


def test_two_devices_equal_one(two_devices):
    source = build()
    x = [source.sample(1, length=n, seed=n)[0] for n in (9, 30, 4, 17, 30)]

    def train(strategy):
        with strategy.scope():
            model = genzoo.HiddenMarkovModel((D,), num_states=2, seed=0, tol=0, dtype="float64")
        return model, model.fit(x, epochs=5, batch_size=2, verbose=0).history["loss"]

    (one, loss), (two, again) = train(tf.distribute.get_strategy()), train(two_devices)
    np.testing.assert_allclose(loss, again, rtol=1e-6)
    np.testing.assert_allclose(one.means_, two.means_, rtol=1e-9)
    np.testing.assert_allclose(one.transmat_, two.transmat_, rtol=1e-9)
    for a, b in zip(one.predict_proba(x), two.predict_proba(x, batch_size=1), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-9)
    # sums over devices round in another order
    drawn = [model.sample(7, length=3, seed=0) for model in (one, two)]
    np.testing.assert_allclose(*drawn, rtol=1e-4, atol=1e-4)


def test_the_likeliest_of_several_starts_is_kept():
    source = build("categorical")
    x = source.sample(30, length=40, seed=0)

    def fit(n_init, seed=0):
        model = genzoo.HiddenMarkovModel(
            (1,), num_states=3, emission="categorical", levels=5, n_init=n_init, seed=seed
        )
        history = model.fit(x, epochs=15, verbose=0)
        assert -history.history["loss"][-1] == pytest.approx(model.lower_bound_, rel=1e-6)
        return model

    many = fit(4)
    assert many.lower_bound_ > fit(1).lower_bound_
    assert many.score(x) >= many.lower_bound_ - 1e-4 * abs(many.lower_bound_)
    np.testing.assert_array_equal(fit(4).transmat_, many.transmat_)


@pytest.mark.parametrize("kind", TYPES)
def test_degenerate_data_give_sound_results_or_a_remedy(kind):
    def fit(x, lengths=None, **arguments):
        model = genzoo.HiddenMarkovModel(
            (2,), num_states=3, covariance_type=kind, seed=0, **arguments
        )
        model.fit(np.asarray(x, "float32"), lengths, epochs=10, verbose=0)
        for value in model.parameters().values():
            assert np.isfinite(value).all()
        np.testing.assert_allclose(model.transmat_.sum(axis=1), 1, atol=1e-5)
        assert np.isfinite(model.log_prob(np.asarray(x, "float32"), lengths)).all()
        return model

    random = np.random.default_rng(0)
    normal = random.normal(size=(60, 2))
    fit(np.stack([normal[:, 0], np.full(60, 3.0)], axis=1))  # a constant column
    fit(np.repeat(normal[:3], 20, axis=0))  # duplicated rows
    fit(normal, np.ones(60, int))  # one-step sequences
    # a state never visited
    start = {"startprob": [1.0, 0, 0], "transmat": [[0.5, 0.5, 0], [0.5, 0.5, 0], [0, 0.5, 0.5]]}
    model = fit(normal, parameters_init=start)
    np.testing.assert_array_equal(model.transmat_[2], [0, 0.5, 0.5])
    with pytest.raises(genzoo.GenzooError, match="fewer states"):
        fit(normal[:2])
    with pytest.raises(genzoo.GenzooError, match="reg_covar"):
        fit(np.ones((10, 2)), reg_covar=0.0)


def test_discrete_data_that_are_degenerate():
    zeros = np.zeros((5, 6, 2), int)
    model = genzoo.HiddenMarkovModel((2,), num_states=2, emission="poisson", seed=0)
    model.fit(zeros, epochs=5, verbose=0)
    assert np.isfinite(model.rates_).all()
    model = genzoo.HiddenMarkovModel((2,), num_states=2, emission="multinomial", seed=0)
    model.fit(zeros, epochs=3, verbose=0)
    assert np.isfinite(model.emissionprob_).all()
    symbols = genzoo.HiddenMarkovModel((), num_states=2, emission="categorical", levels=3, seed=0)
    symbols.fit(np.zeros((5, 6), int), epochs=5, verbose=0)
    np.testing.assert_allclose(symbols.emissionprob_[:, 0], 1, atol=1e-5)
    # impossible, not NaN
    assert symbols.log_prob([[0, 2, 1]])[0] == -np.inf
    with pytest.raises(genzoo.GenzooError, match="2 at step 1"):
        symbols.predict_proba([[0, 2, 1]])
    with pytest.raises(genzoo.GenzooError, match="possible under the model"):
        symbols.fit([[0, 2, 1]], epochs=1, verbose=0)


def test_likelihood_is_declared():
    x = np.random.default_rng(0).integers(0, 5, (20, 6))
    symbols = genzoo.HiddenMarkovModel((), num_states=2, emission="categorical", levels=5, seed=0)
    symbols.fit(x, epochs=3, verbose=0)
    assert symbols.likelihood == genzoo.Likelihood("exact", "mass")
    np.testing.assert_allclose(
        symbols.bits_per_dim(x), -symbols.log_prob(x) / (6 * np.log(2)), rtol=1e-6
    )
    assert build().likelihood == genzoo.Likelihood("exact", "density")
    with pytest.raises(genzoo.NoDensityError, match="score"):
        build().bits_per_dim(np.zeros((1, 3, D)))


def test_the_mixture_of_one_state_is_the_mixture_model():
    random = np.random.default_rng(0)
    x = np.concatenate([random.normal(-2, 1, (200, D)), random.normal(3, 0.5, (200, D))])
    start = {
        "weights": np.array([0.4, 0.6]),
        "means": np.array([[-1.0, -1], [2, 2]]),
        "covariances": np.stack([np.eye(D)] * 2),
    }
    mixture = genzoo.GaussianMixture(
        (D,), num_components=2, tol=0, dtype="float64",
        **{f"{name}_init": value for name, value in start.items()},
    )  # fmt: skip
    model = genzoo.HiddenMarkovModel(
        (D,), num_states=1, emission="gaussian_mixture", num_components=2, tol=0, dtype="float64",
        parameters_init={name: value[None] for name, value in start.items()},
    )  # fmt: skip
    mixture.fit(x, epochs=6, verbose=0)
    model.fit(x, epochs=6, verbose=0)
    np.testing.assert_allclose(model.means_[0], mixture.means_, atol=1e-9)
    np.testing.assert_allclose(model.covariances_[0], mixture.covariances_, atol=1e-9)
    assert model.score(x) == pytest.approx(mixture.log_prob(x).sum())


BAD = {
    "num_states=0": {"num_states": 0},
    "emission='normal'": {"emission": "normal"},
    "topology='ring'": {"topology": "ring"},
    "levels": {"emission": "categorical"},
    "transmat_prior": {"transmat_prior": [1.0, 2.0, 3.0, 4.0, 5.0]},
    "sum to 1": {"num_states": 2, "parameters_init": {"startprob": [0.5, 0.2]}},
    "shape": {"num_states": 2, "parameters_init": {"means": [[0.5]]}},
    "Did you mean 'transmat'": {"fixed": ["transmatt"]},
    "booleans": {"num_states": 2, "fixed": {"transmat": [True]}},
    "no context": {"num_classes": 3},
}


@pytest.mark.parametrize("message", BAD)
def test_bad_arguments_are_refused(message):
    with pytest.raises(genzoo.GenzooError, match=message):
        genzoo.HiddenMarkovModel((2,), **BAD[message])


def test_bad_sequences_are_refused():
    model = build()
    x = model.sample(3, length=4, seed=0)
    calls = {
        "lengths of integers from 1 to 4": lambda: model.log_prob(x, [1, 2, 5]),
        "sum to the number": lambda: model.log_prob(x.reshape(-1, D), [1, 2]),
        "positive integers": lambda: model.log_prob(x.reshape(-1, D), [12, 0]),
        "no lengths with a list": lambda: model.log_prob(list(x), [4, 4, 4]),
        "mask of booleans": lambda: model.log_prob(x, mask=np.ones((3, 3), bool)),
        "infinity": lambda: model.log_prob(np.where(x > 0, np.inf, x)),
        "event_shape": lambda: model.log_prob(x[..., :1]),
        r"x\[1\]": lambda: model.log_prob([x[0], x[1, :, :1]]),
        "at least one row": lambda: model.log_prob([]),
        "length=0": lambda: model.sample(2, length=0),
        "seen no data": lambda: model.sample(2),
        "steps=0": lambda: model.forecast(x, 0),
        "whole numbers": lambda: build("poisson").log_prob(x + 0.5),
        "at least 0": lambda: genzoo.HiddenMarkovModel((2,), emission="poisson").fit(
            np.full((3, 4, 2), -1)
        ),
        "missing as a whole": lambda: build("multinomial").log_prob([[[1.0, np.nan, 2, 3]]]),
    }
    for message, call in calls.items():
        with pytest.raises(genzoo.GenzooError, match=message):
            call()
    with pytest.raises(genzoo.NotFittedError, match="covariances"):
        genzoo.HiddenMarkovModel((1,), num_states=1).set_parameters(
            startprob=[1], transmat=[[1]], means=[[0]]
        )
    with pytest.raises(AttributeError, match="rates_"):
        model.rates_  # noqa: B018
