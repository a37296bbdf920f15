"""Plain Keras networks, no probability."""

from genzoo.nets.conv import ConvNet, ResNet
from genzoo.nets.masked import MADE, made_degrees
from genzoo.nets.mlp import MLP

__all__ = ["MADE", "MLP", "ConvNet", "ResNet", "made_degrees"]
