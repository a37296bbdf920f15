"""Sequences of the rows of a table."""

from collections.abc import Sequence

import numpy as np

from genzoo.core.checks import check_int
from genzoo.core.errors import InvalidInputError


def is_sequences(x: np.ndarray) -> bool:
    """Return whether an array holds sequences, arrays of their own lengths."""
    return x.dtype == object and x.ndim == 1


def by_group(steps: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return the steps of each group as a sequence, in the order of the table.

    Args:
        steps: [total, D].
        groups: Number of the sequence of each step, from 0, [total].

    Returns:
        Sequences [T_i, D], an array of arrays.
    """
    order = np.argsort(groups, kind="stable")
    ends = np.bincount(groups).cumsum()
    return _of_arrays(np.split(steps[order], ends[:-1]))


def by_lengths(steps: np.ndarray, lengths: int | Sequence[int]) -> np.ndarray:
    """Return sequences of steps that follow one another.

    Args:
        steps: [total, D].
        lengths: Of the sequences, of sum `total`; or of all of them, the last of which may be
            shorter.

    Returns:
        Sequences [T_i, D], an array of arrays.
    """
    if isinstance(lengths, (int, np.integer)):
        length = check_int(lengths, "lengths")
        ends = np.arange(length, len(steps), length)
    else:
        ends = np.cumsum([check_int(length, "lengths") for length in lengths])
        if len(ends) == 0 or ends[-1] != len(steps):
            raise InvalidInputError(
                f"Expected lengths that sum to the {len(steps)} rows. "
                f"Received: {len(ends)} lengths of sum {sum(lengths)}"
            )
        ends = ends[:-1]
    return _of_arrays(np.split(steps, ends))


def _of_arrays(sequences: list[np.ndarray]) -> np.ndarray:
    array = np.empty(len(sequences), object)
    array[:] = sequences
    return array
