"""`Result` and `Tabular`: how every result is shown, and how its table leaves for other tools.

A result is told in blocks: a text, facts by name, or a table. Text and HTML are made of the same
blocks, so that a notebook shows what `print` does.
"""

from __future__ import annotations

import csv
import io
import os
from collections import namedtuple
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from elbo_ref._format import frames
from elbo_ref._validation.arguments import file_path

if TYPE_CHECKING:
    from elbo_ref._format.table import Table

_MOST_KEYS = 5
"""Keys of rows that an error names."""

Block: TypeAlias = "str | Mapping[str, str] | Table"


class Shown:
    """A result that `print` and a notebook show."""

    def blocks(self) -> Sequence[Block]:
        """Return the texts, facts and tables that the result is told in."""
        raise NotImplementedError

    def summary(self) -> str:
        """Format the result as text, as `print` shows it."""
        return str(self)

    def __str__(self) -> str:
        return "\n".join(map(_text, self.blocks()))

    def _repr_html_(self) -> str:
        return "".join(map(_html, self.blocks()))


class Drawn:
    """A result that has a picture."""

    def plot(self, ax: Any = None, **options: Any) -> Any:
        """Draw the result, as `elbo_ref.plot` does.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; by default in a new figure.
        **options
            Those of `elbo_ref.plot` for this kind of result.

        Returns
        -------
        matplotlib Axes
        """
        from elbo_ref import plot

        return plot(self, ax, **options)  # type: ignore[arg-type]


class Result(Shown, Drawn):
    """A result that is shown, and has a picture."""


class Rows(Shown):
    """A result that is a table: it has a length, rows, and a way into every data frame.

    Rows are named tuples. A row is found by its label, the value of the first column; where it
    takes several columns to tell rows apart, by a tuple of their values.
    """

    def table(self) -> Table:
        """Lay out the table, to be read or handed on."""
        raise NotImplementedError

    def blocks(self) -> Sequence[Block]:
        """Return the table alone."""
        return [self.table()]

    def __len__(self) -> int:
        return len(self.table().columns[0].values)

    def __iter__(self) -> Iterator[Any]:
        named = [column for column in self.table().columns if column.name]
        row = _row_type(tuple(column.name for column in named))
        return map(row._make, zip(*(_plain(column.whole) for column in named), strict=True))

    def __getitem__(self, label: Any) -> Any:
        """Return the row of a label.

        Raises
        ------
        KeyError
            If there is none.
        """
        table = self.table()
        named = [column for column in table.columns if column.name]
        keys = (label,) if table.key == 1 else label
        place = None
        if isinstance(keys, tuple) and len(keys) == table.key:
            place = _place([column.values for column in named[: table.key]], keys)
        if place is None:
            keyed = named[: table.key]
            names = ", ".join(column.name for column in keyed)
            raise KeyError(f"{label!r}: no row has this {names}; rows are {_some_keys(keyed)}")
        row = _row_type(tuple(column.name for column in named))
        return row._make(_plain(column.values[place : place + 1])[0] for column in named)

    def to_pandas(self) -> Any:
        """Make a ``pandas.DataFrame``.

        Returns
        -------
        pandas.DataFrame
            Labels keep their types; tuples become columns ``label_0``, ``label_1``, ...

        Raises
        ------
        ImportError
            Without pandas.
        """
        return frames.pandas_frame(self.table().columns)

    def to_polars(self) -> Any:
        """Make a ``polars.DataFrame``.

        Returns
        -------
        polars.DataFrame
            Labels keep their types, and become texts if they have several; tuples become columns
            ``label_0``, ``label_1``, ...

        Raises
        ------
        ImportError
            Without Polars.
        """
        return frames.polars_frame(self.table().columns)

    def __arrow_c_stream__(self, requested_schema: object = None) -> Any:
        """Hand the table to whatever speaks Arrow's PyCapsule protocol: DuckDB, Polars, pandas.

        Raises
        ------
        ImportError
            Without PyArrow.
        """
        return frames.arrow_stream(self.table().columns, requested_schema)

    def to_csv(self, path: str | os.PathLike[str] | None = None) -> str:
        """Write comma-separated text with a header: every row, every digit.

        Parameters
        ----------
        path : str or Path, optional
            A file to write it to as well.

        Returns
        -------
        str
        """
        columns = dict(frames.split(self.table().columns))
        values = (x.tolist() if isinstance(x, np.ndarray) else x for x in columns.values())
        text, rows = io.StringIO(), zip(*values, strict=True)
        csv.writer(text, lineterminator="\n").writerows([list(columns), *rows])
        if path is not None:
            with open(file_path("path", path), "w", encoding="utf-8", newline="") as file:
                file.write(text.getvalue())
        return text.getvalue()


class Tabular(Rows, Result):
    """A result that is a table, and has a picture."""


def _text(block: Block) -> str:
    if isinstance(block, Mapping):
        return "\n".join(f"{name}: {text}" for name, text in block.items())
    return block if isinstance(block, str) else block.to_text()


def escaped(text: str) -> str:
    """Escape a text for HTML; the module for it takes longer to import than a short answer."""
    from html import escape

    return escape(text)


def _html(block: Block) -> str:
    if isinstance(block, Mapping):
        rows = (
            f"<tr><th>{escaped(name)}</th><td>{escaped(text)}</td></tr>"
            for name, text in block.items()
        )
        return f"<table>{''.join(rows)}</table>"
    if isinstance(block, str):
        tag = "pre" if "\n" in block else "p"
        return f"<{tag}>{escaped(block)}</{tag}>" if block else ""
    return block.to_html()


def _plain(values: Any) -> Any:
    """Return values whose numbers are Python's own."""
    return values.tolist() if isinstance(values, np.ndarray) else values


def _place(columns: Sequence[Any], keys: tuple[Any, ...]) -> int | None:
    """Find the first row with these values."""
    if len(columns) == 1 and not isinstance(columns[0], np.ndarray):
        values, (key,) = columns[0], keys
        return values.index(key) if key in values else None
    rows = range(len(columns[0]))
    for values, key in zip(columns, keys, strict=True):
        rows = [i for i in rows if values[i] == key]  # type: ignore[assignment]
    return rows[0] if rows else None


def _some_keys(columns: Sequence[Any]) -> str:
    """Write the keys of the first rows."""
    size = len(columns[0].values)
    rows = zip(*(_plain(column.values[:_MOST_KEYS]) for column in columns), strict=True)
    keys = [repr(row[0] if len(columns) == 1 else row) for row in rows]
    return ", ".join([*keys, *["..."] * (size > _MOST_KEYS)])


@lru_cache(maxsize=32)
def _row_type(names: tuple[str, ...]) -> Any:
    return namedtuple("Row", names)
