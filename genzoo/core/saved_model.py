"""Writing TensorFlow SavedModels."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from genzoo.core.tracing import traced_for

Signatures = dict[str, tuple[Callable[..., Any], list[tf.TensorSpec]]]


def write_saved_model(model: keras.Model, signatures: Signatures, path: str) -> None:
    """Write a model's functions as the signatures of a SavedModel.

    Args:
        model: Owner of the weights.
        signatures: Functions in graph and their inputs, by name; the first is also the default.
        path: Folder to make.
    """
    archive = keras.export.ExportArchive()
    archive.track(model)
    with traced_for("export"):
        for name, (function, signature) in signatures.items():
            archive.add_endpoint(name, function, input_signature=signature)
        # it is here that Keras traces them
        archive.write_out(path, verbose=False)
