"""GenerativeModel: the contract that every model of the zoo keeps."""

import math
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from genzoo.core import checks
from genzoo.core.compat.tensorflow import is_watched
from genzoo.core.engine.replicas import PartFunction
from genzoo.core.engine.saved_model import check_export_arguments, describe, write_saved_model
from genzoo.core.errors import InvalidInputError, NoDensityError, OutputExistsError
from genzoo.core.inputs.batches import ArrayData, StreamData, check_batch_size
from genzoo.core.inputs.spec import DataSpec
from genzoo.core.maths.random import make_seed
from genzoo.core.training import TrainableModel

_SAMPLES_AT_A_TIME = 1024
_VALUES_AT_A_TIME = 2**20


class GenerativeModel(TrainableModel):
    """Base of all models: a `keras.Model` with `fit`, `sample`, `save` and `export`.

    A subclass makes all its weights in its constructor and implements `call` (the training
    graph's output) and `_sample`; see `DensityModel` for models with a likelihood, and
    `TrainableModel` for the arguments that all models take.
    """

    # Generation

    def sample(
        self,
        n: int,
        *,
        context: Any = None,
        temperature: float = 1.0,
        seed: int | None = None,
    ) -> np.ndarray:
        """Draw samples in the kind of the data.

        Args:
            n: Number of samples.
            context: [n, context_dim] or labels [n], or one of them for all samples.
            temperature: Scales the noise that samples start from; below 1 for likelier samples.
            seed: The same seed gives the same samples; `None` draws anew at each call.

        Returns:
            Array [n, *event_shape] in the dtype of the data: integers as theirs, real numbers as
            float64 where the data were, else in the model's float type.

        Raises:
            NotFittedError: Before `fit` or `adapt`.
        """
        return self._draw(n, context, temperature, seed)

    def _draw(self, n, context, temperature, seed, **options: Any) -> np.ndarray:
        """Do as `sample`, with options that a model's `_sample` takes beside."""

        def sample(n, context, temperature, seed):
            return self.data_spec.to_data(self._sample(n, context, temperature, seed, **options))

        name = ("sample", *sorted(options.items()))
        return self._map_draws(name, sample, n, context, temperature, seed)

    def _map_draws(self, name, function, n, context, temperature, seed) -> np.ndarray:
        """Return what `function(n, context, temperature, seed)` draws, a chunk at a time."""
        n = checks.check_int(n, "n")
        temperature = checks.check_number(temperature, "temperature")
        self._check_outside(name[0])
        seed = self._draw_seed(seed)
        encoded = self.context_spec.check(context, n, self._class_name())
        graph = self._graphs.get(name, lambda: self._draw_graph(function))
        temperature = tf.constant(temperature, self.float_dtype)

        def parts():
            for chunk, start in enumerate(range(0, n, _SAMPLES_AT_A_TIME)):
                size = min(_SAMPLES_AT_A_TIME, n - start)
                part = [tf.constant(size), temperature, make_seed(seed, chunk)]
                if encoded is not None:
                    part.append(tf.convert_to_tensor(encoded[start : start + size]))
                yield part

        return np.concatenate(list(graph.run(self.distribute_strategy, parts())))

    def _draw_graph(self, function):
        signature = [
            tf.TensorSpec([], tf.int32),
            tf.TensorSpec([], self.float_dtype),
            tf.TensorSpec([2], tf.int32),
        ]

        def draw(n, temperature, seed, context=None):
            return function(n, self.encode_context(context), temperature, seed)

        if self.context_size:
            signature.append(self.context_spec.signature())
        return PartFunction(draw, signature)

    def _sample(self, n, context, temperature, seed) -> tf.Tensor:
        """Hook, in graph: `n` samples as the model's own real numbers, [n, *event_shape]."""
        raise NotImplementedError

    def _draw_seed(self, seed: int | None) -> int:
        if seed is not None:
            return checks.check_seed(seed)
        state = np.asarray(self.seed_generator.next(), np.int64)
        return int(state[0] % 2**31 + (state[1] % 2**31) * 2**31)

    def predict(
        self,
        x: Any,
        context: Any = None,
        *,
        batch_size: int | None = None,
        steps: int | None = None,
        verbose: Any = "auto",
    ) -> Any:
        """Return what the model's `call` makes of each row; Keras's name for it.

        Of models with a likelihood that is the objective of training, for exact ones log p(x); of
        GANs the discriminator's score.

        Args:
            x, context: As in `fit`. A data set is read once.
            batch_size: Rows at a time on each replica.
            steps: Batches to look at, the first ones; `None` for all.
            verbose: Taken as Keras does; nothing is shown.

        Returns:
            Array [n], or a dict of them.

        Raises:
            NotFittedError: Before `fit` or `adapt`.
            InvalidInputError: As in `fit`.
        """
        if steps is not None:
            checks.check_int(steps, "steps")
        data, batch_size = self._read_rows("predict", x, context, batch_size, steps)
        parts = list(self.map_rows("predict", self._predict_rows, data, batch_size))
        return tf.nest.map_structure(lambda *rows: np.concatenate(rows), *parts)

    def _predict_rows(self, x, context, first_row) -> Any:
        """Hook, in graph: what `predict` returns."""
        raise NotImplementedError

    # Likelihood: see DensityModel

    def log_prob(self, x: Any, **arguments: Any) -> np.ndarray:
        """Refuse: this model has no likelihood.

        Raises:
            NoDensityError: Always, with what to use in place.
        """
        raise NoDensityError(
            f"{type(self).__name__} has no likelihood. Use a model that has one, for example "
            "RealNVP, VAE or GaussianMixture, or estimate the density of samples with "
            "genzoo.metrics.parzen_log_prob(model.sample(10_000), x)."
        )

    def score_samples(self, x: Any, **arguments: Any) -> np.ndarray:
        """Return `log_prob(x)`; scikit-learn's name for it."""
        return self.log_prob(x, **arguments)

    def score(self, x: Any, **arguments: Any) -> float:
        """Return the mean of `log_prob(x)`, nats an example."""
        return float(np.mean(self.log_prob(x, **arguments), dtype=np.float64))

    def bits_per_dim(self, x: Any, **arguments: Any) -> np.ndarray:
        """Return -log2 p(x) / dimensions for each row of integer data.

        Args:
            x: Integers [n, *event_shape].
            **arguments: As in `log_prob`.

        Returns:
            Array [n]; lower is better, log2(levels) is chance.

        Raises:
            NoDensityError: For real-valued data, whose density depends on their units.
        """
        if not self.traits.has_density:
            return self.log_prob(x, **arguments)
        self._check_fitted("bits_per_dim")
        if not self.likelihood.comparable_across_models:
            raise NoDensityError(
                "Bits per dimension are meant for integer data; a density of real numbers changes "
                f"with their unit. Received: a {type(self).__name__} fitted to "
                f"{self.data_spec.dtype}. Use score(x), in nats, or fit integers."
            )
        return -self.log_prob(x, **arguments) / (self.count_values(x) * math.log(2.0))

    def count_values(self, x: Any) -> int | np.ndarray:
        """Return the number of values in each example, one for all or [n].

        Args:
            x: Array [n, *event_shape].
        """
        return self.event_size

    # Rows

    def _check_outside(self, method: str, *given: Any) -> None:
        """Refuse what a method that returns NumPy cannot do: stand in a graph, or pass a gradient.

        Args:
            method: Its name.
            *given: The data that it was given.
        """
        self._check_fitted(method)
        where = "a tf.function" if not tf.executing_eagerly() else None
        if where is None and is_watched(*given):
            where = "a tf.GradientTape that watches its input"
        if where is not None:
            raise InvalidInputError(
                f"Expected {method}() outside of graphs and tapes: it returns NumPy arrays, which "
                f"pass no gradient. Received: a call inside {where}. {self._graph_remedy()}"
            )

    def _graph_remedy(self) -> str:
        return f"Call the model itself there: model(x) is what {type(self).__name__} trains."

    def _read_rows(
        self, method, x, context, batch_size, steps=None
    ) -> tuple[ArrayData | StreamData, int]:
        self._check_outside(method, x, context)
        # long batches score a vector twice as fast; wide rows fill the memory sooner
        rows = min(max(_VALUES_AT_A_TIME // self.event_size, 256), 8192)
        batch_size = check_batch_size(batch_size, rows)
        data = self.inputs.read(x, context, batch_size, steps)
        if steps is not None and isinstance(data, ArrayData):
            data = data.head(steps * batch_size)
        # a stream's batches as they are read
        self._check_kind(data, self.data_spec, batches=0)
        self._narrow(data)
        return data, batch_size

    def map_rows(
        self,
        name: str,
        function: Callable[..., Any],
        data: ArrayData | StreamData,
        batch_size: int,
        *scalars: tf.Tensor,
    ) -> Iterator[Any]:
        """Yield `function(x, context, first_row, *scalars)` as NumPy, a batch at a time.

        Args:
            name: Name of the compiled function.
            function: In graph, of `x` [n, *event_shape] as the model's own numbers, real or
                integer, the encoded context, and the number of the batch's first row.
            data: Checked rows.
            batch_size: Rows a replica at a time.
            *scalars: Further arguments, the same for all batches.
        """
        x_type = tf.as_dtype(data.dtype)

        def make():
            signature = [
                tf.TensorSpec([None, *self.event_shape], x_type),
                tf.TensorSpec([], tf.int64),
            ]
            if self.context_size:
                signature.append(self.context_spec.signature())

                def graph(x, first_row, context, *scalars):
                    context = self.encode_context(context)
                    return function(self.to_model(x), context, first_row, *scalars)
            else:

                def graph(x, first_row, *scalars):
                    return function(self.to_model(x), None, first_row, *scalars)

            signature += [tf.TensorSpec(s.shape, s.dtype) for s in scalars]
            return PartFunction(graph, signature)

        def parts():
            first_row = 0
            for batch in data.batches(batch_size):
                part = [tf.convert_to_tensor(batch["x"]), tf.constant(first_row, tf.int64)]
                first_row += len(batch["x"])
                if self.context_size:
                    part.append(tf.convert_to_tensor(batch["context"]))
                yield [*part, *scalars]
            data.close()

        graph = self._graphs.get((name, x_type), make)
        return graph.run(self.distribute_strategy, parts())

    def map_latents(
        self,
        name: str,
        function: Callable[..., Any],
        z: Any,
        shape: tuple[int, ...],
        context: Any = None,
    ) -> np.ndarray:
        """Return `function(z, context)`, computed a chunk at a time on all replicas.

        Args:
            name: Name of the compiled function, for messages too.
            function: In graph, of `z` and the encoded context.
            z: Array [n, *shape].
            shape: Shape of a row of z.
            context: As in `sample`, for conditional models.
        """
        self._check_outside(name, z, context)
        z = checks.check_array(z, shape, "z").astype(self.float_dtype)
        checked = self.context_spec.check(context, len(z), self._class_name())

        def graph(z, context=None):
            return function(z, self.encode_context(context))

        def make():
            signature = [tf.TensorSpec([None, *shape], self.float_dtype)]
            if self.context_size:
                signature.append(self.context_spec.signature())
            return PartFunction(graph, signature)

        def parts():
            for start in range(0, len(z), _SAMPLES_AT_A_TIME):
                rows = slice(start, start + _SAMPLES_AT_A_TIME)
                part = [tf.convert_to_tensor(z[rows])]
                yield part if checked is None else [*part, tf.convert_to_tensor(checked[rows])]

        run = self._graphs.get(name, make).run
        return np.concatenate(list(run(self.distribute_strategy, parts())))

    # Export

    def export(
        self,
        filepath: str | os.PathLike,
        format: str = "tf_saved_model",
        verbose: bool | None = None,
        input_signature: Any = None,
        *,
        overwrite: bool = False,
    ) -> None:
        """Write a TensorFlow SavedModel that loads without genzoo, Keras or TFP.

        A signature takes tensors of the dtype that `export_signatures` gives it (cast others, with
        `tf.cast`; NumPy arrays are cast) and returns a dict of its result under its own name.

        Args:
            filepath: Folder to make.
            format: `"tf_saved_model"`, the only one.
            verbose: Whether to print the signatures.
            input_signature: `None`; Keras's argument, for models of one function.
            overwrite: Whether an existing folder may be replaced.

        Raises:
            InvalidInputError: For another format or an `input_signature`.
            OutputExistsError: If `filepath` exists and `overwrite` is false.
            NotFittedError: Before `fit` or `adapt`.

        Example:

        >>> loaded = tf.saved_model.load("saved_models/digits")          # doctest: +SKIP
        >>> seed = tf.constant(0, tf.int64)                               # doctest: +SKIP
        >>> loaded.signatures["sample"](n=tf.constant(4), seed=seed)["sample"]  # doctest: +SKIP
        >>> loaded.sample(4, 0)                                          # doctest: +SKIP
        """
        check_export_arguments(format, input_signature)
        self._check_fitted("export")
        path = os.fspath(filepath)
        if os.path.exists(path) and not overwrite:
            raise OutputExistsError(
                f"Expected a new folder. Received: filepath={path!r}, which exists. "
                "Choose another, or pass overwrite=True."
            )
        signatures = self.export_signatures()
        write_saved_model(self, signatures, self._input_kinds(), path)
        if verbose:
            print(describe(signatures))

    def _input_kinds(self) -> dict[str, DataSpec]:
        """Hook: what is known of the inputs of `export_signatures`, by name."""
        kinds = {"x": self.data_spec}
        if self.num_classes is not None:
            kinds["context"] = DataSpec("int32", self.num_classes)
        return kinds

    def export_signatures(self) -> dict[str, tuple[Callable[..., Any], list[tf.TensorSpec]]]:
        """Return the functions of the SavedModel and their inputs, by name.

        `sample(n, seed[, context])`: n int32 [], seed int64 []; the same numbers as `sample`.
        """
        signature = [
            tf.TensorSpec([], tf.int32, name="n"),
            tf.TensorSpec([], tf.int64, name="seed"),
        ]
        if self.context_size:
            signature.append(self.context_spec.signature())
        return {"sample": (self._sample_in_chunks, signature)}

    def _sample_in_chunks(self, n, seed, context=None):
        """Do as `sample`, in graph, for any n."""
        encoded = self.encode_context(context)
        chunks = (n + _SAMPLES_AT_A_TIME - 1) // _SAMPLES_AT_A_TIME
        shape = [None, *self.event_shape]
        results = tf.TensorArray(self.sample_dtype, chunks, infer_shape=False, element_shape=shape)

        def body(i, results):
            start = i * _SAMPLES_AT_A_TIME
            size = tf.minimum(_SAMPLES_AT_A_TIME, n - start)
            rows = None if encoded is None else encoded[start : start + size]
            one = tf.ones([], self.float_dtype)
            x = self._sample(size, rows, one, make_seed(seed, i))
            return i + 1, results.write(i, self.data_spec.to_data(x))

        _, results = tf.while_loop(lambda i, _: i < chunks, body, [0, results])
        return results.concat()
