"""Situations that users report: subclasses, exports, and methods in graphs and under tapes."""

import pickle

import keras
import numpy as np
import pytest
import tensorflow as tf

import genzoo
from tests.tiny import tiny

POINTS = genzoo.data.toy("moons", 64, seed=0)


@pytest.fixture(scope="module")
def flow():
    model = tiny("realnvp", event_shape=(2,))
    model.fit(POINTS, epochs=1, verbose=0)
    return model


@pytest.fixture(scope="module")
def labelled(digits):
    model = tiny("nice", num_couplings=2, num_classes=10)
    model.fit(digits.x_train[:100], digits.y_train[:100], epochs=1, verbose=0)
    return model


@pytest.fixture(scope="module")
def served(labelled, tmp_path_factory):
    path = tmp_path_factory.mktemp("served") / "digits"
    labelled.export(path)
    return tf.saved_model.load(path)


# Export


def test_outputs_of_signatures_have_names(served, labelled, digits):
    for name, function in served.signatures.items():
        wanted = "log_prob" if name == "serving_default" else name
        assert list(function.structured_outputs) == [wanted]
    x, labels = tf.constant(digits.x_test[:3]), tf.constant(digits.y_test[:3], tf.int32)
    right = labelled.log_prob(digits.x_test[:3], context=digits.y_test[:3])
    found = served.signatures["log_prob"](x=x, context=labels)["log_prob"]
    np.testing.assert_allclose(found, right, rtol=1e-5)
    # what is loaded has the functions themselves, too
    np.testing.assert_allclose(served.log_prob(x, labels), right, rtol=1e-5)
    np.testing.assert_allclose(served.log_prob(x=x, context=labels), right, rtol=1e-5)


def test_served_values_that_the_data_cannot_have_are_refused(served, digits):
    x, labels = digits.x_test[:3].copy(), tf.constant([1, 2, 3])
    x[1, 2, 2, 0] = 255
    for name in ("log_prob", "encode"):
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"between 0 and .* = 16.*255"):
            served.signatures[name](x=tf.constant(x), context=labels)
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"between 0 and .* = 9.*12"):
            good = tf.constant(digits.x_test[:3])
            served.signatures[name](x=good, context=tf.constant([1, 12, 3]))


def test_export_takes_keras_arguments(flow, tmp_path, capsys):
    flow.export(tmp_path / "one", format="tf_saved_model", verbose=True)
    assert "log_prob(x float32[None, 2])" in capsys.readouterr().out
    flow.export(tmp_path / "two", "tf_saved_model", False, None)
    assert capsys.readouterr().out == ""
    for arguments, message in [
        ({"format": "onnx"}, "tf2onnx"),
        ({"format": "litert"}, "TFLiteConverter"),
        ({"format": "h5"}, "format='h5'"),
        ({"input_signature": [tf.TensorSpec([None, 2])]}, "no input_signature"),
    ]:
        with pytest.raises(genzoo.GenzooError, match=message):
            flow.export(tmp_path / "three", **arguments)
    assert not (tmp_path / "three").exists()
    # NumPy's own float64 is cast
    loaded = tf.saved_model.load(tmp_path / "one")
    right = flow.log_prob(POINTS[:5])
    for x in (POINTS[:5].astype("float64"), POINTS[:5].tolist()):
        np.testing.assert_allclose(loaded.log_prob(x), right, rtol=1e-5)
        found = loaded.signatures["log_prob"](x=x)["log_prob"]
        np.testing.assert_allclose(found, right, rtol=1e-5)


def test_networks_with_tables_are_exported(digits, tmp_path):
    image = keras.Input((8, 8, 1))
    words = keras.layers.IntegerLookup(vocabulary=list(range(17)))(image)
    network = keras.Model(image, keras.layers.Flatten()(keras.ops.cast(words, "float32")))
    model = tiny("vae", encoder=network)
    model.fit(digits.x_train[:64], epochs=1, verbose=0)
    model.export(tmp_path / "exported")
    loaded = tf.saved_model.load(tmp_path / "exported")
    right = model.log_prob(digits.x_test[:3])
    np.testing.assert_allclose(loaded.log_prob(digits.x_test[:3]), right, rtol=1e-4)


# Graphs, tapes, contexts, compile


def test_a_tape_that_would_see_nothing_is_told_what_works(flow):
    for x in (tf.Variable(POINTS[:5]), tf.constant(POINTS[:5])):
        for method in ("log_prob", "encode", "decode"):
            with tf.GradientTape() as tape, pytest.raises(genzoo.GenzooError, match=r"model\(x\)"):
                tape.watch(x)
                getattr(flow, method)(x)
    x = tf.Variable(POINTS[:5])
    with tf.GradientTape() as tape:
        whole = tf.reduce_sum(flow(x))
    assert np.isfinite(tape.gradient(whole, x)).all()
    with tf.GradientTape():
        # no gradient is asked of these
        assert flow.log_prob(tf.constant(POINTS[:5])).shape == (5,)
        assert flow.sample(3).shape == (3, 2)


def test_a_graph_is_told_what_works(flow):
    for call in (lambda: flow.log_prob(tf.constant(POINTS[:5])), lambda: flow.sample(3)):
        with pytest.raises(genzoo.GenzooError, match=r"a tf.function.*model\(x\)"):
            tf.function(call, autograph=False)()
    np.testing.assert_allclose(
        tf.function(lambda x: flow(x))(tf.constant(POINTS[:5])),
        flow.log_prob(POINTS[:5]),
        rtol=1e-5,
    )


def test_one_context_stands_for_all_rows(labelled, digits):
    x = digits.x_test[:4]
    right = labelled.log_prob(x, context=[3, 3, 3, 3])
    assert (labelled.log_prob(x, context=3) == right).all()
    assert (labelled.interpolate(x[:2], x[2:], 3, context=3)
            == labelled.interpolate(x[:2], x[2:], 3, context=[3, 3])).all()  # fmt: skip
    model = tiny("nice", event_shape=(2,), context_dim=3)
    model.fit(POINTS, np.random.default_rng(0).normal(size=(64, 3)), epochs=1, verbose=0)
    vector = np.array([0.1, 0.2, 0.3])
    right = model.log_prob(POINTS, context=np.tile(vector, (64, 1)))
    assert (model.log_prob(POINTS, context=vector) == right).all()
    z = model.encode(POINTS, context=vector)
    assert (
        model.decode(z, context=vector) == model.decode(z, context=np.tile(vector, (64, 1)))
    ).all()


# Subclasses


@keras.saving.register_keras_serializable("cases")
class FixesAnArgument(genzoo.RealNVP):
    def __init__(self, event_shape, depth=1, **arguments):
        super().__init__(event_shape, hidden_units=(8,) * depth, num_couplings=2, **arguments)
        self.depth = depth


@keras.saving.register_keras_serializable("cases")
class StoresNothing(genzoo.MAF):
    def __init__(self, event_shape, width=8, **arguments):
        super().__init__(event_shape, hidden_units=(width,), num_transforms=1, **arguments)


@keras.saving.register_keras_serializable("cases")
class NoArguments(genzoo.RealNVP):
    def __init__(self):
        super().__init__((2,), hidden_units=(8,), num_couplings=2, name="always")


@keras.saving.register_keras_serializable("cases")
class PassesAll(genzoo.VAE):
    def __init__(self, *args, **kwargs):
        kwargs.setdefault("hidden_units", (8,))
        super().__init__(*args, **kwargs)


@keras.saving.register_keras_serializable("cases")
class ChangesAnArgument(genzoo.RealNVP):
    def __init__(self, event_shape, num_couplings=1, **arguments):
        arguments["hidden_units"] = (8,)
        super().__init__(event_shape, num_couplings=2 * num_couplings, **arguments)


@keras.saving.register_keras_serializable("cases")
class FixesALoss(genzoo.GAN):
    def __init__(self, event_shape, units=8, **arguments):
        self_made = keras.Sequential([keras.layers.Dense(units), keras.layers.Dense(2)])
        super().__init__(event_shape, generator=self_made, loss="hinge", **arguments)


@keras.saving.register_keras_serializable("cases")
class OwnConfig(genzoo.GaussianMixture):
    def __init__(self, event_shape, extra=3, **arguments):
        super().__init__(event_shape, num_components=extra, **arguments)
        self.extra = extra

    def get_config(self):
        return {**super().get_config(), "extra": self.extra}


SUBCLASSES = [
    (FixesAnArgument, {"event_shape": (2,), "depth": 2, "seed": 0}),
    (FixesAnArgument, {"event_shape": (2,), "base": "mixture", "dtype": "float64"}),
    (StoresNothing, {"event_shape": (2,), "width": 5}),
    (NoArguments, {}),
    (PassesAll, {"event_shape": (2,), "latent_dim": 3, "likelihood": "diagonal_gaussian"}),
    (ChangesAnArgument, {"event_shape": (2,), "num_couplings": 2}),
    (FixesALoss, {"event_shape": (2,), "units": 5, "discriminator_units": (8,)}),
    (OwnConfig, {"event_shape": (2,), "extra": 2, "covariance_type": "diag"}),
]


@pytest.mark.parametrize(("cls", "arguments"), SUBCLASSES)
def test_the_usual_subclass_is_saved_cloned_and_pickled(cls, arguments, tmp_path):
    model = cls(**arguments)
    model.fit(POINTS, epochs=1, verbose=0)
    rate = "discriminate" if isinstance(model, genzoo.GAN) else "log_prob"
    right = getattr(model, rate)(POINTS)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert (getattr(again, rate)(POINTS) == right).all()
    assert (getattr(pickle.loads(pickle.dumps(model)), rate)(POINTS) == right).all()
    clone = keras.models.clone_model(model)
    assert type(clone) is cls
    assert [w.shape for w in clone.weights] == [w.shape for w in model.weights]
    assert clone.get_config() == model.get_config()
    assert clone.name == model.name


def test_positional_arguments_are_remembered():
    model = PassesAll((2,), latent_dim=3)
    assert model.get_config()["event_shape"] == (2,)
    assert model.get_config()["latent_dim"] == 3
    assert "hidden_units" not in model.get_config()


def test_values_set_after_construction_are_saved():
    model = FixesAnArgument((2,))
    model.depth = 2
    assert model.get_config()["depth"] == 2
    vae = genzoo.VAE((2,))
    vae.beta = 4.0
    assert keras.models.clone_model(vae).beta == 4.0


def test_what_cannot_be_made_by_names_says_what_is_missing():
    class Nameless(genzoo.RealNVP):
        def __init__(self, *units):
            super().__init__((2,), hidden_units=units)

    with pytest.raises(genzoo.GenzooError, match=r"Nameless.*units.*get_config\(\)"):
        Nameless(8, 8).get_config()


@keras.saving.register_keras_serializable("cases")
class Block(genzoo.steps.Chain):
    def __init__(self, width, **arguments):
        steps = [genzoo.steps.ActNorm(), genzoo.steps.Coupling(hidden_units=(width,), seed=0)]
        super().__init__(steps, **arguments)


@keras.saving.register_keras_serializable("cases")
class Wide(genzoo.nets.MLP):
    def __init__(self, size, **arguments):
        super().__init__(size, (4 * size,), size, dtype="float64", **arguments)


def test_subclasses_of_steps_and_networks_are_made_again():
    step = Block(5, name="block")
    step.build((None, 4))
    clone = Block.from_config(step.get_config())
    clone.build((None, 4))
    assert step.get_config()["width"] == 5
    assert clone.get_config() == step.get_config()
    assert [w.shape for w in clone.weights] == [w.shape for w in step.weights]
    network = Wide(3, seed=1)
    again = Wide.from_config(network.get_config())
    options = {"context_size", "activation", "output_scale", "seed"}
    assert set(network.get_config()) == {"size", "name", "trainable", *options}
    assert again.compute_dtype == "float64"
    x = tf.ones((2, 3), tf.float64)
    np.testing.assert_array_equal(again(x), network(x))
