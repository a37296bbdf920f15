"""RealNVP as a distribution."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

import genzoo
from genzoo.core.engine.adam import Adam


@pytest.fixture(scope="module")
def moons():
    model = genzoo.RealNVP((2,), num_couplings=6, hidden_units=(64, 64), seed=0)
    x = genzoo.data.toy("moons", 8000, seed=0)
    model.fit(x, epochs=20, batch_size=200, verbose=0)
    return model


def grid(size=400, low=-3.0, high=4.0):
    line = np.linspace(low, high, size, dtype="float32")
    points = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)
    return points, ((high - low) / (size - 1)) ** 2


def test_density_integrates_to_one(moons):
    points, area = grid()
    assert np.exp(moons.log_prob(points).astype("float64")).sum() * area == pytest.approx(
        1, abs=1e-2
    )


def test_samples_agree_with_the_density(moons):
    """Samples fall into the cells of a grid as often as the density says."""
    middles = np.linspace(-3, 4, 561, dtype="float32")[1::2]
    points = np.stack(np.meshgrid(middles, middles), -1).reshape(-1, 2)
    mass = np.exp(moons.log_prob(points).astype("float64")).reshape(280, 280) * (7 / 280) ** 2
    cells = mass.reshape(14, 20, 14, 20).sum(axis=(1, 3))
    samples = moons.sample(20_000, seed=0)
    edges = np.linspace(-3, 4, 15)
    counts, _, _ = np.histogram2d(samples[:, 1], samples[:, 0], bins=[edges, edges])
    kept = cells > 5e-4
    expected = cells[kept] / cells[kept].sum() * counts[kept].sum()
    _, p_value = stats.chisquare(counts[kept], expected)
    assert p_value > 1e-3


def test_density_is_learned(moons):
    test = genzoo.data.toy("moons", 8000, seed=1)
    # 1.01 nats is what a fine kernel density estimate of these moons reaches
    assert -moons.score(test) < 1.3


def test_distribution_composes_in_a_graph(moons):
    x = genzoo.data.toy("moons", 10, seed=2)

    @tf.function
    def outside(x):
        return moons.distribution().log_prob(x)

    np.testing.assert_allclose(outside(x), moons.log_prob(x), rtol=1e-5)
    assert moons.distribution().sample(7, seed=0).shape == (7, 2)


def test_a_model_inverts_its_training_data(moons):
    x = tf.constant(genzoo.data.toy("moons", 1000, seed=0))
    z = moons.bijector().inverse(x)
    back = moons.bijector().forward(tf.identity(z))
    np.testing.assert_allclose(back, x, rtol=1e-4, atol=1e-4)


def test_digits_are_learned_better_than_by_a_mixture(digits):
    """50 diagonal components of scikit-learn's reach 2.58 bits/dim on this split."""
    model = genzoo.RealNVP((8, 8, 1), seed=0)
    model.fit(digits.x_train, epochs=25, verbose=0)
    assert model.bits_per_dim(digits.x_test).mean() < 2.4


@pytest.mark.parametrize("preprocessing", ["standardize", "logit", None])
def test_preprocessing(preprocessing, digits):
    model = genzoo.RealNVP(
        (8, 8, 1), num_couplings=2, hidden_units=(32,), preprocessing=preprocessing, seed=0
    )
    history = model.fit(digits.x_train, epochs=3, verbose=0).history["loss"]
    assert np.isfinite(history).all()
    assert history[-1] < history[0]
    assert model.sample(5, seed=0).dtype == np.uint8


def test_unknown_activation_is_refused():
    with pytest.raises(genzoo.GenzooError, match="activation='rellu'"):
        genzoo.RealNVP((4,), activation="rellu")


def test_extreme_inputs_stay_finite():
    random = np.random.default_rng(0)
    x = random.normal(size=(500, 4)).astype("float32")
    x[:, 1] = 7.0
    x[:, 2] *= 1e6
    x[0] = [50, 7, 5e7, -50]
    model = genzoo.RealNVP((4,), num_couplings=4, hidden_units=(16,), seed=0)
    history = model.fit(x, epochs=5, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    assert np.isfinite(model.log_prob(x)).all()


def test_adam_is_adam():
    import keras

    def run(optimizer):
        random = np.random.default_rng(0)
        weights = [keras.Variable(np.ones(s, "float32")) for s in [(3, 2), (4,)]]
        optimizer.build(weights)
        for _ in range(50):
            optimizer.apply([tf.constant(random.normal(size=w.shape), "float32") for w in weights])
        return np.concatenate([w.numpy().ravel() for w in weights])

    for arguments in (
        {"learning_rate": 0.01},
        {"learning_rate": keras.optimizers.schedules.CosineDecay(0.1, 50), "beta_1": 0.5},
        {"weight_decay": 0.1, "global_clipnorm": 1.0},
        {"amsgrad": True},
    ):
        ours, theirs = run(Adam(**arguments)), run(keras.optimizers.Adam(**arguments))
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, err_msg=str(arguments))


def test_noise_of_a_row_is_its_own():
    from genzoo.core.maths.random import make_seed, normal_rows, uniform_rows

    seed = make_seed(7)
    for draw in (uniform_rows, normal_rows):
        for dtype in (tf.float32, tf.float64):
            whole = draw(50, (3, 2), seed, dtype=dtype).numpy()
            parts = [draw(n, (3, 2), seed, first, dtype) for first, n in [(0, 7), (7, 40), (47, 3)]]
            np.testing.assert_array_equal(whole, np.concatenate(parts))
            assert len(np.unique(whole)) == whole.size
    flat = normal_rows(20_000, (5,), seed).numpy().ravel()
    assert stats.kstest(flat, "norm").pvalue > 1e-3
    assert stats.kstest(uniform_rows(20_000, (5,), seed).numpy().ravel(), "uniform").pvalue > 1e-3
    lag = np.corrcoef(flat[:-5], flat[5:])[0, 1]
    assert abs(lag) < 0.02


def test_a_deep_glow_on_colour_images_starts_soundly():
    """The first steps of Adam once threw 24 stacked couplings off to NaN."""
    random = np.random.default_rng(0)
    coarse = random.normal(size=(256, 4, 4, 3)).repeat(4, axis=1).repeat(4, axis=2)
    x = np.clip(128 + 50 * coarse + 10 * random.normal(size=coarse.shape), 0, 255).astype("uint8")
    model = genzoo.Glow((16, 16, 3), num_levels=3, num_steps=8, filters=64, seed=0)
    history = model.fit(x, epochs=4, batch_size=64, verbose=0).history["loss"]
    assert np.isfinite(history).all()
    assert sorted(history, reverse=True) == history


@pytest.mark.parametrize(
    ("name", "event_shape", "arguments"),
    [
        ("glow", (8, 8, 2), {"num_steps": 2, "filters": 4, "num_classes": 3}),
        ("realnvp", (8, 8, 1), {"num_levels": 2, "filters": 4, "num_blocks": 1}),
        ("neural_spline", (5,), {"num_transforms": 2, "hidden_units": (8,), "context_dim": 2}),
    ],
)
def test_gradient_checkpointing_gives_the_same_training(name, event_shape, arguments):
    random = np.random.default_rng(0)
    x = random.normal(size=(64, *event_shape))
    context = {"num_classes": random.integers(0, 3, 64), "context_dim": random.normal(size=(64, 2))}
    context = next((context[key] for key in context if key in arguments), None)
    weights = []
    for checkpointing in (False, True):
        model = genzoo.build(
            name, event_shape=event_shape, gradient_checkpointing=checkpointing, seed=0,
            dtype="float64", preprocessing="standardize", **arguments,
        )  # fmt: skip
        model.fit(x, context, epochs=2, batch_size=16, verbose=0)
        weights.append(model.get_weights())
    assert genzoo.build(name, **model.get_config()).gradient_checkpointing
    for kept, computed in zip(*weights, strict=True):
        np.testing.assert_allclose(computed, kept, rtol=1e-7, atol=1e-9)
