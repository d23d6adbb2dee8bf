"""Counts from files: separated text, JSON, npz, Parquet, packed or not, or standard input.

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

JSON may also hold records, `[{"k": 3, "n": 10}, ...]`, or one on each line; or what pandas writes
(`elbo_ref.io.json_table`).

The first bytes tell the format; a text that opens with a brace is JSON. Reading is strict, and a
`DataError` says in one line what is wrong where: file, line, column, value and rule.
"""

from __future__ import annotations

import io
import warnings
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple, TypeAlias

import numpy as np

from elbo_ref._validation.advice import as_arguments
from elbo_ref._validation.arguments import file_path
from elbo_ref.counts import Counts
from elbo_ref.counts.levels import left_out, levelled
from elbo_ref.io import duckdb_file
from elbo_ref.io.archive import most_unpacked, read_arrays
from elbo_ref.io.cells import floats, labels_of, present, stored, written
from elbo_ref.io.errors import DataError, bare, short
from elbo_ref.io.foreign import refusal
from elbo_ref.io.json_table import columns_of, document_in
from elbo_ref.io.layout import Layout
from elbo_ref.io.stream import is_json, is_packed, is_zip, reading
from elbo_ref.io.text_table import read_table
from elbo_ref.io.totals import Contents, apart, successes_in

__all__ = ["CountsFile", "DataError", "Layout", "Source", "read", "read_counts"]


Format: TypeAlias = Literal["table", "json", "npz", "parquet"]


class Source(NamedTuple):
    """The origin of counts.

    Attributes
    ----------
    name : str
        The path, or ``"standard input"``.
    format : {"table", "json", "npz", "parquet"}
    sha256 : str
        Of the bytes, in hexadecimal.
    rows, dropped : int
        Rows that were read, and rows that were skipped because of blanks.
    """

    name: str
    format: Format
    sha256: str
    rows: int
    dropped: int


class CountsFile(NamedTuple):
    """Counts, where they came from, the options known by names of columns, the level of each."""

    counts: Counts
    source: Source
    guess: dict[str, str]
    by: Sequence[Hashable] | None


def read_counts(
    path: str | Path | IO[Any],
    *,
    successes: str | None = None,
    total_count: str | None = None,
    failures: str | None = None,
    outcome: str | None = None,
    proportion: str | None = None,
    multiplicity: str | None = None,
    group: str | None = None,
    by: str | None = None,
    shared: bool = False,
    columns: Sequence[str] | None = None,
    na: Literal["error", "drop"] = "error",
    in_order: bool = False,
    progress: bool | None = None,
) -> Counts:
    r"""Read counts from a file.

    Parameters
    ----------
    path : str, Path or file object
        Text with a header, JSON (columns, records, or a record a line) or npz; with DuckDB,
        Parquet. Each of them as it is, in a gzip or, with PyArrow, in a zst. ``"-"`` is standard
        input.
    successes, total_count, failures, outcome, proportion : str, optional
        Names of the columns of counts, as for `Counts.from_frame`: two or three of the first
        three, an `outcome` of 0 or 1, or a `proportion` of the trials. Without any, columns whose
        names leave no doubt, as ``k`` and ``n``, with a warning that says which.
    multiplicity : str, optional
        Name of the column that says how many equal latents (or, under `shared` and `group`, equal
        rows) a row stands for; without it ``"multiplicity"``, if there is one.
    group : str, optional
        Name of a column of labels: one latent for each, instead of one for each row.
    by : str, optional
        Name of a column of a level that each latent has, such as its treatment, as for
        `Counts.from_frame`.
    shared : bool
        Instead: one latent for all rows.
    columns : sequence of str, optional
        Names of all columns of a text that has no header; its first row fixes the separator.
    na : {"error", "drop"}
        Whether rows where a cell that is needed is blank, ``NA`` or, of counts, ``NaN`` (in JSON
        also ``null``) are refused, or left out; the counts then say how many, `Counts.dropped`.
    in_order : bool
        Whether each row of a text stays an entry of its own, in the order of the file; equal rows
        are counted otherwise.
    progress : bool, optional
        Whether a bar of tqdm shows the bytes; by default on a terminal and in a
        notebook, if tqdm is installed and the work is long.

    Returns
    -------
    Counts
        One entry for each distinct pair of counts, in the order of first appearance, with its
        multiplicity; or one for each group, or one in all. The entries of JSON and npz stay as they
        are; those of Parquet are sorted, as of `Counts.from_frame`.

    Raises
    ------
    DataError
        If the file is not such a table; the message says where and why, and what to add.
    ImportError
        If the file needs DuckDB or PyArrow, and that is not installed.
    TypeError, ValueError
        If an option is of another kind, or two contradict each other.
    OSError
        If the file cannot be opened.

    See Also
    --------
    elbo_ref.Counts.from_frame : Counts from a data frame, a query or a table of another program.
    elbo_ref.io.datasets.load : Small public data sets.

    Notes
    -----
    A text may be of any length: memory is that of its distinct rows. JSON and npz are read at once,
    up to 256 MiB. DuckDB may read this one file and no other, nor the network, loads no extension,
    and takes at most 1 GB of memory.

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
        successes,
        total_count,
        failures,
        outcome,
        proportion,
        multiplicity,
        group,
        by,
        shared=shared,
        columns=columns,
        na=na,
        in_order=in_order,
    )
    if hasattr(path, "columns"):
        raise TypeError("path must be a file, not a data frame: call Counts.from_frame")
    if isinstance(path, str) and "://" in path:
        rule = "is an address: fetch the file first, or read it into a frame for Counts.from_frame"
        raise ValueError(f"path = {path!r} {rule}")
    found = read(path if hasattr(path, "read") else file_path("path", path), layout, progress)
    if found.guess:
        said = as_arguments(found.guess)
        warnings.warn(f"columns known by their names: {said}", stacklevel=2)
    merged = by is not None or found.source.format == "parquet"
    counts = levelled(found.counts, by, found.by) if merged else found.counts
    return left_out(counts, found.source.dropped)


def read(path: str | Path | IO[Any], layout: Layout, progress: bool | None = False) -> CountsFile:
    """Read counts with their source: name, format, SHA-256, rows."""
    kind: Format
    with reading(path, progress) as stream:
        first, file = stream.read_block(), stream
        if packed := is_packed(first):
            file = stream.unpacked(first)
            first = file.read_block()
        if said := refusal(first):
            raise DataError(said)
        if is_zip(first):
            kind, found = "npz", _read_npz(file.rest(first), layout)
        elif is_json(first):
            kind, found = "json", _read_json(file.rest(first), layout)
        elif duckdb_file.is_parquet(first):
            place = None if packed else path
            kind, found = "parquet", duckdb_file.read(place, file.blocks(first), layout)
        else:
            kind, found = "table", read_table(file.blocks(first), layout)
        source = Source(stream.name, kind, stream.digest(), found.rows, found.dropped)
        return CountsFile(found.counts, source, found.guess, found.by)


def _read_json(data: bytes, layout: Layout) -> Contents:
    """Read columns, or records: in a list, or one a line."""
    found = columns_of(document_in(data), lambda names: _fits(layout, names))
    columns: dict[str, Any] = dict(found)
    layout, size = _resolved(columns, layout)
    rows: Sequence[int] = range(size)
    if layout.na == "drop":
        rows = present(columns, layout)
        columns = {name: [column[row] for row in rows] for name, column in columns.items()}
    for name in layout.counted:
        columns[name] = written(name, columns[name], rows, layout)
    if "log_split" in columns:
        columns["log_split"] = floats("log_split", columns["log_split"], rows)
    counts, by = _assemble(columns, rows, layout)
    return Contents(counts, len(rows), size - len(rows), layout.guess, by)


def _fits(layout: Layout, names: list[str]) -> bool:
    """Return True if a table with these columns has what is needed."""
    try:
        layout.of(names, "the file")
    except DataError:
        return False
    return True


def _read_npz(data: bytes, layout: Layout) -> Contents:
    """Read the same; a row has no value where there is NaN."""
    columns: dict[str, Any] = dict(read_arrays(io.BytesIO(data), most_unpacked(len(data))))
    for name, array in columns.items():
        if array.ndim != 1:
            raise DataError(f"{bare(name)} has {array.ndim} dimensions where one is needed")
    layout, size = _resolved(columns, layout)
    rows: Sequence[int] = range(size)
    if layout.na == "drop":
        rows = present(columns, layout)
        columns = {name: array[rows] for name, array in columns.items()}
    for name in layout.counted:
        columns[name] = stored(name, columns[name], layout)
    counts, by = _assemble(columns, rows, layout)
    return Contents(counts, len(rows), size - len(rows), layout.guess, by)


def _resolved(columns: Mapping[str, Any], layout: Layout) -> tuple[Layout, int]:
    """Return the layout with the columns of a file, and the number of rows."""
    if layout.columns is not None:
        raise DataError("the file names its columns itself; columns names those of a bare text")
    layout = layout.of(list(columns), "the file")
    first = layout.counted[0]
    size = len(columns[first])
    for name, column in columns.items():
        if len(column) != size:
            rule = f"has {len(column)} rows where {bare(first)} has {size}"
            raise DataError(f"{bare(name)} {rule}")
    return layout, size


def _assemble(
    columns: Mapping[str, Any], rows: Sequence[int], layout: Layout
) -> tuple[Counts, Sequence[Hashable] | None]:
    """Make counts and levels of columns, each sound for itself; `rows` are the rows' numbers."""
    names = layout.counted
    w = None if layout.multiplicity is None else columns[names[-1]]
    names = names if w is None else names[:-1]
    if not columns[names[0]].size:
        raise DataError("the file has no row of counts")
    k, n = layout.pair(*(columns[name] for name in names))
    if layout.proportion is not None:
        k = successes_in(names[0], k, n, np.ones_like(n))
    bad = (k < 0) | (k > n)
    if bad.any():
        at = int(np.argmax(bad))
        shown = [f"{bare(name)}[{rows[at]}] = {columns[name][at]}" for name in names]
        if layout.outcome is not None:
            raise DataError(f"{shown[0]} is neither 0 nor 1")
        if layout.is_checked:
            raise layout.disagreement(*shown)
        rule = "exceeds" if layout.total_count else "is not below 2**63 together with"
        raise DataError(f"{shown[0]} {rule} {shown[1]}")
    split, labels, by = columns.get("log_split"), None, None
    if layout.by is not None:
        by = labels_of(layout.by, columns[layout.by], rows, layout)
    if layout.group is not None:
        labels = labels_of(layout.group, columns[layout.group], rows, layout)
    elif "labels" in columns and not layout.shared:
        labels = labels_of("labels", columns["labels"], rows, layout)
        label, times = Counter(labels).most_common(1)[0]
        if times > 1:
            text = f"labels holds {short(label)} twice, and is not named as the group"
            raise DataError(text, group="labels")
    try:
        if labels is not None and layout.group is not None:
            pairs = labels if by is None else list(zip(labels, by, strict=True))
            return apart(Counts.from_columns(k, n, w, split).pooled(pairs), layout)
        counts = Counts.from_columns(k, n, w, split, labels)
        return counts.pooled() if layout.shared else counts, by
    except (ValueError, TypeError) as error:
        raise DataError(str(error)) from None
