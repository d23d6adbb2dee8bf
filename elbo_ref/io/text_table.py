"""Counts from delimited text, in constant memory.

A row is a line. Comma, tab or semicolon: the header says which, and it stays; without a header, the
first row does. Every row has as many cells as the header. Cells may be quoted, but not broken over
lines; spaces around them do not count. A header without any of the three is separated by spaces, as
`write.table` of R does it; where its rows begin with their names, they have a cell more.

Equal rows are counted before they are parsed, a mebibyte at a time. The memory holds a histogram of
distinct pairs of counts, or one entry for each group: neither grows with the rows.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import repeat
from operator import itemgetter
from typing import Any, TypeAlias

from elbo_ref.counts.cells import OF_TRIALS
from elbo_ref.io.errors import DataError, bare, short
from elbo_ref.io.layout import Layout
from elbo_ref.io.numbers import (
    BLANK,
    flaw,
    flaw_of_proportion,
    is_fraction,
    is_missing,
    proportion,
    whole,
)  # fmt: skip
from elbo_ref.io.totals import Contents, Row, Totals, totals_of

MOST_LINE = 2**16
"""A line of more characters is refused."""

Cells: TypeAlias = tuple[str, ...]
_SEPARATORS = {",": "comma", "\t": "tab", ";": "semicolon", " ": "space"}
_NAMES = "comma, tab, semicolon"
_FLAGS = {"true": 1, "t": 1, "false": 0, "f": 0}


def read_table(blocks: Iterable[bytes], layout: Layout) -> Contents:
    """Read counts, the number of rows, how many were dropped, and what was guessed."""
    table = _Table(layout)
    rest = b""
    for block in blocks:
        data = rest + block
        end = data.rfind(b"\n") + 1
        rest = data[end:]
        if end:
            table.add(data[:end])
        if len(rest) > 4 * (MOST_LINE + 2):  # whatever characters these are
            raise DataError(f"line {table.line} is longer than {MOST_LINE} characters")
    if rest:
        table.add(rest)
    return table.finish()


class _Table:
    """A table being read; `line` is the number of the next one."""

    def __init__(self, layout: Layout) -> None:
        self.line = 1
        self._layout = layout
        self._rows: _Rows | None = None
        self._totals: Totals
        self._num_rows = self._dropped = 0

    def add(self, data: bytes) -> None:
        """Take in whole lines, up to the first that is wrong."""
        text, wrong = _text(data)
        if text and self._rows is None:
            text = text.removeprefix("\ufeff")
            first, _, below = text.partition("\n")
            if self._layout.columns is None:
                self._rows, text, self.line = _Rows.under(first, self._layout), below, 2
            else:
                self._rows = _Rows.like(first, self._layout)
            self._totals = totals_of(self._rows.layout)
        if text and self._rows is not None:
            if not self._num_rows + self._dropped:
                self._rows = self._rows.after(text.partition("\n")[0])
            self._add(self._rows, text)
        if wrong:
            raise DataError(f"line {self.line} {wrong}")

    def _add(self, rows: _Rows, text: str) -> None:
        lines = text.removesuffix("\n").split("\n")
        try:
            self._totals.add(self._kept(rows, rows.tally(lines, text)))
        except DataError:  # one by one then, to see which
            for number, line in enumerate(lines, self.line):
                place = f"line {number}"
                rows.read(rows.cells(line, place), place)
            raise
        self.line += len(lines)

    def _kept(self, rows: _Rows, tally: Iterable[tuple[Cells, int]]) -> Iterator[tuple[Row, int]]:
        """Yield the rows of a tally but for those to drop, and count both."""
        for cells, times in tally:
            row = rows.read(cells, "a line")
            if row is None:
                self._dropped += times
            else:
                self._num_rows += times
                yield row, times

    def finish(self) -> Contents:
        """Return the counts of all rows, and the numbers of rows."""
        if self._rows is None:
            raise DataError("the file is empty")
        if not self._num_rows:
            blank = f"; {self._dropped} blank ones are dropped" if self._dropped else ""
            raise DataError(f"the file has no row of counts{blank}")
        counts, by = self._totals.counts(list(self._rows.labels))
        return Contents(counts, self._num_rows, self._dropped, self._rows.layout.guess, by)


def _text(data: bytes) -> tuple[str, str]:
    """Decode the lines up to the first that is no text; also return the flaw of that one."""
    end, wrong = data.find(b"\0"), "holds a NUL byte"
    try:
        text = (data if end < 0 else data[:end]).decode()
    except UnicodeDecodeError as error:
        end, wrong = error.start, "is not UTF-8 text; save it as UTF-8"
    if end < 0:
        return text.replace("\r\n", "\n"), ""
    before = data[: data.rfind(b"\n", 0, end) + 1]
    return before.decode().replace("\r\n", "\n"), wrong


class _Rows:
    """The format of one table, by which each of its lines is read alone.

    A `DataError` begins with the place of the line, as in "line 3 is blank".

    Attributes
    ----------
    labels : dict
        The labels so far, those of group and level as pairs, numbered in the order of first
        appearance.
    """

    def __init__(self, separator: str, names: Sequence[str], layout: Layout) -> None:
        self.labels: dict[str | Cells, int] = {}
        self.layout = layout.of(names, "line 1")
        self._separator, self._names, self._given = separator, names, layout
        self._counted, needed = self.layout.counted, self.layout.needed
        self._width, self._num_counted, self._num_needed = (
            len(x) for x in (names, self._counted, needed)
        )
        self._weighted = self.layout.multiplicity is not None
        self._num_labels = len(self.layout.labelled)
        self._first: Callable[[str], Any] = whole
        if self.layout.outcome is not None:
            self._first = _flag
        elif self.layout.proportion is not None:
            self._first = proportion
        places = [names.index(name) for name in needed]
        self._pick: Callable[[Sequence[str]], Cells] = itemgetter(*places)
        if len(places) == 1:
            self._pick = lambda cells: (cells[places[0]],)

    @classmethod
    def under(cls, header: str, layout: Layout) -> _Rows:
        """Rows under a header: it fixes the separator, the one under which it has the columns."""
        _check_line(header, "line 1")
        if not header.strip(" "):
            raise DataError("line 1 is blank where a header is needed")
        readings: dict[str, list[str]] = {}
        for separator in _SEPARATORS:
            cells = _split(header, separator)
            odd = separator == " " and any(len(other) > 1 for other in readings.values())
            if cells is not None and not odd:
                readings[separator] = [cell.strip(" ") for cell in cells]
        if not readings:
            raise DataError(_broken(header, "line 1"))
        wanted = set(layout.needed) or {"successes", "total_count"}
        separator = max(readings, key=lambda x: (wanted <= {*readings[x]}, len(readings[x])))
        names = readings[separator]
        if all(whole(name) is not None for name in names):
            text = f"line 1 is a row, not a header: {short(header)}"
            raise DataError(text, columns=("successes", "total_count"))
        return cls(separator, names, layout)

    @classmethod
    def like(cls, line: str, layout: Layout) -> _Rows:
        """Rows without a header: the separator gives the first of them a cell for each column."""
        _check_line(line, "line 1")
        columns = layout.columns or ()
        sizes = {separator: len(_split(line, separator) or ()) for separator in ",\t;"}
        fitting = [separator for separator, size in sizes.items() if size == len(columns)]
        if len(fitting) != 1:
            rule = f"does not have {len(columns)} cells separated by one of {_NAMES}"
            raise DataError(f"line 1 {rule}: {short(line)}")
        return cls(fitting[0], columns, layout)

    def after(self, line: str) -> _Rows:
        """Rows of which the first is this: those of R have a name before their cells."""
        cells = _split(line, self._separator) or []
        if len(cells) == self._width + 1 and cells[-1].strip(" ") and "" not in self._names:
            return _Rows(self._separator, ["", *self._names], self._given)
        return self

    def tally(self, lines: Sequence[str], text: str) -> Iterable[tuple[Cells, int]]:
        """Count how often which needed cells occur in lines; `text` is all of them together.

        Equal lines are counted before they are split, unless other cells make them differ; where
        the order matters, every line is yielded by itself.
        """
        if self.layout.in_order:
            return zip(self._all_cells(lines, text), repeat(1))
        if self._num_needed < self._width:
            return Counter(self._all_cells(lines, text)).items()
        times = Counter(lines)
        return zip(self._all_cells(times, text), times.values(), strict=True)

    def _all_cells(self, lines: Iterable[str], text: str) -> Iterator[Cells]:
        """Split every line into cells; those that look odd, with care."""
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
        """Split a line into the cells that are needed; a line to drop has blank ones."""
        _check_line(line, place)
        if not line.strip(" "):
            if self.layout.na == "drop":
                return ("",) * self._num_needed
            raise DataError(f"{place} is blank", na="drop")
        cells = _split(line, self._separator)
        if cells is None:
            raise DataError(_broken(line, place))
        if len(cells) != self._width:
            raise DataError(self._ragged(line, len(cells), place))
        picked: Cells = self._pick(cells)
        return picked

    def read(self, cells: Cells, place: str) -> Row | None:
        """Read a row, from the cells needed; None for one to drop."""
        values = [self._first(cells[0]), *map(whole, cells[1 : self._num_counted])]
        number = 0
        if self._num_labels:
            number = self.labels.get(cells[-1] if self._num_labels == 1 else cells[-2:], -1)
        if number >= 0 and None not in values:
            w = values.pop() if self._weighted else 1
            k, n = self.layout.pair(*values)
            if 0 <= k <= n < 2**63 or self._first is proportion:
                return k, n, w or 0, number
        return self._read_closely([cell.strip(" ") for cell in cells], place)

    def _read_closely(self, cells: Sequence[str], place: str) -> Row | None:
        """Read a row with a new label, a space, a blank, or something wrong."""
        layout = self.layout
        numbers, labels = cells[: self._num_counted], cells[self._num_counted :]
        if layout.na == "drop" and (
            any(map(is_missing, numbers)) or any(label in BLANK for label in labels)
        ):
            return None
        counts = []
        for i, (column, cell) in enumerate(zip(self._counted, numbers, strict=True)):
            count = self._first(cell) if i == 0 else whole(cell)
            if count is None:
                raise self._no_count(column, cell, place)
            counts.append(count)
        w = counts.pop() if self._weighted else 1
        k, n = layout.pair(*counts)
        if not (0 <= k <= n < 2**63 or self._first is proportion):
            raise self._no_pair(counts, place)
        named = dict(zip(layout.labelled, labels, strict=True))
        for column, label in named.items():
            if not label:
                text = f"{place}, column {bare(column)}: the label is blank"
                raise DataError(text, na="drop")
        if not named:
            return k, n, w, 0
        key = tuple(named.values()) if len(named) > 1 else cells[-1]
        return k, n, w, self.labels.setdefault(key, len(self.labels))

    def _no_count(self, column: str, cell: str, place: str) -> DataError:
        why = flaw_of_proportion if column == self.layout.proportion else flaw
        text = f"{place}, column {bare(column)}: {short(cell)} {why(cell)}"
        if is_missing(cell):
            return DataError(text, na="drop")
        if cell.lower() in _FLAGS and column == self.layout.successes:
            return DataError(text, when="if a row is one trial", outcome=column)
        if column == self.layout.successes and is_fraction(cell):
            return DataError(text, when=OF_TRIALS, proportion=column)
        if column == self.layout.outcome:
            return DataError(f"{text}; write 0 or 1, false or true")
        return DataError(text)

    def _no_pair(self, counts: Sequence[float], place: str) -> DataError:
        place = f"{place}, column {bare(self._counted[0])}: {counts[0]}"
        if self.layout.outcome is not None:
            return DataError(f"{place} is neither 0 nor 1")
        other = bare(self._counted[1])
        if self.layout.is_checked:
            trials = f"{bare(self._counted[2])} = {counts[2]}"
            return self.layout.disagreement(place, f"{other} = {counts[1]}", trials)
        if self.layout.total_count is None:
            return DataError(f"{place} and {other} = {counts[1]} are not below 2**63 together")
        text = f"{place} exceeds {other} = {counts[1]}"
        if self.layout.successes is None:
            return DataError(text)
        options = {"failures": self._counted[1]}
        return DataError(text, when=f"if {other} are failures", **options)

    def _ragged(self, line: str, size: int, place: str) -> str:
        cells = "1 cell" if size == 1 else f"{size} cells"
        model = "the header has" if self.layout.columns is None else "there are names for"
        name = _SEPARATORS[self._separator]
        rule = f"has {cells} where {model} {self._width}; the separator is a {name}"
        return f"{place} {rule}: {short(line)}"


def _flag(cell: str) -> int | None:
    """Read an outcome, a number or a truth value."""
    return _FLAGS.get(cell.strip(" ").lower(), whole(cell))


def _check_line(line: str, place: str) -> None:
    if len(line) > MOST_LINE:
        raise DataError(f"{place} is longer than {MOST_LINE} characters")
    if "\r" in line:
        raise DataError(f"{place} holds a carriage return without a line feed: {short(line)}")


def _split(line: str, separator: str) -> list[str] | None:
    """Split a line into cells; None if quotes do not match."""
    if '"' not in line:
        return line.split(separator)
    try:
        return next(csv.reader([line], delimiter=separator, strict=True))
    except csv.Error:
        return None


def _broken(line: str, place: str) -> str:
    return f"{place} has quotes that do not match (a cell ends on its line): {short(line)}"
