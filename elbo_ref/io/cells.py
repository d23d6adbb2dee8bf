"""Cells of JSON and npz: counts, proportions and labels, or refused with their name and row."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elbo_ref._validation.arguments import IntArray
from elbo_ref.counts.cells import OF_TRIALS
from elbo_ref.io.errors import DataError, bare, short
from elbo_ref.io.fields import can_be_encoded
from elbo_ref.io.layout import Layout
from elbo_ref.io.numbers import (
    flaw,
    flaw_of_proportion,
    is_fraction,
    is_missing as is_missing_number,
    proportion,
    whole,
)

_INTEGER = re.compile("-?[0-9]{1,999}")


class Number(str):
    """A number of JSON as it is written."""

    __slots__ = ()
    __repr__ = str.__str__


def is_missing(cell: object, in_counts: bool) -> bool:
    """Return True for a cell of JSON without a value: null, NaN; for counts, also such a text."""
    if cell is None:
        return True
    text = isinstance(cell, str) and (in_counts or isinstance(cell, Number))
    return text and is_missing_number(str(cell))


def present(columns: Mapping[str, Any], layout: Layout) -> list[int]:
    """Return the rows that have all values which are needed, of columns of JSON or arrays."""
    needed = [(columns[name], name in layout.counted) for name in layout.needed]
    good = np.ones(len(needed[0][0]), np.bool_)
    for column, in_counts in needed:
        if isinstance(column, np.ndarray):
            good &= ~np.isnan(column) if column.dtype.kind == "f" else True
        else:
            good &= np.array([not is_missing(cell, in_counts) for cell in column], np.bool_)
    return np.flatnonzero(good).tolist()


def written(name: str, cells: Sequence[Any], rows: Sequence[int], layout: Layout) -> NDArray[Any]:
    """Read a column of JSON, of counts or proportions; `rows` are the numbers of its rows.

    Raises
    ------
    DataError
        If a cell is none.
    """
    if name == layout.proportion:
        return np.array([_proportion(name, row, x) for row, x in zip(rows, cells, strict=True)])
    flags, fraction = name == layout.outcome, name == layout.successes
    pairs = zip(rows, cells, strict=True)
    return np.array([_count(name, row, x, flags, fraction) for row, x in pairs], np.int64)


def _proportion(name: str, row: int, cell: object) -> float:
    text = cell if isinstance(cell, Number) else "no number"
    value = proportion(text)
    if value is None:
        options = {"na": "drop"} if is_missing(cell, True) else {}
        why = flaw_of_proportion(text)
        raise DataError(f"{bare(name)}[{row}] = {short(cell)} {why}", **options)
    return value


def _count(name: str, row: int, cell: object, is_flag: bool, is_successes: bool) -> int:
    if is_flag and isinstance(cell, bool):
        return int(cell)
    text = cell if isinstance(cell, Number) else "no number"
    count = whole(text)
    if count is None:
        said = f"{bare(name)}[{row}] = {short(cell)} {flaw(text)}"
        if is_missing(cell, True):
            raise DataError(said, na="drop")
        if is_successes and is_fraction(text):
            raise DataError(said, when=OF_TRIALS, proportion=name)
        raise DataError(f"{said}; write 0 or 1, false or true" if is_flag else said)
    return count


def stored(name: str, array: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """Read an array of counts or proportions.

    Raises
    ------
    DataError
        If it holds something else.
    """
    if name == layout.proportion:
        if array.dtype.kind not in "iuf":
            raise DataError(f"{bare(name)} holds {array.dtype}, not numbers")
        good = (array >= 0) & (array <= 1)
        if not good.all():
            row = int(np.argmin(good))
            why = flaw_of_proportion(str(array[row]))
            options = {"na": "drop"} if np.isnan(array[row]) else {}
            raise DataError(f"{bare(name)}[{row}] = {array[row]} {why}", **options)
        return array
    if name == layout.outcome and array.dtype.kind == "b":
        return array.astype(np.int64)
    return _counts(name, array, name == layout.successes)


def _counts(name: str, array: NDArray[Any], is_successes: bool) -> IntArray:
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
        said = f"{bare(name)}[{row}] = {array[row]} {rule}"
        if is_successes and 0 < array[row] < 1:
            raise DataError(said, when=OF_TRIALS, proportion=name)
        raise DataError(said, **({"na": "drop"} if np.isnan(array[row]) else {}))
    return array.astype(np.int64)


def floats(name: str, cells: Sequence[Any], rows: Sequence[int]) -> list[float]:
    """Read a column of JSON as numbers.

    Raises
    ------
    DataError
        If a cell is none.
    """
    for row, cell in zip(rows, cells, strict=True):
        if not isinstance(cell, Number):
            raise DataError(f"{bare(name)}[{row}] = {short(cell)} is not a number")
    return [float(cell) for cell in cells]


def labels_of(
    name: str, column: Sequence[object] | NDArray[Any], rows: Sequence[int], layout: Layout
) -> list[Any]:
    """Return labels as plain values: text, truth values, or finite numbers.

    Raises
    ------
    DataError
        If a cell is something else.
    """
    cells = column.tolist() if isinstance(column, np.ndarray) else column
    labels = []
    for row, cell in zip(rows, cells, strict=True):
        label = cell
        if isinstance(cell, Number):
            label = int(cell) if _INTEGER.fullmatch(cell) else float(cell)
        if isinstance(label, str):
            good = can_be_encoded(label)
        else:
            good = isinstance(label, int) or (isinstance(label, float) and math.isfinite(label))
        if not good:
            missing = name in layout.labelled and (label is None or label != label)
            options = {"na": "drop"} if missing else {}
            raise DataError(f"{bare(name)}[{row}] = {short(cell)} is not a label", **options)
        labels.append(label)
    return labels
