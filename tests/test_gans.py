"""GANs: losses, penalties and remedies against closed forms; use; watching."""

import os
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from scipy import special, stats

import genzoo
from genzoo.core.compat.keras import layers_within
from genzoo.core.errors import CollapseWarning
from genzoo.core.maths.random import RowNoise, make_seed
from genzoo.gans.adversarial_losses import LOSSES
from genzoo.gans.differentiable_augmentation import color, cutout, translation
from genzoo.gans.penalties import PENALTIES
from genzoo.gans.unrolling import unroll
from genzoo.nets import Conv, Dense, MinibatchDiscrimination, TransposedConv
from tests.tiny import tiny

SCORES = np.array([-3.0, -0.5, 0.0, 0.7, 4.0])
NOISE = RowNoise(make_seed(3), 0)


@pytest.fixture(scope="module")
def labelled(digits):
    """Return a conditional GAN by name, fitted to digits once."""
    made = {}

    def get(name):
        if name not in made:
            model = tiny(name, num_classes=10)
            model.compile(genzoo.core.engine.adam.Adam(5e-3, beta_1=0.5))
            model.fit(digits.x_train, digits.y_train, epochs=5, verbose=0)
            made[name] = model
        return made[name]

    return get


# Losses


def log_sigmoid(x):
    return -np.logaddexp(0, -x)


EXPECTED = {
    "minimax": (-log_sigmoid(SCORES), -log_sigmoid(-SCORES), log_sigmoid(-SCORES)),
    "non_saturating": (-log_sigmoid(SCORES), -log_sigmoid(-SCORES), -log_sigmoid(SCORES)),
    "least_squares": ((SCORES - 1) ** 2 / 2, SCORES**2 / 2, (SCORES - 1) ** 2 / 2),
    "wasserstein": (-SCORES, SCORES, -SCORES),
    "hinge": (np.maximum(1 - SCORES, 0), np.maximum(1 + SCORES, 0), -SCORES),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_are_the_papers(loss):
    parts = LOSSES[loss]()
    made = parts.on_real(SCORES), parts.on_generated(SCORES), parts.generator(SCORES)
    for part, expected in zip(made, EXPECTED[loss], strict=True):
        np.testing.assert_allclose(part, expected, rtol=1e-6, atol=1e-9)


def test_label_smoothing_is_one_sided():
    smooth = LOSSES["non_saturating"](0.1)
    p = special.expit(SCORES)
    expected = -0.9 * np.log(p) - 0.1 * np.log(1 - p)
    np.testing.assert_allclose(smooth.on_real(SCORES), expected, rtol=1e-6)
    np.testing.assert_allclose(smooth.on_generated(SCORES), -np.log(1 - p), rtol=1e-6)
    assert float(LOSSES["least_squares"](0.2).on_real(0.8)) == pytest.approx(0, abs=1e-12)


# Penalties


@pytest.mark.parametrize("penalty", [name for name in PENALTIES if name])
def test_penalties_of_a_linear_critic(penalty):
    random = np.random.default_rng(0)
    slope = np.array([2.0, -1.0, 0.5], "float32")
    real, fake = (tf.constant(random.normal(size=(6, 3)), tf.float32) for _ in range(2))
    values = PENALTIES[penalty](lambda x: tf.linalg.matvec(x, slope), real, fake, NOISE)
    norm = np.linalg.norm(slope)
    expected = norm**2 / 2 if penalty == "r1" else (norm - 1) ** 2
    np.testing.assert_allclose(values, np.full(6, expected), rtol=1e-5)


def test_where_penalties_look():
    """A critic of squares has slope 2 |x|, which tells the points apart."""

    def critic(x):
        return tf.reduce_sum(tf.square(x), axis=1)

    real, fake = tf.fill([2000, 1], 3.0), tf.fill([2000, 1], -1.0)
    on_line = np.sqrt(PENALTIES["wgan_gp"](critic, real, fake, NOISE).numpy())
    # |2 x| - 1 for x even on (-1, 3)
    assert on_line.max() == pytest.approx(5, abs=0.05)
    assert on_line.mean() == pytest.approx(1.75, abs=0.1)
    np.testing.assert_allclose(PENALTIES["r1"](critic, real, fake, NOISE), 18.0, rtol=1e-5)
    spread = tf.constant(np.tile([[0.0], [2.0]], (1000, 1)), tf.float32)
    near = (np.sqrt(PENALTIES["dragan"](critic, spread, spread, NOISE).numpy()) + 1) / 2
    moved = near[1::2] - 2
    assert 0 <= moved.min() < 0.01
    assert 0.35 < moved.max() <= 0.5


# Remedies


@pytest.mark.parametrize(
    "layer",
    [
        lambda: Dense(7, 5, spectral_normalization=True, seed=0),
        lambda: Conv(3, 4, 3, spectral_normalization=True, seed=0),
    ],
)
def test_spectral_normalization_is_the_largest_singular_value(layer):
    layer = layer()
    kernel = np.array(layer.kernel)
    for _ in range(200):
        layer.spectral(tf.constant(kernel), training=True)
    made = layer.spectral(tf.constant(kernel)).numpy()
    largest = np.linalg.svd(kernel.reshape(-1, kernel.shape[-1]))[1][0]
    np.testing.assert_allclose(made, kernel / largest, rtol=1e-4)


def test_minibatch_discrimination_by_hand():
    layer = MinibatchDiscrimination(2, num_kernels=1, kernel_dim=2)
    layer.kernel.assign(np.eye(2))
    x = tf.constant([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    made = layer(x, training=True).numpy()
    e = np.exp
    expected = np.array([e(-1) + e(-2), e(-1) + e(-3), e(-2) + e(-3)]) / 2
    np.testing.assert_allclose(made[:, :2], x)
    np.testing.assert_allclose(made[:, 2], expected, rtol=1e-6)
    # outside training a row does not see its batch: the running mean stands in
    np.testing.assert_allclose(layer(x)[:, 2], np.full(3, 0.1 * np.mean(expected)), rtol=1e-5)


@pytest.mark.parametrize("steps", [1, 3])
def test_unrolled_steps_of_gradient_descent_by_hand(steps):
    d, rate = keras.Variable(2.0), 0.25
    optimizer = keras.optimizers.SGD(rate)
    optimizer.build([d])
    g = tf.constant(5.0)
    with tf.GradientTape() as tape:
        tape.watch(g)
        ((variable, value),) = unroll([d], optimizer, lambda: 0.5 * (d - g) ** 2, steps)
    assert variable is d
    assert float(d.numpy()) == 2.0
    left = (1 - rate) ** steps
    assert float(value) == pytest.approx(5 - 3 * left)
    assert float(tape.gradient(value, g)) == pytest.approx(1 - left)


def test_unrolled_steps_of_adam_are_its_next_steps():
    start = np.array([1.0, -2.0, 0.5], "float32")
    target = tf.constant([0.0, 1.0, 4.0])

    def loss(d):
        return tf.reduce_sum(tf.square(tf.convert_to_tensor(d) - target) * [1.0, 10.0, 0.1])

    d = keras.Variable(start)
    optimizer = keras.optimizers.Adam(0.1, beta_1=0.5)
    optimizer.build([d])

    def step():
        with tf.GradientTape() as tape:
            value = loss(d)
        optimizer.apply([tape.gradient(value, d.value)], [d])

    step()
    ((_, ahead),) = unroll([d], optimizer, lambda: loss(d), 4)
    for _ in range(4):
        step()
    np.testing.assert_allclose(ahead, d.numpy(), rtol=1e-5)


def test_augmentations_keep_what_they_should():
    random = np.random.default_rng(0)
    x = tf.constant(random.uniform(-1, 1, (64, 16, 16, 3)), tf.float32)
    moved = translation(x, NOISE).numpy()
    shifts = set()
    for before, after in zip(x.numpy(), moved, strict=True):
        found = [
            (i, j)
            for i in range(-2, 3)
            for j in range(-2, 3)
            if (
                after[max(-i, 0) : 16 - max(i, 0), max(-j, 0) : 16 - max(j, 0)]
                == before[max(i, 0) : 16 + min(i, 0), max(j, 0) : 16 + min(j, 0)]
            ).all()
        ]
        assert len(found) == 1
        shifts.add(found[0])
    assert len(shifts) > 10
    cut = cutout(x, NOISE).numpy()
    kept = (cut == x.numpy()).all(axis=3)
    assert ((cut == 0).all(axis=3) | kept).all()
    assert (~kept).sum(axis=(1, 2)).max() == 8 * 8
    assert len({tuple(np.argwhere(~k)[0]) for k in kept if not k.all()}) > 10
    bright = color(x, NOISE).numpy()
    assert np.abs(bright - x).mean() > 0.1
    # a change of brightness and contrast alone keeps the order of grey values
    gray = tf.repeat(x[..., :1], 3, axis=3)
    changed = color(gray, NOISE).numpy()
    for before, after in zip(gray.numpy(), changed, strict=True):
        assert (np.argsort(before[..., 0].ravel()) == np.argsort(after[..., 0].ravel())).all()
    for augment in (color, translation, cutout):
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = tf.reduce_sum(tf.square(augment(x, NOISE)))
        assert (tape.gradient(total, x).numpy() != 0).any()


REMEDIES = {
    "label_smoothing": {"label_smoothing": 0.1},
    "instance_noise": {"instance_noise": 0.2},
    "spectral_normalization": {"spectral_normalization": True},
    "minibatch_discrimination": {"minibatch_discrimination": True},
    "unrolled_steps": {"unrolled_steps": 1},
    "augmentation": {"augmentation": ("translation",)},
    "no penalty": {"penalty": None},
    "dragan": {"penalty": "dragan"},
    "wgan_gp": {"penalty": "wgan_gp"},
    "hinge": {"loss": "hinge"},
    "minimax": {"loss": "minimax"},
    "least_squares": {"loss": "least_squares"},
    "no average": {"ema_decay": 0.0},
}


@pytest.mark.parametrize("remedy", REMEDIES)
def test_each_remedy_trains_and_is_saved(remedy, digits, tmp_path):
    x = digits.x_train[:256]
    plain, model = tiny("gan"), tiny("gan", **REMEDIES[remedy])
    before = plain.fit(x, epochs=2, verbose=0).history
    history = model.fit(x, epochs=2, verbose=0).history
    if remedy != "no average":
        assert history["generator_loss"] != before["generator_loss"]
    assert all(np.isfinite(values).all() for values in history.values())
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.get_config() == model.get_config()
    assert (loaded.sample(9, seed=1) == model.sample(9, seed=1)).all()
    assert (loaded.discriminate(x) == model.discriminate(x)).all()


def test_all_remedies_on_two_replicas_are_those_on_one(digits, two_devices):
    """Batch statistics, minibatch discrimination, DRAGAN's spread and unrolled steps are global."""
    x = digits.x_train[:128]

    def train(strategy):
        with strategy.scope():
            model = tiny(
                "gan", minibatch_discrimination=True, penalty="dragan", unrolled_steps=1,
                generator_normalization="batch", instance_noise=0.1, spectral_normalization=True,
            )  # fmt: skip
            model.compile(keras.optimizers.SGD(0.01), steps_per_execution=1)
        history = model.fit(x, epochs=10, batch_size=64, verbose=0).history
        return [np.array(v) for v in model.weights], history

    one, one_history = train(tf.distribute.get_strategy())
    two, two_history = train(two_devices)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    for key, values in one_history.items():
        atol = 0.01 if "accuracy" in key else 1e-5
        np.testing.assert_allclose(values, two_history[key], rtol=1e-4, atol=atol)


@pytest.mark.parametrize("name", ["conditional_gan", "acgan"])
def test_labelled_gans_on_two_replicas_are_those_on_one(name, digits, two_devices):
    weights = []
    for strategy in (tf.distribute.get_strategy(), two_devices):
        with strategy.scope():
            model = tiny(name, num_classes=10)
            model.compile(keras.optimizers.SGD(0.01), steps_per_execution=1)
        model.fit(digits.x_train[:100], digits.y_train[:100], epochs=10, batch_size=48, verbose=0)
        weights.append([np.array(v) for v in model.weights])
    for a, b in zip(*weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["wgan_gp", "dragan"])
def test_penalised_gans_normalise_convolutions_alone(name):
    for shape in ((2,), (16, 16, 1)):
        model = genzoo.build(name, event_shape=shape, filters=4, seed=0)
        for network in (model.generator_network, model.discriminator_network):
            kinds = [type(layer).__name__ for layer in layers_within(network)]
            assert any("Normalization" in kind for kind in kinds) == (len(shape) == 3)


def test_bad_combinations_are_refused():
    calls = {
        "label_smoothing=0.1": {"loss": "hinge", "label_smoothing": 0.1},
        "no slope of its own": {"penalty": "r1", "discriminator_normalization": "batch"},
        "images": {"event_shape": (3,), "augmentation": ("color",)},
        "'colour'": {"augmentation": ("colour",)},
        "images \\(height": {"event_shape": (3,), "generator": "conv"},
        "context_dim=2": {"context_dim": 2, "conditioning": "auxiliary"},
        "ema_decay=1.0": {"ema_decay": 1.0},
        "discriminator_steps=0": {"discriminator_steps": 0},
        "loss='mse'": {"loss": "mse"},
        "normalization='group'": {"generator_normalization": "group"},
        "generator='unet'": {"generator": "unet"},
    }
    for message, arguments in calls.items():
        with pytest.raises(genzoo.GenzooError, match=message):
            genzoo.GAN(**{"event_shape": (8, 8, 1), **arguments})
    with pytest.raises(genzoo.GenzooError, match="num_classes"):
        genzoo.ConditionalGAN((8, 8, 1))


# Training


def test_a_step_is_the_sum_of_its_parts():
    """One step of a GAN of scalars, by hand: the discriminator first, then the generator."""
    model = genzoo.GAN(
        (1,), latent_dim=1, generator_units=(), discriminator_units=(), discriminator_steps=1,
        generator_dropout=0.0, discriminator_dropout=0.0, ema_decay=0.0, penalty=None, seed=0,
    )  # fmt: skip
    rate = 0.1
    model.compile(keras.optimizers.SGD(rate), steps_per_execution=1)
    x = np.array([[-1.0], [1.0], [2.0], [-2.0]], "float32")
    model.adapt(x)
    a, b = (float(np.array(v).ravel()[0]) for v in model.generator_network.trainable_variables)
    w, c = (float(np.array(v).ravel()[0]) for v in model.discriminator_network.trainable_variables)
    seen = {}
    judge = model._judge

    def spy(shown, *arguments):
        seen.setdefault("shown", []).append(shown)
        return judge(shown, *arguments)

    model._judge = spy
    model.run_eagerly = True
    model.fit(x, epochs=1, batch_size=4, shuffle=False, verbose=0)
    real, fake, again = (np.array(part, np.float64)[:, 0] for part in seen["shown"])
    np.testing.assert_allclose(real, x[:, 0] / x.std(), rtol=1e-6)
    np.testing.assert_array_equal(fake, again)
    z = (fake - b) / a
    p_real, p_fake = special.expit(w * real + c), special.expit(w * fake + c)
    w -= rate * np.mean((p_real - 1) * real + p_fake * fake)
    c -= rate * np.mean(p_real - 1 + p_fake)
    p_fake = special.expit(w * fake + c)
    a -= rate * np.mean((p_fake - 1) * w * z)
    b -= rate * np.mean((p_fake - 1) * w)
    made = [*model.generator_network.weights, *model.discriminator_network.weights]
    np.testing.assert_allclose(
        [float(np.array(v).ravel()[0]) for v in made], [a, b, w, c], rtol=1e-5
    )


def test_discriminator_steps_see_different_rows():
    model = genzoo.GAN((1,), generator_units=(4,), discriminator_steps=3, penalty=None, seed=0)
    model.compile("sgd", steps_per_execution=1)
    seen = []
    judge = model._judge

    def spy(shown, *arguments):
        seen.append(np.round(np.array(shown)[:, 0], 4))
        return judge(shown, *arguments)

    model._judge = spy
    model.run_eagerly = True
    x = np.arange(13, dtype="float32")[:, None]
    model.fit(x, epochs=1, batch_size=4, shuffle=False, verbose=0)
    scaled = np.round((x[:, 0] - 6) / x.std(), 4)
    # two steps of real, generated; at the end of a step the last generated again
    first = [seen[i] for i in (0, 2, 4)]
    for i in range(3):
        np.testing.assert_array_equal(first[i], scaled[:12][i::3])
    # the last batch has one row for three updates
    for i in (7, 9, 11):
        np.testing.assert_array_equal(seen[i], scaled[12:])
    generated = [seen[i] for i in (1, 3, 5)]
    assert not np.intersect1d(generated[0], generated[1]).size
    np.testing.assert_array_equal(seen[5], seen[6])


def test_samples_come_from_the_average(digits):
    model = tiny("gan", ema_decay=0.9)
    model.fit(digits.x_train[:512], epochs=4, verbose=0)
    averaged = model.sample(20, seed=0)
    for average, variable in zip(model._averages, model.generator_network.variables, strict=True):
        average.assign(variable)
    assert (model.sample(20, seed=0) != averaged).any()
    # by hand, on one variable: the mean of its values, later ones weighing more
    model = tiny("gan", ema_decay=0.5)
    model.compile("sgd", steps_per_execution=1)
    values = [np.array(model.generator_network.variables[0])]

    class Record(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            values.append(np.array(self.model.generator_network.variables[0]))

    model.fit(digits.x_train[:256], epochs=3, batch_size=64, verbose=0, callbacks=[Record()])
    expected = values[0]
    for step, value in enumerate(values[1:], start=1):
        decay = min(0.5, step / (step + 10))
        expected = decay * expected + (1 - decay) * value
    np.testing.assert_allclose(model._averages[0], expected, rtol=1e-5, atol=1e-7)


def test_both_optimizers_are_set_saved_and_resumed(digits, tmp_path):
    x = digits.x_train[:256]
    model = tiny("gan")
    model.compile(keras.optimizers.Adam(1e-3), keras.optimizers.RMSprop(2e-4))
    model.fit(x, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.discriminator_optimizer, keras.optimizers.RMSprop)
    for name in ("optimizer", "discriminator_optimizer"):
        old, new = getattr(model, name), getattr(loaded, name)
        assert float(old.learning_rate) == float(new.learning_rate)
        for a, b in zip(old.variables, new.variables, strict=True):
            np.testing.assert_array_equal(a, b)
    # the next epoch is the one that would have come
    for fitted in (model, loaded):
        fitted.fit(x, epochs=1, shuffle=False, verbose=0)
    for a, b in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(np.array(a), np.array(b), err_msg=a.path)
    # one optimiser stands for both
    model = tiny("gan")
    model.compile(keras.optimizers.Adam(5e-4, beta_1=0.3))
    assert model.discriminator_optimizer is not model.optimizer
    assert model.discriminator_optimizer.beta_1 == 0.3


def test_training_resumes_from_a_backup(digits, tmp_path):
    x = digits.x_train[:256]

    class Killed(Exception):
        pass

    class Kill(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                raise Killed

    def fit(model, *callbacks):
        model.fit(x, epochs=4, verbose=0, shuffle=False, callbacks=list(callbacks))
        return model

    whole = fit(tiny("gan"))
    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
    with pytest.raises(Killed):
        fit(tiny("gan"), backup, Kill())
    resumed = fit(tiny("gan"), keras.callbacks.BackupAndRestore(tmp_path / "backup"))
    for a, b in zip(
        whole.generator_network.weights, resumed.generator_network.weights, strict=True
    ):
        np.testing.assert_allclose(np.array(a), np.array(b), atol=1e-6)


def test_a_penalized_gan_finds_the_modes_of_a_mixture():
    x = genzoo.data.toy("eight_gaussians", 4000, seed=0)
    model = genzoo.GAN(
        (2,), generator_units=(64, 64), discriminator_units=(64, 64), latent_dim=2,
        penalty_weight=1.0, seed=0,
    )  # fmt: skip
    model.fit(x, epochs=40, batch_size=250, verbose=0)
    angle = np.arange(8) * np.pi / 4
    modes = 2 * np.stack([np.cos(angle), np.sin(angle)], 1)
    found, share = genzoo.metrics.mode_coverage(model.sample(1000, seed=0), modes, 0.6)
    assert found == 8
    assert share > 0.6


# Conditional models


@pytest.mark.parametrize("name", ["conditional_gan", "acgan"])
def test_labels_condition_generator_and_discriminator(name, labelled, digits, tmp_path):
    model = labelled(name)
    zeros = model.sample(50, context=0, seed=0)
    assert zeros.shape == (50, 8, 8, 1)
    assert zeros.dtype == np.uint8
    assert (zeros == model.sample(50, context=np.zeros(50, int), seed=0)).all()
    assert (zeros != model.sample(50, context=1, seed=0)).any()
    rated = model.discriminate(digits.x_test, context=digits.y_test)
    if name == "conditional_gan":
        assert (rated != model.discriminate(digits.x_test, context=(digits.y_test + 1) % 10)).any()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert (loaded.discriminate(digits.x_test, context=digits.y_test) == rated).all()
    model.export(tmp_path / "exported")
    signatures = tf.saved_model.load(tmp_path / "exported").signatures
    labels = tf.zeros([50], tf.int32)
    (drawn,) = signatures["sample"](
        n=tf.constant(50), seed=tf.constant(0, tf.int64), context=labels
    ).values()
    assert (drawn.numpy() == zeros).all()
    for bad, message in [(None, "context=None"), (digits.y_test + 1, "0 to 9")]:
        with pytest.raises(genzoo.GenzooError, match=message):
            model.discriminate(digits.x_test, context=bad)
    with pytest.raises(genzoo.GenzooError, match="context=None"):
        model.fit(digits.x_train)


@pytest.mark.parametrize("conditioning", ["projection", "concatenation"])
def test_a_generator_learns_what_a_vector_asks_for(conditioning):
    random = np.random.default_rng(0)
    context = random.choice([-1.0, 1.0], (2000, 1))
    x = 3 * context + 0.3 * random.normal(size=(2000, 2))
    model = genzoo.ConditionalGAN(
        (2,), context_dim=1, latent_dim=2, generator_units=(32,), discriminator_units=(32,),
        conditioning=conditioning, ema_decay=0.9, seed=0,
    )  # fmt: skip
    model.compile(genzoo.core.engine.adam.Adam(2e-3, beta_1=0.5))
    model.fit(x, context, epochs=30, verbose=0)
    for side in (-1.0, 1.0):
        made = model.sample(200, context=[side], seed=0)
        assert (np.sign(made) == side).mean() > 0.9


def test_an_auxiliary_classifier_learns_the_classes(digits):
    model = genzoo.ACGAN((8, 8, 1), num_classes=10, filters=16, seed=0)
    model.compile(genzoo.core.engine.adam.Adam(1e-3, beta_1=0.5))
    history = model.fit(digits.x_train, digits.y_train, epochs=10, verbose=0).history
    assert history["class_accuracy"][-1] > history["class_accuracy"][0]
    proba = model.predict_proba(digits.x_test)
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-5)
    assert (proba.argmax(axis=1) == digits.y_test).mean() > 0.8


# Use


def test_data_of_every_kind_come_back_in_kind(digits):
    images = digits.x_train[:200]
    for x, dtype in [
        (images, np.uint8),
        ((images / 16).astype("float32"), np.float32),
        (images.astype("int32") * 100, np.int32),
        (images > 8, np.bool_),
    ]:
        model = tiny("gan")
        model.fit(x, epochs=1, verbose=0)
        samples = model.sample(50, seed=0)
        assert samples.dtype == dtype
        assert x.min() <= samples.min() <= samples.max() <= x.max()
    table = np.array([[1e6, 5.0, 3.0], [1e6, 7.0, 3.0]] * 50)
    model = tiny("gan", (3,))
    model.fit(table, epochs=2, verbose=0)
    np.testing.assert_allclose(model.sample(10, seed=0).mean(axis=0), table.mean(axis=0), rtol=1)
    assert np.isfinite(model.sample(10, seed=0)).all()


def test_truncation_cuts_the_normal_off():
    model = genzoo.GAN((2,), latent_dim=2, generator_units=(), ema_decay=0.0, seed=0)
    model.adapt(np.random.default_rng(0).normal(size=(100, 2)))
    kernel, bias = (np.array(v) for v in model.generator_network.weights)
    scaled = model.sample(5000, truncation=0.5, seed=0)
    made = (scaled - np.array(model.scaling.center)) / np.array(model.scaling.spread)
    z = np.linalg.solve(kernel.T, (made - bias).T).T.ravel()
    assert np.abs(z).max() <= 0.5 + 1e-4
    assert stats.kstest(z, stats.truncnorm(-0.5, 0.5).cdf).pvalue > 1e-3
    for bad in (0, -1.0, "a"):
        with pytest.raises(genzoo.GenzooError, match="truncation"):
            model.sample(3, truncation=bad)


def test_inversion_finds_what_the_generator_made(digits):
    model = genzoo.GAN(
        (8, 8, 1), latent_dim=3, generator_units=(64,), generator_dropout=0.0, seed=0
    )
    model.compile(genzoo.core.engine.adam.Adam(1e-3, beta_1=0.5))
    model.fit(digits.x_train, epochs=5, verbose=0)
    z = np.random.default_rng(0).normal(size=(20, 3)).astype("float32")
    made = model.decode(z)
    assert made.dtype == np.uint8
    found = model.encode(made)
    assert found.shape == (20, 3)
    off = np.abs(model.decode(found).astype(float) - made).mean()
    assert off < 0.5
    assert off < 0.2 * np.abs(model.decode(np.zeros_like(z)).astype(float) - made).mean()
    noise = np.random.default_rng(1).integers(0, 17, (20, 8, 8, 1)).astype("uint8")
    few = {"num_steps": 60}
    strange, usual = model.anomaly_score(noise, **few), model.anomaly_score(made, **few)
    assert strange.min() > usual.max()
    np.testing.assert_allclose(
        model.anomaly_score(made, batch_size=7, **few), usual, rtol=0.2, atol=1e-3
    )
    way = model.interpolate(made[:2], made[2:4], num_steps=3)
    assert way.shape == (2, 3, 8, 8, 1)
    assert model.reconstruct(made[:2]).shape == (2, 8, 8, 1)


def test_networks_of_ones_own(digits, tmp_path):
    generator = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(64, "tanh"), keras.layers.Reshape((8, 8, 1))]
    )
    discriminator = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(16, "relu"),
         keras.layers.Dropout(0.1, seed=0)]
    )  # fmt: skip
    model = genzoo.GAN(
        (8, 8, 1), latent_dim=4, generator=generator, discriminator=discriminator, penalty="r1",
        seed=0,
    )  # fmt: skip
    model.fit(digits.x_train[:256], epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert (loaded.sample(4, seed=0) == model.sample(4, seed=0)).all()
    with pytest.raises(genzoo.GenzooError, match=r"\('n', 8, 8, 1\)"):
        genzoo.GAN((8, 8, 1), latent_dim=4, generator=keras.Sequential([keras.layers.Dense(3)]))
    with pytest.raises(genzoo.GenzooError, match=r"keras\.layers\.SpectralNormalization"):
        genzoo.GAN((8, 8, 1), discriminator=discriminator, spectral_normalization=True)


@pytest.mark.parametrize("shape", [(8, 8, 1), (12, 10, 3), (28, 28, 1), (64, 64, 3)])
def test_convolutions_fit_images_of_any_size(shape):
    x = np.random.default_rng(0).integers(0, 256, (8, *shape)).astype("uint8")
    model = genzoo.DCGAN(shape, latent_dim=4, filters=2, seed=0)
    model.fit(x, epochs=1, batch_size=4, verbose=0)
    assert model.sample(3, seed=0).shape == (3, *shape)


def test_transposed_convolutions_turn_convolutions_round():
    """<conv(x), y> = <x, transposed(y)> for the same kernel."""
    random = np.random.default_rng(0)
    down, up = Conv(3, 5, 4, 2, bias=False), TransposedConv(5, 3, (7, 6), bias=False)
    up.kernel.assign(down.kernel)
    x, y = random.normal(size=(2, 7, 6, 3)), random.normal(size=(2, 4, 3, 5))
    x, y = (tf.constant(part, tf.float32) for part in (x, y))
    left, right = tf.reduce_sum(down(x) * y), tf.reduce_sum(x * up(y))
    assert float(left) == pytest.approx(float(right), rel=1e-4)


# Watching


def test_sample_grids_are_written_and_nothing_is_lost(digits, tmp_path):
    x = digits.x_train[:128]
    model = tiny("gan")
    grid = genzoo.training.SampleGrid(tmp_path / "grid", every=2, num_samples=9)
    model.fit(x, epochs=5, callbacks=[grid], verbose=0)
    assert sorted(os.listdir(tmp_path / "grid")) == [
        "epoch_0002.png", "epoch_0004.png", "progress.png",
    ]  # fmt: skip
    for name in os.listdir(tmp_path / "grid"):
        with Image.open(tmp_path / "grid" / name) as image:
            assert len(np.unique(np.asarray(image.convert("L")))) > 5
    with pytest.raises(genzoo.GenzooError, match="overwrite=True"):
        genzoo.training.SampleGrid(tmp_path / "grid")
    genzoo.training.SampleGrid(tmp_path / "grid", overwrite=True)
    on_table = tiny("gan", (3,))
    with pytest.raises(genzoo.GenzooError, match="images"):
        on_table.fit(
            np.random.default_rng(0).normal(size=(50, 3)), verbose=0,
            callbacks=[genzoo.training.SampleGrid(tmp_path / "other")],
        )  # fmt: skip


class Fixed(keras.Model):
    """Stands in for a model that makes given samples."""

    context_size, num_classes, stop_training = 0, None, False

    def __init__(self, samples):
        super().__init__()
        self.made = samples

    def sample(self, n, *, context=None, seed=None):
        return self.made[:n]


def look(x, samples, logs=None, labels=None, **arguments):
    monitor = genzoo.training.CollapseMonitor(
        x, labels, every=1, num_samples=500, grace=0, patience=1, **arguments
    )
    monitor.set_model(Fixed(samples))
    logs = {} if logs is None else logs
    monitor.on_epoch_end(0, logs)
    return monitor, logs


def test_the_monitor_warns_of_collapse_and_of_nothing_else():
    x = genzoo.data.toy("eight_gaussians", 1000, seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        monitor, logs = look(x, genzoo.data.toy("eight_gaussians", 500, seed=1))
    assert not monitor.collapsed
    assert logs["coverage"] > 0.9
    assert logs["spread"] == pytest.approx(1, abs=0.2)
    half = x[x[:, 0] > 0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, logs = look(x, half)
    assert 0.3 < logs["coverage"] < 0.7
    point = np.random.default_rng(0).normal([2, 0], 0.01, (500, 2))
    with pytest.warns(CollapseWarning, match=r"samples reach .*minibatch_discrimination"):
        monitor, logs = look(x, point, stop=True)
    assert monitor.collapsed
    assert monitor.model.stop_training
    assert logs["spread"] < 0.25
    # early on a generator has little variety
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        monitor, _ = look(x, x)
        monitor.model.made, monitor.grace = point, 2
        monitor.on_epoch_end(1, {})
        with pytest.raises(CollapseWarning):
            monitor.on_epoch_end(2, {})
    saturated = {"accuracy_real": 1.0, "accuracy_generated": 1.0}
    with pytest.warns(CollapseWarning, match="learns nothing"):
        look(x, x, saturated)


def test_the_monitor_counts_classes():
    x = np.repeat(np.eye(4), 25, axis=0) + 0.01 * np.random.default_rng(0).normal(size=(100, 4))
    labels = np.repeat(np.arange(4), 25)
    monitor, logs = look(x, x, labels=labels)
    assert logs["classes_found"] == 4
    monitor.model.made = x[:50]
    logs = {}
    with pytest.warns(CollapseWarning, match="2 of 4 classes"):
        monitor.on_epoch_end(1, logs)
    assert logs["classes_found"] == 2
    with pytest.raises(genzoo.GenzooError, match="label for each of 100"):
        genzoo.training.CollapseMonitor(x, labels[:5])


def test_the_monitor_takes_no_part_in_training(digits):
    x = digits.x_train[:256]
    watched, plain = tiny("gan"), tiny("gan")
    monitor = genzoo.training.CollapseMonitor(x, every=1, num_samples=50, patience=99)
    seen = watched.fit(x, epochs=2, verbose=0, callbacks=[monitor]).history
    unseen = plain.fit(x, epochs=2, verbose=0).history
    assert seen["generator_loss"] == unseen["generator_loss"]
    assert len(seen["coverage"]) == 2
