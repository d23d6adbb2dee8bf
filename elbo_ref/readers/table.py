"""Counts from a comma-separated table with a header.

The columns `successes` and `total_count` are needed, `multiplicity` is understood, a column of
labels is used when it is named, others are passed over. Reading is strict: a cell of counts is a
plain ASCII integer of [0, 2**63), `12`, `+12` or `12.0`, and every row has as many cells as the
header. What is wrong is said with file, line, column, value and rule.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

from elbo_ref.counts import Counts

_INTEGER = re.compile(r"\+?([0-9]+)(?:\.0*)?")


class DataError(ValueError):
    """A file that cannot be read as counts; the message says where and why."""


def read_counts(path: str | Path, *, shared: bool = False, group: str | None = None) -> Counts:
    """Read a table of counts.

    Parameters
    ----------
    path : str or Path
        A UTF-8 text file.
    shared : bool
        One latent for all rows, instead of one for each.
    group : str, optional
        Instead: one latent for each distinct label in this column.

    Returns
    -------
    Counts

    Raises
    ------
    DataError
        If the file is not such a table.
    OSError
        If it cannot be opened.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "counts.csv")
    ...     _ = path.write_text("ward,successes,total_count\\na,3,10\\nb,0,4\\na,1,5\\n")
    ...     read_counts(path, group="ward")
    Counts(successes=[4 0], total_count=[15  4])
    """
    if shared and group is not None:
        raise ValueError("shared and group exclude each other")
    rows = _rows(path)
    header = next(rows, None)
    if header is None:
        raise DataError(f"{path}: the file is empty")
    line, names = header
    whole = ["successes", "total_count"] + ["multiplicity"] * ("multiplicity" in names)
    for name in [*whole, *([group] if group is not None else [])]:
        if names.count(name) != 1:
            problem = "has no" if name not in names else "repeats the"
            hint = "" if len(names) > 1 else " (a comma-separated table is needed)"
            raise DataError(
                f"{path}: line {line} {problem} column {name!r}; it has {_short(names)}{hint}"
            )
    if len(whole) == 3 and (shared or group is not None):
        raise DataError(f"{path}: a column 'multiplicity' needs one latent per row")
    columns: dict[str, list[int]] = {name: [] for name in whole}
    labels: list[str] = []
    for line, cells in rows:
        if len(cells) != len(names):
            raise DataError(
                f"{path}: line {line} has a different number of cells ({len(cells)}) than the "
                f"header ({len(names)})"
            )
        row = dict(zip(names, cells, strict=True))
        for name in whole:
            columns[name].append(_whole(row[name], f"{path}: line {line}, column {name}"))
        k, n = columns["successes"][-1], columns["total_count"][-1]
        if k > n:
            raise DataError(f"{path}: line {line}, column successes: {k} exceeds total_count = {n}")
        label = row[group] if group is not None else "-"
        if not label:
            raise DataError(f"{path}: line {line}, column {group}: the label is blank")
        labels.append(label)
    if not labels:
        raise DataError(f"{path}: there is a header but no row of counts")
    try:
        if shared:
            return Counts.shared(columns["successes"], columns["total_count"])
        if group is not None:
            return Counts.grouped(columns["successes"], columns["total_count"], labels)
        return Counts(**columns)
    except ValueError as error:
        raise DataError(f"{path}: {error}") from None


def _rows(path: str | Path) -> Iterator[tuple[int, list[str]]]:
    """First line and stripped cells of every row that is not blank."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        line = 1
        try:
            for cells in reader:
                cells = [cell.strip(" ") for cell in cells]
                if any("\0" in cell for cell in cells):
                    raise DataError(f"{path}: line {line} holds a NUL byte")
                if cells not in ([], [""]):
                    yield line, cells
                line = reader.line_num + 1
        except UnicodeDecodeError:
            raise DataError(f"{path}: the file is not UTF-8 text") from None
        except csv.Error as error:
            raise DataError(f"{path}: line {line}: {error}") from None


def _whole(cell: str, place: str) -> int:
    match = _INTEGER.fullmatch(cell)
    if not match:
        negative = cell.startswith("-") and _INTEGER.fullmatch(cell[1:])
        rule = "is negative" if negative else "is not a whole number" if cell else "is blank"
        raise DataError(f"{place}: {_short(cell)} {rule}")
    digits = match[1].lstrip("0") or "0"
    if len(digits) > 19 or int(digits) >= 2**63:
        raise DataError(f"{place}: {_short(cell)} is not below 2**63")
    return int(digits)


def _short(value: object) -> str:
    """The value on one line, cut after 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
