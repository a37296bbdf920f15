"""Writing TensorFlow SavedModels."""

import functools
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from genzoo.core.checks import check_choice
from genzoo.core.engine.tracing import traced_for
from genzoo.core.errors import InvalidInputError
from genzoo.core.inputs.spec import DataSpec

Signatures = dict[str, tuple[Callable[..., Any], list[tf.TensorSpec]]]

_FORMATS = ("tf_saved_model", "onnx", "openvino", "litert", "torch")
_CONVERSIONS = {
    "litert": "tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=['log_prob'])",
    "onnx": "python -m tf2onnx.convert --saved-model FOLDER --signature_def log_prob --output FILE",
    "openvino": "openvino.convert_model(folder)",
}


def check_export_arguments(export_format: Any, input_signature: Any) -> None:
    """Refuse what Keras's `export` takes and ours cannot do."""
    if check_choice(export_format, _FORMATS, "format") != "tf_saved_model":
        conversion = _CONVERSIONS.get(export_format)
        remedy = "" if conversion is None else f" and convert a signature of it, with {conversion}"
        raise InvalidInputError(
            "Expected format='tf_saved_model': a model has several functions, some of which draw "
            f"random numbers, and other formats hold one without. Received: "
            f"format={export_format!r}. Write a SavedModel{remedy}."
        )
    if input_signature is not None:
        raise InvalidInputError(
            "Expected no input_signature: shapes and dtypes follow from the model and its data, "
            f"see export_signatures(). Received: input_signature={input_signature!r}. Leave it out."
        )


def write_saved_model(
    model: keras.Model, signatures: Signatures, kinds: dict[str, DataSpec], path: str
) -> None:
    """Write a model's functions as the signatures of a SavedModel.

    A signature returns a dict of its result under its own name; the functions themselves, which
    are attributes of what is loaded, return the result as it is. Both refuse values that the data
    cannot have.

    Args:
        model: Owner of the weights.
        signatures: Functions in graph and their inputs, by name; the first is also the default.
        kinds: What is known of the inputs, by name.
        path: Folder to make.
    """
    root, served = tf.Module(), {}
    root.weights = [variable.value for variable in model.variables]
    root.tables = [
        part
        for part in tf.train.TrackableView(model).descendants()
        if isinstance(part, tf.saved_model.experimental.TrackableResource)
    ]
    with traced_for("export"):
        for name, (function, specs) in signatures.items():
            checked = _checked(function, [kinds.get(s.name) for s in specs])
            graph = tf.function(checked, specs, autograph=False)
            setattr(root, name, graph)
            served[name] = _named(name, graph, specs)
        served["serving_default"] = next(iter(served.values()))
        tf.saved_model.save(root, path, signatures=served)


def _checked(function: Callable[..., Any], kinds: list[DataSpec | None]) -> Callable[..., Any]:
    @functools.wraps(function)
    def checked(*inputs):
        # a context that the model does not take is None
        for x, kind in zip(inputs, kinds, strict=False):
            if kind is not None:
                kind.check_in_graph(x)
        return function(*inputs)

    return checked


def _named(name: str, graph: Callable[..., Any], specs: list[tf.TensorSpec]) -> Callable[..., Any]:
    """Return the function with its result under a name, which TensorFlow would call output_0."""

    def serve(*inputs):
        return {name: graph(*inputs)}

    return tf.function(serve, specs, autograph=False)


def describe(signatures: Signatures) -> str:
    """Return a line on each function and its inputs."""
    lines = []
    for name, (_, specs) in signatures.items():
        inputs = ", ".join(f"{s.name} {s.dtype.name}{s.shape.as_list()}" for s in specs)
        lines.append(f"{name}({inputs})")
    return "\n".join(lines)
