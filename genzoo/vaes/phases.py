"""Training in two phases within one Keras `fit`."""

import warnings
from typing import Any

import keras

from genzoo.core import checks
from genzoo.core.compat.keras import forget_step_functions
from genzoo.core.engine.fitting import as_callbacks

_RESTARTED = (keras.callbacks.EarlyStopping, keras.callbacks.ReduceLROnPlateau)


class TwoPhaseTraining:
    """Mixin of models whose `fit` trains one part first, and then another with the first fixed.

    The epochs of a `fit` are those of both phases: the first `round(share * epochs)` go to the
    first. `initial_epoch` counts through, so that training resumes in the phase where it stopped.
    `EarlyStopping` in the first phase ends that phase alone, and begins anew with the second, as
    does `ReduceLROnPlateau`.

    A subclass sets `first_phase_share` and implements `_second_part`; its law reads its own `phase`
    in the objective: 0 in the first, 1 in the second and after. Weights that a phase does not train
    get no gradient there.
    """

    @property
    def phase(self) -> int:
        """The phase that training and scoring are in, 0 or 1."""
        return self.law.phase

    def fit(self, x: Any, context: Any = None, *, callbacks: Any = None, **fit_arguments: Any):
        """Train both phases; arguments and result as in `GenerativeModel.fit`.

        `epochs` are those of both phases.
        """
        given = as_callbacks(callbacks)
        epochs = fit_arguments.get("epochs")
        epochs = self.default_epochs if epochs is None else epochs
        checks.check_int(epochs, "epochs", minimum=0)
        first = self._count_first_epochs(epochs)
        with warnings.catch_warnings():
            # those of the other phase, on purpose
            warnings.filterwarnings("ignore", "Gradients do not exist")
            switch = _PhaseSwitch(first, given)
            return super().fit(x, context, callbacks=[*given, switch], **fit_arguments)

    def _count_first_epochs(self, epochs: int) -> int:
        return max(round(self.first_phase_share * epochs), 1)

    def _second_part(self) -> keras.layers.Layer:
        """Hook: what the second phase trains."""
        raise NotImplementedError

    def _layer_losses(self):
        return super()._layer_losses() if self.phase == 0 else self._second_part().losses

    def enter_phase(self, phase: int) -> None:
        """Make `phase`, 0 or 1, the one that training and scoring are in."""
        if phase == self.phase:
            return
        self.law.phase = phase
        self.functions.by_name.clear()
        forget_step_functions(self)
        if self.compiled:
            self.make_train_function(force=True)

    def fitted_state(self):
        """As in `GenerativeModel`, with the phase."""
        return {**super().fitted_state(), "phase": self.phase}

    def restore_state(self, state):
        """As in `GenerativeModel`, with the phase."""
        super().restore_state(state)
        self.law.phase = state["phase"]


class _PhaseSwitch(keras.callbacks.Callback):
    """Begins the second phase when its epoch has come, or early stopping has ended the first."""

    def __init__(self, first_epochs: int, callbacks: list[keras.callbacks.Callback]):
        super().__init__()
        self._first_epochs = first_epochs
        self._restarted = [c for c in callbacks if isinstance(c, _RESTARTED)]

    def on_train_begin(self, logs=None):
        self._ended_early = False
        self._learning_rate = self._rate()

    def get_state(self):
        """Return what a checkpoint keeps."""
        return {"ended_early": self._ended_early, "learning_rate": self._learning_rate}

    def set_state(self, state):
        """Take back what `get_state` returned."""
        self._ended_early, self._learning_rate = state["ended_early"], state["learning_rate"]

    def on_epoch_begin(self, epoch, logs=None):
        phase = int(epoch >= self._first_epochs or self._ended_early)
        if phase > self.model.phase:
            for callback in self._restarted:
                callback.on_train_end()
                callback.on_train_begin()
            if self._learning_rate is not None:
                self.model.optimizer.learning_rate = self._learning_rate
            # Adam corrects its moments by the number of its steps
            self.model.optimizer.iterations.assign(0)
        self.model.enter_phase(phase)

    def on_epoch_end(self, epoch, logs=None):
        stopped = any(
            isinstance(c, keras.callbacks.EarlyStopping) and c.stopped_epoch == epoch > 0
            for c in self._restarted
        )
        if self.model.phase == 0 and self.model.stop_training and stopped:
            self._ended_early = True
            self.model.stop_training = False

    def _rate(self):
        # a schedule has no one rate
        rate = self.model.optimizer.learning_rate
        return float(keras.ops.convert_to_numpy(rate)) if hasattr(rate, "assign") else None
