"""Models from image to image: Pix2Pix on pairs, CycleGAN without."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import genzoo
from genzoo.core.maths.random import make_seed
from genzoo.core.registry import traits_of
from genzoo.gans.image_context import ImagePool
from genzoo.gans.pairs import UnpairedData
from genzoo.gans.translators import PatchDiscriminator, ResNetGenerator, UNet
from tests.tiny import tiny

MODELS = [name for name in genzoo.models() if "pair" in traits_of(name).examples]


def pairs(digits, n=256):
    """Return inverted digits in two colours, and the plain ones."""
    y = digits.x_train[:n]
    x = np.concatenate([16 - y, np.full_like(y, 8)], axis=3)
    return x, y


def build(name, **arguments):
    return tiny(name, source_shape=(8, 8, 2), **arguments)


@pytest.fixture(scope="module")
def fitted(digits):
    made = {}

    def get(name):
        if name not in made:
            model = build(name)
            history = model.fit(*pairs(digits), epochs=2, validation_split=0.25, verbose=0)
            made[name] = model, history
        return made[name]

    return get


@pytest.mark.parametrize("name", MODELS)
def test_translations_are_like_the_targets(name, fitted, digits):
    model, history = fitted(name)
    for values in history.history.values():
        assert np.isfinite(values).all()
    assert {"generator_loss", "discriminator_loss", "val_generator_loss"} <= set(history.history)
    x, _ = pairs(digits, 40)
    y = model.translate(x)
    assert y.shape == (40, 8, 8, 1)
    assert y.dtype == np.uint8
    assert y.max() <= 16
    assert (y == model.translate(x)).all()
    np.testing.assert_array_equal(model.translate(x[:7]), y[:7])
    assert len(np.unique(y)) > 2
    assert model.sample(6, context=x[0], seed=0).shape == (6, 8, 8, 1)
    np.testing.assert_array_equal(model.sample(40, context=x, temperature=0.0, seed=1), y)


def test_dropout_is_the_noise_of_pix2pix(fitted, digits):
    model, _ = fitted("pix2pix")
    x, _ = pairs(digits, 30)
    first = model.sample(30, context=x, seed=0)
    assert (first == model.sample(30, context=x, seed=0)).all()
    assert (first != model.sample(30, context=x, seed=1)).any()


@pytest.mark.parametrize("name", MODELS)
def test_there_is_no_likelihood(name, fitted, digits):
    model, _ = fitted(name)
    with pytest.raises(genzoo.NoDensityError, match="parzen_log_prob"):
        model.log_prob(digits.x_test)


@pytest.mark.parametrize("name", MODELS)
def test_saved_and_exported_models_are_the_same(name, fitted, digits, tmp_path):
    model, _ = fitted(name)
    x, y = pairs(digits, 20)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert (loaded.translate(x) == model.translate(x)).all()
    assert loaded.get_config() == model.get_config()
    model.export(tmp_path / "exported")
    signatures = tf.saved_model.load(tmp_path / "exported").signatures
    exported = signatures["translate"](x=tf.constant(x))["translate"]
    np.testing.assert_array_equal(exported, model.translate(x))
    if name == "cyclegan":
        back = signatures["translate_back"](y=tf.constant(y))["translate_back"]
        np.testing.assert_array_equal(back, loaded.translate(y, backward=True))
    # training goes on
    loaded.fit(*pairs(digits), epochs=1, verbose=0)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n == "cyclegan")) for n in MODELS]
)
def test_the_same_seed_gives_the_same_training(name, digits):
    x, y = pairs(digits, 96)
    first, second = (build(name) for _ in range(2))
    for model in (first, second):
        model.fit(x, y, epochs=1, batch_size=32, verbose=0)
    for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("epochs", [1, pytest.param(26, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", MODELS)
def test_two_replicas_train_like_one(name, epochs, digits, two_devices):
    """On the same global batches, of which the last of an epoch has 4 rows."""
    x, y = pairs(digits, 76)
    models = []
    for strategy in (two_devices, tf.distribute.get_strategy()):
        with strategy.scope():
            # norms over the few pixels of a digit make rounding errors grow from step to step
            model = build(name, dtype="float64")
            model.compile(keras.optimizers.SGD(1e-6), keras.optimizers.SGD(1e-6))
        model.fit(x, y, epochs=epochs, batch_size=24, verbose=0)
        models.append(model)
    for a, b in zip(*(model.weights for model in models), strict=True):
        # the images in the pools show the rounding of all weights at once
        atol = 1e-7 if a.trainable else 1e-5
        np.testing.assert_allclose(np.array(a), np.array(b), rtol=0, atol=atol, err_msg=a.path)


@pytest.mark.parametrize("name", MODELS)
def test_every_weight_learns(name, digits):
    model = build(name)
    x, y = pairs(digits, 64)
    model.adapt(x, y)
    sides = [model._generator_side(), model._discriminator_side()]
    before = [[v.numpy() for v in side] for side in sides]
    model.fit(x, y, epochs=2, verbose=0)
    for old, side in zip(before, sides, strict=True):
        assert side
        for a, b in zip(old, side, strict=True):
            assert (a != b.numpy()).any(), b.path


@pytest.mark.parametrize("name", MODELS)
def test_data_sets_train_like_arrays(name, digits):
    x, y = pairs(digits, 64)
    weights = []
    for data in ((x, y), (tf.data.Dataset.from_tensor_slices((x, y)).batch(16),)):
        model = build(name)
        model.fit(*data, epochs=1, batch_size=16, shuffle=False, verbose=0)
        weights.append(model.get_weights())
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", MODELS)
def test_bad_images_are_refused_before_any_weight_changes(name, digits):
    x, y = pairs(digits, 32)
    model = build(name)
    before = model.get_weights()
    with pytest.raises(genzoo.NotFittedError, match="translate"):
        model.translate(x)
    for bad in ((x,), (x[:, :4], y), (x, y[..., 0]), (x, np.where(y > 3, np.nan, 1.0)), (x[:0], y)):
        with pytest.raises(genzoo.GenzooError, match="Received"):
            model.fit(*bad, verbose=0)
    with pytest.raises(genzoo.GenzooError, match=r"pairs \(x, y\)"):
        model.fit(tf.data.Dataset.from_tensor_slices(x), verbose=0)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    model.adapt(x, y)
    with pytest.raises(genzoo.GenzooError, match="integers, as fitted"):
        model.translate(x / 16)
    with pytest.raises(genzoo.GenzooError, match="to translate"):
        model.sample(3)


def test_pairs_must_pair_and_sets_need_not(digits):
    x, y = pairs(digits, 40)
    with pytest.raises(genzoo.GenzooError, match="use CycleGAN"):
        build("pix2pix").fit(x, y[:30], verbose=0)
    history = build("cyclegan").fit(x, y[:30], epochs=1, validation_split=0.2, verbose=0)
    assert np.isfinite(history.history["val_cycle"]).all()


def test_bad_arguments_are_refused():
    for arguments in ({"source_shape": (4, 8, 1)}, {"num_classes": 3}, {"loss": "l1"}):
        with pytest.raises(genzoo.GenzooError, match="Received"):
            genzoo.Pix2Pix((8, 8, 1), **arguments)
    with pytest.raises(genzoo.GenzooError, match="Received"):
        genzoo.Pix2Pix((64,))
    with pytest.raises(genzoo.GenzooError, match="identity_weight=0"):
        genzoo.CycleGAN((8, 8, 1), source_shape=(8, 8, 3), identity_weight=5.0)


def test_unpaired_rows_come_round_in_orders_of_their_own():
    data = UnpairedData({"x": np.arange(6), "context": np.arange(4)})
    assert len(data) == 6
    plain = list(data.dataset(3, shuffle=False, seed=0))
    assert [b["context"].numpy().tolist() for b in plain] == [[0, 1, 2], [3, 0, 1]]
    shuffled = data.dataset(6, shuffle=True, seed=0)
    first, second = (next(iter(shuffled)) for _ in range(2))
    assert sorted(first["x"].numpy()) == list(range(6))
    assert set(first["context"].numpy()[:4]) == set(range(4))
    assert (first["x"].numpy() != second["x"].numpy()).any()
    again = data.dataset(6, shuffle=True, seed=0)
    np.testing.assert_array_equal(next(iter(again))["x"], first["x"])


def test_the_pool_keeps_and_returns_past_images():
    pool = ImagePool(4, (1, 1, 1))

    def ask(values, seed):
        images = tf.reshape(tf.constant(values, tf.float32), [-1, 1, 1, 1])
        return pool.exchange(images, make_seed(seed)).numpy().ravel()

    np.testing.assert_array_equal(ask([1, 2, 3], 0), [1, 2, 3])
    # one place is left: 4 fills it, 5 goes by
    np.testing.assert_array_equal(ask([4, 5], 1), [4, 5])
    assert sorted(pool.images.numpy().ravel()) == [1, 2, 3, 4]
    shown = ask(range(10, 14), 2)
    inside = pool.images.numpy().ravel()
    # nothing is lost and nothing comes twice
    assert sorted([*shown, *inside]) == [1, 2, 3, 4, 10, 11, 12, 13]
    assert 0 < (shown < 10).sum() < 4
    exchanged = np.mean(
        [(ask(range(100 * i, 100 * i + 4), i) < 100 * i).mean() for i in range(5, 105)]
    )
    assert 0.4 < exchanged < 0.6


@pytest.mark.parametrize("shape", [(8, 8, 1), (12, 10, 3), (28, 28, 1), (64, 64, 3)])
def test_networks_fit_images_of_any_size(shape):
    x = tf.random.stateless_normal([2, *shape], [0, 1])
    for network in (UNet(shape, 2, 4), ResNetGenerator(shape, 2, 4, num_blocks=1)):
        y = network(x)
        assert y.shape == (2, *shape[:2], 2)
        assert np.abs(y).max() <= 1.0
    scores = PatchDiscriminator(shape, 4)(x)
    assert scores.shape[0] == 2
    assert len(scores.shape) == 3
    # instance norms of a single value would say nothing of the image
    assert (scores[0].numpy() != scores[1].numpy()).any()


def test_short_cuts_carry_detail_past_the_coarse_scales():
    network = UNet((16, 16, 1), 1, 4, seed=0)
    x = tf.random.stateless_normal([1, 16, 16, 1], [0, 1])
    moved = x.numpy()
    moved[0, 8, 8] += 1.0
    assert np.abs(network(moved) - network(x)).max() > 1e-4


def edges(y):
    """Return where digits begin and end."""
    image = np.pad(y[..., 0].astype(int), ((0, 0), (1, 1), (1, 1)))
    across = np.abs(image[:, 1:-1, 2:] - image[:, 1:-1, :-2])
    down = np.abs(image[:, 2:, 1:-1] - image[:, :-2, 1:-1])
    return np.minimum(across + down, 16).astype("uint8")[..., None]


@pytest.mark.slow
def test_pix2pix_turns_edges_into_digits(digits):
    x, y = edges(digits.x_train), digits.x_train
    model = genzoo.Pix2Pix((8, 8, 1), filters=16, seed=0)
    model.fit(x, y, epochs=8, verbose=0)
    made = model.translate(edges(digits.x_test)).astype(float)
    error = np.abs(made - digits.x_test).mean()
    at_hand = np.abs(edges(digits.x_test).astype(float) - digits.x_test).mean()
    mean_image = np.abs(digits.x_train.mean(axis=0) - digits.x_test).mean()
    assert error < 0.6 * min(at_hand, mean_image)
    real, false = (
        model.discriminate(edges(digits.x_test), np.roll(digits.x_test, shift, axis=0)).mean()
        for shift in (0, 1)
    )
    assert real > false


@pytest.mark.slow
def test_cyclegan_learns_the_way_there_and_back_without_pairs(digits):
    half = 300
    model = genzoo.CycleGAN((8, 8, 1), filters=8, num_blocks=1, seed=0)
    model.compile(genzoo.core.engine.adam.Adam(1e-3, beta_1=0.5))
    # no example is in both sets
    x, y = 16 - digits.x_train[:half], digits.x_train[half : 2 * half]
    cycle = model.fit(x, y, epochs=8, verbose=0).history["cycle"]
    assert cycle[-1] < 0.6 * cycle[0]
    inverted = 16 - digits.x_test
    back = model.translate(model.translate(inverted), backward=True).astype(float)
    assert np.abs(back - inverted).mean() < 3.0
