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
    seven = lambda n, context, temperature, seed: tf.fill([n, 2], 7.0)  # noqa: E731
    monkeypatch.setattr(model.second_prior, "sample", seven)
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
        (lambda x: np.where(np.arange(len(x))[:, None, None, None] == 3, np.nan, x), "NaN in row 3"),
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
