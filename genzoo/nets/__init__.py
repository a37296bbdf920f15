"""Plain Keras networks, no probability."""

from genzoo.nets.autoencoder import (
    ConvDecoder,
    ConvEncoder,
    MLPDecoder,
    MLPEncoder,
    OwnDecoder,
    OwnEncoder,
)
from genzoo.nets.conv import ConvNet, ResNet
from genzoo.nets.masked import MADE, made_degrees
from genzoo.nets.mlp import MLP

__all__ = [
    "MADE",
    "MLP",
    "ConvDecoder",
    "ConvEncoder",
    "ConvNet",
    "MLPDecoder",
    "MLPEncoder",
    "OwnDecoder",
    "OwnEncoder",
    "ResNet",
    "made_degrees",
]
