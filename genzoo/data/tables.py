"""Tables: CSV files, as spreadsheets and programs write them."""

import csv
import gzip
import itertools
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from genzoo.core.checks import check_choice, nearest
from genzoo.core.errors import DataError, InvalidInputError, UnknownNameError
from genzoo.data.columns import MISSING, Column, Scan, is_whole

TABLES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
_ROWS_AT_A_TIME = 8192
_SAMPLE_ROWS = 200
_DELIMITERS = "\t;|, "
_YEARS = range(1000, 3000)
# so many whole numbers in a row are names rather than data
_MANY, _SOME = 8, 4
_SHOWN = 20
# floats hold all whole numbers up to here
_EXACT = 2**53


def is_table(path: str | os.PathLike) -> bool:
    """Return whether a file is a table, by its name."""
    return os.fspath(path).lower().endswith(TABLES)


class CsvTable:
    """A CSV file, compressed by gzip or not, gone through once to see its form, and read in blocks.

    Encoding (UTF-8, UTF-16 with its mark, else Windows's Latin-1), delimiter (comma, semicolon,
    tab, bar, or spaces between numbers), header and the kind of each column are found in the file.
    A column whose cells are all whole numbers, numbers, `True` and `False`, or dates is of that
    kind; any other is text, and so are digits with zeros in front. What can be read in two ways is
    refused, with the argument that says which.

    Args:
        path: File.
        label: Name or index of a column that holds the label, which is kept apart.
        ignore: Names or indices of columns to leave out.
        text: Names or indices of columns to take for text, whatever they hold.
        header: Whether the first row names the columns; `None` to see.
        decimal: `"."` or `","`, where numbers do not show it; `None` to see.
        columns: What the columns are, of another file, whose names and kinds are taken; others
            are left out.

    Attributes:
        columns: The feature columns, a tuple of `Column`. Columns without any value are left out.
        header: Names of all columns, unique.
        num_rows: Number of rows below the header.
        dtype: Of the features: bool, int64, float64, or object where there are text or dates.
        notes: What the file was taken for, in sentences.

    Raises:
        DataError: For a file that is no table.
        InvalidInputError: For columns that can be read in two ways, or hold a few cells unlike the
            rest.
        UnknownNameError: For a column that the file does not have.
    """

    def __init__(
        self,
        path: Path,
        label: str | int | None = None,
        *,
        ignore: Sequence[str | int] = (),
        text: Sequence[str | int] = (),
        header: bool | None = None,
        decimal: str | None = None,
        columns: Sequence[Column] | None = None,
    ):
        self.path = Path(path)
        check_choice(header, (None, True, False), "header")
        check_choice(decimal, (None, ".", ","), "decimal")
        self._find_form()
        first, scans = self._scan(header, columns)
        self._label = None if label is None else self._find(label, "label")
        left_out = {self._find(name, "ignore") for name in ignore}
        as_text = {self._find(name, "text") for name in text}
        if columns is None:
            used = [j for j in range(len(scans)) if j != self._label and j not in left_out]
            self._used = [j for j in used if scans[j].present]
            self.columns = self._find_kinds(scans, as_text, decimal)
        else:
            self._used = [self.header.index(column.name) for column in columns]
            self.columns = self._find_same_kinds(scans, columns, decimal)
            used = self._used
        if not self._used:
            raise DataError(f"Expected a column of values. Received: {path}, without any.")
        self.dtype = self._find_dtype()
        self.notes = self._describe(first, scans, used)

    # Form

    def _find_form(self) -> None:
        """Find encoding and delimiter."""
        self._opener = open
        with self._open("rb") as file:
            start = file.read(1 << 16)
        if start[:2] == b"\x1f\x8b":
            self._opener = gzip.open
            with self._open("rb") as file:
                start = self._read(file, 1 << 16)
        if start[:4] == b"PK\3\4":
            raise DataError(
                f"Expected a text file of values. Received: {self.path}, a workbook or an archive. "
                "Save the sheet as .csv first."
            )
        utf16 = start[:2] in (b"\xff\xfe", b"\xfe\xff")
        if not start.strip():
            raise DataError(f"Expected rows of values. Received: {self.path}, an empty file.")
        if b"\0" in start and not utf16:
            raise DataError(f"Expected a text file of values. Received: {self.path} (zero bytes).")
        # Excel begins a file with a byte order mark
        encodings = ("utf-16",) if utf16 else ("utf-8-sig", "cp1252", "latin-1")
        for encoding in encodings:
            self.encoding = encoding
            try:
                with self._open() as file:
                    while self._read(file, 1 << 20):
                        pass
                break
            except UnicodeError as error:
                if encoding == encodings[-1]:
                    raise DataError(
                        f"Expected a text file of values. Received: {self.path} ({error})."
                    ) from None
        if self.encoding == "utf-8-sig" and not start.startswith(b"\xef\xbb\xbf"):
            self.encoding = "utf-8"
        with self._open() as file:
            lines = [line for line in itertools.islice(file, _SAMPLE_ROWS) if line.strip()]
        told = lines[0].strip("\r\n").lower() if lines else ""
        self._is_told = len(told) == 5 and told.startswith("sep=")
        self.delimiter = told[-1] if self._is_told else _find_delimiter(lines)

    def _open(self, mode: str = "rt"):
        try:
            if mode == "rb":
                return self._opener(self.path, mode)
            return self._opener(self.path, mode, newline="", encoding=self.encoding)
        except OSError as error:
            raise DataError(f"Expected a readable file. Received: {self.path} ({error}).") from None

    def _read(self, file, size: int):
        try:
            return file.read(size)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"Expected a readable file. Received: {self.path} ({error}).") from None

    def _lines(self) -> Iterator[tuple[int, list[str]]]:
        """Yield line numbers and cells, the header's too."""
        with self._open() as file:
            reader = csv.reader(file, delimiter=self.delimiter, skipinitialspace=True)
            try:
                if self._is_told:
                    next(reader)
                width = None
                for row in reader:
                    if not row:
                        continue
                    cells = [cell.strip() for cell in row]
                    width = width or len(cells)
                    if len(cells) != width and (len(cells) < width or any(cells[width:])):
                        raise DataError(
                            f"Expected {width} cells in each row, separated by "
                            f"{self.delimiter!r}. Received: {len(cells)} in line "
                            f"{reader.line_num} of {self.path}."
                        )
                    yield reader.line_num, cells[:width]
            except csv.Error as error:
                raise DataError(
                    f"Expected a text file of values. Received: {self.path} ({error})."
                ) from None

    def _blocks_of_lines(self) -> Iterator[tuple[list[int], list[list[str]]]]:
        lines = self.rows()
        while block := list(itertools.islice(lines, _ROWS_AT_A_TIME)):
            yield [line for line, _ in block], [cells for _, cells in block]

    def _scan(self, header, columns) -> tuple[list[str], list[Scan]]:
        """Go through the file; find the header and what the columns could be."""
        _, first = next(self._lines(), (0, None))
        if first is None:
            raise DataError(f"Expected rows of values. Received: {self.path}, an empty file.")
        self._has_header, self.num_rows = True, 0
        scans = [Scan() for _ in first]
        repeated, second = False, None
        for lines, rows in self._blocks_of_lines():
            self.num_rows += len(rows)
            second = second or rows[0]
            for scan, name, cells in zip(scans, first, zip(*rows, strict=True), strict=True):
                scan.add(cells, lines)
                repeated |= not scan.is_told_apart and name not in MISSING and name in cells
        names = _names(first)
        if columns is not None and header is None:
            header = {column.name for column in columns} <= set(names)
        if header is None:
            header = not repeated and self._is_header(first, second, scans)
        self._has_header = header
        if not header:
            names = [f"column {j}" for j in range(len(first))]
            self.num_rows += 1
            for scan, cell in zip(scans, first, strict=True):
                scan.add([cell], [1])
        elif not self.num_rows:
            raise DataError(
                f"Expected rows below the header. Received: {self.path}, which has none."
            )
        self.header = names
        if columns is not None:
            unknown = [column.name for column in columns if column.name not in names]
            if unknown:
                raise UnknownNameError(
                    f"Expected columns named {', '.join(map(repr, unknown))}, as in the table that "
                    f"was learned. {nearest(unknown[0], names)}Received: {self.path} without them."
                )
        return first, scans

    def _is_header(self, first, second, scans) -> bool:
        """Return whether the first row names the columns; refuse to guess."""
        if second is None:
            return not all(cell in MISSING or Scan.is_number(cell) for cell in first)
        told = [j for j, scan in enumerate(scans) if scan.is_told_apart and first[j] not in MISSING]
        alike = [j for j in told if scans[j].fits(first[j])]
        if not alike:
            return True
        whole = all(is_whole(first[j]) for j in alike)
        names = [int(first[j]) for j in alike] if whole else []
        if len(alike) < len(told):
            found = True if whole and len(set(names)) == len(names) else None
        elif not whole:
            found = False
        else:
            found = _are_names(names, [scans[j] for j in alike], [second[j] for j in alike])
        if found is None:
            shown = ", ".join(map(repr, first[:_SHOWN]))
            raise InvalidInputError(
                f"Expected a first row that can only be names, or only values. Received: {shown} "
                f"in {self.path}. Say which by header=True or False (--header yes or no)."
            )
        return found

    # Columns

    def _find(self, name: str | int, argument: str) -> int:
        """Return the index of a column, by name or number."""
        header = self.header
        if isinstance(name, str) and name in header:
            return header.index(name)
        index = int(name) if isinstance(name, str) and is_whole(name) else name
        if isinstance(index, int) and -len(header) <= index < len(header):
            return index % len(header)
        if isinstance(index, int):
            raise UnknownNameError(
                f"Expected a column by name or below {len(header)}. "
                f"Received: {argument}={name!r} of {self.path}"
            )
        raise UnknownNameError(
            f"Unknown {argument} column. {nearest(str(name), header)}"
            f"Received: {argument}={name!r} of {self.path}"
        )

    def _find_kinds(self, scans, as_text, decimal) -> tuple[Column, ...]:
        typed = [j for j in self._used if j not in as_text]
        mark = decimal or self._choose_mark([(j, scans[j]) for j in typed])
        order = self._choose_order([(j, scans[j]) for j in typed])
        return tuple(
            scans[j].column(
                self.header[j], mark, order, kind="text" if j in as_text else None, where=self.path
            )
            for j in self._used
        )

    def _choose_mark(self, scans) -> str:
        """Return the decimal mark of the columns that do not show it."""
        marks = [(j, scan, scan.marks()) for j, scan in scans]
        open_ones = [(j, scan) for j, scan, found in marks if len(found) > 1]
        sure = set().union(*(found for _, _, found in marks if len(found) == 1))
        if not open_ones or len(sure) == 1:
            return next(iter(sure), ".")
        j, scan = open_ones[0]
        cell = scan.sample()
        # Excel separates by semicolons where the comma is the decimal mark, and only there
        usual = {",": ".", ";": "," if "," in cell else "", "\t": "." if "." in cell else ""}
        mark = usual.get(self.delimiter, "")
        if sure or not mark:
            raise InvalidInputError(
                f"Expected numbers that show their decimal mark. Received: {cell!r} in column "
                f"{self.header[j]!r} of {self.path}. Say which it is by decimal='.' or ',' "
                "(--decimal)."
            )
        return mark

    def _choose_order(self, scans) -> str:
        """Return the order of day and month in the columns that do not show it."""
        orders = [(j, scan, scan.orders()) for j, scan in scans]
        open_ones = [(j, scan) for j, scan, found in orders if len(found) > 1]
        sure = set().union(*(found for _, _, found in orders if len(found) == 1)) - {"ymd"}
        if open_ones and len(sure) != 1:
            j, scan = open_ones[0]
            name = self.header[j]
            raise InvalidInputError(
                f"Expected dates that show which is the month. Received: {scan.first('date')!r} in "
                f"column {name!r} of {self.path}. Write them as 2024-01-31, leave the column out "
                f"(ignore=[{name!r}], --ignore) or take it for text (text=[{name!r}], --text)."
            )
        return next(iter(sure), "")

    def _find_same_kinds(self, scans, columns, decimal) -> tuple[Column, ...]:
        found = []
        for j, other in zip(self._used, columns, strict=True):
            mark, order = decimal or other.form[:1], other.form[:3]
            column = scans[j].column(other.name, mark, order, kind=other.kind, where=self.path)
            if not scans[j].present:
                column = other
            kind, is_kind = ("number" if c.kind == "integer" else c.kind for c in (other, column))
            forms = [c.form[1:] for c in (other, column) if kind == is_kind == "number"]
            if kind != is_kind or len(set(forms)) > 1:
                wanted = forms[0] or "#" if forms else kind
                cell, line = scans[j].unlike(wanted)
                raise InvalidInputError(
                    f"Expected column {other.name!r} to be {other.kind}, as in the table that was "
                    f"learned. Received: {cell!r} in line {line} of {self.path}."
                )
            found.append(column)
        return tuple(found)

    def _find_dtype(self) -> np.dtype:
        dtypes = {"truth": bool, "integer": np.int64, "number": np.float64}
        if any(column.kind not in dtypes for column in self.columns):
            return np.dtype(object)
        missing = any(column.missing for column in self.columns)
        kinds = [dtypes[column.kind] for column in self.columns]
        return np.result_type(*kinds, *([np.float64] if missing else []))

    def _describe(self, first, scans, used) -> list[str]:
        names = {"\t": "tabs", ";": "semicolons", "|": "bars", " ": "spaces"}
        notes = []
        told = [names[self.delimiter]] if self.delimiter in names else []
        told += [self.encoding] if self.encoding not in ("utf-8", "utf-8-sig") else []
        told += [] if self._has_header else ["no header"]
        shown = [str(column) for column in self.columns]
        if len(shown) > _SHOWN:
            kinds = [column.kind for column in self.columns]
            numbers = [c for c in self.columns if c.kind in ("integer", "number")]
            shown = [f"{kinds.count(k):,} {k}" for k in sorted({c.kind for c in numbers})]
            shown += [str(c) for c in self.columns if c not in numbers][:_SHOWN]
        told = f" ({', '.join(told)})" if told else ""
        notes.append(f"{self.num_rows:,} rows{told}; columns: {', '.join(shown)}")
        if self._has_header and any(is_whole(name) for name in first):
            notes.append(f"the first row names the columns: {', '.join(first[:_SHOWN])}")
        if empty := [self.header[j] for j in used if not scans[j].present]:
            notes.append(f"left out, without a value: {', '.join(empty)}")
        if self.dtype == np.float64:
            large = [
                self.header[j] for j, column in zip(self._used, self.columns, strict=True)
                if column.kind == "integer" and max(-scans[j].low, scans[j].high) > _EXACT
            ]  # fmt: skip
            if large:
                notes.append(f"rounded, beyond 2**53 beside numbers: {', '.join(large)}")
        return notes

    # Reading

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the number of each row's line in the file and the cells of all columns."""
        return itertools.islice(self._lines(), int(self._has_header), None)

    def blocks(self) -> Iterator[tuple[np.ndarray, list[str]]]:
        """Yield features [m, d] of `dtype` and the labels as text, some thousand rows a time.

        Missing ones are NaN, and `None` in columns of text, dates and truths beside them.
        """
        for _, rows in self._blocks_of_lines():
            cells = list(zip(*rows, strict=True))
            features = np.empty((len(rows), len(self.columns)), self.dtype)
            for j, (index, column) in enumerate(zip(self._used, self.columns, strict=True)):
                values = column.values(cells[index])
                if self.dtype != object:
                    features[:, j] = np.array(values, self.dtype)
                else:
                    features[:, j] = np.fromiter(values, object, len(values))
            yield features, [] if self._label is None else list(cells[self._label])

    def read(self) -> tuple[np.ndarray, np.ndarray | None, list[str]]:
        """Return all features, the labels as integers from 0 (or `None`), and their names."""
        blocks = list(self.blocks())
        x = np.concatenate([features for features, _ in blocks])
        if self._label is None:
            return x, None, []
        labels = [label for _, block in blocks for label in block]
        names = sorted(set(labels))
        if all(name in MISSING or Scan.is_number(name) for name in names):
            # as text, 10 comes before 2
            names.sort(key=lambda name: float("nan" if name in MISSING else name))
        number = {name: i for i, name in enumerate(names)}
        return x, np.array([number[label] for label in labels]), names

    def typed(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """Return the columns of features [n, d] by name, each of its own kind.

        Numbers are float64, and integers, of which none is missing, int64; the rest are objects.
        """
        columns = {}
        for values, column in zip(x.T, self.columns, strict=True):
            if column.kind == "number":
                values = values.astype(np.float64)
            elif column.kind == "integer" and not column.missing:
                values = values.astype(np.int64)
            elif column.kind in ("integer", "truth"):
                known = [value is not None and value == value for value in values.tolist()]
                cast = int if column.kind == "integer" else bool
                nothing = np.nan if column.kind == "integer" else None
                pairs = zip(values.tolist(), known, strict=True)
                cells = [cast(value) if there else nothing for value, there in pairs]
                values = np.fromiter(cells, object, len(cells))
            columns[column.name] = values
        return columns

    # Writing

    def filled_rows(self, x: np.ndarray) -> Iterator[list[str]]:
        """Yield the file's own cells of all columns, those without a value filled in from `x`.

        Args:
            x: Values of the feature columns, [n, d], in the file's order.
        """
        lines = self.rows()
        for start in range(0, len(x), _ROWS_AT_A_TIME):
            block = x[start : start + _ROWS_AT_A_TIME]
            written = [column.cells(block[:, j]) for j, column in enumerate(self.columns)]
            for i, (_, cells) in enumerate(itertools.islice(lines, len(block))):
                for index, column in zip(self._used, written, strict=True):
                    if cells[index] in MISSING and column[i]:
                        cells[index] = column[i]
                yield cells

    def write(self, path: Path, rows: Iterable[Sequence[str]]) -> None:
        """Write rows of all columns in the form of this file, below its header."""
        header = [self.header] if self._has_header else []
        write_csv(path, itertools.chain(header, rows), self.delimiter, self.encoding)


def write_csv(
    path: Path, rows: Iterable[Sequence[Any]], delimiter: str = ",", encoding: str = "utf-8"
) -> None:
    """Write rows of cells."""
    with open(path, "w", newline="", encoding=encoding) as file:
        csv.writer(file, delimiter=delimiter, lineterminator="\n").writerows(rows)


def _find_delimiter(lines: list[str]) -> str:
    """Return what separates the cells of these lines."""
    best, most = ",", 0.0
    for delimiter in _DELIMITERS:
        try:
            reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
            rows = [row for row in reader if row]
        except csv.Error:
            continue
        width = len(rows[0]) if rows else 0
        share = np.mean([len(row) == width for row in rows]) if width > 1 else 0.0
        if delimiter == " " and not all(Scan.is_number(c) for row in rows[1:] for c in row if c):
            continue
        if share > most:
            best, most = delimiter, share
    return best


def _names(first: list[str]) -> list[str]:
    """Return names for columns: unique, none empty."""
    names: list[str] = []
    # NumPy marks a header as a comment
    for j, name in enumerate([first[0].lstrip("# "), *first[1:]]):
        name = name or f"column {j}"
        unique, number = name, 1
        while unique in names:
            unique, number = f"{name}.{number}", number + 1
        names.append(unique)
    return names


def _are_names(names: list[int], scans: list[Scan], second: list[str]) -> bool | None:
    """Return whether whole numbers above columns of numbers are names; `None` for perhaps."""
    if len(set(names)) < len(names):
        return False
    steps = np.diff(names)
    even = len(set(steps.tolist())) == 1
    fractional = [scan.is_fractional for scan in scans]
    apart = [
        scan.is_fractional or scan.is_far(name) for scan, name in zip(scans, names, strict=True)
    ]
    if min(names) >= _YEARS.start and all(apart) and (even or max(names) < _YEARS.stop):
        return True
    if len(names) < 2:
        return None if names[0] >= _YEARS.start and all(apart) else False
    if even and np.mean(fractional) > 0.5:
        return True if len(names) >= _SOME else None
    if all(fractional) or (even and all(name in _YEARS for name in names)):
        return None
    # a table that counts on in each row has no names
    below = [int(cell) if is_whole(cell) else 0 for cell in second]
    counts = even and steps[0] == 1 and names[0] in (0, 1) and len(names) >= _MANY
    return counts and bool((np.diff(below) != 1).any())
