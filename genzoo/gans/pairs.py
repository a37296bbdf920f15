"""PairSchema: what models from image to image take."""

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from genzoo.core.checks import check_array
from genzoo.core.errors import InvalidInputError
from genzoo.core.inputs.batches import ArrayData, Batch, reaches_all
from genzoo.core.inputs.passes import epochs, in_order, shuffled
from genzoo.core.inputs.schema import Schema

_BOTH = ("x", "context")


class UnpairedData(ArrayData):
    """Two sets of rows, `x` and `context`, of any lengths.

    An epoch is as long as the longer set; the shorter comes round again.
    """

    def __len__(self) -> int:
        return max(len(self.rows[name]) for name in _BOTH)

    def split(self, fraction: float) -> tuple["UnpairedData", "UnpairedData"]:
        """Return the first rows and the last `fraction` of each set."""
        parts = [ArrayData({"x": self.rows[name]}).split(fraction) for name in _BOTH]
        head, tail = (
            UnpairedData({name: part.rows["x"] for name, part in zip(_BOTH, side, strict=True)})
            for side in zip(*parts, strict=True)
        )
        return head, tail

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """Yield the rows in order, as arrays."""
        for start in range(0, len(self), batch_size):
            at = np.arange(start, min(start + batch_size, len(self)))
            yield {name: rows[at % len(rows)] for name, rows in self.rows.items()}

    def dataset(
        self,
        batch_size: int,
        *,
        shuffle: bool,
        seed: int | None,
        num_replicas: int = 1,
        epoch: Callable[[], int] | None = None,
    ) -> tf.data.Dataset:
        """Return batches, each set shuffled by itself; see `ArrayData`."""
        whole, left = divmod(len(self), batch_size)
        num_batches = whole + reaches_all(left, num_replicas)
        orders = []
        for i, name in enumerate(_BOTH):
            n = len(self.rows[name])
            own = None if seed is None else 2 * seed + i
            orders.append(shuffled(n, own) if shuffle else in_order(n))

        def one_pass(number):
            both = tuple(order(number).repeat() for order in orders)
            rows = tf.data.Dataset.zip(both).take(len(self))
            return rows.batch(batch_size).take(num_batches)

        tensors = [tf.convert_to_tensor(self.rows[name]) for name in _BOTH]

        def gather(*index):
            rows = (tf.gather(t, i) for t, i in zip(tensors, index, strict=True))
            return dict(zip(_BOTH, rows, strict=True))

        order = epochs(one_pass, num_batches, self.steps, epoch)
        return order.map(gather, num_parallel_calls=2, deterministic=True).prefetch(
            tf.data.AUTOTUNE
        )


@dataclasses.dataclass(frozen=True)
class PairSchema(Schema):
    """Images x and images y; y is what is generated and x its context.

    Args:
        paired: Whether each x has its y; else they are two sets of any lengths.
    """

    paired: bool = True

    def read_arrays(self, x, context):
        if context is None:
            raise InvalidInputError(
                f"Expected images y beside the images x for {self.model}. Received: "
                "y=None. Call fit(x, y)."
            )
        y = check_array(context, self.event_shape, "y")
        x = self.context.check(x, None, self.model)
        if not self.paired:
            return UnpairedData({"x": y, "context": x})
        if len(x) != len(y):
            raise InvalidInputError(
                "Expected pairs: as many images x as y. "
                f"Received: {len(x)} x and {len(y)} y. For sets without pairs use CycleGAN."
            )
        return ArrayData({"x": y, "context": x})

    def read_stream(self, x, batch_size, steps, class_weight, **options):
        if isinstance(x, tf.data.Dataset):
            spec = x.element_spec
            if not isinstance(spec, tuple) or len(spec) < 2:
                raise InvalidInputError(
                    "Expected a data set of pairs (x, y): images and what they should become. "
                    f"Received: element_spec={spec}"
                )
        names = ("context", "x", "sample_weight")
        return super().read_stream(x, batch_size, steps, class_weight, names=names, **options)
