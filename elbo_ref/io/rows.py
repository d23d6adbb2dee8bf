"""A line of a table: its cells, and the counts in those that are needed."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from operator import itemgetter
from typing import TypeAlias

from elbo_ref.io.cells import flaw, whole
from elbo_ref.io.layout import DataError, Layout, bare, short

MOST_LINE = 2**16
"""A line of more characters is refused."""

Cells: TypeAlias = tuple[str, ...]
Row: TypeAlias = tuple[int, int, int, int]
"""Successes, total_count, multiplicity, and the number of the group."""

_SEPARATORS = {",": "comma", "\t": "tab", ";": "semicolon"}
_NAMES = ", ".join(_SEPARATORS.values())
_BLANK = ("", "NA")


class Rows:
    """How to read the lines of one table; each is read alone.

    A `DataError` says what is wrong of `place`, as in "line 3 is blank".

    Attributes
    ----------
    labels : dict
        The labels of the groups so far, numbered in the order of first appearance.
    """

    def __init__(self, separator: str, names: Sequence[str], layout: Layout, place: str) -> None:
        layout.check(names, place)
        self.labels: dict[str, int] = {}
        self._separator, self._width, self._layout = separator, len(names), layout
        self._counted = layout.counted(names)
        needed = self._counted + ([] if layout.group is None else [layout.group])
        self._num_needed = len(needed)
        self._weighted, self._grouped = len(self._counted) == 3, layout.group is not None
        self._pick = itemgetter(*map(names.index, needed))

    @classmethod
    def under(cls, header: str, layout: Layout, place: str) -> Rows:
        """Rows under a header: it fixes the separator, the one under which it has the columns."""
        _check_line(header, place)
        if not header.strip(" "):
            raise DataError(f"{place} is blank where a header is needed")
        readings = {}
        for separator in _SEPARATORS:
            cells = _split(header, separator)
            if cells is not None:
                readings[separator] = [cell.strip(" ") for cell in cells]
        if not readings:
            raise DataError(_broken(header, place))
        wanted = {layout.successes, layout.total_count}
        separator = max(readings, key=lambda x: (wanted <= {*readings[x]}, len(readings[x])))
        if len(readings[separator]) == 1:
            raise DataError(f"{place} is not separated by one of {_NAMES}: {short(header)}")
        return cls(separator, readings[separator], layout, place)

    @classmethod
    def from_first(cls, line: str, layout: Layout, place: str) -> Rows:
        """Rows without a header: the separator gives the first of them a cell for each column."""
        _check_line(line, place)
        columns = layout.columns or ()
        sizes = {separator: len(_split(line, separator) or ()) for separator in _SEPARATORS}
        fitting = [separator for separator, size in sizes.items() if size == len(columns)]
        if len(fitting) != 1:
            rule = f"does not have {len(columns)} cells separated by one of {_NAMES}"
            raise DataError(f"{place} {rule}: {short(line)}")
        return cls(fitting[0], columns, layout, place)

    def tally(self, lines: Sequence[str], text: str) -> Iterable[tuple[Cells, int]]:
        """How often which needed cells occur in lines; `text` is all of them together.

        Equal lines are counted before they are split, unless other cells make them differ; where
        the order matters, every line is told once.
        """
        if self._layout.in_order:
            return zip(self._all_cells(lines, text), repeat(1))
        if self._num_needed < self._width:
            return Counter(self._all_cells(lines, text)).items()
        times = Counter(lines)
        return zip(self._all_cells(times, text), times.values(), strict=True)

    def _all_cells(self, lines: Iterable[str], text: str) -> Iterator[Cells]:
        """The cells of every line; of those that look odd, with care."""
        quoted, care = '"' in text, "\r" in text
        reader = csv.reader(lines, delimiter=self._separator, strict=True)
        rows = reader if quoted else (line.split(self._separator) for line in lines)
        try:
            for line, cells in zip(lines, rows, strict=True):
                if len(cells) != self._width or len(line) > MOST_LINE or care:
                    yield self.cells(line, "a line")
                else:
                    yield self._pick(cells)
        except (csv.Error, ValueError):  # a cell that goes on in the next line makes less rows
            raise DataError("a line has quotes that do not match") from None

    def cells(self, line: str, place: str) -> Cells:
        """The cells that are needed; of a blank line that is to be dropped, blank ones."""
        _check_line(line, place)
        if not line.strip(" "):
            if self._layout.drop_blank:
                return ("",) * self._num_needed
            raise DataError(f"{place} is blank")
        cells = _split(line, self._separator)
        if cells is None:
            raise DataError(_broken(line, place))
        if len(cells) != self._width:
            raise DataError(self._ragged(line, len(cells), place))
        picked: Cells = self._pick(cells)
        return picked

    def read(self, cells: Cells, place: str) -> Row | None:
        """The row, from the cells needed; None for one to drop."""
        k, n = whole(cells[0]), whole(cells[1])
        w = whole(cells[2]) if self._weighted else 1
        number = self.labels.get(cells[-1]) if self._grouped else 0
        if k is None or n is None or w is None or number is None or k > n:
            return self._read_closely([cell.strip(" ") for cell in cells], place)
        return k, n, w, number

    def _read_closely(self, cells: Sequence[str], place: str) -> Row | None:
        """The same for a row with a new label, a space, a blank, or something wrong."""
        if self._layout.drop_blank and any(cell in _BLANK for cell in cells):
            return None
        counts = []
        for column, cell in zip(self._counted, cells, strict=False):
            count = whole(cell)
            if count is None:
                raise DataError(f"{place}, column {bare(column)}: {short(cell)} {flaw(cell)}")
            counts.append(count)
        k, n, w = counts if self._weighted else (*counts, 1)
        if k > n:
            column, total = map(bare, self._counted[:2])
            raise DataError(f"{place}, column {column}: {k} exceeds {total} = {n}")
        if self._layout.group is None:
            return k, n, w, 0
        if not cells[-1]:
            raise DataError(f"{place}, column {bare(self._layout.group)}: the label is blank")
        return k, n, w, self.labels.setdefault(cells[-1], len(self.labels))

    def _ragged(self, line: str, size: int, place: str) -> str:
        cells = "1 cell" if size == 1 else f"{size} cells"
        model = "the header has" if self._layout.columns is None else "there are names for"
        name = _SEPARATORS[self._separator]
        return (
            f"{place} has {cells} where {model} {self._width}; the separator is a {name}: "
            f"{short(line)}"
        )


def _check_line(line: str, place: str) -> None:
    if len(line) > MOST_LINE:
        raise DataError(f"{place} is longer than {MOST_LINE} characters")
    if "\r" in line:
        raise DataError(f"{place} holds a carriage return without a line feed: {short(line)}")


def _split(line: str, separator: str) -> list[str] | None:
    """The cells; None if quotes do not match."""
    if '"' not in line:
        return line.split(separator)
    try:
        return next(csv.reader([line], delimiter=separator, strict=True))
    except csv.Error:
        return None


def _broken(line: str, place: str) -> str:
    return f"{place} has quotes that do not match (a cell ends on its line): {short(line)}"
