"""Columns of a table as a data frame's: values that keep their types.

A value stays what it is wherever a frame can hold it: whole numbers stay whole, also beside one
that does not exist; texts, dates and truth values stay what they are. Two things no frame holds in
one column:

* tuples of one length, as the labels of groups by several keys: they become columns ``label_0``,
  ``label_1``, ...;
* values of several types, or of a type unknown to Arrow: pandas keeps the objects, Arrow and Polars
  get their texts.
"""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from elbo_ref._validation.extras import need

if TYPE_CHECKING:
    from elbo_ref._format.table import Column

_IN_ARROW = {
    bool,
    bytes,
    datetime.date,
    datetime.datetime,
    datetime.time,
    datetime.timedelta,
    decimal.Decimal,
    float,
    int,
    str,
}
_BASES = {"Timestamp": datetime.datetime, "Timedelta": datetime.timedelta}
_WITH_GAPS = {bool: "boolean", int: "Int64"}
"""What pandas calls columns whose values may be missing and are not turned into floats."""


def split(columns: Iterable[Column]) -> Iterator[tuple[str, Any]]:
    """Yield names and values of the columns for programs, a column of tuples as several.

    Examples
    --------
    >>> from elbo_ref._format.table import Column
    >>> dict(split([Column([("a", 1), ("b", 2)], "label")]))
    {'label_0': ['a', 'b'], 'label_1': [1, 2]}
    """
    for column in columns:
        if not column.name:
            continue
        values = column.whole
        if isinstance(values, np.ndarray | range) or _kinds(values) != {tuple}:
            yield column.name, values
            continue
        widths = set(map(len, values))
        if len(widths) > 1 or 0 in widths:
            yield column.name, values
            continue
        for i, part in enumerate(zip(*values, strict=True)):
            yield f"{column.name}_{i}", list(part)


def pandas_frame(columns: Iterable[Column]) -> Any:
    """Make a ``pandas.DataFrame``."""
    pandas = need("pandas", "to_pandas")

    def series(values: Any) -> Any:
        if isinstance(values, np.ndarray | range):
            return np.asarray(values)
        kinds = _kinds(values)
        if len(kinds) > 1 or not kinds <= _IN_ARROW:
            alike = _alike(values, kinds)
            return pandas.Series(list(values), dtype=object) if alike is None else alike
        kind = next(iter(kinds), None)
        if kind in _WITH_GAPS and None in values and _fits(values, kinds):
            return pandas.array(list(values), dtype=_WITH_GAPS[kind])
        return list(values)

    return pandas.DataFrame({name: series(values) for name, values in split(columns)})


def polars_frame(columns: Iterable[Column]) -> Any:
    """Make a ``polars.DataFrame``."""
    return need("polars", "to_polars").DataFrame(_for_arrow(columns))


def arrow_stream(columns: Iterable[Column], schema: object = None) -> Any:
    """Make the capsule of an ``ArrowArrayStream``, by PyArrow or else by Polars."""
    if find_spec("pyarrow") is None and find_spec("polars") is not None:
        return polars_frame(columns).__arrow_c_stream__(schema)
    table = need("pyarrow", "the Arrow stream of a table").table(_for_arrow(columns))
    return table.__arrow_c_stream__(schema)


def _for_arrow(columns: Iterable[Column]) -> dict[str, Any]:
    return {name: _of_one_type(values) for name, values in split(columns)}


def _of_one_type(values: Any) -> Any:
    if isinstance(values, np.ndarray | range):
        return np.ascontiguousarray(values)
    kinds = _kinds(values)
    if len(kinds) <= 1 and kinds <= _IN_ARROW and _fits(values, kinds):
        return list(values)
    alike = _alike(values, kinds)
    return [None if x is None else str(x) for x in values] if alike is None else alike


def _kinds(values: Iterable[Any]) -> set[type]:
    """Return the types of the values that exist; a Timestamp of pandas is a datetime."""
    return {_BASES.get(x.__name__, x) for x in map(type, values)} - {type(None)}


def _alike(values: Sequence[Any], kinds: set[type]) -> NDArray[Any] | None:
    """Return NumPy's scalars of one type as an array; None if they are something else."""
    if len(kinds) == 1 and issubclass(next(iter(kinds)), np.generic) and None not in values:
        return np.array(values)
    return None


def _fits(values: Iterable[Any], kinds: set[type]) -> bool:
    """Tell whether whole numbers fit into 64 bits."""
    return kinds != {int} or all(x is None or -(2**63) <= x < 2**63 for x in values)
