"""Counts from delimited text, in constant memory.

A row is a line. Comma, tab or semicolon: the header says which, and it stays; without a header, the
first row does. A cell of counts is a plain ASCII integer of [0, 2**63), `12`, `+12` or `12.0`;
every row has as many cells as the header. Cells may be quoted, but not broken over lines; spaces
around them do not count.

Equal rows are counted before they are understood, block by block. What is kept is a histogram of
distinct pairs of counts, or one entry for each group.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from elbo_ref.counts import Counts
from elbo_ref.io.layout import DataError, Layout
from elbo_ref.io.rows import MOST_LINE, Cells, Row, Rows
from elbo_ref.io.totals import Entries, Groups, Pairs


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
        self._rows: Rows | None = None
        pooled = layout.shared or layout.group is not None
        kept: type[Groups | Entries | Pairs] = Entries if layout.in_order else Pairs
        self._totals = (Groups if pooled else kept)(layout)
        self._num_rows = self._dropped = 0

    def add(self, data: bytes) -> None:
        """Take in whole lines, up to the first that is wrong."""
        text, wrong = _text(data)
        if text and self._rows is None:
            self._rows, text = self._begin(text)
        if text and self._rows is not None:
            self._add(self._rows, text)
        if wrong:
            raise DataError(f"line {self.line} {wrong}")

    def _begin(self, text: str) -> tuple[Rows, str]:
        """How rows are to be read, and the text of the rows."""
        text = text.removeprefix("\ufeff")
        first, _, below = text.partition("\n")
        if self._layout.columns is not None:
            return Rows.from_first(first, self._layout, "line 1"), text
        self.line = 2
        return Rows.under(first, self._layout, "line 1"), below

    def _add(self, rows: Rows, text: str) -> None:
        lines = text.removesuffix("\n").split("\n")
        try:
            self._totals.add(self._kept(rows, rows.tally(lines, text)))
        except DataError:  # one by one then, to see which
            for number, line in enumerate(lines, self.line):
                place = f"line {number}"
                rows.read(rows.cells(line, place), place)
            raise
        self.line += len(lines)

    def _kept(self, rows: Rows, tally: Iterable[tuple[Cells, int]]) -> Iterator[tuple[Row, int]]:
        """The rows of a tally, all counted, but for those to drop."""
        for cells, times in tally:
            row = rows.read(cells, "a line")
            if row is None:
                self._dropped += times
            else:
                self._num_rows += times
                yield row, times

    def finish(self) -> tuple[Counts, int, int]:
        """What there is to be known at the end."""
        if self._rows is None:
            raise DataError("the file is empty")
        if not self._num_rows:
            blank = f"; {self._dropped} blank ones are dropped" if self._dropped else ""
            raise DataError(f"the file has no row of counts{blank}")
        counts = self._totals.counts(list(self._rows.labels))
        return counts, self._num_rows, self._dropped


def _text(data: bytes) -> tuple[str, str]:
    """The lines as text up to the first that is not text, and what is wrong with that one."""
    end, wrong = data.find(b"\0"), "holds a NUL byte"
    try:
        text = (data if end < 0 else data[:end]).decode()
    except UnicodeDecodeError as error:
        end, wrong = error.start, "is not UTF-8 text"
    if end < 0:
        return text.replace("\r\n", "\n"), ""
    before = data[: data.rfind(b"\n", 0, end) + 1]
    return before.decode().replace("\r\n", "\n"), wrong
