"""Tables: CSV files of numbers."""

import csv
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from genzoo.core.checks import nearest
from genzoo.core.errors import DataError, InvalidInputError, UnknownNameError

_ROWS_AT_A_TIME = 8192


class CsvTable:
    """A CSV file of numbers, read in blocks. Empty cells are NaN.

    Args:
        path: File; a first row that is not all numbers is the header.
        label: Name or index of a column that holds the label, which is kept apart.

    Attributes:
        columns: Names of the feature columns.
    """

    def __init__(self, path: Path, label: str | int | None = None):
        self.path = path
        with self._open() as file:
            try:
                first = next(csv.reader(file))
            except StopIteration:
                raise DataError(
                    f"Expected rows of numbers. Received: {path}, an empty file."
                ) from None
            except (UnicodeDecodeError, csv.Error) as error:
                raise DataError(
                    f"Expected a text file of numbers. Received: {path} ({error})."
                ) from None
        self._has_header = not all(_is_number(cell) for cell in first)
        header = first if self._has_header else [f"column {i}" for i in range(len(first))]
        self._label = self._find_label(label, header)
        self.columns = [name for i, name in enumerate(header) if i != self._label]
        self._header = header

    def _open(self):
        try:
            # Excel begins a file with a byte order mark
            return open(self.path, newline="", encoding="utf-8-sig")
        except OSError as error:
            raise DataError(f"Expected a readable file. Received: {self.path} ({error}).") from None

    def _find_label(self, label, header) -> int | None:
        if label is None:
            return None
        if isinstance(label, str) and label in header:
            return header.index(label)
        if isinstance(label, int) and -len(header) <= label < len(header):
            return label % len(header)
        if isinstance(label, int):
            raise UnknownNameError(
                f"Expected a label column below {len(header)}. "
                f"Received: label={label} in {self.path}"
            )
        raise UnknownNameError(
            f"Unknown label column. {nearest(label, header)}"
            f"Received: label={label!r} in {self.path}"
        )

    def blocks(self) -> Iterator[tuple[np.ndarray, list[str]]]:
        """Yield features [m, d] in float32 and the labels as text, some thousand rows a time."""
        with self._open() as file:
            reader = csv.reader(file)
            if self._has_header:
                next(reader)
            numbered = self._numbered(reader)
            while block := list(itertools.islice(numbered, _ROWS_AT_A_TIME)):
                features = [self._numbers(line, row) for line, row in block]
                labels = [] if self._label is None else [row[self._label] for _, row in block]
                yield np.asarray(features, np.float32), labels

    def _numbered(self, reader) -> Iterator[tuple[int, list[str]]]:
        try:
            for row in reader:
                if row:
                    yield reader.line_num, row
        except (UnicodeDecodeError, csv.Error) as error:
            raise DataError(
                f"Expected a text file of numbers. Received: {self.path} ({error})."
            ) from None

    def _numbers(self, line: int, row: list[str]) -> list[float]:
        if len(row) != len(self._header):
            raise DataError(
                f"Expected {len(self._header)} cells in each row. "
                f"Received: {len(row)} in line {line} of {self.path}."
            )
        values = []
        for i, cell in enumerate(row):
            if i == self._label:
                continue
            try:
                values.append(float(cell) if cell.strip() else np.nan)
            except ValueError:
                raise InvalidInputError(
                    f"Expected numbers. Received: {cell!r} in column {self._header[i]!r}, line "
                    f"{line} of {self.path}. Encode the column as numbers, or name it as label."
                ) from None
        return values

    def read(self) -> tuple[np.ndarray, np.ndarray | None, list[str]]:
        """Return all features, the labels as integers from 0 (or `None`), and their names."""
        blocks = list(self.blocks())
        if not blocks:
            raise DataError(
                f"Expected rows below the header. Received: {self.path}, which has none."
            )
        x = np.concatenate([features for features, _ in blocks])
        if self._label is None:
            return x, None, []
        labels = [label for _, block in blocks for label in block]
        names = sorted(set(labels))
        if all(_is_number(name) for name in names):
            # as text, 10 comes before 2
            names.sort(key=lambda name: float(name or "nan"))
        number = {name: i for i, name in enumerate(names)}
        return x, np.array([number[label] for label in labels]), names


def _is_number(cell: str) -> bool:
    try:
        float(cell or "nan")
    except ValueError:
        return False
    return True
