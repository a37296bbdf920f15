"""Private names of Keras, TensorFlow and TFP: what breaks when one goes, and where they stand."""

import ast
import configparser
import functools
import importlib
import inspect
import logging
import pkgutil
import re
import textwrap
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import genzoo
from genzoo.core.compat import keras as compat_keras
from genzoo.core.compat import tensorflow as compat_tensorflow
from genzoo.core.compat import tfp as compat_tfp

ROOT = Path(__file__).parent.parent
ROOM = ROOT / "genzoo" / "core" / "compat"
FOREIGN = ("keras", "tensorflow", "tensorflow_probability", "tf_keras")

# Keras


class Line(compat_keras.TrainerHooks, keras.Model):
    """y = w x, trained on x alone to w x = 1; notes what Keras calls."""

    def __init__(self):
        super().__init__()
        self.weight = self.add_weight(shape=[1], initializer="zeros", name="weight")
        self.calls = []

    def call(self, x):
        return x * self.weight

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return tf.reduce_mean((y_pred - 1.0) ** 2)

    def _step_function(self, kind, function):
        self.calls.append(f"made {kind}")

        def step(iterator):
            self.calls.append(kind)
            return function(iterator)

        return step

    def _make_function(self, step_function):
        self.calls.append("_make_function")
        return super()._make_function(step_function)

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        self.calls.append("_maybe_symbolic_build")
        return super()._maybe_symbolic_build(iterator, data_batch)

    @compat_keras.validates_in_fit
    def evaluate(self, x, **arguments):
        self.calls.append("evaluate")
        return super().evaluate(x, verbose=0, return_dict=True)


def line(optimizer=None, **arguments):
    model = Line()
    model.compile(keras.optimizers.SGD(0.1) if optimizer is None else optimizer, **arguments)
    return model


def batches(n=3):
    return tf.data.Dataset.from_tensor_slices(np.ones((2 * n, 1), "float32")).batch(2)


def fit(model, **arguments):
    return model.fit(batches(), verbose=0, **arguments)


def test_fit_runs_steps_by_the_function_that_the_model_holds():
    model = line()
    fit(model, validation_data=batches(2))
    for kind, steps in (("train", 3), ("test", 2)):
        assert model.calls.count(f"made {kind}") == 1, (
            f"Keras's fit no longer calls Model.make_{kind}_function"
        )
        assert model.calls.count(kind) in (steps, steps + 1), (
            f"Keras's fit no longer runs steps by Model.{kind}_function"
        )


def test_functions_of_steps_that_are_forgotten_are_made_anew():
    model = line()
    fit(model)
    compat_keras.forget_step_functions(model)
    assert model.train_function is model.test_function is model.predict_function is None
    fit(model)
    assert model.calls.count("made train") == 2, (
        "Keras no longer makes anew a Model.train_function of None"
    )


def test_a_step_beyond_the_end_of_a_stream_is_not_counted():
    model = line()
    stream = tf.data.Dataset.from_generator(
        lambda: iter(np.ones((3, 2, 1), "float32")), output_signature=tf.TensorSpec([2, 1])
    )
    model.fit(stream, epochs=2, verbose=0)
    assert "_make_function" in model.calls, (
        "Keras no longer makes the functions of its steps by Model._make_function"
    )
    assert int(model.optimizer.iterations) == 6, (
        "A training step of Keras's counts itself, though it finds no batch: "
        "TrainerHooks._make_function no longer makes the counter wait"
    )


def test_fit_asks_the_model_to_build_itself(two_devices):
    with two_devices.scope():
        model = line()
        model.optimizer.build(model.trainable_variables)
    fit(model)
    assert "_maybe_symbolic_build" in model.calls, (
        "Keras's fit no longer calls Model._maybe_symbolic_build: see by what it builds a model "
        "now, which fails over workers"
    )


class Begin(keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_train_begin(self, logs=None):
        compat_keras.start_at_epoch(self.model, self.epoch)


def test_a_callback_tells_fit_where_to_begin():
    model = line()
    history = fit(model, epochs=5, callbacks=[Begin(3)])
    assert history.epoch == [3, 4], (
        "Keras's fit no longer begins at Model._initial_epoch: see how "
        "keras.callbacks.BackupAndRestore resumes now"
    )
    compat_keras.start_at_epoch(model, None)
    assert fit(model, epochs=2).epoch == [0, 1], "Model._initial_epoch of None no longer means none"


def test_fit_validates_by_evaluate_of_its_own():
    model = line()
    history = fit(model, epochs=2, validation_data=batches(2))
    assert len(history.history["val_loss"]) == 2
    assert "evaluate" not in model.calls, (
        "Keras's fit no longer tells evaluate by _use_cached_eval_dataset that it validates"
    )
    model.evaluate(batches(2))
    assert model.calls.count("evaluate") == 1


def test_steps_of_fit_are_stood_in_for():
    model, met = line(), []

    class Skip(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 0:
                self.stand_in = compat_keras.TrainStepStandIn(self.model, skip, calls=2)

        def on_train_batch_end(self, batch, logs=None):
            met.append(self.stand_in.runs)

    def skip(iterator):
        next(iterator)
        return {}

    callback = Skip()
    fit(model, callbacks=[callback])
    assert met == [True, False, False], (
        "Keras's fit no longer reads Model.train_function before each step"
    )
    assert int(model.optimizer.iterations) == 1
    stand_in = compat_keras.TrainStepStandIn(model, skip, calls=2)
    stand_in.end()
    assert model.train_function is None


class Noted(compat_keras.OptimizerHooks, keras.optimizers.Adam):
    calls = ()

    def _updating(self):
        self.calls = (*self.calls, "updating")
        return super()._updating()

    def _all_reduce_sum_gradients(self, grads_and_vars):
        self.calls = (*self.calls, "reduced")
        return super()._all_reduce_sum_gradients(grads_and_vars)


def test_optimisers_tell_when_they_update():
    optimizer, variable = Noted(0.1), keras.Variable([1.0])
    optimizer.apply([tf.constant([2.0])], [variable])
    assert "reduced" in optimizer.calls, (
        "Keras's optimisers no longer sum gradients by _all_reduce_sum_gradients"
    )
    assert optimizer.calls.count("updating") == 1, (
        "Keras's optimisers no longer update by _distributed_tf_update_step"
    )
    np.testing.assert_allclose(variable, [0.9], rtol=1e-5)


def test_gradients_are_summed_over_replicas(two_devices):
    with two_devices.scope():
        variable, optimizer = keras.Variable([1.0]), Noted(0.1)
        optimizer.build([variable])

    def step():
        rank = tf.distribute.get_replica_context().replica_id_in_sync_group
        optimizer.apply([tf.ones([1]) * tf.cast(rank + 1, tf.float32)], [variable])

    tf.function(lambda: two_devices.run(step), autograph=False)()
    first, _ = compat_keras.moments(optimizer, variable)
    np.testing.assert_allclose(
        first, [0.1 * 3.0], rtol=1e-5, err_msg="Keras no longer sums gradients over replicas"
    )


def test_adam_keeps_a_mean_of_gradients_and_one_of_their_squares():
    optimizer = keras.optimizers.Adam(beta_1=0.9, beta_2=0.99)
    variables = [keras.Variable([1.0]), keras.Variable([2.0, 3.0])]
    gradients = [tf.constant([4.0]), tf.constant([5.0, 6.0])]
    optimizer.apply(gradients, variables)
    for variable, gradient in zip(variables, gradients, strict=True):
        try:
            first, second = compat_keras.moments(optimizer, variable)
        except AttributeError as error:
            pytest.fail(f"Keras's Adam keeps its means under other names now: {error}")
        message = "Keras's Adam keeps other means now"
        np.testing.assert_allclose(first, 0.1 * gradient, rtol=1e-5, err_msg=message)
        np.testing.assert_allclose(second, 0.01 * gradient**2, rtol=1e-4, err_msg=message)


def test_layers_within_layers_are_found():
    class Outer(keras.layers.Layer):
        def __init__(self, *inner):
            super().__init__()
            self.inner = list(inner)

    deep, flat = keras.layers.Dense(1), keras.layers.Dense(1)
    middle = Outer(deep)
    outer = Outer(middle, flat)
    try:
        found = compat_keras.layers_within(outer)
    except AttributeError as error:
        pytest.fail(f"Keras lists the layers within a layer under another name now: {error}")
    assert {id(layer) for layer in found} == {id(x) for x in (outer, middle, deep, flat)}
    assert outer not in compat_keras.layers_within(outer, itself=False)


def test_saving_makes_no_optimiser(monkeypatch, tmp_path):
    model = line()
    fit(model)
    model.save_weights(tmp_path / "first.weights.h5")
    made = []
    init = keras.optimizers.Optimizer.__init__

    def noted(self, *arguments, **named):
        made.append(self)
        init(self, *arguments, **named)

    monkeypatch.setattr(keras.optimizers.Optimizer, "__init__", noted)
    compat_keras.remember_saved_attributes()
    model.save_weights(tmp_path / "second.weights.h5")
    assert not made, (
        "Keras makes an optimiser at each save: its list of an optimiser's attributes stands under "
        "other names in keras.src.backend.common.global_state now"
    )


# TensorFlow


class Listed(compat_tensorflow.InCheckpoints, keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.parts = [keras.layers.Dense(1) for _ in range(2)]
        for part in self.parts:
            part.build((None, 1))


def test_checkpoints_hold_the_variables_in_lists(tmp_path):
    layer = Listed()
    path = tf.train.Checkpoint(layer=layer).save(tmp_path / "c")
    names = [name for name, _ in tf.train.list_variables(path) if name.startswith("layer/")]
    assert len(names) >= 4, (
        "TensorFlow no longer asks _trackable_children what a checkpoint holds: it misses the "
        "variables of layers in lists"
    )
    other = Listed()
    tf.train.Checkpoint(layer=other).restore(path)
    for ours, theirs in zip(layer.variables, other.variables, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_tapes_that_watch_are_noticed():
    x, variable = tf.constant([1.0]), tf.Variable([1.0])
    assert not compat_tensorflow.is_watched(x, variable)
    with tf.GradientTape() as tape:
        assert not compat_tensorflow.is_watched(x, "text", None)
        tape.watch(x)
        for value in (x, 2.0 * x, variable, keras.Variable([1.0])):
            assert compat_tensorflow.is_watched(value), (
                "TensorFlow tells no longer by tensorflow.python.eager.record whether a tape "
                "records: gradients of what returns NumPy are None without a word"
            )


def test_warnings_of_retracing_are_known_by_their_words():
    records = []
    handler = logging.Handler()
    handler.emit = records.append
    logger = tf.get_logger()
    logger.addHandler(handler)
    # of unlike code, by which TensorFlow counts
    first = tf.function(lambda n: tf.constant(n), autograph=False)
    second = tf.function(lambda n: tf.constant(-n), autograph=False)
    quiet = compat_tensorflow.retraced_quietly(first)
    try:
        for n in range(10):
            quiet(n)
        assert not records, f"TensorFlow warns of retracing in other words: {records}"
        for n in range(10):
            second(n)
    finally:
        logger.removeHandler(handler)
    assert any("triggered tf.function retracing" in r.getMessage() for r in records), (
        "TensorFlow no longer warns of retracing, or in other words: retraced_quietly may go"
    )


def test_functions_are_kept_from_being_inlined():
    inner = tf.function(
        lambda x: x + 1.0,
        autograph=False,
        experimental_attributes=compat_tensorflow.not_inlined(),
    )
    concrete = inner.get_concrete_function(tf.TensorSpec([]))
    outer = tf.function(lambda x: inner(x) * inner(x), autograph=False)
    assert outer(tf.constant(1.0)) == 4.0
    assert concrete.function_def.attr["_noinline"].b, (
        "TensorFlow no longer marks functions that are not inlined by _noinline"
    )


def test_compiled_functions_are_launched():
    assert compat_tensorflow.can_launch(), (
        "TensorFlow's operation XlaLaunch has gone, or takes other attributes: compiled functions "
        "leave their bodies in memory, once for each graph that calls them"
    )
    body = tf.function(lambda x, y: [x @ y, x + 1.0], autograph=False)
    body = body.get_concrete_function(tf.TensorSpec([None, 2]), tf.TensorSpec([2, 2]))
    launched = tf.function(lambda *xs: compat_tensorflow.launch(body, list(xs)), autograph=False)
    x, y = tf.constant([[1.0, 2.0]]), tf.constant([[1.0, 2.0], [3.0, 4.0]])
    product, one_more = launched(x, y)
    np.testing.assert_allclose(product, [[7.0, 10.0]])
    np.testing.assert_allclose(one_more, [[2.0, 3.0]])


# TFP


class Shift(compat_tfp.Uncached, tfp.bijectors.Bijector):
    """Moves by a variable; not a composite tensor, as a step's bijector."""

    def __init__(self, by, name="shift"):
        super().__init__(
            forward_min_event_ndims=0, parameters={"by": by}, dtype=tf.float32, name=name
        )
        self.by, self.calls = by, 0

    @classmethod
    def _parameter_properties(cls, dtype):
        return {"by": tfp.util.ParameterProperties()}

    def _forward(self, x):
        return x + self.by

    def _inverse(self, y):
        self.calls += 1
        return y - self.by

    def _forward_log_det_jacobian(self, x):
        return tf.zeros([])


def test_bijectors_remember_nothing():
    by = tf.Variable(1.0)
    shift, x = Shift(by), tf.constant(2.0)
    y = shift.forward(x)
    by.assign(3.0)
    assert shift.inverse(y) == 0.0, (
        "TFP no longer asks Bijector._cache what a point became: it answers by weights of before"
    )
    assert shift.forward(x) == 5.0, "TFP's cache answers by weights of before"
    stock = tfp.bijectors.Exp()
    assert stock.inverse(stock.forward(x)) is x, (
        "TFP's bijectors no longer remember by themselves: compat.tfp.Uncached may go"
    )


def test_chains_and_distributions_find_the_variables_of_any_parts():
    by = tf.Variable(1.0)
    chain_class = compat_tfp.of_any_parts(tfp.bijectors.Chain)

    class Chain(chain_class):
        pass

    distribution_class = compat_tfp.of_any_parts(tfp.distributions.TransformedDistribution)

    class Distribution(distribution_class):
        pass

    base = tfp.distributions.Normal(0.0, 1.0)
    for made in (Chain([Shift(by)]), Distribution(base, Shift(by))):
        # of which it is a part
        whole = tf.Module()
        whole.part = made
        assert any(variable is by for variable in whole.trainable_variables), (
            f"TFP's {type(made).__name__} has no base class for parts that are not composite "
            "tensors, or its objects lose their variables: those of flows within others are missing"
        )
    np.testing.assert_allclose(
        Distribution(base, Shift(by)).log_prob(2.0), base.log_prob(1.0), rtol=1e-6
    )
    assert compat_tfp.of_any_parts(tfp.bijectors.Exp) is tfp.bijectors.Exp


# The room

SEEN = {"keras": "Keras", "tensorflow": "TensorFlow", "tfp": "TFP"}
PROJECTS = {"keras": "keras", "tensorflow": "tensorflow", "tfp": "tensorflow-probability"}
LINES = ("Private name", "Reason", "Upstream", "Seen with", "Without it")


def documented(module):
    """Yield the docstrings of a file of the room that tell of a private name."""
    for node in ast.walk(ast.parse((ROOM / f"{module}.py").read_text())):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            text = ast.get_docstring(node) or ""
            if "Private name:" in text:
                yield node.name, text


@pytest.mark.parametrize("module", SEEN)
def test_each_private_name_is_explained(module):
    told = dict(documented(module))
    assert told
    requirements, lowest = _bounds()
    project = PROJECTS[module]
    for name, text in told.items():
        for line in LINES:
            assert re.search(rf"^{line}: \S", text, re.M), f"{name} of compat/{module}: no {line}"
        seen = re.search(rf"Seen with: {SEEN[module]} (\S+?)(?: to (\S+?))?\.$", text, re.M)
        assert seen, f"{name}: versions of {SEEN[module]} that it was seen to work with"
        first, last = seen[1], seen[2] or seen[1]
        assert first == lowest[project], f"{name}: the lowest version is that of .ci/lowest.txt"
        low, high = requirements[project]
        assert _parts(low) <= _parts(first) <= _parts(last) < _parts(high), (
            f"{name} was seen with {first} to {last}, and setup.cfg allows {low} to {high}"
        )


def _bounds():
    """Return the bounds of setup.cfg and the versions of .ci/lowest.txt, by project."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    requirements = {}
    for requirement in config["options"]["install_requires"].split():
        name, low, high = re.fullmatch(r"([\w-]+)>=([\d.]+)(?:,<([\d.]+))?", requirement).groups()
        requirements[name] = low, high
    lines = (ROOT / ".ci" / "lowest.txt").read_text().splitlines()
    pinned = (line.split("#")[0].strip().partition("==") for line in lines)
    return requirements, {name: version for name, _, version in pinned if name}


def _parts(version):
    return [int(part) for part in version.split(".")]


def test_the_lowest_versions_are_those_that_setup_cfg_allows():
    requirements, lowest = _bounds()
    for name, (low, _) in requirements.items():
        parts, given = _parts(low), _parts(lowest[name])
        assert given[: len(parts)] == parts, f"{name}=={lowest[name]} is not the lowest, {low}"
    for project in ("tensorflow", "tensorflow-probability", "tf_keras", "keras"):
        assert requirements[project][1], f"{project} needs an upper bound: we use its private names"


# Other rooms

# private names that are not ours and may stand elsewhere
OTHERS = {
    "_ActionsContainer": "argparse: adds options to parsers and to groups of them alike",
    "_core": "benchmarks: peers' own",
    "_covars_": "hmmlearn: the property fails where no fit counted the columns",
    "_fit_X": "scikit-learn: the rows that NearestNeighbors was fitted to",
    "_gradient_op_type": "TensorFlow's file format: a test looks for it in an exported graph",
    "_scaler": "scikit-learn: the scale within PowerTransformer",
}
STEP_FUNCTIONS = ("train_function", "test_function", "predict_function")
# what no public attribute of the same name without underscore tells of
TFP_HOOKS = {"_sample_n", "_call_sample_n"}


def private(name):
    return re.fullmatch(r"_[A-Za-z]\w*", name) and not name.endswith("__")


@functools.cache
def trees():
    """Return the syntax trees of all files outside the room and its tests, by path."""
    folders = (ROOT / name for name in ("genzoo", "zoo_scripts", "benchmarks", "tests"))
    paths = {path for folder in folders for path in folder.rglob("*.py")} - {*ROOM.glob("*.py")}
    return {path: ast.parse(path.read_text()) for path in sorted(paths - {Path(__file__)})}


@functools.cache
def names_made_here():
    """Return the names that genzoo's own code gives to something."""
    names = set()
    for tree in trees().values():
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                names.add(node.name)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                names.add(node.attr)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names.add(node.id)
            elif isinstance(node, ast.arg):
                names.add(node.arg)
    return names


def foreign_names(tree, ours):
    """Yield the lines of a file that use a private name which is not ours, and the name."""
    for node in ast.walk(tree):
        for name in _used(node):
            if private(name) and name not in ours and name not in OTHERS:
                yield node.lineno, name
        if isinstance(node, ast.Attribute):
            internal = node.attr in (*STEP_FUNCTIONS, "__bases__", "__internal__", "create_op")
            module = node.attr in ("src", "python") and getattr(node.value, "id", "") in (
                *FOREIGN,
                "tf",
                "tfp",
            )
            if internal or module:
                yield node.lineno, node.attr
        for module in _imported(node):
            first, *others = module.split(".")
            if first in FOREIGN and any(part in ("src", "python") for part in others):
                yield node.lineno, module


def _used(node):
    if isinstance(node, ast.Attribute):
        yield node.attr
    elif isinstance(node, ast.keyword):
        yield node.arg or ""
    elif isinstance(node, ast.Dict):
        yield from _texts(node.keys)
    elif isinstance(node, ast.Call):
        yield from _texts(node.args)
    elif isinstance(node, ast.Compare):
        yield from _texts([node.left, *node.comparators])
    elif isinstance(node, ast.Subscript):
        yield from _texts([node.slice])


def _texts(nodes):
    return [n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)]


def _imported(node):
    if isinstance(node, ast.ImportFrom):
        return [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [alias.name for alias in node.names] if isinstance(node, ast.Import) else []


def test_no_other_room_uses_a_private_name():
    ours = names_made_here()
    found = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path, tree in trees().items()
        for line, name in foreign_names(tree, ours)
    ]
    assert not found, "private names outside core/compat:\n" + "\n".join(found)


@pytest.mark.parametrize(
    "code",
    [
        "model._initial_epoch = 1",
        "layer._flatten_layers()",
        "from keras.src import ops",
        "import tensorflow.python.eager.record",
        "from tensorflow.python.eager import record",
        "tf.function(f, experimental_attributes={'_noinline': True})",
        "model.evaluate(x, _use_cached_eval_dataset=True)",
        "arguments.pop('_use_cached_eval_dataset')",
        "model.train_function = None",
        "graph.create_op('XlaLaunch', [], [])",
        "tfp.bijectors.Chain.__bases__",
        "tf.__internal__.tracking",
    ],
)
def test_private_names_are_noticed(code):
    ours = names_made_here()
    assert list(foreign_names(ast.parse(code), ours))


def modules():
    names = (module.name for module in pkgutil.walk_packages(genzoo.__path__, "genzoo."))
    return [importlib.import_module(name) for name in names]


def test_no_class_elsewhere_takes_a_private_name_of_its_foreign_bases():
    found = set()
    for module in modules():
        for cls in vars(module).values():
            if inspect.isclass(cls) and cls.__module__ == module.__name__:
                found |= set(taken(cls))
    assert not found, (
        "classes outside core/compat that set or override a private name of a foreign base:\n"
        + "\n".join(sorted(found))
    )


def taken(cls):
    """Yield the private names of foreign bases that a class or a base of ours sets."""
    foreign = [base for base in cls.__mro__ if base.__module__.split(".")[0] in FOREIGN]
    theirs = {name for base in foreign for name in names_set(base)}
    for base in cls.__mro__:
        own = base.__module__.startswith("genzoo.") and ".compat." not in base.__module__
        for name in names_set(base) & theirs if own else ():
            if not any(is_hook(b, name) for b in foreign):
                yield f"{base.__module__}.{base.__qualname__}: {name}"


def is_hook(base, name):
    """Return whether TFP asks subclasses to define this name: that of a public method."""
    by_tfp = base.__module__.startswith("tensorflow_probability")
    return by_tfp and (name in TFP_HOOKS or hasattr(base, name.removeprefix("_")))


_NAMES = {}


def names_set(cls):
    """Return the private names that the code of a class defines or sets on its objects."""
    if cls not in _NAMES:
        names = {name for name in vars(cls) if private(name) and name != "_abc_impl"}
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
        except (OSError, TypeError, SyntaxError):
            # written in C
            tree = ast.Module([], [])
        for node in ast.walk(tree):
            stored = isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
            if stored and getattr(node.value, "id", "") == "self" and private(node.attr):
                names.add(node.attr)
        _NAMES[cls] = names
    return _NAMES[cls]


def test_overrides_are_noticed():
    class Chance(keras.Model):
        def _make_function(self, step_function):
            self._tracker = None
            return step_function

    Chance.__module__ = "genzoo.chance"
    # the text of a class within a function is found by its own module alone
    _NAMES[Chance] = {"_make_function", "_tracker", "_ours"}
    assert {found.split(": ")[1] for found in taken(Chance)} == {"_make_function", "_tracker"}
