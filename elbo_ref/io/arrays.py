"""Counts from JSON and npz: named columns of equal length.

Both are a mapping from names to columns, as three lines of any program write it:

    import json
    with open("counts.json", "w") as file:
        json.dump({"successes": [3, 0], "total_count": [10, 4]}, file)

    import numpy
    k, n = [3, 0], [10, 4]
    numpy.savez("counts.npz", successes=k, total_count=n)

`multiplicity`, `labels` and `log_split` may stand beside them (`Counts.to_dict`), and a JSON result
of this package holds such a mapping under ``"counts"``. Every row stays an entry of its own. A
count is a whole number: in JSON written `12` or `12.0`, in npz of an integer or floating point type
(where a float above 2**53 is no count any more, and a truth value is none).
"""

from __future__ import annotations

import io
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elbo_ref._validation.arguments import IntArray
from elbo_ref.counts import Counts
from elbo_ref.io.archive import ArchiveError, most_unpacked, read_arrays
from elbo_ref.io.cells import flaw, whole
from elbo_ref.io.layout import DataError, Layout, bare, short
from elbo_ref.io.objects import read_object

_INTEGER = re.compile("-?[0-9]{1,999}")
_SURROGATE = re.compile("[\ud800-\udfff]")


class _Number(str):
    """A number of JSON as it is written."""

    __slots__ = ()
    __repr__ = str.__str__


def read_json(data: bytes, layout: Layout) -> tuple[Counts, int, int]:
    """Counts, the number of rows, and how many were dropped."""
    columns = _columns(data)
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


def read_archive(data: bytes, layout: Layout) -> tuple[Counts, int, int]:
    """Counts, the number of rows, and how many were dropped: none, as no row can have a blank."""
    try:
        columns: dict[str, Any] = dict(read_arrays(io.BytesIO(data), most_unpacked(len(data))))
    except ArchiveError as error:
        raise DataError(str(error)) from None
    for name, array in columns.items():
        if array.ndim != 1:
            raise DataError(f"{bare(name)} has {array.ndim} dimensions where one is needed")
    names, size = _names(columns, layout)
    for name in names:
        columns[name] = _counts(name, columns[name])
    return _assemble(columns, names, range(size), layout), size, 0


def _names(columns: Mapping[str, Any], layout: Layout) -> tuple[list[str], int]:
    """The names of the columns of counts, and the number of rows."""
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
    """Counts from columns, those of counts sound each for itself; `rows` are the rows' numbers."""
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


def _columns(data: bytes) -> dict[str, Any]:
    """The columns of a JSON document, or of what is under its key ``"counts"``."""
    document = read_object(data, _Number)
    inner = document.get("counts")
    return inner if isinstance(inner, dict) else document


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
    """Labels as plain values: text, truth values, or finite numbers."""
    cells = column.tolist() if isinstance(column, np.ndarray) else column
    labels = []
    for row, cell in zip(rows, cells, strict=True):
        label = cell
        if isinstance(cell, _Number):
            label = int(cell) if _INTEGER.fullmatch(cell) else float(cell)
        if isinstance(label, str):
            good = not _SURROGATE.search(label)
        else:
            good = isinstance(label, int) or (isinstance(label, float) and math.isfinite(label))
        if not good:
            raise DataError(f"{bare(name)}[{row}] = {short(cell)} is not a label")
        labels.append(label)
    return labels
