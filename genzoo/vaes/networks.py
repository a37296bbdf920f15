"""Encoders and decoders by name."""

from typing import Any

from genzoo.core.checks import check_choice
from genzoo.core.traits import is_image
from genzoo.nets import (
    ConvDecoder,
    ConvEncoder,
    MLPDecoder,
    MLPEncoder,
    OwnDecoder,
    OwnEncoder,
)

NETWORKS = ("mlp", "conv", "resnet", "auto")


def make_encoder(encoder: Any, event_shape, vector_dim, **arguments: Any):
    """Return the network of an encoder's name, or around a user's own."""
    encoder, units, extra, shared = _choose(encoder, "encoder", event_shape, arguments)
    if not isinstance(encoder, str):
        return OwnEncoder(encoder, event_shape, vector_dim, **shared)
    if encoder == "mlp":
        return MLPEncoder(event_shape, vector_dim, units, **shared)
    return ConvEncoder(event_shape, vector_dim, **extra, **shared)


def make_decoder(decoder: Any, event_shape, vector_dim, **arguments: Any):
    """Return the network of a decoder's name, or around a user's own."""
    decoder, units, extra, shared = _choose(decoder, "decoder", event_shape, arguments)
    if not isinstance(decoder, str):
        return OwnDecoder(decoder, event_shape, vector_dim, **shared)
    if decoder == "mlp":
        return MLPDecoder(event_shape, vector_dim, units[::-1], **shared)
    return ConvDecoder(event_shape, vector_dim, **extra, **shared)


def _choose(network, name, event_shape, arguments):
    """Return the network, hidden units, the arguments of convolutions, and those of all."""
    if isinstance(network, str) and check_choice(network, NETWORKS, name) == "auto":
        network = "conv" if is_image(event_shape) else "mlp"
    shared = dict(arguments)
    units = shared.pop("hidden_units")
    extra = {"filters": shared.pop("filters"), "num_blocks": shared.pop("num_blocks")}
    if isinstance(network, str) and network == "conv":
        extra["num_blocks"] = 0
    return network, units, extra, shared
