"""What the cells of a column hold: numbers, truths, dates or text, and the way back."""

import collections
import dataclasses
import datetime
import math
import os
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from genzoo.core.errors import InvalidInputError

# what spreadsheets, R, pandas and the UCI repository write where nothing is known
MISSING = frozenset(
    ["", "?", "NA", "N/A", "n/a", "<NA>", "NaN", "nan", "-nan", "NaT", "NULL", "null", "None"]
    + [f"#{name}" for name in ("N/A", "NA", "NV", "DIV/0!", "VALUE!", "REF!", "NUM!", "NAME?")]
)
_SPACES = "\u0020\u00a0\u2009\u202f'\u2019"
_WHOLE = re.compile(r"[+-]?(0|[1-9][0-9]*)")
_DECIMAL = re.compile(r"[+-]?(?:0|[1-9][0-9]*)\.([0-9]*)([eE][+-]?[0-9]+)?")
# digits that stand for a name: postcodes, keys
_CODE = re.compile(r"[+-]?0[0-9]+")
_NUMBER = {
    mark: re.compile(
        rf"[+-]?(?=[{mark}]?[0-9])(?:[0-9]*|[1-9][0-9]{{0,2}}(?:[{other}{_SPACES}][0-9]{{3}})+)"
        rf"(?:[{mark}]([0-9]*))?([eE][+-]?[0-9]+)?|[+-]?(?:inf|Inf|infinity|Infinity)"
    )
    for mark, other in (".,", ",.")
}
_AFFIXED = re.compile(r"([+-]?)([$€£¥] ?)?([0-9.,][^$€£¥%]*?)( ?[$€£¥%])?")
_DATE = re.compile(
    r"(\d{1,4})([-./])(\d{1,2})\2(\d{1,4})"
    r"(?:([T ]|, )(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d+))?)?(?: ?([AaPp][Mm]))?"
    r" ?(Z|[+-]\d{2}:?\d{2})?)?"
)
_ORDERS = {"ymd": "%Y{0}%m{0}%d", "dmy": "%d{0}%m{0}%Y", "mdy": "%m{0}%d{0}%Y"}
# a share of cells of one kind above which the others are mistakes rather than text
_MOSTLY = 0.9
_MOST_COUNTED = 1000
# beyond, more digits would be written than a float holds
_PLAIN_DECIMALS = 6
# how numbers are written: the # stands for them, beside a currency or a percent sign
_PLAIN = "#"
_FORMS = {"number": [(".", ",")], "date": [tuple(_ORDERS), ("aware", "naive")]}
_NUMBERS = {
    (point, comma): frozenset(["number", _PLAIN] * (point or comma) + ["."] * point + [","] * comma)
    for point in (True, False)
    for comma in (True, False)
}
_WHOLE_NUMBERS = _NUMBERS[True, True] | {"whole", "unmarked"}


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: As in the header.
        kind: `"number"`, `"integer"`, `"truth"`, `"date"` or `"text"`.
        form: How it is written: the decimal mark of numbers and, with a sign, `"$#"` or `"#%"`
            (12% is 12); the order of dates (`"ymd"`, `"dmy"`, `"mdy"`) and then their pattern; the
            word for true.
        decimals: Most digits after the decimal mark; -1 for numbers with exponents.
        missing: Number of rows without a value.
        different: Number of different values, counted to 1,000.
    """

    name: str
    kind: str
    form: str = ""
    decimals: int = 0
    missing: int = 0
    different: int = 0

    def values(self, cells: Iterable[str]) -> list[Any]:
        """Return floats, ints, bools, `datetime`s (in UTC, without a zone) or text.

        What is missing is NaN in numbers, `None` elsewhere.
        """
        if self.kind == "integer" or (self.kind == "number" and self.form == "."):
            try:
                # the usual column, without marks of thousands and missing ones
                return list(map(int if self.kind == "integer" else float, cells))
            except ValueError:
                pass
        read = getattr(self, f"_read_{self.kind}")
        nothing = math.nan if self.kind in ("number", "integer") else None
        return [nothing if cell in MISSING else read(cell) for cell in cells]

    @property
    def _affix(self) -> tuple[str, str]:
        """What stands before and after numbers."""
        before, _, after = (self.form[1:] if self.kind == "number" else "").partition(_PLAIN)
        return before, after

    def _read_number(self, cell: str) -> float:
        for sign in filter(None, self._affix):
            cell = cell.replace(sign, "")
        plain = cell.replace("," if self.form[:1] == "." else ".", "").replace(",", ".")
        try:
            return float(plain)
        except ValueError:
            return float("".join(c for c in plain if c not in _SPACES))

    def _read_integer(self, cell: str) -> int:
        return int(cell)

    def _read_truth(self, cell: str) -> bool:
        return cell.lower() == "true"

    def _read_date(self, cell: str) -> datetime.datetime:
        return _read_date(_DATE.fullmatch(cell), self.form[:3])

    def _read_text(self, cell: str) -> str:
        return cell

    def cells(self, values: Iterable[Any]) -> list[str]:
        """Return values as the column's cells are written; what is missing as an empty cell."""
        write = getattr(self, f"_write_{self.kind}")
        return ["" if value is None or value != value else write(value) for value in values]

    def _write_number(self, value: Any) -> str:
        if 0 <= self.decimals <= _PLAIN_DECIMALS:
            text = f"{value:.{self.decimals}f}"
        else:
            text = str(value if self.decimals < 0 else round(float(value), self.decimals))
        text, (before, after) = text.replace(".", self.form[:1] or "."), self._affix
        return "-" * text.startswith("-") + before + text.removeprefix("-") + after

    def _write_integer(self, value: Any) -> str:
        return str(round(value))

    def _write_truth(self, value: Any) -> str:
        word = "true" if value >= 0.5 else "false"
        if self.form.isupper():
            return word.upper()
        return word.title() if self.form.istitle() else word

    def _write_date(self, value: Any) -> str:
        if isinstance(value, np.datetime64):
            value = value.astype("datetime64[us]").astype(datetime.datetime)
        return value.strftime(self.form[3:])

    def _write_text(self, value: Any) -> str:
        return str(value)

    def __str__(self) -> str:
        details = []
        if self.kind == "number" and self.form[:1] == ",":
            details.append("decimal comma")
        if any(self._affix):
            details.append(self.form[1:])
        if self.kind == "date":
            details.append(self.form[3:])
        if self.kind == "text":
            more = "over " if self.different > _MOST_COUNTED else ""
            details.append(f"{more}{min(self.different, _MOST_COUNTED):,} different")
        if self.missing:
            details.append(f"{self.missing:,} missing")
        return f"{self.name} {self.kind}" + (f" ({', '.join(details)})" if details else "")


class Scan:
    """Counts what the cells of a column could be, block by block."""

    def __init__(self):
        self.present = self.missing = self.coded = 0
        self.decimals = {".": 0, ",": 0}
        self.names: set[str] = set()
        self.low, self.high = math.inf, -math.inf
        # by what cells can be: how many there are, the first and its line
        self.groups: dict[frozenset[str], list[Any]] = {}

    def add(self, cells: Sequence[str], lines: Sequence[int]) -> None:
        """Count cells of these lines."""
        for cell, n in collections.Counter(cells).items():
            if cell in MISSING:
                self.missing += n
                continue
            self.present += n
            if len(self.names) <= _MOST_COUNTED:
                self.names.add(cell)
            kinds = self._kinds(cell, n)
            if kinds in self.groups:
                self.groups[kinds][0] += n
            else:
                self.groups[kinds] = [n, cell, lines[cells.index(cell)]]

    def _kinds(self, cell: str, n: int) -> frozenset[str]:
        """Return what a cell can be: whole, a number by either mark, a truth, a date; and how."""
        if match := _DECIMAL.fullmatch(cell):
            # three digits may be thousands
            if len(match[1]) != 3 or match[2]:
                self._count_decimals(".", match)
                return _NUMBERS[True, False]
        elif _WHOLE.fullmatch(cell):
            value = int(cell)
            self.low, self.high = min(self.low, value), max(self.high, value)
            return _WHOLE_NUMBERS
        elif _CODE.fullmatch(cell):
            self.coded += n
            return _NUMBERS[True, True]
        matches = {mark: pattern.fullmatch(cell) for mark, pattern in _NUMBER.items()}
        for mark, match in matches.items():
            if match:
                self._count_decimals(mark, match)
        kinds = _NUMBERS[bool(matches["."]), bool(matches[","])]
        if kinds:
            return kinds if "." in cell or "," in cell else kinds | {"unmarked"}
        match = _AFFIXED.fullmatch(cell)
        if match and bool(match[2]) != bool(match[4]):
            kinds = self._kinds(match[1] + match[3], n)
            if "number" in kinds:
                form = f"{match[2] or ''}{_PLAIN}{match[4] or ''}"
                return kinds - {_PLAIN, "whole"} | {form}
        if cell.lower() in ("true", "false"):
            return frozenset({"truth"})
        match = _DATE.fullmatch(cell)
        orders = {order for order in _ORDERS if match and _read_date(match, order)}
        if not orders:
            return frozenset()
        return frozenset({"date", "aware" if match[11] else "naive", *orders})

    def _count(self, kind: str) -> int:
        return sum(group[0] for kinds, group in self.groups.items() if kind in kinds)

    def first(self, kind: str) -> str:
        """Return the first cell of a kind."""
        return min((g for kinds, g in self.groups.items() if kind in kinds), key=_line)[1]

    def unlike(self, kind: str) -> tuple[str, int] | None:
        """Return the first cell that is not of a kind, with its line, or `None`."""
        others = [group for kinds, group in self.groups.items() if kind not in kinds]
        return tuple(min(others, key=_line)[1:]) if others else None

    def _count_decimals(self, mark: str, match: re.Match) -> None:
        if match[2] or self.decimals[mark] < 0:
            self.decimals[mark] = -1
        else:
            self.decimals[mark] = max(self.decimals[mark], len(match[1] or ""))

    def _all(self, kind: str) -> bool:
        return all(kind in kinds for kinds in self.groups)

    @staticmethod
    def is_number(cell: str) -> bool:
        """Return whether a cell could be a number."""
        return "number" in Scan()._kinds(cell, 1)

    def fits(self, cell: str) -> bool:
        """Return whether a cell could stand in this column of numbers, truths or dates."""
        kinds = Scan()._kinds(cell, 1)
        return any(self._all(kind) and kind in kinds for kind in (".", ",", "truth", "date"))

    @property
    def is_told_apart(self) -> bool:
        """Whether all cells are numbers, truths or dates, which a name would not be."""
        return bool(self.present) and any(map(self._all, (".", ",", "truth", "date")))

    @property
    def is_fractional(self) -> bool:
        return bool(self.present) and self._all("number") and not self._count("whole")

    def is_far(self, value: int) -> bool:
        """Return whether a value lies farther from the whole numbers than these lie apart."""
        outside = max(self.low - value, value - self.high)
        return math.isfinite(outside) and outside > self.high - self.low

    def sample(self) -> str:
        """Return a number with a mark."""
        return next(cell for cell in sorted(self.names) if "," in cell or "." in cell)

    def marks(self) -> set[str]:
        """Return the decimal marks by which every cell is a number; none for whole numbers."""
        if not self.present or self._all("whole") or self._is_code() or self.form is None:
            return set()
        if self._all("unmarked"):
            return {"."}
        return {mark for mark in ".," if self._all(mark)}

    @property
    def form(self) -> str | None:
        """How all cells are written, as numbers with or without a sign; `None` if not alike."""
        forms = self._forms()
        return forms[0] if len(forms) == 1 and self._all(forms[0]) else None

    def _forms(self) -> list[str]:
        return sorted({kind for kinds in self.groups for kind in kinds if _PLAIN in kind})

    def orders(self) -> set[str]:
        """Return the orders of day, month and year by which every cell is a date."""
        if not self.present or not (self._all("aware") or self._all("naive")):
            return set()
        return {order for order in _ORDERS if self._all(order)}

    def _is_code(self) -> bool:
        """Return whether digits stand for names: zeros in front, or more than integers hold."""
        whole = self._count("whole") + self.coded == self.present
        return whole and (self.coded > 0 or max(-self.low, self.high) >= 2**63)

    def column(
        self, name: str, mark: str, order: str, *, kind: str | None, where: str | os.PathLike
    ) -> Column:
        """Return what the column is.

        Args:
            name: Of the column.
            mark, order: What is taken where `marks` or `orders` leave a choice.
            kind: What it is to be, if it can; `None` to see.
            where: The file, for messages.

        Raises:
            InvalidInputError: For a column of which a few cells are not as the rest.
        """
        about = {"missing": self.missing, "different": len(self.names)}
        is_digits = self._count("whole") + self.coded == self.present
        is_number = kind in ("integer", "number")
        if kind == "text" or not self.present or (self._is_code() and not is_number):
            return Column(name, "text", **about)
        if is_digits:
            return Column(name, "integer", **about)
        if self._all("truth"):
            return Column(name, "truth", self.first("truth"), **about)
        if orders := self.orders():
            order = order if order in orders else min(orders)
            pattern = _pattern(_DATE.fullmatch(self.first("date")), order)
            return Column(name, "date", order + pattern, **about)
        if marks := self.marks():
            mark = mark if mark in marks else min(marks)
            form = mark + self.form if self.form != _PLAIN else mark
            return Column(name, "number", form, self.decimals[mark], **about)
        for usual_kind, forms in _FORMS.items():
            if self._count(usual_kind) >= _MOSTLY * self.present:
                forms = [*forms, self._forms()] if usual_kind == "number" else forms
                usual = [max(form, key=self._count) for form in forms]
                cell, line = next(filter(None, map(self.unlike, usual)))
                raise InvalidInputError(
                    f"Expected {usual_kind}s of one form in column {name!r}, as most cells hold. "
                    f"Received: {cell!r} in line {line} of {where}. Empty the cell if it is "
                    f"missing, take the column for text (text=[{name!r}], --text) or leave it out "
                    f"(ignore=[{name!r}], --ignore)."
                )
        return Column(name, "text", **about)


def _line(group: list[Any]) -> int:
    return group[2]


def is_whole(cell: str) -> bool:
    """Return whether a cell is a whole number."""
    return bool(_WHOLE.fullmatch(cell))


def _read_date(match: re.Match, order: str) -> datetime.datetime | None:
    """Return a date in UTC, or `None` for one that is none in this order."""
    first, separator, second, third = match.group(1, 2, 3, 4)
    lengths = {"ymd": (4, 2), "dmy": (2, 4), "mdy": (2, 4)}[order]
    if (len(first) > 2) != (lengths[0] > 2) or (len(third) > 2) != (lengths[1] > 2):
        return None
    if max(len(first), len(third)) != 4 or (order == "mdy" and separator == "."):
        return None
    part = dict(zip(order, (first, second, third), strict=True))
    hour, minute, second = (int(match[i] or 0) for i in (6, 7, 8))
    if match[10]:
        hour = hour % 12 + 12 * (match[10].lower() == "pm")
    micro = int((match[9] or "0").ljust(6, "0")[:6])
    try:
        date = datetime.datetime(
            int(part["y"]), int(part["m"]), int(part["d"]), hour, minute, second, micro
        )
        zone = match[11]
        if zone and zone != "Z":
            away = datetime.timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:]))
            date = date - away if zone[0] == "+" else date + away
    except (ValueError, OverflowError):
        return None
    return date


def _pattern(match: re.Match, order: str) -> str:
    """Return the pattern of `strftime` that writes dates as this one is written."""
    pattern = _ORDERS[order].format(match[2])
    if match[5]:
        pattern += match[5] + ("%I" if match[10] else "%H") + ":%M"
        pattern += (":%S" if match[8] else "") + (".%f" if match[9] else "")
        pattern += (" %p" if match[10] else "") + ("+00:00" if match[11] else "")
    return pattern
