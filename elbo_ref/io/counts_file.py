"""Counts from files: comma-, tab- or semicolon-separated text, JSON, npz, or standard input.

The interchange is a table with the columns successes, total_count and (optionally) multiplicity;
whatever can count can write one. What a file is, is told by its first bytes; one that opens with a
brace is JSON. Reading is strict, and a `DataError` says in one line what is wrong where: file,
line, column, value and rule.
"""

from __future__ import annotations

from pathlib import Path

from elbo_ref._validation.arguments import file_path
from elbo_ref.counts import Counts
from elbo_ref.io.arrays import read_archive, read_json
from elbo_ref.io.layout import CountsFile, DataError, Layout, Source
from elbo_ref.io.stream import opened
from elbo_ref.io.table import read_table

__all__ = ["CountsFile", "DataError", "Layout", "Source", "read", "read_counts"]


def read_counts(path: str | Path, **layout: object) -> Counts:
    """Read counts from a file.

    Parameters
    ----------
    path : str or Path
        Text with a header, JSON or npz; ``"-"`` is standard input.
    **layout
        Where it is not the plain table: the arguments of `elbo_ref.io.counts_file.Layout`. By
        keyword: `successes`, `total_count`, `multiplicity` and `group` name columns,
        ``shared=True`` makes one latent of all rows, `columns` names the columns of a text without
        a header, and ``drop_blank=True`` skips rows with a blank count.

    Returns
    -------
    Counts
        One entry for each distinct pair of counts, in the order of first appearance, with its
        multiplicity; or one for each group, or one in all. The entries of JSON and npz stay as they
        are.

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
    ...     _ = path.write_text("ward;k;n\\na;3;10\\nb;0;4\\na;1;5\\n")
    ...     read_counts(path, successes="k", total_count="n", group="ward")
    Counts(successes=[4 0], total_count=[15  4])
    """
    return read(file_path("path", path), Layout(**layout)).counts  # type: ignore[arg-type]


def read(path: str | Path, layout: Layout) -> CountsFile:
    """Counts with what is to be told of their source: name, format, SHA-256, rows."""
    with opened(path) as stream:
        first = stream.read_block()
        try:
            if first.startswith((b"PK\x03\x04", b"PK\x05\x06")):
                kind, found = "npz", read_archive(stream.rest(first), layout)
            elif first.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
                kind, found = "json", read_json(stream.rest(first), layout)
            else:
                kind, found = "table", read_table(stream.blocks(first), layout)
        except DataError as error:
            raise DataError(f"{stream.name}: {error}") from None
    counts, rows, dropped = found
    return CountsFile(counts, Source(stream.name, kind, stream.digest(), rows, dropped))
