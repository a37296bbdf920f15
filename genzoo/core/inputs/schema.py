"""Schema: what a model takes, and the one reader of whatever a user gives."""

import dataclasses
from typing import Any

import numpy as np

from genzoo.core.checks import check_array
from genzoo.core.errors import InvalidInputError
from genzoo.core.inputs.batches import ArrayData, StreamData, check_class_weight, check_weights
from genzoo.core.inputs.context import ContextSpec
from genzoo.core.inputs.sources import is_stream

Data = ArrayData | StreamData


@dataclasses.dataclass(frozen=True)
class Schema:
    """Examples of one shape, with or without a context and weights.

    Args:
        model: Name of the model, for messages.
        event_shape: Shape of one example.
        context: What the model is conditional on.
        missing_values: Whether NaN in x stands for a missing value.
        sample_weight: Whether rows may have weights.
        batch_size: Rows a batch of single examples, where a user says nothing.
    """

    model: str
    event_shape: tuple[int, ...]
    context: ContextSpec
    missing_values: bool = False
    sample_weight: bool = True
    batch_size: int = 128

    def read(
        self,
        x: Any,
        context: Any = None,
        batch_size: int | None = None,
        steps: int | None = None,
        *,
        sample_weight: Any = None,
        class_weight: dict[int, float] | None = None,
    ) -> Data:
        """Return what a user gave as checked data; such data as they are.

        Args:
            x: An array, a memory map, a frame or a list of rows; or batches, or single examples,
                from a `tf.data.Dataset`, a `keras.utils.PyDataset`, a generator or an iterator.
            context: Of arrays, one for each row or one for all.
            batch_size: Rows a batch where a stream has single examples.
            steps: Batches an epoch, for what has no end.
            sample_weight: Weights of the rows of arrays.
            class_weight: Weight of a row by its label.

        Raises:
            InvalidInputError: For what the model does not take. Streams are checked as they are
                read, batch by batch.
        """
        self._check_weights_taken(sample_weight=sample_weight, class_weight=class_weight)
        if isinstance(x, (ArrayData, StreamData)):
            return x
        if class_weight is not None:
            class_weight = check_class_weight(class_weight, self.context.num_classes)
        if is_stream(x):
            self._refuse_beside(x, context=context, sample_weight=sample_weight)
            return self.read_stream(x, batch_size or self.batch_size, steps, class_weight)
        data = self.read_arrays(x, context)
        if class_weight is not None:
            data.rows["sample_weight"] = class_weight[data.rows["context"]]
        if sample_weight is not None:
            data.rows["sample_weight"] = check_weights(sample_weight, len(data))
        return data

    def read_arrays(self, x: Any, context: Any) -> ArrayData:
        """Return arrays as rows in memory."""
        rows = {"x": check_array(x, self.event_shape, missing=self.missing_values)}
        checked = self.context.check(context, len(rows["x"]), self.model)
        if checked is not None:
            rows["context"] = checked
        return ArrayData(rows)

    def read_stream(self, x, batch_size, steps, class_weight, **options: Any) -> StreamData:
        """Return a user's batches; options are those of `StreamData`."""
        return StreamData(
            x,
            self.event_shape,
            bool(self.context.size),
            batch_size,
            steps,
            context_spec=self.context,
            missing=self.missing_values,
            weighted=self.sample_weight,
            class_weight=class_weight,
            **options,
        )

    def _check_weights_taken(self, **given: Any) -> None:
        named = {name: value for name, value in given.items() if value is not None}
        if len(named) == 2:
            raise InvalidInputError(
                "Expected sample_weight or class_weight, not both. Received: both. Give "
                "sample_weight times the weight of each row's class."
            )
        if named and not self.sample_weight:
            ((name, value),) = named.items()
            raise InvalidInputError(
                f"Expected no {name}: {self.model} weighs all rows alike. "
                f"Received: {name}={value!r}. Leave it out."
            )

    @staticmethod
    def _refuse_beside(x, *, context, sample_weight) -> None:
        """Refuse parts beside a stream, whose elements hold them."""
        for name, value, inside in (
            ("context", context, "(x, context) pairs"),
            ("sample_weight", sample_weight, "(x, context, sample_weight), or as dicts"),
        ):
            if value is not None:
                raise InvalidInputError(
                    f"Expected the {name} inside the data set, as {inside}. Received: {name} "
                    f"of shape {np.shape(value)} beside a {type(x).__name__}"
                )
