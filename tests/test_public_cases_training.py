"""What users of such packages report of training: steps, streams, weights, seeds, losses of layers.

The right values are counted, or come from closed forms, repeated rows and Keras itself.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

import genzoo
from genzoo.core.errors import InvalidInputError, NotFittedError
from genzoo.core.inputs import batches as batches_module
from tests.tiny import tiny


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).normal(size=(640, 2)).astype("float32")


def nice(**arguments):
    return genzoo.NICE((2,), num_couplings=2, hidden_units=(4,), seed=0, **arguments)


def same_weights(first, second, **tolerance):
    for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, **tolerance)


class Batches(keras.utils.PyDataset):
    """Rows in batches, which counts what is read of it."""

    def __init__(self, *arrays, size=64, **arguments):
        super().__init__(**arguments)
        self.arrays, self.size, self.read, self.told = arrays, size, [], []

    def __len__(self):
        return -(-len(self.arrays[0]) // self.size)

    def __getitem__(self, index):
        self.read.append(index)
        rows = slice(index * self.size, (index + 1) * self.size)
        return tuple(array[rows] for array in self.arrays)

    def on_epoch_begin(self):
        self.told.append("begin")

    def on_epoch_end(self):
        self.told.append("end")


class Counted:
    """A stream that counts how often it is started, and the rows that are read of it."""

    def __init__(self, x, size=64):
        self.x, self.size, self.starts, self.rows = x, size, 0, 0

    def __call__(self):
        self.starts += 1
        for start in range(0, len(self.x), self.size):
            batch = self.x[start : start + self.size]
            self.rows += len(batch)
            yield batch

    def dataset(self):
        spec = tf.TensorSpec([None, *self.x.shape[1:]], self.x.dtype)
        return tf.data.Dataset.from_generator(self, output_signature=spec)


def once(x):
    """Return a data set that can be read once."""
    batches = iter(Counted(x)())
    spec = tf.TensorSpec([None, *x.shape[1:]], x.dtype)
    return tf.data.Dataset.from_generator(lambda: batches, output_signature=spec)


# Steps


@pytest.mark.parametrize("steps", [5, 9, 10, 25])
def test_epochs_have_the_steps_that_were_asked_for(x, steps):
    stream = tf.data.Dataset.from_tensor_slices(x).batch(64)
    model = nice()
    for data in (x, stream, stream.repeat(), Batches(x)):
        before = int(model.optimizer.iterations) if model.compiled else 0
        model.fit(data, epochs=3, steps_per_epoch=steps, batch_size=64, verbose=0)
        assert int(model.optimizer.iterations) - before == 3 * steps


def test_epochs_on_several_devices_have_the_steps_that_were_asked_for(x, two_devices):
    with two_devices.scope():
        model = nice()
    stream = tf.data.Dataset.from_tensor_slices(x).batch(64)
    for i, data in enumerate((x, stream)):
        model.fit(data, epochs=2, steps_per_epoch=9, batch_size=64, verbose=0)
        assert model.optimizer.iterations.numpy() == 18 * (i + 1)


def test_parts_of_a_pass_are_the_pass(x):
    """Two epochs of 5 steps see the rows of one of 10, in the same order."""
    whole, parts = nice(), nice()
    whole.fit(x, epochs=2, batch_size=64, verbose=0)
    parts.fit(x, epochs=4, steps_per_epoch=5, batch_size=64, verbose=0)
    same_weights(whole, parts, atol=0)


def test_fit_in_a_loop_meets_the_rows_in_other_orders(x):
    def order(model, **arguments):
        batches = Batches(x)
        model.fit(batches, verbose=0, **arguments)
        return batches.read[-20:-10], batches.read[-10:]

    model, other = nice(), nice()
    orders = [order(model, epochs=1)[1] for _ in range(3)]
    assert len(set(map(tuple, orders))) == 3
    # epochs that are counted through are those of one fit
    parts = [order(other, epochs=i + 1, initial_epoch=i)[1] for i in range(3)]
    assert tuple(parts[1:]) == order(nice(), epochs=3)


def test_the_end_of_a_stream_counts_as_no_step(x):
    model = nice()
    model.fit(Counted(x).dataset(), epochs=3, verbose=0)
    assert int(model.optimizer.iterations) == 30


# Streams


def test_streams_are_read_once_before_training_and_once_an_epoch(x):
    # standardises and starts its ActNorms
    model, stream = genzoo.Glow((2,), num_steps=2, hidden_units=(4,), seed=0), Counted(x)
    model.fit(stream.dataset(), epochs=2, verbose=0)
    # the third start looks whether there is another
    assert (stream.starts, stream.rows) == (4, 3 * 640 + 64)
    stream.starts = stream.rows = 0
    model.fit(stream.dataset(), epochs=1, verbose=0)
    # the first batch, and the epoch
    assert stream.starts == 2
    stream.starts = stream.rows = 0
    model.evaluate(stream.dataset(), verbose=0)
    model.log_prob(stream.dataset())
    assert (stream.starts, stream.rows) == (2, 2 * 640)


def test_what_can_be_read_once_is_trained_on_from_memory(x):
    plain, model = nice(), nice()
    plain.fit(Counted(x).dataset(), epochs=3, validation_data=x, verbose=0)
    model.fit(once(x), epochs=3, validation_data=once(x), verbose=0)
    same_weights(plain, model, atol=0)
    np.testing.assert_allclose(model.evaluate(once(x), verbose=0), -model.score(x), rtol=1e-6)


def test_what_can_be_read_once_and_is_large_is_refused(x, monkeypatch):
    monkeypatch.setattr(batches_module, "_KEPT_BYTES", 1000)
    model = nice()
    before = model.get_weights()
    with pytest.raises(InvalidInputError, match="read again"):
        model.fit(once(x), epochs=3, verbose=0)
    assert model.data_spec is None
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    # known data, and then none
    model.fit(Counted(x).dataset(), epochs=1, verbose=0)
    with pytest.raises(InvalidInputError, match="empty in epoch 2"):
        model.fit(once(x), epochs=2, verbose=0)


def test_generators_and_py_datasets_are_taken_by_fit(x):
    c = np.arange(640) % 3
    plain, items, generated, endless = (nice(num_classes=3) for _ in range(4))
    stream = tf.data.Dataset.from_tensor_slices((x, c)).batch(64)
    plain.fit(stream, epochs=3, verbose=0)
    batches = Batches(x, c, workers=2)
    history = items.fit(batches, epochs=3, shuffle=False, validation_data=Batches(x, c), verbose=0)
    generated.fit(((x[i : i + 64], c[i : i + 64]) for i in range(0, 640, 64)), epochs=3, verbose=0)
    repeated = stream.repeat().as_numpy_iterator()
    endless.fit(repeated, epochs=3, steps_per_epoch=10, verbose=0)
    for model in (items, generated, endless):
        same_weights(plain, model, atol=0)
    assert batches.told == ["begin", "end"] * 3
    # the first for its form, all for their kind, then epochs
    assert len(batches.read) == 1 + 10 + 30
    assert np.isfinite(history.history["val_loss"]).all()
    # in another order each epoch, which the seed fixes
    orders = []
    for _ in range(2):
        batches = Batches(x, c)
        nice(num_classes=3).fit(batches, epochs=2, verbose=0)
        orders.append(batches.read[11:])
    assert orders[0] == orders[1] != sorted(orders[0])


def test_what_is_wrong_with_a_generator_is_told(x, monkeypatch):
    def fails():
        yield x[:64]
        raise KeyError("of the user's own")

    def changes():
        yield x[:64]
        yield x[:64, :1]

    def ends():
        yield from (x[:64] for _ in range(12))

    def goes_on():
        while True:
            yield x[:64]

    class Fails(Batches):
        def __getitem__(self, index):
            if len(self.read) > 15:
                raise KeyError("of the user's own")
            return super().__getitem__(index)

    with pytest.raises(KeyError, match="own"):
        nice().fit(fails(), verbose=0)
    with pytest.raises(KeyError, match="own"):
        nice().fit(Fails(x), epochs=2, verbose=0)
    with pytest.raises(InvalidInputError, match="like the first"):
        nice().fit(changes(), verbose=0)
    with pytest.raises(InvalidInputError, match="ended before"):
        nice().fit(ends(), epochs=3, steps_per_epoch=5, verbose=0)
    monkeypatch.setattr(genzoo.core.inputs.sources, "_HELD_BYTES", 10_000)
    with pytest.raises(InvalidInputError, match="steps_per_epoch"):
        nice().fit(goes_on(), verbose=0)
    with pytest.raises(InvalidInputError, match="NaN in row 3"):
        nice().fit(iter([np.where(np.arange(64)[:, None] == 3, np.nan, x[:64])]), verbose=0)


# The global seed


@pytest.mark.parametrize("name", ["realnvp", "maf", "planar", "glow", "vae", "gan"])
def test_keras_seed_repeats_a_run(name, x):
    def run(seed):
        keras.utils.set_random_seed(seed)
        model = genzoo.build(name, event_shape=(2,), **tiny_arguments(name))
        model.fit(x[:128], epochs=1, batch_size=32, verbose=0)
        return [*model.get_weights(), model.sample(3)]

    first, second, other = run(0), run(0), run(1)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def tiny_arguments(name):
    arguments = tiny(name, event_shape=(2,)).get_config()
    return {k: v for k, v in arguments.items() if k not in ("event_shape", "seed", "name", "dtype")}


def test_keras_seed_repeats_what_is_drawn_by_numpy(x):
    def run():
        keras.utils.set_random_seed(0)
        detector = genzoo.applications.AnomalyDetector(random_state=None).fit(x)
        given = mixture.condition(np.where([True, False], x[:5], np.nan))
        return detector.decision_function(x[:5]), given.sample(3)

    mixture = genzoo.GaussianMixture((2,), num_components=2, seed=0)
    mixture.fit(x, epochs=2, verbose=0)
    for a, b in zip(run(), run(), strict=True):
        np.testing.assert_array_equal(a, b)


# Keras's other methods


def test_all_of_keras_methods_have_the_door_of_fit(x):
    c = np.arange(640) % 3
    model = nice(num_classes=3)
    for method in ("evaluate", "predict", "train_on_batch", "test_on_batch"):
        with pytest.raises(NotFittedError, match=method):
            getattr(model, method)(x, c)
    model.adapt(x, c)
    log_prob = model.log_prob(x, context=c)
    rows = tf.data.Dataset.from_tensor_slices((x, c))
    for data in ((x, c), (rows,), (rows.batch(100),), (Batches(x, c),), (iter(Batches(x, c)),)):
        loss = model.evaluate(*data, verbose=0)
        np.testing.assert_allclose(loss, -log_prob.mean(), rtol=1e-6)
        if not isinstance(data[0], np.ndarray) and not isinstance(data[0], tf.data.Dataset):
            continue
        np.testing.assert_allclose(model.predict(*data, verbose=0), log_prob, rtol=1e-6)
    np.testing.assert_array_equal(model.log_prob(rows.batch(100)), log_prob)
    np.testing.assert_allclose(
        model.evaluate(x, c, batch_size=64, steps=2, verbose=0), -log_prob[:128].mean(), rtol=1e-6
    )
    np.testing.assert_allclose(model.test_on_batch(x, c), -log_prob.mean(), rtol=1e-6)
    assert model.evaluate(x, c, verbose=0, return_dict=True).keys() == {"loss"}
    spoiled = np.where(np.arange(640)[:, None] == 7, np.nan, x)
    for method in ("evaluate", "predict", "train_on_batch", "test_on_batch"):
        call = getattr(model, method)
        with pytest.raises(InvalidInputError, match="NaN in row 7"):
            call(spoiled, c)
        with pytest.raises(InvalidInputError, match="conditional"):
            call(x)
        with pytest.raises(InvalidInputError, match="from 0 to 2"):
            call(x, c + 1)
    with pytest.raises(InvalidInputError, match="NaN in row 7"):
        model.evaluate(tf.data.Dataset.from_tensor_slices((spoiled, c)).batch(64), verbose=0)


def test_integers_are_checked_by_keras_methods():
    counts = np.random.default_rng(0).integers(0, 4, (64, 2)).astype("uint8")
    model = nice(levels=4)
    model.fit(counts, epochs=1, verbose=0)
    beyond = tf.data.Dataset.from_tensor_slices(counts + 1).batch(16)
    for call in (model.evaluate, model.predict, model.log_prob):
        with pytest.raises(InvalidInputError, match="levels"):
            call(beyond)


def test_steps_of_ones_own_are_those_of_fit(x):
    fitted, own = nice(), nice()
    fitted.fit(x, epochs=1, batch_size=64, shuffle=False, verbose=0)
    own.adapt(x)
    for start in range(0, 640, 64):
        own.train_on_batch(x[start : start + 64])
    same_weights(fitted, own, atol=1e-7)
    mixture = genzoo.GaussianMixture((2,), num_components=2, seed=0)
    mixture.adapt(x)
    with pytest.raises(InvalidInputError, match="all the data"):
        mixture.train_on_batch(x)


def test_keras_methods_on_several_devices_are_those_on_one(x, two_devices):
    with two_devices.scope():
        several = nice()
    one = nice()
    for model in (one, several):
        model.adapt(x)
        model.compile(keras.optimizers.SGD(0.1), steps_per_execution=8)
        model.train_on_batch(x[:63])
    same_weights(one, several, atol=1e-6)
    np.testing.assert_allclose(several.test_on_batch(x[:63]), one.test_on_batch(x[:63]), rtol=1e-5)
    np.testing.assert_allclose(
        several.evaluate(x, verbose=0), one.evaluate(x, verbose=0), rtol=1e-5
    )
    np.testing.assert_allclose(
        several.predict(x[:129], verbose=0), one.predict(x[:129], verbose=0), rtol=1e-5
    )


def test_sequences_have_the_same_doors():
    walks = np.random.default_rng(0).normal(size=(12, 10, 2)).cumsum(axis=1)
    model = genzoo.HiddenMarkovModel((2,), num_states=2, seed=0)
    model.fit((walks[i : i + 4] for i in range(0, 12, 4)), epochs=3, verbose=0)
    data = tf.data.Dataset.from_tensor_slices(walks)
    expected = model.log_prob(walks)
    np.testing.assert_allclose(model.log_prob(data.batch(5)), expected, rtol=1e-6)
    for given in (data, data.batch(5), iter([walks[:5], walks[5:]])):
        np.testing.assert_allclose(model.evaluate(given, verbose=0), -expected.mean(), rtol=1e-5)
    model.fit(walks, epochs=2, steps_per_epoch=1, batch_size=6, verbose=0)


# Weights of rows


def test_a_weight_counts_as_so_many_rows(x):
    rows, c = x[:64], np.arange(64) % 3
    w = np.random.default_rng(1).integers(0, 4, 64)
    again = np.repeat(rows, w, axis=0), np.repeat(c, w)

    def fit(data, **arguments):
        model = nice(num_classes=3)
        model.adapt(rows, c)
        model.compile(keras.optimizers.SGD(0.1), steps_per_execution=4)
        history = model.fit(*data, epochs=3, batch_size=1000, verbose=0, **arguments)
        return model, history.history["loss"]

    repeated, loss = fit(again)
    triples = tf.data.Dataset.from_tensor_slices((rows, c, w.astype("float32")))
    for data, arguments in (
        ((rows, c), {"sample_weight": w}),
        ((rows, c), {"sample_weight": 7.5 * w}),
        ((triples.batch(64),), {}),
        ((iter([(rows, c, w)]),), {}),
    ):
        model, weighted = fit(data, **arguments)
        same_weights(repeated, model, atol=1e-6)
        np.testing.assert_allclose(weighted, loss, rtol=1e-6)
    # in batches, too, whose weights have other means
    expected = repeated.evaluate(*again, verbose=0)
    for size in (5, 64):
        found = model.evaluate(rows, c, sample_weight=w, batch_size=size, verbose=0)
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_allclose(model.evaluate(triples, verbose=0), expected, rtol=1e-5)
    history = model.fit(rows, c, validation_data=(rows, c, w), epochs=1, verbose=0).history
    np.testing.assert_allclose(
        history["val_loss"][-1], model.evaluate(*again, verbose=0), rtol=1e-5
    )


def test_weights_of_classes_are_those_of_their_rows(x):
    rows, c = x[:64], np.arange(64) % 3
    w = np.array([2.0, 1.0, 0.5])[c]
    models = [nice(num_classes=3) for _ in range(3)]
    models[0].fit(rows, c, sample_weight=w, epochs=2, shuffle=False, verbose=0)
    models[1].fit(rows, c, class_weight={0: 2, 2: 0.5}, epochs=2, shuffle=False, verbose=0)
    stream = tf.data.Dataset.from_tensor_slices((rows, c))
    models[2].fit(stream, class_weight={0: 2, 2: 0.5}, epochs=2, verbose=0)
    for model in models[1:]:
        same_weights(models[0], model, atol=1e-6)
    for arguments, match in (
        ({"class_weight": {0: 2}, "sample_weight": w}, "not both"),
        ({"class_weight": {3: 2}}, "labels from 0 to 2"),
        ({"sample_weight": np.zeros(64)}, "above 0"),
    ):
        with pytest.raises(InvalidInputError, match=match):
            models[0].fit(rows, c, verbose=0, **arguments)
    with pytest.raises(InvalidInputError, match="labels"):
        nice().fit(rows, class_weight={0: 2}, verbose=0)


@pytest.mark.parametrize("name", ["vae", "gan", "wgan_gp", "pix2pix"])
def test_rows_of_weight_zero_teach_nothing(name, digits):
    x = digits.x_train[:64]
    w = np.arange(64) % 2
    weights = []
    for wrong in (x, np.where(w[:, None, None, None] == 0, 16 - x, x)):
        model = tiny(name)
        # those of weight 0 play a part in what is seen before training
        pairs = ((16 - x, x), (16 - wrong, wrong)) if name == "pix2pix" else ((x,), (wrong,))
        model.adapt(*pairs[0])
        model.fit(*pairs[1], sample_weight=w, epochs=2, batch_size=16, shuffle=False, verbose=0)
        weights.append(model.trainable_weights)
    for a, b in zip(*weights, strict=True):
        np.testing.assert_allclose(np.array(a), np.array(b), atol=1e-5)


def test_models_that_weigh_all_rows_alike_say_so():
    images = np.zeros((4, 8, 8, 1), "uint8")
    with pytest.raises(InvalidInputError, match="all rows alike"):
        tiny("cyclegan").fit(images, images, sample_weight=np.ones(4))


# Losses of layers


def network(units, regularizer=None, activity=None, last=None):
    layers = [
        keras.layers.Dense(
            units,
            activation="tanh",
            kernel_initializer=keras.initializers.GlorotUniform(seed=1),
            kernel_regularizer=regularizer,
            activity_regularizer=activity,
        )
    ]
    if last:
        layers.append(
            keras.layers.Dense(last, kernel_initializer=keras.initializers.GlorotUniform(seed=2))
        )
    return keras.Sequential(layers)


def test_regularizers_of_a_users_network_are_part_of_the_loss(x, two_devices):
    def fit(strength):
        regularizer = keras.regularizers.L2(strength) if strength else None
        model = genzoo.VAE((2,), latent_dim=2, encoder=network(4, regularizer), seed=0)
        model.adapt(x)
        model.compile(keras.optimizers.SGD(0.1), steps_per_execution=1)
        kernel = model.law.encoder.network.layers[0].kernel
        before = kernel.numpy()
        loss = model.evaluate(x, verbose=0, return_dict=True)["loss"]
        model.fit(x, epochs=1, batch_size=640, verbose=0)
        return before, kernel.numpy(), loss

    (before, plain, loss), (_, moved, with_loss) = fit(0.0), fit(0.5)
    np.testing.assert_allclose(with_loss - loss, 0.5 * np.square(before).sum(), rtol=1e-5)
    np.testing.assert_allclose(moved - plain, -0.1 * before, atol=1e-6)
    with two_devices.scope():
        _, several, several_loss = fit(0.5)
    np.testing.assert_allclose(several, moved, atol=1e-5)
    np.testing.assert_allclose(several_loss, with_loss, rtol=1e-5)


def test_add_loss_of_a_subclass_is_part_of_the_loss(x):
    class Pulled(genzoo.NICE):
        def call(self, inputs, training=False):
            self.add_loss(tf.constant(3.0))
            return super().call(inputs, training=training)

    arguments = {"num_couplings": 2, "hidden_units": (4,), "seed": 0}
    plain, pulled = genzoo.NICE((2,), **arguments), Pulled((2,), **arguments)
    for model in (plain, pulled):
        model.adapt(x)
    found = pulled.evaluate(x, verbose=0), pulled.test_on_batch(x)
    np.testing.assert_allclose(found, 3.0 + plain.evaluate(x, verbose=0), rtol=1e-6)


@pytest.mark.parametrize("side", ["generator", "discriminator"])
def test_regularizers_of_gans_are_part_of_their_sides_loss(side, x):
    def fit(strength, activity):
        own = {"regularizer": keras.regularizers.L2(strength), "activity": activity}
        parts = {
            "generator": network(4, last=2, **(own if side == "generator" else {})),
            "discriminator": network(4, **(own if side == "discriminator" else {})),
        }
        model = genzoo.GAN((2,), latent_dim=2, penalty=None, seed=0, **parts)
        model.adapt(x)
        model.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1))
        kernel = getattr(model, f"{side}_network").trainable_variables[0]
        before = kernel.numpy()
        history = model.fit(x, epochs=1, batch_size=640, verbose=0).history
        return before, kernel.numpy(), history[f"{side}_loss"][0]

    (before, plain, loss), (_, moved, with_loss) = fit(0.0, None), fit(0.5, None)
    np.testing.assert_allclose(moved - plain, -0.1 * before, atol=1e-6)
    np.testing.assert_allclose(with_loss - loss, 0.5 * np.square(before).sum(), rtol=1e-4)
    assert fit(0.0, keras.regularizers.L2(1.0))[2] > loss + 1e-3


def test_a_phase_leaves_what_it_does_not_train(digits):
    encoder = network(8, keras.regularizers.L2(1.0))
    flat = keras.Sequential([keras.layers.Flatten(), encoder])
    model = tiny("two_stage_vae", encoder=flat)
    seen = []
    note = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(encoder.layers[0].kernel.numpy())
    )
    model.fit(digits.x_train[:64], epochs=4, verbose=0, callbacks=[note])
    assert np.abs(seen[1] - seen[0]).max() > 0
    np.testing.assert_array_equal(seen[3], seen[1])


@pytest.mark.parametrize("block", [None, "stream", "logarithms"])
def test_a_sequence_of_weight_w_counts_as_w_sequences(block):
    random = np.random.default_rng(0)
    walks = np.cumsum(random.normal(size=(12, 9, 1)), axis=1)
    if block == "logarithms":
        # a step so surprising that the recursion goes on in logarithms
        walks[:, 4] += 500.0
    lengths, weights = random.integers(4, 10, 12), random.integers(0, 4, 12)
    start = genzoo.HiddenMarkovModel((1,), num_states=2, seed=0)
    start.adapt(walks, lengths)
    models = [
        genzoo.HiddenMarkovModel((1,), num_states=2, parameters_init=start.parameters())
        for _ in range(2)
    ]
    given = {"x": walks, "lengths": lengths, "sample_weight": weights}
    if block == "stream":
        given = {"x": tf.data.Dataset.from_tensor_slices(given).batch(5)}
    models[0].fit(**given, epochs=3, verbose=0)
    repeated = np.repeat(walks, weights, axis=0), np.repeat(lengths, weights)
    models[1].fit(*repeated, epochs=3, verbose=0)
    for name, value in models[1].parameters().items():
        np.testing.assert_allclose(models[0].parameters()[name], value, rtol=1e-4, atol=1e-6)
    loss = models[0].evaluate(**given, verbose=0)
    np.testing.assert_allclose(loss, -models[1].log_prob(*repeated).mean(), rtol=1e-4)
