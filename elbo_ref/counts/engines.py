"""Columns of a frame under other names, whichever engine the frame is of.

A name of a column may be anything: Spark takes the dot in it for a field of a structure, DuckDB an
expression for SQL, and some engines do not tell upper from lower case. Here columns are named as
each engine wants it, once, and have plain names from then on.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

_BY_BITS = ("pandas", "modin", "cudf", "pyarrow", "dask")
"""The engines that may tell 0.0 from -0.0 when they group or join."""
_CASELESS = ("duckdb", "ibis", "pyspark")
"""The engines that may not tell upper from lower case in names of columns."""


def kind_of(frame: Any) -> str:
    """Return the engine of a frame that narwhals wraps, by the name narwhals has for it."""
    return str(frame.implementation.value)


def picked(frame: Any, names: Mapping[str, str]) -> Any:
    """Take some columns of a frame under plain names.

    Parameters
    ----------
    frame : narwhals.DataFrame or narwhals.LazyFrame
    names : dict
        From the new name to that of a column.
    """
    nw, kind = import_module("narwhals"), kind_of(frame)
    if kind == "duckdb":
        chosen = ", ".join(f"{identifier(name)} AS {new}" for new, name in names.items())
        return nw.from_native(frame.to_native().project(chosen))
    if kind == "pyspark":
        there = frame.collect_schema().names()
        places = {new: numbered(there.index(name)) for new, name in names.items()}
        frame = renumbered(frame)
        return frame.select(*(nw.col(place).alias(new) for new, place in places.items()))
    return frame.select(*keys(frame, names))


def keys(frame: Any, names: Mapping[str, str]) -> list[Any]:
    """Make expressions of some columns by which all engines group and join alike: 0.0 is -0.0."""
    nw = import_module("narwhals")
    floats: set[str] = set()
    if kind_of(frame) in _BY_BITS:
        schema = frame.collect_schema()
        floats = {x for x in names.values() if isinstance(schema[x], nw.Float32 | nw.Float64)}
    return [
        (nw.col(name) + 0 if name in floats else nw.col(name)).alias(new)
        for new, name in names.items()
    ]


def renumbered(frame: Any) -> Any:
    """Name all columns of a frame of Spark by their places."""
    native = frame.to_native()
    places = map(numbered, range(len(native.columns)))
    return import_module("narwhals").from_native(native.toDF(*places))


def numbered(place: int) -> str:
    """Return the name of a column by its place."""
    return f"column_{place}"


def identifier(name: str) -> str:
    """Write a name of a column as SQL has it.

    Examples
    --------
    >>> print(identifier('n.total'), identifier('a"b'))
    "n.total" "a""b"
    """
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def same_name(frame: Any, name: str, names: list[str]) -> str | None:
    """Find the name among some that the engine of a frame takes for this one."""
    if kind_of(frame) in _CASELESS:
        return next((x for x in names if x.lower() == name.lower()), None)
    return name if name in names else None
