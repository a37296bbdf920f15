"""What the networks of adversarial models have in common."""

from typing import Any

import keras

from genzoo.core.checks import check_choice
from genzoo.core.errors import InvalidInputError
from genzoo.core.traits import is_image
from genzoo.nets import Block, halved_sizes

NETWORKS = ("mlp", "conv", "auto")
MOST_CHANNELS = 8
# Radford et al. 2016; under normalisation small weights learn at a higher pace
CONV_SPREAD = 0.02


class Blocks(keras.layers.Layer):
    """Base: blocks one after another; seeds and dropout told apart by their number."""

    def __init__(self, *, seed: int | None = None, dtype: Any = None):
        super().__init__(dtype=dtype)
        self.seed = seed
        self.blocks: list[Block] = []

    def _add(self, affine: type, *shape: Any, **arguments: Any) -> None:
        number = len(self.blocks)
        seed = None if self.seed is None else self.seed + number
        block = Block(affine, *shape, seed=seed, salt=number, dtype=self.dtype_policy, **arguments)
        self.blocks.append(block)

    @staticmethod
    def _run(blocks, x, noise, training):
        for block in blocks:
            x = block(x, noise=noise, training=training)
        return x


def scales(event_shape, filters: int) -> tuple[list[tuple[int, int]], list[int]]:
    """Return the sizes from fine to coarse, and the channels of all but the finest."""
    sizes = halved_sizes(*event_shape[:2])
    return sizes, [filters * min(2**i, MOST_CHANNELS) for i in range(len(sizes) - 1)]


def choose(network: str, name: str, event_shape) -> str:
    """Return the network that `"auto"` stands for, checked."""
    if check_choice(network, NETWORKS, name) == "auto":
        return "conv" if is_image(event_shape) else "mlp"
    if network == "conv" and not is_image(event_shape):
        raise InvalidInputError(
            "Expected images (height, width, channels) for convolutional networks. Received: "
            f"event_shape={event_shape}, {name}='conv'. Use {name}='mlp' for vectors."
        )
    return network
