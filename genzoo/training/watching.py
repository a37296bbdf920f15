"""Callbacks that show what a generator makes while it trains, and warn when it collapses."""

import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from genzoo.core import checks
from genzoo.core.engine.replicas import in_cluster, is_chief
from genzoo.core.errors import CollapseWarning, InvalidInputError, OutputExistsError
from genzoo.core.traits import is_picture
from genzoo.metrics.coverage import density_and_coverage
from genzoo.metrics.features import ValueFeatures
from genzoo.plotting.samples import image_grid

_STRIP_ROWS = 24
_STRIP_COLUMNS = 12
# what one calls a collapse: a generator of half the modes keeps well above both
_LEAST_COVERAGE = 0.05
_LEAST_SPREAD = 0.25
_SATURATED = 0.99
_SEEN = ("collapsed", "_looks", "_bad_looks", "_coverage_before")


class SampleGrid(keras.callbacks.Callback):
    """Writes samples from the same noise every few epochs, and a strip of the progress.

    `epoch_0010.png` and so on, and `progress.png`, one row of samples a picture that was written.
    In a cluster the first worker writes, and by epochs alone, since all workers draw together.

    Args:
        directory: Folder to write to; made where it does not exist.
        every: Epochs between pictures.
        seconds: After so long without a picture the epoch that goes on gets one; `None` for none.
        num_samples: Samples in a picture.
        context: Of the samples, for conditional models.
        seed: Of the noise.
        overwrite: Whether the folder may already hold files.

    Raises:
        OutputExistsError: If the folder holds files and `overwrite` is false.
        InvalidInputError: With a model that is not on images.

    Example:

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> x = genzoo.data.load("digits").x_train[:256]
    >>> model = genzoo.GAN((8, 8, 1), generator_units=(16,), seed=0)
    >>> grid = genzoo.training.SampleGrid(folder, num_samples=4)
    >>> history = model.fit(x, epochs=2, callbacks=[grid], verbose=0)
    >>> sorted(os.listdir(folder))
    ['epoch_0001.png', 'epoch_0002.png', 'progress.png']
    """

    def __init__(
        self,
        directory: str | os.PathLike,
        *,
        every: int = 1,
        seconds: float | None = None,
        num_samples: int = 64,
        context: Any = None,
        seed: int = 0,
        overwrite: bool = False,
    ):
        super().__init__()
        self.directory = Path(directory)
        self.every = checks.check_int(every, "every")
        self.seconds = None if seconds is None else checks.check_number(seconds, "seconds")
        self.num_samples = checks.check_int(num_samples, "num_samples")
        self.context = context
        self.seed = checks.check_seed(seed)
        if self.directory.exists() and any(self.directory.iterdir()) and not overwrite:
            raise OutputExistsError(
                f"Expected an empty folder. Received: directory={str(directory)!r}, which holds "
                "files. Choose another, or pass overwrite=True."
            )
        self._strip: list[np.ndarray] = []

    def on_train_begin(self, logs=None):
        shape = self.model.event_shape
        if not is_picture(shape):
            raise InvalidInputError(
                "Expected a model on images of 1 or 3 channels with SampleGrid. Received: "
                f"{type(self.model).__name__} with event_shape={shape}"
            )
        self.directory.mkdir(parents=True, exist_ok=True)
        self._drawn_at = time.monotonic()

    def get_state(self):
        """Return what a checkpoint keeps."""
        return {"strip": list(self._strip)}

    def set_state(self, state):
        """Take back what `get_state` returned."""
        self._strip = list(state["strip"])

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.seconds is None or in_cluster(self.model.distribute_strategy):
            return
        if time.monotonic() - self._drawn_at >= self.seconds:
            self._draw()

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every == 0:
            self._draw()

    def _draw(self):
        samples = self.model.sample(self.num_samples, context=self.context, seed=self.seed)
        self._drawn_at = time.monotonic()
        # all workers of a cluster draw
        if not is_chief(self.model.distribute_strategy):
            return
        _save(image_grid(samples), self.directory / f"epoch_{self._epoch + 1:04d}.png")
        self._strip.append(samples[:_STRIP_COLUMNS])
        # evenly over all of training, the last included
        count = min(len(self._strip), _STRIP_ROWS)
        shown = np.linspace(0, len(self._strip) - 1, count).round().astype(int)
        rows = np.concatenate([self._strip[i] for i in shown])
        grid = image_grid(rows, columns=len(self._strip[0]))
        _save(grid, self.directory / "progress.png")


class CollapseMonitor(keras.callbacks.Callback):
    """Compares samples with data every few epochs and warns of mode collapse in plain words.

    Adds to the epoch's logs `coverage` (the share of the data that samples reach, Naeem et al.
    2020), `spread` (how far samples lie from each other, by the distance to the nearest, in units
    of the data's) and, with labels, `classes_found` (by the nearest example). Warns when coverage
    is below 0.05 and not rising, when spread is below 0.25, when a class is missing, and when the
    discriminator is right about more than 99% of real and of generated data: its gradients then
    teach nothing.

    Args:
        x: Examples [n, *event_shape]; up to `num_samples` are used.
        labels: Their classes [n], integers, or `None`.
        every: Epochs between looks.
        num_samples: Samples drawn at a look.
        grace: Looks at the start that tell nothing yet: a generator begins with little variety.
        patience: Looks in a row that must be bad after that before it warns.
        stop: Whether to end training then.
        features: What rows are compared by, such as a `genzoo.metrics.ClassifierFeatures`; `None`
            for their values, those of tables in units of their standard deviations.
        seed: Of the samples.

    Attributes:
        collapsed: Whether it has warned.

    Example:

    >>> x = genzoo.data.toy("eight_gaussians", 512, seed=0)
    >>> model = genzoo.GAN((2,), latent_dim=2, seed=0)
    >>> monitor = genzoo.training.CollapseMonitor(x, patience=100)
    >>> history = model.fit(x, epochs=5, callbacks=[monitor], verbose=0)
    >>> len(history.history["coverage"])
    1
    """

    def __init__(
        self,
        x: Any,
        labels: Any = None,
        *,
        every: int = 5,
        num_samples: int = 1000,
        grace: int = 5,
        patience: int = 2,
        stop: bool = False,
        features: Callable[[np.ndarray], np.ndarray] | None = None,
        seed: int = 0,
    ):
        super().__init__()
        self.every = checks.check_int(every, "every")
        self.num_samples = checks.check_int(num_samples, "num_samples", minimum=10)
        self.grace = checks.check_int(grace, "grace", minimum=0)
        self.patience = checks.check_int(patience, "patience")
        self.stop = stop
        self.seed = checks.check_seed(seed)
        self.collapsed = False
        x = np.asarray(x)
        chosen = np.random.default_rng(self.seed).permutation(len(x))[: self.num_samples]
        if len(chosen) < 10:
            raise InvalidInputError(
                f"Expected at least 10 examples to compare with. Received: x of shape {x.shape}"
            )
        self._features = features or ValueFeatures(x)
        self._real = self._flat(x[chosen])
        self._labels = None
        if labels is not None:
            labels = np.asarray(labels)
            if labels.shape != (len(x),):
                raise InvalidInputError(
                    f"Expected a label for each of {len(x)} examples. "
                    f"Received: labels of shape {labels.shape}"
                )
            self._labels = labels[chosen]
        self._looks, self._bad_looks, self._coverage_before = 0, 0, 1.0
        self._real_spread = _spread(self._real)

    def get_state(self):
        """Return what a checkpoint keeps."""
        return {name: getattr(self, name) for name in _SEEN}

    def set_state(self, state):
        """Take back what `get_state` returned."""
        for name in _SEEN:
            setattr(self, name, state[name])

    def _flat(self, rows):
        return np.asarray(self._features(rows), np.float64).reshape(len(rows), -1)

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every:
            return
        logs = {} if logs is None else logs
        context = None
        if self.model.context_size:
            if self.model.num_classes is None:
                return
            context = np.arange(self.num_samples) % self.model.num_classes
        made = self._flat(self.model.sample(self.num_samples, context=context, seed=self.seed))
        found = self._look(made)
        troubles = self._troubles(found, logs)
        logs.update(found)
        self._looks += 1
        self._bad_looks = self._bad_looks + 1 if troubles and self._looks > self.grace else 0
        if self._bad_looks < self.patience:
            return
        if not self.collapsed:
            ending = " Training ends here." if self.stop else ""
            warnings.warn(
                f"Epoch {epoch + 1}: {'; '.join(troubles)}. Try penalty='r1' or 'dragan', "
                "minibatch_discrimination=True, unrolled_steps=5, or a smaller learning rate of "
                f"the discriminator.{ending}",
                CollapseWarning,
                stacklevel=2,
            )
        self.collapsed = True
        if self.stop:
            self.model.stop_training = True

    def _look(self, made):
        found = {
            "coverage": density_and_coverage(self._real, made)[1],
            "spread": _spread(made) / max(self._real_spread, 1e-12),
        }
        if self._labels is not None:
            at = _neighbors(self._real, 1).kneighbors(made, return_distance=False)[:, 0]
            found["classes_found"] = len(np.unique(self._labels[at]))
        return found

    def _troubles(self, found, logs):
        troubles = []
        rises = found["coverage"] > self._coverage_before
        self._coverage_before = found["coverage"]
        if found["coverage"] < _LEAST_COVERAGE and not rises:
            troubles.append(f"samples reach {found['coverage']:.1%} of the data")
        if found["spread"] < _LEAST_SPREAD:
            troubles.append(
                f"samples lie {found['spread']:.2f} times as far from each other as the data do"
            )
        if self._labels is not None:
            classes = len(np.unique(self._labels))
            if found["classes_found"] < classes:
                troubles.append(f"samples show {found['classes_found']} of {classes} classes")
        right = [float(logs.get(f"accuracy_{kind}", 0.0)) for kind in ("real", "generated")]
        if min(right) > _SATURATED:
            troubles.append(
                "the discriminator tells nearly all examples apart, so the generator learns nothing"
            )
        return troubles


def _spread(rows: np.ndarray) -> float:
    """Return the mean distance of a row to the nearest other."""
    return float(_neighbors(rows, 2).kneighbors(rows)[0][:, 1].mean())


def _neighbors(rows: np.ndarray, count: int) -> Any:
    # whoever trains without this callback need not wait for scikit-learn
    from sklearn.neighbors import NearestNeighbors

    return NearestNeighbors(n_neighbors=count).fit(rows)


def _save(axes: Any, path: Path) -> None:
    # whoever looks at the file while training goes on sees a whole picture
    partial = path.with_name(f".{path.name}")
    axes.figure.savefig(partial, format="png")
    partial.replace(path)
