"""Iterators over several devices, dropped where nobody waits for them."""

import threading
import types
from collections.abc import Callable
from typing import Any


class IteratorKeeper:
    """Holds the iterator that the steps of an epoch read; a thread of its own drops it afterwards.

    TensorFlow tunes what it buffers for each device by a thread that sleeps, the longer the epoch
    the longer, up to a minute. It wakes the thread of an iterator that is dropped before it notes
    that the thread is to end: often it sleeps on, and who dropped the iterator waits.
    """

    def __init__(self):
        self._iterator: Any = None

    def watch(self, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Return a step's function of an iterator that hands what it reads to the keeper."""

        def step(iterator):
            # a generator is of one batch, for `train_on_batch`
            if iterator is not self._iterator and not isinstance(iterator, types.GeneratorType):
                self.let_go()
                self._iterator = iterator
            return function(iterator)

        return step

    def let_go(self) -> None:
        """Drop the iterator."""
        held, self._iterator = [self._iterator], None
        if held[0] is not None:
            # TensorFlow waits without Python's lock; Python must not end before it has it back
            threading.Thread(target=held.clear, daemon=False).start()
