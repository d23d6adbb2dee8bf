"""Counts from delimited text, in constant memory.

A row is a line. Comma, tab or semicolon: the header says which, and it stays. A cell of counts is a
plain ASCII integer of [0, 2**63), `12`, `+12` or `12.0`; every row has as many cells as the header.
Cells may be quoted, but not broken over lines; spaces around them do not count.

Equal lines are counted before they are understood, block by block, and what is kept is a histogram
of distinct pairs of counts, or one entry per group.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable

import numpy as np

from elbo_ref.counts import Counts, pool
from elbo_ref.readers.layout import DataError, Layout, short

MOST_LINE = 2**16
"""A line of more characters is refused."""

_DELIMITERS = {",": "comma", "\t": "tab", ";": "semicolon"}
_INTEGER = re.compile(r"\+?([0-9]+)(?:\.0+)?")
_BLANK = ("", "NA")
_MOST_REMEMBERED = 2**16


def read_table(blocks: Iterable[bytes], layout: Layout) -> tuple[Counts, int, int]:
    """Counts, the number of rows, and how many were dropped."""
    table = _Table(layout)
    rest = b""
    for block in blocks:
        data = rest + block
        end = data.rfind(b"\n") + 1
        rest = data[end:]
        if end:
            table.add(data[:end])
        if len(rest) > 4 * MOST_LINE:
            raise DataError(f"line {table.line} is longer than {MOST_LINE} characters")
    if rest:
        table.add(rest)
    return table.finish()


class _Table:
    """A table being read; `line` is the number of the next one."""

    def __init__(self, layout: Layout) -> None:
        self.line = 1
        self._layout = layout
        self._row: _Row | None = None
        self._rows = self._dropped = 0
        self._latents: _Pairs | _Groups = _Pairs() if layout.group is None else _Groups()

    def add(self, data: bytes) -> None:
        """Take in whole lines, up to the first that is wrong."""
        text, wrong = _text(data)
        lines = text.removesuffix("\n").removesuffix("\r").split("\n") if text else []
        if self.line == 1 and lines:
            self._header(lines)
        for line, times in Counter(lines).items():
            try:
                self._add(line, times)
            except DataError as error:
                raise DataError(f"line {self.line + lines.index(line)}{error}") from None
        self.line += len(lines)
        self._latents.close_block()
        if wrong:
            raise DataError(f"line {self.line} {wrong}")

    def finish(self) -> tuple[Counts, int, int]:
        if self._row is None:
            raise DataError("the file is empty")
        if not self._rows:
            blank = f" ({self._dropped} blank ones dropped)" if self._dropped else ""
            raise DataError(f"there is a header but no row of counts{blank}")
        try:
            return self._latents.counts(self._layout.shared), self._rows, self._dropped
        except ValueError as error:
            raise DataError(str(error)) from None

    def _header(self, lines: list[str]) -> None:
        """Learn delimiter and columns from the first line; a header is taken out of `lines`."""
        lines[0] = lines[0].removeprefix("\ufeff")
        columns = self._layout.columns
        try:
            if columns is not None:
                self._row = _Row(_delimiter(lines[0], list(columns)), list(columns), self._layout)
                return
            delimiter, names = _names(lines[0], self._layout)
            self._row = _Row(delimiter, names, self._layout)
        except DataError as error:
            raise DataError(f"line 1 {error}") from None
        del lines[0]
        self.line = 2

    def _add(self, line: str, times: int) -> None:
        assert self._row is not None
        row = self._row.read(line)
        if row is None:
            self._dropped += times
        else:
            self._rows += times
            label, k, n, w = row
            self._latents.add(label, k, n, w * times)


class _Row:
    """How to read one line."""

    def __init__(self, delimiter: str, names: list[str], layout: Layout) -> None:
        layout.check(names)
        self._delimiter, self._width = delimiter, len(names)
        self._counted = [(name, names.index(name)) for name in layout.counted(names)]
        self._label = None if layout.group is None else names.index(layout.group)
        self._drop, self._group = layout.drop_blank, layout.group
        self._known: dict[str, int] = {}

    def read(self, line: str) -> tuple[str, int, int, int] | None:
        """Label, successes, total_count and multiplicity; None for a row to drop.

        The message of a `DataError` continues "line 17".
        """
        cells = self._cells(line)
        numbers = []
        for name, place in self._counted:
            cell = cells[place]
            value = self._known.get(cell)
            if value is None:
                cell = cell.strip(" ")
                if self._drop and cell in _BLANK:
                    return None
                value = self._remember(cells[place], _whole(cell, name))
            numbers.append(value)
        k, n, w = numbers if len(numbers) == 3 else (*numbers, 1)
        if k > n:
            name, total = self._counted[0][0], self._counted[1][0]
            raise DataError(f", column {name}: {k} exceeds {total} = {n}")
        label = "" if self._label is None else cells[self._label].strip(" ")
        if self._label is not None and not label:
            if self._drop:
                return None
            raise DataError(f", column {self._group}: the label is blank")
        return label, k, n, w

    def _cells(self, line: str) -> list[str]:
        if len(line) > MOST_LINE:
            raise DataError(f" is longer than {MOST_LINE} characters")
        if "\r" in line:
            raise DataError(" holds a carriage return")
        cells = _split(line, self._delimiter) if '"' in line else line.split(self._delimiter)
        if len(cells) == self._width:
            return cells
        if self._drop and not line.strip(" "):
            return [""] * self._width
        if not line.strip(" "):
            raise DataError(" is blank")
        mixed = [word for sign, word in _DELIMITERS.items() if sign in line]
        own = _DELIMITERS[self._delimiter]
        hint = f"; the separator is a {own}" if mixed not in ([], [own]) else ""
        raise DataError(
            f" has a different number of cells ({len(cells)}) than the header ({self._width}){hint}"
        )

    def _remember(self, cell: str, value: int) -> int:
        if len(self._known) < _MOST_REMEMBERED:
            self._known[cell] = value
        return value


class _Pairs:
    """How often each pair of counts was seen."""

    def __init__(self) -> None:
        self._times: dict[tuple[int, int], int] = {}

    def add(self, label: str, k: int, n: int, w: int) -> None:
        pair = (k, n)
        self._times[pair] = self._times.get(pair, 0) + w

    def close_block(self) -> None:
        pass

    def counts(self, shared: bool) -> Counts:
        k, n = (list(column) for column in zip(*self._times, strict=True))
        counts = Counts(k, n, list(self._times.values()))
        return counts.pooled() if shared else counts


class _Groups:
    """Totals and log_split of each group, brought up to date once a block."""

    def __init__(self) -> None:
        self._index: dict[str, int] = {}
        self._rows: dict[tuple[int, int, int], int] = {}
        self._totals = np.zeros((2, 0), np.int64)
        self._split = np.zeros(0)

    def add(self, label: str, k: int, n: int, w: int) -> None:
        group = self._index.setdefault(label, len(self._index))
        row = (group, k, n)
        self._rows[row] = self._rows.get(row, 0) + w

    def close_block(self) -> None:
        if not self._rows:
            return
        group, k, n = np.array(list(self._rows), dtype=np.int64).T
        touched, place = np.unique(group, return_inverse=True)
        more = len(self._index) - self._split.size
        totals = np.concatenate([self._totals, np.zeros((2, more), np.int64)], axis=1)
        split = np.concatenate([self._split, np.zeros(more)])
        counts = Counts(k, n, list(self._rows.values()))
        before = totals[:, touched]
        totals[0, touched], totals[1, touched], split[touched] = pool(
            successes=np.concatenate([before[0], k]),
            total_count=np.concatenate([before[1], n]),
            multiplicity=np.concatenate([np.ones_like(touched), counts.multiplicity]),
            log_split=np.concatenate([split[touched], np.zeros(k.size)]),
            place=np.concatenate([np.arange(touched.size), place.ravel()]),
        )
        self._totals, self._split, self._rows = totals, split, {}

    def counts(self, shared: bool) -> Counts:
        k, n = self._totals
        return Counts.from_columns(k, n, log_split=self._split, labels=self._index)


def _text(data: bytes) -> tuple[str, str]:
    """The lines as text up to the first that is not text, and what is wrong with that one."""
    wrong, position = "", data.find(b"\0")
    if position >= 0:
        wrong = "holds a NUL byte"
        data = data[:position]
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        wrong, position = "is not UTF-8 text", error.start
        data = data[:position]
    if wrong:
        text = data[: data.rfind(b"\n") + 1].decode()
    return text.replace("\r\n", "\n"), wrong


def _names(line: str, layout: Layout) -> tuple[str, list[str]]:
    """The delimiter of a header, and its names: the delimiter under which it has the columns."""
    readings = [(sign, _header_cells(line, sign)) for sign in _DELIMITERS if sign in line]
    for sign, names in readings:
        if layout.successes in names and layout.total_count in names:
            return sign, names
    if not readings:
        raise DataError(
            f"has no column {layout.successes!r} and {layout.total_count!r}; it has "
            f"{short([line])} (a table separated by comma, tab or semicolon is needed)"
        )
    names = max((names for _, names in readings), key=len)
    layout.check(names)
    raise DataError(f"mixes separators: {short(line)}")


def _header_cells(line: str, delimiter: str) -> list[str]:
    return [cell.strip(" ") for cell in _split(line, delimiter)]


def _delimiter(line: str, columns: list[str]) -> str:
    """The delimiter under which a first row has as many cells as there are columns."""
    fitting = [sign for sign in _DELIMITERS if len(_header_cells(line, sign)) == len(columns)]
    if len(fitting) != 1:
        names = ", ".join(_DELIMITERS.values())
        raise DataError(
            f"has not {len(columns)} cells under one of the separators ({names}): {short(line)}"
        )
    return fitting[0]


def _split(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter, strict=True), [])
    except csv.Error as error:
        raise DataError(f": {error}") from None


def _whole(cell: str, column: str) -> int:
    match = _INTEGER.fullmatch(cell)
    if not match:
        negative = cell.startswith("-") and _INTEGER.fullmatch(cell[1:])
        rule = "is negative" if negative else "is not a whole number" if cell else "is blank"
        raise DataError(f", column {column}: {short(cell)} {rule}")
    digits = match[1].lstrip("0") or "0"
    if len(digits) > 19 or int(digits) >= 2**63:
        raise DataError(f", column {column}: {short(cell)} is not below 2**63")
    return int(digits)
