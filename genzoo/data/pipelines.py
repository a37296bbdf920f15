"""`tf.data` pipelines for what does not fit in memory."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from genzoo.core.checks import check_int, check_seed
from genzoo.core.errors import DataError, InvalidInputError
from genzoo.core.inputs.batches import ArrayData
from genzoo.data.image_files import ImageFolder
from genzoo.data.tables import CsvTable, is_table


def pipeline(
    source: Any,
    *,
    batch_size: int = 128,
    shuffle: bool = True,
    seed: int = 0,
    buffer_size: int = 10_000,
    label: str | int | None = None,
    ignore: Sequence[str | int] = (),
    image_size: tuple[int, int] = (64, 64),
    channels: int = 3,
) -> tf.data.Dataset:
    """Return batches of examples that are read as they are needed.

    Args:
        source: An array, also a memory map; or a path to a `.npy` or `.csv` file or a folder of
            images; or a `CsvTable`. Tables are gone through once before the first batch.
        batch_size: Rows a batch.
        shuffle: Whether to shuffle anew each epoch.
        seed: Fixes the order of every epoch.
        buffer_size: Rows of a `.csv` among which to shuffle; all else is shuffled as a whole.
        label, ignore: Label column of a `.csv` and others, which are dropped.
        image_size, channels: Of the images of a folder; see `ImageFolder`.

    Returns:
        A `tf.data.Dataset` of arrays [batch, *event_shape], for `fit`.

    Raises:
        DataError: For a file or folder that is missing, empty or corrupt.

    Example:

    >>> batches = genzoo.data.pipeline(np.zeros((10, 2), "float32"), batch_size=4)
    >>> [len(batch) for batch in batches]
    [4, 4, 2]
    """
    check_int(batch_size, "batch_size")
    check_seed(seed)
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        if not path.exists():
            raise DataError(f"Expected a file or folder. Received: {path}, which does not exist.")
        if path.is_dir():
            folder = ImageFolder(path, image_size, channels)
            return _image_batches(folder, batch_size, shuffle, seed)
        if is_table(path):
            source = CsvTable(path, label, ignore=ignore)
        elif path.suffix.lower() == ".npy":
            source = np.load(path, mmap_mode="r", allow_pickle=False)
        else:
            raise DataError(
                "Expected a .npy or .csv file, or a folder of images, to stream from. "
                f"Received: {path}. A .npz is read whole: use genzoo.data.load."
            )
    if isinstance(source, CsvTable):
        return _csv_batches(source, batch_size, shuffle, seed, buffer_size)
    array = np.asanyarray(source)
    if array.ndim < 2 or array.dtype.kind not in "bfiu" or len(array) == 0:
        raise InvalidInputError(
            "Expected an array of numbers, shape (n, ...) with at least one row. "
            f"Received: shape {array.shape}, dtype {array.dtype}"
        )
    batches = ArrayData({"x": array}).dataset(batch_size, shuffle=shuffle, seed=seed)
    return batches.map(lambda batch: batch["x"]).prefetch(tf.data.AUTOTUNE)


def _image_batches(folder: ImageFolder, batch_size, shuffle, seed) -> tf.data.Dataset:
    paths = tf.data.Dataset.from_tensor_slices([str(file) for file in folder.files])
    if shuffle:
        paths = paths.shuffle(len(folder.files), seed=seed, reshuffle_each_iteration=True)

    def read(path):
        image = tf.numpy_function(lambda p: folder.read(p.decode()), [path], tf.uint8)
        image.set_shape([*folder.image_size, folder.channels])
        return image

    images = paths.map(read, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return images.batch(batch_size).prefetch(tf.data.AUTOTUNE)


def _csv_batches(table: CsvTable, batch_size, shuffle, seed, buffer_size) -> tf.data.Dataset:
    others = [str(column) for column in table.columns if column.kind in ("text", "date")]
    if others:
        raise InvalidInputError(
            f"Expected numbers to stream from. Received: {', '.join(others)} in {table.path}. "
            "Leave such columns out (ignore=), or encode them as numbers."
        )

    def blocks():
        for features, _ in table.blocks():
            yield features

    signature = tf.TensorSpec([None, len(table.columns)], table.dtype)
    rows = tf.data.Dataset.from_generator(blocks, output_signature=signature).unbatch()
    if shuffle:
        rows = rows.shuffle(buffer_size, seed=seed, reshuffle_each_iteration=True)
    return rows.batch(batch_size).prefetch(tf.data.AUTOTUNE)
