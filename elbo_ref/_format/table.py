"""A table, written once: as text, as HTML, as comma-separated values and as a data frame.

Text and HTML are for reading: floats to five digits, `-` for what does not exist, the middle of a
long table left out, so that it costs no more than a short one. CSV and data frames are for
programs: every row, every digit.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elbo_ref._format.numbers import number
from elbo_ref._format.result import Rows, escaped

WIDTH = 120
"""Characters of a line of text."""

_MOST_ROWS = 40


def printable(text: str) -> str:
    r"""Spell out line breaks, escapes and the like.

    Examples
    --------
    >>> print(printable("two\nlines"))
    two\nlines
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def wrapped(text: str) -> str:
    """Break a text into lines that fit, all but the first indented."""
    return textwrap.fill(text, WIDTH, subsequent_indent="    ")


class Computed(Sequence[Any]):
    """Values that are computed when they are asked for: a table for reading asks for few.

    `array`, if there is one, computes all of them at once, for programs.

    Examples
    --------
    >>> list(Computed(3, lambda i: i * i))
    [0, 1, 4]
    """

    def __init__(
        self,
        size: int,
        value: Callable[[int], Any],
        array: Callable[[], NDArray[Any]] | None = None,
    ) -> None:
        self._size, self._value, self.array = size, value, array

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return [self._value(i) for i in range(*place.indices(self._size))]
        return self._value(range(self._size)[place])


@dataclass(frozen=True, eq=False)
class Column:
    """A column of a table.

    Attributes
    ----------
    values : sequence or 1-D ndarray
        Numbers, texts, or None for what does not exist.
    name : str
        Its name in CSV; empty if it is for reading only.
    heading : str
        Its heading in text and HTML; empty if it is for programs only.
    left : bool
        Whether text is aligned to the left.
    text : function, optional
        The text of a row, by its place, for reading; by default that of its value.
    """

    values: Sequence[Any] | NDArray[Any]
    name: str = ""
    heading: str = ""
    left: bool = False
    text: Callable[[int], str] | None = None

    @property
    def whole(self) -> Sequence[Any] | NDArray[Any]:
        """All values: an array, or a list."""
        if not isinstance(self.values, Computed):
            return self.values
        return self.values[:] if self.values.array is None else self.values.array()

    def cell(self, place: int) -> str:
        """Write the value of a row for reading."""
        return _cell(self.values[place]) if self.text is None else printable(self.text(place))


@dataclass(frozen=True, eq=False)
class Table(Rows):
    """Columns of equal length under a caption.

    Attributes
    ----------
    columns : sequence of Column
    caption : str
    key : int
        How many of the first columns with a name tell the rows apart: ``table[label]``, or
        ``table[first, second]``.
    most : int
        Text and HTML leave out the middle of more rows than these.

    Examples
    --------
    >>> table = Table([Column(["a", "b"], "guide", "guide", left=True), Column([1 / 3, None], "x")])
    >>> print(table.to_csv(), end="")
    guide,x
    a,0.3333333333333333
    b,
    >>> print(Table([Column([1 / 3, None], heading="gap"), Column([7, 10], heading="of")]))
        gap  of
    0.33333   7
          -  10
    >>> table["a"], len(table)
    (Row(guide='a', x=0.3333333333333333), 2)
    """

    columns: Sequence[Column]
    caption: str = ""
    key: int = 1
    most: int = _MOST_ROWS

    def table(self) -> Table:
        """Return the table itself."""
        return self

    def column(self, name: str) -> Any:
        """Return the values of a column by its name.

        Raises
        ------
        KeyError
            If there is no such column.
        """
        for column in self.columns:
            if column.name == name:
                return column.whole
        raise KeyError(name)

    def to_text(self) -> str:
        """Align the columns, two spaces apart, below the caption."""
        columns, (above, below) = self._for_reading(), self._shown()
        cells = []
        for column in columns:
            texts = [column.heading, *map(column.cell, [*above, *below])]
            width = max(map(len, texts))
            cells.append([x.ljust(width) if column.left else x.rjust(width) for x in texts])
        lines = ["  ".join(row).rstrip() for row in zip(*cells, strict=True)]
        if left_out := len(self) - len(above) - len(below):
            lines.insert(1 + len(above), f"... {left_out} more ...")
        return "\n".join([*filter(None, [self.caption]), *lines])

    def to_html(self) -> str:
        """Make a ``<table>``, everything in it escaped."""
        columns, (above, below) = self._for_reading(), self._shown()

        def lines(rows: range) -> Iterable[str]:
            return (_line("td", [column.cell(i) for column in columns]) for i in rows)

        left_out = len(self) - len(above) - len(below)
        gap = f"<tr><td colspan={len(columns)}>... {left_out} more ...</td></tr>"
        caption = f"<caption>{escaped(self.caption)}</caption>" if self.caption else ""
        head = _line("th", [column.heading for column in columns])
        body = [*lines(above), *[gap] * bool(left_out), *lines(below)]
        return f"<table>{caption}{head}{''.join(body)}</table>"

    def _for_reading(self) -> list[Column]:
        return [column for column in self.columns if column.heading]

    @property
    def shown(self) -> list[int]:
        """The places of the rows of text and HTML."""
        return [place for part in self._shown() for place in part]

    def _shown(self) -> tuple[range, range]:
        """Choose the rows above and below those left out."""
        size, half = len(self), self.most // 2
        if size <= self.most:
            return range(size), range(0)
        return range(half), range(size - half, size)


def joined(name: str, tables: Mapping[str, Table]) -> Table:
    """Put one table below the other, with a first column `name` of the keys.

    Examples
    --------
    >>> print(joined("of", {"x": Table([Column([1, 2], "k")])}).to_csv(), end="")
    of,k
    x,1
    x,2
    """
    keys = [key for key, table in tables.items() for _ in range(len(table))]
    columns = [Column(keys, name, name, left=True)]
    for parts in zip(*(table.columns for table in tables.values()), strict=True):
        values = [value for part in parts for value in part.whole]
        columns.append(replace(parts[0], values=values, text=None))
    return Table(columns)


def _line(tag: str, cells: Iterable[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{escaped(cell)}</{tag}>" for cell in cells) + "</tr>"


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return number(float(value)) if isinstance(value, float | np.floating) else printable(str(value))
