"""Counts from files: comma-, tab- or semicolon-separated text, JSON, npz, or standard input.

The interchange is a table with the columns successes, total_count and (optionally) multiplicity;
whatever can count can write one. JSON and npz hold the same as a mapping from names to columns of
equal length, as three lines of any program write it:

    import json
    with open("counts.json", "w") as file:
        json.dump({"successes": [3, 0], "total_count": [10, 4]}, file)

    import numpy
    k, n = [3, 0], [10, 4]
    numpy.savez("counts.npz", successes=k, total_count=n)

`multiplicity`, `labels` and `log_split` may stand beside them (`Counts.to_dict`), and a JSON result
of this package holds such a mapping under ``"counts"``. Every row of them stays an entry of its
own. A count is a whole number: in JSON written `12` or `12.0`, in npz of an integer or floating
point type (where a float above 2**53 is no count any more, and a truth value is none).

The first bytes tell the format; a text that opens with a brace is JSON. Reading is strict, and a
`DataError` says in one line what is wrong where: file, line, column, value and rule.
"""

from __future__ import annotations

import io
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from elbo_ref._validation.arguments import IntArray, file_path
from elbo_ref.counts import Counts
from elbo_ref.io.archive import most_unpacked, read_arrays
from elbo_ref.io.errors import DataError, bare, short
from elbo_ref.io.fields import can_be_encoded, read_object
from elbo_ref.io.layout import Layout, MissingColumnError
from elbo_ref.io.numbers import flaw, whole
from elbo_ref.io.stream import is_json_object, is_zip, reading
from elbo_ref.io.text_table import read_table

__all__ = [
    "CountsFile",
    "DataError",
    "Layout",
    "MissingColumnError",
    "Source",
    "read",
    "read_counts",
]

_INTEGER = re.compile("-?[0-9]{1,999}")


class Source(NamedTuple):
    """The origin of counts.

    Attributes
    ----------
    name : str
        The path, or ``"standard input"``.
    format : str
        ``"table"``, ``"json"`` or ``"npz"``.
    sha256 : str
        Of the bytes, in hexadecimal.
    rows, dropped : int
        Rows that were read, and rows that were skipped because of blanks.
    """

    name: str
    format: str
    sha256: str
    rows: int
    dropped: int


class CountsFile(NamedTuple):
    """Counts and where they came from."""

    counts: Counts
    source: Source


def read_counts(
    path: str | Path,
    *,
    successes: str = "successes",
    total_count: str = "total_count",
    multiplicity: str | None = None,
    group: str | None = None,
    shared: bool = False,
    columns: Sequence[str] | None = None,
    drop_blank: bool = False,
    in_order: bool = False,
) -> Counts:
    r"""Read counts from a file.

    Parameters
    ----------
    path : str or Path
        Text with a header, JSON or npz; ``"-"`` is standard input.
    successes, total_count : str
        Names of the columns of counts.
    multiplicity : str, optional
        Name of the column that says how many equal latents (or, under `shared` and `group`, equal
        rows) a row stands for; without it ``"multiplicity"``, if there is one.
    group : str, optional
        Name of a column of labels: one latent for each, instead of one for each row.
    shared : bool
        Instead: one latent for all rows.
    columns : sequence of str, optional
        Names of all columns of a text that has no header; its first row fixes the separator.
    drop_blank : bool
        Whether to skip rows where a cell that is needed is blank or ``NA`` (in JSON: ``null``),
        instead of refusing them.
    in_order : bool
        Whether each row of a text stays an entry of its own, in the order of the file; equal rows
        are counted otherwise.

    Returns
    -------
    Counts
        One entry for each distinct pair of counts, in the order of first appearance, with its
        multiplicity; or one for each group, or one in all. The entries of JSON and npz stay as they
        are.

    Raises
    ------
    DataError
        If the file is not such a table; the message says where and why.
    TypeError, ValueError
        If an option is of another kind, or two contradict each other.
    OSError
        If the file cannot be opened.

    See Also
    --------
    elbo_ref.io.datasets.load : Small public data sets.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "counts.csv")
    ...     _ = path.write_text("ward;k;n\na;3;10\nb;0;4\na;1;5\n")
    ...     read_counts(path, successes="k", total_count="n", group="ward")
    Counts(successes=[4 0], total_count=[15  4])
    """
    layout = Layout(
        successes, total_count, multiplicity, group, shared, columns, drop_blank, in_order
    )
    return read(file_path("path", path), layout).counts


def read(path: str | Path, layout: Layout) -> CountsFile:
    """Read counts with their source: name, format, SHA-256, rows."""
    with reading(path) as stream:
        first = stream.read_block()
        if is_zip(first):
            kind, (counts, rows, dropped) = "npz", _read_npz(stream.rest(first), layout)
        elif is_json_object(first):
            kind, (counts, rows, dropped) = "json", _read_json(stream.rest(first), layout)
        else:
            kind, (counts, rows, dropped) = "table", read_table(stream.blocks(first), layout)
        return CountsFile(counts, Source(stream.name, kind, stream.digest(), rows, dropped))


class _Number(str):
    """A number of JSON as it is written."""

    __slots__ = ()
    __repr__ = str.__str__


def _read_json(data: bytes, layout: Layout) -> tuple[Counts, int, int]:
    """Read counts, the number of rows, and how many were dropped."""
    document = read_object(data, _Number)
    inner = document.get("counts")
    columns: dict[str, Any] = inner if isinstance(inner, dict) else document
    for name, column in columns.items():
        if not isinstance(column, list):
            raise DataError(f"the column {bare(name)} is not a list: {short(column)}")
    names, size = _names(columns, layout)
    rows: Sequence[int] = range(size)
    if layout.drop_blank:
        needed = [columns[name] for name in (*names, layout.group) if name is not None]
        rows = [row for row in rows if all(column[row] is not None for column in needed)]
        columns = {name: [column[row] for row in rows] for name, column in columns.items()}
    for name in names:
        cells = zip(rows, columns[name], strict=True)
        columns[name] = np.array([_count(name, row, cell) for row, cell in cells], np.int64)
    if "log_split" in columns:
        cells = zip(rows, columns["log_split"], strict=True)
        columns["log_split"] = [_float("log_split", row, cell) for row, cell in cells]
    return _assemble(columns, names, rows, layout), len(rows), size - len(rows)


def _read_npz(data: bytes, layout: Layout) -> tuple[Counts, int, int]:
    """Read the same; no row can have a blank, so that none is dropped."""
    columns: dict[str, Any] = dict(read_arrays(io.BytesIO(data), most_unpacked(len(data))))
    for name, array in columns.items():
        if array.ndim != 1:
            raise DataError(f"{bare(name)} has {array.ndim} dimensions where one is needed")
    names, size = _names(columns, layout)
    for name in names:
        columns[name] = _counts(name, columns[name])
    return _assemble(columns, names, range(size), layout), size, 0


def _names(columns: Mapping[str, Any], layout: Layout) -> tuple[list[str], int]:
    """Return the names of the columns of counts, and the number of rows."""
    if layout.columns is not None:
        raise DataError("the file names its columns itself; columns names those of a bare text")
    layout.check(list(columns), "the file")
    size = len(columns[layout.successes])
    for name, column in columns.items():
        if len(column) != size:
            rule = f"has {len(column)} rows where {bare(layout.successes)} has {size}"
            raise DataError(f"{bare(name)} {rule}")
    return layout.counted(list(columns)), size


def _assemble(
    columns: Mapping[str, Any], names: Sequence[str], rows: Sequence[int], layout: Layout
) -> Counts:
    """Make counts of columns, each sound for itself; `rows` are the rows' numbers."""
    k, n = (columns[name] for name in names[:2])
    if not k.size:
        raise DataError("the file has no row of counts")
    if (k > n).any():
        at = int(np.argmax(k > n))
        successes, total_count = (f"{bare(name)}[{rows[at]}]" for name in names[:2])
        raise DataError(f"{successes} = {k[at]} exceeds {total_count} = {n[at]}")
    w = columns[names[2]] if len(names) > 2 else None
    split, labels = columns.get("log_split"), None
    if layout.group is not None:
        labels = _labels(layout.group, columns[layout.group], rows)
    elif "labels" in columns and not layout.shared:
        labels = _labels("labels", columns["labels"], rows)
        label, times = Counter(labels).most_common(1)[0]
        if times > 1:
            raise DataError(f"labels holds {short(label)} twice, and is not named as the group")
    try:
        if layout.group is not None:
            return Counts.from_columns(k, n, w, split).pooled(labels)
        counts = Counts.from_columns(k, n, w, split, labels)
        return counts.pooled() if layout.shared else counts
    except (ValueError, TypeError) as error:
        raise DataError(str(error)) from None


def _count(name: str, row: int, cell: object) -> int:
    text = cell if isinstance(cell, _Number) else "no number"
    count = whole(text)
    if count is None:
        raise DataError(f"{bare(name)}[{row}] = {short(cell)} {flaw(text)}")
    return count


def _counts(name: str, array: NDArray[Any]) -> IntArray:
    if array.dtype.kind not in "iuf":
        raise DataError(f"{bare(name)} holds {array.dtype}, not whole numbers")
    floating = array.dtype.kind == "f"
    if floating:
        array = array.astype(np.float64)
    most = 2**53 if floating else 2**63 - 1
    good = (array >= 0) & (array <= most) & (array == np.floor(array))
    if not good.all():
        row = int(np.argmin(good))
        rule = "is negative" if array[row] < 0 else "is not a whole number"
        if array[row] > most:
            rule = "is a float above 2**53" if floating else "is not below 2**63"
        raise DataError(f"{bare(name)}[{row}] = {array[row]} {rule}")
    return array.astype(np.int64)


def _float(name: str, row: int, cell: object) -> float:
    if not isinstance(cell, _Number):
        raise DataError(f"{bare(name)}[{row}] = {short(cell)} is not a number")
    return float(cell)


def _labels(name: str, column: Sequence[object] | NDArray[Any], rows: Sequence[int]) -> list[Any]:
    """Return labels as plain values: text, truth values, or finite numbers."""
    cells = column.tolist() if isinstance(column, np.ndarray) else column
    labels = []
    for row, cell in zip(rows, cells, strict=True):
        label = cell
        if isinstance(cell, _Number):
            label = int(cell) if _INTEGER.fullmatch(cell) else float(cell)
        if isinstance(label, str):
            good = can_be_encoded(label)
        else:
            good = isinstance(label, int) or (isinstance(label, float) and math.isfinite(label))
        if not good:
            raise DataError(f"{bare(name)}[{row}] = {short(cell)} is not a label")
        labels.append(label)
    return labels
