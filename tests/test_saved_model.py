"""SavedModels in a process that has neither genzoo, Keras nor TFP."""

import subprocess
import sys

import numpy as np
import pytest
from tensorflow.core.protobuf import saved_model_pb2

import genzoo
from genzoo.core.registry import traits_of
from genzoo.core.traits import HasLatentSpace
from tests.tiny import tiny

CHILD = '''
import sys

class Absent:
    """Makes packages fail to import, as if they were not there."""

    def find_spec(self, name, path=None, target=None):
        from importlib.machinery import ModuleSpec
        if name in ("genzoo", "keras", "tf_keras", "tensorflow_probability"):
            return ModuleSpec(name, self, origin=name)

    def create_module(self, spec):
        raise ImportError(f"{spec.name} is absent")

    def exec_module(self, module):
        pass

sys.meta_path.insert(0, Absent())
import numpy as np
import tensorflow as tf

loaded = tf.saved_model.load(sys.argv[1])
given = np.load(sys.argv[2])
out = {}
for name in loaded.signatures:
    inputs = loaded.signatures[name].structured_input_signature[1]
    if "n" in inputs:
        result = loaded.signatures[name](n=tf.constant(1030), seed=tf.constant(7, tf.int64))
    elif "z" in inputs:
        result = loaded.signatures[name](z=tf.constant(given["z"]))
    else:
        result = loaded.signatures[name](x=tf.constant(given["x"]))
    (out[name],) = [value.numpy() for value in result.values()]
assert not {"genzoo", "keras", "tf_keras", "tensorflow_probability"} & set(sys.modules)
np.savez(sys.argv[3], **out)
'''


# the exports of the others stand in the tests of their families
MODELS = [
    name
    for name in genzoo.models()
    if traits_of(name).context != "must" and "sequence" not in traits_of(name).examples
]


@pytest.mark.parametrize("name", MODELS)
def test_numbers_without_genzoo(name, digits, tmp_path):
    model = tiny(name)
    model.fit(digits.x_train, epochs=2, verbose=0)
    model.export(tmp_path / "model")
    latent_shape = model.latent_shape if isinstance(model, HasLatentSpace) else (2,)
    z = np.random.default_rng(0).normal(size=(11, *latent_shape)).astype("float32")
    np.savez(tmp_path / "given.npz", x=digits.x_test[:33], z=z)
    arguments = [str(tmp_path / n) for n in ("model", "given.npz", "out.npz")]
    result = subprocess.run(
        [sys.executable, "-c", CHILD, *arguments], capture_output=True, text=True, timeout=200
    )
    assert result.returncode == 0, result.stderr
    assert "gradient" not in result.stderr
    out = np.load(tmp_path / "out.npz")
    expected = {
        "log_prob": lambda: model.log_prob(digits.x_test[:33]),
        "sample": lambda: model.sample(1030, seed=7),
        "encode": lambda: model.encode(digits.x_test[:33]),
        "decode": lambda: model.decode(z),
        "predict_proba": lambda: model.predict_proba(digits.x_test[:33]),
    }
    expected["discriminate"] = lambda: model.discriminate(digits.x_test[:33])
    rating = "log_prob" if model.traits.has_density else "discriminate"
    assert set(out) >= {rating, "sample", "serving_default"}
    assert name not in ("gan", "vae") or set(out) >= {"encode", "decode"}
    for signature in set(out) - {"serving_default"}:
        values = expected[signature]()
        assert out[signature].dtype == values.dtype
        np.testing.assert_allclose(out[signature], values, rtol=1e-5, atol=1e-5)


def test_exported_functions_carry_no_gradients_of_their_own(tmp_path):
    model = tiny("maf", event_shape=(2,))
    model.fit(genzoo.data.toy("moons", 100, seed=0), epochs=1, verbose=0)
    model.export(tmp_path / "exported")
    proto = saved_model_pb2.SavedModel.FromString(
        (tmp_path / "exported/saved_model.pb").read_bytes()
    )
    functions = proto.meta_graphs[0].graph_def.library.function
    assert functions
    # each load would register them for good, and with them its graphs
    assert not any("_gradient_op_type" in n.attr for f in functions for n in f.node_def)
