"""What every registered model must keep."""

import gc
import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

import genzoo
from genzoo.core.registry import constructor_arguments, model_class, traits_of
from tests.tiny import EXCEPTIONS, TINY, tiny

TRAITS = {name: traits_of(name) for name in genzoo.models()}
# those that need a context have their contract in test_gans.py and test_translation.py
MODELS = [name for name, traits in TRAITS.items() if traits.context != "must"]
SCORED = [name for name in MODELS if TRAITS[name].has_density]
UNSCORED = [name for name in MODELS if name not in SCORED]
CONDITIONAL = [name for name in SCORED if TRAITS[name].context == "may"]
TABULAR = [name for name in MODELS if TRAITS[name].examples != ("image",)]


def rate(model, x, **arguments):
    """Return a number for each row: log_prob, or what a discriminator says."""
    rated = model.log_prob if model.traits.has_density else model.discriminate
    return rated(x, **arguments)


def table(n=400, seed=0):
    random = np.random.default_rng(seed)
    center = random.choice([-2.0, 2.0], (n, 1))
    return (center + random.normal(size=(n, 5)) * [1, 2, 0.5, 1, 3]).astype("float32")


@pytest.fixture(scope="module")
def fitted(digits):
    """Return each model fitted once to digits, with its history."""
    made = {}

    def get(name):
        if name not in made:
            made.clear()
            gc.collect()
            model = tiny(name)
            made[name] = model, model.fit(digits.x_train, epochs=5, batch_size=128, verbose=0)
        return made[name]

    return get


def test_every_model_is_in_the_table():
    assert set(TINY) == set(genzoo.models())


@pytest.mark.parametrize("name", MODELS)
def test_fit_lowers_the_loss(name, fitted):
    _, history = fitted(name)
    for values in history.history.values():
        assert np.isfinite(values).all()
    if TRAITS[name].training != "adversarial":  # two losses pull against each other
        assert history.history["loss"][-1] < history.history["loss"][0]


@pytest.mark.parametrize("name", MODELS)
def test_samples_are_like_the_data(name, fitted):
    model, _ = fitted(name)
    samples = model.sample(70, seed=0)
    assert samples.shape == (70, 8, 8, 1)
    assert samples.dtype == np.uint8
    assert samples.max() <= 16
    assert len(np.unique(samples)) > 2


@pytest.mark.parametrize("name", MODELS)
def test_the_same_seed_gives_the_same_samples(name, fitted):
    model, _ = fitted(name)
    first = model.sample(1500, seed=3)
    assert (first == model.sample(1500, seed=3)).all()
    assert (first != model.sample(1500, seed=4)).any()
    # rows past the first chunk are not the first chunk again
    assert (first[:400] != first[1024:1424]).any()
    assert (model.sample(20) != model.sample(20)).any()


@pytest.mark.parametrize("name", MODELS)
def test_temperature_zero_takes_the_noise_away(name, fitted):
    model, _ = fitted(name)
    cold, warm = (model.sample(200, temperature=t, seed=0).astype(float) for t in (0.0, 1.0))
    assert cold.std(axis=0).mean() < warm.std(axis=0).mean()


@pytest.mark.parametrize("name", SCORED)
def test_log_prob_does_not_depend_on_the_batch(name, fitted, digits):
    model, _ = fitted(name)
    whole = model.log_prob(digits.x_test)
    assert whole.shape == (360,)
    assert whole.dtype == np.float32
    assert np.isfinite(whole).all()
    np.testing.assert_allclose(model.log_prob(digits.x_test, batch_size=77), whole, rtol=1e-5)
    np.testing.assert_allclose(model.score_samples(digits.x_test), whole)
    assert model.score(digits.x_test) == pytest.approx(whole.mean(dtype=np.float64))


@pytest.mark.parametrize("name", UNSCORED)
def test_models_without_a_likelihood_say_so(name, fitted, digits):
    model, _ = fitted(name)
    assert model.likelihood.kind == "none"
    for method in (model.log_prob, model.score, model.score_samples, model.bits_per_dim):
        with pytest.raises(genzoo.NoDensityError, match="parzen_log_prob"):
            method(digits.x_test)
    whole = model.discriminate(digits.x_test)
    assert whole.shape == (360,)
    np.testing.assert_allclose(
        model.discriminate(digits.x_test, batch_size=77), whole, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("name", SCORED)
def test_likelihood_is_declared(name, fitted, digits):
    model, _ = fitted(name)
    assert model.likelihood == genzoo.Likelihood("lower_bound", "mass")
    bits = model.bits_per_dim(digits.x_test)
    np.testing.assert_allclose(bits, -model.log_prob(digits.x_test) / (64 * np.log(2)), rtol=1e-6)
    assert bits.mean() < np.log2(17), "worse than chance"


@pytest.mark.parametrize("name", SCORED)
def test_more_samples_tighten_the_bound(name, fitted, digits):
    model, _ = fitted(name)
    one, many = (model.score(digits.x_test, num_samples=k) for k in (1, 20))
    assert many > one


@pytest.mark.parametrize("name", MODELS)
def test_saved_model_is_the_same_bit_for_bit(name, fitted, digits, tmp_path):
    model, _ = fitted(name)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded) is type(model)
    assert loaded.likelihood == model.likelihood
    assert (rate(loaded, digits.x_test) == rate(model, digits.x_test)).all()
    assert (loaded.sample(10, seed=0) == model.sample(10, seed=0)).all()
    # and goes on training
    again = loaded.fit(digits.x_train, epochs=1, verbose=0).history
    if TRAITS[name].training != "adversarial":
        assert again["loss"][0] < 1.01 * fitted(name)[1].history["loss"][0]


@pytest.mark.parametrize("name", MODELS)
def test_weights_alone_restore_a_fitted_model(name, fitted, digits, tmp_path):
    model, _ = fitted(name)
    model.save_weights(tmp_path / "model.weights.h5")
    fresh = tiny(name)
    fresh.load_weights(tmp_path / "model.weights.h5")
    assert (rate(fresh, digits.x_test) == rate(model, digits.x_test)).all()


@pytest.mark.parametrize("name", MODELS)
def test_constructor_arguments_are_the_config(name, fitted):
    model, _ = fitted(name)
    config = model.get_config()
    assert set(config) == set(constructor_arguments(model_class(name)))
    for argument, value in TINY[name].items():
        assert config[argument] == value
    clone = type(model).from_config(config)
    assert clone.get_config() == config


@pytest.mark.parametrize("name", MODELS)
def test_exported_model_gives_the_same_numbers(name, fitted, digits, tmp_path):
    model, _ = fitted(name)
    model.export(tmp_path / "exported")
    loaded = tf.saved_model.load(tmp_path / "exported")
    signature = "log_prob" if TRAITS[name].has_density else "discriminate"
    (rated,) = loaded.signatures[signature](x=tf.constant(digits.x_test)).values()
    np.testing.assert_allclose(rated, rate(model, digits.x_test), rtol=1e-5, atol=1e-6)
    drawn = loaded.signatures["sample"](n=tf.constant(1100), seed=tf.constant(5, tf.int64))
    (samples,) = drawn.values()
    assert (samples.numpy() == model.sample(1100, seed=5)).all()
    with pytest.raises(genzoo.GenzooError, match="overwrite"):
        model.export(tmp_path / "exported")


@pytest.mark.parametrize("name", MODELS)
def test_the_same_seed_gives_the_same_training(name, digits):
    x = digits.x_train[:300]
    one, two = (tiny(name).fit(x, epochs=3, verbose=0).history for _ in range(2))
    assert one == two


@pytest.mark.parametrize("name", [n for n in MODELS if TRAITS[n].training != "em"])
def test_every_weight_learns(name, digits):
    model = tiny(name)
    before = [np.array(v) for v in model.trainable_variables]
    model.fit(digits.x_train[:512], epochs=3, verbose=0)
    for old, variable in zip(before, model.trainable_variables, strict=True):
        assert (old != np.array(variable)).any(), variable.path


@pytest.mark.parametrize("name", MODELS)
def test_loading_and_saving_add_no_names_of_variables(name, fitted, tmp_path):
    """TensorFlow keeps a kernel for good for each name that a variable has had."""
    model, _ = fitted(name)
    model.save(tmp_path / "model.keras")

    def names():
        made = []

        def note(create, **arguments):
            variable = create(**arguments)
            made.append(variable.name)
            return variable

        with tf.variable_creator_scope(note):
            keras.models.load_model(tmp_path / "model.keras").save(tmp_path / "again.keras")
        return made

    names()
    assert names() == names()


# one of each kind of step; the others, which share their code, are slow tests
REPLICATED = ("gan", "gaussian_mixture", "glow", "hidden_markov_model", "realnvp", "vae")


@pytest.mark.parametrize(
    "name",
    [n if n in REPLICATED else pytest.param(n, marks=pytest.mark.slow) for n in MODELS],
)
def test_two_replicas_train_like_one(name, digits, two_devices):
    """More than 100 steps of SGD on the same global batches end in the same weights.

    The last batch of an epoch has 13 rows, which the replicas share unequally.
    """
    # each replica deals its own part of a batch out
    x = digits.x_train[: 1280 if "batches" in EXCEPTIONS.get(name, ()) else 1293]
    by_em = TRAITS[name].training == "em"

    def train(strategy):
        with strategy.scope():
            model = tiny(name, **({"tol": 0.0} if by_em else {}))
            if not by_em:
                model.compile(keras.optimizers.SGD(1e-4))
        history = model.fit(x, epochs=11, batch_size=128, verbose=0, validation_data=digits.x_test)
        return model, history.history

    one, one_history = train(tf.distribute.get_strategy())
    two, two_history = train(two_devices)
    for a, b in zip(one.weights, two.weights, strict=True):
        np.testing.assert_allclose(np.array(a), np.array(b), atol=1e-4, err_msg=a.path)
    for key, values in one_history.items():
        # a score next to the boundary may fall on either side
        atol = 0.01 if "accuracy" in key else 1e-6
        of_sides = TRAITS[name].training == "adversarial"
        rtol = 1e-4 if key.startswith("val_") or of_sides else 1e-5
        np.testing.assert_allclose(values, two_history[key], rtol=rtol, atol=atol, err_msg=key)
    np.testing.assert_allclose(
        rate(one, digits.x_test), rate(two, digits.x_test, batch_size=50), rtol=1e-4, atol=1e-4
    )
    assert (one.sample(2500, seed=1) == two.sample(2500, seed=1)).mean() > 0.999


@pytest.mark.parametrize("name", SCORED)
def test_real_numbers_give_a_density(name):
    x = table()
    model = tiny(name, (5,))
    model.fit(x, epochs=3, verbose=0)
    assert model.likelihood == genzoo.Likelihood(TRAITS[name].likelihood, "density")
    samples = model.sample(50, seed=0)
    assert samples.shape == (50, 5)
    assert samples.dtype == np.float32
    with pytest.raises(genzoo.NoDensityError, match=r"score\(x\)"):
        model.bits_per_dim(x)
    # twice the unit of measurement, half the density: preprocessing is inside the likelihood
    scaled = tiny(name, (5,))
    scaled.fit(2 * x, epochs=3, verbose=0)
    expected = model.score(x) - 5 * np.log(2)
    assert scaled.score(2 * x) == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("name", TABULAR)
def test_float64_model(name):
    model = tiny(name, (5,), dtype="float64")
    model.fit(table(), epochs=2, verbose=0)
    assert rate(model, table().astype("float64")).dtype == np.float64
    assert model.sample(3, seed=0).dtype == np.float64


@pytest.mark.parametrize("name", [n for n in MODELS if "batches" not in EXCEPTIONS.get(n, ())])
def test_data_sets_train_like_arrays(name, digits):
    x = digits.x_train[:512]
    batches = tf.data.Dataset.from_tensor_slices(x).batch(128)
    a, b = tiny(name), tiny(name)
    from_array = a.fit(x, epochs=2, batch_size=128, shuffle=False, verbose=0).history
    from_stream = b.fit(batches, epochs=2, verbose=0).history
    for key, values in from_array.items():
        np.testing.assert_allclose(values, from_stream[key], rtol=1e-6)
    unbatched = tf.data.Dataset.from_tensor_slices(x)
    c = tiny(name)
    again = c.fit(unbatched, epochs=2, batch_size=128, verbose=0).history
    assert again == from_stream


@pytest.mark.parametrize("name", CONDITIONAL)
def test_labels_condition_the_model(name, digits, tmp_path):
    model = tiny(name, num_classes=10)
    model.fit(
        digits.x_train, digits.y_train, epochs=12, verbose=0,
        validation_data=(digits.x_test, digits.y_test),
    )  # fmt: skip
    right = model.log_prob(digits.x_test, context=digits.y_test)
    wrong = model.log_prob(digits.x_test, context=(digits.y_test + 1) % 10)
    assert right.mean() > wrong.mean()
    zeros = model.sample(50, context=0, seed=0)
    assert (zeros == model.sample(50, context=np.zeros(50, int), seed=0)).all()
    assert (zeros != model.sample(50, context=1, seed=0)).any()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert (loaded.log_prob(digits.x_test, context=digits.y_test) == right).all()
    model.export(tmp_path / "exported")
    signature = tf.saved_model.load(tmp_path / "exported").signatures["log_prob"]
    labels = tf.constant(digits.y_test, tf.int32)
    (scored,) = signature(x=tf.constant(digits.x_test), context=labels).values()
    np.testing.assert_allclose(scored, right, rtol=1e-6)
    for bad, message in [
        (None, "context=None"),
        (digits.y_test[:5], "row for each of 360"),
        (digits.y_test + 1, "0 to 9"),
        (digits.y_test + 0.5, "integer labels"),
    ]:
        with pytest.raises(genzoo.GenzooError, match=message):
            model.log_prob(digits.x_test, context=bad)


@pytest.mark.parametrize("name", CONDITIONAL)
def test_vectors_condition_the_model(name):
    random = np.random.default_rng(0)
    context = random.normal(size=(600, 2))
    x = context @ random.normal(size=(2, 4)) + 0.1 * random.normal(size=(600, 4))
    model = tiny(name, (4,), context_dim=2)
    model.fit(x, context, epochs=10, verbose=0)
    shuffled = model.score(x, context=context[::-1])
    assert model.score(x, context=context) > shuffled
    with pytest.raises(genzoo.GenzooError, match=r"\(n, 2\)"):
        model.score(x, context=context[:, :1])
    pairs = tf.data.Dataset.from_tensor_slices((x, context)).batch(100)
    model.fit(pairs, epochs=1, verbose=0)
    with pytest.raises(genzoo.GenzooError, match="context"):
        model.fit(pairs.map(lambda x, context: x), epochs=1, verbose=0)


X = np.zeros((10, 8, 8, 1), "uint8")
BAD = {
    "one example": (X[0], r"x\[None\]"),
    "flattened": (X.reshape(10, 64), r"reshape\(-1, 8, 8, 1\)"),
    "other shape": (X[:, :7], r"event_shape=\(7, 8, 1\)"),
    "empty": (X[:0], "at least one (row|step)"),
    "text": (np.full(X.shape, "a"), "numbers"),
    "ragged": ([[1, 2], [3]], "different lengths"),
    "complex": (X.astype("complex64"), "numbers"),
    "NaN": (np.where(np.arange(10)[:, None, None, None] == 4, np.nan, X), "NaN in row 4"),
    "infinite": (np.full(X.shape, np.inf), "infinity in row 0"),
    "too large": (np.full(X.shape, 1e300), "as fitted|1e[+]150"),
    "none": (None, "numbers"),
    "nothing": ([], "at least one row"),
}


@pytest.mark.parametrize("name", MODELS)
def test_bad_data_are_refused_before_any_weight_changes(name, fitted):
    model, _ = fitted(name)
    before = [np.array(v) for v in model.weights]
    fresh = tiny(name)

    def rated(x):
        return rate(model, x)

    for kind, (x, message) in BAD.items():
        missing = kind == "NaN" and TRAITS[name].missing_values
        if missing or kind in EXCEPTIONS.get(name, ()):
            continue
        for call in (model.fit, rated, fresh.fit, fresh.adapt):
            with pytest.raises(genzoo.GenzooError, match=message):
                call(x)
                pytest.fail(f"{kind} data passed {call}")
    for old, variable in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(old, np.array(variable))
    with pytest.raises(genzoo.NotFittedError):
        fresh.sample(1)


@pytest.mark.parametrize("name", MODELS)
def test_bad_arguments_are_refused(name, fitted, digits):
    model, _ = fitted(name)
    x = digits.x_test[:20]
    calls = {
        r"event_shape=\(0,\)": lambda: genzoo.build(name, event_shape=(0,)),
        "event_shape='ab'": lambda: genzoo.build(name, event_shape="ab"),
        "Did you mean 'event_shape'": lambda: genzoo.build(name, event_shap=(2,)),
        "n=0": lambda: model.sample(0),
        "n=2.5": lambda: model.sample(2.5),
        "temperature=-1": lambda: model.sample(2, temperature=-1),
        "seed=-1": lambda: model.sample(2, seed=-1),
        "batch_size=0": lambda: rate(model, x, batch_size=0),
        "epochs=-1": lambda: model.fit(x, epochs=-1),
        "validation_split=2": lambda: model.fit(x, validation_split=2),
        "no labels y": lambda: model.fit(x, y=digits.y_test[:20]),
        "Did you mean 'callbacks'": lambda: model.fit(x, calbacks=[]),
        "integers, as fitted": lambda: rate(model, x.astype("float32")),
        r"levels - 1 = 16": lambda: rate(model, x + np.uint8(100)),
        "unconditional": lambda: rate(model, x, context=digits.y_test[:20]),
        "levels=17": lambda: tiny(name, levels=17).fit(x.astype("float32")),
        "levels - 1 = 3": lambda: tiny(name, levels=4).fit(x),
        "validation_split='a'": lambda: model.fit(x, validation_split="a"),
        "steps_per_epoch=0": lambda: model.fit(x, steps_per_epoch=0),
        "dtype='int32'": lambda: tiny(name, dtype="int32"),
        "dtype='bfloat16'": lambda: tiny(name, dtype="bfloat16"),
        "seed='a'": lambda: tiny(name, seed="a"),
    }
    if TRAITS[name].has_density:
        calls["num_samples=0"] = lambda: model.log_prob(x, num_samples=0)
    for message, call in calls.items():
        with pytest.raises(genzoo.GenzooError, match=message):
            call()


@pytest.mark.parametrize("name", MODELS)
def test_bad_data_sets_are_refused(name, digits):
    x = tf.data.Dataset.from_tensor_slices(digits.x_train[:64])
    labelled = tf.data.Dataset.from_tensor_slices((digits.x_train[:64], digits.y_train[:64]))
    fresh = tiny(name)
    calls = {
        "labels": lambda: fresh.fit(labelled.batch(8)),
        "endless": lambda: fresh.fit(x.batch(8).repeat()),
        r"\(8, 8, 1\)": lambda: fresh.fit(x.map(lambda image: image[:4]).batch(8)),
        "at least one row": lambda: fresh.fit(x.take(0).batch(8)),
        "validation_data": lambda: fresh.fit(x.batch(8), validation_split=0.5),
        "NaN alone in column" if fresh.traits.missing_values else "NaN in row": lambda: fresh.fit(
            x.map(lambda image: tf.cast(image, tf.float32) + np.nan).batch(8)
        ),
    }
    for message, call in calls.items():
        if message in EXCEPTIONS.get(name, ()):
            continue
        with pytest.raises(genzoo.GenzooError, match=message):
            call()


@pytest.mark.parametrize("name", MODELS)
def test_endless_data_sets_train_by_steps(name, digits):
    x = tf.data.Dataset.from_tensor_slices(digits.x_train[:256]).batch(64).repeat()
    history = tiny(name).fit(
        x, epochs=2, steps_per_epoch=4, validation_data=x, validation_steps=2, verbose=0
    )
    assert any(key.startswith("val_") for key in history.history)
    assert all(np.isfinite(values).all() for values in history.history.values())


@pytest.mark.parametrize("name", MODELS)
def test_a_model_that_saw_no_data_says_so(name, digits, tmp_path):
    model = tiny(name)
    for call in (
        lambda: model.sample(3),
        lambda: rate(model, digits.x_test),
        lambda: model.export(tmp_path / "exported"),
    ):
        with pytest.raises(genzoo.NotFittedError, match=r"fit\(x\) or adapt\(x\)"):
            call()
    if TRAITS[name].has_density:
        with pytest.raises(genzoo.NotFittedError):
            model.bits_per_dim(digits.x_test)
    model.adapt(digits.x_train)
    assert np.isfinite(rate(model, digits.x_test)).all()


@pytest.mark.parametrize("name", MODELS)
def test_a_loss_in_compile_is_refused(name):
    model = tiny(name)
    for own in ({"loss": "mse"}, {"metrics": ["mae"]}, {"loss_weights": [1.0]}):
        with pytest.raises(genzoo.GenzooError, match=f"without {next(iter(own))}"):
            model.compile(optimizer="sgd", **own)
    assert not model.compiled


@pytest.mark.parametrize("name", genzoo.models())
def test_public_methods_are_documented(name):
    cls = model_class(name)
    assert "Reference:" in cls.__doc__
    assert "Example:" in cls.__doc__
    for attribute, value in inspect.getmembers(cls, inspect.isfunction):
        if (
            not attribute.startswith("_")
            and attribute != "build"
            and value.__module__.startswith("genzoo")
        ):
            assert inspect.getdoc(value), f"{name}.{attribute}"


@pytest.mark.parametrize("name", genzoo.models())
def test_an_array_is_refused_where_it_does_not_belong(name):
    for argument in constructor_arguments(model_class(name)):
        # its comparisons have no one truth
        config = {"event_shape": (8, 8, 1), argument: np.zeros(3)}
        with pytest.raises(genzoo.GenzooError, match="Received"):
            genzoo.build(name, **config)


def test_a_failed_start_leaves_the_model_unfitted():
    model = genzoo.GaussianMixture((2,), num_components=5)
    with pytest.raises(genzoo.GenzooError, match="fewer components"):
        model.fit(np.zeros((3, 2)))
    with pytest.raises(genzoo.NotFittedError):
        model.sample(1)


@pytest.mark.parametrize("name", MODELS)
def test_bad_validation_data_leave_the_model_unfitted(name, digits):
    model = tiny(name)
    with pytest.raises(genzoo.GenzooError, match="integers, as fitted"):
        model.fit(digits.x_train, validation_data=digits.x_test.astype("float32"))
    with pytest.raises(genzoo.NotFittedError):
        model.sample(1)


@pytest.mark.parametrize("name", SCORED)
def test_evaluate_is_the_mean_of_the_objective(name, fitted, digits):
    model, history = fitted(name)
    loss = model.evaluate(digits.x_test, batch_size=120, verbose=0, return_dict=True)["loss"]
    assert loss == pytest.approx(history.history["loss"][-1], rel=0.2)
