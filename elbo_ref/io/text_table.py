"""Counts from delimited text, in constant memory.

A row is a line. Comma, tab or semicolon: the header says which, and it stays; without a header, the
first row does. Every row has as many cells as the header. Cells may be quoted, but not broken over
lines; spaces around them do not count.

Equal rows are counted before they are parsed, a mebibyte at a time. The memory holds a histogram of
distinct pairs of counts, or one entry for each group: neither grows with the rows.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, repeat
from operator import itemgetter
from typing import TypeAlias

import numpy as np

from elbo_ref.counts import Counts, pool
from elbo_ref.io.errors import DataError, bare, short
from elbo_ref.io.layout import Layout
from elbo_ref.io.numbers import flaw, whole

MOST_LINE = 2**16
"""A line of more characters is refused."""

LARGEST_SUM = 2**63 - 2**34
"""A little below 2**63: `Counts` checks sums in floating point, and leaves room for that."""

Cells: TypeAlias = tuple[str, ...]
Row: TypeAlias = tuple[int, int, int, int]
"""Successes, total_count, multiplicity, and the number of the group."""

_SEPARATORS = {",": "comma", "\t": "tab", ";": "semicolon"}
_NAMES = ", ".join(_SEPARATORS.values())
_BLANK = ("", "NA")


def read_table(blocks: Iterable[bytes], layout: Layout) -> tuple[Counts, int, int]:
    """Read counts, the number of rows, and how many were dropped."""
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
        self._totals: _Groups | _Entries | _Pairs
        if layout.shared or layout.group is not None:
            self._totals = _Groups(layout)
        else:
            self._totals = _Entries() if layout.in_order else _Pairs(layout)
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
        if text and self._rows is not None:
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

    def finish(self) -> tuple[Counts, int, int]:
        """Return the counts of all rows, and the numbers of rows."""
        if self._rows is None:
            raise DataError("the file is empty")
        if not self._num_rows:
            blank = f"; {self._dropped} blank ones are dropped" if self._dropped else ""
            raise DataError(f"the file has no row of counts{blank}")
        counts = self._totals.counts(list(self._rows.labels))
        return counts, self._num_rows, self._dropped


def _text(data: bytes) -> tuple[str, str]:
    """Decode the lines up to the first that is no text; also return the flaw of that one."""
    end, wrong = data.find(b"\0"), "holds a NUL byte"
    try:
        text = (data if end < 0 else data[:end]).decode()
    except UnicodeDecodeError as error:
        end, wrong = error.start, "is not UTF-8 text"
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
        The labels of the groups so far, numbered in the order of first appearance.
    """

    def __init__(self, separator: str, names: Sequence[str], layout: Layout) -> None:
        layout.check(names, "line 1")
        self.labels: dict[str, int] = {}
        self._separator, self._width, self._layout = separator, len(names), layout
        self._counted = layout.counted(names)
        needed = self._counted + ([] if layout.group is None else [layout.group])
        self._num_needed = len(needed)
        self._weighted, self._grouped = len(self._counted) == 3, layout.group is not None
        self._pick = itemgetter(*map(names.index, needed))

    @classmethod
    def under(cls, header: str, layout: Layout) -> _Rows:
        """Rows under a header: it fixes the separator, the one under which it has the columns."""
        _check_line(header, "line 1")
        if not header.strip(" "):
            raise DataError("line 1 is blank where a header is needed")
        readings = {}
        for separator in _SEPARATORS:
            cells = _split(header, separator)
            if cells is not None:
                readings[separator] = [cell.strip(" ") for cell in cells]
        if not readings:
            raise DataError(_broken(header, "line 1"))
        wanted = {layout.successes, layout.total_count}
        separator = max(readings, key=lambda x: (wanted <= {*readings[x]}, len(readings[x])))
        if len(readings[separator]) == 1:
            raise DataError(f"line 1 is not separated by one of {_NAMES}: {short(header)}")
        return cls(separator, readings[separator], layout)

    @classmethod
    def like(cls, line: str, layout: Layout) -> _Rows:
        """Rows without a header: the separator gives the first of them a cell for each column."""
        _check_line(line, "line 1")
        columns = layout.columns or ()
        sizes = {separator: len(_split(line, separator) or ()) for separator in _SEPARATORS}
        fitting = [separator for separator, size in sizes.items() if size == len(columns)]
        if len(fitting) != 1:
            rule = f"does not have {len(columns)} cells separated by one of {_NAMES}"
            raise DataError(f"line 1 {rule}: {short(line)}")
        return cls(fitting[0], columns, layout)

    def tally(self, lines: Sequence[str], text: str) -> Iterable[tuple[Cells, int]]:
        """Count how often which needed cells occur in lines; `text` is all of them together.

        Equal lines are counted before they are split, unless other cells make them differ; where
        the order matters, every line is yielded by itself.
        """
        if self._layout.in_order:
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
        """Read a row, from the cells needed; None for one to drop."""
        k, n = whole(cells[0]), whole(cells[1])
        w = whole(cells[2]) if self._weighted else 1
        number = self.labels.get(cells[-1]) if self._grouped else 0
        if k is None or n is None or w is None or number is None or k > n:
            return self._read_closely([cell.strip(" ") for cell in cells], place)
        return k, n, w, number

    def _read_closely(self, cells: Sequence[str], place: str) -> Row | None:
        """Read a row with a new label, a space, a blank, or something wrong."""
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
        rule = f"has {cells} where {model} {self._width}; the separator is a {name}"
        return f"{place} {rule}: {short(line)}"


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


class _Pairs:
    """The number of rows of each pair of successes and total_count."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._times: dict[tuple[int, int], int] = {}

    def add(self, rows: Iterable[tuple[Row, int]]) -> None:
        """Take in rows, and how often there is each."""
        for (k, n, w, _), times in rows:
            self._times[k, n] = self._times.get((k, n), 0) + w * times

    def counts(self, _labels: Sequence[str]) -> Counts:
        """Return an entry for each pair, in the order of first appearance."""
        if sum(self._times.values()) > LARGEST_SUM:
            raise _too_large(self._layout.multiplicity or "multiplicity")
        k, n = zip(*self._times, strict=True)
        return Counts(k, n, list(self._times.values()))


class _Entries:
    """Every row, in order."""

    def __init__(self) -> None:
        self._rows: list[tuple[int, int, int]] = []

    def add(self, rows: Iterable[tuple[Row, int]]) -> None:
        """Take in rows, one by one."""
        self._rows += [(k, n, w) for (k, n, w, _), _ in rows]

    def counts(self, _labels: Sequence[str]) -> Counts:
        """Return an entry for each row."""
        return Counts(*zip(*self._rows, strict=True))


class _Groups:
    """Successes, total_count and log_split of each group.

    Sums that would wrap are detected in floating point, where they do not, and refused.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._num_rows = 0.0
        self._trials = self._split = np.zeros(0)
        self._totals = np.zeros((2, 0), np.int64)

    def add(self, rows: Iterable[tuple[Row, int]]) -> None:
        """Take in rows, and how often there is each."""
        flat = np.fromiter(chain.from_iterable((*row, times) for row, times in rows), np.int64)
        k, n, w, group, times = flat.reshape(-1, 5).T
        weights = w.astype(np.float64) * times
        new = max(0, int(group.max(initial=-1)) + 1 - self._split.size)
        self._totals = np.concatenate([self._totals, np.zeros((2, new), np.int64)], axis=1)
        self._trials, self._split = (
            np.concatenate([x, np.zeros(new)]) for x in (self._trials, self._split)
        )
        self._num_rows += weights.sum()
        self._trials += np.bincount(group, weights * n, self._trials.size)
        if not flat.size or max(self._num_rows, self._trials.max()) > LARGEST_SUM:
            return
        touched, latent = np.unique(group, return_inverse=True)
        *totals, split = pool(
            successes=np.concatenate([self._totals[0, touched], k]),
            total_count=np.concatenate([self._totals[1, touched], n]),
            multiplicity=np.concatenate([np.ones_like(touched), w * times]),
            log_split=np.concatenate([self._split[touched], np.zeros(k.size)]),
            latent=np.concatenate([np.arange(touched.size), latent.ravel()]),
        )
        self._totals[:, touched] = totals
        self._split[touched] = np.minimum(split, 0.0)

    def counts(self, labels: Sequence[str]) -> Counts:
        """Return an entry for each group, in the order of first appearance."""
        if self._num_rows > LARGEST_SUM:
            raise _too_large(self._layout.multiplicity or "multiplicity")
        if self._trials.max() > LARGEST_SUM:
            first = int(np.argmax(self._trials > LARGEST_SUM))
            raise _too_large(self._layout.total_count, *labels[first : first + 1])
        k, n = self._totals
        return Counts.from_columns(k, n, log_split=self._split, labels=labels or None)


def _too_large(column: str, *label: str) -> DataError:
    group = "".join(f" for {short(name)}" for name in label)
    return DataError(f"the sum of {bare(column)}{group} does not fit into 63 bits")
