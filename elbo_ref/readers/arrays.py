"""Counts from JSON and npz: named columns of equal length.

Both are a mapping from names to columns, as three lines of any program write it:

    import json
    with open("counts.json", "w") as file:
        json.dump({"successes": [3, 0], "total_count": [10, 4]}, file)

    import numpy
    k, n = [3, 0], [10, 4]
    numpy.savez("counts.npz", successes=k, total_count=n)

`multiplicity`, `labels` and `log_split` may stand beside them (`Counts.to_dict`), and a JSON result
of this package holds such a mapping under ``"counts"``.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from elbo_ref.archive import ArchiveError, read_arrays
from elbo_ref.arguments import IntArray
from elbo_ref.counts import Counts
from elbo_ref.readers.layout import DataError, Layout, short

_WHOLE = re.compile(r"([0-9]+)\.0+")


def read_json(data: bytes, layout: Layout) -> tuple[Counts, int]:
    """Counts, and the number of rows."""
    try:
        document = json.loads(
            data.decode("utf-8-sig"),
            parse_float=_number,
            parse_constant=_number,
            object_pairs_hook=_distinct,
        )
    except UnicodeDecodeError:
        raise DataError("the file is not UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise DataError(f"line {error.lineno} is not JSON: {error.msg}") from None
    except RecursionError:
        raise DataError("the JSON is nested too deeply") from None
    columns = document.get("counts", document)
    if not isinstance(columns, dict):
        raise DataError(f"'counts' is not a mapping of columns: {short(columns)}")
    for name, column in columns.items():
        if not isinstance(column, list):
            raise DataError(f"column {name!r} is not a list: {short(column)}")
    return _counts(columns, layout)


def read_archive(data: bytes, layout: Layout) -> tuple[Counts, int]:
    """Counts, and the number of rows."""
    try:
        arrays = read_arrays(io.BytesIO(data))
    except ArchiveError as error:
        raise DataError(str(error)) from None
    for name, array in arrays.items():
        if array.ndim != 1:
            raise DataError(f"column {name!r} has {array.ndim} dimensions, not one")
    return _counts({name: array.tolist() for name, array in arrays.items()}, layout)


def _counts(columns: Mapping[str, list[Any]], layout: Layout) -> tuple[Counts, int]:
    if layout.columns is not None:
        raise DataError("its columns have names of their own")
    names = list(columns)
    try:
        layout.check(names)
    except DataError as error:
        raise DataError(f"the file {error}") from None
    size = len(columns[layout.successes])
    for name, column in columns.items():
        if len(column) != size:
            raise DataError(f"column {name!r} has {len(column)} rows where {size} are needed")
    k, n, *w = _counted(columns, layout)
    try:
        counts = Counts.from_columns(
            k,
            n,
            w[0] if w else None,
            log_split=columns.get("log_split"),
            labels=None if layout.group is not None else columns.get("labels"),
        )
        if layout.shared:
            return counts.pooled(), size
        if layout.group is not None:
            return counts.pooled(columns[layout.group]), size
        return counts, size
    except (ValueError, TypeError) as error:
        raise DataError(str(error)) from None


def _counted(columns: Mapping[str, list[Any]], layout: Layout) -> list[IntArray]:
    """The columns of counts, every one a whole number of [0, 2**63)."""
    names = layout.counted(list(columns))
    for name in names:
        for row, value in enumerate(columns[name]):
            if isinstance(value, bool) or not isinstance(value, int):
                raise DataError(f"column {name}, row {row}: {short(value)} is not a whole number")
            if not 0 <= value < 2**63:
                raise DataError(f"column {name}, row {row}: {value} must lie in [0, 2**63)")
    k, n, *w = (np.array(columns[name], dtype=np.int64) for name in names)
    if (k > n).any():
        row = int(np.argmax(k > n))
        raise DataError(f"column {names[0]}, row {row}: {k[row]} exceeds {names[1]} = {n[row]}")
    return [k, n, *w]


def _number(text: str) -> int | float | str:
    """``12.0`` is a count; other floats are kept, ``NaN`` and ``1e1`` as what they are written."""
    match = _WHOLE.fullmatch(text)
    if match:
        return int(match[1])
    return float(text) if re.fullmatch(r"-?[0-9]+\.[0-9]+(e-?[0-9]+)?", text) else text


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise DataError(f"a key occurs twice among {short([name for name, _ in pairs])}")
    return document
