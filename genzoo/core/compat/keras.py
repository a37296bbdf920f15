"""Private names of Keras."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

# the argument by which Keras's `fit` tells `evaluate` that it validates
_VALIDATES = "_use_cached_eval_dataset"


class TrainerHooks:
    """Mixin, before `keras.Model`: the places where its trainer does what a model here changes."""

    def _step_function(self, kind: str, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Hook: return what runs steps in place of Keras's function of an iterator.

        Args:
            kind: `"train"` or `"test"`.
            function: Keras's.
        """
        return function

    def make_train_function(self, force: bool = False) -> None:
        """Make the function of a training step; Keras calls it.

        Private name: what `keras.Model.train_function` holds, a function of an iterator.
        Reason: an iterator has to be let go by a thread of its own, see `IteratorKeeper`.
        Upstream: none found.
        Seen with: Keras 3.10.0 to 3.15.1.
        Without it: epochs over several devices end up to a minute late.
        """
        if self.train_function is None or force:
            super().make_train_function(force)
            self.train_function = self._step_function("train", self.train_function)

    def make_test_function(self, force: bool = False) -> None:
        """Make the function of a validation step; Keras calls it.

        Private name: what `keras.Model.test_function` holds, a function of an iterator.
        Reason: as of `make_train_function`.
        Upstream: none found.
        Seen with: Keras 3.10.0 to 3.15.1.
        Without it: validation over several devices ends up to a minute late.
        """
        if self.test_function is None or force:
            super().make_test_function(force)
            self.test_function = self._step_function("test", self.test_function)

    def _make_function(self, step_function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Return the function of an iterator that makes steps; Keras calls it.

        Private name: `keras.Model._make_function`.
        Reason: a single step beyond the end of the data counts itself before it finds none, since
            nothing in its graph makes the counter wait for the batch.
        Upstream: none found.
        Seen with: Keras 3.10.0 to 3.15.1.
        Without it: an optimiser counts one step too many an epoch of a stream.
        """

        def step(data):
            with tf.control_dependencies([x for x in tf.nest.flatten(data) if tf.is_tensor(x)]):
                return step_function(data)

        return super()._make_function(step if self.steps_per_execution == 1 else step_function)

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        """Build nothing: the constructor has built everything.

        Private name: `keras.Model._maybe_symbolic_build`.
        Reason: under a strategy Keras would take the mean of a batch over replicas, which parts
            of unequal length do not have, and trace the model with it.
        Upstream: none found.
        Seen with: Keras 3.10.0 to 3.15.1.
        Without it: `fit` in a cluster fails, and under other strategies starts later.
        """


def forget_step_functions(model: keras.Model) -> None:
    """Let Keras make the functions of a model's steps anew.

    Private name: `None` in `keras.Model.train_function`, `test_function`, `predict_function`.
    Reason: graphs hold what was learned of the data as constants, and Keras forgets them in
        `compile` alone.
    Upstream: none found.
    Seen with: Keras 3.10.0 to 3.15.1.
    Without it: a model goes on with the constants of data that it saw before.
    """
    model.train_function = model.test_function = model.predict_function = None


def start_at_epoch(model: keras.Model, epoch: int | None) -> None:
    """Let the `fit` at hand begin at `epoch`, from a callback; `None` for where it was told to.

    Private name: `keras.Model._initial_epoch`, which `keras.callbacks.BackupAndRestore` sets.
    Reason: a checkpoint tells the epoch after `fit` was called.
    Upstream: https://github.com/keras-team/keras/issues/19179
    Seen with: Keras 3.10.0 to 3.15.1.
    Without it: a resumed `fit` counts its epochs from 0 and trains too long.
    """
    model._initial_epoch = epoch


def validates_in_fit(evaluate: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a model's `evaluate`, so that Keras's own validates within `fit`.

    Private name: the argument `_use_cached_eval_dataset` of `keras.Model.evaluate`.
    Reason: `fit` validates by `evaluate` on data that it has made ready, which a model's own would
        check and prepare again.
    Upstream: https://github.com/keras-team/keras/issues/16958
    Seen with: Keras 3.10.0 to 3.15.1.
    Without it: `fit` with validation data fails.
    """

    @functools.wraps(evaluate)
    def wrapped(self, *args, **kwargs):
        if _VALIDATES in kwargs:
            return keras.Model.evaluate(self, *args, **kwargs)
        return evaluate(self, *args, **kwargs)

    return wrapped


class TrainStepStandIn:
    """Runs in place of the training steps of the `fit` at hand, for some calls.

    Private name: `keras.Model.train_function`, read by `fit` before each step.
    Reason: a resumed `fit` passes by the data that it has seen, without training on them.
    Upstream: none found.
    Seen with: Keras 3.10.0 to 3.15.1.
    Without it: training that is resumed within an epoch begins the epoch anew.

    Args:
        model: Whose steps it runs in place of, from now on.
        function: Of the iterator; returns logs.
        calls: After so many of them the model's own steps go on.
    """

    def __init__(self, model: keras.Model, function: Callable[[Any], Any], calls: int):
        self._model, self._function, self._calls = model, function, calls
        self._replaced = model.train_function
        model.train_function = self

    def __call__(self, iterator: Any) -> Any:
        self._calls -= 1
        if self._calls == 0:
            self._model.train_function = self._replaced
        return self._function(iterator)

    @property
    def runs(self) -> bool:
        """Whether the next step is one of its own."""
        return self._model.train_function is self

    def end(self) -> None:
        """Leave no trace, also where `fit` was interrupted before its last call."""
        if self.runs:
            self._model.train_function = None


class OptimizerHooks:
    """Mixin, before a Keras optimiser: what its updates do before they touch variables."""

    @contextlib.contextmanager
    def _updating(self) -> Iterator[None]:
        """Hook: within it all variables are updated, in graph."""
        yield

    def _distributed_tf_update_step(self, distribution, grads_and_vars, learning_rate):
        """Update all variables, within `_updating`; Keras calls it.

        Private name: `keras.optimizers.Optimizer._distributed_tf_update_step`.
        Reason: what all updates share is computed once; it was half of the graph of an update.
        Upstream: none found.
        Seen with: Keras 3.10.0 to 3.15.1.
        Without it: `genzoo.core.engine.adam.Adam` fails at its first step.
        """
        with self._updating():
            super()._distributed_tf_update_step(distribution, grads_and_vars, learning_rate)

    def _all_reduce_sum_gradients(self, grads_and_vars):
        """Return the gradients summed over replicas; Keras calls it.

        Private name: `keras.optimizers.Optimizer._all_reduce_sum_gradients`.
        Reason: TensorFlow keeps the graph of every reduction for good, even over one replica.
        Upstream: none found.
        Seen with: Keras 3.10.0 to 3.15.1.
        Without it: memory grows with each model that is trained in a process.
        """
        replica = tf.distribute.get_replica_context()
        if replica is not None and replica.num_replicas_in_sync == 1:
            return list(grads_and_vars)
        return super()._all_reduce_sum_gradients(grads_and_vars)


def moments(
    optimizer: keras.optimizers.Adam, variable: Any
) -> tuple[keras.Variable, keras.Variable]:
    """Return Adam's running means of a variable's gradient and of its square.

    Private name: `keras.optimizers.Adam._momentums`, `_velocities`, and `_get_variable_index` of
        all optimisers.
    Reason: one kernel updates a variable and both of them; an unrolled step starts from them.
    Upstream: none found.
    Seen with: Keras 3.10.0 to 3.15.1.
    Without it: `genzoo.core.engine.adam.Adam` and unrolled GANs fail at their first step.
    """
    index = optimizer._get_variable_index(variable)
    return optimizer._momentums[index], optimizer._velocities[index]


def layers_within(layer: keras.Layer, itself: bool = True) -> list[keras.Layer]:
    """Return all layers in a layer, at any depth.

    Private name: `keras.Layer._flatten_layers`.
    Reason: `keras.Model.layers` does not look into layers, and a layer has no such list.
    Upstream: none found.
    Seen with: Keras 3.10.0 to 3.15.1.
    Without it: flows cannot be told how to share their graphs, and a VAE in another shows its
        metrics.

    Args:
        layer: The outermost.
        itself: Whether it is one of them.
    """
    return layer._flatten_layers(include_self=itself)


def remember_saved_attributes() -> None:
    """Let Keras find its list of an optimiser's attributes, which it stores under another name.

    Private name: the module `keras.src.backend.common.global_state`, and the names of two values
        in it, `saving_attr_skipset_Optimizer` and `saving_attr_skiplist_Optimizer`.
    Reason: Keras would make an optimiser, with variables of new names, each time it saves or loads
        one, and TensorFlow keeps something for good for each name.
    Upstream: none found.
    Seen with: Keras 3.10.0 to 3.15.1.
    Without it: memory grows with each save; nothing else, and no error is raised.
    """
    try:
        from keras.src.backend.common import global_state
    except ImportError:
        return
    known = global_state.get_global_attribute("saving_attr_skipset_Optimizer")
    if known is not None:
        global_state.set_global_attribute("saving_attr_skiplist_Optimizer", known)
