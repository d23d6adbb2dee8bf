"""Counts from a data frame, whichever library it is of, through narwhals.

The engine of the frame does one thing: it groups the rows by the columns that are needed and counts
each group. Only this histogram of distinct rows comes back, its values as they were, and becomes
counts here, by the same rules for every engine and in the same order: sorted.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Hashable, Sequence
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from elbo_ref._validation.advice import AdvisedError, as_arguments, quoted
from elbo_ref._validation.arguments import BoolArray, IntArray, check_known
from elbo_ref.counts.cells import MOST, Cells, successes_of
from elbo_ref.counts.columns import Columns
from elbo_ref.counts.engines import picked

FRAMES = "pandas, Polars, PyArrow, DuckDB, Ibis, Dask, PySpark or xarray"
NA = ("error", "drop")
_COUNTS = ("successes", "failures", "total_count")
_SIZE = "rows"
"""The column of numbers of rows."""


class Histogram(NamedTuple):
    """Distinct rows of counts, sorted.

    Attributes
    ----------
    successes, total_count, multiplicity : int64 ndarray, shape (R,)
    labels : list, or None
        The label of each: of its group, its level, or a pair of both.
    rows, dropped : int
        Rows of the table that are counted, and those without a value that are not.
    """

    successes: IntArray
    total_count: IntArray
    multiplicity: IntArray
    labels: list[Hashable] | None
    rows: int
    dropped: int


def from_frame(frame: Any, columns: Columns, na: str) -> Histogram:
    """Count the distinct rows of a data frame; say which columns were known by their names.

    Raises
    ------
    TypeError, AdvisedError
        If it is no data frame, or not one of counts.
    """
    check_known("na", na, NA)
    found = opened(frame)
    names = found.collect_schema().names()
    _check_index(frame, columns, names)
    columns, guess = columns.resolved(names)
    if guess:
        said = as_arguments(guess)
        warnings.warn(f"columns known by their names: {said}", stacklevel=4)
    return histogram(tallied(found, columns), columns, na)


def opened(frame: Any) -> Any:
    """Wrap a data frame of any library by narwhals.

    Raises
    ------
    TypeError
        If it is none.
    """
    nw = import_module("narwhals")
    if hasattr(frame, "data_vars"):  # an xarray.Dataset, whose coordinates become columns
        frame = frame.to_dataframe().reset_index()
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(frame, pandas.DataFrame):
        kinds = {name: kind for name, kind in frame.dtypes.items() if hasattr(kind, "fill_value")}
        if kinds:  # sparse
            frame = frame.astype({name: kind.subtype for name, kind in kinds.items()})
        if set(frame.columns) & set(frame.index.names):  # which pandas would take for the column
            frame = frame.reset_index(drop=True)
    try:
        return nw.from_native(frame)
    except (TypeError, ValueError):
        names = list(map(str, getattr(frame, "column_names", getattr(frame, "columns", ()))))
        if twice := [name for i, name in enumerate(names) if name in names[:i]]:
            rule = "rename one of them"
            raise AdvisedError(f"the frame repeats the column {quoted(twice[0])}: {rule}") from None
        if (table := _of_arrow(frame)) is not None:
            return nw.from_native(table)
        kind = type(frame).__name__
        file = isinstance(frame, str | os.PathLike)
        rule = "read_counts reads a file" if file else "Counts(successes, total_count) takes arrays"
        raise TypeError(f"frame must be a data frame of {FRAMES}, not {kind}; {rule}") from None


def _of_arrow(frame: Any) -> Any:
    """Read a table that speaks Arrow's protocol, as a record batch does; None of anything else."""
    if not hasattr(frame, "__arrow_c_stream__") and not hasattr(frame, "__arrow_c_array__"):
        return None
    try:
        return import_module("pyarrow").table(frame)
    except (ImportError, TypeError, ValueError):  # a series, or the result of a failed call
        return None


def _check_index(frame: Any, columns: Columns, names: Sequence[str]) -> None:
    """Refuse a level of pandas' index that is named as a column."""
    index = getattr(frame, "index", None)
    levels = list(getattr(index, "names", None) or [getattr(index, "name", None)])
    for role, name in columns.named.items():
        if name not in names and name in levels:
            rule = "is a level of the index, not a column: call frame.reset_index() first"
            raise AdvisedError(f"the {role} {quoted(name)} {rule}")


class Rows(NamedTuple):
    """Distinct rows as they came back, those without a missing value.

    Attributes
    ----------
    table : narwhals.DataFrame
        The columns that are needed, by role.
    cells : dict
        The same columns, for their values and how often there is each.
    dropped : int
        The number of rows of the frame that have a missing value.
    """

    table: Any
    cells: dict[str, Cells]
    dropped: int

    def pair(self) -> tuple[IntArray, IntArray]:
        """Return successes and trials of each row.

        Raises
        ------
        AdvisedError
            If a cell is no count.
        """
        return _pair(self.cells)

    @property
    def times(self) -> IntArray:
        """Numbers of rows of the frame that are alike."""
        return next(iter(self.cells.values())).times


class Tally(NamedTuple):
    """Numbers of rows of a frame that are alike, by kind.

    Attributes
    ----------
    table : narwhals.DataFrame
        The columns that are needed, by role, and ``"rows"``, numbers of rows.
    """

    table: Any

    def of(self, roles: list[str]) -> Any:
        """Take some of the columns that are needed, and the numbers of rows."""
        if len(roles) + 1 == len(self.table.columns):
            return self.table
        return self.table.group_by(roles).agg(import_module("narwhals").col(_SIZE).sum())


def tallied(frame: Any, columns: Columns) -> Tally:
    """Let the engine of a frame that `opened` has wrapped count its distinct rows, and fetch them.

    Raises
    ------
    AdvisedError
        If a column is one of lists, or of another type that the engine does not group by.
    """
    nw, needed = import_module("narwhals"), columns.named
    frame = picked(frame, needed)
    if isinstance(frame, nw.DataFrame):
        _refuse_truths(nw, frame, needed)
    try:
        counted = frame.group_by(list(needed)).agg(nw.len().alias(_SIZE))
        table = counted.collect() if isinstance(counted, nw.LazyFrame) else counted
    except Exception as error:
        if isinstance(frame, nw.DataFrame):
            _refuse_lists(nw, frame, needed)
        if isinstance(error, NotImplementedError):  # as of float16 in pandas
            why = f"the frame does not group by such columns ({str(error).splitlines()[0]})"
            rule = "make numbers int64 or float64, labels text, first"
            raise AdvisedError(f"{why}; {rule}") from None
        raise
    return Tally(table)


def histogram(tally: Tally, columns: Columns, na: str) -> Histogram:
    """Make counts of the rows of a frame; the columns are resolved.

    Raises
    ------
    AdvisedError
        If a cell is missing and not to be dropped, or is no count.
    """
    rows = distinct_rows(tally, columns, na)
    return _sorted(rows.cells, rows.dropped)


def distinct_rows(tally: Tally, columns: Columns, na: str) -> Rows:
    """Check the distinct rows of a frame for missing values; the columns may be some of them.

    Raises
    ------
    AdvisedError
        If a cell is missing and not to be dropped.
    """
    nw = import_module("narwhals")
    needed = columns.named
    table = tally.of(list(needed))
    times = np.array(table[_SIZE].to_list(), np.int64)
    missing = {role: _missing(nw, table[role]) for role in needed}
    bad = np.logical_or.reduce(list(missing.values()))
    if na == "error":
        for role, name in needed.items():
            if missing[role].any():
                rows = f"{times[missing[role]].sum()} of {times.sum()} rows"
                raise AdvisedError(f"column {quoted(name)} has no value in {rows}", na="drop")
    if bad.all():
        dropped = f": {times.sum()} without a value are dropped" if bad.size else ""
        raise AdvisedError(f"the frame has no row of counts{dropped}")
    if bad.any():
        table = table.filter((~bad).tolist())
    cells = {
        role: Cells(role, name, _values(nw, table[role]), times[~bad])
        for role, name in needed.items()
    }
    return Rows(table.select(list(needed)), cells, int(times[bad].sum()))


def _refuse_lists(nw: Any, frame: Any, needed: dict[str, str]) -> None:
    """Refuse columns of lists, by which pandas and Arrow do not group, as others' are refused."""
    for role, name in needed.items():
        cells = Cells(role, name, _values(nw, frame[role]), np.ones(len(frame), np.int64))
        if any(isinstance(value, list | dict | np.ndarray) for value in cells.values.tolist()):
            _labels(cells) if role in ("group", "by") else cells.whole()


def _refuse_truths(nw: Any, frame: Any, needed: dict[str, str]) -> None:
    """Refuse truth values among other objects, which would be grouped with 0 and 1."""
    for role in _COUNTS:
        if role in needed and isinstance(frame[role].dtype, nw.Object):
            values = _values(nw, frame[role])
            if any(isinstance(value, bool) for value in values.tolist()):
                good = np.array([x is not None and x == x for x in values.tolist()], np.bool_)
                Cells(role, needed[role], values[good], np.ones(good.sum(), np.int64)).whole()


def unused(name: str, names: Sequence[str]) -> str:
    """Make a name that is none of these."""
    while name in names:
        name += "_"
    return name


def _missing(nw: Any, series: Any) -> BoolArray:
    """Tell where there is NULL or NaN."""
    null = np.array(series.is_null().to_list(), np.bool_)
    if isinstance(series.dtype, nw.Float32 | nw.Float64):
        nan = series.is_nan().to_list()
        null |= np.array([x is True for x in nan], np.bool_)
    return null


def _values(nw: Any, values: Any) -> NDArray[Any]:
    """Take the values of a series, numbers as an array of numbers."""
    if isinstance(values.dtype, (nw.Float32, nw.Float64)) or (
        values.dtype.is_integer() and not isinstance(values.dtype, (nw.Int128, nw.UInt128))
    ):
        array = np.asarray(values.to_numpy())
        if array.dtype.kind in "iuf":
            return array
    objects = np.empty(len(values), object)
    objects[:] = values.to_list()
    return objects


def _sorted(cells: dict[str, Cells], dropped: int) -> Histogram:
    """Make counts of the cells; equal rows of different types, as 3 and 3.0, become one."""
    times = next(iter(cells.values())).times
    k, n = _pair(cells)
    w = times
    if "multiplicity" in cells:
        w = cells["multiplicity"].whole()
        if (w.astype(np.float64) @ times) >= 2.0**63 * (1 - 1e-9):
            raise cells["multiplicity"].error("has a sum that does not fit into 63 bits")
        w = w * times
    labels: list[Hashable] | None = None
    latent = np.zeros(k.size, np.intp)
    named = [_labels(cells[role]) for role in ("group", "by") if role in cells]
    if named:
        found = list(zip(*named, strict=True)) if named[1:] else named[0]
        distinct = _in_order(set(found))
        place = {label: i for i, label in enumerate(distinct)}
        latent = np.array([place[label] for label in found], np.intp)
    order = np.lexsort((k, n, latent))
    k, n, w, latent = k[order], n[order], w[order], latent[order]
    first = np.flatnonzero(
        np.diff(k, prepend=-1) | np.diff(n, prepend=-1) | np.diff(latent, prepend=-1)
    )
    if named:
        labels = [distinct[i] for i in latent[first]]
    sums = np.add.reduceat(w, first)
    return Histogram(k[first], n[first], sums, labels, int(times.sum()), dropped)


def _pair(cells: dict[str, Cells]) -> tuple[IntArray, IntArray]:
    """Return successes and trials, by whichever layout there is."""
    if "outcome" in cells:
        k = cells["outcome"].flags()
        return k, np.ones_like(k)
    counts = {x: y.whole() for x, y in cells.items() if x in _COUNTS}
    if "proportion" in cells:
        n = counts["total_count"]
        return successes_of(cells["proportion"], n), n
    if "total_count" not in counts:
        k, failures = counts["successes"], counts["failures"]
        if (failures > MOST - k).any():
            raise cells["failures"].error("makes trials that are not below 2**63")
        return k, k + failures
    n = counts["total_count"]
    if "successes" in counts and "failures" in counts:
        _check_sum(cells, counts)
    role = "successes" if "successes" in counts else "failures"
    part = counts[role]
    if (part > n).any():
        raise _exceeds(cells[role], cells["total_count"], part, n)
    return (part if role == "successes" else n - part), n


def _check_sum(cells: dict[str, Cells], counts: dict[str, IntArray]) -> None:
    """Refuse successes and failures that are not the trials together, by the least such row."""
    columns = [counts[role] for role in _COUNTS]
    k, failures, n = columns
    bad = failures != n - k
    if bad.any():
        names = {role: cells[role].name for role in _COUNTS}
        rows = f"{cells['successes'].times[bad].sum()} of {cells['successes'].times.sum()} rows"
        one, other, total = min(zip(*(x[bad].tolist() for x in columns), strict=True))
        trials = quoted(names.pop("total_count"))
        text = f"and {quoted(names['failures'])} are not {trials} together in {rows}"
        when = f"if {trials} are something else"
        said = f"{text}: {one} and {other} of {total}"
        raise cells["successes"].error(said, when=when, **names)


def _exceeds(cells: Cells, totals: Cells, part: IntArray, n: IntArray) -> AdvisedError:
    """Name the least row of which the part is greater than the whole."""
    bad = part > n
    rows = f"{cells.times[bad].sum()} of {cells.times.sum()} rows"
    k, most = min(zip(part[bad].tolist(), n[bad].tolist(), strict=True))
    text = f"exceeds {quoted(totals.name)} in {rows}: {k} of {most}"
    if cells.role == "failures":
        when = f"if {quoted(totals.name)} are successes"
        return cells.error(text, when=when, successes=totals.name)
    return cells.error(text, when=f"if {quoted(totals.name)} are failures", failures=totals.name)


def _labels(cells: Cells) -> list[Hashable]:
    """Return the labels as Python has them."""
    labels: list[Hashable] = cells.values.tolist()
    for label in labels:
        try:
            hash(label)
        except TypeError:
            raise cells.error(f"holds a {type(label).__name__}, which is no label") from None
    return labels


def _in_order(labels: set[Hashable]) -> list[Hashable]:
    """Sort labels; those of different kinds by kind."""
    try:
        return sorted(labels)  # type: ignore[type-var]
    except TypeError:
        return sorted(labels, key=lambda x: (type(x).__name__, str(x)))
