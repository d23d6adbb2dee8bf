"""Counts from a file that DuckDB reads: Parquet.

DuckDB runs inside this process and is locked up first: it may read one file and nothing else, not
the network either, loads no extension, writes nothing, and has a bound on its memory. Then the
settings are locked, too.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from elbo_ref._validation.advice import AdvisedError
from elbo_ref._validation.extras import need
from elbo_ref.counts import Counts
from elbo_ref.counts.frames import histogram, opened, tallied
from elbo_ref.io.errors import DataError
from elbo_ref.io.foreign import is_binary
from elbo_ref.io.layout import Layout
from elbo_ref.io.totals import Contents, apart

MEMORY = "1GB"
"""The most that DuckDB takes."""

_SETTINGS = {
    "allow_community_extensions": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "memory_limit": MEMORY,
    "python_enable_replacements": "false",
    "temp_directory": "",
}
_PATTERN = "*?["


def is_parquet(first: bytes) -> bool:
    """Return True if the first bytes are those of a Parquet file."""
    return first.startswith(b"PAR1") and (len(first) == 4 or is_binary(first))


def read(path: str | Path | IO[Any] | None, blocks: Iterable[bytes], layout: Layout) -> Contents:
    """Count the rows of a file, without a path if it was packed; all `blocks` of it are read.

    Raises
    ------
    DataError
        If it is damaged, or no table of counts.
    ImportError
        Without DuckDB.
    """
    duckdb = need("duckdb", "a file of Parquet")
    need("pyarrow", "a file of Parquet")
    if layout.in_order or layout.columns is not None:
        option = "columns" if layout.columns is not None else "the order of rows"
        raise DataError(f"{option} cannot be had of a parquet file; write it as csv")
    with _named(path, blocks) as file:
        try:
            with locked_up(duckdb, file) as connection:
                return _contents(connection.read_parquet(file), layout)
        except duckdb.Error as error:
            raise DataError(f"DuckDB cannot read it: {str(error).splitlines()[0]:.200}") from None


@contextmanager
def locked_up(duckdb: Any, file: str) -> Iterator[Any]:
    """Connect to a DuckDB that can read this file and nothing else."""
    connection = duckdb.connect(":memory:", config=_SETTINGS)
    try:
        literal = file.replace("'", "''")
        connection.execute(f"SET allowed_paths = ['{literal}']")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        yield connection
    finally:
        connection.close()


def _contents(relation: Any, layout: Layout) -> Contents:
    frame = opened(relation)
    resolved = layout.of(frame.collect_schema().names(), "the file")
    try:
        found = histogram(tallied(frame, resolved.named()), resolved.named(), layout.na)
    except AdvisedError as error:
        raise DataError.of(error) from None
    counts, by = Counts(found.successes, found.total_count, found.multiplicity), None
    if layout.shared or layout.group is not None:
        counts, by = apart(counts.pooled(found.labels), layout)
    elif layout.by is not None:
        by = found.labels
    return Contents(counts, found.rows, found.dropped, resolved.guess, by)


@contextmanager
def _named(path: str | Path | IO[Any] | None, blocks: Iterable[bytes]) -> Iterator[str]:
    """Give the path of a file, or of a copy of what has none that DuckDB takes literally."""
    if isinstance(path, str | Path) and os.path.isfile(path):
        real = os.path.realpath(path)
        if not any(sign in real for sign in _PATTERN):
            yield real
            for _ in blocks:  # to the end, for the digest
                pass
            return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "counts.parquet")
        with open(copy, "wb") as file:
            for block in blocks:
                file.write(block)
        yield os.path.realpath(copy)
