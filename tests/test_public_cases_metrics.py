"""Situations that users report: pictures, figures and images of other ranges."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import genzoo
from tests.tiny import tiny


def prior_at_five(shape):
    return tfp.distributions.MultivariateNormalDiag(tf.fill(shape, 5.0), 0.1 * tf.ones(shape))


@pytest.fixture(scope="module")
def with_prior_at_five(digits):
    model = tiny("vae", prior=prior_at_five, latent_dim=2)
    model.fit(digits.x_train[:200], epochs=1, verbose=0)
    return model


# Latent points by hand


def test_latent_samples_come_from_the_models_own_prior(with_prior_at_five):
    z = with_prior_at_five.sample_latent(4000, seed=0)
    np.testing.assert_allclose(z.mean(axis=0), 5.0, atol=0.01)
    np.testing.assert_allclose(z.std(axis=0), 0.1, atol=0.01)
    cold = with_prior_at_five.sample_latent(10, temperature=0.5, seed=0)
    assert cold.shape == (10, 2)
    assert (z[:10] == with_prior_at_five.sample_latent(10, seed=0)).all()


@pytest.mark.parametrize("draw", ["interpolations", "manifold"])
def test_pictures_of_latent_spaces_begin_where_samples_do(with_prior_at_five, monkeypatch, draw):
    seen, decode = [], with_prior_at_five.decode

    def remember(z, **arguments):
        seen.append(z)
        return decode(z, **arguments)

    monkeypatch.setattr(with_prior_at_five, "decode", remember)
    getattr(genzoo.plotting, draw)(with_prior_at_five, columns=5)
    # from N(0, 1) it would be far off
    assert np.abs(seen[0] - 5.0).max() < 0.6


def test_two_stages_draw_latents_from_the_second(digits, monkeypatch):
    model = tiny("two_stage_vae")
    model.fit(digits.x_train[:200], epochs=2, verbose=0)
    seven = lambda n, context, **arguments: tf.fill([n, 2], 7.0)  # noqa: E731
    monkeypatch.setattr(model.law.second, "sample", seven)
    assert (model.sample_latent(3, seed=0) == 7.0).all()


def test_latent_samples_of_gans_and_flows_lead_to_samples(digits):
    gan = tiny("gan", event_shape=(2,))
    flow = tiny("realnvp", event_shape=(2,), base="student_t")
    for model in (gan, flow):
        model.fit(genzoo.data.toy("moons", 64, seed=0), epochs=1, verbose=0)
        z = model.sample_latent(20, seed=3)
        np.testing.assert_allclose(model.decode(z), model.sample(20, seed=3), rtol=1e-5)


# Images to translate from a stream


@pytest.mark.parametrize("name", ["pix2pix", "cyclegan"])
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda x: np.where(np.arange(len(x))[:, None, None, None] == 3, np.nan, x),
            "NaN in row 3",
        ),
        (lambda x: x[:, :4], r"shape \(n, 8, 8, 1\)"),
        (lambda x: np.repeat(x, 3, axis=3), r"shape \(n, 8, 8, 1\)"),
        (lambda x: x.astype(str), "numbers"),
    ],
)
def test_streams_of_source_images_are_checked_as_arrays_are(digits, name, spoil, message):
    y = digits.x_train[:16].astype("float32")
    x = spoil(y)
    for batch in (None, 8):
        stream = tf.data.Dataset.from_tensor_slices((x, y))
        stream = stream if batch is None else stream.batch(batch)
        with pytest.raises(genzoo.GenzooError, match=message):
            tiny(name).fit(stream, epochs=1, verbose=0)
    with pytest.raises(genzoo.GenzooError, match=message):
        tiny(name).fit(x, y, epochs=1, verbose=0)


def test_streams_of_source_images_keep_to_the_kind_of_the_first_fit(digits):
    y = digits.x_train[:16]
    model = tiny("pix2pix")
    model.fit(tf.data.Dataset.from_tensor_slices((16 - y, y)).batch(8), epochs=1, verbose=0)
    bad = tf.data.Dataset.from_tensor_slices((y + 100, y)).batch(8)
    good = tf.data.Dataset.from_tensor_slices((16 - y, y)).batch(8)
    for arguments in ({"x": bad}, {"x": good, "validation_data": bad}):
        with pytest.raises(genzoo.GenzooError, match="levels"):
            model.fit(**arguments, epochs=1, verbose=0)


# Images of other ranges


@pytest.fixture
def inception(monkeypatch):
    """Make the features of a small network in place of Inception's, by range."""
    layers = [keras.Input((299, 299, 3)), keras.layers.AveragePooling2D(23)]
    monkeypatch.setattr(keras.applications, "InceptionV3", lambda **_: keras.Sequential(layers))
    return lambda data_range=None: genzoo.metrics.InceptionFeatures(data_range=data_range)


@pytest.fixture(scope="module")
def noise():
    return np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3)).astype("uint8")


@pytest.mark.parametrize(
    ("change", "data_range"),
    [
        (lambda x: x / 255.0, (0, 1)),
        (lambda x: (x / 127.5 - 1).astype("float32"), (-1, 1)),
        (lambda x: x.astype("uint16") * 257, (0, 65535)),
        (lambda x: x > 127, (0, 1)),
    ],
)
def test_inception_takes_images_of_a_range_that_is_told(inception, noise, change, data_range):
    eight = inception()
    x = change(noise)
    told = str(data_range).replace("(", r"\(").replace(")", r"\)")
    with pytest.raises(genzoo.GenzooError, match=rf"data_range={told}"):
        eight(x)
    right = noise if x.dtype != bool else np.where(x, 255, 0).astype("uint8")
    np.testing.assert_allclose(inception(data_range)(x), eight(right), rtol=1e-4, atol=1e-4)
    with pytest.raises(genzoo.GenzooError, match=r"between 0 and 0\.5"):
        inception((0, 0.5))(x)


def test_inception_takes_floats_of_eight_bits_and_says_when_images_look_black(inception, noise):
    eight = inception()
    np.testing.assert_array_equal(eight(noise.astype("float32")), eight(noise))
    with pytest.warns(UserWarning, match="another range"):
        eight(np.repeat(noise[:1] // 16, 10, axis=0))


def test_inception_refuses_four_channels_by_a_typed_error(inception, noise):
    for x in (np.concatenate([noise, noise[..., :1]], axis=3), noise[..., 0], noise[..., :2]):
        with pytest.raises(genzoo.GenzooError, match="1 channel"):
            inception()(x)
    for data_range in ((1, 0), (0,), "uint8"):
        with pytest.raises(genzoo.GenzooError, match="data_range"):
            inception(data_range)


def test_large_images_are_shrunk_as_pillow_shrinks_them(inception):
    from PIL import Image

    seen = inception()._preprocess(stripes()[None, ..., None])
    grey = (np.asarray(seen)[0, ..., 0] + 1) * 127.5
    right = np.asarray(Image.fromarray(stripes()).resize((299, 299), Image.BILINEAR))
    np.testing.assert_allclose(grey, right, atol=0.01)
    assert 46 < grey.min() < grey.max() < 76


def stripes():
    row = np.where((np.arange(1000) // 2) % 2 == 0, 127.5, 0)
    return np.tile(row, (1000, 1)).astype("float32")


def test_a_classifier_refuses_images_of_another_range(digits):
    classifier = genzoo.metrics.ClassifierFeatures
    of_integers = classifier(digits.x_train[:200], digits.y_train[:200], epochs=1)
    of_floats = classifier(digits.x_train[:200] / 8.0 - 1.0, digits.y_train[:200], epochs=1)
    for method in (of_integers, of_integers.probabilities):
        with pytest.raises(genzoo.GenzooError, match="integers"):
            method(digits.x_test / 16.0)
    with pytest.raises(genzoo.GenzooError, match="between 0 and 16"):
        of_integers(digits.x_test * 15)
    with pytest.raises(genzoo.GenzooError, match="between -1 and 1"):
        of_floats(digits.x_test)
    with pytest.warns(UserWarning, match="another range"):
        of_floats(digits.x_test / 16.0)
    # samples of a model of real numbers may leave the range a little
    assert np.isfinite(of_floats(1.2 * (digits.x_test / 8.0 - 1.0))).all()


# Tables in several units


@pytest.fixture(scope="module")
def units():
    """Rows in large and small units, and the same with the small ones at 0, a bad model's."""
    random = np.random.default_rng(0)
    x = (random.normal(size=(600, 8)) * [1e4, 1e3, 1, 1, 0.1, 0.1, 1e-3, 1e-3]).astype("float32")
    bad = x[300:].copy()
    bad[:, 2:] = 0
    return genzoo.data.Dataset("units", x_train=x[:300], x_test=x[300:]), bad


class Sampler(keras.Model):
    """Gives what it was made with as its samples."""

    likelihood, traits = genzoo.GAN((2,)).likelihood, genzoo.GAN.traits
    context_size, num_classes, event_shape, on_images = 0, None, (8,), False

    def __init__(self, samples):
        super().__init__()
        self.made, self.built = samples, True

    def sample(self, n, **arguments):
        return self.made[:n]


def in_deviations(rows, data):
    return (rows - data.x_train.mean(axis=0)) / data.x_train.std(axis=0)


def test_figures_of_tables_do_not_depend_on_units(units):
    from zoo_scripts.train import reached

    data, bad = units
    raw = genzoo.metrics.density_and_coverage(data.x_test, bad)
    for made in (bad, data.x_train):
        right = genzoo.metrics.density_and_coverage(
            in_deviations(data.x_test, data), in_deviations(made, data)
        )
        found = reached(Sampler(made), data, None)
        assert (found["density"], found["coverage"]) == pytest.approx(right, abs=0.01)
        assert found["compared_by"] == "standardised values"
        assert right[1] > 0.9 or right[1] < raw[1] - 0.5
    monitor = genzoo.training.CollapseMonitor(data.x_test, every=1, patience=99)
    monitor.set_model(Sampler(bad))
    logs = {}
    monitor.on_epoch_end(0, logs)
    assert logs["coverage"] < raw[1] - 0.5


def test_reports_of_tables_are_standardised_and_count_copies(units):
    data, bad = units
    made = np.concatenate([bad[:297], data.x_train[:3]])
    page = genzoo.reports.report(Sampler(made), data)
    coverage = float(page.split("coverage</th><td>")[1].split("<")[0])
    right = genzoo.metrics.density_and_coverage(
        in_deviations(data.x_test, data), in_deviations(made, data)
    )
    assert coverage == pytest.approx(right[1], abs=0.01)
    assert "standard deviation over the training data" in page
    assert "3 of 300 samples are copies" in page


def test_reports_of_images_say_what_pixels_cannot_see(digits):
    sampler = Sampler(digits.x_train)
    sampler.event_shape = (8, 8, 1)
    page = genzoo.reports.report(sampler, digits)
    assert "tell blurred images from sharp ones badly" in page


def test_values_of_sequences_are_standardised_by_feature():
    x = np.random.default_rng(0).normal(size=(50, 7, 2)) * [1, 1e5] + 1e7
    features = genzoo.metrics.ValueFeatures(x)(x).reshape(50, 7, 2)
    np.testing.assert_allclose(features.std(axis=(0, 1)), 1, rtol=1e-6)
    images = np.random.default_rng(0).integers(0, 9, (5, 4, 4, 1))
    assert (genzoo.metrics.ValueFeatures(images)(images) == images.reshape(5, -1)).all()


# Rows that are equal


def test_figures_of_discrete_rows_do_not_depend_on_rounding():
    """Equal rows came out some 1e-9 apart: 0.65 of binary rows were covered, all are."""
    random = np.random.default_rng(0)
    real, made = random.integers(0, 2, (2, 400, 3))
    for scale, shift in ((1, 0), (0.1, 0.3), (0.1, 1e3)):
        pair = (real * scale + shift, made * scale + shift)
        density, coverage = genzoo.metrics.density_and_coverage(*pair)
        assert coverage == 1.0
        assert density == pytest.approx(1, abs=0.1)
        assert genzoo.metrics.precision_and_recall(*pair) == (1.0, 1.0)
    same = np.full((64, 128), 0.1)
    assert genzoo.metrics.density_and_coverage(same, same) == pytest.approx((64 / 63, 1))
    with pytest.raises(genzoo.GenzooError, match="num_splits=10, 5 images"):
        genzoo.metrics.inception_score(np.full((5, 3), 1 / 3), num_splits=10)


def test_files_of_real_numbers_are_no_black_images(tmp_path):
    from PIL import Image

    for i, x in enumerate(np.random.default_rng(0).random((4, 8, 8)).astype("float32")):
        Image.fromarray(x).save(tmp_path / f"{i}.tif")
    with pytest.raises(genzoo.GenzooError, match="real numbers"):
        genzoo.data.load(tmp_path, image_size=(8, 8))
