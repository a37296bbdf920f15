"""Plain Keras networks, no probability."""

from genzoo.nets.autoencoder import (
    ConvDecoder,
    ConvEncoder,
    MLPDecoder,
    MLPEncoder,
    halved_sizes,
)
from genzoo.nets.blocks import (
    NORMALIZATIONS,
    Block,
    Conv,
    Dense,
    TransposedConv,
    make_normalization,
)
from genzoo.nets.conv import ConvNet, ResNet
from genzoo.nets.masked import MADE, made_degrees
from genzoo.nets.minibatch import MinibatchDiscrimination
from genzoo.nets.mlp import MLP
from genzoo.nets.own import OwnDecoder, OwnEncoder, OwnFeatures
from genzoo.nets.spectral import SpectralNormalization

__all__ = [
    "MADE",
    "MLP",
    "NORMALIZATIONS",
    "Block",
    "Conv",
    "ConvDecoder",
    "ConvEncoder",
    "ConvNet",
    "Dense",
    "MLPDecoder",
    "MLPEncoder",
    "MinibatchDiscrimination",
    "OwnDecoder",
    "OwnEncoder",
    "OwnFeatures",
    "ResNet",
    "SpectralNormalization",
    "TransposedConv",
    "halved_sizes",
    "made_degrees",
    "make_normalization",
]
