"""Networks from image to image, and what tells their images from real ones."""

from typing import Any

import tensorflow as tf

from genzoo.core.maths.random import RowNoise
from genzoo.gans.sequential import CONV_SPREAD, MOST_CHANNELS, Blocks
from genzoo.nets import Conv, TransposedConv

_INSTANCE = {"normalization": "instance", "spread": CONV_SPREAD}


class UNet(Blocks):
    """Halves an image down to a side of 2 and doubles it again, each scale with a short cut.

    [n, height, width, channels] to [n, height, width, output_channels], on [-1, 1]. Its noise is
    dropout on the coarse half of the way up.

    Args:
        image_shape: (height, width, channels) of the input.
        output_channels: Of the output.
        filters: Channels of the finest scale, doubled at each coarser, at most 8 times.
        dropout: Share of the values that noise sets to zero.

    Reference: Ronneberger, Fischer and Brox, U-Net, 2015; Isola et al., Image-to-image translation
    with conditional adversarial networks, 2017.
    """

    def __init__(self, image_shape, output_channels, filters, *, dropout=0.5, **arguments: Any):
        super().__init__(**arguments)
        *side, channels = image_shape
        sizes = [tuple(side)]
        while min(sizes[-1]) > 2 or len(sizes) == 1:
            sizes.append(tuple(-(-side // 2) for side in sizes[-1]))
        widths = [filters * min(2**i, MOST_CHANNELS) for i in range(len(sizes) - 1)]
        self.dropout, self._depth = dropout, len(widths)
        fan_in = channels
        for i, units in enumerate(widths):
            # one value a channel has no variance to divide by
            inner = 0 < i < len(widths) - 1
            own = _INSTANCE if inner else {}
            self._add(Conv, fan_in, units, 4, 2, activation="leaky_relu", **own)
            fan_in = units
        for i in reversed(range(len(widths))):
            units = widths[i - 1] if i else output_channels
            own = {"activation": "relu", **_INSTANCE} if i else {"activation": "tanh"}
            self._add(TransposedConv, fan_in, units, sizes[i], **own)
            fan_in = 2 * units  # the short cut joins
        self.built = True

    def call(self, inputs, noise: RowNoise | None = None, temperature=1.0, training=False):
        x, ways = inputs, []
        for block in self.blocks[: self._depth]:
            ways.append(x)
            x = block(x, training=training)
        ways[0] = None  # the image itself has no short cut
        for i, block in enumerate(self.blocks[self._depth :]):
            x = block(x, training=training)
            way = ways.pop()
            if noise is not None and i < self._depth // 2:
                x = self._drop(x, noise.part(i), temperature)
            x = x if way is None else tf.concat([x, way], axis=3)
        return x

    def _drop(self, x, noise, temperature):
        kept = noise.uniform(tf.shape(x)[0], x.shape[1:]) >= self.dropout
        factor = tf.cast(kept, x.dtype) / (1.0 - self.dropout)
        return x * (1.0 + tf.cast(temperature, x.dtype) * (factor - 1.0))


class ResNetGenerator(Blocks):
    """Two strided convolutions, residual blocks, two transposed convolutions.

    [n, height, width, channels] to [n, height, width, output_channels], on [-1, 1].

    Args:
        image_shape: (height, width, channels) of the input.
        output_channels: Of the output.
        filters: Channels of the finest scale.
        num_blocks: Residual blocks.

    Reference: Johnson, Alahi and Fei-Fei, Perceptual losses for real-time style transfer and
    super-resolution, 2016; Zhu et al., Unpaired image-to-image translation using cycle-consistent
    adversarial networks, 2017.
    """

    def __init__(self, image_shape, output_channels, filters, *, num_blocks=6, **arguments: Any):
        super().__init__(**arguments)
        height, width, channels = image_shape
        half = -(-height // 2), -(-width // 2)
        relu = {"activation": "relu", **_INSTANCE}
        self._add(Conv, channels, filters, 7, **relu)
        self._add(Conv, filters, 2 * filters, 3, 2, **relu)
        self._add(Conv, 2 * filters, 4 * filters, 3, 2, **relu)
        for _ in range(num_blocks):
            self._add(Conv, 4 * filters, 4 * filters, 3, **relu)
            self._add(Conv, 4 * filters, 4 * filters, 3, **_INSTANCE)
        self._add(TransposedConv, 4 * filters, 2 * filters, half, **relu)
        self._add(TransposedConv, 2 * filters, filters, (height, width), **relu)
        self._add(Conv, filters, output_channels, 7, activation="tanh")
        self.built = True

    def call(self, inputs, training=False):
        x = self._run(self.blocks[:3], inputs, None, training)
        inner = self.blocks[3:-3]
        for pair in zip(inner[::2], inner[1::2], strict=True):
            x += self._run(pair, x, None, training)
        return self._run(self.blocks[-3:], x, None, training)


class PatchDiscriminator(Blocks):
    """Scores the patches of an image: [n, height, width, channels] to [n, h, w].

    Args:
        image_shape: (height, width, channels); channels of several images where they lie side by
            side.
        filters: Channels of the finest scale, doubled at each coarser, at most 8 times.
        num_layers: Strided layers, at most as many as leave a side of 2; 3 see patches of 70 x 70.

    Reference: Isola et al., Image-to-image translation with conditional adversarial networks, 2017.
    """

    def __init__(self, image_shape, filters, *, num_layers=3, **arguments: Any):
        super().__init__(**arguments)
        *side, fan_in = image_shape
        smallest = min(side)
        for i in range(num_layers + 1):
            smallest = -(-smallest // 2)
            stride = 2 if i < num_layers and smallest >= 2 else 1
            units = filters * min(2**i, MOST_CHANNELS)
            own = _INSTANCE if i else {}
            self._add(Conv, fan_in, units, 4, stride, activation="leaky_relu", **own)
            fan_in = units
            if stride == 1:
                break
        self._add(Conv, fan_in, 1, 4)
        self.built = True

    def call(self, inputs, training=False):
        return self._run(self.blocks, inputs, None, training)[..., 0]
