"""Tables in JSON: columns, records, and what `to_json` of pandas writes in each orientation.

{"k": [3, 0], "n": [10, 4]}                        columns; also under "counts"
[{"k": 3, "n": 10}, {"k": 0, "n": 4}]              records; also one on each line
{"k": {"a": 3, "b": 0}, "n": {"a": 10, "b": 4}}    columns with an index
{"a": {"k": 3, "n": 10}, "b": {"k": 0, "n": 4}}    records with an index
{"columns": ["k", "n"], "data": [[3, 10], [0, 4]]}           split
{"schema": {...}, "data": [{"k": 3, "n": 10}, ...]}          table
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from elbo_ref.io.cells import Number
from elbo_ref.io.errors import DataError, bare, short
from elbo_ref.io.fields import read_json

_SHAPES = "write columns of one length, or records"


def document_in(data: bytes) -> Any:
    """Read a document, or a list of one on each line.

    Raises
    ------
    DataError
        If it is not JSON.
    """
    lines = [line for line in data.split(b"\n") if line.strip()]
    if len(lines) > 1 and all(line.lstrip().startswith(b"{") for line in lines):
        data = b"[" + b",\n".join(lines) + b"]"
    return read_json(data, Number)


def columns_of(document: Any, fits: Callable[[list[str]], bool]) -> dict[str, list[Any]]:
    """Find the columns of a document; `fits` tells whether a table with these names would do.

    Raises
    ------
    DataError
        If there are none.
    """
    if isinstance(document, list):
        return _of_records(document)
    inner = document.get("counts")
    columns = inner if isinstance(inner, dict) else document
    data = columns.get("data")
    if isinstance(data, list) and isinstance(columns.get("schema"), dict):
        return _of_records(data)
    if isinstance(data, list) and data and all(isinstance(row, list) for row in data):
        return _of_rows(columns.get("columns"), data)
    if inner is None and not any(isinstance(x, list | dict) for x in columns.values()):
        columns = _of_records([columns])  # one record, of a file of lines
    columns = _without_index(columns, fits)
    for name, column in columns.items():
        if not isinstance(column, list):
            raise DataError(f"the column {bare(name)} is not a list: {short(column)}; {_SHAPES}")
    return columns


def _of_records(records: Sequence[Any]) -> dict[str, list[Any]]:
    """Turn records into columns; what a record does not have is missing."""
    names: dict[str, None] = {}
    for row, record in enumerate(records):
        if not isinstance(record, dict):
            raise DataError(f"record {row} is not an object: {short(record)}; {_SHAPES}")
        names.update(dict.fromkeys(record))
    return {name: [record.get(name) for record in records] for name in names}


def _of_rows(names: Any, rows: list[list[Any]]) -> dict[str, list[Any]]:
    """Turn rows into columns, whose names stand apart."""
    if not isinstance(names, list) or not all(type(name) is str for name in names):
        raise DataError(f"columns is not a list of names: {short(names)}; {_SHAPES}")
    name, times = Counter(names).most_common(1)[0] if names else ("", 0)
    if times > 1:
        raise DataError(f"the file repeats the column {short(name)}; it has {short(names)}")
    for at, row in enumerate(rows):
        if len(row) != len(names):
            raise DataError(f"data[{at}] has {len(row)} cells where columns has {len(names)}")
    return {name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}


def _without_index(columns: dict[str, Any], fits: Callable[[list[str]], bool]) -> dict[str, Any]:
    """Turn objects that all have the same names into lists: columns, or else records."""
    objects = [list(column) for column in columns.values() if isinstance(column, dict)]
    if not objects or len(objects) < len(columns) or any(x != objects[0] for x in objects):
        return columns
    if not fits(list(columns)) and fits(objects[0]):
        return _of_records(list(columns.values()))
    return {name: list(column.values()) for name, column in columns.items()}
