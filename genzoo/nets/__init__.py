"""Plain Keras networks, no probability."""

from genzoo.nets.mlp import MLP

__all__ = ["MLP"]
